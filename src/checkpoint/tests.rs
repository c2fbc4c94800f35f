//! The journal as a whole: torn, damaged, compacted.

use super::commit::{Closing, Commit, Extent, Range};
use super::done::{ItemKey, Loading};
use super::error::CheckpointError;
use super::format::{HEAD, PREFACE};
use super::journal::Journal;
use super::read::{State, scan};
use super::shape::Shape;
use super::{compact, verify};
use crate::outcome::ResumePoint;
use crate::pace::Note;
use std::fs;
use std::path::Path;

fn shape() -> Shape {
    Shape {
        fields: vec![("request.url".to_owned(), "http://x/{id}".to_owned())],
    }
}

/// Commit number `n`: one byte of output.
fn commit(n: u64) -> Commit {
    Commit {
        at_ms: n,
        records: n + 1,
        output: Extent {
            length: n + 1,
            mtime_ns: 0,
            ranges: vec![Range {
                length: 1,
                crc: crc32fast::hash(&[n as u8]),
            }],
        },
        notes: vec![Note {
            at_ms: super::unix_ms(std::time::SystemTime::now()),
            starts: (n % 2) as u32,
            ..Note::default()
        }],
        failed: vec![("timeout".to_owned(), 1)],
        columns: (n == 0).then(|| vec!["id".to_owned()]),
        known_good: (n < 2).then(|| Some(n.to_string())),
        ..Commit::default()
    }
}

fn resume_point(pages: u64) -> ResumePoint {
    ResumePoint {
        pages,
        elements: pages * 50,
        records: pages * 50,
        marker: 7,
        next: format!("url:http://x/a?page={pages}"),
    }
}

fn key(n: u64) -> ItemKey {
    ItemKey::of(&n.to_string(), 0)
}

/// A checkpoint with `n` commits.
fn make(path: &Path, n: u64) -> Journal {
    let mut journal = Journal::create(path, &shape(), 0, vec![]).unwrap();
    for n in 0..n {
        journal.append_commit(&commit(n), &[key(n)]).unwrap();
    }
    journal
}

fn read(path: &Path) -> Result<(State, Vec<ItemKey>), CheckpointError> {
    let mut keys = Vec::new();
    let state = scan(path, |some| keys.extend_from_slice(some))?;
    Ok((state.unwrap(), keys))
}

/// What the state says, as far as commits count.
fn commits(path: &Path) -> u64 {
    let (state, keys) = read(path).unwrap();
    assert_eq!(keys, (0..state.records).map(key).collect::<Vec<_>>());
    assert_eq!(
        (state.output.length, state.keys),
        (state.records, state.records)
    );
    assert_eq!(
        state.failed.get("timeout").copied().unwrap_or(0),
        state.records
    );
    state.records
}

#[test]
fn every_cut_leaves_a_good_start_and_can_be_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let mut ends = vec![];
    for n in 0..=3 {
        make(&path, n);
        ends.push(fs::metadata(&path).unwrap().len() as usize);
    }
    let bytes = fs::read(&path).unwrap();
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        if cut < ends[0] {
            assert!(
                matches!(read(&path), Err(CheckpointError::Damaged { .. })),
                "{cut}"
            );
            continue;
        }
        let good = ends.iter().filter(|end| **end <= cut).count() as u64 - 1;
        assert_eq!(commits(&path), good, "{cut}");
        let mut journal = Journal::resume(&path, &read(&path).unwrap().0).unwrap();
        journal.commit(&commit(good), &[key(good)]).unwrap();
        assert_eq!(commits(&path), good + 1);
        assert_eq!(read(&path).unwrap().0.torn, 0);
    }
    assert!(scan(&folder.path().join("none"), |_| {}).unwrap().is_none());
}

#[test]
fn every_flipped_bit_before_the_last_block_is_refused_and_one_in_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    make(&path, 3);
    let bytes = fs::read(&path).unwrap();
    make(&path, 2);
    let last = fs::metadata(&path).unwrap().len() as usize; // where the last block begins
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        match bit / 8 {
            0..=6 => assert!(matches!(
                read(&path),
                Err(CheckpointError::NotACheckpoint { .. })
            )),
            7 => assert!(matches!(read(&path), Err(CheckpointError::Version { .. }))),
            at if at < last => {
                assert!(
                    matches!(read(&path), Err(CheckpointError::Damaged { .. })),
                    "bit {bit}"
                );
            }
            _ => assert_eq!(commits(&path), 2, "bit {bit}"),
        }
    }
}

