use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn done_set<'i>(done: impl IntoIterator<Item = (&'i str, u32)>) -> DoneSet {
    let mut loading = Loading::default();
    for (id, occurrence) in done {
        loading.add(&[ItemKey::of(id, occurrence)]);
    }
    loading.done()
}

/// Of the largest shard, while it grows: its old table and the new one.
fn growing(set: &DoneSet) -> usize {
    let most = set.shards.iter().map(|shard| shard.places.capacity()).max();
    most.unwrap_or(0) * 2 * size_of::<u128>()
}

#[test]
fn a_key_costs_at_most_40_bytes_at_any_time() {
    let mut set = DoneSet::new();
    let mut loading = Loading::default();
    let mut worst: f64 = 0.0;
    for n in 0u32..1_000_000 {
        let id = n.to_string();
        assert_eq!(set.claim(&id, false), Claim::New { occurrence: 0 });
        loading.add(&[ItemKey::of(&id, 0)]);
        if n >= 50_000 && n % 1_000 == 0 {
            let loaded: usize = loading.shards.iter().map(Vec::capacity).sum();
            let loaded = loaded * size_of::<u128>() + growing(&set);
            let bytes = (set.memory() + growing(&set)).max(loaded);
            worst = worst.max(bytes as f64 / set.len() as f64);
        }
    }
    let loaded = loading.done();
    assert_eq!((set.len(), loaded.len()), (1_000_000, 1_000_000));
    worst = worst.max((loaded.memory() + growing(&loaded)) as f64 / 1e6);
    assert!(worst <= 40.0, "{worst} bytes a key");
}

#[test]
fn an_earlier_run_s_items_are_done_once_and_repeats_after() {
    let mut set = done_set([("a", 0), ("a", 0)]);
    assert_eq!(set.len(), 1);
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

#[test]
fn keys_that_all_want_one_place_are_told_apart() {
    // In the last place of the last shard, so they go on at its beginning. Zero is a key, too.
    let keys = (0..100u128).map(|n| ItemKey::new(u128::MAX - 2 * n));
    let keys: Vec<ItemKey> = keys.chain([ItemKey::from_bytes([0; 16])]).collect();
    let mut loading = Loading::default();
    loading.add(&keys);
    let mut loaded = loading.done();
    let mut inserted = DoneSet::new();
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(inserted.insert(*key, 0), None);
        assert_eq!(inserted.len(), n + 1);
    }
    for set in [&mut loaded, &mut inserted] {
        assert!(keys.iter().all(|key| set.contains(*key)));
        assert!(keys.iter().all(|key| set.insert(*key, SEEN) == Some(0)));
        assert!(keys.iter().all(|key| set.insert(*key, SEEN) == Some(SEEN)));
        assert!(!set.contains(ItemKey::new(u128::MAX - 200)));
        let mut all: Vec<ItemKey> = set.keys().collect();
        all.sort_unstable();
        let mut expected = keys.clone();
        expected.sort_unstable();
        assert_eq!(all, expected);
    }
}

proptest! {
    #[test]
    fn claims_match_a_counter(
        each in any::<bool>(),
        done in proptest::collection::vec((0u8..4, 0u32..9), 0..20),
        listed in proptest::collection::vec(0u8..4, 0..80),
        fillers in 0u32..3_000,
    ) {
        let names: Vec<String> = (0..4).map(|id| id.to_string()).collect();
        let fillers: Vec<String> = (0..fillers).map(|n| format!("filler{n}")).collect();
        let known = done.iter().map(|(id, nth)| (names[usize::from(*id)].as_str(), *nth));
        let known: Vec<_> = known.chain(fillers.iter().map(|id| (id.as_str(), 0))).collect();
        let mut next: HashMap<u8, u32> = HashMap::new();
        let wanted: Vec<Claim> = listed.iter().map(|id| {
            let counter = next.entry(*id).or_default();
            let occurrence = *counter;
            *counter += 1;
            if occurrence > 0 && !each {
                Claim::Repeat
            } else if done.contains(&(*id, occurrence)) {
                Claim::Done { occurrence }
            } else {
                Claim::New { occurrence }
            }
        }).collect();
        let ids: Vec<&str> = listed.iter().map(|id| names[usize::from(*id)].as_str()).collect();
        let mut set = done_set(known.iter().copied());
        let one_by_one: Vec<Claim> = ids.iter().map(|id| set.claim(id, each)).collect();
        prop_assert_eq!(&one_by_one, &wanted);
        let mut set = done_set(known.iter().copied());
        prop_assert_eq!(&set.claim_all(ids, each), &wanted);
        let many: Vec<Claim> = set.claim_all(fillers.iter().map(String::as_str), each);
        prop_assert_eq!(many, vec![Claim::Done { occurrence: 0 }; fillers.len()]);
    }
}
