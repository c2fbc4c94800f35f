//! From an item's key to its entry in a versions file.
//!
//! Owns a hash table on the disk: memory holds none of it ("Memory does not grow with the list"), the
//! system's cache does. Each slot has 48 bits of an entry's offset in the
//! versions file and 16 of its key's hash; a key that comes twice is known by
//! its last entry. The table is made anew by each run that needs one, and has
//! no name as soon as it is there, where the system allows that.

use super::error::WriteError;
use super::versions::{self, Entries, Entry, Fate, HEAD, LEAST, MOST};
use crate::checkpoint::ItemKey;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of a slot.
const SLOT: u64 = 8;
/// Slots at least.
const FEWEST: u64 = 64;
/// What is read of an entry at once: few have longer validators.
const GLANCE: usize = 256;

/// The entries of one versions file, by key.
#[derive(Debug)]
pub(super) struct Index {
    table: File,
    /// Slots − 1; their number is a power of two.
    mask: u64,
    log: File,
    log_path: PathBuf,
    path: PathBuf,
    generation: u64,
}

impl Index {
    /// Indexes the entries at `log`; `table` is where the table may be. `None`
    /// when there are none of this generation.
    pub(super) fn build(
        log: &Path,
        generation: u64,
        table: &Path,
    ) -> Result<Option<Index>, WriteError> {
        let Some(mut entries) = Entries::of(log, generation)? else {
            return Ok(None);
        };
        let io = |cause| WriteError::io(log, "read the versions")(cause);
        let bytes = fs::metadata(log).map_err(io)?.len();
        // More than there are entries, by half at least.
        let slots = (bytes / (HEAD + LEAST) as u64 * 3 / 2)
            .max(FEWEST)
            .next_power_of_two();
        let index = Index {
            table: create(table, slots * SLOT)
                .map_err(WriteError::io(table, "make an index of the versions"))?,
            mask: slots - 1,
            log: File::open(log).map_err(io)?,
            log_path: log.to_path_buf(),
            path: table.to_path_buf(),
            generation,
        };
        loop {
            let place = entries.place;
            let Some(entry) = entries.next()? else {
                return Ok(Some(index));
            };
            index
                .insert(entry.key, place)
                .map_err(WriteError::io(table, "make an index of the versions"))?;
        }
    }

    /// The item's last entry, and where it is in the versions file.
    pub(super) fn find(&self, key: ItemKey) -> Result<Option<(u64, Entry)>, WriteError> {
        self.search(key)
            .map(|(_, found)| found)
            .map_err(WriteError::io(&self.path, "look into the versions"))
    }

    /// The entry at a place that another one names.
    pub(super) fn at(&self, place: u64) -> Result<Entry, WriteError> {
        let io = |cause| WriteError::io(&self.log_path, "read the versions")(cause);
        self.entry(place)
            .map_err(io)?
            .ok_or_else(|| self.disturbed())
    }

    /// The places of an item's parts, in their order; the last one's is given.
    pub(super) fn parts(&self, last: u64) -> Result<Vec<u64>, WriteError> {
        let mut place = last;
        let mut entry = self.at(place)?;
        let mut places = vec![place];
        while entry.earlier > 0 {
            let before = match entry.earlier < place {
                true => self.at(entry.earlier)?,
                false => return Err(self.disturbed()),
            };
            if before.fate != Fate::Part || before.key != entry.key {
                return Err(self.disturbed());
            }
            place = entry.earlier;
            entry = before;
            places.push(place);
        }
        places.reverse();
        Ok(places)
    }

    /// Whether any of an item's parts has a line; the last one's place is given.
    pub(super) fn has_lines(&self, last: u64) -> Result<bool, WriteError> {
        for place in self.parts(last)? {
            if self.at(place)?.length > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn disturbed(&self) -> WriteError {
        WriteError::Disturbed {
            path: self.log_path.clone(),
        }
    }

    fn insert(&self, key: ItemKey, place: u64) -> io::Result<()> {
        let (slot, _) = self.search(key)?;
        let value = place | tag(key) << 48;
        write_at(&self.table, &value.to_le_bytes(), slot * SLOT)
    }

    /// The key's slot, or the free one that it would have.
    fn search(&self, key: ItemKey) -> io::Result<(u64, Option<(u64, Entry)>)> {
        let mut slot = start(key) & self.mask;
        loop {
            let mut bytes = [0; SLOT as usize];
            read_at(&self.table, &mut bytes, slot * SLOT)?;
            let value = u64::from_le_bytes(bytes);
            if value == 0 {
                return Ok((slot, None));
            }
            let place = value & ((1 << 48) - 1);
            if value >> 48 == tag(key)
                && let Some(entry) = self.entry(place)?.filter(|entry| entry.key == key)
            {
                return Ok((slot, Some((place, entry))));
            }
            slot = (slot + 1) & self.mask;
        }
    }

    /// The entry at this place of the versions file.
    fn entry(&self, place: u64) -> io::Result<Option<Entry>> {
        let mut bytes = vec![0; GLANCE];
        let mut got = read_most(&self.log, &mut bytes, place)?;
        let Some((head, _)) = bytes.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let [l0, l1, l2, l3, sum @ ..] = *head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > MOST {
            return Ok(None);
        }
        if HEAD + length > got {
            bytes.resize(HEAD + length, 0);
            got = read_most(&self.log, &mut bytes, place)?;
        }
        let payload = bytes
            .get(HEAD..HEAD + length)
            .filter(|_| HEAD + length <= got);
        Ok(payload
            .filter(|payload| versions::check(payload, self.generation, place) == sum)
            .and_then(Entry::decode))
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        if !cfg!(unix) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where the search begins.
fn start(key: ItemKey) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = key.to_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// What tells most keys apart without a look at their entries.
fn tag(key: ItemKey) -> u64 {
    let [a, b, ..] = key.to_bytes();
    u64::from(u16::from_le_bytes([a, b]))
}

/// A file of zeros; without a name, where an open file may lose it.
fn create(path: &Path, bytes: u64) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    if cfg!(unix) {
        fs::remove_file(path)?;
    }
    file.set_len(bytes)?;
    Ok(file)
}

/// Reads as much as there is, up to the buffer's length.
fn read_most(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match read_some(file, rest, offset + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(got)
}

/// Reads exactly this many bytes.
pub(super) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    match read_most(file, bytes, offset)? == bytes.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(unix)]
fn read_some(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn read_some(mut file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    use io::{Read, Seek};
    file.seek(io::SeekFrom::Start(offset))?;
    file.read(bytes)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    use io::{Seek, Write};
    file.seek(io::SeekFrom::Start(offset))?;
    file.write_all(bytes)
}
