//! Reads a checkpoint from its start to its last good block.
//!
//! Owns the decision between torn and damaged (see `format.rs`). Streams: keys
//! go to whoever asked and are not kept. Must never change a file, so it is
//! safe while another process appends: a block that is only half there then
//! looks torn, and is ignored.

use super::commit::{Closing, Commit, KEY, Range};
use super::done::ItemKey;
use super::error::CheckpointError;
use super::format::{self, BlockKind, HEAD, Head, Header, PREFACE};
use super::shape::Shape;
use crate::outcome::ResumePoint;
use crate::pace::Note;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes that the search for a later block reads at a time.
const WINDOW: usize = 1 << 20;
/// Keys that are handed over at once.
const TOGETHER: usize = 1_024;

/// What a checkpoint knows about a file, from its start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Bytes.
    pub(crate) length: u64,
    /// Unix ns, after a closing commit.
    pub(crate) mtime_ns: i64,
    /// They cover the file.
    pub(crate) ranges: Vec<Range>,
}

/// What a checkpoint says, keys aside.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// RFC 3339.
    pub(crate) created: String,
    pub(crate) shape: Shape,
    /// Which update the output came from; 0 before the first.
    pub(crate) generation: u64,
    /// Commit blocks that were made in one go.
    pub(crate) base: u64,
    /// Blocks after the header.
    pub(crate) blocks: u64,
    pub(crate) keys: u64,
    pub(crate) records: u64,
    pub(crate) failed: BTreeMap<String, u64>,
    pub(crate) notes: Vec<Note>,
    pub(crate) columns: Option<Vec<String>>,
    /// An item that was answered well.
    pub(crate) known_good: Option<String>,
    /// Items of which a part is in the output, and where each goes on.
    pub(crate) resume_points: BTreeMap<ItemKey, ResumePoint>,
    pub(crate) output: Known,
    pub(crate) failures: Known,
    /// Bytes of the versions file that are about the output.
    pub(crate) versions: u64,
    /// Of the last commit, unless the output was opened again after it.
    pub(crate) closing: Closing,
    /// The last block began the failures file anew; whether the new file has
    /// its name is for whoever opens it to see.
    pub(crate) rewriting: bool,
    /// Unix ms of the last commit.
    pub(crate) committed_ms: Option<u64>,
    pub(super) salt: u64,
    pub(super) seed: u64,
    /// Where the last good block begins.
    pub(super) last: u64,
    /// Bytes up to the end of the last good block.
    pub(super) end: u64,
    /// Bytes of a torn block after that.
    pub(super) torn: u64,
}

/// Reads the checkpoint; `None` when there is none. `keys` gets every key, many at a time.
///
/// # Errors
/// [`CheckpointError`]: not a checkpoint, another version, damaged, or unreadable.
pub(crate) fn scan(
    path: &Path,
    keys: impl FnMut(&[ItemKey]),
) -> Result<Option<State>, CheckpointError> {
    // Opening a FIFO would wait for whoever writes to it.
    let opened = fs::metadata(path).and_then(|there| match there.is_file() {
        true => File::open(path).map(Some),
        false => Ok(None),
    });
    let file = match opened {
        Ok(Some(file)) => file,
        Ok(None) => {
            return Err(CheckpointError::NotACheckpoint {
                path: path.to_path_buf(),
            });
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(CheckpointError::io(path, "open the checkpoint")(cause)),
    };
    let size = file.metadata();
    let size = size
        .map_err(CheckpointError::io(path, "read the checkpoint"))?
        .len();
    match scan_bytes(file, size, keys) {
        Ok(state) => Ok(Some(state)),
        Err(Fault::Io(cause)) => Err(CheckpointError::io(path, "read the checkpoint")(cause)),
        Err(Fault::NotOurs) => Err(CheckpointError::NotACheckpoint {
            path: path.to_path_buf(),
        }),
        Err(Fault::Version(found)) => Err(CheckpointError::Version {
            path: path.to_path_buf(),
            found,
            known: format::VERSION,
        }),
        Err(Fault::Damaged(offset)) => Err(CheckpointError::Damaged {
            path: path.to_path_buf(),
            offset,
        }),
    }
}

/// Why a checkpoint can't be read.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    NotOurs,
    Version(u8),
    /// The offset of the block.
    Damaged(u64),
}

impl From<io::Error> for Fault {
    fn from(cause: io::Error) -> Fault {
        Fault::Io(cause)
    }
}

/// The next thing in the file.
enum Step {
    Block(BlockKind),
    /// The file ends here.
    End,
    Torn,
}

