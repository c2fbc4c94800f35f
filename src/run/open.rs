//! Opens a run's ends: the list (or the failures file), and the output (or what an
//! update writes to).

use super::error::RunError;
use super::options::RunOptions;
use super::stages::id_stream::IdStream;
use super::stages::ids;
use super::stages::update_filter::{self, UpdateFilter, older_than};
use super::update;
use crate::checkpoint::{DoneSet, Shape};
use crate::job::{Job, OutputTarget};
use crate::write::{self, OpenOptions, Opened, Update};
use std::path::PathBuf;

/// The ends of a run.
pub(super) struct Ends {
    pub(super) ids: IdStream,
    pub(super) opened: Opened,
    /// `opened` is what an update writes to.
    pub(super) update: Option<Update>,
}

/// Opens both ends. Everything blocks: a pipe that nobody writes to, a large
/// output on a slow disk.
pub(super) fn open(job: &Job, options: &RunOptions) -> Result<Ends, RunError> {
    let to_stdout = job.output.target == OutputTarget::Stdout;
    if to_stdout && options.retry.is_some() {
        return Err(RunError::NothingKept);
    } else if to_stdout && options.update {
        return Err(RunError::NothingToUpdate);
    }
    if let Some(reasons) = &options.retry {
        let mut opened = open_output(job, options)?;
        let ids = ids::start_failed(opened.failed.take(), reasons.clone())?;
        return Ok(Ends {
            ids,
            opened,
            update: None,
        });
    }
    // A list that is not there must leave no empty output behind.
    let list = ids::start(&job.ids)?;
    if update::is_due(job, options) {
        let options = write_options(job, options);
        if let Some(base) = write::open_base(&options)? {
            let (mut opened, update) = write::open_update(&options, base, older_than(job))?;
            let done = std::mem::take(&mut opened.done);
            let filter = UpdateFilter::new(job, update.known(), done);
            return Ok(Ends {
                ids: update_filter::start(list, filter)?,
                opened,
                update: Some(update),
            });
        }
    }
    Ok(Ends {
        ids: list,
        opened: open_output(job, options)?,
        update: None,
    })
}

fn open_output(job: &Job, options: &RunOptions) -> Result<Opened, RunError> {
    match &job.output.target {
        OutputTarget::Stdout => Ok(Opened {
            writer: write::stdout(
                job.output.format,
                job.output.record,
                job.request.id_form(),
                job.output.columns.clone(),
            ),
            done: DoneSet::new(),
            resumed: None,
            failed: None,
        }),
        OutputTarget::File(_) => Ok(write::open(write_options(job, options))?),
    }
}

fn write_options(job: &Job, options: &RunOptions) -> OpenOptions {
    OpenOptions {
        output: output_path(job).unwrap_or_default(),
        format: job.output.format,
        record: job.output.record,
        id_form: job.request.id_form(),
        columns: job.output.columns.clone(),
        shape: Shape::of(job),
        fresh: options.fresh,
        retry: options.retry.is_some(),
    }
}

/// Where records go; `None` is stdout.
pub(super) fn output_path(job: &Job) -> Option<PathBuf> {
    match &job.output.target {
        OutputTarget::Stdout => None,
        OutputTarget::File(path) => Some(path.clone()),
    }
}
