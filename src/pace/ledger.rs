//! Leases: how many starts the checkpoint already counts as made.
//!
//! A killed process can't say what it sent after its last commit. So each
//! commit leases the starts of the next seconds ahead of their use, and a start
//! without a durable lease does not happen: whatever the kill hides, the next
//! run counts at least as many.

use super::{Tick, nanos};
use std::time::Duration;

/// A lease covers this long: a few of the usual commits, so that one slow
/// fdatasync does not stall the run.
pub(super) const LEASE: Duration = Duration::from_secs(4);

/// So many starts, until then.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lease {
    pub(super) starts: u32,
    pub(super) until: Tick,
    used: u32,
}

impl Lease {
    fn fits(&self, tick: Tick) -> bool {
        self.used < self.starts && tick < self.until
    }
}

/// What the next note will say of starts, and what the last durable one allows.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Without a checkpoint, or without a quota, nothing is leased.
    leased: bool,
    durable: Lease,
    /// In a note that is not durable yet. Starts made meanwhile must fit both.
    pending: Option<Lease>,
    starts_since_note: u32,
}

impl Ledger {
    pub(super) fn new(leased: bool) -> Ledger {
        Ledger {
            leased,
            durable: Lease::default(),
            pending: None,
            starts_since_note: 0,
        }
    }

    /// An earlier run's last lease counts as used; our first note says so.
    pub(super) fn inherit(&mut self, starts: u32) {
        self.starts_since_note = starts;
    }

    /// Counts a start; false when no durable lease covers it.
    pub(super) fn start(&mut self, tick: Tick) -> bool {
        if self.leased {
            let pending_full = self.pending.is_some_and(|p| p.used >= p.starts);
            if !self.durable.fits(tick) || pending_full {
                return false;
            }
            self.durable.used += 1;
            if let Some(pending) = &mut self.pending {
                pending.used += 1;
            }
        }
        self.starts_since_note = self.starts_since_note.saturating_add(1);
        true
    }

    /// The starts since the last note, and a lease of `starts` from `tick` on.
    pub(super) fn entry(&mut self, tick: Tick, starts: u32) -> (u32, Lease) {
        let lease = if self.leased && starts > 0 {
            Lease {
                starts,
                until: tick + nanos(LEASE),
                used: 0,
            }
        } else {
            Lease::default()
        };
        self.pending = Some(lease);
        (std::mem::take(&mut self.starts_since_note), lease)
    }

    /// The last entry is durable.
    pub(super) fn committed(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.durable = pending;
        }
    }

    /// Half used, or half over.
    pub(super) fn low(&self, tick: Tick) -> bool {
        self.leased
            && self.pending.is_none()
            && (self.durable.used.saturating_mul(2) >= self.durable.starts
                || tick + nanos(LEASE) / 2 >= self.durable.until)
    }
}
