//! Appends outcomes; `commit.rs` makes them durable.
//!
//! Owns what is in the open outputs. Must never write again after an error:
//! the last good commit stands, and the next run goes on from it.

mod commit;
mod pages;

pub(crate) use pages::in_the_output;

use self::pages::Trails;
use super::encode::{Encoded, Encoder, odd};
use super::error::WriteError;
use super::failures;
use super::rewrite::Rewrite;
use super::sink::{Sink, Target};
use super::versions::{Entry, Fate, Versions};
use crate::checkpoint::{
    Closing, ItemKey, Journal, State, create_like, no_link, sync_folder, unix_ms,
};
use crate::fail_point::fail_point;
use crate::job::{IdForm, OutputFormat, RecordForm};
use crate::outcome::{Failure, Outcome, Reason, Record, Validators};
use crate::pace::Note;
use serde_json_path::JsonPath;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

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

/// What has become of an outcome.
#[derive(Debug)]
pub enum Appended {
    /// It is written as it is.
    Written,
    /// It was to be a record, and this failure is written: it has no row.
    Failed(Failure),
    /// Nothing is written: the item has failed in an earlier part of it.
    Left,
}

/// The open outputs of a run. Made by [`open`](super::open()) or [`stdout`].
#[derive(Debug)]
pub struct Writer {
    encoder: Encoder,
    id_form: IdForm,
    output: Sink,
    failures: Failures,
    /// Only failed items are written, and leave the failures file.
    rewrite: Option<Rewrite>,
    /// Where each record is; stdout has none.
    versions: Option<Versions>,
    /// This is an update: what becomes of an item without a line is kept, too.
    updates: bool,
    /// The checkpoint; stdout has none.
    journal: Option<(Journal, PathBuf)>,
    /// Done since the last commit.
    keys: Vec<ItemKey>,
    /// Items in their midst.
    trails: Trails,
    /// Failed since the last commit.
    added: BTreeMap<&'static str, u64>,
    /// Failed in all.
    failed: BTreeMap<String, u64>,
    records: u64,
    committed_records: u64,
    /// The checkpoint knows the columns that the first record brought.
    columns_kept: bool,
    /// What the checkpoint knows to be good.
    known_good: Option<String>,
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
    id_form: IdForm,
    columns: Vec<(String, JsonPath)>,
) -> Writer {
    let sink = Sink::new(Target::Stdout(io::stdout()), Path::new("stdout"), 0);
    Writer::new(
        Encoder::new(format, record, id_form, columns, None),
        id_form,
        sink,
        Failures::Counted,
        None,
    )
}

impl Writer {
    fn new(
        encoder: Encoder,
        id_form: IdForm,
        output: Sink,
        failures: Failures,
        journal: Option<(Journal, PathBuf)>,
    ) -> Writer {
        let mut writer = Writer {
            encoder,
            id_form,
            output,
            failures,
            rewrite: None,
            versions: None,
            updates: false,
            journal,
            keys: Vec::new(),
            trails: Trails::default(),
            added: BTreeMap::new(),
            failed: BTreeMap::new(),
            records: 0,
            committed_records: 0,
            columns_kept: false,
            known_good: None,
            poison: None,
            line: Vec::new(),
        };
        if let Err(error) = writer.head() {
            writer.poison = Some(error.to_string());
        }
        writer
    }

    /// A writer that goes on after `state`, at the end of both files. With the
    /// versions come the places there of the last parts of items in their midst.
    pub(super) fn resume(
        options: &super::OpenOptions,
        state: &State,
        output: Sink,
        failures: Result<Sink, PathBuf>,
        (versions, parts): (Versions, BTreeMap<ItemKey, u64>),
        journal: (Journal, PathBuf),
    ) -> Writer {
        let columns = options.columns.clone();
        let encoder = Encoder::new(
            options.format,
            options.record,
            options.id_form,
            columns,
            state.columns.clone(),
        );
        let failures = match failures {
            Ok(sink) => Failures::Open(sink),
            Err(path) => Failures::Later(path),
        };
        let mut writer = Writer::new(encoder, options.id_form, output, failures, Some(journal));
        writer.trails = Trails::known(state.trails.clone(), parts);
        writer.failed = state.failed.clone();
        writer.records = state.records;
        writer.committed_records = state.records;
        writer.rewrite = options.retry.then(Rewrite::default);
        writer.columns_kept = state.columns.is_some();
        writer.known_good.clone_from(&state.known_good);
        writer.versions = Some(versions);
        writer
    }

    /// The same writer, for an update's part of the outcomes.
    pub(super) fn updating(mut self) -> Writer {
        self.updates = true;
        self
    }

    /// Appends a record, a failure, or the records of an item's pages (with a
    /// trail, the item is not done with them). Nothing is durable before the next
    /// [`commit`](Writer::commit). In CSV, a body that can't be read (nested
    /// deeper than 128 levels, say) becomes a failure of the reason
    /// `malformed_body`, which is given back.
    ///
    /// # Errors
    /// [`WriteError`]; the writer is poisoned then.
    pub fn append(&mut self, outcome: &Outcome) -> Result<Appended, WriteError> {
        self.guard(|writer| writer.try_append(outcome))
    }

