//! Which version of each peer was measured.

use crate::peers::Peer;
use std::process::Command;

/// Prints the peers' versions on one line; a peer that doesn't say is left out.
pub(crate) fn print(peers: &[Peer]) {
    let versions: Vec<String> = peers.iter().filter_map(version).collect();
    if !versions.is_empty() {
        println!("Peers: {}", versions.join(" · "));
    }
}

fn version(peer: &Peer) -> Option<String> {
    let mut command = Command::new(&peer.program);
    match peer.name {
        "wrk" => command.arg("-v"),
        "curl" | "aria2" | "oha" => command.arg("--version"),
        "aiohttp" | "requests" | "scrapy" => {
            let code = format!(
                "import {0}, platform; print('{0}', {0}.__version__, 'on Python', platform.python_version())",
                peer.name
            );
            command.args(["-c", &code])
        }
        _ => return None,
    };
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = text.lines().next()?.split_ascii_whitespace().collect();
    // Of the programs' first lines, what comes before the libraries and the copyright.
    let most = match peer.name {
        "curl" | "wrk" | "oha" => 2,
        "aria2" => 3,
        _ => words.len(),
    };
    Some(words.get(..most.min(words.len()))?.join(" "))
}
