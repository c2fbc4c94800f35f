//! An update: what an output's items have become since.
//!
//! The run of an update writes to `<output>.updating`, an output like any other
//! with a checkpoint of its own, so it can be killed and resumed like any other
//! run; only that its versions file also says which records still hold, and
//! which are gone. The old output is untouched meanwhile. [`Update::finish`]
//! then makes the next output: the old one's items in their order, the lines of
//! each as they are or as the update brought them, then the lines of new items.
//!
//! Owns an update's beginning, its resumption and its end: what becomes of each
//! item's lines is [`next`]'s. Must never touch the old output; taking its place is
//! [`super::generation`]'s.

mod ages;
mod blocks;
mod failed;
mod known;
mod lines;
mod next;
mod trails;

pub use ages::{Ages, ages, under_way};
pub use known::{KnownRecord, KnownRecords};

use self::ages::moment_ms;
use self::next::Next;
use super::error::WriteError;
use super::files::check;
use super::generation::{all_notes, discard, publish};
use super::index::Index;
use super::open::{self, OpenOptions, Opened, Resumed, Start, whole_shape};
use super::versions::{Survey, last_parts, survey};
use crate::checkpoint::{
    CheckpointError, Closing, Files, ItemKey, Loading, Shape, State, UPDATE_OF, replace, scan,
    unix_ms,
};
use crate::fail_point::fail_point;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

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
    /// Records of items that had none, or fewer.
    pub added: u64,
    /// Records that were asked for and are what they were.
    pub unchanged: u64,
    /// Records that left the output, since there is no such item any more, or it has fewer.
    pub gone: u64,
    /// Items whose records stayed because asking for them failed.
    pub kept: u64,
    /// Items that are in the output in part, and that no run has asked to the end: as in [`Update`].
    pub left_in_part: u64,
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
    /// Items of which a part is in the old output, though none of them has failed:
    /// those that the list does not have any more, once it was gone through.
    pub left_in_part: u64,
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
        UPDATE_OF.to_owned(),
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
    let left_in_part = left_in_part(&files, &state)?.len() as u64;
    opened.resumed = Some(Resumed {
        records: state.records,
        notes: all_notes(&files, state.notes),
        known_good: before.known_good.clone().or(state.known_good),
        ..before
    });
    let update = Update {
        files,
        delta,
        known: KnownRecords::of(index),
        records: state.records,
        failed,
        older: survey.older,
        left_in_part,
    };
    Ok((opened, update))
}

/// Items of which a part is in the output, and that have no fate.
fn left_in_part(files: &Files, state: &State) -> Result<BTreeSet<ItemKey>, WriteError> {
    let mut left: BTreeSet<_> = state.trails.keys().copied().collect();
    if !left.is_empty() {
        scan(&files.checkpoint, |keys| {
            for key in keys {
                left.remove(key);
            }
        })?;
    }
    Ok(left)
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
    // Entries of items without a line are counted by nobody: how far the good
    // ones reach tells whether they are all there.
    let survey = survey_of(delta, &state, 0)?;
    let whole = survey.whole && survey.good >= state.versions;
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
        like: Some(files.clone()),
    };
    open::create(&options, shape, delta, start)
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
        check(&files.output, &old.output, closed)?;
        check(&files.failures, &old.failures, closed)?;
        let next = Next {
            news: Index::build(
                &delta.versions,
                new.generation,
                &Files::temporary(&delta.versions),
            )?,
            files: &files,
            delta: &delta,
            parts: last_parts(&delta.versions, new.generation, &new.trails)?,
            known,
            in_midst: left_in_part(&files, &old)?,
            old: &old,
            new: &new,
            done: &done,
            now_ms: unix_ms(SystemTime::now()),
        };
        let (mut state, mut updated) = next.write()?;
        scan(&files.checkpoint, |keys| done.add(keys))?;
        state.keys = done.len() as u64;
        let left = state.trails.keys().filter(|key| !done.contains(**key));
        updated.left_in_part = left.count() as u64;
        drop(replace(&files.checkpoint, &state, &done)?);
        fail_point!("update: committed");
        publish(&files)?;
        fail_point!("update: in place");
        discard(&delta)?;
        Ok(Some(updated))
    }
}
