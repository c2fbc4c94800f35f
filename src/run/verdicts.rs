//! What an attempt's verdict means for the run: a record, another try, a
//! failure, or the end of it all.

use super::error::RunError;
use super::state::{Cause, Driver};
use super::work::{Attempted, Work};
use crate::auth::AuthError;
use crate::fetch::{Refused, Trouble, Verdict};
use crate::job::Auth;
use crate::outcome::{Failure, Outcome, Reason};
use crate::pace::{Now, Signal, backoff_delay, full_jitter};
use std::time::{Duration, SystemTime};

/// So many requests, all refused with 403 and nothing else, are the credentials' fault.
const ALL_FORBIDDEN: usize = 20;
/// So many tokens in a row, all refused and nothing let through between, are no accident.
const TOKENS_REFUSED: u32 = 3;
/// … when so many different items refused them.
const ITEMS_REFUSED: usize = 3;

impl Driver<'_> {
    /// Takes in an attempt that has ended.
    pub(super) async fn settle(&mut self, attempted: Attempted) -> Result<(), RunError> {
        if attempted.work.control {
            self.settle_control(attempted);
            return Ok(());
        }
        let Attempted {
            work,
            permit,
            answer,
        } = attempted;
        let now = Now::read();
        self.stats.bytes += answer.bytes;
        let signal = answer.signal;
        if signal == Signal::Fine {
            self.storm.fine();
        }
        let was_down = self.pacer.in_outage();
        let finished = self.pacer.finish(permit, answer.signal, work.tag(), now);
        match (was_down, self.pacer.in_outage(), &answer.verdict) {
            (false, true, Verdict::Again(trouble)) => tracing::warn!(
                "the server can't be used: {}; one probe per back-off step until it can",
                trouble.message
            ),
            (true, false, _) => tracing::warn!("the server answers again"),
            _ => {}
        }
        if let Verdict::Again(trouble) | Verdict::Untrusted(trouble) = &answer.verdict {
            self.judged.last_trouble.clone_from(&trouble.message);
        }
        match answer.verdict {
            Verdict::Record(record) => {
                self.let_through().await?;
                self.remember_good(&work.id);
                self.hand_on(Outcome {
                    id: work.id,
                    occurrence: work.occurrence,
                    fate: Ok(record),
                })
                .await?;
            }
            Verdict::Failed(trouble) => {
                if trouble.status.is_some() {
                    self.let_through().await?;
                }
                self.hand_on(failed(work, trouble, 1)).await?;
            }
            Verdict::Forbidden(trouble) => self.forbidden(work, trouble, now).await?,
            Verdict::Unauthorized(refused, trouble) => {
                self.unauthorized(work, refused, trouble, now).await?;
            }
            Verdict::Again(trouble) => self.again(work, signal, trouble, now).await?,
            // Trusted before: the hotel's log-in page, perhaps, and an outage like any other.
            Verdict::Untrusted(trouble) if self.judged.let_through => {
                self.again(work, signal, trouble, now).await?;
            }
            Verdict::Untrusted(trouble) => {
                let host = self.job.request.url.host().to_owned();
                self.stop(
                    Cause::Broken(RunError::Certificate(host, trouble.message)),
                    now,
                );
            }
        }
        if let Err(give_up) = finished {
            self.give_up(give_up, now);
        }
        Ok(())
    }

    /// Some request was answered as if the credentials were good: what was held back as doubtful is not.
    async fn let_through(&mut self) -> Result<(), RunError> {
        self.judged.tokens_refused = 0;
        self.judged.refused_items.clear();
        self.judged.let_through = true;
        for outcome in std::mem::take(&mut self.judged.held) {
            self.hand_on(outcome).await?;
        }
        Ok(())
    }

    async fn again(
        &mut self,
        mut work: Work,
        signal: Signal,
        trouble: Trouble,
        now: Now,
    ) -> Result<(), RunError> {
        let step = work.attempts;
        let counts = match signal {
            Signal::RetryAfter(_) => {
                let item = work.tag();
                self.storm.told_to_wait(item, &mut work.told_to_wait)
            }
            _ => self.counts(signal),
        };
        if counts {
            work.attempts += 1;
        }
        if work.attempts >= self.job.retry.attempts {
            return self.hand_on(failed(work, trouble, 0)).await;
        }
        tracing::debug!(id = work.id, reason = %trouble.reason, attempt = work.attempts, "to be tried again: {}", trouble.message);
        self.stats.retries += 1;
        let ceiling = backoff_delay(
            step,
            self.job.retry.backoff_first,
            self.job.retry.backoff_last,
        );
        let delay = full_jitter(ceiling, fastrand::f64());
        self.queue.push_at(now.instant + delay, work);
        Ok(())
    }

    /// Whether an attempt that ended so counts against its item.
    fn counts(&self, signal: Signal) -> bool {
        match signal {
            Signal::NotSent => false,
            // About the item, whatever else is down.
            Signal::Neutral | Signal::Fine => true,
            // While the server is down, its failures are not the item's …
            Signal::Unreachable => !self.pacer.in_outage(),
            // … unless these items are all that is left: then they may be the reason.
            Signal::Trouble | Signal::Overloaded => !self.pacer.in_outage() || self.nothing_fresh(),
            // The storm's to judge.
            Signal::RetryAfter(_) => false,
        }
    }

    async fn forbidden(&mut self, work: Work, trouble: Trouble, now: Now) -> Result<(), RunError> {
        let said = trouble.message.clone();
        let outcome = failed(work, trouble, 1);
        if self.judged.let_through {
            return self.hand_on(outcome).await;
        }
        self.judged.held.push(outcome);
        if self.judged.held.len() >= ALL_FORBIDDEN {
            self.refused(
                format!("the first {ALL_FORBIDDEN} requests were all answered {said}"),
                now,
            );
        }
        Ok(())
    }

    async fn unauthorized(
        &mut self,
        mut work: Work,
        refused: Option<Refused>,
        trouble: Trouble,
        now: Now,
    ) -> Result<(), RunError> {
        let Some(Refused {
            generation,
            expired,
        }) = refused
        else {
            if matches!(self.job.auth, Auth::None) {
                return self.forbidden(work, trouble, now).await;
            }
            self.refused(trouble.message, now);
            return Ok(());
        };
        if let Some(shared) = self.credentials.shared_token() {
            shared.refuse(generation);
        }
        if expired {
            self.stats.retries += 1;
            self.queue.push_at(now.instant, work);
            return Ok(());
        }
        if generation > self.judged.last_refused {
            self.judged.last_refused = generation;
            self.judged.tokens_refused += 1;
        }
        if generation > work.refused_generation {
            work.refused_generation = generation;
            work.refusals += 1;
        }
        if self.judged.refused_items.len() < ITEMS_REFUSED
            && !self.judged.refused_items.contains(&work.tag())
        {
            self.judged.refused_items.push(work.tag());
        }
        // One item that takes no token is that item's matter, once others got through.
        let for_all = !self.judged.let_through || self.judged.refused_items.len() >= ITEMS_REFUSED;
        if self.judged.tokens_refused >= TOKENS_REFUSED && for_all {
            self.refused(
                format!(
                    "{TOKENS_REFUSED} fresh access tokens in a row were refused ({})",
                    trouble.message
                ),
                now,
            );
            return Ok(());
        }
        // Held, and a failure only when something gets through again: otherwise it is the token.
        if work.refusals >= TOKENS_REFUSED {
            self.judged.held.push(failed(work, trouble, 1));
            return Ok(());
        }
        self.stats.retries += 1;
        // A short wait, so that an item whose every token is refused can't spin.
        let wait = Duration::from_millis(u64::from(work.refusals - 1) * 500);
        self.queue.push_at(now.instant + wait, work);
        Ok(())
    }

    fn refused(&mut self, why: String, now: Now) {
        self.stop(Cause::Broken(RunError::Refused(why)), now);
    }

    /// At the list's end: whether every request there was got 403. With
    /// records of earlier runs the credentials were good, and these few items
    /// have failed.
    pub(super) async fn all_forbidden(&mut self) -> Result<Option<RunError>, RunError> {
        if self.resumed.records > 0 || self.judged.let_through {
            self.let_through().await?;
        }
        Ok(self.forbidden_so_far())
    }

    fn forbidden_so_far(&self) -> Option<RunError> {
        let count = self.judged.held.len();
        let message = match &self.judged.held.first()?.fate {
            Err(failure) => failure.message.clone(),
            Ok(_) => return None,
        };
        Some(RunError::Refused(format!(
            "every request ({count}) was answered {message}"
        )))
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
            AuthError::Refused(_) => RunError::Auth(failed),
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

/// `extra` attempts are added: those that end an item without counting as a try before.
fn failed(work: Work, trouble: Trouble, extra: u32) -> Outcome {
    let sent = trouble.reason != Reason::InvalidId;
    Outcome {
        id: work.id,
        occurrence: work.occurrence,
        fate: Err(Failure {
            status: trouble.status,
            reason: trouble.reason,
            message: trouble.message,
            attempts: if sent { work.attempts + extra } else { 0 },
            at: SystemTime::now(),
        }),
    }
}
