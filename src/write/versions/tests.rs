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
        records: u64::from(fate == Fate::Record),
        earlier: 0,
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

/// Some of them of items that came in pages: parts, and records of several lines or none.
fn any_entry() -> impl Strategy<Value = Entry> {
    let fates = prop_oneof![
        4 => Just(Fate::Record),
        2 => Just(Fate::Part),
        1 => Just(Fate::Unchanged),
        1 => Just(Fate::Gone),
        1 => Just(Fate::Failed),
    ];
    let lines = prop_oneof![3 => Just(1u64), 1 => 0u64..5];
    let etag = proptest::option::of(0usize..600);
    (fates, 0u16..60, 1u64..50, etag, lines).prop_map(
        |(fate, id, length, etag, lines)| match fate {
            Fate::Record | Fate::Part => Entry {
                records: lines,
                ..entry(fate, id, 0, length * lines, etag)
            },
            _ => entry(fate, id, 0, 0, etag),
        },
    )
}

/// The records' lines end to end, after a header row; the entries of parts name
/// the one before them.
fn tiled(mut entries: Vec<Entry>, header: u64) -> (Vec<Entry>, u64, u64) {
    let (mut end, mut records) = (header, 0);
    for entry in entries.iter_mut().filter(|e| e.has_place()) {
        entry.offset = end;
        end += entry.length;
        records += entry.records;
    }
    let mut parts = HashMap::new();
    let (mut place, mut bytes) = (PREFACE as u64, Vec::new());
    for entry in &mut entries {
        if entry.has_place() {
            entry.earlier = parts.remove(&entry.key).unwrap_or(0);
        }
        if entry.fate == Fate::Part {
            parts.insert(entry.key, place);
        }
        bytes.clear();
        encode(&entry.lent(), 0, place, &mut bytes);
        place += bytes.len() as u64;
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
        let older = entries.iter().filter(|e| e.at_ms < 1_030).map(|e| e.records);
        prop_assert_eq!(whole.older, older.sum::<u64>());
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

        // From an item's last entry back to its first part, and no other item's.
        for entry in entries.iter().filter(|e| e.has_place()) {
            let last = index.find(entry.key).unwrap().unwrap();
            if !last.1.has_place() {
                continue;
            }
            let parts: Vec<Entry> =
                index.parts(last.0).unwrap().into_iter().map(|at| index.at(at).unwrap()).collect();
            let of_it: Vec<&Entry> =
                entries.iter().filter(|e| e.key == entry.key && e.has_place()).collect();
            let whole = of_it.iter().rposition(|e| e.fate == Fate::Record && *e != of_it[of_it.len() - 1]);
            let begin = whole.map_or(0, |whole| whole + 1);
            prop_assert!(parts.iter().eq(of_it[begin..].iter().copied()));
            let lines = parts.iter().any(|part| part.length > 0);
            prop_assert_eq!(index.has_lines(last.0).unwrap(), lines);
        }

        // A shorter output: what is about its rest is cut off, and what follows fits again.
        let lines: Vec<&Entry> = entries.iter().filter(|e| e.length > 0).collect();
        if let Some(shorter) = lines.get(lines.len() / 2) {
            let count = lines[..lines.len() / 2].iter().map(|e| e.records).sum();
            let length = shorter.offset;
            drop(Versions::recover(&path, generation, 0, (length, count)).unwrap());
            let left = read(&path, generation);
            prop_assert!(entries.starts_with(&left));
            prop_assert!(left.iter().all(|e| e.offset + e.length <= length));
            let survey = survey(&path, generation, length, count, 0).unwrap();
            prop_assert!(survey.whole || count == 0);
            let mut versions = Versions::recover(&path, generation, 0, (length, count)).unwrap();
            versions.append(&entry(Fate::Record, 7, length, 5, None).lent()).unwrap();
            versions.sync().unwrap();
            prop_assert_eq!(read(&path, generation).len(), left.len() + 1);
            drop(versions);

            // The same by a length that is known, which no other file has.
            let good = fs::metadata(&path).unwrap().len();
            let known = good - (HEAD + LEAST) as u64;
            drop(Versions::recover(&path, generation, good + 1, (length, count)).unwrap());
            prop_assert_eq!(read(&path, generation).len(), left.len());
            write(&path, generation, &entries);
            let of_another = Versions::recover(&path, generation ^ 1, known, (length, count));
            prop_assert_eq!(of_another.unwrap().length(), 0);
            prop_assert_eq!(&read(&path, generation), &entries);
            let versions = Versions::recover(&path, generation, known, (length, count)).unwrap();
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
fn the_bytes_are_those_that_are_drawn() {
    let folder = folder();
    let path = folder.path().join("out.versions");
    let fates = [
        Fate::Record,
        Fate::Part,
        Fate::Unchanged,
        Fate::Gone,
        Fate::Failed,
    ];
    for (byte, fate) in (0u8..).zip(fates) {
        let one = Entry {
            records: 3,
            earlier: 77,
            ..entry(fate, 1, 5, 10, Some(2))
        };
        let mut payload = vec![byte];
        payload.extend_from_slice(&one.key.to_bytes());
        for number in [one.at_ms, 5, 10, 3, 77] {
            payload.extend_from_slice(&number.to_le_bytes());
        }
        payload.extend_from_slice(b"\x03\0eee\0\0");
        let mut drawn = preface(9).to_vec();
        drawn.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        drawn.extend_from_slice(&check(&payload, 9, PREFACE as u64));
        drawn.extend_from_slice(&payload);
        write(&path, 9, std::slice::from_ref(&one));
        assert_eq!(fs::read(&path).unwrap(), drawn);
        assert_eq!(read(&path, 9), [one]);
    }
}

/// An item without a record may come before a CSV's header row, or between lines.
#[test]
fn entries_without_a_line_are_no_gap_and_no_first_line() {
    let folder = folder();
    let path = folder.path().join("out.versions");
    let empty = |id, offset| Entry {
        records: 0,
        ..entry(Fate::Record, id, offset, 0, None)
    };
    let line = |id, offset| entry(Fate::Record, id, offset, 10, None);
    write(
        &path,
        9,
        &[
            empty(1, 0),
            line(2, 7),
            empty(3, 17),
            line(4, 17),
            empty(5, 3),
        ],
    );
    let found = survey(&path, 9, 27, 2, 0).unwrap();
    assert_eq!((found.records, found.whole, found.first), (2, true, 7));
    // One that is beyond the length is none of it.
    write(&path, 9, &[empty(1, 8)]);
    let found = survey(&path, 9, 7, 0, 0).unwrap();
    assert_eq!((found.good, found.first), (PREFACE as u64, 7));
    // With nothing committed, it was never.
    write(&path, 9, &[empty(1, 0)]);
    let versions = Versions::recover(&path, 9, 0, (0, 0)).unwrap();
    assert_eq!(versions.length(), PREFACE as u64);
    drop(versions);
    assert!(read(&path, 9).is_empty());
}

#[test]
fn the_last_parts_of_items_in_their_midst_are_found() {
    let folder = folder();
    let path = folder.path().join("out.versions");
    let part = |id, offset| entry(Fate::Part, id, offset, 10, None);
    let entries = [part(1, 0), part(2, 10), part(1, 20), part(3, 30)];
    write(&path, 9, &entries);
    let resume_points =
        [1u16, 3, 7].map(|id| (ItemKey::of(&id.to_string(), 0), ResumePoint::default()));
    let found = last_parts(&path, 9, &resume_points.into()).unwrap();
    assert_eq!(found.len(), 2);
    let index = Index::build(&path, 9, &folder.path().join("table"));
    let index = index.unwrap().unwrap();
    let offsets = [1u16, 3].map(|id| {
        let place = found[&ItemKey::of(&id.to_string(), 0)];
        index.at(place).unwrap().offset
    });
    assert_eq!(offsets, [20, 30]);
    assert!(last_parts(&path, 8, &BTreeMap::new()).unwrap().is_empty());
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
    drop(Versions::recover(&path, 0, 0, (12, 1)).unwrap());
}
