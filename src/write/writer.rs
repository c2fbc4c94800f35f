//! Appends outcomes and commits them.
//!
//! Owns the order of a commit, which is promise 1: the outputs are flushed and
//! made durable, and only then is the block appended that says so. Must never
//! write again after an error: the last good commit stands, and the next run
//! goes on from it.

use super::encode::{Encoded, Encoder, odd};
use super::error::WriteError;
use super::failures;
use super::rewrite::Rewrite;
use super::sink::{Sink, Target};
use crate::checkpoint::{
    Closing, Commit, Extent, ItemKey, Journal, State, is_at, sync_folder, unix_ms,
};
use crate::fail_point::fail_point;
use crate::job::{OutputFormat, RecordForm};
use crate::outcome::{Failure, Outcome, Reason, Record};
use crate::pace::Note;
use serde_json_path::JsonPath;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What is in the outputs, earlier runs and what is not yet committed included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records in the output.
    pub records: u64,
    /// Failed items.
    pub failed: u64,
    /// Bytes of the output, a header row included.
    pub bytes: u64,
}

/// The open outputs of a run. Made by [`open`](super::open()) or [`stdout`].
#[derive(Debug)]
pub struct Writer {
    encoder: Encoder,
    output: Sink,
    failures: Failures,
    /// Only failed items are written, and leave the failures file.
    rewrite: Option<Rewrite>,
    /// The checkpoint; stdout has none.
    journal: Option<(Journal, PathBuf)>,
    /// Done since the last commit.
    keys: Vec<ItemKey>,
    /// Failed since the last commit.
    added: BTreeMap<&'static str, u64>,
    /// Failed in all.
    failed: BTreeMap<String, u64>,
    records: u64,
    committed_records: u64,
    /// The checkpoint knows the columns that the first record brought.
    columns_kept: bool,
    /// The first error.
    poison: Option<String>,
    line: Vec<u8>,
}

#[derive(Debug)]
enum Failures {
    /// Stdout: nobody wants them here.
    Counted,
    /// The file is made by the first failure.
    Later(PathBuf),
    Open(Sink),
}

/// A writer to stdout: no checkpoint, so nothing can be resumed; failures are
/// only counted. A commit flushes.
pub fn stdout(
    format: OutputFormat,
    record: RecordForm,
    columns: Vec<(String, JsonPath)>,
) -> Writer {
    let sink = Sink::new(Target::Stdout(io::stdout()), Path::new("stdout"), 0);
    Writer::new(
        Encoder::new(format, record, columns, None),
        sink,
        Failures::Counted,
        None,
    )
}

impl Writer {
    fn new(
        encoder: Encoder,
        output: Sink,
        failures: Failures,
        journal: Option<(Journal, PathBuf)>,
    ) -> Writer {
        let mut writer = Writer {
            encoder,
            output,
            failures,
            rewrite: None,
            journal,
            keys: Vec::new(),
            added: BTreeMap::new(),
            failed: BTreeMap::new(),
            records: 0,
            committed_records: 0,
            columns_kept: false,
            poison: None,
            line: Vec::new(),
        };
        if let Err(error) = writer.head() {
            writer.poison = Some(error.to_string());
        }
        writer
    }

    /// A writer that goes on after `state`, at the end of both files.
    pub(super) fn resume(
        options: &super::OpenOptions,
        state: &State,
        output: Sink,
        failures: Result<Sink, PathBuf>,
        journal: (Journal, PathBuf),
    ) -> Writer {
        let columns = options.columns.clone();
        let encoder = Encoder::new(
            options.format,
            options.record,
            columns,
            state.columns.clone(),
        );
        let failures = match failures {
            Ok(sink) => Failures::Open(sink),
            Err(path) => Failures::Later(path),
        };
        let mut writer = Writer::new(encoder, output, failures, Some(journal));
        writer.failed = state.failed.clone();
        writer.records = state.records;
        writer.committed_records = state.records;
        writer.rewrite = options.retry.then(Rewrite::default);
        writer.columns_kept = state.columns.is_some();
        writer
    }

    /// Appends a record, or a failure. Nothing is durable before the next
    /// [`commit`](Writer::commit). In CSV, a body that can't be read (nested
    /// deeper than 128 levels, say) becomes a failure of the reason
    /// `malformed_body`: [`counts`](Writer::counts) has the truth.
    ///
    /// # Errors
    /// [`WriteError`]; the writer is poisoned then.
    pub fn append(&mut self, outcome: &Outcome) -> Result<(), WriteError> {
        self.guard(|writer| writer.try_append(outcome))
    }

