//! The next output and its versions: made of the old ones and of what the
//! update brought. The failures are [`super::failed`]'s.
//!
//! Owns what becomes of each item's lines: those of one that is gone (404, 410)
//! leave, those of one that could not be asked stay as they are, and so do those of
//! one that nobody listed; all others are replaced together, in the place of the
//! first. Where no line changes, the output is not touched at all. Must never hold
//! a line of every item in memory.

use super::blocks::{Compared, Growing};
use super::lines::{Lines, Output};
use super::{KnownRecords, Updated, survey_of};
use crate::checkpoint::{Closing, DoneSet, Files, ItemKey, Known, State, sync_folder, unix_ms};
use crate::fail_point::fail_point;
use crate::outcome::Validators;
use crate::write::error::WriteError;
use crate::write::files::look;
use crate::write::generation::discard;
use crate::write::index::Index;
use crate::write::versions::{Entries, Entry, Fate, Versions};
use std::collections::{BTreeMap, BTreeSet};
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
    /// Where the last part is of each item that the update has only in part.
    pub(super) parts: BTreeMap<ItemKey, u64>,
    /// The old output's items of which it has a part, and no fate.
    pub(super) in_midst: BTreeSet<ItemKey>,
    pub(super) old: &'a State,
    pub(super) new: &'a State,
    /// The items that the update has committed.
    pub(super) done: &'a DoneSet,
    pub(super) now_ms: u64,
}