/// [`scan`], wherever the bytes are.
pub(super) fn scan_bytes(
    source: impl Read + Seek,
    size: u64,
    mut take: impl FnMut(&[ItemKey]),
) -> Result<State, Fault> {
    let mut file = BufReader::with_capacity(1 << 18, source);
    if size < PREFACE as u64 {
        return Err(Fault::Damaged(0));
    }
    let mut preface = [0; PREFACE];
    file.read_exact(&mut preface)?;
    let [magic @ .., version, s0, s1, s2, s3, s4, s5, s6, s7] = preface;
    if magic != format::MAGIC {
        return Err(Fault::NotOurs);
    } else if version != format::VERSION {
        return Err(Fault::Version(version));
    }
    let mut state = State {
        salt: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
        seed: format::first_seed(&preface),
        end: PREFACE as u64,
        ..State::default()
    };
    let mut payload = Vec::new();
    let mut together = Vec::with_capacity(TOGETHER);
    match step(&mut file, size, &mut state, &mut payload)? {
        Step::Block(BlockKind::Header) => {}
        _ => return Err(Fault::Damaged(PREFACE as u64)),
    }
    let header: Header =
        serde_json::from_slice(&payload).map_err(|_| Fault::Damaged(PREFACE as u64))?;
    state.created = header.created;
    state.shape = Shape {
        fields: header.shape,
    };
    state.base = header.base;
    state.generation = header.generation;
    loop {
        let offset = state.end;
        match step(&mut file, size, &mut state, &mut payload)? {
            Step::Block(kind @ (BlockKind::Commit | BlockKind::Rewriting)) => {
                let (mut commit, keys) = Commit::decode(&payload).ok_or(Fault::Damaged(offset))?;
                commit.rewrites_failures = kind == BlockKind::Rewriting;
                state.apply(commit).ok_or(Fault::Damaged(offset))?;
                state.keys += (keys.len() / KEY) as u64;
                for bytes in keys.as_chunks::<KEY>().0.chunks(TOGETHER) {
                    together.clear();
                    together.extend(bytes.iter().copied().map(ItemKey::from_bytes));
                    take(&together);
                }
            }
            Step::Block(BlockKind::Opened) => {
                state.closing = Closing::No;
                state.rewriting = false;
            }
            Step::Block(BlockKind::Header) => return Err(Fault::Damaged(offset)),
            // What was made in one go is never torn.
            Step::End | Step::Torn if state.blocks < state.base => {
                return Err(Fault::Damaged(offset));
            }
            Step::End => return Ok(state),
            Step::Torn => {
                state.torn = size - offset;
                return Ok(state);
            }
        }
        state.blocks += 1;
    }
}

/// Reads the block at `state.end` into `payload`.
fn step(
    file: &mut (impl Read + Seek),
    size: u64,
    state: &mut State,
    payload: &mut Vec<u8>,
) -> Result<Step, Fault> {
    let offset = state.end;
    let left = size.saturating_sub(offset);
    if left == 0 {
        return Ok(Step::End);
    } else if left < HEAD as u64 {
        return Ok(Step::Torn);
    }
    let mut bytes = [0; HEAD];
    match file.read_exact(&mut bytes) {
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(Step::Torn), // cut meanwhile
        read => read?,
    }
    let Some(Head {
        length,
        kind,
        checksum,
    }) = format::head(&bytes, offset, state.salt)
    else {
        return match another_block(file, offset + 1, size, state.salt)? {
            true => Err(Fault::Damaged(offset)),
            false => Ok(Step::Torn),
        };
    };
    let end = offset + HEAD as u64 + u64::from(length);
    if end > size {
        return Ok(Step::Torn);
    }
    payload.clear();
    let read = file.take(u64::from(length)).read_to_end(payload)?;
    if read as u64 != u64::from(length) {
        return Ok(Step::Torn); // cut meanwhile
    }
    if format::checksum(kind, payload, state.seed) != checksum {
        return if end == size {
            Ok(Step::Torn)
        } else {
            Err(Fault::Damaged(offset))
        };
    }
    state.seed = checksum;
    state.last = offset;
    state.end = end;
    Ok(Step::Block(kind))
}

/// Whether a block begins anywhere from `from` on.
fn another_block(
    file: &mut (impl Read + Seek),
    from: u64,
    size: u64,
    salt: u64,
) -> io::Result<bool> {
    file.seek(SeekFrom::Start(from))?;
    let mut window = Vec::with_capacity(WINDOW + HEAD);
    let mut start = from; // the offset of the window's first byte
    loop {
        let read = file.by_ref().take(WINDOW as u64).read_to_end(&mut window)?;
        for (at, bytes) in window.windows(HEAD).enumerate() {
            let offset = start + at as u64;
            if let Some(head) = bytes
                .try_into()
                .ok()
                .and_then(|bytes| format::head(bytes, offset, salt))
            {
                // The head may be of a block that is torn itself: the one before it was durable then.
                tracing::debug!(
                    offset,
                    length = head.length,
                    size,
                    "a block after a damaged one"
                );
                return Ok(true);
            }
        }
        if read == 0 {
            return Ok(false);
        }
        let done = window.len().saturating_sub(HEAD - 1);
        window.drain(..done);
        start += done as u64;
    }
}

impl State {
    /// Adds a commit; `None` when it contradicts those before it.
    fn apply(&mut self, commit: Commit) -> Option<()> {
        self.rewriting = commit.rewrites_failures;
        if self.rewriting {
            self.failures = Known::default();
            self.failed.clear();
        }
        for (known, extent) in [
            (&mut self.output, commit.output),
            (&mut self.failures, commit.failures),
        ] {
            let added: u64 = extent
                .ranges
                .iter()
                .try_fold(0u64, |sum, range| sum.checked_add(range.length))?;
            if known.length.checked_add(added)? != extent.length {
                return None;
            }
            known.length = extent.length;
            known.mtime_ns = extent.mtime_ns;
            known.ranges.extend(extent.ranges);
        }
        self.versions = commit.versions;
        self.committed_ms = Some(commit.at_ms);
        self.closing = commit.closing;
        self.records = commit.records;
        self.notes.extend(commit.notes);
        for (reason, added) in commit.failed {
            let count = self.failed.entry(reason).or_default();
            *count = count.checked_add(added)?;
        }
        self.columns = commit.columns.or(self.columns.take());
        self.known_good = commit.known_good.unwrap_or(self.known_good.take());
        for (key, resume_point) in commit.resume_points {
            match resume_point {
                Some(resume_point) => self.resume_points.insert(key, resume_point),
                None => self.resume_points.remove(&key),
            };
        }
        Some(())
    }
}
