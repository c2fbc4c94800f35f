//! What arrived and when, and the commands that ask for it.
//!
//! Owns the counters. Commands, one a line on standard input: `reset` (answer:
//! `ok`), `report` (one line of `name=number`), `arrivals` (one line: the
//! nanoseconds since 1970 of every arrival). They don't go over the network,
//! so that nothing but the clients' requests does.

use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The counters since the last reset.
#[derive(Default)]
struct Counts {
    requests: u64,
    http2: u64,
    tokens: u64,
    unauthorized: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    served: Duration,
    arrivals: Vec<Instant>,
}

/// What arrived.
pub(crate) struct Log {
    counts: Mutex<Counts>,
    keeps_arrivals: bool,
    /// The same moment on both clocks: instants are compared by other processes.
    epoch: (Instant, u64),
}

impl Log {
    pub(crate) fn new(keeps_arrivals: bool) -> Log {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let since_1970 = since_1970.map_or(0, |d| d.as_nanos() as u64);
        Log {
            counts: Mutex::default(),
            keeps_arrivals,
            epoch: (Instant::now(), since_1970),
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn arrival(&self, at: Instant, http2: bool) {
        let mut counts = self.counts();
        counts.requests += 1;
        counts.http2 += u64::from(http2);
        counts.first.get_or_insert(at);
        counts.last = Some(at);
        if self.keeps_arrivals {
            counts.arrivals.push(at);
        }
    }

    pub(crate) fn token(&self) {
        self.counts().tokens += 1;
    }

    pub(crate) fn unauthorized(&self) {
        self.counts().unauthorized += 1;
    }

    /// A delayed answer goes out after this long.
    pub(crate) fn served(&self, after: Duration) {
        self.counts().served += after;
    }

    fn nanos(&self, at: Instant) -> u64 {
        self.epoch.1 + at.saturating_duration_since(self.epoch.0).as_nanos() as u64
    }

    fn command(&self, command: &str) -> String {
        match command {
            "reset" => {
                *self.counts() = Counts::default();
                "ok".to_owned()
            }
            "report" => {
                let counts = self.counts();
                let nanos = |at: Option<Instant>| at.map_or(0, |at| self.nanos(at));
                format!(
                    "requests={} http2={} tokens={} unauthorized={} first={} last={} served={}",
                    counts.requests,
                    counts.http2,
                    counts.tokens,
                    counts.unauthorized,
                    nanos(counts.first),
                    nanos(counts.last),
                    counts.served.as_nanos()
                )
            }
            "arrivals" => {
                let mut line = String::new();
                for at in &self.counts().arrivals {
                    let _ = write!(line, "{} ", self.nanos(*at));
                }
                line
            }
            unknown => format!("error: no command {unknown:?}"),
        }
    }
}

/// Answers commands on a thread of its own, and ends the process with the input.
pub(crate) fn answer_commands(log: Arc<Log>) {
    std::thread::spawn(move || {
        let mut output = std::io::stdout();
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let answer = log.command(line.trim());
            if writeln!(output, "{answer}")
                .and_then(|()| output.flush())
                .is_err()
            {
                break;
            }
        }
        std::process::exit(0);
    });
}