/// What becomes of the lines of one of the old output's entries.
enum Turn {
    /// They stay: nobody asked.
    Stays,
    /// They stay: asking failed.
    Kept,
    /// They stay, and still hold.
    Holds(Box<Entry>),
    /// There is no such item any more.
    Leaves,
    /// The item's new lines take their place; the last entry of those, and where it is.
    Replaced(u64, Box<Entry>),
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
        state.known_good = self.new.known_good.clone();
        state.resume_points = self.resume_points()?;
        state.output = output;
        state.failures = failures;
        state.versions = versions;
        state.closing = Closing::Finished;
        state.committed_ms = Some(unix_ms(SystemTime::now()));
        Ok((state, updated))
    }

    /// What the update says of the item, unless what the old output says is newer:
    /// a retry may have got it since.
    pub(super) fn news(&self, key: ItemKey) -> Result<Option<(u64, Entry)>, WriteError> {
        let news = match &self.news {
            Some(index) if self.done.contains(key) => index.find(key)?,
            _ => None,
        };
        let Some((place, news)) = news else {
            return Ok(None);
        };
        // A record from the future was written by a clock that was wrong; a part
        // is no more than all of it, and without a fate no more than any.
        let overtaken = self.known.last(key)?.is_some_and(|(_, old)| {
            let newer = news.at_ms < old.at_ms && old.at_ms <= self.now_ms;
            let counts = news.fate != Fate::Record && !self.in_midst.contains(&key);
            newer && (old.fate == Fate::Record || counts)
        });
        Ok((!overtaken).then_some((place, news)))
    }

    /// Where the last part is that the update has of an item, when it has no more
    /// of it, and the old output no record.
    pub(super) fn only_parts(&self, key: ItemKey, news: &Entry) -> Result<Option<u64>, WriteError> {
        match self.parts.get(&key) {
            Some(&last) if news.fate == Fate::Failed && self.known.whole(key)?.is_none() => {
                Ok(Some(last))
            }
            _ => Ok(None),
        }
    }

    fn turn(&self, entry: &Entry) -> Result<Turn, WriteError> {
        let key = entry.key;
        let Some((place, news)) = self.news(key)? else {
            return Ok(Turn::Stays);
        };
        Ok(match news.fate {
            Fate::Record => Turn::Replaced(place, Box::new(news)),
            Fate::Gone => Turn::Leaves,
            Fate::Unchanged => Turn::Holds(Box::new(news)),
            Fate::Failed | Fate::Part => match self.only_parts(key, &news)? {
                Some(last) => {
                    let index = self.news.as_ref();
                    let entry = index.map(|index| index.at(last)).transpose()?;
                    Turn::Replaced(last, Box::new(entry.unwrap_or(news)))
                }
                None => Turn::Kept,
            },
        })
    }

    /// The next output, unless no line changes, and its versions; the length of those.
    fn output(&self, next: &Files, updated: &mut Updated) -> Result<(Known, u64), WriteError> {
        let like = self.like(&self.files.versions)?;
        let versions = Versions::create(&next.versions, self.new.generation, like)?;
        let mut old = Lines::open(&self.files.output)?;
        let mut new = Lines::open(&self.delta.output)?;
        let out = match self.any_line_changes()? {
            true => Some(Output::create(&next.output, &self.files.output)?),
            false => None,
        };
        self.header(&mut old, &mut new, out.is_some())?;
        let mut growing = Growing::new(out, versions, &old.line)?;
        let mut entries = Entries::of(&self.files.versions, self.old.generation)?;
        while let Some((place, entry)) = entries.as_mut().map_or(Ok(None), Entries::with_place)? {
            let entry = match self.turn(&entry)? {
                Turn::Stays => entry,
                Turn::Kept => {
                    // One without a record has failed, and is counted there.
                    updated.kept += u64::from(entry.fate == Fate::Record);
                    entry
                }
                Turn::Holds(news) => {
                    updated.unchanged += entry.records;
                    still_holds(entry, *news)
                }
                Turn::Leaves => {
                    updated.gone += entry.records;
                    continue;
                }
                // With the first part, all of it.
                Turn::Replaced(..) if entry.earlier > 0 => continue,
                Turn::Replaced(last, news) => {
                    let mut compared = Compared::default();
                    self.compare_old(place, &entry, &mut old, &mut compared)?;
                    self.put_new(last, *news, &mut new, &mut compared, &mut growing)?;
                    compared.count(updated);
                    continue;
                }
            };
            old.read(entry.offset, entry.length)?;
            growing.put(entry, &old.line)?;
        }
        let mut entries = Entries::of(&self.delta.versions, self.new.generation)?;
        while let Some((place, entry)) = entries.as_mut().map_or(Ok(None), Entries::with_place)? {
            if let Some((last, entry)) = self.is_new(place, entry)? {
                let mut compared = Compared::default();
                self.put_new(last, entry, &mut new, &mut compared, &mut growing)?;
                compared.count(updated);
            }
        }
        let (known, versions, records) = growing.finish()?;
        updated.records = records;
        Ok((known.unwrap_or_else(|| self.old.output.clone()), versions))
    }

    /// Takes in all the lines that the old output has of an item, of which this is the first entry.
    fn compare_old(
        &self,
        place: u64,
        entry: &Entry,
        old: &mut Lines,
        compared: &mut Compared,
    ) -> Result<(), WriteError> {
        old.read(entry.offset, entry.length)?;
        compared.was(&old.line, entry.records);
        if entry.fate == Fate::Record {
            return Ok(());
        }
        let Some((index, parts)) = self.known.parts(entry.key)? else {
            return Ok(());
        };
        for part in parts.into_iter().filter(|&part| part != place) {
            let entry = index.at(part)?;
            old.read(entry.offset, entry.length)?;
            compared.was(&old.line, entry.records);
        }
        Ok(())
    }

    /// Puts all that the update has of an item, the last entry of which is there.
    fn put_new(
        &self,
        last: u64,
        entry: Entry,
        new: &mut Lines,
        compared: &mut Compared,
        growing: &mut Growing,
    ) -> Result<(), WriteError> {
        let mut put = |entry: Entry| {
            new.read(entry.offset, entry.length)?;
            compared.becomes(&new.line, entry.records);
            growing.put(entry, &new.line)
        };
        match &self.news {
            Some(index) if entry.earlier > 0 => {
                for part in index.parts(last)? {
                    put(index.at(part)?)?;
                }
                Ok(())
            }
            _ => put(entry),
        }
    }

    /// The file whose rights the next one gets: the old one's, else the output's.
    pub(super) fn like<'f>(&'f self, old: &'f Path) -> Result<&'f Path, WriteError> {
        Ok(match look(old)? {
            Some(_) => old,
            None => &self.files.output,
        })
    }

    /// The last part of an item that is new, and where it is, if this is its last entry.
    fn is_new(&self, place: u64, entry: Entry) -> Result<Option<(u64, Entry)>, WriteError> {
        let key = entry.key;
        let last = match (entry.fate, &self.news) {
            (Fate::Record, _) => Some((place, entry)),
            (_, Some(index)) => match self.only_parts(key, &entry)? {
                Some(last) => Some((last, index.at(last)?)),
                None => None,
            },
            _ => None,
        };
        let new = last.is_some()
            && self.known.last(key)?.is_none()
            && self.news(key)?.is_some_and(|(news, _)| news == place);
        Ok(last.filter(|_| new))
    }

    /// Whether the next output will be another than the old one.
    fn any_line_changes(&self) -> Result<bool, WriteError> {
        let mut old = Lines::open(&self.files.output)?;
        let mut new = Lines::open(&self.delta.output)?;
        let Some(index) = &self.news else {
            return Ok(false);
        };
        let mut entries = Entries::of(&self.delta.versions, self.new.generation)?;
        while let Some((place, entry)) = entries.as_mut().map_or(Ok(None), Entries::with_place)? {
            let key = entry.key;
            let changes = match entry.fate {
                Fate::Record if self.is_same(&entry, &mut old, &mut new)? => false,
                Fate::Record => {
                    entry.length > 0 || index.has_lines(place)? || self.known.has_lines(key)?
                }
                Fate::Gone => self.known.has_lines(key)?,
                Fate::Failed => match self.only_parts(key, &entry)? {
                    Some(last) => index.has_lines(last)? || self.known.has_lines(key)?,
                    None => false,
                },
                Fate::Unchanged | Fate::Part => false,
            };
            if changes && self.news(key)?.is_some_and(|(last, _)| last == place) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a record's lines are, byte for byte, those that the old output has
    /// in one block.
    fn is_same(&self, entry: &Entry, old: &mut Lines, new: &mut Lines) -> Result<bool, WriteError> {
        let Some((_, was)) = self.known.whole(entry.key)? else {
            return Ok(false);
        };
        if entry.earlier > 0 || was.earlier > 0 || entry.length != was.length {
            return Ok(false);
        }
        old.read(was.offset, was.length)?;
        new.read(entry.offset, entry.length)?;
        Ok(old.line == new.line)
    }

    /// Reads what stands before the first line into `old.line`.
    fn header(&self, old: &mut Lines, new: &mut Lines, changes: bool) -> Result<(), WriteError> {
        if self.old.output.length > 0 || !changes {
            let first = survey_of(self.files, self.old, 0)?.first;
            old.read(0, first)
        } else {
            let first = survey_of(self.delta, self.new, 0)?.first;
            new.read(0, first)?;
            old.line.clone_from(&new.line);
            Ok(())
        }
    }
}

/// The entry of lines that the update found to hold.
fn still_holds(entry: Entry, news: Entry) -> Entry {
    let validators = Validators {
        etag: news.validators.etag.or(entry.validators.etag),
        last_modified: news
            .validators
            .last_modified
            .or(entry.validators.last_modified),
    };
    Entry {
        at_ms: news.at_ms,
        validators,
        ..entry
    }
}
