//! Items on their way: waiting for a permit, in flight, waiting for another try.

use super::pages::Progress;
use super::refusals::Refusals;
use super::storm::Waits;
use crate::fetch::{Answer, Place, Trouble};
use crate::outcome::Reason;
use crate::pace::Permit;
use crate::write::FailedItem;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// One item, with what its earlier attempts cost.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) id: String,
    pub(super) occurrence: u32,
    /// Attempts that count against it.
    pub(super) attempts: u32,
    /// The tokens that were refused for it.
    pub(super) refusals: Refusals,
    /// It has been looked at as a sign of what all items have in common.
    pub(super) weighed: bool,
    /// The times that it was told to wait.
    pub(super) waits: Waits,
    /// The good answers to anybody when it first failed to get one.
    pub(super) fines_then: Option<u64>,
    /// It has its record, and is asked for to see whether the server is up.
    pub(super) control: bool,
    /// Why it failed before, where that is tried again: when it fails so once
    /// more, nothing has changed and nothing is shown.
    pub(super) before: Option<Reason>,
    /// Where it stands, when its answer comes in pages and the first is there.
    pub(super) pages: Option<Box<Progress>>,
    /// Its latest attempt's number among the run's requests.
    pub(super) begun: u64,
}

impl Work {
    pub(super) fn new(id: String, occurrence: u32) -> Work {
        Work {
            id,
            occurrence,
            attempts: 0,
            refusals: Refusals::default(),
            weighed: false,
            waits: Waits::default(),
            fines_then: None,
            control: false,
            before: None,
            pages: None,
            begun: 0,
        }
    }

    /// One that failed before.
    pub(super) fn again(item: FailedItem) -> Work {
        let before = Reason::ALL.iter().find(|r| r.as_str() == item.reason);
        Work {
            before: before.copied(),
            ..Work::new(item.id, item.occurrence)
        }
    }

    /// Whether it fails as it did before.
    pub(super) fn fails_again(&self, trouble: &Trouble) -> bool {
        self.before == Some(trouble.reason)
    }

    /// The page that is to be asked for, when it is not the first.
    pub(super) fn place(&self) -> Option<&Place> {
        self.pages.as_ref().map(|progress| &progress.place)
    }

    /// Tells items apart, for the pacer.
    pub(super) fn tag(&self) -> u64 {
        xxh3_64(self.id.as_bytes())
    }
}

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) work: Work,
    pub(super) permit: Permit,
    pub(super) answer: Answer,
}

/// A work that may be tried again from `due` on.
#[derive(Debug)]
struct Waiting {
    due: Instant,
    order: u64,
    work: Work,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    // Reversed: the heap's greatest is the one that is due first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

/// What is to be done, retries first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: VecDeque<Work>,
    waiting: BinaryHeap<Waiting>,
    order: u64,
}

impl Queue {
    pub(super) fn push(&mut self, work: Work) {
        self.ready.push_back(work);
    }

    pub(super) fn push_at(&mut self, due: Instant, work: Work) {
        self.order += 1;
        self.waiting.push(Waiting {
            due,
            order: self.order,
            work,
        });
    }

    /// The next work that may go now. `fresh_first` when the server may
    /// be down: a few items must not be all that it is probed with, for they may be
    /// bad for good, or else use up their tries before it is known.
    pub(super) fn pop(&mut self, now: Instant, fresh_first: bool) -> Option<Work> {
        if fresh_first && let Some(work) = self.ready.pop_front() {
            return Some(work);
        }
        if self.waiting.peek().is_some_and(|w| w.due <= now) {
            return self.waiting.pop().map(|w| w.work);
        }
        self.ready.pop_front()
    }

    pub(super) fn has_due(&self, now: Instant) -> bool {
        !self.ready.is_empty() || self.waiting.peek().is_some_and(|w| w.due <= now)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.peek().map(|w| w.due)
    }

    pub(super) fn fresh(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.waiting.is_empty()
    }
}
