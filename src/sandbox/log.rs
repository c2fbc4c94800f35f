//! The request log: one NDJSON line a request.
//!
//! Owns the file and the two clocks of its lines. Must never keep lines in
//! memory (a reader looks at the file while the server runs, or after it was
//! killed), and never log a client's secret.

use super::answer::Answer;
use super::faults::Fault;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use xxhash_rust::xxh3::xxh3_64;

/// Where the lines go; nowhere when no file was named.
#[derive(Debug)]
pub(super) struct Log {
    started: Instant,
    file: Mutex<Option<File>>,
}

/// The moment a request's head was read, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    wall: SystemTime,
    steady: Instant,
}

impl Arrival {
    /// This moment.
    pub(super) fn now() -> Self {
        Self {
            wall: SystemTime::now(),
            steady: Instant::now(),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    t: f64,
    m: f64,
    method: &'a str,
    path: &'a str,
    status: Option<u16>,
    token: Option<&'a str>,
    issued: Option<&'a str>,
    fault: Option<&'static str>,
    /// XXH3-64 of the whole body, hexadecimal; a fault may keep a part of it back.
    body: String,
}

impl Log {
    /// Opens the file for appending, and starts the steady clock.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(|path| {
            let mut options = OpenOptions::new();
            options.append(true).create(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(path)
        });
        Ok(Self {
            started: Instant::now(),
            file: Mutex::new(file.transpose()?),
        })
    }

    /// Writes one request and the answer it is about to get, in one write: the
    /// line is whole in the file before the client knows the answer.
    pub(super) fn write(
        &self,
        at: Arrival,
        method: &str,
        path: &str,
        token: Option<&str>,
        answer: &Answer,
    ) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = file.as_mut() else {
            return;
        };
        let line = Line {
            t: micros(at.wall.duration_since(UNIX_EPOCH).unwrap_or_default()),
            m: micros(at.steady.saturating_duration_since(self.started)),
            method,
            path,
            status: (answer.fault != Some(Fault::Reset)).then_some(answer.status.as_u16()),
            token,
            issued: answer.issued.as_deref(),
            fault: answer.fault.map(Fault::name),
            body: format!("{:016x}", xxh3_64(&answer.body)),
        };
        let written = serde_json::to_vec(&line)
            .map_err(io::Error::from)
            .and_then(|mut bytes| {
                bytes.push(b'\n');
                open.write_all(&bytes)
            });
        if let Err(error) = written {
            // A log with holes misleads more than one that ends.
            tracing::warn!(%error, "the sandbox's request log cannot be written; it ends here");
            *file = None;
        }
    }
}

/// Seconds, to the microsecond.
fn micros(span: std::time::Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::StatusCode;
    use serde_json::Value;

    #[test]
    fn a_line_is_in_the_file_at_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.ndjson");
        let log = Log::open(Some(&path)).unwrap();
        let mut answer = Answer::bare(StatusCode::OK);
        answer.issued = Some("sbx-1".to_owned());
        log.write(Arrival::now(), "GET", "/a?b=\"c\"", None, &answer);
        let reset = Answer::bare(StatusCode::OK).failing(Fault::Reset);
        log.write(Arrival::now(), "GET", "/b", Some("x"), &reset);

        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["path"], "/a?b=\"c\"");
        assert_eq!(lines[0]["status"], 200);
        assert_eq!(lines[0]["issued"], "sbx-1");
        assert!(lines[0]["t"].as_f64().unwrap() > 1.7e9);
        assert!(lines[0]["m"].as_f64().unwrap() < 60.0);
        assert!(lines[0]["token"].is_null() && lines[0]["fault"].is_null());
        assert_eq!(lines[1]["token"], "x");
        assert_eq!(lines[1]["fault"], "reset");
        assert!(lines[1]["status"].is_null());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        Log::open(Some(&path)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "appends");
    }
}