    /// Makes everything appended so far durable, all or nothing, with the
    /// pacer's note. After a closing commit the writer may still be used.
    ///
    /// # Errors
    /// [`WriteError`]; the writer is poisoned then, and the commit before stands.
    pub fn commit(&mut self, note: Note, closing: Closing) -> Result<(), WriteError> {
        self.guard(|writer| writer.try_commit(note, closing))
    }

    /// CSV fields that came up after the header row was written and so are not
    /// in the output: their names (1,000 at most) and in how many records of
    /// this run they came.
    pub fn unexpected_fields(&self) -> &BTreeMap<String, u64> {
        self.encoder.unexpected()
    }

    /// What is in the outputs.
    pub fn counts(&self) -> Counts {
        Counts {
            records: self.records,
            failed: self.failed.values().sum(),
            bytes: self.output.length(),
        }
    }

    /// Failed items by the reason's name, earlier runs included.
    pub fn failures(&self) -> &BTreeMap<String, u64> {
        &self.failed
    }

    fn guard(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        if let Some(first) = &self.poison {
            return Err(WriteError::Poisoned {
                first: first.clone(),
            });
        }
        let result = work(self);
        if let Err(error) = &result {
            self.poison = Some(error.to_string());
        }
        result
    }

    /// Writes the header row into an empty output, when it is known.
    fn head(&mut self) -> Result<(), WriteError> {
        if self.output.length() > 0 {
            return Ok(());
        }
        self.line.clear();
        self.encoder.header(&mut self.line)?;
        self.output.append(&self.line)
    }

    fn try_append(&mut self, outcome: &Outcome) -> Result<(), WriteError> {
        if let Some((journal, _)) = &mut self.journal {
            journal.open_again()?;
        }
        match &outcome.fate {
            Ok(record) => self.record(outcome, record)?,
            Err(failure) => self.failure(outcome, failure)?,
        }
        let key = ItemKey::of(&outcome.id, outcome.occurrence);
        match &mut self.rewrite {
            // Its key is in the checkpoint since it failed.
            Some(rewrite) => rewrite.leaves(key),
            None if self.journal.is_some() => self.keys.push(key),
            None => {}
        }
        Ok(())
    }

    fn record(&mut self, outcome: &Outcome, record: &Record) -> Result<(), WriteError> {
        self.line.clear();
        match self.encoder.record(&outcome.id, record, &mut self.line)? {
            Encoded::Line => {}
            Encoded::Unreadable(message) => {
                let failure = Failure {
                    status: Some(record.status),
                    reason: Reason::MalformedBody,
                    message,
                    attempts: 1,
                    at: record.fetched_at,
                };
                return self.failure(outcome, &failure);
            }
        }
        self.records += 1;
        self.output.append(&self.line)
    }

    fn failure(&mut self, outcome: &Outcome, failure: &Failure) -> Result<(), WriteError> {
        if let Some(rewrite) = &mut self.rewrite {
            self.line.clear();
            failures::line(&outcome.id, outcome.occurrence, failure, &mut self.line)
                .map_err(odd)?;
            rewrite.fails(&self.line);
            return Ok(());
        }
        let reason = failure.reason.as_str();
        *self.added.entry(reason).or_default() += 1;
        *self.failed.entry(reason.to_owned()).or_default() += 1;
        if let Failures::Later(path) = &self.failures {
            self.failures = Failures::Open(create(path)?);
        }
        if let Failures::Open(sink) = &mut self.failures {
            self.line.clear();
            failures::line(&outcome.id, outcome.occurrence, failure, &mut self.line)
                .map_err(odd)?;
            sink.append(&self.line)?;
        }
        Ok(())
    }

