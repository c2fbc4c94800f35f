//! What a commit block holds.
//!
//! ```text
//! offset  bytes
//! 0       8      when, Unix ms u64 LE
//! 8       1      closing: 0 no · 1 the run paused · 2 the run finished
//! 9       8      records in the output, in all
//! 17      8      length of the output
//! 25      8      length of the failures file
//! 33      8      length of the versions file, as far as it is about that output
//! 41      8      modification time of the output, Unix ns i64 LE; 0 unless closing
//! 49      8      modification time of the failures file, likewise
//! 57      …      ranges of the output:        u32 n, n × (length u64, CRC-32 u32)
//!         …      ranges of the failures file: u32 n, n × (length u64, CRC-32 u32)
//!         …      notes: u32 n, n × (at_ms u64, starts u32, lease u32, lease_until_ms u64, pause_until_ms u64,
//!                boot u64, up_ms u64, rate_milli u64, concurrency u32, limit u64, window_ms u64);
//!                boot is 0 when it is unknown
//!         …      failures added, by reason: u32 n, n × (length u32, name, count u64)
//!         …      columns: u8 whether they became known here; if so: u32 n, n × (length u32, name)
//!         …      known good item: u8 0 the one of before · 1 none any more · 2 this one: length u32, ID
//!         …      resume points: u32 n, n × (key 16, u8 whether there is one; if so: pages u64, elements u64,
//!                records u64, marker u64, length u32, next)
//!         …      keys of the newly done items: u32 n, n × 16
//! ```
//! Numbers are little endian. The ranges are those that the commit added; the
//! ranges of all blocks together cover the file from its start. All else but
//! the totals is what the commit added too. A resume point takes the place of the
//! item's earlier one; an item without one has none any more.
//!
//! Owns these bytes. Must never read or write a file, or trust a length.

use super::done::ItemKey;
use crate::outcome::ResumePoint;
use crate::pace::{Learnt, Note, Uptime};

/// Bytes of one key.
pub(super) const KEY: usize = 16;

/// Whether a commit is the last one of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Closing {
    /// The run goes on.
    #[default]
    No,
    /// The run stops here and can be resumed.
    Paused,
    /// Every item of the list has its fate.
    Finished,
}

/// Bytes of a file, and their CRC-32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) length: u64,
    pub(crate) crc: u32,
}

/// What a commit says about one of the two files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    /// Bytes in all.
    pub(crate) length: u64,
    /// Unix ns; 0 when it does not matter.
    pub(crate) mtime_ns: i64,
    /// What was added.
    pub(crate) ranges: Vec<Range>,
}

/// A commit, without its keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Commit {
    /// Unix ms.
    pub(crate) at_ms: u64,
    pub(crate) closing: Closing,
    /// Records in the output, in all.
    pub(crate) records: u64,
    pub(crate) output: Extent,
    pub(crate) failures: Extent,
    /// Bytes of the versions file that are about the output so far.
    pub(crate) versions: u64,
    pub(crate) notes: Vec<Note>,
    /// Failures added, by reason.
    pub(crate) failed: Vec<(String, u64)>,
    /// CSV columns, when they became known.
    pub(crate) columns: Option<Vec<String>>,
    /// The ID of an item that was answered well, when it is another than before:
    /// `Some(None)` when there is none any more.
    pub(crate) known_good: Option<Option<String>>,
    /// Of the items in whose midst the commit was made: where they stand now,
    /// `None` when they are done.
    pub(crate) resume_points: Vec<(ItemKey, Option<ResumePoint>)>,
    /// The failures file begins anew: `failures` and `failed` are about all of
    /// it. Said by the block's kind, not in the payload.
    pub(crate) rewrites_failures: bool,
}

impl Commit {
    /// The payload. `None` when a list is longer than a block can hold.
    pub(super) fn encode(&self, keys: &[ItemKey]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(128 + keys.len() * KEY);
        out.extend_from_slice(&self.at_ms.to_le_bytes());
        out.push(match self.closing {
            Closing::No => 0,
            Closing::Paused => 1,
            Closing::Finished => 2,
        });
        out.extend_from_slice(&self.records.to_le_bytes());
        out.extend_from_slice(&self.output.length.to_le_bytes());
        out.extend_from_slice(&self.failures.length.to_le_bytes());
        out.extend_from_slice(&self.versions.to_le_bytes());
        out.extend_from_slice(&self.output.mtime_ns.to_le_bytes());
        out.extend_from_slice(&self.failures.mtime_ns.to_le_bytes());
        for extent in [&self.output, &self.failures] {
            count(&mut out, extent.ranges.len())?;
            for range in &extent.ranges {
                out.extend_from_slice(&range.length.to_le_bytes());
                out.extend_from_slice(&range.crc.to_le_bytes());
            }
        }
        count(&mut out, self.notes.len())?;
        for note in &self.notes {
            out.extend_from_slice(&note.at_ms.to_le_bytes());
            out.extend_from_slice(&note.starts.to_le_bytes());
            out.extend_from_slice(&note.lease.to_le_bytes());
            out.extend_from_slice(&note.lease_until_ms.to_le_bytes());
            out.extend_from_slice(&note.pause_until_ms.to_le_bytes());
            let (boot, ms) = note.up.map_or((0, 0), |up| (up.boot, up.ms));
            out.extend_from_slice(&boot.to_le_bytes());
            out.extend_from_slice(&ms.to_le_bytes());
            out.extend_from_slice(&note.learnt.rate_milli.to_le_bytes());
            out.extend_from_slice(&note.learnt.concurrency.to_le_bytes());
            out.extend_from_slice(&note.learnt.limit.to_le_bytes());
            out.extend_from_slice(&note.learnt.window_ms.to_le_bytes());
        }
        count(&mut out, self.failed.len())?;
        for (reason, added) in &self.failed {
            text(&mut out, reason)?;
            out.extend_from_slice(&added.to_le_bytes());
        }
        out.push(u8::from(self.columns.is_some()));
        if let Some(columns) = &self.columns {
            count(&mut out, columns.len())?;
            for column in columns {
                text(&mut out, column)?;
            }
        }
        match &self.known_good {
            None => out.push(0),
            Some(None) => out.push(1),
            Some(Some(id)) => {
                out.push(2);
                text(&mut out, id)?;
            }
        }
        count(&mut out, self.resume_points.len())?;
        for (key, resume_point) in &self.resume_points {
            out.extend_from_slice(&key.to_bytes());
            out.push(u8::from(resume_point.is_some()));
            if let Some(resume_point) = resume_point {
                for number in [
                    resume_point.pages,
                    resume_point.elements,
                    resume_point.records,
                    resume_point.marker,
                ] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                text(&mut out, &resume_point.next)?;
            }
        }
        count(&mut out, keys.len())?;
        for key in keys {
            out.extend_from_slice(&key.to_bytes());
        }
        Some(out)
    }

