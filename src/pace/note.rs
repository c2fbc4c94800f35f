//! What the pacer asks the checkpoint to remember, so that quotas and pauses
//! hold across a restart ("Never over the quota", "Good manners").
//!
//! Times are Unix milliseconds of the wall clock, for a monotonic clock does
//! not survive its process; and the boot's, where the system tells it, for the
//! wall clock may be set.

/// One commit's entry in the pacer's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Note {
    /// When the note was taken.
    pub at_ms: u64,
    /// The same moment by the boot's clock.
    pub up: Option<Uptime>,
    /// Requests started since the note before; the last of them not later than `at_ms`.
    pub starts: u32,
    /// Requests that may be started after this note and before the next one.
    pub lease: u32,
    /// After this moment nothing is started under the lease.
    pub lease_until_ms: u64,
    /// Everyone pauses until then; 0 when nobody does.
    pub pause_until_ms: u64,
    /// What was learnt of the server by then.
    pub learnt: Learnt,
}

/// What a run has learnt of the server's limits; 0 is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Learnt {
    /// The pace found: starts in 1,000 s.
    pub rate_milli: u64,
    /// The requests in flight found.
    pub concurrency: u32,
    /// The quota that the server announces: so many requests …
    pub limit: u64,
    /// … in so many milliseconds.
    pub window_ms: u64,
}

/// A moment by a clock that nobody sets, and that runs on while the machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uptime {
    /// Tells one boot of the machine from another.
    pub boot: u64,
    /// Milliseconds since then.
    pub ms: u64,
}