    /// Makes everything appended so far durable, all or nothing, with the
    /// pacer's note and the ID of an item that was answered well (one of over
    /// 4 KiB is not kept). After a closing commit the writer may still be used.
    ///
    /// # Errors
    /// [`WriteError`]; the writer is poisoned then, and the commit before stands.
    pub fn commit(
        &mut self,
        note: Note,
        known_good: Option<&str>,
        closing: Closing,
    ) -> Result<(), WriteError> {
        self.guard(|writer| writer.try_commit(note, known_good, closing))
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

    fn guard<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
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
        self.encoder.header(&mut self.line);
        self.output.append(&self.line)
    }

    fn try_append(&mut self, outcome: &Outcome) -> Result<Appended, WriteError> {
        if let Some((journal, _)) = &mut self.journal {
            journal.open_again()?;
        }
        let key = ItemKey::of(&outcome.id, outcome.occurrence);
        if self.trails.has_failed(key) {
            return Ok(Appended::Left);
        }
        let mut appended = Appended::Written;
        match (&outcome.fate, &outcome.pages) {
            (Ok(record), _) if self.updates && record.is_unchanged() => {
                let at_ms = unix_ms(record.fetched_at);
                let (fate, validators) = (Fate::Unchanged, &record.validators);
                self.version(&Entry::without_lines(fate, key, at_ms, validators))?;
            }
            (Ok(record), None) => appended = self.record(outcome, key, record)?,
            (Ok(_), Some(pages)) => {
                appended = self.pages(outcome, pages, key)?;
                if pages.trail.is_some() && matches!(appended, Appended::Written) {
                    return Ok(appended);
                }
            }
            (Err(failure), _) => self.failure(outcome, key, failure)?,
        }
        match &mut self.rewrite {
            // Its key is in the checkpoint since it failed.
            Some(rewrite) => rewrite.leaves(key),
            None if self.journal.is_some() => self.keys.push(key),
            None => {}
        }
        Ok(appended)
    }

    /// Keeps what is known of an item; tells where, unless it is nowhere.
    fn version(&mut self, entry: &Entry<&Validators>) -> Result<Option<u64>, WriteError> {
        let versions = self.versions.as_mut();
        versions.map(|versions| versions.append(entry)).transpose()
    }

    fn record(
        &mut self,
        outcome: &Outcome,
        key: ItemKey,
        record: &Record,
    ) -> Result<Appended, WriteError> {
        self.line.clear();
        let begin = match self.encoder.record(&outcome.id, record, &mut self.line)? {
            Encoded::Line { begin } => begin,
            Encoded::Unreadable(message) => {
                let failure = Failure {
                    status: Some(record.status),
                    reason: Reason::MalformedBody,
                    message,
                    attempts: 1,
                    at: record.fetched_at,
                    is_there: false,
                };
                self.failure(outcome, key, &failure)?;
                return Ok(Appended::Failed(failure));
            }
        };
        self.records += 1;
        self.output.append(&self.line)?;
        let length = (self.line.len() - begin) as u64;
        self.version(&Entry {
            fate: Fate::Record,
            key,
            at_ms: unix_ms(record.fetched_at),
            offset: self.output.length() - length,
            length,
            records: 1,
            earlier: 0,
            validators: &record.validators,
        })?;
        Ok(Appended::Written)
    }

    fn failure(
        &mut self,
        outcome: &Outcome,
        key: ItemKey,
        failure: &Failure,
    ) -> Result<(), WriteError> {
        if self.updates {
            // Where a page was, the item is.
            let fate = match failure.reason {
                Reason::NotFound | Reason::Gone if !failure.is_there => Fate::Gone,
                _ => Fate::Failed,
            };
            let (at_ms, none) = (unix_ms(failure.at), Validators::default());
            self.version(&Entry::without_lines(fate, key, at_ms, &none))?;
        }
        if let Some(rewrite) = &mut self.rewrite {
            self.line.clear();
            let (id, occurrence) = (&outcome.id, outcome.occurrence);
            failures::line(self.id_form, id, occurrence, failure, &mut self.line).map_err(odd)?;
            rewrite.fails(&self.line);
            return Ok(());
        }
        let reason = failure.reason.as_str();
        *self.added.entry(reason).or_default() += 1;
        *self.failed.entry(reason.to_owned()).or_default() += 1;
        if let Failures::Later(path) = &self.failures {
            self.failures = Failures::Open(create(path, self.output.path())?);
        }
        if let Failures::Open(sink) = &mut self.failures {
            self.line.clear();
            let (id, occurrence) = (&outcome.id, outcome.occurrence);
            failures::line(self.id_form, id, occurrence, failure, &mut self.line).map_err(odd)?;
            sink.append(&self.line)?;
        }
        Ok(())
    }
}

/// Makes the failures file, durably named, with the output's rights.
fn create(path: &Path, output: &Path) -> Result<Sink, WriteError> {
    // Opening a FIFO would wait for whoever reads it.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(WriteError::Disturbed {
            path: path.to_path_buf(),
        });
    }
    let mut options = OpenOptions::new();
    let file = create_like(no_link(options.append(true).create(true)), path, output)
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
