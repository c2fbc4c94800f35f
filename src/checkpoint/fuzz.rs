//! What must hold for any bytes that stand where a checkpoint should.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a body fails by panicking"
)]

use super::commit::{Closing, Commit, Extent, Range};
use super::done::ItemKey;
use super::format::{self, BlockKind, HEAD, Header, PREFACE};
use super::read::{Fault, State, scan_bytes};
use crate::outcome::ResumePoint;
use crate::pace::Note;
use std::io::Cursor;

const SALT: u64 = 0x0123_4567_89ab_cdef;

/// Any bytes; or `m` and how to break a good checkpoint; or `s` and payloads
/// that get good heads and checksums.
pub fn checkpoint(bytes: &[u8]) {
    match bytes.split_first() {
        Some((b'm', edits)) => broken(edits),
        Some((b's', payloads)) => sealed(payloads),
        _ => {
            let _ = read(bytes);
        }
    }
}

/// What is read, with the keys; its sums must be right whatever the bytes.
fn read(bytes: &[u8]) -> Result<(State, Vec<ItemKey>), Fault> {
    let mut keys = Vec::new();
    let size = bytes.len() as u64;
    let state = scan_bytes(Cursor::new(bytes), size, |some| {
        keys.extend_from_slice(some)
    })?;
    assert_eq!(state.keys, keys.len() as u64);
    assert_eq!(state.end + state.torn, size);
    for known in [&state.output, &state.failures] {
        let sum: u64 = known.ranges.iter().map(|range| range.length).sum();
        assert_eq!(known.length, sum);
    }
    Ok((state, keys))
}

/// A file of several blocks, and where each begins.
struct Made {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    salt: u64,
    seed: u64,
}

impl Made {
    fn new(salt: u64) -> Made {
        let preface = format::preface(salt);
        Made {
            bytes: preface.to_vec(),
            starts: Vec::new(),
            salt,
            seed: format::first_seed(&preface),
        }
    }

    fn push(&mut self, kind: BlockKind, payload: &[u8]) {
        let at = self.bytes.len();
        let (bytes, seed) = format::block(kind, payload, at as u64, self.salt, self.seed).unwrap();
        self.seed = seed;
        self.starts.push(at);
        self.bytes.extend(bytes);
    }
}

fn header(base: u64) -> Vec<u8> {
    let header = Header {
        created: "2026-11-24T00:00:00.000Z".to_owned(),
        harvest: "0.1.0".to_owned(),
        base,
        shape: vec![("request.url".to_owned(), "http://x/{id}".to_owned())],
        generation: 0,
    };
    serde_json::to_vec(&header).unwrap()
}

/// Commit number `n`, with two keys.
fn commit(n: u64) -> (Commit, [ItemKey; 2]) {
    let range = |length| Range {
        length,
        crc: n as u32,
    };
    // The last but one begins the failures file anew.
    let rewrites = n == 4;
    let commit = Commit {
        rewrites_failures: rewrites,
        at_ms: n + 1,
        closing: if n == 3 { Closing::Paused } else { Closing::No },
        records: n + 1,
        output: Extent {
            length: (n + 1) * 10,
            mtime_ns: 7,
            ranges: vec![range(4), range(6)],
        },
        failures: Extent {
            length: n + 1,
            mtime_ns: 0,
            ranges: vec![range(1); if rewrites { 5 } else { 1 }],
        },
        versions: n * 60,
        notes: vec![Note {
            at_ms: n,
            starts: 1,
            ..Note::default()
        }],
        failed: vec![("timeout".to_owned(), if rewrites { 5 } else { 1 })],
        columns: (n == 0).then(|| vec!["id".to_owned()]),
        // One until the fourth commit, none in that, then another.
        known_good: match n {
            0 | 4 => Some(Some(n.to_string())),
            3 => Some(None),
            _ => None,
        },
        resume_points: match n {
            // One item goes on from commit to commit, and is done in the fourth.
            0 => Vec::new(),
            4 => vec![(long(), None)],
            _ => vec![(long(), Some(resume_point(n)))],
        },
    };
    (commit, [key(2 * n), key(2 * n + 1)])
}

fn long() -> ItemKey {
    ItemKey::of("long", 0)
}

fn resume_point(n: u64) -> ResumePoint {
    ResumePoint {
        pages: n * 1_000,
        elements: n,
        records: n,
        marker: n,
        next: format!("url:http://x/long?page={n}"),
    }
}

fn key(n: u64) -> ItemKey {
    ItemKey::of(&n.to_string(), 0)
}

