//! Rewrites a long checkpoint into a short one that says the same.
//!
//! Owns what may be forgotten: block boundaries, and notes that no quota asks
//! for any more. The new file replaces the old one in one step ("Exactly once"), so
//! a kill at any moment leaves one of the two. Must never run while the
//! checkpoint is appended to; only at the start of a run, under its lock.

use super::clock::unix_ms;
use super::commit::{Commit, Extent, Range};
use super::done::{DoneSet, ItemKey};
use super::error::CheckpointError;
use super::journal::{Draft, Journal};
use super::read::{Known, State};
use crate::fail_point::{fail_point, limit};
use crate::pace::Note;
use std::path::Path;
use std::time::SystemTime;

/// Blocks appended before it is worth it.
const BLOCKS: usize = 10_000;
/// Keys a block: 4 MiB.
const KEYS: usize = 1 << 18;
/// Ranges are joined up to at least this many bytes.
const RANGE: u64 = 16 << 20;
/// Notes older than this are forgotten: more than a year, the longest quota's window.
const NOTES_MS: u64 = 367 * 24 * 3600 * 1000;

/// Rewrites the checkpoint when it is long; `None` when it is not.
/// `done` must hold exactly its keys. `state` is told what was forgotten.
///
/// # Errors
/// [`CheckpointError::Io`]; the old checkpoint is untouched then, or wholly replaced.
pub(crate) fn compact(
    path: &Path,
    state: &mut State,
    done: &DoneSet,
) -> Result<Option<Journal>, CheckpointError> {
    let (enough, keys_a_block) = (limit!("BLOCKS", BLOCKS), limit!("KEYS", KEYS));
    if state.blocks - state.base <= enough as u64 {
        return Ok(None);
    }
    let (before, bytes) = (state.blocks, state.end);
    fail_point!("compaction: begun");
    forget(&mut state.notes, unix_ms(SystemTime::now()));
    for known in [&mut state.output, &mut state.failures] {
        known.ranges = joined(&known.ranges);
    }
    let base = done.len().div_ceil(keys_a_block).max(1) as u64;
    let journal = replace(path, state, done)?;
    (state.base, state.blocks, state.keys) = (base, base, done.len() as u64);
    tracing::debug!(blocks = before, bytes, now = base, "checkpoint compacted");
    Ok(Some(journal))
}

/// Puts a checkpoint that says what `state` and `done` say in the place of
/// whatever is there, in one step.
///
/// # Errors
/// [`CheckpointError::Io`]; the old checkpoint is untouched then, or wholly replaced.
pub(crate) fn replace(
    path: &Path,
    state: &State,
    done: &DoneSet,
) -> Result<Journal, CheckpointError> {
    let keys_a_block = limit!("KEYS", KEYS);
    let base = done.len().div_ceil(keys_a_block).max(1) as u64;
    let created = state.created.clone();
    let mut draft = Draft::begin(path, path, &state.shape, state.generation, created, base)?;
    let mut keys: Vec<ItemKey> = Vec::with_capacity(keys_a_block.min(done.len()));
    let mut commit = whole(state);
    for key in done.keys() {
        if keys.len() == keys_a_block {
            draft.commit(&commit, &keys)?;
            keys.clear();
            commit = addition(&commit);
        }
        keys.push(key);
    }
    draft.commit(&commit, &keys)?;
    fail_point!("compaction: written");
    draft.publish()
}

/// All that the state knows, as one commit.
fn whole(state: &State) -> Commit {
    let extent = |known: &Known| Extent {
        length: known.length,
        mtime_ns: known.mtime_ns,
        ranges: known.ranges.clone(),
    };
    Commit {
        at_ms: state.committed_ms.unwrap_or(0),
        closing: state.closing,
        records: state.records,
        output: extent(&state.output),
        failures: extent(&state.failures),
        versions: state.versions,
        notes: state.notes.clone(),
        failed: state.failed.clone().into_iter().collect(),
        columns: state.columns.clone(),
        known_good: Some(state.known_good.clone()),
        resume_points: state
            .resume_points
            .iter()
            .map(|(key, resume_point)| (*key, Some(resume_point.clone())))
            .collect(),
        rewrites_failures: false,
    }
}

/// The same totals, nothing added.
fn addition(commit: &Commit) -> Commit {
    let extent = |extent: &Extent| Extent {
        ranges: Vec::new(),
        ..*extent
    };
    Commit {
        at_ms: commit.at_ms,
        closing: commit.closing,
        records: commit.records,
        output: extent(&commit.output),
        failures: extent(&commit.failures),
        versions: commit.versions,
        notes: Vec::new(),
        failed: Vec::new(),
        columns: None,
        known_good: None,
        resume_points: Vec::new(),
        rewrites_failures: false,
    }
}

/// Keeps the notes that a quota may ask for, and the last.
fn forget(notes: &mut Vec<Note>, now_ms: u64) {
    let last = notes.pop();
    // By the older of the two: a clock that stands at 2100 for a moment makes nobody forget.
    let newest = last.map_or(now_ms, |note| note.at_ms.min(now_ms));
    let oldest = newest.saturating_sub(NOTES_MS);
    notes.retain(|note| note.starts > 0 && note.at_ms >= oldest);
    notes.extend(last);
}

/// Joins neighbours up to [`RANGE`] bytes.
fn joined(ranges: &[Range]) -> Vec<Range> {
    let mut out: Vec<Range> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            Some(last) if last.length < RANGE => {
                let mut hasher = crc32fast::Hasher::new_with_initial_len(last.crc, last.length);
                hasher.combine(&crc32fast::Hasher::new_with_initial_len(
                    range.crc,
                    range.length,
                ));
                *last = Range {
                    length: last.length + range.length,
                    crc: hasher.finalize(),
                };
            }
            _ => out.push(*range),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_ranges_have_the_checksum_of_the_whole() {
        let range = |bytes: &[u8]| Range {
            length: bytes.len() as u64,
            crc: crc32fast::hash(bytes),
        };
        let joined = joined(&[range(b"one "), range(b""), range(b"two "), range(b"three")]);
        assert_eq!(joined, [range(b"one two three")]);
        let big = vec![1; RANGE as usize];
        assert_eq!(
            super::joined(&[range(&big), range(b"x")]),
            [range(&big), range(b"x")]
        );
    }

    #[test]
    fn old_and_empty_notes_are_forgotten_but_for_the_last() {
        let note = |at_ms, starts| Note {
            at_ms,
            starts,
            ..Note::default()
        };
        let now = 100 * NOTES_MS;
        let mut notes = vec![note(1, 5), note(now, 0), note(now - 5, 2), note(now, 0)];
        forget(&mut notes, now);
        assert_eq!(notes, [note(now - 5, 2), note(now, 0)]);
        forget(&mut notes, 3 * now);
        assert_eq!(notes.len(), 2, "a clock far ahead");
    }
}