    fn try_commit(&mut self, note: Note, closing: Closing) -> Result<(), WriteError> {
        let news = self.output.has_news() || self.rewrite.as_ref().is_some_and(Rewrite::has_news);
        if let (true, Some((journal, _))) = (news, &mut self.journal) {
            journal.open_again()?;
        }
        let too_soon = self.rewrite.as_ref().is_some_and(Rewrite::too_soon);
        if news && too_soon && closing == Closing::No {
            return self.commit_note(note);
        }
        fail_point!("commit: begun");
        self.output.flush()?;
        fail_point!("commit: output flushed");
        if let Failures::Open(sink) = &mut self.failures {
            sink.flush()?;
        }
        fail_point!("commit: failures flushed");
        if self.journal.is_some() {
            self.output.sync()?;
            fail_point!("commit: output durable");
            if let Failures::Open(sink) = &mut self.failures {
                sink.sync()?;
            }
            fail_point!("commit: failures durable");
            self.commit_durable(note, closing)?;
        }
        self.output.committed();
        if let Failures::Open(sink) = &mut self.failures {
            sink.committed();
        }
        self.committed_records = self.records;
        self.keys.clear();
        self.added.clear();
        Ok(())
    }

    /// Appends the block that covers what is durable.
    fn commit_durable(&mut self, note: Note, closing: Closing) -> Result<(), WriteError> {
        let closes = closing != Closing::No;
        let draft = match (&self.rewrite, &self.failures) {
            (Some(rewrite), Failures::Open(sink)) if rewrite.has_news() => {
                Some(rewrite.draft(sink.path(), sink.length())?)
            }
            _ => None,
        };
        let failures = match (&draft, &self.failures) {
            (Some(draft), _) => draft.sink.extent(closes)?,
            (None, Failures::Open(sink)) => sink.extent(closes)?,
            _ => Extent::default(),
        };
        let failed = match &draft {
            Some(draft) => draft.failed.clone().into_iter().collect(),
            None => self
                .added
                .iter()
                .map(|(reason, n)| ((*reason).to_owned(), *n))
                .collect(),
        };
        let found = self.encoder.found().filter(|_| !self.columns_kept);
        let commit = Commit {
            at_ms: unix_ms(SystemTime::now()),
            closing,
            records: self.records,
            output: self.output.extent(closes)?,
            failures,
            notes: vec![note],
            failed,
            columns: found.map(<[String]>::to_vec),
            rewrites_failures: draft.is_some(),
        };
        self.append_block(&commit)?;
        self.columns_kept |= commit.columns.is_some();
        if let (Some(draft), Some(rewrite)) = (draft, &mut self.rewrite) {
            self.failed = draft.failed.clone();
            self.failures = Failures::Open(rewrite.publish(draft)?);
        }
        match &self.failures {
            // Nothing is left in it: as if nothing had ever failed.
            Failures::Open(sink) if closes && self.rewrite.is_some() && sink.length() == 0 => {
                self.failures = Failures::Later(remove(sink.path())?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Commits the pacer's note alone: the outputs stay uncovered for now.
    fn commit_note(&mut self, note: Note) -> Result<(), WriteError> {
        let commit = Commit {
            at_ms: unix_ms(SystemTime::now()),
            records: self.committed_records,
            output: self.output.committed_extent(),
            failures: match &self.failures {
                Failures::Open(sink) => sink.committed_extent(),
                _ => Extent::default(),
            },
            notes: vec![note],
            ..Commit::default()
        };
        self.append_block(&commit)
    }

    fn append_block(&mut self, commit: &Commit) -> Result<(), WriteError> {
        let Some((journal, path)) = &mut self.journal else {
            return Ok(());
        };
        if !is_at(journal.file(), path).map_err(WriteError::io(&*path, "look at the checkpoint"))? {
            return Err(WriteError::Disturbed { path: path.clone() });
        }
        Ok(journal.commit(commit, &self.keys)?)
    }
}

/// Removes an empty failures file.
fn remove(path: &Path) -> Result<PathBuf, WriteError> {
    fs::remove_file(path)
        .and_then(|()| sync_folder(path))
        .map_err(WriteError::io(path, "remove the empty failures file"))?;
    Ok(path.to_path_buf())
}

/// Makes the failures file, durably named.
fn create(path: &Path) -> Result<Sink, WriteError> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(WriteError::io(path, "create the failures file"))?;
    let length = file
        .metadata()
        .map_err(WriteError::io(path, "look at the failures file"))?
        .len();
    if length > 0 {
        return Err(WriteError::Disturbed {
            path: path.to_path_buf(),
        });
    }
    fail_point!("failures: created");
    sync_folder(path).map_err(WriteError::io(path, "make the failures file durable"))?;
    fail_point!("failures: named");
    Ok(Sink::new(Target::File(file), path, 0))
}
