//! The next output, its versions and its failures: made of the old ones and of
//! what the update brought.
//!
//! Owns what becomes of each line: a record that is gone (404, 410) leaves, one
//! that could not be asked stays as it is, and so does one that nobody listed.
//! Where no line changes, the output is not touched at all. Must never hold a
//! line of every item in memory.

use super::lines::{Lines, Output};
use super::{KnownRecords, Updated, survey_of};
use crate::checkpoint::{Closing, DoneSet, Files, ItemKey, Known, State, sync_folder, unix_ms};
use crate::fail_point::fail_point;
use crate::outcome::Validators;
use crate::write::error::WriteError;
use crate::write::failures::{self, FailedItem};
use crate::write::files::look;
use crate::write::generation::discard;
use crate::write::index::Index;
use crate::write::versions::{Entries, Entry, Fate, Versions};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

/// The next output, made of the old one and the update.
pub(super) struct Next<'a> {
    pub(super) files: &'a Files,
    pub(super) delta: &'a Files,
    /// The old output's records.
    pub(super) known: KnownRecords,
    /// The update's entries.
    pub(super) news: Option<Index>,
    pub(super) old: &'a State,
    pub(super) new: &'a State,
    /// The items that the update has committed.
    pub(super) done: &'a DoneSet,
    pub(super) now_ms: u64,
}

