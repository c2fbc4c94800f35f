//! Leases: how many starts the checkpoint already counts as made.
//!
//! A killed process can't say what it sent after its last commit. So each
//! commit leases the starts of the next seconds ahead of their use, and a start
//! without a durable lease does not happen: whatever the kill hides, the next
//! run counts at least as many.
//!
//! A lease begins with its note and not when the commit is durable, for only
//! the note can say how long it holds. So it is longer on a disk whose commits
//! take long: else it would be over before it could be used.

use super::{Tick, nanos};
use std::time::Duration;

/// A lease covers this long, beside the time that two commits take: a few of
/// the usual commits, so that one slow fdatasync does not stall the run.
const LEASE: Duration = Duration::from_secs(4);

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
    /// When the last note was taken.
    noted: Tick,
    /// How long a commit takes: the last one, or half of what it was before.
    commit_takes: Tick,
    starts_since_note: u32,
}

impl Ledger {
    pub(super) fn new(leased: bool) -> Ledger {
        Ledger {
            leased,
            durable: Lease::default(),
            pending: None,
            noted: 0,
            commit_takes: 0,
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

    /// How long the next lease is to cover.
    pub(super) fn lease_length(&self) -> Duration {
        let commits = self.commit_takes.saturating_mul(2).unsigned_abs();
        LEASE.saturating_add(Duration::from_nanos(commits))
    }

    /// The starts since the last note, and a lease of `starts` from `tick` on.
    pub(super) fn entry(&mut self, tick: Tick, starts: u32) -> (u32, Lease) {
        let lease = if self.leased && starts > 0 {
            Lease {
                starts,
                until: tick.saturating_add(nanos(self.lease_length())),
                used: 0,
            }
        } else {
            Lease::default()
        };
        self.pending = Some(lease);
        self.noted = tick;
        (std::mem::take(&mut self.starts_since_note), lease)
    }

    /// The last entry is durable, at `tick`.
    pub(super) fn committed(&mut self, tick: Tick) {
        if let Some(pending) = self.pending.take() {
            self.durable = pending;
            self.commit_takes = (tick - self.noted).max(self.commit_takes / 2);
        }
    }

    /// Half used, or half over: time for the next one, a commit's time ahead.
    pub(super) fn low(&self, tick: Tick) -> bool {
        self.leased
            && self.pending.is_none()
            && (self.durable.used.saturating_mul(2) >= self.durable.starts
                || tick.saturating_add(nanos(self.lease_length()) / 2) >= self.durable.until)
    }
}
