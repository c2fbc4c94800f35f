//! Answers that say no to whoever asks (401, 403): the item's, or the
//! credentials', in which case the run stops before more is asked in vain.

use super::error::RunError;
use super::state::{Cause, Driver, Held};
use super::verdicts::failed;
use super::work::Work;
use crate::auth::AuthError;
use crate::fetch::{Refused, Trouble};
use crate::job::Auth;
use crate::outcome::Reason;
use crate::pace::Now;
use std::time::Duration;

/// So many requests, all refused with 403 and nothing else, are the credentials' fault.
const ALL_FORBIDDEN: usize = 20;
/// So many fresh tokens in a row, all refused and nothing let through between, are no accident.
const FRESH_REFUSED: u32 = 3;
/// So many of any age.
const TOKENS_REFUSED: u32 = 10;
/// A token that is refused later after it was asked for may have lived less
/// long than the server said.
const FRESH: Duration = Duration::from_millis(300);
/// … when so many different items refused them.
pub(super) const ITEMS_REFUSED: usize = 3;

/// Different tokens that were refused, one after another.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    newest: u64,
    fresh: u32,
    in_all: u32,
}

impl Refusals {
    pub(super) fn add(&mut self, refused: &Refused) {
        if refused.generation > self.newest {
            self.newest = refused.generation;
            self.in_all += 1;
            self.fresh += u32::from(refused.age < FRESH);
        }
    }

    /// Whether the tokens' age can't be the reason.
    pub(super) fn are_enough(&self) -> bool {
        self.fresh >= FRESH_REFUSED || self.in_all >= TOKENS_REFUSED
    }

    /// How long to wait before another token is shown.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(u64::from(self.in_all.saturating_sub(1)) * 500)
    }

    /// A token was taken: only what follows counts.
    pub(super) fn forget(&mut self) {
        (self.fresh, self.in_all) = (0, 0);
    }

    pub(super) fn told(&self) -> String {
        if self.fresh >= FRESH_REFUSED {
            format!("{} fresh access tokens in a row were refused", self.fresh)
        } else {
            format!("{} access tokens in a row were refused", self.in_all)
        }
    }
}

