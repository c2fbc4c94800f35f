//! Many IDs in one piece of memory.
//!
//! A resumed run reads millions of IDs to find that they are done: each with a
//! memory of its own would cost more than finding that. Must never be kept: it
//! is what is handed over, and nothing else.

use std::fmt;

/// Bytes that are put by for an ID.
const USUAL: usize = 32;

/// IDs, one after another.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct IdBatch {
    text: String,
    /// Where each ends in `text`.
    ends: Vec<usize>,
}

impl IdBatch {
    /// An empty one with room for so many of the usual length.
    pub fn with_room(ids: usize) -> IdBatch {
        IdBatch {
            text: String::with_capacity(ids * USUAL),
            ends: Vec::with_capacity(ids),
        }
    }

    /// Appends an ID.
    pub fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.ends.push(self.text.len());
    }

    /// How many IDs it has.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The IDs in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut from = 0;
        self.ends.iter().map(move |&end| {
            let id = self.text.get(from..end).unwrap_or_default();
            from = end;
            id
        })
    }
}

impl fmt::Debug for IdBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
