//! The triage's state: its parts, what the job says, and what others may ask it.

use super::batches::Batches;
use super::doubted::Doubted;
use super::fairness::Fairness;
use super::known_good::KnownGood;
use super::memory::Memories;
use super::quarantine::Quarantine;
use super::refusals::Refusals;
use super::tries::Tries;
use crate::checkpoint::ItemKey;
use crate::job::{Auth, Job, Method, PageRecords};
use crate::run::item::Item;
use crate::run::page_progress::{BYTES, PageMemory};

/// What the job says, and what was seen so far.
#[derive(Debug)]
pub(in crate::run) struct Triage {
    pub(super) rules: Rules,
    pub(super) tries: Tries,
    pub(super) memories: Memories,
    pub(super) fairness: Fairness,
    pub(super) refusals: Refusals,
    pub(super) known_good: KnownGood,
    pub(super) doubted: Doubted,
    pub(super) quarantine: Quarantine,
    pub(super) batches: Batches,
    pub(super) page_memory: PageMemory,
    /// Some item has its record, from this run or an earlier one.
    pub(super) any_record: bool,
    /// What went wrong last, of what is tried again.
    pub(super) last_trouble: String,
    /// The triage has stopped the run, for the credentials' or all items' sake:
    /// failures that still come in are tried again by the same command.
    pub(super) gave_up: bool,
}

/// What the job says of answers.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) host: String,
    /// The job has no credentials.
    pub(super) anonymous: bool,
    /// All that there is to ask for is a plain listing: that it is not found
    /// says more of the API than of it.
    pub(super) listing: bool,
    /// The job says itself which body is an error.
    pub(super) knows_errors: bool,
    /// The longest record that may be merged of pages; `None` when nothing is merged.
    pub(super) longest_merge: Option<usize>,
}

impl Triage {
    /// `records_before`: an earlier run has left records. `page_memory` is
    /// shared by all items that come in pages; `seed` is for the retries' delays.
    pub(in crate::run) fn new(
        job: &Job,
        records_before: bool,
        page_memory: PageMemory,
        seed: u64,
    ) -> Triage {
        let request = &job.request;
        let merges = request
            .pages
            .as_ref()
            .is_some_and(|pages| matches!(pages.records, PageRecords::Merge(_)));
        let quarantine = job.limits.quarantine;
        Triage {
            rules: Rules {
                host: request.url.host().to_owned(),
                anonymous: matches!(job.auth, Auth::None),
                listing: request.variables.is_empty(),
                knows_errors: request.fail_when.is_some(),
                longest_merge: merges.then(|| {
                    usize::try_from(request.max_body).map_or(BYTES, |most| most.max(BYTES))
                }),
            },
            tries: Tries::new(job.retry, seed),
            memories: Memories::default(),
            fairness: Fairness::default(),
            refusals: Refusals::new(
                quarantine.is_some(),
                records_before,
                request.batch.is_some(),
            ),
            known_good: KnownGood::new(request.method == Method::Get),
            doubted: Doubted::default(),
            quarantine: Quarantine::new(quarantine),
            batches: Batches::new(request.batch.as_ref()),
            page_memory,
            any_record: records_before,
            last_trouble: String::new(),
            gave_up: false,
        }
    }

    /// At the list's end: whether something is held of which the known good
    /// item has to tell the cause.
    pub(in crate::run) fn asks_at_the_end(&mut self) -> bool {
        if self.known_good.is_known()
            && let Some(why) = self.refusals.held_in_words()
        {
            self.known_good.ask_about_refusals(why);
        }
        self.known_good.is_questioned()
    }

    /// Remembers an item that has its record.
    pub(in crate::run) fn remember_good(&mut self, id: &str) {
        self.known_good.remember(id);
    }

    /// The known good item, for the checkpoint.
    pub(in crate::run) fn known_good(&self) -> Option<&str> {
        self.known_good.id()
    }

    /// Whether the known good item is to be asked for now. `last_ones`: the
    /// server seems to be down, and only items are left that were asked for before.
    pub(in crate::run) fn wants_probe(&self, last_ones: bool) -> bool {
        let doubt = last_ones || !self.doubted.is_empty() || self.known_good.is_questioned();
        doubt && self.known_good.is_ready()
    }

    /// The known good item, to be asked for.
    pub(in crate::run) fn probe(&mut self) -> Option<Item> {
        Some(Item::new(self.known_good.ask()?, 0))
    }

    /// Whether nothing may be begun before the known good item's answer.
    pub(in crate::run) fn awaits_probe(&self) -> bool {
        self.known_good.is_awaited()
    }

    /// Whether an item waits for the known good item's word.
    pub(in crate::run) fn holds_items(&self) -> bool {
        !self.doubted.is_empty() || self.known_good.is_questioned()
    }

    /// What is known of the batch endpoint.
    pub(in crate::run) fn batches(&self) -> &Batches {
        &self.batches
    }

    /// What went wrong last, of what is tried again.
    pub(in crate::run) fn last_trouble(&self) -> &str {
        &self.last_trouble
    }

    /// The writer has recorded a failure in the midst of an item: its answer
    /// that is still to come is for nothing.
    pub(in crate::run) fn failed_in_writer(&mut self, item: ItemKey) {
        self.memories.set_over(item);
    }

    /// Items that are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.memories.len()
    }

    /// Nothing more comes of the item.
    pub(in crate::run) fn forget(&mut self, item: ItemKey) {
        self.memories.forget(item);
    }
}
