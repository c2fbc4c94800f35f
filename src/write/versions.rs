//! `<output>.versions`: where each item's lines are in the output, when they
//! were fetched, and what to ask with for newer ones.
//!
//! ```text
//! the file       offset  bytes
//!                0       8      "harvestv"
//!                8       1      format version: 1
//!                9       8      generation of the output, u64 LE: the checkpoint's (0 before the first update)
//!                17      …      entries, up to the end of the file
//!
//! an entry       0       4      length of the payload in bytes, u32 LE
//!                4       4      check, u32 LE: the low half of
//!                               XXH3-64(payload; seed = generation XOR the entry's offset in the file)
//!                8       …      payload
//!
//! payload        0       1      what became of the item: 0 its records are here, or the last of them ·
//!                               1 some of them; more follow · in an update, too: 2 unchanged · 3 gone · 4 failed
//!                1       16     the item's key
//!                17      8      when that was known to be so, Unix ms u64 LE
//!                25      8      offset of its lines in the output, u64 LE
//!                33      8      length of the lines with their newlines, u64 LE
//!                41      8      how many lines these are, u64 LE
//!                49      8      where the entry of the item's part before this one is, u64 LE (0: this is the first)
//!                57      2 + …  ETag: length u16 LE, bytes
//!                …       2 + …  Last-Modified: length u16 LE, bytes
//! ```
//!
//! The checkpoint knows this file's length and no more of it: it is made durable
//! before the block that covers the output, so what is committed has its entry,
//! and an entry of a line beyond the committed length is cut off at the next
//! open. The lines of
//! a whole file lie end to end, from the first one (before it stands a CSV's
//! header row) to the committed length, as many as there are records; a file that says
//! anything else is known to be incomplete ([`Survey`]), and no harm but to updates.
//! An item without a record is known, too: by an entry of no length.
//!
//! Owns these bytes. Must never be needed to resume a run.

mod entry;
mod survey;

pub(super) use entry::{Entry, Fate, HEAD, LEAST, MOST, check};
pub(super) use survey::{Survey, survey};

use self::entry::encode;
use super::error::WriteError;
use super::files::{look, recover};
use super::sink::{Sink, Target};
use crate::checkpoint::{ItemKey, create_like, sync_folder};
use crate::outcome::{Trail, Validators};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"harvestv";
const VERSION: u8 = 1;
/// Bytes before the first entry.
const PREFACE: usize = 17;
fn preface(generation: u64) -> [u8; PREFACE] {
    let mut bytes = [0; PREFACE];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8] = VERSION;
    bytes[9..].copy_from_slice(&generation.to_le_bytes());
    bytes
}

/// The entries of a file, one after another.
#[derive(Debug)]
pub(super) struct Entries {
    file: BufReader<File>,
    path: PathBuf,
    generation: u64,
    /// Where the next entry begins.
    pub(super) place: u64,
    payload: Vec<u8>,
}

impl Entries {
    /// `None` when there is no file that is about this generation.
    pub(super) fn of(path: &Path, generation: u64) -> Result<Option<Entries>, WriteError> {
        Ok(Entries::open(path)?.filter(|entries| entries.generation == generation))
    }

    /// `None` when there is no file, or one that is none of ours.
    fn open(path: &Path) -> Result<Option<Entries>, WriteError> {
        if look(path)?.is_none_or(|there| !there.is_file()) {
            return Ok(None);
        }
        let io = |cause| WriteError::io(path, "read the versions")(cause);
        let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(io)?);
        let mut bytes = [0; PREFACE];
        match file.read_exact(&mut bytes) {
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(io)?,
        }
        let [m @ .., g0, g1, g2, g3, g4, g5, g6, g7] = bytes;
        let generation = u64::from_le_bytes([g0, g1, g2, g3, g4, g5, g6, g7]);
        if bytes != preface(generation) {
            tracing::debug!(path = %path.display(), "not the versions of this program: {m:?}");
            return Ok(None);
        }
        Ok(Some(Entries {
            file,
            path: path.to_path_buf(),
            generation,
            place: PREFACE as u64,
            payload: Vec::new(),
        }))
    }

    /// The next entry; `None` at the end, or where something else begins.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, WriteError> {
        let mut head = [0; HEAD];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let [l0, l1, l2, l3, sum @ ..] = head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if !(LEAST..=MOST).contains(&length) {
            return Ok(None);
        }
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(length, 0);
        let whole = self.fill(&mut payload)?;
        let entry = (whole && check(&payload, self.generation, self.place) == sum)
            .then(|| Entry::decode(&payload))
            .flatten();
        self.payload = payload;
        if entry.is_some() {
            self.place += (HEAD + length) as u64;
        }
        Ok(entry)
    }

    /// The next entry, and where it begins.
    pub(super) fn with_place(&mut self) -> Result<Option<(u64, Entry)>, WriteError> {
        let place = self.place;
        Ok(self.next()?.map(|entry| (place, entry)))
    }

    /// Reads so many bytes; false when there are fewer.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<bool, WriteError> {
        match self.file.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(cause) => Err(WriteError::io(&self.path, "read the versions")(cause)),
        }
    }
}

