//! What the run tells those who watch it.

use crate::outcome::Reason;
use crate::pace::{Found, PauseView};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// One piece of news.
#[derive(Debug, Clone)]
pub enum Event {
    /// The run begins.
    Started(Plan),
    /// How it stands; several a second.
    Progress(Box<Snapshot>),
    /// Something that people should read once.
    Notice(String),
    /// The run is over.
    Ended(Box<Summary>),
}

/// What a run is about to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The job file.
    pub job: PathBuf,
    /// Where records go; `None` is stdout.
    pub output: Option<PathBuf>,
    /// Only failed items are tried again: how many there are.
    pub retry: Option<u64>,
    /// Records that are there are asked for again.
    pub update: Option<UpdatePlan>,
    /// Done by earlier runs: records and failures.
    pub done_before: u64,
    /// Bytes of uncommitted work that recovery took back.
    pub dropped_bytes: u64,
    /// Starts a second that the quotas allow; `None` is unlimited.
    pub allowed: Option<f64>,
    /// Below that, the pace finds itself.
    pub auto: bool,
    /// Requests in flight at most.
    pub concurrency: usize,
    /// Below that, their number finds itself.
    pub concurrency_auto: bool,
    /// The embedded API's address, when it is used.
    pub sandbox: Option<String>,
    /// The proxy that its requests go through, when there is one.
    pub proxy: Option<String>,
}

/// What an update is about to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdatePlan {
    /// Only what is older; `None`: everything.
    pub older_than: Option<Duration>,
    /// Records in the output.
    pub records: u64,
    /// Of these, older ones.
    pub older: u64,
}

/// What an update has done to the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpdateNews {
    /// Records that are other ones now.
    pub changed: u64,
    /// Records of items that had none, or fewer.
    pub added: u64,
    /// Records that were asked for and are what they were.
    pub unchanged: u64,
    /// Records that left, since there is no such item any more, or it has fewer.
    pub gone: u64,
    /// Items whose records stayed because asking for them failed.
    pub kept: u64,
}

/// How a run stands.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Items listed, repeats not counted; `None` while nobody knows.
    pub total: Option<u64>,
    /// Listed items that earlier runs did.
    pub done_before: u64,
    /// Records of this run.
    pub records: u64,
    /// Items of this run that have their records: one each, unless they come in pages.
    pub items: u64,
    /// Pages of this run, where items come in pages.
    pub pages: u64,
    /// Failures of this run.
    pub failed: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Requests in flight.
    pub in_flight: usize,
    /// Starts a second, lately.
    pub rate: f64,
    /// Starts a second that the quotas allow.
    pub allowed: Option<f64>,
    /// Starts a second that a throttled run goes at most.
    pub throttled_to: Option<f64>,
    /// Starts a second at present, where the pace finds itself.
    pub auto: Option<f64>,
    /// What is left of the token's life.
    pub token_life: Option<Duration>,
    /// Why nothing goes, and until when.
    pub pause: Option<PauseView>,
    /// The token endpoint's trouble.
    pub token_trouble: Option<String>,
    /// Stopping: waiting for what is in flight.
    pub stopping: bool,
    /// Since the start.
    pub elapsed: Duration,
}

/// What a person types next.
#[derive(Debug, Clone, Default)]
pub struct Commands {
    /// Goes on with what this run was doing.
    pub again: String,
    /// Runs the job.
    pub run: String,
    /// Tries its failed items again.
    pub retry: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every item of the list has its fate.
    Finished,
    /// All was done before; nothing was sent.
    NothingToDo,
    /// Every failed item was tried again.
    Retried,
    /// `retry`, and nothing has failed; nothing was sent.
    NothingToRetry,
    /// The update's records are in the output.
    Updated,
    /// `--update`, and nothing is old enough; nothing was sent.
    UpToDate,
    /// `--limit` was reached.
    Limit,
    /// To be resumed later, and why.
    Paused(String),
    /// Stopped by a signal.
    Stopped(&'static str),
    /// The run could not go on.
    Error,
}

/// The account of a run.
#[derive(Debug, Clone)]
pub struct Summary {
    /// How it ended.
    pub end: End,
    /// As typed, for "run it again".
    pub commands: Commands,
    /// The list's end has been reached, in this run or before.
    pub at_end: bool,
    /// Where records are; `None` is stdout.
    pub output: Option<PathBuf>,
    /// Where failures are.
    pub failures: Option<PathBuf>,
    /// Records of this run.
    pub records: u64,
    /// Items of this run that have their records.
    pub items: u64,
    /// Pages of this run, where items come in pages.
    pub pages: u64,
    /// In an update: records that still hold.
    pub unchanged: u64,
    /// What an update that came to its end has done.
    pub update: Option<UpdateNews>,
    /// Records in the output, earlier runs' counted.
    pub records_in_all: u64,
    /// Failures of this run, by reason, with one message each.
    pub failed: BTreeMap<Reason, (u64, String)>,
    /// Failures in the file, earlier runs' counted.
    pub failed_in_all: u64,
    /// Items of which a part is in the output, while the list has them no more; known at the list's end.
    pub left_in_part: u64,
    /// Listed again, and fetched once.
    pub repeats: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Requests started, tokens' and redirects' counted.
    pub starts: u64,
    /// Token requests.
    pub token_requests: u64,
    /// Bytes of bodies received.
    pub bytes: u64,
    /// Starts a second that the quotas allow.
    pub allowed: Option<f64>,
    /// What was found of the server's limits.
    pub found: Found,
    /// Fields that a CSV's first record did not have.
    pub unexpected_fields: BTreeMap<String, u64>,
    /// Since the start.
    pub elapsed: Duration,
}
