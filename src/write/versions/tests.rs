//! The file and its index, whatever is in them.

use super::*;
use crate::checkpoint::ItemKey;
use crate::write::index::Index;
use proptest::prelude::*;
use std::collections::HashMap;

fn entry(fate: Fate, id: u16, offset: u64, length: u64, etag: Option<usize>) -> Entry {
    Entry {
        fate,
        key: ItemKey::of(&id.to_string(), 0),
        at_ms: u64::from(id) + 1_000,
        offset,
        length,
        validators: Validators {
            etag: etag.map(|n| vec![b'e'; n + 1].into()),
            last_modified: id
                .is_multiple_of(3)
                .then(|| (&b"Sun, 06 Nov 1994 08:49:37 GMT"[..]).into()),
        },
    }
}

fn write(path: &Path, generation: u64, entries: &[Entry]) {
    let mut versions = Versions::create(path, generation, path).unwrap();
    for entry in entries {
        versions.append(&entry.lent()).unwrap();
    }
    versions.sync().unwrap();
}

fn read(path: &Path, generation: u64) -> Vec<Entry> {
    let mut read = Vec::new();
    let mut entries = Entries::of(path, generation).unwrap();
    while let Some(entry) = entries.as_mut().map_or(Ok(None), Entries::next).unwrap() {
        read.push(entry);
    }
    read
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let fates = prop_oneof![
        4 => Just(Fate::Record),
        1 => Just(Fate::Unchanged),
        1 => Just(Fate::Gone),
        1 => Just(Fate::Failed),
    ];
    (fates, 0u16..60, 1u64..50, proptest::option::of(0usize..600)).prop_map(
        |(fate, id, length, etag)| match fate {
            Fate::Record => entry(fate, id, 0, length, etag),
            _ => entry(fate, id, 0, 0, etag),
        },
    )
}

/// The records' lines end to end, after a header row.
fn tiled(mut entries: Vec<Entry>, header: u64) -> (Vec<Entry>, u64, u64) {
    let (mut end, mut records) = (header, 0);
    for entry in entries.iter_mut().filter(|e| e.fate == Fate::Record) {
        entry.offset = end;
        end += entry.length;
        records += 1;
    }
    (entries, end, records)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_and_found_and_a_cut_leaves_what_was_before_it(
        entries in proptest::collection::vec(any_entry(), 0..40),
        generation in any::<u64>(),
        header in 0u64..20,
        cut in any::<prop::sample::Index>(),
        flip in any::<prop::sample::Index>(),
    ) {
        let folder = folder();
        let path = folder.path().join("out.versions");
        let (entries, length, records) = tiled(entries, header);
        write(&path, generation, &entries);
        prop_assert_eq!(&read(&path, generation), &entries);
        prop_assert!(read(&path, generation ^ 1).is_empty());

        let whole = survey(&path, generation, length, records, 1_030).unwrap();
        prop_assert!(whole.whole || length == header);
        prop_assert_eq!(whole.records, records);
        let older = entries.iter().filter(|e| e.fate == Fate::Record && e.at_ms < 1_030);
        prop_assert_eq!(whole.older, older.count() as u64);
        if records > 0 {
            prop_assert_eq!(whole.first, header);
            prop_assert!(!survey(&path, generation, length + 1, records, 0).unwrap().whole);
            prop_assert!(!survey(&path, generation, length, records + 1, 0).unwrap().whole);
        }

        // The last entry of each key, and nothing else.
        let index = Index::build(&path, generation, &folder.path().join("table")).unwrap().unwrap();
        let last: HashMap<_, _> = entries.iter().map(|entry| (entry.key, entry)).collect();
        for id in 0u16..80 {
            let key = ItemKey::of(&id.to_string(), 0);
            let found = index.find(key).unwrap().map(|(_, entry)| entry);
            prop_assert_eq!(found.as_ref(), last.get(&key).copied());
        }

        // A shorter output: what is about its rest is cut off, and what follows fits again.
        let shorter = entries.iter().filter(|e| e.fate == Fate::Record).nth(records as usize / 2);
        if let Some(shorter) = shorter {
            let (length, count) = (shorter.offset, records / 2);
            drop(Versions::recover(&path, generation, None, (length, count)).unwrap());
            let left = read(&path, generation);
            prop_assert!(entries.starts_with(&left));
            prop_assert!(left.iter().all(|e| e.offset + e.length <= length));
            let survey = survey(&path, generation, length, count, 0).unwrap();
            prop_assert!(survey.whole || count == 0);
            let mut versions = Versions::recover(&path, generation, None, (length, count)).unwrap();
            versions.append(&entry(Fate::Record, 7, length, 5, None).lent()).unwrap();
            versions.sync().unwrap();
            prop_assert_eq!(read(&path, generation).len(), left.len() + 1);
            drop(versions);

            // The same by a length that is known, which no other file has.
            let good = fs::metadata(&path).unwrap().len();
            let known = good - (HEAD + LEAST) as u64;
            drop(Versions::recover(&path, generation, Some(good + 1), (length, count)).unwrap());
            prop_assert_eq!(read(&path, generation).len(), left.len());
            write(&path, generation, &entries);
            let of_another = Versions::recover(&path, generation ^ 1, Some(known), (length, count));
            prop_assert_eq!(of_another.unwrap().length(), 0);
            prop_assert_eq!(&read(&path, generation), &entries);
            let versions = Versions::recover(&path, generation, Some(known), (length, count)).unwrap();
            prop_assert_eq!(versions.length(), known);
            prop_assert_eq!(&read(&path, generation), &left);
        }

        // Cut anywhere, or a bit flipped: only what was before it is believed.
        write(&path, generation, &entries);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..cut.index(bytes.len())]).unwrap();
        prop_assert!(entries.starts_with(&read(&path, generation)));
        let mut flipped = bytes.clone();
        flipped[flip.index(bytes.len())] ^= 1;
        fs::write(&path, &flipped).unwrap();
        let believed = read(&path, generation);
        prop_assert!(entries.starts_with(&believed) && (believed.len() < entries.len() || entries.is_empty()));
    }
}

#[test]
fn overlapping_lines_are_not_believed() {
    let folder = folder();
    let path = folder.path().join("out.versions");
    let first = entry(Fate::Record, 1, 0, 10, None);
    let gap = entry(Fate::Record, 2, 12, 10, None);
    write(&path, 9, &[first.clone(), gap]);
    assert!(!survey(&path, 9, 22, 2, 0).unwrap().whole);
    let overlap = entry(Fate::Record, 3, 5, 10, None);
    write(&path, 9, &[first, overlap]);
    let survey = survey(&path, 9, 15, 2, 0).unwrap();
    assert_eq!((survey.records, survey.whole), (1, false));
}

#[test]
fn a_missing_file_is_whole_only_for_no_records() {
    let folder = folder();
    let path = folder.path().join("out.versions");
    assert!(survey(&path, 0, 12, 0, 0).unwrap().whole);
    assert!(!survey(&path, 0, 12, 1, 0).unwrap().whole);
    fs::write(&path, "something else, and long enough").unwrap();
    assert!(!survey(&path, 0, 12, 1, 0).unwrap().whole);
    drop(Versions::recover(&path, 0, None, (12, 1)).unwrap());
}
