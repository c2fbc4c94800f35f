//! An update: what an output's items have become since.
//!
//! The run of an update writes to `<output>.updating`, an output like any other
//! with a checkpoint of its own, so it can be killed and resumed like any other
//! run; only that its versions file also says which records still hold, and
//! which are gone. The old output is untouched meanwhile. [`Update::finish`]
//! then makes the next output: the old one's lines in their order, each as it
//! is or as the update brought it, then the lines of new items.
//!
//! Owns what becomes of each line: a record that is gone (404, 410) leaves, one
//! that could not be asked stays as it is, and so does one that nobody listed.
//! Where no line changes, the output is not touched at all. Must never hold a
//! line of every item in memory; taking the old output's place is
//! [`super::generation`]'s.

use super::error::WriteError;
use super::failures::{self, FailedItem};
use super::generation::{all_notes, discard, publish};
use super::index::{Index, read_at};
use super::open::{self, OpenOptions, Opened, Resumed, Start, look, whole_shape};
use super::sink::{Sink, Target};
use super::versions::{Entries, Entry, Fate, Survey, Versions, survey};
use crate::checkpoint::{
    CheckpointError, Closing, DoneSet, Files, ItemKey, Known, Loading, Range, Shape, State,
    create_like, keep_rights, replace, scan, sync_folder, unix_ms,
};
use crate::fail_point::fail_point;
use crate::outcome::Validators;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of the new output under one checksum.
const RANGE: u64 = 16 << 20;

/// What is known of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRecord {
    /// When it was fetched, or last found to hold.
    pub at: SystemTime,
    /// What to ask with.
    pub validators: Validators,
}

/// The records of the old output.
#[derive(Debug, Clone)]
pub struct KnownRecords(Option<Arc<Index>>);

impl KnownRecords {
    /// What is known of the item's record; `None` when it has none.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn find(&self, id: &str, occurrence: u32) -> Result<Option<KnownRecord>, WriteError> {
        let found = self.entry(ItemKey::of(id, occurrence))?;
        Ok(found.map(|entry| KnownRecord {
            at: UNIX_EPOCH
                .checked_add(Duration::from_millis(entry.at_ms))
                .unwrap_or(UNIX_EPOCH),
            validators: entry.validators,
        }))
    }

    fn entry(&self, key: ItemKey) -> Result<Option<Entry>, WriteError> {
        let found = match &self.0 {
            Some(index) => index.find(key)?,
            None => None,
        };
        Ok(found.map(|(_, entry)| entry))
    }
}

/// How old the records of an output are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    /// Records in the output.
    pub records: u64,
    /// Of these, fetched (or found to hold) longer ago than was asked.
    pub older: u64,
}

/// How many records of the output at `output` are older than this; `None` when
/// nothing is there, or it is not known. Reads without a lock.
///
/// # Errors
/// [`WriteError`]: the checkpoint or the versions can't be read.
pub fn ages(output: &Path, older_than: Duration) -> Result<Option<Ages>, WriteError> {
    let files = Files::of(output)?;
    let Some(state) = scan(&files.checkpoint, |_| {})? else {
        return Ok(None);
    };
    let survey = survey_of(&files, &state, moment_ms(older_than))?;
    Ok(survey.whole.then_some(Ages {
        records: survey.records,
        older: survey.older,
    }))
}

/// How many items an update of the output at `output` has asked so far, while it is under way.
pub fn under_way(output: &Path) -> Option<u64> {
    let files = Files::of(output).ok()?;
    let update = scan(&files.updating().checkpoint, |_| {}).ok()??;
    let state = scan(&files.checkpoint, |_| {}).ok()??;
    (update.generation != state.generation).then_some(update.keys)
}

/// Unix ms of the moment so long ago.
fn moment_ms(ago: Duration) -> u64 {
    unix_ms(SystemTime::now()).saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))
}

fn survey_of(files: &Files, state: &State, before: u64) -> Result<Survey, WriteError> {
    survey(
        &files.versions,
        state.generation,
        state.output.length,
        state.records,
        before,
    )
}

/// What an update has done to an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Updated {
    /// Records in the output now.
    pub records: u64,
    /// Failed items now.
    pub failed: u64,
    /// Records whose line is another one now.
    pub changed: u64,
    /// Records of items that had none.
    pub added: u64,
    /// Records that were asked for and are what they were.
    pub unchanged: u64,
    /// Records that left the output, since there is no such item any more.
    pub gone: u64,
    /// Records that stayed because asking for them failed.
    pub kept: u64,
}

/// An update under way. Made by [`open_update`].
#[derive(Debug)]
pub struct Update {
    files: Files,
    delta: Files,
    known: KnownRecords,
    /// Records and failures of the old output.
    pub records: u64,
    /// Failed items of the old output.
    pub failed: u64,
    /// Records that are older than was asked.
    pub older: u64,
}

