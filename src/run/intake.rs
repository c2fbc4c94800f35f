//! Items on their way in: from the list or the failures file into the queue.
//!
//! Owns which of them are taken: not what is done, not a repeat, not beyond the
//! limit, and no more than are soon asked for. Must never ask for one.

use super::error::RunError;
use super::ids_stage::{Batch, is_piped};
use super::state::{Cause, Driver};
use super::work::Work;
use crate::checkpoint::Claim;
use crate::ids::IdBatch;
use crate::job::Repeats;
use crate::pace::Now;
use crate::write::FailedItem;

/// Items that wait for another try at most; beyond that no new ones are begun.
const MOST_WAITING: usize = 2_000;

impl Driver<'_> {
    /// Whether only items are left that were tried before.
    pub(super) fn nothing_fresh(&self) -> bool {
        self.ids_ended && self.queue.fresh() == 0
    }

    pub(super) fn wants_ids(&self) -> bool {
        self.stopping.is_none()
            && !self.ids_ended
            && self.queue.fresh() < self.batches.size()
            && self.queue.waiting() < MOST_WAITING
    }

    pub(super) fn take(&mut self, batch: Option<Result<Batch, RunError>>) -> Result<(), RunError> {
        // Closed without the list's end: what is missing must not pass for done.
        match batch.ok_or(RunError::StageGone("ids"))? {
            Ok(Batch::End) => self.ids_ended = true,
            Ok(Batch::Listed(ids)) => self.take_listed(&ids),
            Ok(Batch::Failed(items)) => self.take_failed(items),
            Ok(Batch::Sifted(sifted)) => self.take_sifted(sifted),
            Err(error) => {
                self.ids_ended = true;
                self.stop(Cause::Broken(error), Now::read());
            }
        }
        Ok(())
    }

    fn take_listed(&mut self, ids: &IdBatch) {
        let each = self.job.ids.repeats == Repeats::Each;
        let claims = self.done.claim_all(ids.iter(), each);
        for (id, claim) in ids.iter().zip(claims) {
            if self.at_limit() {
                // The claim of an item beyond the limit is given back by the process's end.
                if matches!(claim, Claim::New { .. }) {
                    return self.limit_reached();
                }
                continue;
            }
            match claim {
                Claim::New { occurrence } => {
                    self.taken += 1;
                    let work = self.on_its_trail(Work::new(id.to_owned(), occurrence));
                    self.queue.push(work);
                    // Nobody knows when a pipe's next line comes.
                    if self.at_limit() && is_piped(&self.job.ids) {
                        return self.limit_reached();
                    }
                }
                Claim::Done { .. } => self.stats.done_before += 1,
                Claim::Repeat => self.stats.repeats += 1,
            }
        }
    }

    fn take_failed(&mut self, items: Vec<FailedItem>) {
        for item in items {
            if self.at_limit() {
                return self.limit_reached();
            }
            self.taken += 1;
            let work = self.on_its_trail(Work::again(item));
            self.queue.push(work);
        }
    }

    pub(super) fn at_limit(&self) -> bool {
        self.options.limit.is_some_and(|limit| self.taken >= limit)
    }

    pub(super) fn limit_reached(&mut self) {
        self.ids_ended = true;
        self.limited = true;
        self.ids.batches.close();
    }
}
