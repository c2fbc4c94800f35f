//! What a run asks for: items, and the requests that ask for them.
//!
//! Owns what an item brings along from one request to the next. What its
//! answers meant so far is remembered by [`super::triage`], not here.

use super::page_progress::PageProgress;
use crate::checkpoint::ItemKey;
use crate::fetch::{Answer, PageCursor};
use crate::outcome::{Reason, Validators};
use crate::pace::Permit;
use xxhash_rust::xxh3::xxh3_64;

/// One item of the list.
#[derive(Debug)]
pub(super) struct Item {
    /// Its ID, as listed.
    pub(super) id: String,
    /// Which listing of a repeated ID this is.
    pub(super) occurrence: u32,
    /// Why it failed in an earlier run, where that is tried again.
    pub(super) failed_before: Option<Reason>,
    /// In an update: it has a record, and this is what to ask with for a newer
    /// one. With nothing in it, there is nothing to ask with.
    pub(super) known: Option<Box<Validators>>,
    /// Its pages so far, when its answer comes in pages and the first is there.
    pub(super) pages: Option<Box<PageProgress>>,
    /// Items of a batch that it may be part of at most, itself included.
    pub(super) most: usize,
    /// It is asked for by the URL for one item, because the batch endpoint
    /// answered as if it were gone.
    pub(super) single: bool,
}

impl Item {
    pub(super) fn new(id: String, occurrence: u32) -> Item {
        Item {
            id,
            occurrence,
            failed_before: None,
            known: None,
            pages: None,
            most: usize::MAX,
            single: false,
        }
    }

    /// The same item before its first request, should it have to begin again.
    pub(super) fn anew(&self) -> Item {
        Item {
            failed_before: self.failed_before,
            known: self.known.clone(),
            single: self.single,
            ..Item::new(self.id.clone(), self.occurrence)
        }
    }

    /// What the checkpoint knows it by.
    pub(super) fn key(&self) -> ItemKey {
        ItemKey::of(&self.id, self.occurrence)
    }

    /// Tells items apart, for the pacer.
    pub(super) fn tag(&self) -> u64 {
        xxh3_64(self.id.as_bytes())
    }

    /// The page that is to be asked for, when it is not the first.
    pub(super) fn page_cursor(&self) -> Option<&PageCursor> {
        self.pages.as_ref().map(|progress| &progress.cursor)
    }

    /// Whether it fails for the reason that it failed for before: then nothing
    /// has changed, and nothing is learnt of the others.
    pub(super) fn fails_again(&self, reason: Reason) -> bool {
        self.failed_before == Some(reason)
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    /// What it asks for: at least one item.
    pub(super) items: Vec<Item>,
    /// It goes to the batch endpoint.
    pub(super) batch: bool,
    /// It asks for the known good item, to see whether the server and the
    /// credentials are well.
    pub(super) probe: bool,
    /// Its number among the run's requests.
    pub(super) number: u64,
}

impl Request {
    /// Tells requests apart, for the pacer: by their first item.
    pub(super) fn tag(&self) -> u64 {
        self.items.first().map_or(0, Item::tag)
    }
}

/// A request that has its answer, and the permit that it was sent with.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) request: Request,
    pub(super) permit: Permit,
    pub(super) answer: Answer,
}
