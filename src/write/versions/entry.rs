//! One entry, and its bytes (the format is in [`super`]'s header).
//!
//! Must never read or write a file, or trust a length.

use crate::checkpoint::ItemKey;
use crate::outcome::Validators;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of an entry before its payload.
pub(in crate::write) const HEAD: usize = 8;
/// Bytes of a payload without validators.
pub(in crate::write) const LEAST: usize = 61;
/// A payload is never longer: two validators of a length that fits 16 bits.
pub(in crate::write) const MOST: usize = LEAST + 2 * u16::MAX as usize;

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::write) enum Fate {
    /// It has its records in this output: one, several or none.
    Record,
    /// Some of its records are in this output, and more follow.
    Part,
    /// The record of before still holds.
    Unchanged,
    /// There is no such item any more: 404 or 410.
    Gone,
    /// It could not be asked.
    Failed,
}

/// One item. Its validators are its own, or lent by whoever has it written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::write) struct Entry<V = Validators> {
    pub(in crate::write) fate: Fate,
    pub(in crate::write) key: ItemKey,
    /// Unix ms.
    pub(in crate::write) at_ms: u64,
    /// Of its lines, which lie end to end; 0 for an item without any.
    pub(in crate::write) offset: u64,
    /// Of the lines, with their newlines.
    pub(in crate::write) length: u64,
    /// How many these are.
    pub(in crate::write) records: u64,
    /// Where the entry of the item's part before this one is; 0: there is none.
    pub(in crate::write) earlier: u64,
    pub(in crate::write) validators: V,
}

impl<V> Entry<V> {
    /// Of an item that brought none.
    pub(in crate::write) fn without_lines(
        fate: Fate,
        key: ItemKey,
        at_ms: u64,
        validators: V,
    ) -> Entry<V> {
        Entry {
            fate,
            key,
            at_ms,
            offset: 0,
            length: 0,
            records: 0,
            earlier: 0,
            validators,
        }
    }
}

impl Entry {
    /// The same, lent.
    pub(in crate::write) fn lent(&self) -> Entry<&Validators> {
        Entry {
            fate: self.fate,
            key: self.key,
            at_ms: self.at_ms,
            offset: self.offset,
            length: self.length,
            records: self.records,
            earlier: self.earlier,
            validators: &self.validators,
        }
    }

    /// Whether it tells of lines in this output, and be it of none.
    pub(in crate::write) fn has_place(&self) -> bool {
        matches!(self.fate, Fate::Record | Fate::Part)
    }

    /// The byte after the lines.
    pub(super) fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.length)
    }

    /// The entry in a payload; `None` when it is none.
    pub(in crate::write) fn decode(payload: &[u8]) -> Option<Entry> {
        let (&fate, rest) = payload.split_first()?;
        let fate = match fate {
            0 => Fate::Record,
            1 => Fate::Part,
            2 => Fate::Unchanged,
            3 => Fate::Gone,
            4 => Fate::Failed,
            _ => return None,
        };
        let (key, rest) = rest.split_first_chunk::<16>()?;
        let (at_ms, rest) = rest.split_first_chunk::<8>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (records, rest) = rest.split_first_chunk::<8>()?;
        let (earlier, rest) = rest.split_first_chunk::<8>()?;
        let (etag, rest) = text(rest)?;
        let (last_modified, rest) = text(rest)?;
        rest.is_empty().then(|| Entry {
            fate,
            key: ItemKey::from_bytes(*key),
            at_ms: u64::from_le_bytes(*at_ms),
            offset: u64::from_le_bytes(*offset),
            length: u64::from_le_bytes(*length),
            records: u64::from_le_bytes(*records),
            earlier: u64::from_le_bytes(*earlier),
            validators: Validators {
                etag,
                last_modified,
            },
        })
    }
}

/// Appends an entry's bytes, for this place in the file.
pub(super) fn encode(entry: &Entry<&Validators>, generation: u64, place: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    out.push(match entry.fate {
        Fate::Record => 0,
        Fate::Part => 1,
        Fate::Unchanged => 2,
        Fate::Gone => 3,
        Fate::Failed => 4,
    });
    out.extend_from_slice(&entry.key.to_bytes());
    let (records, earlier) = (entry.records, entry.earlier);
    for number in [entry.at_ms, entry.offset, entry.length, records, earlier] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for value in [&entry.validators.etag, &entry.validators.last_modified] {
        // One that is too long to be kept is like none.
        let value = value.as_deref().unwrap_or_default();
        let length = u16::try_from(value.len()).unwrap_or(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(value.get(..usize::from(length)).unwrap_or_default());
    }
    let payload = out.get(start + HEAD..).unwrap_or_default();
    let check = check(payload, generation, place);
    let length = payload.len() as u32;
    let head = u64::from(length) | u64::from(u32::from_le_bytes(check)) << 32;
    if let Some(place) = out.get_mut(start..start + HEAD) {
        place.copy_from_slice(&head.to_le_bytes());
    }
}

/// A validator, and the bytes that follow it.
type Text<'a> = (Option<Box<[u8]>>, &'a [u8]);

/// A validator, and what follows it.
fn text(bytes: &[u8]) -> Option<Text<'_>> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    Some(((!value.is_empty()).then(|| value.into()), rest))
}

/// What an entry's check is.
pub(in crate::write) fn check(payload: &[u8], generation: u64, place: u64) -> [u8; 4] {
    (xxh3_64_with_seed(payload, generation ^ place) as u32).to_le_bytes()
}
