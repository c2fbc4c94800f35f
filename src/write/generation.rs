//! One output takes another's place, whole.
//!
//! An update prepares `<output>.next`, its failures and its versions, makes
//! them durable, and then puts a checkpoint that covers them in the place of
//! the old one: that rename is the commit. What is left are renames, which
//! [`publish`] makes, and makes again for a run that was killed before it had
//! made them all: the next files belong to the checkpoint when
//! `<output>.next.versions` names its generation, and that file is renamed last.
//!
//! Owns these renames, and the removal of what never came to be. Readers find
//! the whole old output or the whole new one at any moment. Must never rename a
//! file that the checkpoint does not cover.

use super::error::WriteError;
use super::files::{look, remove};
use super::versions::generation_of;
use crate::checkpoint::{Files, State, scan, sync_folder};
use crate::fail_point::fail_point;
use crate::pace::Note;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the committed bytes are.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) output: PathBuf,
    /// `None`: where they are in any other run.
    pub(super) failures: Option<PathBuf>,
    /// Some of the next files may still be due to be renamed.
    pub(super) pending: bool,
}

/// Finds the committed bytes: under the next name while that is still to become the usual one.
pub(super) fn places(files: &Files, state: &State) -> Result<Places, WriteError> {
    let next = files.next();
    if state.generation == 0 || generation_of(&next.versions)? != Some(state.generation) {
        return Ok(Places {
            output: files.output.clone(),
            failures: None,
            pending: false,
        });
    }
    let first_of = |next: PathBuf, usual: &Path| match look(&next)? {
        Some(_) => Ok::<_, WriteError>(next),
        None => Ok(usual.to_path_buf()),
    };
    Ok(Places {
        output: first_of(next.output, &files.output)?,
        failures: Some(first_of(next.failures, &files.failures)?),
        pending: true,
    })
}

/// The checkpoint covers the next files: gives them their names.
pub(super) fn publish(files: &Files) -> Result<(), WriteError> {
    let next = files.next();
    rename(&next.output, &files.output)?;
    fail_point!("update: output renamed");
    rename(&next.failures, &files.failures)?;
    remove(&Files::temporary(&files.failures))?;
    // As if nothing had ever failed.
    if look(&files.failures)?.is_some_and(|there| there.len() == 0) {
        remove(&files.failures)?;
    }
    fail_point!("update: failures renamed");
    let durable = || sync_folder(&files.output);
    durable().map_err(WriteError::io(&files.output, "put the output in its place"))?;
    rename(&next.versions, &files.versions)?;
    fail_point!("update: versions renamed");
    durable().map_err(WriteError::io(
        &files.versions,
        "put the versions in their place",
    ))
}

/// Renames a file if it is there still.
fn rename(from: &Path, to: &Path) -> Result<(), WriteError> {
    match look(from)? {
        None => Ok(()),
        Some(_) => {
            fs::rename(from, to).map_err(WriteError::io(to, "put the new file in its place"))
        }
    }
}

/// Removes what a killed update left and no checkpoint covers, and an update
/// that the output of this generation has in it already.
pub(super) fn sweep(files: &Files, generation: u64) -> Result<(), WriteError> {
    discard(&files.next())?;
    let updating = files.updating();
    let spent = match scan(&updating.checkpoint, |_| {}) {
        Ok(None) => true,
        Ok(Some(state)) => generation != 0 && state.generation == generation,
        // Whoever goes on with it will tell.
        Err(_) => false,
    };
    if spent { discard(&updating) } else { Ok(()) }
}

/// Removes the files of an output that never got its name; the checkpoint last.
pub(super) fn discard(files: &Files) -> Result<(), WriteError> {
    for path in files.all() {
        if look(&path)?.is_some() {
            remove(&path)?;
        }
    }
    Ok(())
}

/// These notes, and those of an update that is under way: it sends its requests
/// to the same server.
pub(super) fn all_notes(files: &Files, mut notes: Vec<Note>) -> Vec<Note> {
    if let Ok(Some(update)) = scan(&files.updating().checkpoint, |_| {}) {
        notes.extend(update.notes);
        notes.sort_by_key(|note| note.at_ms);
    }
    notes
}