#[test]
fn what_a_power_loss_may_leave_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    make(&path, 3);
    let bytes = fs::read(&path).unwrap();
    make(&path, 2);
    let good = fs::metadata(&path).unwrap().len() as usize;
    let whole = &bytes[..];
    let tails: [Vec<u8>; 4] = [
        vec![0; 5000],
        vec![0; HEAD],
        (0..5000u32).map(|n| ((n * n) >> 3) as u8).collect(),
        // The head's sector did not reach the disk, the rest did.
        [vec![0; HEAD + 3], whole[good + HEAD + 3..].to_vec()].concat(),
    ];
    make(&path, 2);
    let start = fs::read(&path).unwrap();
    for tail in tails {
        fs::write(&path, [&start[..], &tail].concat()).unwrap();
        assert_eq!(commits(&path), 2);
        assert_eq!(read(&path).unwrap().0.torn, tail.len() as u64);
    }
}

#[test]
fn blocks_can_t_be_removed_swapped_repeated_or_brought_along() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let ends: Vec<usize> = {
        make(&path, 4);
        let bytes = fs::read(&path).unwrap();
        let mut ends = vec![PREFACE];
        while ends[ends.len() - 1] < bytes.len() {
            let at = ends[ends.len() - 1];
            let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            ends.push(at + HEAD + length as usize);
        }
        ends
    };
    let bytes = fs::read(&path).unwrap();
    let block = |n: usize| &bytes[ends[n]..ends[n + 1]];
    let with = |blocks: &[usize]| {
        let blocks: Vec<u8> = blocks.iter().flat_map(|n| block(*n).to_vec()).collect();
        fs::write(&path, [&bytes[..PREFACE], &blocks].concat()).unwrap();
        read(&path).map(|(state, _)| state.records)
    };
    assert_eq!(with(&[0, 1, 2, 3, 4]).unwrap(), 4);
    // No block fits where it was not written, so nothing wrong is ever believed.
    for blocks in [
        &[0, 2, 3, 4][..],
        &[0, 1, 3, 4],
        &[0, 1, 1, 2, 3, 4],
        &[0, 1, 3, 2, 4],
    ] {
        assert!(
            with(blocks).map_or(true, |records| records == 1 || records == 0),
            "{blocks:?}"
        );
    }
    assert!(with(&[1, 2, 3, 4]).is_err());
    make(&folder.path().join("other"), 4);
    let other = fs::read(folder.path().join("other")).unwrap();
    fs::write(&path, [&bytes[..ends[2]], &other[ends[2]..]].concat()).unwrap();
    assert_eq!(commits(&path), 1);
}

