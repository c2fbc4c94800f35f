//! What the pacer is asked, and what it answers.

use super::Tick;
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
#[derive(Debug)]
pub struct Permit {
    pub(super) started: Tick,
    pub(super) in_flight: bool,
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
    /// A Retry-After that an earlier run was given.
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
    /// The outage has lasted so long.
    Outage(Duration),
}
