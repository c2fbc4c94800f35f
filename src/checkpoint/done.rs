//! The set of items that are done, or taken in this pass over the list.
//!
//! Owns the answer to "is this item still to be fetched?". Keeps "The list may change between runs": an
//! item is known by its ID and by how often that ID was listed before, never by
//! its place. Keeps "Memory does not grow with the list": at most 40 bytes a distinct ID, also while it
//! grows. Must never keep an ID's text.
//!
//! In a set of millions each look-up waits for memory, so that is what its form
//! is about. The keys are hashes already: a key's first bits name its shard, the
//! next its place there, and a key that finds it taken goes to the next one. A
//! look-up is then one wait, and the waits of many look-ups overlap when their
//! places are touched first ([`DoneSet::claim_all`]). A shard grows by a third,
//! alone, so the whole stays below 29 bytes a key. What a checkpoint brings goes
//! into the shards as it comes and gets its places when all of it is there
//! ([`Loading`]): then each shard fits a cache.

use std::fmt;
use std::hint::black_box;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// How many tables, as a power of two.
const SHARD_BITS: u32 = 10;
/// Set in a stored value when the item was listed in this pass.
const SEEN: u128 = 1;
/// What stands in a place that no key has taken.
const FREE: u128 = 0;
/// The least places of a table that is not empty.
const FEWEST: usize = 8;
/// Look-ups whose waits overlap: their cache lines fit the first cache.
const TOGETHER: usize = 256;

/// One item: 127 bits of the XXH3 hash of its ID and its occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemKey(u128);

impl ItemKey {
    /// The key of the ID's listing number `occurrence` (0 unless `repeats = "each"`).
    pub fn of(id: &str, occurrence: u32) -> ItemKey {
        ItemKey::new(xxh3_128_with_seed(id.as_bytes(), u64::from(occurrence)))
    }

    /// As the checkpoint stores it.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// From the checkpoint.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> ItemKey {
        ItemKey::new(u128::from_le_bytes(bytes))
    }

    fn new(hash: u128) -> ItemKey {
        match hash & !SEEN {
            FREE => ItemKey(SEEN << 1),
            key => ItemKey(key),
        }
    }

    /// The index of its table.
    fn shard(self) -> usize {
        (self.0 >> (u128::BITS - SHARD_BITS)) as usize
    }
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

/// One table. A key stands at its own place or, where others stand, after it.
#[derive(Debug, Clone, Default)]
struct Shard {
    /// Keys, each with the tag [`SEEN`] in its lowest bit, or [`FREE`]. At least a quarter is free.
    places: Vec<u128>,
    len: usize,
}

impl Shard {
    /// A table with the keys, and room for a few more.
    fn of(keys: &[u128]) -> Shard {
        let mut shard = Shard::default();
        if !keys.is_empty() {
            let room = keys.len() + keys.len() / 32;
            shard.places = vec![FREE; (room + room / 3 + 1).max(FEWEST)];
            for key in keys {
                shard.insert(ItemKey(*key), 0);
            }
        }
        shard
    }

    /// The key's own place, in proportion to the bits after the shard's.
    fn own_place(&self, key: u128) -> usize {
        let bits = (key >> (u128::BITS - SHARD_BITS - 32)) as u32;
        ((u64::from(bits) * self.places.len() as u64) >> 32) as usize
    }

    /// Reads what a look-up will read first; the value says nothing.
    fn touch(&self, key: ItemKey) -> u64 {
        let at = self.own_place(key.0);
        // The run of a key that is pushed on is in the next cache line as often as not.
        let next = self.places.get(at + 3).or(self.places.first());
        let read = self.places.get(at).zip(next);
        read.map_or(0, |(own, next)| (own ^ next) as u64)
    }

    /// Where the key stands, or else where it would.
    #[expect(
        clippy::indexing_slicing,
        reason = "places are below their number, and no answer would be right without them"
    )]
    fn find(&self, key: ItemKey) -> Result<usize, usize> {
        let mut at = self.own_place(key.0);
        loop {
            let stored = self.places[at];
            if stored & !SEEN == key.0 {
                return Ok(at);
            } else if stored == FREE {
                return Err(at);
            }
            at += 1;
            if at == self.places.len() {
                at = 0;
            }
        }
    }

    fn get(&self, key: ItemKey) -> Option<u128> {
        if self.places.is_empty() {
            return None;
        }
        self.places.get(self.find(key).ok()?).copied()
    }

    /// Sets the key's tag; returns the one it had, `None` for a new key.
    #[expect(
        clippy::indexing_slicing,
        reason = "`find` returns places that are there"
    )]
    fn insert(&mut self, key: ItemKey, tag: u128) -> Option<u128> {
        if self.len * 4 >= self.places.len() * 3 {
            self.grow();
        }
        match self.find(key) {
            Ok(at) => {
                let before = self.places[at] & SEEN;
                self.places[at] |= tag;
                Some(before)
            }
            Err(at) => {
                self.places[at] = key.0 | tag;
                self.len += 1;
                None
            }
        }
    }

    #[cold]
    #[expect(
        clippy::indexing_slicing,
        reason = "`find` returns places that are there"
    )]
    fn grow(&mut self) {
        let places = match self.places.len() {
            // So small that doubling saves more time than it costs memory.
            few @ 0..64 => (few * 2).max(FEWEST),
            many => many + many / 3,
        };
        let old = std::mem::replace(&mut self.places, vec![FREE; places]);
        // Its keys are in the order of their places: this goes through memory once.
        for stored in old.into_iter().filter(|stored| *stored != FREE) {
            if let Err(at) = self.find(ItemKey(stored & !SEEN)) {
                self.places[at] = stored;
            }
        }
    }
}

