//! The set of items that are done, or taken in this pass over the list.
//!
//! Owns the answer to "is this item still to be fetched?". Keeps promise 2: an
//! item is known by its ID and by how often that ID was listed before, never by
//! its place. Keeps promise 7: at most 40 bytes a distinct ID, also while it
//! grows. Must never keep an ID's text.
//!
//! Hash tables grow by doubling, so right after it a key costs
//! 17 bytes / (7/16) = 39 bytes, and while it lasts the old table is there too.
//! Hence 256 shards, of which only one grows at a time; and since the hash
//! spreads evenly, equal shards would all double together, so each shard gets a
//! share of the keys that is 2^(1/256) times the share of the one before: then at
//! any moment some have just doubled while others are nearly full, and the
//! whole stays near 28 bytes a key.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::fmt;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// How many tables.
const SHARDS: usize = 256;
/// Set in a stored value when the item was listed in this pass.
const SEEN: u128 = 1;

/// One item: 127 bits of the XXH3 hash of its ID and its occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemKey(u128);

impl ItemKey {
    /// The key of the ID's listing number `occurrence` (0 unless `repeats = "each"`).
    pub fn of(id: &str, occurrence: u32) -> ItemKey {
        ItemKey(xxh3_128_with_seed(id.as_bytes(), u64::from(occurrence)) & !SEEN)
    }

    /// As the checkpoint stores it.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// From the checkpoint.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> ItemKey {
        ItemKey(u128::from_le_bytes(bytes) & !SEEN)
    }

    /// Which table it belongs to, from the top 32 bits: the table's share grows with its index.
    fn shard(self) -> usize {
        let position = f64::from((self.0 >> 96) as u32) / f64::from(u32::MAX);
        (((1.0 + position).log2() * SHARDS as f64) as usize).min(SHARDS - 1)
    }
}

/// What a table hashes by: 64 bits that the choice of the shard did not use.
fn hash(stored: u128) -> u64 {
    (stored >> 32) as u64
}

/// What to do about a listed item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// To be fetched.
    New {
        /// Which listing of the ID this is.
        occurrence: u32,
    },
    /// Done in an earlier run, and listed for the first time in this pass.
    Done {
        /// Which listing of the ID this is.
        occurrence: u32,
    },
    /// Listed before in this pass, and `repeats = "once"`.
    Repeat,
}

/// The items that are done or taken.
pub struct DoneSet {
    /// Keys, each with the tag [`SEEN`] in its lowest bit.
    shards: Box<[HashTable<u128>]>,
    len: usize,
}

impl Default for DoneSet {
    fn default() -> DoneSet {
        DoneSet {
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            len: 0,
        }
    }
}

