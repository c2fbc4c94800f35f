//! Failures under suspicion, and records that are errors: what
//! [`super::quarantine`] finds, and what the run does about it.

use super::error::RunError;
use super::error_body::error_body;
use super::quarantine::{Kind, Suspect};
use super::state::{Cause, Driver};
use super::verdicts::failed;
use super::work::Work;
use crate::fetch::Trouble;
use crate::outcome::{Outcome, Pages, Reason, Record};
use crate::pace::Now;

impl Driver<'_> {
    /// Whether all there is to ask for is a plain listing: that it is not found says
    /// more of the API than of it.
    pub(super) fn is_listing(&self) -> bool {
        self.job.request.variables.is_empty()
    }

    /// The item has failed for good, unless nearly all fail so.
    pub(super) fn fail(&mut self, mut work: Work, trouble: Trouble, extra: u32, now: Now) {
        if self.is_given_up(&work) {
            return;
        }
        // Answers that were still on their way when the credentials or the
        // server were found to be at fault: the same command tries these again.
        if matches!(
            &self.stopping,
            Some((
                Cause::Broken(RunError::Refused(..) | RunError::Quarantine { .. }),
                _
            ))
        ) {
            return;
        }
        let kind = Kind::of(&trouble);
        // Nothing was asked, or nothing has changed since: nothing was learnt.
        if trouble.reason == Reason::InvalidId || work.fails_again(&trouble) {
            return self.hand_on(failed(work, trouble, extra));
        }
        self.weigh(&mut work, &trouble, now);
        let anew = work.anew();
        let outcome = failed(work, trouble, extra);
        match self.quarantine.hold(kind, outcome, anew) {
            Some(outcome) => self.hand_on(outcome),
            None => {}
        }
    }

    /// The item has its record, unless nearly all get an error for one.
    pub(super) fn record(&mut self, work: Work, record: Record, now: Now) {
        self.record_of(work, record, None, now)
    }

    /// The same; where the item came in pages, its record is one of them.
    pub(super) fn record_of(
        &mut self,
        mut work: Work,
        record: Record,
        pages: Option<Box<Pages>>,
        now: Now,
    ) {
        // A job that says itself what an error is needs no guess.
        let doubt = match &self.job.request.fail_when {
            Some(_) => None,
            None => error_body(&record),
        };
        let outcome = Outcome {
            id: work.id.clone(),
            occurrence: work.occurrence,
            fate: Ok(record),
            pages,
        };
        let Some(trouble) = doubt else {
            self.unsuspicious();
            self.remember_good(&work.id);
            return self.hand_on(outcome);
        };
        if matches!(
            &self.stopping,
            Some((Cause::Broken(RunError::Quarantine { .. }), _))
        ) {
            return;
        }
        self.weigh(&mut work, &trouble, now);
        let anew = work.anew();
        match self.quarantine.hold(Kind::of(&trouble), outcome, anew) {
            Some(outcome) => self.hand_on(outcome),
            None => {}
        }
    }

    /// Takes the item's first trouble as a sign of what all items may have in common.
    pub(super) fn weigh(&mut self, work: &mut Work, trouble: &Trouble, now: Now) {
        if self.stopping.is_some()
            || self.pacer.in_outage()
            || work.weighed
            || work.fails_again(trouble)
        {
            return;
        }
        work.weighed = true;
        let kind = Kind::of(trouble);
        // That an item is not there is about the item, once others were; but
        // in an update, when it was there itself, its record is at stake, unless
        // its first page has come: then the record stays.
        let at_stake = work.known.is_some() && work.place().is_none() && !self.is_listing();
        let own = matches!(kind.reason, Reason::NotFound | Reason::Gone)
            && !at_stake
            && self.resumed.records + self.stats.items > 0;
        for outcome in self.quarantine.other((!own).then_some(kind)) {
            self.hand_on(outcome);
        }
        if own || !self.quarantine.failure(kind) {
            return;
        }
        if kind.reason == Reason::ServerError {
            tracing::warn!(
                "nearly every item gets {}: the server is down",
                trouble.message
            );
            // It may have failed nearly all that were held.
            for Suspect { outcome, anew } in self.quarantine.release() {
                let work = Work::begin_anew(outcome.id, outcome.occurrence, anew);
                let work = self.on_its_trail(work);
                self.queue.push_at(now.instant, work);
            }
            self.pacer.begin_outage(now);
            return;
        }
        let (failures, items) = self.quarantine.row().unwrap_or_default();
        let mut seen = format!("{}: {}", trouble.reason, trouble.message);
        if kind.reason == Reason::NotFound {
            seen.push_str("; is [request] url right?");
        }
        let broken = RunError::Quarantine {
            failures,
            items,
            seen,
        };
        self.stop(Cause::Broken(broken), now);
    }

    /// An item got what it asked for: what was held back may be the items' own.
    pub(super) fn unsuspicious(&mut self) {
        // A run that stops has judged.
        if self.stopping.is_some() {
            return;
        }
        for outcome in self.quarantine.other(None) {
            self.hand_on(outcome);
        }
    }

    /// At the list's end: a row that is too short to mean anything has failed.
    pub(super) fn release_suspects(&mut self) {
        for outcome in self.quarantine.acquit() {
            self.hand_on(outcome);
        }
    }
}