    /// The commit in a payload, and its keys' bytes. `None` when it is not one.
    pub(super) fn decode(payload: &[u8]) -> Option<(Commit, &[u8])> {
        let mut rest = Rest(payload);
        let at_ms = rest.u64()?;
        let closing = match rest.u8()? {
            0 => Closing::No,
            1 => Closing::Paused,
            2 => Closing::Finished,
            _ => return None,
        };
        let records = rest.u64()?;
        let mut output = Extent {
            length: rest.u64()?,
            ..Extent::default()
        };
        let mut failures = Extent {
            length: rest.u64()?,
            ..Extent::default()
        };
        let versions = rest.u64()?;
        output.mtime_ns = i64::from_le_bytes(rest.array()?);
        failures.mtime_ns = i64::from_le_bytes(rest.array()?);
        for extent in [&mut output, &mut failures] {
            for _ in 0..rest.u32()? {
                extent.ranges.push(Range {
                    length: rest.u64()?,
                    crc: rest.u32()?,
                });
            }
        }
        let mut notes = Vec::new();
        for _ in 0..rest.u32()? {
            notes.push(rest.note()?);
        }
        let mut failed = Vec::new();
        for _ in 0..rest.u32()? {
            failed.push((rest.text()?, rest.u64()?));
        }
        let columns = match rest.u8()? {
            0 => None,
            _ => Some(rest.texts()?),
        };
        let known_good = match rest.u8()? {
            0 => None,
            1 => Some(None),
            2 => Some(Some(rest.text()?)),
            _ => return None,
        };
        let resume_points = rest.resume_points()?;
        let keys = usize::try_from(rest.u32()?).ok()?.checked_mul(KEY)?;
        let commit = Commit {
            at_ms,
            closing,
            records,
            output,
            failures,
            versions,
            notes,
            failed,
            columns,
            known_good,
            resume_points,
            rewrites_failures: false,
        };
        (rest.0.len() == keys).then_some((commit, rest.0))
    }
}

/// Appends a list's length.
fn count(out: &mut Vec<u8>, n: usize) -> Option<()> {
    out.extend_from_slice(&u32::try_from(n).ok()?.to_le_bytes());
    Some(())
}

/// Appends a text.
fn text(out: &mut Vec<u8>, text: &str) -> Option<()> {
    count(out, text.len())?;
    out.extend_from_slice(text.as_bytes());
    Some(())
}

/// What is left of a payload.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn note(&mut self) -> Option<Note> {
        Some(Note {
            at_ms: self.u64()?,
            starts: self.u32()?,
            lease: self.u32()?,
            lease_until_ms: self.u64()?,
            pause_until_ms: self.u64()?,
            up: {
                let (boot, ms) = (self.u64()?, self.u64()?);
                (boot != 0).then_some(Uptime { boot, ms })
            },
            learnt: Learnt {
                rate_milli: self.u64()?,
                concurrency: self.u32()?,
                limit: self.u64()?,
                window_ms: self.u64()?,
            },
        })
    }

    fn texts(&mut self) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        for _ in 0..self.u32()? {
            texts.push(self.text()?);
        }
        Some(texts)
    }

    fn resume_points(&mut self) -> Option<Vec<(ItemKey, Option<ResumePoint>)>> {
        let mut resume_points = Vec::new();
        for _ in 0..self.u32()? {
            let key = ItemKey::from_bytes(self.array()?);
            let resume_point = match self.u8()? {
                0 => None,
                _ => Some(ResumePoint {
                    pages: self.u64()?,
                    elements: self.u64()?,
                    records: self.u64()?,
                    marker: self.u64()?,
                    next: self.text()?,
                }),
            };
            resume_points.push((key, resume_point));
        }
        Some(resume_points)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.u32()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests;
