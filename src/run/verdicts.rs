//! What an attempt's verdict means for the run: a record, another try, a
//! failure, or the end of it all.

use super::error::RunError;
use super::state::{Cause, Driver, Held};
use super::work::{Attempted, Load, Work};
use crate::fetch::{Trouble, Verdict};
use crate::outcome::{Failure, Outcome, Reason, Record};
use crate::pace::{Now, Signal, backoff_delay, full_jitter};
use std::time::{Duration, SystemTime};

impl Driver<'_> {
    /// Takes in an attempt that has ended.
    pub(super) fn settle(&mut self, attempted: Attempted) {
        if attempted.load.is_control() {
            return self.settle_control(attempted);
        }
        let Attempted {
            load,
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
        let finished = self.pacer.finish(permit, answer.signal, load.tag(), now);
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
        match load {
            Load::One(work) => self.judge(work, signal, answer.verdict, now),
            Load::Several(works) => {
                self.judge_batch(works, signal, answer.verdict, now);
            }
        }
        self.give_up_unless_used_up(finished, now);
    }

    /// What the answer to a request for this item alone means.
    pub(super) fn judge(&mut self, work: Work, signal: Signal, verdict: Verdict, now: Now) {
        match verdict {
            Verdict::Record(record) => {
                self.let_through(work.begun);
                self.rescued(&work);
                self.record(work, record, now);
            }
            Verdict::Page(page) => {
                self.let_through(work.begun);
                self.page(work, *page, now);
            }
            Verdict::NotModified(validators) => {
                self.let_through(work.begun);
                let unchanged = Record::unchanged(SystemTime::now(), validators);
                self.rescued(&work);
                self.record(work, unchanged, now);
            }
            // Only a batch is shared out.
            Verdict::Shares(_) => self.queue.push_at(now.instant, work),
            Verdict::Failed(trouble) => {
                if trouble.status.is_some() {
                    self.let_through(work.begun);
                }
                self.fail(work, trouble, 1, now);
            }
            Verdict::Forbidden(trouble) => self.forbidden(work, trouble, now),
            Verdict::Unauthorized(refused, trouble) => {
                self.unauthorized(work, refused, trouble, now);
            }
            Verdict::Again(trouble) => self.again(work, signal, trouble, now),
            // Trusted before: the hotel's log-in page, perhaps, and an outage like any other.
            Verdict::Untrusted(trouble) if self.judged.let_through => {
                self.again(work, signal, trouble, now);
            }
            Verdict::Untrusted(trouble) => {
                let host = self.job.request.url.host().to_owned();
                self.stop(
                    Cause::Broken(RunError::Certificate(host, trouble.message)),
                    now,
                );
            }
        }
    }

    /// A request, the run's number `begun`, was answered as if the credentials
    /// were good: what was held back as doubtful before it was sent is not.
    pub(super) fn let_through(&mut self, begun: u64) {
        // A run that stops has judged.
        if self.stopping.is_some() {
            return;
        }
        let judged = &mut self.judged;
        judged.refusals.forget();
        judged.refused_items.retain(|&(_, when)| when >= begun);
        judged.let_through = true;
        let held = std::mem::take(&mut judged.held);
        let (released, kept) = held.into_iter().partition(|held| held.when < begun);
        judged.held = kept;
        let released: Vec<Held> = released;
        for held in released {
            self.hand_on(held.outcome);
        }
    }

    pub(super) fn again(&mut self, mut work: Work, signal: Signal, trouble: Trouble, now: Now) {
        if self.is_given_up(&work) {
            return;
        }
        let step = work.attempts;
        let counts = match signal {
            Signal::RetryAfter(_) => {
                let (item, alone) = (work.tag(), self.nothing_fresh());
                self.storm.told_to_wait(item, &mut work.waits, alone)
            }
            _ => self.counts(signal, &trouble),
        };
        if counts {
            work.attempts += 1;
        }
        let fines_then = *work.fines_then.get_or_insert(self.storm.fines());
        if work.attempts >= self.job.retry.attempts {
            let alone = fines_then == self.storm.fines();
            let servers = matches!(signal, Signal::Trouble | Signal::Overloaded);
            if alone && servers && self.has_control() {
                self.doubted.push((work, trouble));
                return;
            }
            return self.fail(work, trouble, 0, now);
        }
        // Not the connection's trouble or the server's: those are the pacer's to judge.
        if signal == Signal::Neutral {
            self.weigh(&mut work, &trouble, now);
        }
        tracing::debug!(id = work.id, reason = %trouble.reason, attempt = work.attempts, "to be tried again: {}", trouble.message);
        self.stats.retries += 1;
        self.queue.push_at(now.instant + self.delay(step), work);
    }

    /// How long to wait before the try after number `step`.
    pub(super) fn delay(&self, step: u32) -> Duration {
        let retry = &self.job.retry;
        let ceiling = backoff_delay(step, retry.backoff_first, retry.backoff_last);
        full_jitter(ceiling, fastrand::f64())
    }

    /// Whether an attempt that ended so counts against its item.
    pub(super) fn counts(&self, signal: Signal, trouble: &Trouble) -> bool {
        match signal {
            Signal::NotSent => false,
            // A 500 is the item's, unless all get it.
            Signal::Neutral if trouble.reason == Reason::ServerError => {
                !self.pacer.in_outage() || self.nobody_can_tell()
            }
            // About the item, whatever else is down.
            Signal::Neutral | Signal::Fine => true,
            // While the server is down, its failures are not the item's …
            Signal::Unreachable => !self.pacer.in_outage(),
            // … unless these items are all there is: then they may be the reason.
            Signal::Trouble | Signal::Overloaded => {
                !self.pacer.in_outage() || self.nobody_can_tell()
            }
            // The storm's to judge.
            Signal::RetryAfter(_) => false,
        }
    }
}

/// `extra` attempts are added: those that end an item without counting as a try before.
pub(super) fn failed(work: Work, trouble: Trouble, extra: u32) -> Outcome {
    let sent = trouble.reason != Reason::InvalidId;
    let is_there = work.place().is_some_and(|place| place.pages > 0);
    let written = match &work.known {
        None => work.pages.as_ref().and_then(|progress| progress.note()),
        // Its record of before stays, and no part of a new one.
        Some(_) => None,
    };
    Outcome {
        id: work.id,
        occurrence: work.occurrence,
        fate: Err(Failure {
            status: trouble.status,
            reason: trouble.reason,
            message: trouble.message + &written.unwrap_or_default(),
            attempts: if sent { work.attempts + extra } else { 0 },
            at: SystemTime::now(),
            is_there,
        }),
        pages: None,
    }
}