#[test]
fn a_long_checkpoint_becomes_short_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let output = folder.path().join("out");
    const N: u64 = 10_001;
    make(&path, N);
    fs::write(&output, (0..N).map(|n| n as u8).collect::<Vec<_>>()).unwrap();
    let load = || {
        let mut loading = Loading::default();
        let state = scan(&path, |keys| loading.add(keys)).unwrap().unwrap();
        (state, loading.done())
    };
    let (mut state, done) = load();
    let before = state.clone();
    let mut journal = compact(&path, &mut state, &done).unwrap().unwrap();
    let (after, _) = load();
    assert!(after.blocks < 10, "{}", after.blocks);
    assert_eq!(
        (after.records, after.keys, &after.failed),
        (N, N, &before.failed)
    );
    assert_eq!(
        (&after.shape, &after.created),
        (&before.shape, &before.created)
    );
    assert_eq!(after.columns, Some(vec!["id".to_owned()]));
    assert_eq!(after.known_good.as_deref(), Some("1"));
    assert_eq!(after.notes.len() as u64, N / 2 + 1);
    assert_eq!(after.notes.last(), before.notes.last());
    assert_eq!((after.output.length, after.output.ranges.len()), (N, 1));
    verify(&output, 0, &after.output.ranges).unwrap();
    // It is appended to as before, and is not compacted again.
    journal.commit(&commit(N), &[key(N)]).unwrap();
    let (mut state, done) = load();
    assert_eq!((state.records, done.len() as u64), (N + 1, N + 1));
    assert!((0..=N).all(|n| done.contains(key(n))));
    assert!(compact(&path, &mut state, &done).unwrap().is_none());
    // Nothing that was made in one go is ever taken for torn.
    let good = fs::read(&path).unwrap();
    let base = usize::try_from(after.end).unwrap();
    for at in (0..base).step_by(1_777).chain([PREFACE, base - 1]) {
        let mut changed = good.clone();
        changed[at] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        assert!(read(&path).is_err(), "byte {at}");
    }
    fs::write(&path, &good).unwrap();
    // Nor when it is cut.
    drop(journal);
    let bytes = fs::read(&path).unwrap();
    let base = bytes.len() - 1;
    for cut in [base - 400, base / 2, base / 3] {
        fs::write(&path, &bytes[..cut]).unwrap();
        assert!(matches!(read(&path), Err(CheckpointError::Damaged { .. })));
    }
}

#[test]
fn the_latest_trail_counts_until_the_item_is_done_and_a_short_checkpoint_has_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let (one, other) = (ItemKey::of("one", 0), ItemKey::of("other", 0));
    let mut journal = Journal::create(&path, &shape(), 0, vec![]).unwrap();
    let with = |n: u64, resume_points: Vec<(ItemKey, Option<ResumePoint>)>| Commit {
        resume_points,
        ..commit(n)
    };
    let first = with(
        0,
        vec![
            (one, Some(resume_point(1_000))),
            (other, Some(resume_point(1_001))),
        ],
    );
    journal.append_commit(&first, &[key(0)]).unwrap();
    journal
        .append_commit(&with(1, vec![(one, Some(resume_point(2_000)))]), &[key(1)])
        .unwrap();
    journal
        .append_commit(&with(2, vec![(other, None)]), &[key(2)])
        .unwrap();
    let (state, _) = read(&path).unwrap();
    let expected: Vec<_> = vec![(one, resume_point(2_000))];
    assert_eq!(
        state.resume_points.into_iter().collect::<Vec<_>>(),
        expected
    );
    for n in 3..10_010 {
        journal.append_commit(&commit(n), &[key(n)]).unwrap();
    }
    drop(journal);
    let mut loading = Loading::default();
    let mut state = scan(&path, |keys| loading.add(keys)).unwrap().unwrap();
    assert!(
        compact(&path, &mut state, &loading.done())
            .unwrap()
            .is_some()
    );
    let (state, _) = read(&path).unwrap();
    assert_eq!(
        state.resume_points.into_iter().collect::<Vec<_>>(),
        expected
    );
    assert_eq!(state.keys, 10_010);
}

#[test]
fn a_draft_that_a_kill_left_is_swept_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    drop(make(&path, 2));
    let draft = super::Files::temporary(&path);
    fs::write(&draft, "half of one").unwrap();
    drop(Journal::resume(&path, &read(&path).unwrap().0).unwrap());
    assert!(!draft.exists());
    assert_eq!(commits(&path), 2);
}

#[test]
fn a_closing_commit_is_undone_by_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let mut journal = make(&path, 0);
    journal
        .commit(
            &Commit {
                closing: Closing::Finished,
                ..commit(0)
            },
            &[key(0)],
        )
        .unwrap();
    assert_eq!(read(&path).unwrap().0.closing, Closing::Finished);
    let other = Journal::resume(&path, &read(&path).unwrap().0);
    assert_eq!(
        matches!(other, Err(CheckpointError::Locked { .. })),
        cfg!(unix)
    );
    drop((journal, other));
    let mut journal = Journal::resume(&path, &read(&path).unwrap().0).unwrap();
    journal.open_again().unwrap();
    journal.open_again().unwrap();
    let (state, _) = read(&path).unwrap();
    assert_eq!(
        (state.closing, state.blocks, state.records),
        (Closing::No, 2, 1)
    );
}
