//! What a run is told, and how it ends.

use crate::outcome::Reason;
use crate::report::{Commands, Summary};

/// What a run is told beside its job.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Start over: what is there is removed.
    pub fresh: bool,
    /// Ask again for the records that are there, as far as they are old enough.
    pub update: bool,
    /// Run only what failed before, and of that these kinds; none named is all.
    pub retry: Option<Vec<Reason>>,
    /// Only the first so many items that are left.
    pub limit: Option<u64>,
    /// Where requests go instead of the job's hosts (the embedded API), `http://127.0.0.1:PORT`.
    pub base: Option<String>,
    /// As typed, for "run it again".
    pub commands: Commands,
}

/// A request to stop, from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Stop {
    /// The signal's common name.
    pub fn name(self) -> &'static str {
        match self {
            Stop::Interrupt => "Ctrl-C",
            Stop::Terminate => "SIGTERM",
        }
    }
}

/// How a run came to its end, when nothing broke.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Whether everything that was asked for has its fate.
    pub complete: bool,
    /// Items that failed for good, among those that the exit code speaks of.
    pub failed: u64,
    /// The signal that stopped it.
    pub stopped: Option<Stop>,
    /// The account.
    pub summary: Summary,
}
