//! Promise 7: memory does not grow with the list.
#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;
use support::{Api, Place, harvest, track_id};

const LINES: usize = 1_000_000;
const MOST_KB: u64 = 100_000;

/// Runs it to its end; the most memory that it held, in kB, and how it ended.
fn peak(command: &mut Command) -> (u64, ExitStatus) {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        // The kernel keeps the high-water mark, so only the last moments can be missed.
        let seen = fs::read_to_string(&status_file).unwrap_or_default();
        let now = seen.lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        });
        peak = peak.max(now.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            return (peak, status);
        }
        sleep(Duration::from_millis(5));
    }
}

fn write_million(path: &Path) {
    let mut file = BufWriter::new(fs::File::create(path).unwrap());
    for number in 0..LINES {
        writeln!(file, "{}", track_id(number)).unwrap();
    }
    file.flush().unwrap();
}

#[test]
fn a_million_ids_stay_under_100_mb() {
    let place = Place::new();
    let api = Api::start(&[]);
    write_million(&place.path("ids.txt"));
    let job = place.write(
        "job.toml",
        &api.job(
            "file = \"ids.txt\"",
            "rate = \"unlimited\"",
            "path = \"out.ndjson\"",
            "",
        ),
    );

    let (run, status) = peak(harvest().arg(&job).args(["--limit", "1000"]));
    assert_eq!(status.code(), Some(0));
    let ids: Vec<String> = (0..1_000).map(track_id).collect();
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));

    // The next thousand: what is done is found again in the same list.
    let (resumed, status) = peak(harvest().arg(&job).args(["--limit", "1000"]));
    assert_eq!(status.code(), Some(0));
    let ids: Vec<String> = (0..2_000).map(track_id).collect();
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));

    // Reads the whole list, to count it.
    let (check, status) = peak(harvest().arg("check").arg(&job));
    assert_eq!(status.code(), Some(0));

    println!("peak kB: run {run}, resumed {resumed}, check {check}");
    for (what, kb) in [("run", run), ("resumed run", resumed), ("check", check)] {
        assert!(kb > 1_000, "{what}: nothing was measured ({kb} kB)");
        assert!(kb < MOST_KB, "{what}: {kb} kB at its peak");
    }
}
