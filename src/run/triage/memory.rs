//! What the judges remember of items that had trouble, from one attempt to the next.
//!
//! An item that is answered well at once is never in here, and one that has
//! its fate leaves: so there are at most as many as wait for another try.

use super::fairness::Waits;
use super::refusals::TokenRefusals;
use crate::checkpoint::ItemKey;
use crate::run::item::Item;
use std::collections::HashMap;

/// What was seen of one item.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Attempts that count against it.
    pub(super) attempts: u32,
    /// It was looked at as a sign of what all items may have in common.
    pub(super) weighed: bool,
    /// The times that it was told to wait.
    pub(super) waits: Waits,
    /// The tokens that were refused for it.
    pub(super) tokens: TokenRefusals,
    /// Successful responses seen when this item first failed; if unchanged at
    /// its last try, the server may be down.
    pub(super) successes_then: Option<u64>,
    /// The writer has recorded it as failed: what is still answered is for nothing.
    pub(super) over: bool,
}

/// The memories, by item.
#[derive(Debug, Default)]
pub(super) struct Memories {
    items: HashMap<ItemKey, Memory>,
}

impl Memories {
    /// The item's memory, which begins empty.
    pub(super) fn of(&mut self, item: &Item) -> &mut Memory {
        self.items.entry(item.key()).or_default()
    }

    /// The item has its fate: what was known of it.
    pub(super) fn take(&mut self, item: &Item) -> Memory {
        if self.items.is_empty() {
            return Memory::default();
        }
        self.items.remove(&item.key()).unwrap_or_default()
    }

    /// The writer has recorded the item as failed.
    pub(super) fn set_over(&mut self, key: ItemKey) {
        self.items.entry(key).or_default().over = true;
    }

    /// Whether the writer has recorded the item as failed; then it is forgotten.
    pub(super) fn is_over(&mut self, item: &Item) -> bool {
        let over = !self.items.is_empty() && self.items.get(&item.key()).is_some_and(|m| m.over);
        if over {
            self.take(item);
        }
        over
    }

    /// A page has come: the next one has tries of its own.
    pub(super) fn next_page(&mut self, item: &Item) {
        if self.take(item).weighed {
            self.of(item).weighed = true;
        }
    }

    /// Nothing more comes of the item.
    pub(super) fn forget(&mut self, key: ItemKey) {
        self.items.remove(&key);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }
}
