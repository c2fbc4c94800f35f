//! Which items are known to be good from earlier runs: done, and not failed.
//!
//! The checkpoint says only that an item is done. Owns a rough memory of which
//! of those failed: a byte for each, and sure only in saying "it has its record".

use super::ids_stage::is_piped;
use crate::checkpoint::{DoneSet, ItemKey};
use crate::ids;
use crate::job::Ids;
use crate::write::FailedItem;
use xxhash_rust::xxh3::xxh3_64;

/// Listings that are looked through at most, before anything is sent.
const MOST_LISTINGS: usize = 100_000;

/// The items that failed in earlier runs, roughly.
#[derive(Debug, Default)]
pub(super) struct FailedBefore {
    /// One bit for all IDs that fall on it; none at all when no item failed.
    bits: Vec<u64>,
    /// The file can't be read, so any item may have failed.
    unknown: bool,
}

impl FailedBefore {
    /// From the failures file, which holds `count` items.
    pub(super) fn read<E>(
        items: impl Iterator<Item = Result<FailedItem, E>>,
        count: u64,
    ) -> FailedBefore {
        let words = usize::try_from(count / 8 + 8).unwrap_or(usize::MAX / 2);
        let mut failed = FailedBefore {
            bits: vec![0; words.next_power_of_two()],
            unknown: false,
        };
        for item in items {
            let Ok(item) = item else {
                return FailedBefore::unknown();
            };
            let (word, bit) = failed.place(&item.id);
            if let Some(word) = failed.bits.get_mut(word) {
                *word |= bit;
            }
        }
        failed
    }

    /// Any item may have failed.
    pub(super) fn unknown() -> FailedBefore {
        FailedBefore {
            bits: Vec::new(),
            unknown: true,
        }
    }

    /// Whether the item may have failed; false is certain.
    pub(super) fn may_hold(&self, id: &str) -> bool {
        let (word, bit) = self.place(id);
        self.unknown || self.bits.get(word).is_some_and(|word| word & bit != 0)
    }

    fn place(&self, id: &str) -> (usize, u64) {
        let hash = xxh3_64(id.as_bytes());
        let word = (hash >> 6) as usize & self.bits.len().saturating_sub(1);
        (word, 1 << (hash & 63))
    }
}

/// The first item of the list that has its record. A list that comes from a
/// pipe can't be read twice.
pub(super) fn first_good(ids: &Ids, done: &DoneSet, failed: &FailedBefore) -> Option<String> {
    if done.is_empty() || failed.unknown || is_piped(ids) {
        return None;
    }
    // What is wrong with the list, its own reader says.
    let items = ids::open(ids).ok()?.map_while(Result::ok);
    items
        .take(MOST_LISTINGS)
        .map(|item| item.id)
        .find(|id| done.contains(ItemKey::of(id, 0)) && !failed.may_hold(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_never_taken_for_good_and_most_others_are() {
        for count in [0u64, 1, 3, 100, 5_000] {
            let items = (0..count).map(|n| {
                Ok::<_, ()>(FailedItem {
                    id: format!("bad{n}"),
                    occurrence: 0,
                    reason: "timeout".to_owned(),
                })
            });
            let failed = FailedBefore::read(items, count);
            assert!((0..count).all(|n| failed.may_hold(&format!("bad{n}"))));
            let doubted = (0..1_000).filter(|n| failed.may_hold(&format!("good{n}")));
            assert!(doubted.count() < 250);
        }
        let unreadable = FailedBefore::read([Err(())].into_iter(), 1);
        assert!(unreadable.may_hold("a"));
        assert!(!FailedBefore::default().may_hold("a"));
    }
}