impl fmt::Debug for DoneSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DoneSet")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl DoneSet {
    /// An empty set.
    pub fn new() -> DoneSet {
        DoneSet::default()
    }

    /// Takes the next listing of `id` in this pass. With `repeats_each`, each
    /// listing is an item of its own: the first occurrence that this pass has
    /// not seen yet. A claimed item counts as known from now on.
    pub fn claim(&mut self, id: &str, repeats_each: bool) -> Claim {
        let occurrence = if repeats_each {
            self.first_unseen(id)
        } else {
            0
        };
        // One look-up: in a large set each is a miss of every cache.
        match self.insert(ItemKey::of(id, occurrence), SEEN) {
            None => Claim::New { occurrence },
            Some(0) => Claim::Done { occurrence },
            Some(_) => Claim::Repeat,
        }
    }

    /// Distinct items that are done or claimed.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no item is known.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an item that an earlier run finished. Adding it twice changes nothing.
    pub fn insert_done(&mut self, key: ItemKey) {
        self.insert(key, 0);
    }

    /// Whether the item is done or claimed.
    pub fn contains(&self, key: ItemKey) -> bool {
        self.find(key).is_some()
    }

    /// Bytes of memory that the tables take.
    pub fn memory(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.allocation_size() + size_of::<HashTable<u128>>())
            .sum()
    }

    /// Every key, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = ItemKey> + '_ {
        self.shards
            .iter()
            .flat_map(|shard| shard.iter().map(|stored| ItemKey(stored & !SEEN)))
    }

    /// The first occurrence of `id` that was not seen in this pass: they are
    /// seen in order, so gallop beyond the last, then halve.
    fn first_unseen(&self, id: &str) -> u32 {
        let seen = |occurrence| self.seen(ItemKey::of(id, occurrence));
        if !seen(0) {
            return 0;
        }
        let (mut below, mut above) = (0u32, 1u32); // seen(below) holds
        while seen(above) {
            below = above;
            above = above.saturating_mul(2);
        }
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            if seen(middle) {
                below = middle;
            } else {
                above = middle;
            }
        }
        above
    }

    fn seen(&self, key: ItemKey) -> bool {
        self.find(key).is_some_and(|stored| stored & SEEN != 0)
    }

    fn find(&self, key: ItemKey) -> Option<u128> {
        let shard = self.shards.get(key.shard())?;
        let stored = shard.find(hash(key.0), |stored| stored & !SEEN == key.0);
        stored.copied()
    }

    /// Sets the key's tag; returns the one it had, `None` for a new key.
    #[expect(
        clippy::indexing_slicing,
        reason = "`shard` is below SHARDS, and no answer would be right without a table"
    )]
    fn insert(&mut self, key: ItemKey, tag: u128) -> Option<u128> {
        let same = |stored: &u128| stored & !SEEN == key.0;
        match self.shards[key.shard()].entry(hash(key.0), same, |stored| hash(*stored)) {
            Entry::Occupied(mut entry) => {
                let before = *entry.get() & SEEN;
                *entry.get_mut() |= tag;
                Some(before)
            }
            Entry::Vacant(entry) => {
                entry.insert(key.0 | tag);
                self.len += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_key_costs_at_most_40_bytes_at_any_time() {
        let mut set = DoneSet::new();
        let mut worst: f64 = 0.0;
        for n in 0u32..1_000_000 {
            set.insert_done(ItemKey::of(&n.to_string(), 0));
            if n >= 50_000 && n % 1_000 == 0 {
                // The largest shard may be growing: its old table and one twice as large.
                let growing = set
                    .shards
                    .iter()
                    .map(HashTable::allocation_size)
                    .max()
                    .unwrap_or(0)
                    * 2;
                worst = worst.max((set.memory() + growing) as f64 / set.len() as f64);
            }
        }
        assert_eq!(set.len(), 1_000_000);
        assert!(worst <= 40.0, "{worst} bytes a key");
    }

    #[test]
    fn an_earlier_run_s_items_are_done_once_and_repeats_after() {
        let mut set = DoneSet::new();
        set.insert_done(ItemKey::of("a", 0));
        assert_eq!(set.claim("a", false), Claim::Done { occurrence: 0 });
        assert_eq!(set.claim("a", false), Claim::Repeat);
        assert_eq!(set.claim("b", false), Claim::New { occurrence: 0 });
        assert_eq!(set.claim("b", false), Claim::Repeat);
        assert_eq!(set.len(), 2);
        assert!(set.contains(ItemKey::of("b", 0)));
        assert!(!set.contains(ItemKey::of("b", 1)));
    }

    #[test]
    fn a_key_is_what_the_checkpoint_of_this_version_stores() {
        // A change here makes every existing checkpoint worthless.
        assert_ne!(ItemKey::of("a", 0), ItemKey::of("a", 1));
        let key = ItemKey::of("a", 3);
        assert_eq!(ItemKey::from_bytes(key.to_bytes()), key);
        assert_eq!(
            ItemKey::of("", 0).to_bytes(),
            (0x99aa_06d3_0147_98d8_6001_c324_468d_497f_u128 & !1).to_le_bytes()
        );
    }

    proptest! {
        #[test]
        fn claims_with_repeats_each_match_a_counter(
            done in proptest::collection::vec((0u8..4, 0u32..9), 0..20),
            listed in proptest::collection::vec(0u8..4, 0..80),
        ) {
            let mut set = DoneSet::new();
            for (id, occurrence) in &done {
                set.insert_done(ItemKey::of(&id.to_string(), *occurrence));
            }
            let mut next: HashMap<u8, u32> = HashMap::new();
            for id in listed {
                let counter = next.entry(id).or_default();
                let occurrence = *counter;
                *counter += 1;
                let want = if done.contains(&(id, occurrence)) {
                    Claim::Done { occurrence }
                } else {
                    Claim::New { occurrence }
                };
                prop_assert_eq!(set.claim(&id.to_string(), true), want);
            }
        }
    }
}
