//! The limit on open files, and the table's length when the first request goes out.
#![cfg(target_os = "linux")]

use crate::raw::{Raw, Reply, Then, ok};
use crate::support::{Place, assert_exit, harvest, told};
use crate::{child, raw};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The binary under test, after these limits were set.
fn limited(limits: &str) -> Command {
    let plain = harvest();
    let mut command = Command::new("sh");
    for (name, _) in plain.get_envs() {
        command.env_remove(name);
    }
    let script = format!("{limits} && exec \"$@\"");
    command.args(["-c", &script, "sh"]).arg(plain.get_program());
    command
}

fn job(place: &Place, api: &Raw, concurrency: u32) -> PathBuf {
    let text = format!(
        "[ids]\nlist = [\"a\"]\n[request]\nurl = \"{}/{{id}}\"\n[limits]\nconcurrency = {concurrency}\n\
         [output]\npath = \"out.ndjson\"\n",
        api.base()
    );
    place.write("job.toml", &text)
}

#[test]
fn a_limit_that_is_too_low_is_told_before_anything_is_sent() {
    let api = Raw::start(|_, _| ok("{}"));
    let place = Place::new();
    let job = job(&place, &api, 100);
    let output = child::end(child::spawn(limited("ulimit -n 128"), &job));
    assert_exit(&output, 2);
    let words = "concurrency = 100 needs 164 open files, and this process may have 128";
    assert!(told(&output).contains(words), "{}", told(&output));
    assert!(told(&output).contains("--concurrency 64 fits"));
    assert_eq!(api.seen().len(), 0);
    assert!(!place.path("out.ndjson").exists());
    let mut command = limited("ulimit -n 128");
    command.args(["--concurrency", "64"]);
    assert_exit(&child::end(child::spawn(command, &job)), 0);
}

#[test]
fn the_soft_limit_is_raised_and_the_table_is_long_before_the_first_request() {
    let late = |_: &raw::Req, _| Reply {
        parts: ok("{}")
            .parts
            .into_iter()
            .map(|(_, bytes)| (Duration::from_secs(1), bytes))
            .collect(),
        then: Then::Keep,
    };
    let api = Raw::start(late);
    let place = Place::new();
    let job = job(&place, &api, 500);
    let child = child::spawn(limited("ulimit -Sn 50 && ulimit -Hn 900"), &job);
    child::until(|| !api.seen().is_empty());
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
    let size: u32 = size.unwrap().trim().parse().unwrap();
    assert!(size >= 900, "{size}");
    assert_exit(&child::end(child), 0);
}