/// The file while a run appends to it.
#[derive(Debug)]
pub(super) struct Versions {
    generation: u64,
    file: Slot,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Slot {
    /// Made by the first entry.
    Later(PathBuf),
    Open(Sink),
}

impl Versions {
    /// For a new output: nothing is there that counts.
    pub(super) fn later(path: PathBuf, generation: u64) -> Versions {
        Versions {
            generation,
            file: Slot::Later(path),
            bytes: Vec::new(),
        }
    }

    /// A new file, there at once, with the rights of the one at `like`.
    pub(super) fn create(
        path: &Path,
        generation: u64,
        like: &Path,
    ) -> Result<Versions, WriteError> {
        Ok(Versions {
            generation,
            file: Slot::Open(create(path, generation, like)?),
            bytes: Vec::new(),
        })
    }

    /// Opens what an earlier run left, cut back to what is about the first
    /// bytes of an output of this length and so many records: to the `known`
    /// length, if the file has it, else entry by entry.
    pub(super) fn recover(
        path: &Path,
        generation: u64,
        known: u64,
        (length, records): (u64, u64),
    ) -> Result<Versions, WriteError> {
        let reaches = |known: u64| -> Result<bool, WriteError> {
            let there = look(path)?.is_some_and(|there| there.len() >= known);
            Ok(there && generation_of(path)? == Some(generation))
        };
        let good = match known {
            // With nothing committed, there may be entries of what was never.
            1.. if reaches(known)? => known,
            // Not even of items without a line, which fit any output.
            0 if records == 0 && reaches(PREFACE as u64)? => PREFACE as u64,
            _ => survey(path, generation, length, records, 0)?.good,
        };
        if good == 0 {
            return Ok(Versions::later(path.to_path_buf(), generation));
        }
        let (sink, _) = recover(path, good)?;
        Ok(Versions {
            generation,
            file: Slot::Open(sink),
            bytes: Vec::new(),
        })
    }

    /// Bytes of the file, as far as they were appended.
    pub(super) fn length(&self) -> u64 {
        match &self.file {
            Slot::Later(_) => 0,
            Slot::Open(sink) => sink.length(),
        }
    }

    /// Bytes that the last commit covers.
    pub(super) fn committed_length(&self) -> u64 {
        match &self.file {
            Slot::Later(_) => 0,
            Slot::Open(sink) => sink.committed_extent().length,
        }
    }

    /// Appends an entry; tells where it is. Nothing is durable before [`sync`](Versions::sync).
    pub(super) fn append(&mut self, entry: &Entry<&Validators>) -> Result<u64, WriteError> {
        if let Slot::Later(path) = &self.file {
            // `<output>.versions`
            let output = path.with_extension("");
            self.file = Slot::Open(create(path, self.generation, &output)?);
        }
        let place = self.length();
        if let Slot::Open(sink) = &mut self.file {
            self.bytes.clear();
            encode(entry, self.generation, place, &mut self.bytes);
            sink.append(&self.bytes)?;
        }
        Ok(place)
    }

    /// Makes what was appended durable.
    pub(super) fn sync(&mut self) -> Result<(), WriteError> {
        if let Slot::Open(sink) = &mut self.file {
            sink.flush()?;
            sink.sync()?;
        }
        Ok(())
    }

    /// What was made durable is committed.
    pub(super) fn committed(&mut self) {
        if let Slot::Open(sink) = &mut self.file {
            sink.committed();
        }
    }
}

/// Where the last part is of each item that is in its midst: its entry's place.
pub(super) fn last_parts(
    path: &Path,
    generation: u64,
    trails: &BTreeMap<ItemKey, Trail>,
) -> Result<BTreeMap<ItemKey, u64>, WriteError> {
    let mut places = BTreeMap::new();
    if trails.is_empty() {
        return Ok(places);
    }
    let mut entries = Entries::of(path, generation)?;
    while let Some((place, entry)) = entries.as_mut().map_or(Ok(None), Entries::with_place)? {
        if entry.fate == Fate::Part && trails.contains_key(&entry.key) {
            places.insert(entry.key, place);
        }
    }
    Ok(places)
}

/// Makes the file, durably named, in the place of one that says nothing of this output.
fn create(path: &Path, generation: u64, like: &Path) -> Result<Sink, WriteError> {
    match look(path)? {
        Some(there) if !there.is_file() => {
            return Err(WriteError::NotAFile {
                path: path.to_path_buf(),
            });
        }
        Some(_) => fs::remove_file(path).map_err(WriteError::io(path, "remove old versions"))?,
        None => {}
    }
    let mut options = fs::OpenOptions::new();
    let file = create_like(options.append(true).create_new(true), path, like)
        .map_err(WriteError::io(path, "create the versions"))?;
    sync_folder(path).map_err(WriteError::io(path, "make the versions durable"))?;
    let mut sink = Sink::new(Target::File(file), path, 0);
    sink.append(&preface(generation))?;
    // Our mark is durable before anything that a power loss could garble.
    sink.flush()?;
    sink.sync()?;
    Ok(sink)
}

/// Which output a file is about; `None` when it is none of ours.
pub(super) fn generation_of(path: &Path) -> Result<Option<u64>, WriteError> {
    Ok(Entries::open(path)?.map(|entries| entries.generation))
}

#[cfg(test)]
mod tests;
