//! The wiring: job → ids → pace → fetch → write → checkpoint → report.
//!
//! The only place that knows all stages. [`run`] opens the output, starts the
//! reader of IDs and the writer on threads of their own, and drives the rest
//! on one task: the driver takes items, asks the pacer for permits, keeps
//! the attempts in flight and hands outcomes on. Must never write a file or
//! judge an answer itself.

mod batches;
mod commits;
mod control;
mod credentials;
mod driver;
mod error;
mod error_body;
mod ids_stage;
mod intake;
mod pages;
mod quarantine;
mod refusals;
mod shape;
mod state;
mod stats;
mod storm;
mod suspicion;
mod update;
mod uptime;
mod verdicts;
mod work;
mod writer_stage;

pub use error::RunError;
pub use shape::shape;

use crate::auth::SidePermits;
use crate::fetch::Fetcher;
use crate::job::{Job, OutputTarget};
use crate::outcome::Reason;
use crate::pace::{Now, Pacer};
use crate::report::{Commands, Event, Plan, Reporter, Summary, UpdatePlan};
use crate::write::{self, Opened, Update};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// What a run is told beside its job.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Start over: what is there is removed.
    pub fresh: bool,
    /// Ask again for the records that are there, as far as they are old enough.
    pub update: bool,
    /// Run only what failed before, and of that these kinds; none named is all.
    pub retry: Option<Vec<Reason>>,
    /// Only the first so many items that are left.
    pub limit: Option<u64>,
    /// Where requests go instead of the job's hosts (the embedded API), `http://127.0.0.1:PORT`.
    pub base: Option<String>,
    /// As typed, for "run it again".
    pub commands: Commands,
}

/// A request to stop, from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Stop {
    /// The signal's common name.
    pub fn name(self) -> &'static str {
        match self {
            Stop::Interrupt => "Ctrl-C",
            Stop::Terminate => "SIGTERM",
        }
    }
}

/// How a run came to its end, when nothing broke.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Whether everything that was asked for has its fate.
    pub complete: bool,
    /// Items that failed for good, among those that the exit code speaks of.
    pub failed: u64,
    /// The signal that stopped it.
    pub stopped: Option<Stop>,
    /// The account.
    pub summary: Summary,
}

/// Runs a job to its end. `stops` brings the signals; a second one is the
/// caller's to act on.
pub async fn run(
    job: &Job,
    options: RunOptions,
    reporter: &mut Reporter,
    stops: &mut mpsc::Receiver<Stop>,
) -> Result<Ended, RunError> {
    // A pipe that nobody writes to, a large output on a slow disk: signals are heard meanwhile.
    let opening = tokio::task::spawn_blocking({
        let (job, options) = (job.clone(), options.clone());
        move || open_both_ends(&job, &options)
    });
    let Ends {
        ids,
        opened,
        update,
    } = tokio::select! {
        opened = opening => opened.map_err(|_| RunError::StageGone("opening"))??,
        Some(stop) = stops.recv() => return Err(RunError::Stopped(stop)),
    };
    let Opened {
        writer,
        done,
        resumed,
        ..
    } = opened;
    let leased = matches!(job.output.target, OutputTarget::File(_));
    let now = Now::read();
    let mut pacer = Pacer::new(&job.limits, &job.retry, leased, fastrand::u64(..), now);
    let resumed = resumed.unwrap_or_default();
    pacer.restore(&resumed.notes, now, uptime::read());

    let client = crate::transport::client(job.limits.concurrency, options.base.is_some())?;
    let (side_permits, side_requests) = SidePermits::channel();
    let (credentials, keeper) = credentials::of(job, &options, &client, &side_permits)?;
    let fetcher = Fetcher::new(
        &job.request,
        options.base.as_deref(),
        client,
        side_permits,
        credentials.clone(),
    )?;

    reporter.on(&Event::Started(Plan {
        job: job.path.clone(),
        output: output_path(job),
        retry: options
            .retry
            .as_ref()
            .map(|_| resumed.failures.values().sum()),
        update: update.as_ref().map(|update| UpdatePlan {
            older_than: job.update.map(|update| update.older_than),
            records: update.records,
            older: update.older,
        }),
        done_before: resumed.done,
        dropped_bytes: resumed.dropped_bytes,
        allowed: pacer.allowed_per_second(),
        auto: job.limits.rate_auto,
        concurrency: job.limits.concurrency,
        concurrency_auto: job.limits.concurrency_auto,
        sandbox: options.base.clone(),
    }));

    if let Some(text) = update::notice(job, &options, update.as_ref(), &resumed) {
        reporter.on(&Event::Notice(text));
    }

    let writer = writer_stage::start(writer)?;
    let mut driver = state::Driver::new(state::Parts {
        job,
        options,
        pacer,
        fetcher,
        credentials,
        keeper,
        done,
        resumed,
        update,
        ids,
        writer,
        side_requests,
    });
    if let Some(id) = driver.resumed.known_good.take() {
        driver.remember_good(&id);
    }
    driver.drive(reporter, stops).await
}

/// The list and the output.
struct Ends {
    ids: ids_stage::IdStream,
    opened: Opened,
    /// `opened` is what an update writes to.
    update: Option<Update>,
}

fn open_both_ends(job: &Job, options: &RunOptions) -> Result<Ends, RunError> {
    match &options.retry {
        None => {
            if options.update && job.output.target == OutputTarget::Stdout {
                return Err(RunError::NothingToUpdate);
            }
            // A list that is not there must leave no empty output behind.
            let ids = ids_stage::start(&job.ids)?;
            if update::is_due(job, options) {
                let options = write_options(job, options);
                if let Some(base) = write::open_base(&options)? {
                    return update::open(job, &options, ids, base);
                }
            }
            let opened = open(job, options)?;
            Ok(Ends {
                ids,
                opened,
                update: None,
            })
        }
        Some(reasons) => {
            let mut opened = open(job, options)?;
            let failed = opened.failed.take();
            let ids = ids_stage::start_failed(failed, reasons.clone())?;
            Ok(Ends {
                ids,
                opened,
                update: None,
            })
        }
    }
}

fn open(job: &Job, options: &RunOptions) -> Result<Opened, RunError> {
    let columns = job.output.columns.clone();
    match &job.output.target {
        OutputTarget::Stdout if options.retry.is_some() => Err(RunError::NothingKept),
        OutputTarget::Stdout => Ok(Opened {
            writer: write::stdout(
                job.output.format,
                job.output.record,
                job.request.id_form(),
                columns,
            ),
            done: crate::checkpoint::DoneSet::new(),
            resumed: None,
            failed: None,
        }),
        OutputTarget::File(_) => Ok(write::open(write_options(job, options))?),
    }
}

fn write_options(job: &Job, options: &RunOptions) -> write::OpenOptions {
    write::OpenOptions {
        output: output_path(job).unwrap_or_default(),
        format: job.output.format,
        record: job.output.record,
        id_form: job.request.id_form(),
        columns: job.output.columns.clone(),
        shape: shape(job),
        fresh: options.fresh,
        retry: options.retry.is_some(),
    }
}

fn output_path(job: &Job) -> Option<PathBuf> {
    match &job.output.target {
        OutputTarget::Stdout => None,
        OutputTarget::File(path) => Some(path.clone()),
    }
}