/// Begins an update of an output, or goes on with one. `base` is what
/// [`open_base`](super::open_base) made of it, with the same options and under the same
/// lock; records from before `older_than` ago count as older.
///
/// # Errors
/// [`WriteError::NoVersions`] when it is not known where each record is;
/// the errors of [`open`](super::open()).
pub fn open_update(
    options: &OpenOptions,
    base: Opened,
    older_than: Duration,
) -> Result<(Opened, Update), WriteError> {
    drop(base);
    let files = Files::of(&options.output)?;
    let delta = files.updating();
    let Some(state) = scan(&files.checkpoint, |_| {})? else {
        return Err(WriteError::NoRun { path: files.output });
    };
    let survey = survey_of(&files, &state, moment_ms(older_than))?;
    if !survey.whole {
        return Err(WriteError::NoVersions {
            path: files.versions,
            output: files.output,
        });
    }
    let mut shape = whole_shape(options);
    // Another output of the same name is not what this was an update of.
    shape.fields.push((
        "update.of".to_owned(),
        format!("{} {:016x}", state.created, state.generation),
    ));
    let mut opened = match go_on(options, &delta, &shape, &state)? {
        Some(opened) => opened,
        None => begin(options, &files, &delta, &shape, &state)?,
    };
    opened.writer = opened.writer.updating();
    let table = Files::temporary(&delta.output);
    let index = Index::build(&files.versions, state.generation, &table)?;
    let before = opened.resumed.take().unwrap_or_default();
    let failed = state.failed.values().sum();
    opened.resumed = Some(Resumed {
        records: state.records,
        notes: all_notes(&files, state.notes),
        ..before
    });
    let update = Update {
        files,
        delta,
        known: KnownRecords(index.map(Arc::new)),
        records: state.records,
        failed,
        older: survey.older,
    };
    Ok((opened, update))
}

