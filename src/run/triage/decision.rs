//! What the triage is told beside an answer, and what it decides.

use crate::outcome::Outcome;
use crate::run::item::Item;
use std::time::{Duration, SystemTime};

/// The facts of the moment, beside the answer.
#[derive(Debug, Clone, Copy)]
pub(in crate::run) struct Facts {
    /// The wall clock's time.
    pub(in crate::run) at: SystemTime,
    /// The pacer takes the server for down.
    pub(in crate::run) outage: bool,
    /// Only items are left that were asked for before.
    pub(in crate::run) nothing_fresh: bool,
    /// Requests begun so far.
    pub(in crate::run) begun: u64,
    /// The run is stopping.
    pub(in crate::run) stopping: bool,
}

/// What the engine is to do.
#[derive(Debug)]
pub(in crate::run) enum Decision {
    /// Write this outcome.
    Write(Outcome),
    /// Ask for these again after so long, together where they fit: another try.
    AskAgain(Vec<Item>, Duration),
    /// Ask for the item's next page.
    NextPage(Item),
    /// Ask for this item from its beginning: its answers said nothing about it.
    StartOver(Item),
    /// The server refused the token of this generation: drop it.
    DropToken(u64),
    /// The server is down, though it answers.
    ServerDown,
    /// Begin nothing new.
    Stop(StopReason),
}

/// Why answers end a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// The API refuses the credentials; and a hint.
    #[error(
        "the API refused the credentials: {0}\n  nothing was recorded as failed because of it: correct [auth] and run the same command again{1}"
    )]
    Refused(String, &'static str),
    /// Nearly every item failed in the same way.
    #[error(
        "{failures} of the last {items} items failed in the same way: {seen}\n  that is hardly the items' fault, so none of these was recorded as failed: when the cause is gone, the same command goes on from here\n  (if these failures are right: quarantine = \"off\" in [limits])"
    )]
    Quarantine {
        /// Items that failed so.
        failures: u32,
        /// … of so many, one after another.
        items: u32,
        /// The reason's name, and the last one's message.
        seen: String,
    },
    /// The server's certificate is not trusted: its host, and why.
    #[error(
        "{0}: {1}\n  is [request] url right, and this machine's clock? Nothing was recorded as failed because of it"
    )]
    Certificate(String, String),
}

/// One answer's decisions while they are made. What is decided first changes
/// the facts for what comes after it.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) facts: Facts,
    pub(super) decisions: Vec<Decision>,
}

impl Round {
    pub(super) fn new(facts: Facts) -> Round {
        Round {
            facts,
            decisions: Vec::new(),
        }
    }

    pub(super) fn ask_again(&mut self, items: Vec<Item>, after: Duration) {
        if !items.is_empty() {
            self.decisions.push(Decision::AskAgain(items, after));
        }
    }

    pub(super) fn server_down(&mut self) {
        self.facts.outage = true;
        self.decisions.push(Decision::ServerDown);
    }

    pub(super) fn stop(&mut self, reason: StopReason) {
        self.facts.stopping = true;
        self.decisions.push(Decision::Stop(reason));
    }
}
