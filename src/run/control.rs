//! The control: an item that was answered well before, asked for again while
//! the server seems down and only items are left that were tried already.
//!
//! Those items may be what is wrong, or the server may be; an item that is known
//! to be good tells which. If it gets its answer, the server is up, and their
//! tries count; if not, it is an outage, and they wait it out unharmed. Owns
//! that question. What comes back is never recorded: the item has its record.

use super::state::Driver;
use super::work::{Attempted, Work};
use crate::checkpoint::Claim;
use crate::fetch::Verdict;
use crate::job::Method;
use crate::pace::Now;

impl Driver<'_> {
    /// Remembers an item that has its record, if there is none to remember yet.
    pub(super) fn remember_good(&mut self, id: &str) {
        if self.control.is_none() && self.job.request.method == Method::Get {
            self.control = Some(id.to_owned());
        }
    }

    /// The same for one that an earlier run has done, when those had no failures.
    pub(super) fn remember_done(&mut self, id: &str, claim: Claim) {
        if matches!(claim, Claim::Done { .. }) && self.resumed.failures.is_empty() {
            self.remember_good(id);
        }
    }

    /// The control's request, when it is the one to be made now.
    pub(super) fn control(&self) -> Option<Work> {
        let wanted = self.pacer.in_outage() && self.nothing_fresh();
        let id = self.control.as_ref().filter(|_| wanted)?;
        let mut work = Work::new(id.clone(), 0);
        work.control = true;
        Some(work)
    }

    /// Takes in the control's answer: the server's state, and no item's fate.
    pub(super) fn settle_control(&mut self, attempted: Attempted) {
        let now = Now::read();
        self.stats.bytes += attempted.answer.bytes;
        let item = attempted.work.tag();
        let signal = attempted.answer.signal;
        let was_down = self.pacer.in_outage();
        let finished = self.pacer.finish(attempted.permit, signal, item, now);
        match attempted.answer.verdict {
            Verdict::Unauthorized(Some(refused), _) => {
                if let Some(shared) = self.credentials.shared_token() {
                    shared.refuse(refused.generation);
                }
            }
            Verdict::Again(trouble) | Verdict::Untrusted(trouble) => {
                self.judged.last_trouble = trouble.message;
            }
            // Not good any more: another one will be.
            Verdict::Failed(_) | Verdict::Forbidden(_) | Verdict::Unauthorized(None, _) => {
                self.control = None;
            }
            Verdict::Record(_) => {}
        }
        if was_down && !self.pacer.in_outage() {
            tracing::warn!("the server answers again");
        }
        if let Err(give_up) = finished {
            self.give_up(give_up, now);
        }
    }
}
