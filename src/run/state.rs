//! All that a run under way knows. Owned by one task, the driver's; the other
//! files of this folder say what it does with it.

use super::batches::Batches;
use super::control::Control;
use super::error::RunError;
use super::ids_stage::IdStream;
use super::pages::Memory;
use super::quarantine::Quarantine;
use super::refusals::Refusals;
use super::stats::Stats;
use super::storm::Storm;
use super::work::{Attempted, Queue, Work};
use super::writer_stage::WriterStage;
use super::{RunOptions, Stop};
use crate::auth::{Credentials, SharedToken, SidePermitRequests, TokenKeeper};
use crate::checkpoint::{DoneSet, ItemKey};
use crate::fetch::{Fetcher, Trouble};
use crate::job::Job;
use crate::outcome::{Outcome, Trail};
use crate::pace::{Pacer, Permit};
use crate::write::{Resumed, Update};
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What a driver is made of.
pub(super) struct Parts<'j> {
    pub(super) job: &'j Job,
    pub(super) options: RunOptions,
    pub(super) pacer: Pacer,
    pub(super) fetcher: Fetcher,
    pub(super) credentials: Credentials,
    pub(super) keeper: Option<TokenKeeper>,
    pub(super) done: DoneSet,
    pub(super) resumed: Resumed,
    pub(super) update: Option<Update>,
    pub(super) ids: IdStream,
    pub(super) writer: WriterStage,
    pub(super) side_requests: SidePermitRequests,
}

/// Why nothing new is begun.
#[derive(Debug)]
pub(super) enum Cause {
    Signal(Stop),
    Broken(RunError),
}

/// A run under way.
pub(super) struct Driver<'j> {
    pub(super) job: &'j Job,
    pub(super) options: RunOptions,
    pub(super) pacer: Pacer,
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) credentials: Credentials,
    pub(super) token_watch: Option<SharedToken>,
    pub(super) keeper: Option<TokenKeeper>,
    pub(super) keeping: Option<tokio::task::JoinHandle<()>>,
    pub(super) done: DoneSet,
    pub(super) resumed: Resumed,
    /// Where items go on of which a part is written.
    pub(super) trails: BTreeMap<ItemKey, Trail>,
    /// Items that failed when a part of them was written, while more was asked for.
    pub(super) given_up: HashSet<ItemKey>,
    /// Of the pages of items in their midst.
    pub(super) memory: Memory,
    pub(super) ids: IdStream,
    /// The list's end, its error, or the limit has been reached.
    pub(super) ids_ended: bool,
    pub(super) limited: bool,
    pub(super) taken: u64,
    pub(super) listed: Option<u64>,
    pub(super) queue: Queue,
    pub(super) batches: Batches,
    pub(super) in_flight: FuturesUnordered<LocalBoxFuture<'static, Attempted>>,
    pub(super) side_requests: SidePermitRequests,
    pub(super) side_waiting: VecDeque<oneshot::Sender<Permit>>,
    pub(super) writer: WriterStage,
    pub(super) commits: Commits,
    pub(super) stats: Stats,
    pub(super) judged: Judged,
    pub(super) quarantine: Quarantine,
    pub(super) storm: Storm,
    pub(super) control: Control,
    /// This run is an update: what it goes to until it has its end.
    pub(super) update: Option<Update>,
    /// Items that have used up their tries while nobody else was answered.
    pub(super) doubted: Vec<(Work, Trouble)>,
    pub(super) stopping: Option<(Cause, Instant)>,
    pub(super) waiting_for_token: bool,
}

impl<'j> Driver<'j> {
    pub(super) fn new(parts: Parts<'j>) -> Driver<'j> {
        Driver {
            commits: Commits::new(parts.job.checkpoint.every),
            quarantine: Quarantine::new(parts.job.limits.quarantine),
            batches: Batches::new(parts.job.request.batch.as_ref()),
            job: parts.job,
            options: parts.options,
            pacer: parts.pacer,
            fetcher: Arc::new(parts.fetcher),
            token_watch: parts.credentials.shared_token().cloned(),
            credentials: parts.credentials,
            keeper: parts.keeper,
            keeping: None,
            done: parts.done,
            trails: parts.resumed.trails.clone(),
            given_up: HashSet::new(),
            memory: Memory::default(),
            resumed: parts.resumed,
            ids: parts.ids,
            ids_ended: false,
            limited: false,
            taken: 0,
            listed: None,
            queue: Queue::default(),
            in_flight: FuturesUnordered::new(),
            side_requests: parts.side_requests,
            side_waiting: VecDeque::new(),
            writer: parts.writer,
            stats: Stats::new(),
            judged: Judged::default(),
            storm: Storm::default(),
            control: Control::default(),
            update: parts.update,
            doubted: Vec::new(),
            stopping: None,
            waiting_for_token: false,
        }
    }
}

/// The state of committing.
#[derive(Debug)]
pub(super) struct Commits {
    pub(super) every: Duration,
    pub(super) last: Instant,
    /// A commit is under way.
    pub(super) under_way: bool,
    /// Something was handed on since the last commit.
    pub(super) dirty: bool,
    /// The pacer needs a lease now.
    pub(super) wanted: bool,
    /// The end of the pause that the last commit holds.
    pub(super) pause_kept: Option<Instant>,
}

impl Commits {
    pub(super) fn new(every: Duration) -> Commits {
        Commits {
            every,
            last: Instant::now(),
            under_way: false,
            dirty: false,
            wanted: false,
            pause_kept: None,
        }
    }
}

/// What has been seen of the API's temper, across items.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Refusals that are not failures until some other answer has come.
    pub(super) held: Vec<Held>,
    /// What went wrong last, of what is tried again.
    pub(super) last_trouble: String,
    /// Some request was not refused.
    pub(super) let_through: bool,
    /// Tokens refused since a request was let through.
    pub(super) refusals: Refusals,
    /// Different items that were refused, and when (as [`Held::when`]); more
    /// than a few say nothing new.
    pub(super) refused_items: Vec<(u64, u64)>,
}

/// A refusal of which nobody knows yet whether it is the item's own.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) outcome: Outcome,
    /// The requests that had been begun by then. Only one that was begun later
    /// can show that the credentials are still good: what was on its way may
    /// have been let through before they were revoked.
    pub(super) when: u64,
}
