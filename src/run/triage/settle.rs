//! An answer's way through the triage: to a record, a failure, another try, or the end of the run.

use super::decision::{Decision, Facts, Round, StopReason};
use super::error_body::error_body;
use super::quarantine::FailureKind;
use super::state::Triage;
use crate::fetch::{Answer, PageAnswer, Share, Trouble, Verdict};
use crate::outcome::{Failure, Outcome, Pages, Reason, Record};
use crate::pace::Signal;
use crate::run::item::{Item, Request};
use crate::run::page_progress::{PageProgress, PageStep};
use std::time::{Duration, SystemTime};

impl Triage {
    /// Takes in the answer to a request; `facts` are those after the pacer has taken it in.
    pub(in crate::run) fn settle(
        &mut self,
        request: Request,
        answer: Answer,
        facts: Facts,
    ) -> Vec<Decision> {
        let mut round = Round::new(facts);
        if let Verdict::Again(trouble) | Verdict::Untrusted(trouble) = &answer.verdict {
            self.last_trouble.clone_from(&trouble.message);
        }
        if request.probe {
            self.probe_answered(&request, answer.signal, &answer.verdict, &mut round);
        } else {
            if answer.signal == Signal::Fine {
                self.fairness.success();
            }
            self.judge(request, answer.signal, answer.verdict, &mut round);
        }
        round.decisions
    }

    /// The list is at its end, and nothing is in flight: what is still held gets its fate.
    pub(in crate::run) fn end(&mut self, facts: Facts) -> Vec<Decision> {
        let mut round = Round::new(facts);
        // Refusals are the items' own when anything got through in this run.
        // Earlier records show nothing: the credentials may have died since.
        if self.refusals.has_let_through() {
            self.let_through(u64::MAX, &mut round);
        }
        match self.refusals.held_in_words() {
            Some(why) => self.stop_refused(why, &mut round),
            // A row that is too short to mean anything has failed.
            None => {
                for outcome in self.quarantine.acquit() {
                    self.write(outcome, &mut round);
                }
            }
        }
        round.decisions
    }

    /// What the answer to a request means, for each of its items.
    fn judge(&mut self, mut request: Request, signal: Signal, verdict: Verdict, round: &mut Round) {
        let number = request.number;
        let mut items = std::mem::take(&mut request.items);
        if request.batch && self.batches.may_be_gone(&verdict) {
            return self.try_single(items, round);
        }
        match verdict {
            Verdict::Shares(shares) => {
                self.let_through(number, round);
                self.batches.answered(items.len());
                for (item, share) in items.into_iter().zip(shares) {
                    self.take_share(item, share, round);
                }
            }
            Verdict::Record(record) => {
                self.let_through(number, round);
                self.one(items, request.batch, round, |triage, item, round| {
                    triage.record(item, record, None, round);
                });
            }
            Verdict::NotModified(validators) => {
                // The API answered 304: the record of before stays.
                let kept = Verdict::Record(Record::unchanged(round.facts.at, validators));
                let request = Request { items, ..request };
                self.judge(request, signal, kept, round);
            }
            Verdict::Page(page) => {
                self.let_through(number, round);
                self.one(items, request.batch, round, |triage, item, round| {
                    triage.page(item, *page, round);
                });
            }
            Verdict::Failed(trouble) => {
                if trouble.status.is_some() {
                    self.let_through(number, round);
                }
                if items.len() > 1 {
                    return self.batch_refused(items, &trouble, round);
                }
                for item in items {
                    self.fail(item, trouble.clone(), 1, round);
                }
            }
            Verdict::Again(trouble) => self.again(items, signal, trouble, round),
            // It was trusted before, so this is an outage like any other (the
            // log-in page of a hotel's network, perhaps).
            Verdict::Untrusted(trouble) if self.refusals.has_let_through() => {
                self.again(items, signal, trouble, round);
            }
            Verdict::Untrusted(trouble) => round.stop(StopReason::Certificate(
                self.rules.host.clone(),
                trouble.message,
            )),
            Verdict::Unauthorized(Some(token), trouble) => {
                self.token_refused(items, token, trouble, round);
            }
            Verdict::Forbidden(_) | Verdict::Unauthorized(None, _)
                if items.len() > 1 && self.refusals.has_let_through() =>
            {
                self.halve(items, round);
            }
            Verdict::Forbidden(_) if items.len() > 1 => {
                // One of them alone shows whether anybody may ask.
                let rest = items.split_off(1);
                self.halve(items, round);
                self.halve(rest, round);
            }
            Verdict::Forbidden(trouble) => self.refused(items, &trouble, false, round),
            Verdict::Unauthorized(None, trouble) => {
                let by_key = !self.rules.anonymous;
                self.refused(items, &trouble, by_key, round);
            }
        }
    }

    /// The answer is one item's; others of the same request are asked for again.
    fn one(
        &mut self,
        mut items: Vec<Item>,
        batch: bool,
        round: &mut Round,
        judge: impl FnOnce(&mut Triage, Item, &mut Round),
    ) {
        let rest = items.split_off(1.min(items.len()));
        round.ask_again(rest, Duration::ZERO);
        if let Some(item) = items.pop() {
            if item.single && !batch {
                self.batches.rescued();
            }
            judge(self, item, round);
        }
    }

