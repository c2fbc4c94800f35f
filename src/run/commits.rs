//! When a commit is due.

use crate::pace::{Now, Pacer, PauseReason};
use std::time::Duration;
use tokio::time::Instant;

/// The state of committing.
#[derive(Debug)]
pub(super) struct Commits {
    every: Duration,
    last: Instant,
    pub(super) under_way: bool,
    /// An outcome was pushed since the last commit.
    pub(super) dirty: bool,
    /// The pacer needs a lease now.
    pub(super) wanted: bool,
    /// The end of the pause that the last commit holds.
    pause_kept: Option<Instant>,
}

impl Commits {
    pub(super) fn new(every: Duration) -> Commits {
        Commits {
            every,
            last: Instant::now(),
            under_way: false,
            dirty: false,
            wanted: false,
            pause_kept: None,
        }
    }

    /// Begins a commit if one is due; else returns when one will be, if that is
    /// known. `sends`: requests are to be sent, so the
    /// pacer's lease is to be renewed before it is used up.
    pub(super) fn begin_if_due(
        &mut self,
        now: Now,
        pacer: &Pacer,
        sends: bool,
    ) -> Result<(), Option<Instant>> {
        if self.under_way {
            return Err(None);
        }
        // A pause should outlive the process from its beginning on.
        let pause = pacer
            .pause_view(now)
            .filter(|p| p.reason != PauseReason::Outage);
        let pause_news = pause.is_some_and(|p| {
            self.pause_kept
                .is_none_or(|kept| p.ends > kept + Duration::from_secs(1))
        });
        let due = self.last + self.every;
        let by_time = self.dirty && now.instant >= due;
        let lease_low = sends && pacer.lease_low(now);
        if !(self.wanted || pause_news || lease_low || by_time) {
            return Err(self.dirty.then_some(due));
        }
        self.pause_kept = pause.map(|p| p.ends);
        self.wanted = false;
        self.dirty = false;
        self.last = now.instant;
        self.under_way = true;
        Ok(())
    }
}
