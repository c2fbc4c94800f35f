//! Files of others.
//!
//! Owns the look at every name beside an output before a run changes anything:
//! what may be replaced or removed there is empty, or has our mark, or belongs to a
//! checkpoint or versions of ours that stand beside it; whatever else is there ends the
//! run by its name. Under the output's lock no run of ours changes that meanwhile.

use super::error::WriteError;
use super::failures;
use crate::checkpoint::{
    CheckpointError, Files, has_mark, is_marked, refuse_foreign, refuse_meeting,
};

/// Refuses an output beside which something stands that is another's.
pub(super) fn refuse_others(files: &Files) -> Result<(), WriteError> {
    refuse_foreign(&files.checkpoint, is_marked).map_err(not_a_checkpoint)?;
    refuse_foreign(&Files::temporary(&files.checkpoint), is_marked)?;
    refuse_foreign(&files.versions, is_marked)?;
    // With a checkpoint, the failures file is ours: what it has to hold is known to the byte.
    let covered = has_mark(&files.checkpoint)?;
    refuse_foreign(&files.failures, |head| covered || failures::is_ours(head))?;
    refuse_foreign(&Files::temporary(&files.failures), failures::is_ours)?;
    // Whose mark stands for all files of an update, from their first byte to their last.
    let (updating, next) = (files.updating(), files.next());
    for (files, mark) in [(&updating, &updating.checkpoint), (&next, &next.versions)] {
        let covered = has_mark(mark)?;
        for path in files.all() {
            refuse_foreign(&path, |head| covered || is_marked(head))?;
        }
    }
    Ok(refuse_meeting(files)?)
}

/// A checkpoint is looked for, so what is there is told as none.
fn not_a_checkpoint(error: CheckpointError) -> CheckpointError {
    match error {
        CheckpointError::Foreign { path, .. } => CheckpointError::NotACheckpoint { path },
        other => other,
    }
}
