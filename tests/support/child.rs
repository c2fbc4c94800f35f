//! A run under way: spawned, signalled, waited for.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic
)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Starts `command` on this job, its output kept for later.
pub fn spawn(mut command: Command, job: &Path) -> Child {
    command.arg(job);
    piped(command)
}

/// Starts `command`, its output kept for later.
pub fn piped(mut command: Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills a run, if it has not ended by itself.
pub fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Kills a run once `enough` holds. False when it ended before.
#[track_caller]
pub fn kill_when(mut child: Child, enough: impl Fn() -> bool) -> bool {
    let mut ended = false;
    until(|| {
        ended = child.try_wait().unwrap().is_some();
        ended || enough()
    });
    kill(child);
    !ended
}

/// Sends a signal, `-STOP` say.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Waits for the end; kills what has not ended after two minutes.
pub fn end(mut child: Child) -> Output {
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    // Read on a side: a full pipe would hold the child up.
    let out = std::thread::spawn(move || read(out));
    let err = std::thread::spawn(move || read(err));
    let began = Instant::now();
    let mut killed = false;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > Duration::from_secs(120) && !killed {
            child.kill().unwrap();
            killed = true;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let output = Output {
        status,
        stdout: out.join().unwrap(),
        stderr: err.join().unwrap(),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!killed, "never ended: {said}");
    output
}

fn read(mut from: impl std::io::Read) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = from.read_to_end(&mut all);
    all
}

/// Until `true`, for a minute at most.
#[track_caller]
pub fn until(mut what: impl FnMut() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The requests that a run made, by its own summary.
#[track_caller]
pub fn requests(output: &Output) -> usize {
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("requests "))
        .unwrap_or_else(|| panic!("no summary: {said}"));
    let number = line.split_whitespace().next().unwrap();
    number.replace(',', "").parse().unwrap()
}

/// Runs `command` to this fail point, passed so often before, and kills it
/// there. False when it ended without coming by. `sign` is a path of its own.
pub fn killed_at(mut command: Command, name: &str, passes: u32, sign: &Path) -> bool {
    let mut child = command
        .env("HARVEST_FAIL_POINT", name)
        .env("HARVEST_FAIL_POINT_PASSES", passes.to_string())
        .env("HARVEST_FAIL_POINT_SIGN", sign)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if sign.exists() {
            child.kill().unwrap();
            child.wait().unwrap();
            std::fs::remove_dir(sign).unwrap();
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{name}: neither reached nor over");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