/// A good checkpoint. `base` of its commits were made in one go.
fn good(commits: u64, base: u64, salt: u64) -> Made {
    let mut made = Made::new(salt);
    made.push(BlockKind::Header, &header(base));
    for n in 0..commits {
        let (commit, keys) = commit(n);
        let kind = if commit.rewrites_failures {
            BlockKind::Rewriting
        } else {
            BlockKind::Commit
        };
        made.push(kind, &commit.encode(&keys).unwrap());
        // What is made in one go holds commits only.
        if commit.closing != Closing::No && n >= base {
            made.push(BlockKind::Opened, &[0; 8]);
        }
    }
    made
}

/// However a good checkpoint is broken: what is read is a start of what was
/// committed, or it is refused.
fn broken(edits: &[u8]) {
    let [commits, base, edits @ ..] = edits else {
        return;
    };
    let commits = u64::from(commits % 6);
    let base = u64::from(*base) % (commits + 1);
    let made = good(commits, base, SALT);
    let mut bytes = made.bytes.clone();
    for edit in edits.as_chunks::<4>().0 {
        edit_once(&mut bytes, &made, *edit);
    }
    let Ok((state, keys)) = read(&bytes) else {
        return;
    };
    let whole = keys.len() as u64 / 2;
    assert!(whole <= commits && whole >= base, "{whole} of {commits}");
    assert_eq!(keys, (0..2 * whole).map(key).collect::<Vec<_>>());
    assert_eq!(state.records, whole);
    assert_eq!(state.output.length, whole * 10);
    assert_eq!(state.failures.length, whole);
    assert_eq!(state.failed.values().sum::<u64>(), whole);
    assert_eq!(state.notes.len() as u64, whole);
    assert_eq!(state.columns.is_some(), whole > 0);
    let known_good = match whole {
        1..=3 => Some("0"),
        5 => Some("4"),
        _ => None,
    };
    assert_eq!(state.known_good.as_deref(), known_good);
    let last = (2..=4).contains(&whole).then(|| resume_point(whole - 1));
    assert_eq!(state.resume_points.get(&long()), last.as_ref());
    assert_eq!(state.shape.fields.len(), 1);
    if bytes == made.bytes {
        assert_eq!((whole, state.torn), (commits, 0));
    }
}

/// What disks, copies and people do to files.
fn edit_once(bytes: &mut Vec<u8>, made: &Made, [edit, low, high, value]: [u8; 4]) {
    let at = usize::from(u16::from_le_bytes([low, high])) % (bytes.len() + 1);
    let block = |n: u8| {
        let n = usize::from(n) % made.starts.len();
        let end = made.starts.get(n + 1).copied().unwrap_or(made.bytes.len());
        made.bytes[made.starts[n]..end].to_vec()
    };
    let length = usize::from(value);
    let end = (at + length).min(bytes.len());
    match edit % 10 {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= value;
            }
        }
        1 => bytes.truncate(at),
        2 => bytes.insert(at, value),
        3 => drop(bytes.drain(at..end)),
        4 => bytes[at..end].fill(0),
        5 => bytes.extend(block(value)),
        6 => drop(bytes.splice(at..at, block(value))),
        7 => bytes.extend(vec![low; length]),
        // A block of another checkpoint of the same job.
        8 => {
            let other = good(5, 0, SALT + 1);
            let from = (PREFACE + at).min(other.bytes.len());
            bytes.truncate(from);
            bytes.extend(&other.bytes[from..]);
        }
        // A sector that was not written.
        _ => {
            let sector = HEAD + length;
            let end = (at + sector).min(bytes.len());
            bytes[at..end].fill(0xff);
        }
    }
}

/// Payloads under good checksums: kind, length (two bytes), payload, and so on.
fn sealed(mut rest: &[u8]) {
    let mut made = Made::new(SALT);
    while let [kind, low, high, after @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (payload, next) = after.split_at(length);
        rest = next;
        let kinds = [
            BlockKind::Header,
            BlockKind::Commit,
            BlockKind::Opened,
            BlockKind::Rewriting,
        ];
        let kind = kinds[usize::from(*kind % 4)];
        if made.starts.is_empty() && kind != BlockKind::Header {
            made.push(BlockKind::Header, &header(0));
        }
        made.push(kind, payload);
        again(payload);
    }
    let _ = read(&made.bytes);
}

/// What is decoded says the same when it is written and read again.
fn again(payload: &[u8]) {
    let Some((commit, bytes)) = Commit::decode(payload) else {
        return;
    };
    let keys: Vec<ItemKey> = bytes
        .as_chunks::<16>()
        .0
        .iter()
        .map(|bytes| ItemKey::from_bytes(*bytes))
        .collect();
    let written = commit.encode(&keys).unwrap();
    let (read, _) = Commit::decode(&written).unwrap_or_else(|| panic!("what was just written"));
    assert_eq!(read, commit);
}
