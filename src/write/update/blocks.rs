//! An item's lines, block by block: how the new ones differ from the old ones,
//! and the next output that they are put into.
//!
//! Owns the places in the next versions, those of parts that name each other
//! included. Must never hold lines: of those of one item, it holds the hashes.

use super::Updated;
use super::lines::Output;
use crate::checkpoint::{ItemKey, Known};
use crate::write::error::WriteError;
use crate::write::versions::{Entry, Fate, Versions};
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// The next output and its versions, as they grow.
pub(super) struct Growing {
    /// `None` where no line changes: the old output stays.
    out: Option<Output>,
    versions: Versions,
    /// Bytes of the output.
    length: u64,
    records: u64,
    /// Where the last part is of each item that goes on.
    parts: HashMap<ItemKey, u64>,
}

impl Growing {
    /// `header`: what stands before the first line.
    pub(super) fn new(
        mut out: Option<Output>,
        versions: Versions,
        header: &[u8],
    ) -> Result<Growing, WriteError> {
        if let Some(out) = &mut out {
            out.append(header)?;
        }
        Ok(Growing {
            out,
            versions,
            length: header.len() as u64,
            records: 0,
            parts: HashMap::new(),
        })
    }

    /// Puts a block at the end; the parts of one item come in their order.
    pub(super) fn put(&mut self, block: Entry, lines: &[u8]) -> Result<(), WriteError> {
        if let Some(out) = &mut self.out {
            out.append(lines)?;
        }
        let (key, fate, records) = (block.key, block.fate, block.records);
        let entry = Entry {
            offset: self.length,
            earlier: self.parts.remove(&key).unwrap_or_default(),
            ..block
        };
        let place = self.versions.append(&entry.lent())?;
        if fate == Fate::Part {
            self.parts.insert(key, place);
        }
        self.length += lines.len() as u64;
        self.records += records;
        Ok(())
    }

    /// Makes both durable: the output unless it stays, the versions' length, and
    /// how many records there are.
    pub(super) fn finish(mut self) -> Result<(Option<Known>, u64, u64), WriteError> {
        self.versions.sync()?;
        let known = self.out.map(Output::finish).transpose()?;
        Ok((known, self.versions.length(), self.records))
    }
}

/// More lines of one item are not told apart: all count as changed.
const MOST: u64 = 4 << 20;

/// An item's lines, old and new, told apart by their hashes.
#[derive(Debug, Default)]
pub(super) struct Compared {
    old: Vec<u64>,
    new: Vec<u64>,
    /// Those that have no hash here.
    more: [u64; 2],
}

impl Compared {
    /// So many lines are in the old output …
    pub(super) fn was(&mut self, lines: &[u8], records: u64) {
        match self.old.len() as u64 + records <= MOST {
            true => self.old.extend(hashes(lines, records)),
            false => self.more[0] += records,
        }
    }

    /// … and these in the next one.
    pub(super) fn becomes(&mut self, lines: &[u8], records: u64) {
        match self.new.len() as u64 + records <= MOST {
            true => self.new.extend(hashes(lines, records)),
            false => self.more[1] += records,
        }
    }

    /// Counts them, whatever their order: as many as are in both are unchanged,
    /// of the others each new one takes an old one's place while there are any.
    pub(super) fn count(mut self, updated: &mut Updated) {
        self.old.sort_unstable();
        self.new.sort_unstable();
        let (mut same, mut new) = (0, self.new.iter().peekable());
        for hash in &self.old {
            while new.next_if(|new| *new < hash).is_some() {}
            same += u64::from(new.next_if_eq(&hash).is_some());
        }
        let [mut old, mut new] = [&self.old, &self.new].map(|lines| lines.len() as u64 - same);
        let [more_old, more_new] = self.more;
        (old, new) = (old + more_old, new + more_new);
        let changed = old.min(new);
        updated.unchanged += same;
        updated.changed += changed;
        updated.gone += old - changed;
        updated.added += new - changed;
    }
}

/// The hash of each of so many lines.
fn hashes(lines: &[u8], records: u64) -> impl Iterator<Item = u64> {
    let newlines = lines.iter().filter(|&&byte| byte == b'\n').count() as u64;
    // Then some are in a CSV's cells, and these in quotes.
    let in_cells = newlines != records;
    let mut quoted = false;
    lines
        .split_inclusive(move |&byte| {
            quoted ^= in_cells && byte == b'"';
            byte == b'\n' && !quoted
        })
        .map(xxh3_64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(old: &[(&str, u64)], new: &[(&str, u64)]) -> [u64; 4] {
        let (mut compared, mut updated) = (Compared::default(), Updated::default());
        for (lines, records) in old {
            compared.was(lines.as_bytes(), *records);
        }
        for (lines, records) in new {
            compared.becomes(lines.as_bytes(), *records);
        }
        compared.count(&mut updated);
        [
            updated.unchanged,
            updated.changed,
            updated.gone,
            updated.added,
        ]
    }

    #[test]
    fn lines_are_counted_whatever_their_order_and_their_blocks() {
        assert_eq!(counted(&[], &[]), [0; 4]);
        assert_eq!(counted(&[("a\n", 1)], &[("a\n", 1)]), [1, 0, 0, 0]);
        assert_eq!(counted(&[("a\n", 1)], &[("b\n", 1)]), [0, 1, 0, 0]);
        assert_eq!(counted(&[("a\nb\n", 2)], &[]), [0, 0, 2, 0]);
        assert_eq!(counted(&[("", 0)], &[("a\nb\n", 2)]), [0, 0, 0, 2]);
        let old = [("c\na\n", 2), ("b\na\n", 2)];
        assert_eq!(counted(&old, &[("a\nb\nc\na\n", 4)]), [4, 0, 0, 0]);
        assert_eq!(counted(&old, &[("a\nx\ny\nz\nb\n", 5)]), [2, 2, 0, 1]);
        assert_eq!(counted(&old, &[("a\n", 1), ("x\n", 1)]), [1, 1, 2, 0]);
    }

    #[test]
    fn a_row_with_a_newline_in_a_cell_is_one_line() {
        let old = [("1,\"a\n\"\"b\"\n2,c\n", 2)];
        assert_eq!(counted(&old, &[("2,c\n1,\"a\n\"\"b\"\n", 2)]), [2, 0, 0, 0]);
        assert_eq!(counted(&old, &[("1,\"a\n\"\"d\"\n", 1)]), [0, 1, 1, 0]);
    }
}
