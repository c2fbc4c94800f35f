//! Opens an output: a new one, or one that an earlier run left.
//!
//! Owns recovery (promise 1): what the checkpoint covers must be there, byte
//! for byte; what comes after it is cut off; and nothing is touched before all
//! of that is known to fit. Must be called under the output's
//! [`OutputLock`](crate::checkpoint::OutputLock).

use super::beside::refuse_others;
use super::error::WriteError;
use super::failures::FailedItems;
use super::files::{check, cut, look, recover, refuse_strangers, remove};
use super::generation;
use super::rewrite;
use super::sink::{Sink, Target};
use super::versions::{Versions, last_parts};
use super::writer::Writer;
use crate::checkpoint::{
    CheckpointError, Closing, DoneSet, Files, ItemKey, Journal, Loading, Shape, State, compact,
    create_like, scan, sync_folder,
};
use crate::fail_point::fail_point;
use crate::job::{IdForm, OutputFormat, RecordForm};
use crate::outcome::Trail;
use crate::pace::Note;
use serde_json_path::JsonPath;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What to open, and how.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The output; the other files stand beside it.
    pub output: PathBuf,
    /// The form of the output.
    pub format: OutputFormat,
    /// The form of a record.
    pub record: RecordForm,
    /// The form of an item's ID, in envelopes and in the failures file.
    pub id_form: IdForm,
    /// CSV columns: name and path into the body; empty: from the first record.
    pub columns: Vec<(String, JsonPath)>,
    /// What the records depend on. `output.format`, `output.record` and
    /// `output.columns` are added where it has no such fields.
    pub shape: Shape,
    /// Start over: remove what is there, whoever wrote it.
    pub fresh: bool,
    /// Only failed items get a new fate: their lines leave the failures file
    /// in the commit that covers it. The output must be there.
    pub retry: bool,
}

/// An open output.
#[derive(Debug)]
pub struct Opened {
    /// At the end of what is committed.
    pub writer: Writer,
    /// The items that are committed.
    pub done: DoneSet,
    /// What an earlier run left; `None` for a new output. One that was started
    /// over has the notes of before, and nothing else.
    pub resumed: Option<Resumed>,
    /// The items that failed.
    pub failed: Option<FailedItems>,
}

/// What an earlier run left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Resumed {
    /// Records in the output.
    pub records: u64,
    /// Failed items, by the reason's name.
    pub failures: BTreeMap<String, u64>,
    /// The pacer's notes, oldest first. Those of the last 32 days with starts are all there, and the last.
    pub notes: Vec<Note>,
    /// Bytes of the output and the failures file that no commit covered, and that were cut off.
    pub dropped_bytes: u64,
    /// The last run had finished its list.
    pub finished: bool,
    /// Items with a fate.
    pub done: u64,
    /// Items of which a part is in the output, and where each goes on.
    pub trails: BTreeMap<ItemKey, Trail>,
    /// The ID of an item that was answered well.
    pub known_good: Option<String>,
}

/// Opens the output for writing; the caller holds its lock.
///
/// # Errors
/// [`WriteError::OutputExists`] or [`WriteError::NotAFile`] for what this program did not write,
/// [`WriteError::Checkpoint`] when the checkpoint does not fit, [`WriteError::Io`].
/// Nothing was changed then, unless `fresh` was set or the disk failed.
pub fn open(options: OpenOptions) -> Result<Opened, WriteError> {
    let files = Files::of(&options.output)?;
    let shape = whole_shape(&options);
    refuse_others(&files)?;
    if options.fresh {
        start_over(&files, &shape)?;
    }
    let mut loading = Loading::default();
    match scan(&files.checkpoint, |keys| loading.add(keys))? {
        Some(state) => resume(&options, &shape, &files, state, Some(loading.done())),
        None if options.retry => Err(WriteError::NoRun { path: files.output }),
        None => create(&options, &shape, &files, Start::default()),
    }
}

