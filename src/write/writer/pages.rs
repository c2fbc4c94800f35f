//! An item's pages: its records together, or part by part.
//!
//! Owns the resume points: where items stand of which a part is in the output. A part
//! and its resume point are covered by the same commit ("Exactly once"), so an item goes on
//! exactly after its last record, whatever was killed; and so is the part's entry
//! in the versions, which says where the part before it is. Must never count a
//! part as done.

use super::{Appended, Writer};
use crate::checkpoint::{ItemKey, unix_ms};
use crate::outcome::{Failure, Outcome, Pages, Reason, ResumePoint, Validators};
use crate::write::encode::Encoded;
use crate::write::error::WriteError;
use crate::write::versions::{Entry, Fate};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A buffer that a long item has grown is given back.
const BUFFER: usize = 1 << 20;

/// The items in their midst.
#[derive(Debug, Default)]
pub(super) struct ResumePoints {
    /// Where each goes on.
    latest: BTreeMap<ItemKey, ResumePoint>,
    /// Where the entry of its last part is.
    parts: BTreeMap<ItemKey, u64>,
    /// Those that the next commit has to tell.
    news: BTreeSet<ItemKey>,
    /// Those that failed in a part: nothing more is written of them.
    failed: HashSet<ItemKey>,
}

impl ResumePoints {
    /// Those that the checkpoint tells, and the places of their last parts' entries.
    pub(super) fn known(
        latest: BTreeMap<ItemKey, ResumePoint>,
        parts: BTreeMap<ItemKey, u64>,
    ) -> ResumePoints {
        ResumePoints {
            latest,
            parts,
            ..ResumePoints::default()
        }
    }

    /// What the next commit has to tell.
    pub(super) fn news(&self) -> Vec<(ItemKey, Option<ResumePoint>)> {
        let told = |key: &ItemKey| (*key, self.latest.get(key).cloned());
        self.news.iter().map(told).collect()
    }

    pub(super) fn committed(&mut self) {
        self.news.clear();
    }

    /// Whether the item has failed in one of its parts.
    pub(super) fn has_failed(&self, key: ItemKey) -> bool {
        !self.failed.is_empty() && self.failed.contains(&key)
    }

    /// The item goes on there; `None` when it is done. `part`: its entry's place.
    fn set(&mut self, key: ItemKey, resume_point: Option<&ResumePoint>, part: Option<u64>) {
        if let Some(resume_point) = resume_point {
            self.latest.insert(key, resume_point.clone());
            self.news.insert(key);
            if let Some(part) = part {
                self.parts.insert(key, part);
            }
        } else if self.latest.remove(&key).is_some() {
            self.news.insert(key);
            self.parts.remove(&key);
        }
    }
}

impl Writer {
    /// Appends the records of an item's pages, all or none; with a resume point, more
    /// of it will come, unless it has failed here.
    pub(super) fn pages(
        &mut self,
        outcome: &Outcome,
        pages: &Pages,
        key: ItemKey,
    ) -> Result<Appended, WriteError> {
        let columns_known = self.encoder.found().is_some();
        self.line.clear();
        let (mut records, mut first) = (0, None);
        for record in pages.records() {
            match self.encoder.record(&outcome.id, &record, &mut self.line)? {
                Encoded::Line { begin } => {
                    records += 1;
                    first.get_or_insert(begin);
                }
                Encoded::Unreadable(message) => {
                    let failure = Failure {
                        status: Some(record.status),
                        reason: Reason::MalformedBody,
                        message,
                        attempts: 1,
                        at: record.fetched_at,
                        is_there: false,
                    };
                    return self.unreadable(outcome, failure, key, columns_known);
                }
            }
        }
        self.records += records;
        self.output.append(&self.line)?;
        // A header row that they brought along is not theirs.
        let length = first.map_or(0, |first| self.line.len() - first) as u64;
        if self.line.capacity() > BUFFER {
            self.line = Vec::new();
        }
        // They are as old as the oldest page.
        let fetched = pages.pages.iter().map(|page| unix_ms(page.fetched_at));
        let part = self.version(&Entry {
            fate: match pages.resume_point {
                Some(_) => Fate::Part,
                None => Fate::Record,
            },
            key,
            at_ms: fetched.min().unwrap_or_default(),
            offset: self.output.length() - length,
            length,
            records,
            earlier: self
                .resume_points
                .parts
                .get(&key)
                .copied()
                .unwrap_or_default(),
            validators: &Validators::default(),
        })?;
        self.resume_points
            .set(key, pages.resume_point.as_ref(), part);
        Ok(Appended::Written)
    }

    /// One of the records has no row: the item has failed, and what was
    /// encoded of these pages is not written.
    fn unreadable(
        &mut self,
        outcome: &Outcome,
        mut failure: Failure,
        key: ItemKey,
        columns_known: bool,
    ) -> Result<Appended, WriteError> {
        self.line.clear();
        if !columns_known && self.encoder.found().is_some() {
            // The header row stays: these are the columns from here on.
            self.encoder.header(&mut self.line);
            self.output.append(&self.line)?;
        }
        // An update's part is in no output yet, and may never be.
        if let (Some(resume_point), false) = (self.resume_points.latest.get(&key), self.updates) {
            let note = in_the_output(resume_point.records, resume_point.pages);
            failure.message.push_str(&note);
        }
        self.resume_points.failed.insert(key);
        self.failure(outcome, key, &failure)?;
        Ok(Appended::Failed(failure))
    }
}

/// What a failure says of the part that is written: ends a message.
pub(crate) fn in_the_output(records: u64, pages: u64) -> String {
    format!(
        " (the {records} records of the item's first {pages} pages are in the output; `retry` goes on after them)"
    )
}
