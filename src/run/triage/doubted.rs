//! Items that have used up their tries while nobody else was answered.
//!
//! They may be at fault, or the server may be down: they wait for the word of
//! the known good item ([`super::known_good`]) and have no fate before that.

use crate::fetch::Trouble;
use crate::pace::Signal;
use crate::run::item::Item;

/// Those that wait, each with its last trouble.
#[derive(Debug, Default)]
pub(super) struct Doubted {
    items: Vec<(Item, Trouble)>,
}

/// Whether an item that fails at its last try is to be doubted: its trouble may
/// be the server's, and no response was successful since its first failure.
pub(super) fn is_doubtful(signal: Signal, successes_then: u64, successes: u64) -> bool {
    matches!(signal, Signal::Trouble | Signal::Overloaded) && successes_then == successes
}

impl Doubted {
    pub(super) fn push(&mut self, item: Item, trouble: Trouble) {
        self.items.push((item, trouble));
    }

    pub(super) fn take(&mut self) -> Vec<(Item, Trouble)> {
        std::mem::take(&mut self.items)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