impl Next<'_> {
    /// Writes the next files, durably; tells what the checkpoint is to say of them.
    pub(super) fn write(&self) -> Result<(State, Updated), WriteError> {
        let next = self.files.next();
        discard(&next)?;
        let mut updated = Updated::default();
        let (output, versions) = self.output(&next, &mut updated)?;
        fail_point!("update: next output written");
        let (failures, failed) = self.failures(&next)?;
        fail_point!("update: next failures written");
        sync_folder(&next.output)
            .map_err(WriteError::io(&next.output, "make the next output durable"))?;
        fail_point!("update: next files durable");
        updated.failed = failed.values().sum();
        let mut notes = self.old.notes.clone();
        notes.extend(self.new.notes.iter().copied());
        notes.sort_by_key(|note| note.at_ms);
        let mut state = State::default();
        state.created = self.old.created.clone();
        state.shape = self.old.shape.clone();
        state.generation = self.new.generation;
        state.records = updated.records;
        state.failed = failed;
        state.notes = notes;
        state.columns = self.old.columns.clone().or(self.new.columns.clone());
        state.output = output;
        state.failures = failures;
        state.versions = Some(versions);
        state.closing = Closing::Finished;
        state.committed_ms = Some(unix_ms(SystemTime::now()));
        Ok((state, updated))
    }

    /// What the update says of the item, unless what the old output says is newer:
    /// a retry may have got it since.
    fn news(&self, key: ItemKey) -> Result<Option<(u64, Entry)>, WriteError> {
        let news = match &self.news {
            Some(index) if self.done.contains(key) => index.find(key)?,
            _ => None,
        };
        let Some((place, news)) = news else {
            return Ok(None);
        };
        // A record from the future was written by a clock that was wrong.
        let overtaken = self
            .known
            .entry(key)?
            .is_some_and(|old| news.at_ms < old.at_ms && old.at_ms <= self.now_ms);
        Ok((!overtaken).then_some((place, news)))
    }

    /// The next output, unless no line changes, and its versions; the length of those.
    fn output(&self, next: &Files, updated: &mut Updated) -> Result<(Known, u64), WriteError> {
        let like = self.like(&self.files.versions)?;
        let mut versions = Versions::create(&next.versions, self.new.generation, like)?;
        let mut old = Lines::open(&self.files.output)?;
        let mut new = Lines::open(&self.delta.output)?;
        let mut out = match self.any_line_changes()? {
            true => Some(Output::create(&next.output, &self.files.output)?),
            false => None,
        };
        let mut length = self.header(&mut old, &mut new)?;
        if let Some(out) = &mut out {
            out.append(&old.line)?;
        }
        let mut put = |entry: Entry, line: &[u8], versions: &mut Versions| {
            if let Some(out) = &mut out {
                out.append(line)?;
            }
            let entry = Entry {
                fate: Fate::Record,
                offset: length,
                ..entry
            };
            versions.append(&entry.lent())?;
            length += line.len() as u64;
            updated.records += 1;
            Ok::<_, WriteError>(())
        };
        let mut entries = Entries::of(&self.files.versions, self.old.generation)?;
        while let Some(entry) = entries.as_mut().map_or(Ok(None), Entries::next)? {
            let news = self.news(entry.key)?.map(|(_, news)| news);
            match news {
                Some(news) if news.fate == Fate::Gone => updated.gone += 1,
                Some(news) if news.fate == Fate::Record => {
                    old.read(entry.offset, entry.length)?;
                    new.read(news.offset, news.length)?;
                    match old.line == new.line {
                        true => updated.unchanged += 1,
                        false => updated.changed += 1,
                    }
                    put(news, &new.line, &mut versions)?;
                }
                Some(news) if news.fate == Fate::Unchanged => {
                    updated.unchanged += 1;
                    old.read(entry.offset, entry.length)?;
                    let at_ms = news.at_ms;
                    let validators = Validators {
                        etag: news.validators.etag.or(entry.validators.etag),
                        last_modified: news
                            .validators
                            .last_modified
                            .or(entry.validators.last_modified),
                    };
                    let entry = Entry {
                        at_ms,
                        validators,
                        ..entry
                    };
                    put(entry, &old.line, &mut versions)?;
                }
                _ => {
                    updated.kept += u64::from(news.is_some());
                    old.read(entry.offset, entry.length)?;
                    put(entry, &old.line, &mut versions)?;
                }
            }
        }
        let mut entries = Entries::of(&self.delta.versions, self.new.generation)?;
        while let Some((place, entry)) = entries.as_mut().map_or(Ok(None), with_place)? {
            if self.is_new(place, &entry)? {
                new.read(entry.offset, entry.length)?;
                updated.added += 1;
                put(entry, &new.line, &mut versions)?;
            }
        }
        versions.sync()?;
        let known = match out {
            Some(out) => out.finish()?,
            None => self.old.output.clone(),
        };
        Ok((known, versions.length()))
    }

    /// The file whose rights the next one gets: the old one's, else the output's.
    fn like<'f>(&'f self, old: &'f Path) -> Result<&'f Path, WriteError> {
        Ok(match look(old)? {
            Some(_) => old,
            None => &self.files.output,
        })
    }

    /// Whether the entry is the last one of an item that had no record.
    fn is_new(&self, place: u64, entry: &Entry) -> Result<bool, WriteError> {
        Ok(entry.fate == Fate::Record
            && self.known.entry(entry.key)?.is_none()
            && self.news(entry.key)?.is_some_and(|(last, _)| last == place))
    }

    /// Whether the next output will be another than the old one.
    fn any_line_changes(&self) -> Result<bool, WriteError> {
        let mut entries = Entries::of(&self.delta.versions, self.new.generation)?;
        while let Some((place, entry)) = entries.as_mut().map_or(Ok(None), with_place)? {
            let counts = match entry.fate {
                Fate::Record => true,
                Fate::Gone => self.known.entry(entry.key)?.is_some(),
                Fate::Unchanged | Fate::Failed => false,
            };
            if counts && self.news(entry.key)?.is_some_and(|(last, _)| last == place) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads what stands before the first line into `old.line`; its length.
    fn header(&self, old: &mut Lines, new: &mut Lines) -> Result<u64, WriteError> {
        if self.old.output.length > 0 {
            let first = survey_of(self.files, self.old, 0)?.first;
            old.read(0, first)?;
        } else {
            let first = survey_of(self.delta, self.new, 0)?.first;
            new.read(0, first)?;
            old.line.clone_from(&new.line);
        }
        Ok(old.line.len() as u64)
    }

    /// The next failures file: what failed before and was not asked again, then
    /// what failed now and has no record.
    fn failures(&self, next: &Files) -> Result<(Known, BTreeMap<String, u64>), WriteError> {
        let like = self.like(&self.files.failures)?;
        let mut out = Output::create(&next.failures, like)?;
        let mut failed: BTreeMap<String, u64> = BTreeMap::new();
        let mut keep = |item: FailedItem, line: &[u8]| {
            *failed.entry(item.reason).or_default() += 1;
            out.append(line)
        };
        each_failure(
            &self.files.failures,
            self.old.failures.length,
            |item, key, line| match self.done.contains(key) {
                true => Ok(()),
                false => keep(item, line),
            },
        )?;
        each_failure(
            &self.delta.failures,
            self.new.failures.length,
            |item, key, line| {
                let gone = self
                    .news(key)?
                    .is_some_and(|(_, news)| news.fate == Fate::Gone);
                match gone || self.known.entry(key)?.is_none() {
                    true => keep(item, line),
                    false => Ok(()),
                }
            },
        )?;
        Ok((out.finish()?, failed))
    }
}

/// An entry and where it begins.
fn with_place(entries: &mut Entries) -> Result<Option<(u64, Entry)>, WriteError> {
    let place = entries.place;
    Ok(entries.next()?.map(|entry| (place, entry)))
}

/// Hands over each failed item of the first `length` bytes of a failures file.
fn each_failure(
    path: &Path,
    length: u64,
    mut take: impl FnMut(FailedItem, ItemKey, &[u8]) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    if length == 0 {
        return Ok(());
    }
    let mut lines = failures::lines(path, length)?;
    while let Some(line) = lines.next()? {
        let item = failures::parse(line).ok_or_else(|| WriteError::Disturbed {
            path: path.to_path_buf(),
        })?;
        let key = ItemKey::of(&item.id, item.occurrence);
        take(item, key, line)?;
    }
    Ok(())
}
