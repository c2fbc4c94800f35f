//! Items on their way: waiting for a permit, in flight, waiting for another try.

use super::pages::Progress;
use super::refusals::Refusals;
use super::storm::Waits;
use crate::checkpoint::ItemKey;
use crate::fetch::{Answer, Place, Trouble};
use crate::outcome::{Reason, Validators};
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
    /// In an update: it has a record, and this is what to ask with for a newer one.
    pub(super) known: Option<Box<Validators>>,
    /// Its latest attempt's number among the run's requests.
    pub(super) begun: u64,
    /// Items of a batch that it may be part of, itself included.
    pub(super) most: usize,
    /// It is asked for by the URL for one item, whatever batches there are.
    pub(super) single: bool,
}

/// What an item begins with once more, beside its name.
#[derive(Debug, Default)]
pub(super) struct Anew {
    before: Option<Reason>,
    known: Option<Box<Validators>>,
    single: bool,
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
            known: None,
            begun: 0,
            most: usize::MAX,
            single: false,
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

    /// What it begins with, should that have to be once more.
    pub(super) fn anew(&self) -> Anew {
        Anew {
            before: self.before,
            known: self.known.clone(),
            single: self.single,
        }
    }

    /// One whose answers so far said nothing about it.
    pub(super) fn begin_anew(id: String, occurrence: u32, anew: Anew) -> Work {
        Work {
            before: anew.before,
            known: anew.known,
            single: anew.single,
            ..Work::new(id, occurrence)
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

/// What one request is for.
#[derive(Debug)]
pub(super) enum Load {
    /// One item, by the URL for one.
    One(Work),
    /// A batch of at least one.
    Several(Vec<Work>),
}

impl Load {
    /// The items.
    pub(super) fn works(&self) -> &[Work] {
        match self {
            Load::One(work) => std::slice::from_ref(work),
            Load::Several(works) => works,
        }
    }

    /// The same, to be changed.
    pub(super) fn works_mut(&mut self) -> &mut [Work] {
        match self {
            Load::One(work) => std::slice::from_mut(work),
            Load::Several(works) => works,
        }
    }

    /// Tells loads apart, for the pacer: by their first item.
    pub(super) fn tag(&self) -> u64 {
        self.works().first().map_or(0, Work::tag)
    }

    /// The request's number.
    pub(super) fn begun(&self) -> u64 {
        self.works().first().map_or(0, |work| work.begun)
    }

    /// Whether it asks for an item that has its record.
    pub(super) fn is_control(&self) -> bool {
        self.works().first().is_some_and(|work| work.control)
    }
}

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) load: Load,
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
        self.pop_if(now, fresh_first, |_| true)
    }

    /// The same, when it is one that fits.
    pub(super) fn pop_if(
        &mut self,
        now: Instant,
        fresh_first: bool,
        fits: impl Fn(&Work) -> bool,
    ) -> Option<Work> {
        let again = self.waiting.peek().filter(|waiting| waiting.due <= now);
        match (self.ready.front(), again) {
            (Some(fresh), _) if fresh_first => fits(fresh).then(|| self.ready.pop_front())?,
            (_, Some(again)) => fits(&again.work).then(|| self.waiting.pop().map(|w| w.work))?,
            (Some(fresh), None) => fits(fresh).then(|| self.ready.pop_front())?,
            (None, None) => None,
        }
    }

    /// Drops the item if it waits for another try or its next page; whether it was there.
    pub(super) fn forget(&mut self, key: ItemKey) -> bool {
        let before = self.waiting.len();
        let is_it = |work: &Work| ItemKey::of(&work.id, work.occurrence) == key;
        self.waiting.retain(|waiting| !is_it(&waiting.work));
        self.waiting.len() < before
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