/// Opens an update that was begun; `None` when there is none of this output, or it can't be used.
fn go_on(
    options: &OpenOptions,
    delta: &Files,
    shape: &Shape,
    base: &State,
) -> Result<Option<Opened>, WriteError> {
    let mut done = Loading::default();
    let mut state = match scan(&delta.checkpoint, |keys| done.add(keys)) {
        Ok(None) => return Ok(None),
        Ok(Some(state)) => state,
        Err(error @ CheckpointError::Io { .. }) => return Err(error.into()),
        Err(error) => {
            tracing::warn!("the update begins anew: {error}");
            return Ok(None);
        }
    };
    let same_columns = match (&base.columns, &state.columns) {
        (Some(base), Some(update)) => base == update,
        _ => true,
    };
    if state.shape != *shape || !same_columns {
        tracing::warn!("an update of an earlier output was left behind: it begins anew");
        return Ok(None);
    }
    let whole = survey_of(delta, &state, 0)?.whole;
    if !whole {
        tracing::warn!(
            "{}: not what the update had written: it begins anew",
            delta.versions.display()
        );
        return Ok(None);
    }
    state.columns = state.columns.or_else(|| base.columns.clone());
    let options = OpenOptions {
        output: delta.output.clone(),
        fresh: false,
        retry: false,
        ..options.clone()
    };
    match open::resume(&options, shape, delta, state, Some(done.done())) {
        Ok(opened) => Ok(Some(opened)),
        Err(
            error @ WriteError::Checkpoint(
                CheckpointError::Mismatch { .. }
                | CheckpointError::Missing { .. }
                | CheckpointError::Changed { .. },
            ),
        ) => {
            tracing::warn!("the update begins anew: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn begin(
    options: &OpenOptions,
    files: &Files,
    delta: &Files,
    shape: &Shape,
    base: &State,
) -> Result<Opened, WriteError> {
    let notes = match scan(&delta.checkpoint, |_| {}) {
        Ok(Some(state)) => state.notes,
        _ => Vec::new(),
    };
    discard(delta)?;
    let options = OpenOptions {
        output: delta.output.clone(),
        ..options.clone()
    };
    let start = Start {
        columns: base.columns.clone(),
        generation: fastrand::u64(1..),
        notes,
    };
    let opened = open::create(&options, shape, delta, start)?;
    // What comes later is like the output.
    same_rights(&delta.output, &files.output)?;
    same_rights(&delta.checkpoint, &files.checkpoint)?;
    Ok(opened)
}

/// Gives a file that has nothing of anybody's yet the rights of another.
fn same_rights(path: &Path, like: &Path) -> Result<(), WriteError> {
    File::open(path)
        .and_then(|file| keep_rights(&file, like))
        .map_err(WriteError::io(path, "keep the old file's mode"))
}

impl Update {
    /// The records of the old output.
    pub fn known(&self) -> KnownRecords {
        self.known.clone()
    }

    /// Puts what the update has brought in the old output's place. Its writer
    /// must have made its last commit. `None` when it brought nothing; then
    /// nothing has changed, and nothing is left of it.
    ///
    /// # Errors
    /// [`WriteError`]; the old output stands then, or the new one does, and the
    /// next run finishes this.
    pub fn finish(self) -> Result<Option<Updated>, WriteError> {
        let Update {
            files,
            delta,
            known,
            ..
        } = self;
        let mut done = Loading::default();
        let (Some(old), Some(new)) = (
            scan(&files.checkpoint, |_| {})?,
            scan(&delta.checkpoint, |keys| done.add(keys))?,
        ) else {
            return Err(WriteError::Disturbed {
                path: files.checkpoint,
            });
        };
        let mut done = done.done();
        if new.keys == 0 {
            discard(&delta)?;
            return Ok(None);
        }
        // Nobody may have touched them since they were opened.
        let closed = old.closing != Closing::No;
        open::check(&files.output, &old.output, closed)?;
        open::check(&files.failures, &old.failures, closed)?;
        let next = Next {
            news: Index::build(
                &delta.versions,
                new.generation,
                &Files::temporary(&delta.versions),
            )?,
            files: &files,
            delta: &delta,
            known,
            old: &old,
            new: &new,
            done: &done,
            now_ms: unix_ms(SystemTime::now()),
        };
        let (mut state, updated) = next.write()?;
        scan(&files.checkpoint, |keys| done.add(keys))?;
        state.keys = done.len() as u64;
        drop(replace(&files.checkpoint, &state, &done)?);
        fail_point!("update: committed");
        publish(&files)?;
        fail_point!("update: in place");
        discard(&delta)?;
        Ok(Some(updated))
    }
}

/// The next output, made of the old one and the update.
struct Next<'a> {
    files: &'a Files,
    delta: &'a Files,
    /// The old output's records.
    known: KnownRecords,
    /// The update's entries.
    news: Option<Index>,
    old: &'a State,
    new: &'a State,
    /// The items that the update has committed.
    done: &'a DoneSet,
    now_ms: u64,
}

impl Next<'_> {
    /// Writes the next files, durably; tells what the checkpoint is to say of them.
    fn write(&self) -> Result<(State, Updated), WriteError> {
        let next = self.files.next();
        discard(&next)?;
        let mut updated = Updated::default();
        let output = self.output(&next, &mut updated)?;
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

    /// The next output, unless no line changes, and its versions.
    fn output(&self, next: &Files, updated: &mut Updated) -> Result<Known, WriteError> {
        let mut versions = Versions::create(&next.versions, self.new.generation)?;
        same_rights(&next.versions, &self.files.versions)?;
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
        match out {
            Some(out) => out.finish(),
            None => Ok(self.old.output.clone()),
        }
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
        let like = match look(&self.files.failures)? {
            Some(_) => &self.files.failures,
            None => &self.files.output,
        };
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

/// Lines of an output, by their places.
struct Lines<'a> {
    /// From the start, for lines that come in their order.
    ahead: BufReader<File>,
    /// Where it stands.
    at: u64,
    file: File,
    path: &'a Path,
    line: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<Lines<'a>, WriteError> {
        let open = || File::open(path).map_err(WriteError::io(path, "read the output"));
        Ok(Lines {
            ahead: BufReader::with_capacity(1 << 18, open()?),
            at: 0,
            file: open()?,
            path,
            line: Vec::new(),
        })
    }

    /// Reads these bytes into `line`, which must be whole lines.
    fn read(&mut self, offset: u64, length: u64) -> Result<(), WriteError> {
        let io = |cause| WriteError::io(self.path, "read the output")(cause);
        self.line.clear();
        self.line
            .resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        if offset == self.at {
            self.ahead.read_exact(&mut self.line).map_err(io)?;
            self.at += length;
        } else {
            read_at(&self.file, &mut self.line, offset).map_err(io)?;
        }
        match self.line.last() {
            None | Some(b'\n') => Ok(()),
            Some(_) => Err(WriteError::Disturbed {
                path: self.path.to_path_buf(),
            }),
        }
    }
}

/// A new file, and what a checkpoint is to say of it.
struct Output {
    sink: Sink,
    ranges: Vec<Range>,
    /// Bytes of the ranges.
    covered: u64,
}

impl Output {
    /// Whoever may read the file at `like` may read this one.
    fn create(path: &Path, like: &Path) -> Result<Output, WriteError> {
        let mut options = fs::OpenOptions::new();
        let file = create_like(options.append(true).create_new(true), path, like)
            .map_err(WriteError::io(path, "create the next output"))?;
        Ok(Output {
            sink: Sink::new(Target::File(file), path, 0),
            ranges: Vec::new(),
            covered: 0,
        })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.sink.append(bytes)?;
        if self.sink.length() - self.covered >= RANGE {
            self.cover()?;
        }
        Ok(())
    }

    fn cover(&mut self) -> Result<(), WriteError> {
        self.ranges.extend(self.sink.extent(false)?.ranges);
        self.sink.committed();
        self.covered = self.sink.length();
        Ok(())
    }

    /// Makes it durable.
    fn finish(mut self) -> Result<Known, WriteError> {
        self.sink.flush()?;
        self.cover()?;
        self.sink.sync_all()?;
        self.sink.sync()?;
        let extent = self.sink.extent(true)?;
        Ok(Known {
            length: extent.length,
            mtime_ns: extent.mtime_ns,
            ranges: self.ranges,
        })
    }
}
