//! How old an output's records are, and how far an update of it is: for
//! whoever only looks. Reads without a lock, and must never change anything.

use super::survey_of;
use crate::checkpoint::{Files, scan, unix_ms};
use crate::write::error::WriteError;
use std::path::Path;
use std::time::{Duration, SystemTime};

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
pub(super) fn moment_ms(ago: Duration) -> u64 {
    unix_ms(SystemTime::now()).saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))
}