    fn take_share(&mut self, mut item: Item, share: Share, round: &mut Round) {
        match share {
            Share::Record(record) => self.record(item, record, None, round),
            Share::Absent(trouble) | Share::Failed(trouble) => self.fail(item, trouble, 1, round),
            Share::Unclear => {
                item.most = 1;
                round.ask_again(vec![item], Duration::ZERO);
            }
        }
    }

    /// A page of the item has come.
    fn page(&mut self, mut item: Item, page: PageAnswer, round: &mut Round) {
        if self.memories.is_over(&item) {
            return;
        }
        let later = item.page_cursor().is_some_and(|cursor| cursor.pages > 0);
        // An error in the place of the last page would pass for the end.
        if later
            && page.next.is_none()
            && let Some(trouble) = error_body(&page.record)
        {
            return self.again(vec![item], Signal::Neutral, trouble, round);
        }
        // If a later page is bad, the first one tells whether the server is.
        self.known_good.remember(&item.id);
        let record = page.record.clone();
        let begun = item.pages.take();
        let mut progress = begun.unwrap_or_else(|| Box::new(PageProgress::new(&self.page_memory)));
        let step = progress.take(page, self.rules.longest_merge);
        item.pages = Some(progress);
        match step {
            Err(trouble) => self.fail(item, trouble, 1, round),
            Ok(PageStep::Done(pages)) => self.record(item, record, Some(Box::new(pages)), round),
            Ok(PageStep::GoOn(part)) => {
                if let Some(pages) = part {
                    let part = Item::new(item.id.clone(), item.occurrence);
                    self.write(outcome(part, Ok(record), Some(Box::new(pages))), round);
                }
                self.memories.next_page(&item);
                round.decisions.push(Decision::NextPage(item));
            }
        }
    }

    /// The item has its record (where it came in pages, `record` is one of
    /// them), unless nearly all items get an error for one.
    fn record(&mut self, item: Item, record: Record, pages: Option<Box<Pages>>, round: &mut Round) {
        let weighed = self.memories.take(&item).weighed;
        let doubt = match self.rules.knows_errors {
            true => None,
            false => error_body(&record),
        };
        let Some(trouble) = doubt else {
            self.unsuspicious(round);
            self.known_good.remember(&item.id);
            return self.write(outcome(item, Ok(record), pages), round);
        };
        if self.gave_up {
            return;
        }
        self.weigh(&item, weighed, &trouble, round);
        let anew = item.anew();
        let outcome = outcome(item, Ok(record), pages);
        self.hold(FailureKind::of(&trouble), outcome, anew, round);
    }

    /// The item has failed for good, unless nearly all items fail so.
    /// `extra`: attempts that end it without having counted as tries before.
    pub(super) fn fail(&mut self, item: Item, trouble: Trouble, extra: u32, round: &mut Round) {
        let memory = self.memories.take(&item);
        if memory.over || self.gave_up {
            return;
        }
        let kind = FailureKind::of(&trouble);
        let attempts = memory.attempts + extra;
        // Nothing was asked, or nothing has changed since it failed before: nothing is learnt.
        if trouble.reason == Reason::InvalidId || item.fails_again(trouble.reason) {
            let failed = self.failed(item, trouble, attempts, round.facts.at);
            return self.write(failed, round);
        }
        self.weigh(&item, memory.weighed, &trouble, round);
        let anew = item.anew();
        let failed = self.failed(item, trouble, attempts, round.facts.at);
        self.hold(kind, failed, anew, round);
    }

    /// The item's failure, after so many attempts.
    pub(super) fn failed(
        &self,
        item: Item,
        trouble: Trouble,
        attempts: u32,
        at: SystemTime,
    ) -> Outcome {
        let was_sent = trouble.reason != Reason::InvalidId;
        let has_pages = item.page_cursor().is_some_and(|cursor| cursor.pages > 0);
        let written = match &item.known {
            None => item.pages.as_ref().and_then(|progress| progress.note()),
            // Its record of before stays, and no part of a new one.
            Some(_) => None,
        };
        let failure = Failure {
            status: trouble.status,
            reason: trouble.reason,
            message: trouble.message + &written.unwrap_or_default(),
            attempts: if was_sent { attempts } else { 0 },
            at,
            is_there: has_pages || self.rules.listing,
        };
        outcome(item, Err(failure), None)
    }

    /// Writes an outcome unless its row is under suspicion.
    fn hold(&mut self, kind: FailureKind, outcome: Outcome, anew: Item, round: &mut Round) {
        if let Some(outcome) = self.quarantine.hold(kind, outcome, anew) {
            self.write(outcome, round);
        }
    }

    pub(super) fn write(&mut self, outcome: Outcome, round: &mut Round) {
        let whole = outcome
            .pages
            .as_ref()
            .is_none_or(|p| p.resume_point.is_none());
        let is_new = |record: &Record| !record.is_unchanged();
        self.any_record |= whole && outcome.fate.as_ref().is_ok_and(is_new);
        round.decisions.push(Decision::Write(outcome));
    }
}

fn outcome(item: Item, fate: Result<Record, Failure>, pages: Option<Box<Pages>>) -> Outcome {
    Outcome {
        id: item.id,
        occurrence: item.occurrence,
        fate,
        pages,
    }
}
