//! What the pacer is asked, and what it answers.

use super::{Budget, Tick};
use std::cell::Cell;
use std::fmt;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// The time, on both clocks: the steady one for waiting, the wall's for what
/// outlives the process (a steady clock stands still while a laptop sleeps).
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The steady clock.
    pub instant: Instant,
    /// The wall clock.
    pub wall: SystemTime,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Now {
        Now {
            instant: Instant::now(),
            wall: SystemTime::now(),
        }
    }
}

/// Leave to start one request, now. Whoever holds none may not send.
pub struct Permit {
    pub(super) started: Tick,
    pub(super) in_flight: bool,
    /// What the answer said of the server's own limits; most say nothing.
    said: Cell<Option<Box<Said>>>,
}

/// What an answer said, beside its signal.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said {
    pub(super) budget: Option<Budget>,
    pub(super) over: bool,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("started", &self.started)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

impl Permit {
    pub(super) fn new(started: Tick, in_flight: bool) -> Permit {
        Permit {
            started,
            in_flight,
            said: Cell::default(),
        }
    }

    /// The answer to this request announced the server's quota.
    pub fn announce(&self, budget: Budget) {
        let said = self.said();
        self.said.set(Some(Box::new(Said {
            budget: Some(budget),
            ..said
        })));
    }

    /// The answer to this request refused it because there were too many.
    pub fn over_the_limit(&self) {
        let said = self.said();
        self.said.set(Some(Box::new(Said { over: true, ..said })));
    }

    /// What was said so far; it is taken out.
    pub(super) fn said(&self) -> Said {
        self.said.take().map_or_else(Said::default, |said| *said)
    }
}

/// What the pacer answers when it is asked for a permit.
#[derive(Debug)]
pub enum Turn {
    /// Go, at once.
    Go(Permit),
    /// Ask again at this time.
    Wait(Instant, Why),
    /// Ask again when a request has ended.
    Full,
    /// Ask again when a commit has been made: the lease is used up.
    NeedsLease,
}

/// What a wait is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The quota.
    Quota,
    /// A pause that the server asked for.
    Pause,
    /// The next probe in an outage.
    Outage,
}

/// Why everyone pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// A Retry-After.
    RetryAfter,
    /// The quota that the server announces is used up.
    UsedUp,
    /// A Retry-After or a used-up quota that an earlier run was told of.
    Inherited,
    /// The server is down; probing.
    Outage,
}

/// A pause, for people.
#[derive(Debug, Clone, Copy)]
pub struct PauseView {
    /// Why.
    pub reason: PauseReason,
    /// Until when, at least.
    pub until: SystemTime,
    /// The same by the steady clock, which nobody sets.
    pub ends: Instant,
}

/// The run should pause and be resumed later (exit 75).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// The server asked for a wait until then, longer than `max_wait`.
    RetryAfter(SystemTime),
    /// The quota that the server announces is used up until then, longer than `max_wait`.
    UsedUp(SystemTime),
    /// The outage has lasted so long.
    Outage(Duration),
}

/// What has been found of the server's limits, for people.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Found {
    /// Starts a second, where the pace finds itself.
    pub rate: Option<f64>,
    /// A refusal has shown the limit; else it was not reached.
    pub limit_seen: bool,
    /// Requests in flight, where the number finds itself.
    pub concurrency: Option<usize>,
    /// The quota that the server announces, and its window if that was said.
    pub announced: Option<(u64, Option<Duration>)>,
    /// Requests refused because there were too many.
    pub refused: u64,
}
