//! The clients: how each is started, with how many requests, and how its output is checked.

use crate::Args;
use crate::measure::{self, Cost};
use crate::output_check;
use crate::server::Server;
use crate::workspace::{Job, Workspace, write_job};
use anyhow::{Context, Result, bail};
use harvest_bench::ids;
use harvest_bench::track::Template;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every client, in the order of the table.
pub(crate) const NAMES: [&str; 10] = [
    "harvest",
    "harvest-plain",
    "minimal",
    "wrk",
    "oha",
    "curl",
    "aria2",
    "aiohttp",
    "requests",
    "scrapy",
];

/// A client on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    /// It fetches so many of the list's IDs.
    pub(crate) requests: u64,
    pub(crate) rounds: usize,
    pub(crate) note: &'static str,
}

/// The clients that were asked for and are there; a line for each that is not.
pub(crate) fn available(args: &Args) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for name in NAMES.into_iter().filter(|name| args.has_client(name)) {
        match find(args, name)? {
            Some(program) => peers.push(peer(args, name, program)),
            None if name == "oha" && !args.with_oha => {}
            None => println!("(skipped: {name} is not installed)"),
        }
    }
    Ok(peers)
}

fn peer(args: &Args, name: &'static str, program: PathBuf) -> Peer {
    let all = args.requests;
    let first = |n| if args.whole { all } else { all.min(n) };
    let ours = if args.quick { 3 } else { args.rounds.max(1) };
    let (requests, rounds, note) = match name {
        "harvest" => (all, ours, "NDJSON, checkpoints"),
        "harvest-plain" => (all, ours.min(3), "the same with `--progress plain`"),
        "minimal" => (all, ours, "JSON checked, lines appended"),
        "wrk" => (all, ours.min(3), "one URL, nothing written: the ceiling"),
        "oha" => (all, ours.min(3), "one URL, nothing written: the ceiling"),
        "curl" => (all, ours.min(3), "a file each, nothing checked"),
        "aria2" => (
            first(2_000),
            1,
            "a file each, 16 at a time, nothing checked",
        ),
        "aiohttp" => (all, ours.min(3), "JSON checked, lines appended"),
        "requests" => (first(5_000), 1, "32 threads, JSON checked, lines appended"),
        _ => (first(2_000), 1, "JSON checked, lines appended"),
    };
    Peer {
        name,
        program,
        requests,
        rounds,
        note,
    }
}

/// Where the client is; the Python ones are where their interpreter is.
fn find(args: &Args, name: &str) -> Result<Option<PathBuf>> {
    let beside = || Ok::<_, anyhow::Error>(std::env::current_exe()?.with_file_name("minimal"));
    let path = match name {
        "harvest" | "harvest-plain" => args.harvest.clone(),
        "minimal" => beside()?,
        "aiohttp" | "requests" | "scrapy" => {
            let python = args.tools.join("venv/bin/python");
            let import = format!("import {name}");
            let imports = Command::new(&python).args(["-c", &import]).output();
            return Ok(imports.is_ok_and(|o| o.status.success()).then_some(python));
        }
        "aria2" => return Ok(on_path(args, "aria2c")),
        other => return Ok(on_path(args, other)),
    };
    if !path.exists() {
        bail!("{} is not there: benches/run builds it", path.display());
    }
    Ok(Some(path))
}

