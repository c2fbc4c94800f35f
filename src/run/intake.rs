//! Items on their way in: from the list or the failures file to the queue.
//!
//! Owns which of them are taken: not what is done, not a repeat, not beyond the
//! limit.

use super::error::RunError;
use super::item::Item;
use super::page_progress::{PageMemory, PageProgress};
use super::stages::id_stream::{Batch, Chosen, IdStream};
use super::stages::ids::is_piped;
use crate::checkpoint::{Claim, DoneSet, ItemKey};
use crate::ids::IdBatch;
use crate::job::{Ids, Repeats};
use crate::outcome::{Outcome, ResumePoint};
use std::collections::BTreeMap;

/// What comes in.
#[derive(Debug)]
pub(super) enum Arrival {
    /// From the reader; `None` when it is gone.
    Items(Option<Result<Batch, RunError>>),
    /// The number of the list's entries; `None` when nobody can know.
    Total(Option<u64>),
}

/// The list's items, on their way in.
#[derive(Debug)]
pub(super) struct Intake {
    ids: IdStream,
    done: DoneSet,
    /// Where items go on of which a part is written.
    resume_points: BTreeMap<ItemKey, ResumePoint>,
    page_memory: PageMemory,
    each: bool,
    piped: bool,
    /// Items that may still be taken; `None`: all.
    left: Option<u64>,
    /// The limit has ended it.
    pub(super) limited: bool,
    /// No more items come: the list's end, its error, or the limit.
    pub(super) ended: bool,
    /// The list's entries, when they are counted; `u64::MAX`: nobody can know.
    listed: Option<u64>,
    /// Listed items that earlier runs did.
    pub(super) done_before: u64,
    /// Items that are listed again, and asked for once.
    pub(super) repeats: u64,
}

impl Intake {
    pub(super) fn new(
        ids: IdStream,
        job: &Ids,
        limit: Option<u64>,
        done: DoneSet,
        resume_points: BTreeMap<ItemKey, ResumePoint>,
        page_memory: PageMemory,
    ) -> Intake {
        Intake {
            ids,
            done,
            resume_points,
            page_memory,
            each: job.repeats == Repeats::Each,
            piped: is_piped(job),
            left: limit,
            limited: false,
            ended: false,
            listed: None,
            done_before: 0,
            repeats: 0,
        }
    }

    /// Waits for what comes next, for [`take`](Intake::take); for items only
    /// when they are wanted.
    pub(super) async fn next(&mut self, wants_items: bool) -> Arrival {
        let counting = self.listed.is_none();
        tokio::select! {
            biased;
            batch = self.ids.batches.recv(), if wants_items => Arrival::Items(batch),
            total = self.ids.total.known(), if counting => Arrival::Total(total),
            else => std::future::pending().await,
        }
    }

    /// Begins to count the list: to be called when the first item is asked for.
    pub(super) fn count(&mut self) {
        self.ids.total.count();
    }

    /// Items listed, repeats not counted; `None` while nobody knows.
    pub(super) fn total(&self) -> Option<u64> {
        let listed = self.listed.filter(|&listed| listed != u64::MAX)?;
        Some(listed.saturating_sub(self.repeats))
    }

    /// Takes it in; returns the items that are to be asked for.
    pub(super) fn take(&mut self, arrival: Arrival) -> Result<Vec<Item>, RunError> {
        let batch = match arrival {
            Arrival::Items(batch) => batch,
            Arrival::Total(total) => {
                self.listed = Some(total.unwrap_or(u64::MAX));
                return Ok(Vec::new());
            }
        };
        // Closed without the list's end: what is missing must not pass for done.
        let batch = batch.ok_or(RunError::StageGone("ids"))?;
        self.ended |= batch.is_err();
        Ok(match batch? {
            Batch::End => {
                self.ended = true;
                Vec::new()
            }
            Batch::Listed(ids) => self.take_listed(&ids),
            Batch::Chosen(chosen) => self.take_chosen(chosen),
        })
    }

    fn take_listed(&mut self, ids: &IdBatch) -> Vec<Item> {
        let mut items = Vec::new();
        let claims = self.done.claim_all(ids.iter(), self.each);
        for (id, claim) in ids.iter().zip(claims) {
            match claim {
                // The claim of an item beyond the limit is given back by the process's end.
                Claim::New { .. } if self.at_limit() => {
                    self.limit_reached();
                    break;
                }
                Claim::New { occurrence } => {
                    let item = Item::new(id.to_owned(), occurrence);
                    items.push(self.taken(item));
                    // Nobody knows when a pipe's next line comes.
                    if self.at_limit() && self.piped {
                        self.limit_reached();
                        break;
                    }
                }
                _ if self.at_limit() => {}
                Claim::Done { .. } => self.done_before += 1,
                Claim::Repeat => self.repeats += 1,
            }
        }
        items
    }

    fn take_chosen(&mut self, chosen: Chosen) -> Vec<Item> {
        self.done_before += chosen.done;
        self.repeats += chosen.repeats;
        let mut items = Vec::new();
        for item in chosen.items {
            if self.at_limit() {
                self.limit_reached();
                break;
            }
            items.push(self.taken(item));
        }
        items
    }

    fn taken(&mut self, item: Item) -> Item {
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        self.resumed(item)
    }

    /// The item where it stands: at its start, or after the part of it that is
    /// in the output.
    pub(super) fn resumed(&self, mut item: Item) -> Item {
        if !self.resume_points.is_empty()
            && let Some(resume_point) = self.resume_points.get(&item.key())
        {
            item.pages = Some(Box::new(PageProgress::resume(
                resume_point,
                &self.page_memory,
            )));
        }
        item
    }

    /// Notes where an item goes on of which a part is being written.
    pub(super) fn note_part(&mut self, outcome: &Outcome) {
        if let Some(resume_point) = outcome.pages.as_ref().and_then(|p| p.resume_point.as_ref()) {
            let key = ItemKey::of(&outcome.id, outcome.occurrence);
            self.resume_points.insert(key, resume_point.clone());
        }
    }

    /// Items of which a part is in the output, and that the list has no more;
    /// known at the list's end.
    pub(super) fn left_in_part(&self) -> u64 {
        let unlisted = |key: &&ItemKey| !self.done.contains(**key);
        self.resume_points.keys().filter(unlisted).count() as u64
    }

    fn at_limit(&self) -> bool {
        self.left == Some(0)
    }

    fn limit_reached(&mut self) {
        self.ended = true;
        self.limited = true;
        self.ids.batches.close();
    }
}