/// Opens an output that is about to be updated: as [`open`] does, but what is
/// done stays on the disk, for it is not asked. `None` when nothing is there.
///
/// # Errors
/// Those of [`open`].
pub fn open_base(options: &OpenOptions) -> Result<Option<Opened>, WriteError> {
    let files = Files::of(&options.output)?;
    let shape = whole_shape(options);
    refuse_others(&files)?;
    match scan(&files.checkpoint, |_| {})? {
        Some(state) => resume(options, &shape, &files, state, None).map(Some),
        None => Ok(None),
    }
}

/// What an output begins with.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// The columns of the output that this one is an update of.
    pub(super) columns: Option<Vec<String>>,
    /// Which update it is or comes from; 0 before the first.
    pub(super) generation: u64,
    /// What the pacer has to know of earlier runs.
    pub(super) notes: Vec<Note>,
    /// Whose rights its files get; `None`: the system's for new ones.
    pub(super) like: Option<Files>,
}

/// The shape with what the writer itself depends on.
pub(super) fn whole_shape(options: &OpenOptions) -> Shape {
    let mut shape = options.shape.clone();
    shape.or_insert("output.format", || match options.format {
        OutputFormat::Ndjson => "ndjson".to_owned(),
        OutputFormat::Delimited { delimiter: b'\t' } => "tsv".to_owned(),
        OutputFormat::Delimited { delimiter: b',' } => "csv".to_owned(),
        OutputFormat::Delimited { delimiter } => format!("csv with {:?}", char::from(delimiter)),
    });
    shape.or_insert("output.record", || match options.record {
        RecordForm::Body => "body".to_owned(),
        RecordForm::Envelope => "envelope".to_owned(),
    });
    shape.or_insert("output.columns", || {
        let columns = options
            .columns
            .iter()
            .map(|(name, path)| format!("{name} = {path}"));
        columns.collect::<Vec<_>>().join(", ")
    });
    shape
}

/// Removes what is there. First an empty checkpoint takes the place of the old
/// one, so a kill on the way leaves one that fits, and the next run cuts off what
/// is left. It keeps what the pacer noted of this server: quotas and pauses are
/// the server's, and starting over does not end them.
fn start_over(files: &Files, shape: &Shape) -> Result<(), WriteError> {
    let output = look(&files.output)?;
    if output.as_ref().is_some_and(|metadata| !metadata.is_file()) {
        return Err(WriteError::NotAFile {
            path: files.output.clone(),
        });
    }
    // A checkpoint that can't be read is what starting over is for.
    let notes = match scan(&files.checkpoint, |_| {}) {
        Ok(Some(old)) if old.shape.agrees(shape, "source") => {
            generation::all_notes(files, old.notes)
        }
        _ => Vec::new(),
    };
    Journal::create(&files.checkpoint, shape, 0, notes)?;
    fail_point!("fresh: checkpoint renewed");
    if remove(&files.failures)? {
        sync_folder(&files.failures).map_err(WriteError::io(&files.failures, "remove the file"))?;
    }
    fail_point!("fresh: failures removed");
    remove(&files.versions)?;
    generation::discard(&files.updating())?;
    generation::discard(&files.next())?;
    if output.is_some() {
        fs::OpenOptions::new()
            .write(true)
            .open(&files.output)
            .and_then(|file| cut(&file, 0))
            .map_err(WriteError::io(&files.output, "empty the output"))?;
        fail_point!("fresh: output emptied");
    }
    Ok(())
}