fn on_path(args: &Args, program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = args.tools.join("bin");
    std::iter::once(own)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// One run: what it cost, and for how many requests.
pub(crate) fn run(
    args: &Args,
    peer: &Peer,
    server: &mut Server,
    workspace: &Workspace,
) -> Result<(Cost, u64)> {
    let folder = workspace.fresh("client")?;
    let list = workspace.list(peer.requests)?;
    let output = folder.join("out.ndjson");
    let files = folder.join("files");
    std::fs::create_dir(&files)?;
    let mut command = measure::pinned(args.client_core, &peer.program, server);
    let base = server.base().to_owned();
    let concurrency = args.concurrency.to_string();
    let header = "Authorization: Bearer a-token-of-the-bench";
    let one_url = || format!("{base}/v1/tracks/{}", String::from_utf8_lossy(&ids::id(0)));
    match peer.name {
        "harvest" | "harvest-plain" => {
            let job = Job {
                base: &base,
                ids: &list,
                output: &output,
                rate: "unlimited",
                concurrency: args.concurrency,
                commit_every: "1s",
            };
            command.arg(write_job(&folder, "job.toml", &job)?);
            if peer.name == "harvest" {
                command.args(["--progress", "off", "--quiet"]);
            } else {
                command.args(["--progress", "plain"]);
            }
        }
        "minimal" => {
            command.arg(&base).arg(&list).arg(&output);
            command.args(["--concurrency", &concurrency]);
        }
        "wrk" => {
            command
                .args(["-t1", "-d3s", "-c", &concurrency, "-H", header])
                .arg(one_url());
        }
        "oha" => {
            let requests = peer.requests.to_string();
            command.args([
                "--no-tui",
                "-n",
                &requests,
                "-c",
                &concurrency,
                "-H",
                header,
            ]);
            command.args(["--output-format", "json"]).arg(one_url());
        }
        "curl" => {
            let config = transfers(&folder, peer.requests, |id, text| {
                writeln!(
                    text,
                    "url = \"{base}/v1/tracks/{id}\"\noutput = \"files/{id}\""
                )
            })?;
            command.args(["--silent", "--show-error", "--fail", "--parallel"]);
            command
                .args(["--parallel-max", &concurrency, "-H", header, "-K"])
                .arg(config);
        }
        "aria2" => {
            let config = transfers(&folder, peer.requests, |id, text| {
                writeln!(text, "{base}/v1/tracks/{id}\n out={id}")
            })?;
            command.args(["-j16", "-q", "--file-allocation=none", "-d", "files"]);
            command
                .arg(format!("--header={header}"))
                .arg("-i")
                .arg(config);
        }
        python => {
            let workers = if python == "requests" {
                "32"
            } else {
                &concurrency
            };
            command.arg(args.peers.join(format!("{python}_client.py")));
            command.arg(&base).arg(&list).arg(&output).arg(workers);
        }
    }
    server.reset()?;
    let running = measure::start(command, &folder)?;
    let log = running.log().to_owned();
    let cost = running.finish()?;
    check(args, peer, &folder, server).with_context(|| peer.name)?;
    let requests = if peer.name == "wrk" {
        wrk_requests(&log)?
    } else {
        peer.requests
    };
    std::fs::remove_dir_all(&folder)?;
    Ok((cost, requests))
}

/// The list of what to fetch, in a client's own form.
fn transfers(
    folder: &Path,
    count: u64,
    one: impl Fn(&str, &mut String) -> std::fmt::Result,
) -> Result<PathBuf> {
    let mut text = String::new();
    for number in 0..count {
        one(&String::from_utf8_lossy(&ids::id(number)), &mut text)?;
    }
    let path = folder.join("transfers.txt");
    std::fs::write(&path, text)?;
    Ok(path)
}

/// The output has every ID, and no request was sent but one for each.
fn check(args: &Args, peer: &Peer, folder: &Path, server: &mut Server) -> Result<()> {
    let template = Template::new(args.body_bytes);
    match peer.name {
        "wrk" | "oha" => {}
        "curl" | "aria2" => output_check::files(&folder.join("files"), peer.requests, &template)?,
        _ => output_check::lines(&folder.join("out.ndjson"), peer.requests, &template)?,
    }
    let report = server.report()?;
    if report.unauthorized > 0 {
        bail!("{} requests had no token", report.unauthorized);
    }
    if peer.name != "wrk" && report.requests != peer.requests {
        bail!("{} requests for {} IDs", report.requests, peer.requests);
    }
    Ok(())
}

/// wrk runs for a time: how many requests that was.
fn wrk_requests(log: &Path) -> Result<u64> {
    let said = std::fs::read_to_string(log)?;
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        bail!("wrk had errors:\n{said}");
    }
    said.lines()
        .find_map(|line| line.split_once(" requests in "))
        .and_then(|(count, _)| count.trim().parse().ok())
        .with_context(|| format!("wrk did not say how many requests it made:\n{said}"))
}