/// The items that are done or taken.
pub struct DoneSet {
    shards: Box<[Shard]>,
    len: usize,
}

impl Default for DoneSet {
    fn default() -> DoneSet {
        DoneSet {
            shards: vec![Shard::default(); 1 << SHARD_BITS].into_boxed_slice(),
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
        self.claim_first(id, ItemKey::of(id, 0), repeats_each)
    }

    /// Claims the listings in their order, as [`DoneSet::claim`] each; of many
    /// together that is several times as fast.
    pub fn claim_all<'i>(
        &mut self,
        ids: impl IntoIterator<Item = &'i str>,
        repeats_each: bool,
    ) -> Vec<Claim> {
        let ids = ids.into_iter();
        let listed: Vec<_> = ids.map(|id| (id, ItemKey::of(id, 0))).collect();
        let mut claims = Vec::with_capacity(listed.len());
        for together in listed.chunks(TOGETHER) {
            let touched = together.iter().fold(0, |all, (_, key)| {
                all ^ self.shard(*key).map_or(0, |shard| shard.touch(*key))
            });
            // The compiler must not leave the reads out.
            black_box(touched);
            let claimed = together
                .iter()
                .map(|(id, key)| self.claim_first(id, *key, repeats_each));
            claims.extend(claimed);
        }
        claims
    }

    /// `first`: the key of the ID's first listing.
    fn claim_first(&mut self, id: &str, first: ItemKey, repeats_each: bool) -> Claim {
        let (occurrence, before) = match self.insert(first, SEEN) {
            Some(SEEN) if repeats_each => {
                let occurrence = self.first_unseen(id);
                let before = self.insert(ItemKey::of(id, occurrence), SEEN);
                (occurrence, before)
            }
            before => (0, before),
        };
        match before {
            None => Claim::New { occurrence },
            Some(0) => Claim::Done { occurrence },
            Some(_) => Claim::Repeat,
        }
    }

    /// Adds items that are done, few or many. Adding one twice changes nothing.
    pub(crate) fn add(&mut self, keys: &[ItemKey]) {
        for key in keys {
            self.insert(*key, 0);
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

    /// Whether the item is done or claimed.
    pub fn contains(&self, key: ItemKey) -> bool {
        self.get(key).is_some()
    }

    /// Bytes of memory that the tables take.
    pub fn memory(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| size_of::<Shard>() + shard.places.capacity() * size_of::<u128>())
            .sum()
    }

    /// Every key, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = ItemKey> + '_ {
        let stored = self.shards.iter().flat_map(|shard| &shard.places);
        let stored = stored.filter(|stored| **stored != FREE);
        stored.map(|stored| ItemKey(stored & !SEEN))
    }

    /// The first occurrence of `id` that was not seen in this pass, when the
    /// very first was: they are seen in order, so gallop beyond the last, then halve.
    fn first_unseen(&self, id: &str) -> u32 {
        let seen = |occurrence| {
            let stored = self.get(ItemKey::of(id, occurrence));
            stored.is_some_and(|stored| stored & SEEN != 0)
        };
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

    fn shard(&self, key: ItemKey) -> Option<&Shard> {
        self.shards.get(key.shard())
    }

    fn get(&self, key: ItemKey) -> Option<u128> {
        self.shard(key)?.get(key)
    }

    /// Sets the key's tag; returns the one it had, `None` for a new key.
    #[expect(
        clippy::indexing_slicing,
        reason = "a key's shard is below their number, and no answer would be right without it"
    )]
    fn insert(&mut self, key: ItemKey, tag: u128) -> Option<u128> {
        let before = self.shards[key.shard()].insert(key, tag);
        self.len += usize::from(before.is_none());
        before
    }
}

/// A set of done items that is being read from a checkpoint.
#[derive(Debug)]
pub struct Loading {
    /// The keys of each table, as they came.
    shards: Box<[Vec<u128>]>,
}

impl Default for Loading {
    fn default() -> Loading {
        Loading {
            shards: vec![Vec::new(); 1 << SHARD_BITS].into_boxed_slice(),
        }
    }
}

impl Loading {
    /// Adds items that an earlier run finished. Adding one twice changes nothing.
    pub fn add(&mut self, keys: &[ItemKey]) {
        for key in keys {
            if let Some(shard) = self.shards.get_mut(key.shard()) {
                if shard.len() == shard.capacity() {
                    shard.reserve_exact((shard.len() / 4).max(FEWEST));
                }
                shard.push(key.0);
            }
        }
    }

    /// The set of all that was added.
    pub fn done(self) -> DoneSet {
        // One after another, so at most one shard is there twice.
        let shards = self.shards.into_iter().map(|keys| Shard::of(&keys));
        let shards: Box<[Shard]> = shards.collect();
        DoneSet {
            len: shards.iter().map(|shard| shard.len).sum(),
            shards,
        }
    }
}

#[cfg(test)]
mod tests;
