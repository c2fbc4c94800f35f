//! The control: an item that was answered well before, asked for again when
//! only items are left that fail.
//!
//! Those items may be what is wrong, or the server may be; an item that is known
//! to be good tells which. If it gets its answer, the server is up, and their
//! tries count; if not, it is an outage, and they wait it out unharmed. Owns
//! that question. What comes back is never recorded: the item has its record.

use super::error::RunError;
use super::state::Driver;
use super::work::{Attempted, Work};
use crate::checkpoint::Claim;
use crate::fetch::Verdict;
use crate::job::Method;
use crate::pace::{Now, Signal};

impl Driver<'_> {
    /// Remembers an item that has its record, if there is none to remember yet.
    pub(super) fn remember_good(&mut self, id: &str) {
        // A second POST might do something a second time.
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

    pub(super) fn has_control(&self) -> bool {
        self.control.is_some()
    }

    /// Only items are left that fail, and there is no control to compare them with.
    pub(super) fn nobody_can_tell(&self) -> bool {
        self.nothing_fresh() && !self.has_control()
    }

    /// Whether it should be asked for now, permits aside.
    pub(super) fn wants_control(&self) -> bool {
        let last_ones = self.pacer.in_outage() && self.nothing_fresh() && !self.queue.is_empty();
        self.has_control() && !self.control_asked && (last_ones || !self.doubted.is_empty())
    }

    /// The control's request, when it is the one to be made now.
    pub(super) fn ask_control(&mut self) -> Option<Work> {
        if !self.wants_control() {
            return None;
        }
        let mut work = Work::new(self.control.clone()?, 0);
        work.control = true;
        self.control_asked = true;
        Some(work)
    }

    /// Takes in the control's answer: the server's state, and no item's fate.
    pub(super) async fn settle_control(&mut self, attempted: Attempted) -> Result<(), RunError> {
        let now = Now::read();
        self.control_asked = false;
        self.stats.bytes += attempted.answer.bytes;
        let item = attempted.work.tag();
        let signal = attempted.answer.signal;
        let was_down = self.pacer.in_outage();
        let finished = self.pacer.finish(attempted.permit, signal, item, now);
        let mut refused = false;
        match attempted.answer.verdict {
            Verdict::Unauthorized(Some(token), _) => {
                if let Some(shared) = self.credentials.shared_token() {
                    shared.refuse(token.generation);
                }
                // Whose matter that is, the items' own next tries will show; and
                // a token that was not dead on the way makes this no control.
                refused = true;
                if !token.expired {
                    self.control = None;
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
        match signal {
            Signal::NotSent => {}
            // It is the items, then.
            Signal::Fine | Signal::Neutral if !refused => {
                for (work, trouble) in std::mem::take(&mut self.doubted) {
                    self.fail(work, trouble, 0, now).await?;
                }
            }
            _ => {
                if !refused {
                    self.pacer.begin_outage(now);
                }
                for (mut work, _) in std::mem::take(&mut self.doubted) {
                    work.attempts = work.attempts.saturating_sub(1);
                    self.queue.push_at(now.instant, work);
                }
            }
        }
        match (was_down, self.pacer.in_outage()) {
            (false, true) => tracing::warn!(
                "the server can't be used: {}; one probe per back-off step until it can",
                self.judged.last_trouble
            ),
            (true, false) => tracing::warn!("the server answers again"),
            _ => {}
        }
        if let Err(give_up) = finished {
            self.give_up(give_up, now);
        }
        Ok(())
    }
}