/// A new output and its checkpoint.
pub(super) fn create(
    options: &OpenOptions,
    shape: &Shape,
    files: &Files,
    start: Start,
) -> Result<Opened, WriteError> {
    let output = look(&files.output)?;
    match &output {
        Some(metadata) if !metadata.is_file() => {
            return Err(WriteError::NotAFile {
                path: files.output.clone(),
            });
        }
        Some(metadata) if metadata.len() > 0 => {
            return Err(WriteError::OutputExists {
                path: files.output.clone(),
            });
        }
        _ => {}
    }
    match look(&files.failures)? {
        Some(metadata) if !metadata.is_file() => {
            return Err(WriteError::NotAFile {
                path: files.failures.clone(),
            });
        }
        Some(metadata) if metadata.len() > 0 => {
            return Err(WriteError::OutputExists {
                path: files.failures.clone(),
            });
        }
        _ => {}
    }
    refuse_strangers(&files.versions)?;
    let like = start.like.as_ref().unwrap_or(files);
    let mut open = fs::OpenOptions::new();
    open.append(true).create(true).create_new(output.is_none());
    let file = create_like(&mut open, &files.output, &like.output)
        .map_err(WriteError::io(&files.output, "create the output"))?;
    fail_point!("open: output created");
    let generation = start.generation;
    let resumed = (!start.notes.is_empty()).then(|| Resumed {
        notes: start.notes.clone(),
        ..Resumed::default()
    });
    let (path, like) = (&files.checkpoint, &like.checkpoint);
    // It makes the output's name durable, too.
    let journal = Journal::create_like(path, like, shape, generation, start.notes)?;
    let mut state = State::default();
    state.columns = start.columns;
    let writer = Writer::resume(
        options,
        &state,
        Sink::new(Target::File(file), &files.output, 0),
        Err(files.failures.clone()),
        (
            Versions::later(files.versions.clone(), generation),
            BTreeMap::new(),
        ),
        (journal, files.checkpoint.clone()),
    );
    Ok(Opened {
        writer,
        done: DoneSet::new(),
        resumed,
        failed: None,
    })
}

/// What an earlier run left, cut back to its last commit. `done`: the
/// checkpoint's keys, where somebody asks for them.
pub(super) fn resume(
    options: &OpenOptions,
    shape: &Shape,
    files: &Files,
    mut state: State,
    done: Option<DoneSet>,
) -> Result<Opened, WriteError> {
    let differences = state.shape.differences(shape);
    if !differences.is_empty() {
        let path = files.checkpoint.clone();
        return Err(CheckpointError::Shape { path, differences }.into());
    }
    // First all that may refuse, then all that changes something.
    let closed = state.closing != Closing::No;
    let places = generation::places(files, &state)?;
    check(&places.output, &state.output, closed)?;
    let failures_at = match places.failures {
        Some(moved) => moved,
        None => rewrite::place(&files.failures, &state.failures, state.rewriting)?,
    };
    check(&failures_at, &state.failures, closed)?;
    refuse_strangers(&files.versions)?;
    fail_point!("open: nothing changed yet");
    // It is locked from here on.
    let mut journal = Journal::resume(&files.checkpoint, &state)?;
    if places.pending {
        generation::publish(files)?;
    } else {
        rewrite::finish(&files.failures, &failures_at)?;
    }
    generation::sweep(files, state.generation)?;
    if let Some(done) = &done
        && let Some(compacted) = compact(&files.checkpoint, &mut state, done)?
    {
        journal = compacted;
    }
    let done = done.unwrap_or_default();
    let (output, dropped) = recover(&files.output, state.output.length)?;
    fail_point!("open: output cut");
    let (failures, dropped_failures) = match look(&files.failures)? {
        None => (Err(files.failures.clone()), 0),
        Some(_) => {
            let (sink, dropped) = recover(&files.failures, state.failures.length)?;
            (Ok(sink), dropped)
        }
    };
    fail_point!("open: failures cut");
    let versions = Versions::recover(
        &files.versions,
        state.generation,
        state.versions,
        (state.output.length, state.records),
    )?;
    let parts = last_parts(&files.versions, state.generation, &state.trails)?;
    fail_point!("open: versions cut");
    sync_folder(&files.output).map_err(WriteError::io(
        &files.output,
        "make the output's name durable",
    ))?;
    fail_point!("open: journal ready");
    let failed = match &failures {
        Ok(_) => Some(FailedItems::open(&files.failures, state.failures.length)?),
        Err(_) => None,
    };
    let journal = (journal, files.checkpoint.clone());
    let versions = (versions, parts);
    let writer = Writer::resume(options, &state, output, failures, versions, journal);
    let resumed = Resumed {
        records: state.records,
        failures: state.failed,
        notes: generation::all_notes(files, state.notes),
        dropped_bytes: dropped + dropped_failures,
        finished: state.closing == Closing::Finished,
        done: state.keys,
        trails: state.trails,
        known_good: state.known_good,
    };
    Ok(Opened {
        writer,
        done,
        resumed: Some(resumed),
        failed,
    })
}