impl Driver<'_> {
    pub(super) fn forbidden(&mut self, work: Work, trouble: Trouble, now: Now) {
        // Without a quarantine, records show that the credentials were good once and for all.
        let trusted = self.job.limits.quarantine.is_none() && self.resumed.records > 0;
        if self.judged.let_through || trusted || work.fails_again(&trouble) {
            return self.fail(work, trouble, 1, now);
        }
        let said = trouble.message.clone();
        self.hold_refused(work, trouble);
        if self.judged.held.len() >= ALL_FORBIDDEN {
            let count = self.judged.held.len();
            let asked = match self.job.request.batch {
                Some(_) => "items that were asked for alone",
                None => "requests",
            };
            self.ask_whose(
                format!("the first {count} {asked} were all answered {said}"),
                now,
            );
        }
    }

    pub(super) fn unauthorized(
        &mut self,
        mut work: Work,
        refused: Option<Refused>,
        trouble: Trouble,
        now: Now,
    ) {
        let Some(refused) = refused else {
            if matches!(self.job.auth, Auth::None) {
                return self.forbidden(work, trouble, now);
            }
            if work.fails_again(&trouble) {
                return self.fail(work, trouble, 1, now);
            }
            self.fixed_refused(work, trouble, now);
            return;
        };
        if let Some(shared) = self.credentials.shared_token() {
            shared.refuse(refused.generation);
        }
        if refused.expired {
            self.stats.retries += 1;
            self.queue.push_at(now.instant, work);
            return;
        }
        work.refusals.add(&refused);
        if work.fails_again(&trouble) {
            if work.refusals.are_enough() {
                return self.fail(work, trouble, 1, now);
            }
            self.present_anew(work, now);
            return;
        }
        self.judged.refusals.add(&refused);
        self.remember_refused(&work);
        // One item that takes no token is that item's matter, once others got through.
        let for_all = !self.judged.let_through || self.judged.refused_items.len() >= ITEMS_REFUSED;
        if self.judged.refusals.are_enough() && for_all {
            let told = self.judged.refusals.told();
            self.refused(format!("{told} ({})", trouble.message), now);
            return;
        }
        // Held, and a failure only when something gets through again: otherwise it is the token.
        if work.refusals.are_enough() {
            self.hold_refused(work, trouble);
            return;
        }
        self.present_anew(work, now);
    }

    /// Another try, with another token.
    fn present_anew(&mut self, work: Work, now: Now) {
        self.stats.retries += 1;
        // A short wait, so that an item whose every token is refused can't spin.
        self.queue
            .push_at(now.instant + work.refusals.pause(), work);
    }

    /// 401 to credentials that don't change. Once others got through with them
    /// it may be the item's; of several items in a row it is the credentials',
    /// unless the control gets through.
    fn fixed_refused(&mut self, work: Work, trouble: Trouble, now: Now) {
        self.remember_refused(&work);
        let said = trouble.message.clone();
        self.hold_refused(work, trouble);
        let several = self.judged.refused_items.len() >= ITEMS_REFUSED;
        if several || !self.judged.let_through {
            self.ask_whose(said, now);
        }
    }

    /// An item that has its record tells whose matter the refusals are; where
    /// there is none, they are the credentials'.
    fn ask_whose(&mut self, why: String, now: Now) {
        if self.has_control() {
            self.control.about_refusals.get_or_insert(why);
        } else {
            self.refused(why, now);
        }
    }

    pub(super) fn remember_refused(&mut self, work: &Work) {
        let (items, now) = (&mut self.judged.refused_items, self.stats.starts);
        if let Some((_, when)) = items.iter_mut().find(|(tag, _)| *tag == work.tag()) {
            *when = now;
        } else if items.len() < ITEMS_REFUSED {
            items.push((work.tag(), now));
        }
    }

    /// A failure only when something that was sent later gets through.
    fn hold_refused(&mut self, work: Work, trouble: Trouble) {
        // Without a quarantine any record shows that a 403 is the item's own.
        let own = self.job.limits.quarantine.is_none() && trouble.reason == Reason::Forbidden;
        self.judged.held.push(Held {
            outcome: failed(work, trouble, 1),
            when: if own { 0 } else { self.stats.starts },
        });
    }

    pub(super) fn refused(&mut self, why: String, now: Now) {
        let error = self.refusal(why);
        self.stop(Cause::Broken(error), now);
    }

    fn refusal(&self, why: String) -> RunError {
        let forbidden = self.judged.held.iter().all(|held| {
            let fate = &held.outcome.fate;
            fate.as_ref()
                .is_err_and(|failure| failure.reason == Reason::Forbidden)
        });
        // What lifts the judgement, where something shows that it may be wrong.
        let hint = if forbidden && self.resumed.records > 0 {
            "\n  (if these items are forbidden whoever asks: quarantine = \"off\" in [limits] records them as failed)"
        } else {
            ""
        };
        RunError::Refused(why, hint)
    }

    /// At the list's end, without a control: refusals are the items' own when
    /// anything got through in this run. Earlier records show nothing: the
    /// credentials may have died since.
    pub(super) fn all_refused(&mut self) -> Option<RunError> {
        if self.judged.let_through {
            self.let_through(u64::MAX);
        }
        self.refused_so_far().map(|why| self.refusal(why))
    }

    /// In words, what is held; `None` when that is nothing.
    pub(super) fn refused_so_far(&self) -> Option<String> {
        let count = self.judged.held.len();
        match &self.judged.held.first()?.outcome.fate {
            Err(failure) => Some(format!(
                "every request ({count}) was answered {}",
                failure.message
            )),
            Ok(_) => None,
        }
    }

    /// Looks why there is no token; stops the run when there won't be one.
    pub(super) fn check_token(&mut self, now: Now) {
        let Some(failed) = self
            .credentials
            .shared_token()
            .and_then(|t| t.state().failed)
        else {
            return;
        };
        let error = match &failed {
            AuthError::Refused(_) | AuthError::NeverUsed { .. } => RunError::Auth(failed),
            AuthError::Unavailable { .. } | AuthError::RetryAfter { .. } => {
                RunError::Paused(format!(
                    "{failed}, longer than max_wait ({}); run the same command again later",
                    humantime::format_duration(self.job.limits.max_wait)
                ))
            }
        };
        self.stop(Cause::Broken(error), now);
    }
}
