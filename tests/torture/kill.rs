//! A run of the binary, and its end.
//!
//! Owns the process: starts it, waits for the moment, sends the signal. Every
//! wait has a deadline far beyond what a slow machine needs.

use crate::plan::{Command, End};
use crate::support::harvest;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const DEADLINE: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(1);

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// By SIGKILL. `at`, Unix seconds: from then on it could not commit.
    Killed { at: f64, place: Option<String> },
    /// By itself or by SIGTERM.
    Exited { code: i32, term: bool },
}

/// Runs the job in `folder` to the end that is wanted, or to its own.
/// `log_bytes` tells how long the server's log is.
pub fn run(
    folder: &Path,
    command: Command,
    end: End,
    buffer: usize,
    log_bytes: &dyn Fn() -> u64,
) -> Result<Ended, String> {
    let sign = folder.join("sign");
    let _ = fs::remove_dir(&sign);
    let log = File::create(folder.join("stderr")).unwrap();
    let mut process = harvest();
    process
        .arg(folder.join("job.toml"))
        .args(["--progress", "off", "--log-level", "debug"])
        .env("HARVEST_LIMIT_BUFFER", buffer.to_string())
        .stdout(Stdio::null())
        .stderr(log);
    match command {
        Command::Run => {}
        Command::Fresh => {
            process.args(["--fresh", "--yes"]);
        }
        Command::Limit(most) => {
            process.args(["--limit", &most.to_string()]);
        }
        Command::Compact => {
            process.env("HARVEST_LIMIT_BLOCKS", "0");
            process.env("HARVEST_LIMIT_KEYS", "100");
        }
    }
    if let End::At {
        place,
        passes,
        percent,
        zeros,
        ..
    } = end
    {
        process
            .env("HARVEST_FAIL_POINT", place.name)
            .env("HARVEST_FAIL_POINT_PASSES", passes.to_string())
            .env("HARVEST_FAIL_POINT_PERCENT", percent.to_string())
            .env("HARVEST_FAIL_POINT_SIGN", &sign);
        if zeros {
            process.env("HARVEST_FAIL_POINT_ZEROS", "1");
        }
    }
    if end.lifts_the_quota() {
        process.args(["--rate", "unlimited"]);
    }
    let before = log_bytes();
    let mut run = Run {
        child: process.spawn().unwrap(),
        term: false,
    };
    let asked = || log_bytes() > before;
    match end {
        End::Itself => run.until(|| false),
        End::AfterStart(wait) => run.after(wait),
        End::AfterRequest(wait) => match run.until(asked)? {
            Some(ended) => Ok(Some(ended)),
            None => run.after(wait),
        },
        End::Term(wait, kill) => {
            if let Some(ended) = run.until(asked)? {
                return Ok(ended);
            }
            if let Some(ended) = run.after(wait)? {
                return Ok(ended);
            }
            run.terminate();
            match kill {
                Some(wait) => run.after(wait),
                None => run.until(|| false),
            }
        }
        End::At { place, term, .. } => {
            if term {
                if let Some(ended) = run.until(asked)? {
                    return Ok(ended);
                }
                run.terminate();
            }
            if let Some(ended) = run.until(|| sign.exists())? {
                return Ok(ended);
            }
            let at = fs::metadata(&sign).unwrap().modified().unwrap();
            return Ok(match run.kill() {
                Ended::Killed { .. } => Ended::Killed {
                    at: unix(at),
                    place: Some(place.title()),
                },
                exited => exited,
            });
        }
    }?
    .map_or_else(|| Ok(run.kill()), Ok)
}

struct Run {
    child: Child,
    term: bool,
}

impl Run {
    /// Waits for `done`; gives the process's end when that comes first.
    fn until(&mut self, done: impl Fn() -> bool) -> Result<Option<Ended>, String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(ended) = self.ended() {
                return Ok(Some(ended));
            }
            if done() {
                return Ok(None);
            }
            if Instant::now() >= deadline {
                self.kill();
                return Err(
                    "a run neither ended nor came to its place within four minutes".to_owned(),
                );
            }
            sleep(POLL);
        }
    }

    fn after(&mut self, wait: Duration) -> Result<Option<Ended>, String> {
        sleep(wait);
        Ok(self.ended())
    }

    fn ended(&mut self) -> Option<Ended> {
        let status = self.child.try_wait().unwrap()?;
        Some(Ended::Exited {
            code: status.code().unwrap_or(-1),
            term: self.term,
        })
    }

    fn terminate(&mut self) {
        self.term = true;
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    fn kill(&mut self) -> Ended {
        self.child.kill().unwrap();
        let at = unix(SystemTime::now());
        match self.child.wait().unwrap().code() {
            // It was quicker than the signal.
            Some(code) => Ended::Exited {
                code,
                term: self.term,
            },
            None => Ended::Killed { at, place: None },
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn unix(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}
