//! The wiring: job → ids → pace → fetch → write → checkpoint → report.
//!
//! The only place that knows all stages. [`run`] opens the list and the output,
//! starts the reader of IDs and the writer on threads of their own, and hands
//! the rest to the engine. An item's way goes forward through these files:
//!
//! | file | its part |
//! | --- | --- |
//! | `stages/ids` | reads the list (an update's `stages/update_filter` behind it) |
//! | `intake` | takes what is not done, not a repeat, and within the limit |
//! | `queue` | orders the items and puts batches together |
//! | `engine` | asks the pacer for a permit and begins the request |
//! | `in_flight` | sends it |
//! | `triage` | says what the answer means |
//! | `stages/writer` | writes the outcome, commits it, and counts it |
//! | `finish` | makes the last commit and the summary |

mod commits;
mod engine;
mod error;
mod finish;
mod in_flight;
mod intake;
mod item;
mod open;
mod options;
mod page_progress;
mod queue;
mod side_permits;
mod stages;
mod tally;
mod triage;
mod update;
mod uptime;

pub use error::RunError;
pub use options::{Ended, RunOptions, Stop};
pub use triage::StopReason;

use crate::auth::{Credentials, SidePermits};
use crate::fetch::Fetcher;
use crate::job::{Job, OutputTarget};
use crate::pace::{Now, Pacer};
use crate::report::{Event, Plan, Reporter, UpdatePlan};
use crate::transport::Proxies;
use crate::write::Opened;
use open::Ends;
use tokio::sync::mpsc;

/// Runs a job to its end. `stops` brings the signals; a second one is the
/// caller's to act on.
pub async fn run(
    job: &Job,
    options: RunOptions,
    reporter: &mut Reporter,
    stops: &mut mpsc::Receiver<Stop>,
) -> Result<Ended, RunError> {
    // Signals are heard while this blocks.
    let opening = tokio::task::spawn_blocking({
        let (job, options) = (job.clone(), options.clone());
        move || open::open(&job, &options)
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
    let resumed = resumed.unwrap_or_default();
    let leased = matches!(job.output.target, OutputTarget::File(_));
    let now = Now::read();
    let mut pacer = Pacer::new(&job.limits, &job.retry, leased, fastrand::u64(..), now);
    pacer.restore(&resumed.notes, now, uptime::read());

    let proxies = Proxies::of(job);
    let client = crate::transport::client(job.limits.concurrency, &proxies)?;
    let (permits, side_requests) = SidePermits::channel();
    let (credentials, refresher) =
        Credentials::of(job, options.base.as_deref(), &client, &permits)?;
    let fetcher = Fetcher::new(
        &job.request,
        options.base.as_deref(),
        client,
        permits,
        credentials.clone(),
    )?;

    reporter.on(&Event::Started(Plan {
        job: job.path.clone(),
        output: open::output_path(job),
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
        proxy: proxies.named(&job.request.url.origin()),
    }));
    if let Some(text) = update::notice(job, &options, update.as_ref(), &resumed) {
        reporter.on(&Event::Notice(text));
    }

    let page_memory = page_progress::PageMemory::default();
    let mut triage = triage::Triage::new(
        job,
        resumed.records > 0,
        page_memory.clone(),
        fastrand::u64(..),
    );
    if let Some(id) = &resumed.known_good {
        triage.remember_good(id);
    }
    let engine = engine::Engine {
        intake: intake::Intake::new(
            ids,
            &job.ids,
            options.limit,
            done,
            resumed.resume_points,
            page_memory,
        ),
        plan: engine::RunPlan {
            job,
            options,
            finished_before: resumed.finished,
            update,
        },
        pacer,
        triage,
        queue: queue::Queue::default(),
        in_flight: in_flight::InFlight::new(fetcher),
        tokens: stages::tokens::TokenStage::new(credentials, refresher),
        side_permits: side_permits::SidePermitQueue::new(side_requests),
        writer: stages::writer::start(writer)?,
        commits: commits::Commits::new(job.checkpoint.every),
        tally: tally::Tally::new(),
        stopping: None,
    };
    engine.drive(reporter, stops).await
}
