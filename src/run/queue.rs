//! Items on their way to a request: fresh ones, and those that are to be asked for again.
//!
//! Owns their order, and which of them go together in a batch.

use super::item::{Item, Request};
use super::triage::Batches;
use crate::checkpoint::ItemKey;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// A batch that is not full waits so long for more of the list.
const FILL: Duration = Duration::from_millis(500);

/// What is to be asked for.
#[derive(Debug, Default)]
pub(super) struct Queue {
    fresh: VecDeque<Item>,
    /// By when they are due, and the order in which they came.
    waiting: BTreeMap<(Instant, u64), Item>,
    order: u64,
    /// Since when there has been less than a batch.
    short_since: Option<Instant>,
}

impl Queue {
    /// Adds an item that was not asked for yet.
    pub(super) fn push(&mut self, item: Item) {
        self.fresh.push_back(item);
    }

    /// Adds an item that is to be asked for again, from `due` on.
    pub(super) fn push_at(&mut self, due: Instant, item: Item) {
        self.order += 1;
        self.waiting.insert((due, self.order), item);
    }

    /// The next request, of what may go now; its number is for the caller to
    /// give. With `fresh_first`, as when the server may be down, items that were
    /// not asked for yet go first: otherwise a few items that may be bad for
    /// good would be all that the server is probed with. `takes`: whether an ID
    /// can be one of a batch.
    pub(super) fn next(
        &mut self,
        now: Instant,
        fresh_first: bool,
        batches: &Batches,
        takes: impl Fn(&str) -> bool,
    ) -> Option<Request> {
        let first = self.pop_if(now, fresh_first, |_| true)?;
        self.short_since = None;
        let mut request = alone(first, batches, &takes);
        if let (true, Some(size)) = (request.batch, batches.size()) {
            let items = &mut request.items;
            let goes_along = |item: &Item| !item.single && takes(&item.id);
            let most = match items.first() {
                Some(first) if goes_along(first) => size.min(first.most),
                _ => 1,
            };
            while items.len() < most {
                let fits = |item: &Item| item.most > items.len() && goes_along(item);
                match self.pop_if(now, fresh_first, fits) {
                    Some(item) => items.push(item),
                    None => break,
                }
            }
        }
        Some(request)
    }

    fn pop_if(
        &mut self,
        now: Instant,
        fresh_first: bool,
        fits: impl Fn(&Item) -> bool,
    ) -> Option<Item> {
        let again = self.waiting.first_key_value();
        let again = again.filter(|((due, _), _)| *due <= now);
        match (self.fresh.front(), again) {
            (Some(fresh), _) if fresh_first => fits(fresh).then(|| self.fresh.pop_front())?,
            (_, Some((_, item))) => fits(item).then(|| self.waiting.pop_first().map(|w| w.1))?,
            (Some(fresh), None) => fits(fresh).then(|| self.fresh.pop_front())?,
            (None, None) => None,
        }
    }

    /// Until when to wait for a fuller batch of this size; `None`: go. `more`:
    /// the list may have more items.
    pub(super) fn fills_until(
        &mut self,
        now: Instant,
        size: Option<usize>,
        more: bool,
    ) -> Option<Instant> {
        let retry_due = self.next_due().is_some_and(|due| due <= now);
        let short = size.is_some_and(|size| size > 1) && more && !retry_due;
        if !short {
            self.short_since = None;
            return None;
        }
        let until = *self.short_since.get_or_insert(now) + FILL;
        (until > now).then_some(until)
    }

    /// Drops the item if it waits to be asked for again; whether it was there.
    pub(super) fn forget(&mut self, key: ItemKey) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|_, item| item.key() != key);
        self.waiting.len() < before
    }

    pub(super) fn has_due(&self, now: Instant) -> bool {
        !self.fresh.is_empty() || self.next_due().is_some_and(|due| due <= now)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    pub(super) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.waiting.is_empty()
    }
}

/// The request for one item: by the URL for one where it can't go with others
/// and there is such a URL, else as a batch of one.
pub(super) fn alone(item: Item, batches: &Batches, takes: impl Fn(&str) -> bool) -> Request {
    let goes_along = batches.size().is_some() && !item.single && takes(&item.id);
    let has_single = batches.size().is_none() || batches.has_single();
    Request {
        batch: goes_along || !has_single,
        items: vec![item],
        probe: false,
        number: 0,
    }
}
