//! An update's begin and end: whether this run is one, and its records' way into the output.

use super::error::RunError;
use super::options::RunOptions;
use crate::job::{Job, OutputTarget};
use crate::report::count;
use crate::write::{self, Resumed, Update, Updated, inspect};

/// Whether this run is an update, if anything is there: it was asked for, or
/// the job keeps itself fresh and has nothing else to do.
pub(super) fn is_due(job: &Job, options: &RunOptions) -> bool {
    let OutputTarget::File(output) = &job.output.target else {
        return false;
    };
    // What is wrong with a checkpoint, whoever opens it tells.
    let finished = || matches!(inspect(output), Ok(Some(state)) if state.finished);
    !options.fresh && (options.update || (job.update.is_some() && finished()))
}

/// What people should know of updates before the run goes on.
pub(super) fn notice(
    job: &Job,
    options: &RunOptions,
    update: Option<&Update>,
    resumed: &Resumed,
) -> Option<String> {
    let OutputTarget::File(output) = &job.output.target else {
        return None;
    };
    if update.is_some() {
        return None;
    }
    if options.update {
        return Some("nothing was fetched before, so this is a first run and no update".to_owned());
    }
    // `--fresh` has swept it away.
    let asked = write::under_way(output)?;
    (resumed.done > 0).then(|| {
        format!(
            "an update of this output is under way ({} items asked); to go on with it: {} --update",
            count(asked),
            options.commands.run
        )
    })
}

/// Puts what the update has brought in the old output's place.
pub(super) async fn finish(update: Option<Update>) -> Result<Option<Updated>, RunError> {
    let Some(update) = update else {
        return Ok(None);
    };
    // Signals are heard meanwhile; a second one stops at once, and the next run finishes it.
    let finishing = tokio::task::spawn_blocking(move || update.finish());
    let finished = finishing.await.map_err(|_| RunError::StageGone("update"))?;
    Ok(finished?)
}
