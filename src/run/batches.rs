//! Several items in one request (`[request.batch]`).
//!
//! Owns which items go together, and what an answer to all of them means for
//! each. An item never fails by an answer that was about others, too: a batch
//! that is refused is asked for again in halves, until whatever is wrong stands
//! alone; then [`super::verdicts`] judges it like any other.

use super::refusals::ITEMS_REFUSED;
use super::state::Driver;
use super::work::{Load, Work};
use crate::fetch::{Fetcher, Refused, Share, Trouble, Verdict};
use crate::job::Batch;
use crate::outcome::Reason;
use crate::pace::{Now, Signal};
use std::time::Duration;
use tokio::time::Instant;

/// A batch that is not full waits so long for more of the list.
const FILL: Duration = Duration::from_millis(500);

/// So many more items than a bad one's halves bring that only the URL for one
/// knew: the batch endpoint is gone.
const MORE_RESCUED: u32 = 2;

/// So many full batches, one after another, that were too long: a smaller size is learnt.
const TOO_LONG: u32 = 2;

/// How items go together.
#[derive(Debug)]
pub(super) struct Batches {
    /// Items of one request; `None` without batches.
    size: Option<usize>,
    /// There is a URL for one item.
    has_single: bool,
    /// Items, one after another, that the batch endpoint refused and the other has.
    rescued: u32,
    /// Full batches, one after another, that were refused for their length.
    too_long: u32,
    /// Since when there has been less than a batch.
    short_since: Option<Instant>,
}

impl Batches {
    pub(super) fn new(batch: Option<&Batch>) -> Batches {
        Batches {
            size: batch.map(|batch| batch.size),
            has_single: batch.is_some_and(|batch| batch.single.is_some()),
            rescued: 0,
            too_long: 0,
            short_since: None,
        }
    }

    /// Items of one request at most.
    pub(super) fn size(&self) -> usize {
        self.size.unwrap_or(1)
    }

    /// Whether the item can't go with others.
    fn keeps_out(&self, work: &Work, fetcher: &Fetcher) -> bool {
        self.size.is_none() || work.single || !fetcher.takes(&work.id)
    }

    /// A batch of so many was answered.
    fn worked(&mut self, items: usize) {
        self.rescued = 0;
        if items >= self.size() {
            self.too_long = 0;
        }
    }

    /// A batch of so many was refused for its length. One item can be the reason
    /// of that for one full batch, and hardly for the next one, too.
    fn was_too_long(&mut self, items: usize) {
        if items < self.size() {
            return;
        }
        self.too_long += 1;
        if self.too_long >= TOO_LONG {
            self.too_long = 0;
            let half = items.div_ceil(2);
            tracing::warn!("batches of {items} are too long for this API; going on with {half}");
            self.size = Some(half);
        }
    }

    /// The URL for one had an item that the batch endpoint had refused. True
    /// when that is no accident any more: with one bad item in a batch, as many
    /// are rescued as it has halves, and then one of those is answered.
    fn has_rescued(&mut self) -> bool {
        self.rescued += 1;
        self.rescued >= usize::ilog2(self.size().max(1)) + 1 + MORE_RESCUED
    }
}

impl Driver<'_> {
    /// Until when to wait for a fuller batch; `None`: go.
    pub(super) fn batch_fills(&mut self, now: Instant) -> Option<Instant> {
        let short = self.batches.size() > 1
            && self.wants_ids()
            && self.queue.next_due().is_none_or(|due| due > now);
        if !short {
            self.batches.short_since = None;
            return None;
        }
        let until = *self.batches.short_since.get_or_insert(now) + FILL;
        (until > now).then_some(until)
    }

    /// What to ask for next.
    pub(super) fn next_load(&mut self, now: Instant) -> Option<Load> {
        let fresh_first = self.pacer.in_doubt();
        let first = self.queue.pop(now, fresh_first)?;
        self.batches.short_since = None;
        if self.batches.keeps_out(&first, &self.fetcher) {
            return Some(self.alone(first));
        }
        let most = self.batches.size().min(first.most);
        let mut works = vec![first];
        while works.len() < most {
            let (batches, fetcher, len) = (&self.batches, &self.fetcher, works.len());
            let fits = |work: &Work| work.most > len && !batches.keeps_out(work, fetcher);
            match self.queue.pop_if(now, fresh_first, fits) {
                Some(work) => works.push(work),
                None => break,
            }
        }
        Some(Load::Several(works))
    }

    /// The request for one item.
    pub(super) fn alone(&self, mut work: Work) -> Load {
        let batches = &self.batches;
        // Without a URL for one, whatever an ID is like, it is a batch of one.
        let possible = batches.size.is_none() || batches.has_single;
        if possible && batches.keeps_out(&work, &self.fetcher) {
            work.single = self.batches.has_single;
            Load::One(work)
        } else {
            Load::Several(vec![work])
        }
    }

    /// What an answer to a batch means.
    pub(super) fn judge_batch(
        &mut self,
        mut works: Vec<Work>,
        signal: Signal,
        verdict: Verdict,
        now: Now,
    ) {
        let begun = works.first().map_or(0, |work| work.begun);
        if let Verdict::Shares(shares) = verdict {
            self.let_through(begun);
            self.batches.worked(works.len());
            for (work, share) in works.into_iter().zip(shares) {
                self.take_share(work, share, now);
            }
            return;
        }
        if is_gone(&verdict) && self.batches.has_single {
            self.gone(works, now);
            return;
        }
        if works.len() == 1
            && let Some(work) = works.pop()
        {
            return self.judge(work, signal, verdict, now);
        }
        match verdict {
            Verdict::Failed(trouble) => {
                if trouble.status.is_some() {
                    self.let_through(begun);
                }
                if trouble.reason == Reason::InvalidId || matches!(trouble.status, Some(413 | 414))
                {
                    self.batches.was_too_long(works.len());
                }
                // A batch is one sign, however many items it has.
                if let Some(lead) = works.first_mut().filter(|_| trouble.status.is_some()) {
                    self.weigh(lead, &trouble, now);
                }
                self.halve(works, now);
            }
            Verdict::Forbidden(_) if self.judged.let_through => self.halve(works, now),
            // Nothing got through yet: one of them shows whether anybody may ask.
            Verdict::Forbidden(_) => {
                let rest = works.split_off(1.min(works.len()));
                self.halve(works, now);
                self.halve(rest, now);
            }
            Verdict::Again(trouble) => self.again_all(works, signal, trouble, now),
            Verdict::Unauthorized(Some(refused), trouble) => {
                self.unauthorized_all(works, refused, &trouble, now);
            }
            Verdict::Unauthorized(None, _) if self.judged.let_through => self.halve(works, now),
            Verdict::Untrusted(trouble) if self.judged.let_through => {
                self.again_all(works, signal, trouble, now);
            }
            // Nothing got through yet: it is about whoever asks.
            Verdict::Unauthorized(None, trouble) => {
                for work in works {
                    let verdict = Verdict::Unauthorized(None, trouble.clone());
                    self.judge(work, signal, verdict, now);
                }
            }
            Verdict::Untrusted(_) => {
                if let Some(work) = works.pop() {
                    self.judge(work, signal, verdict, now);
                }
            }
            // What came for a batch is shared out by whoever fetched it, and none is asked for news.
            Verdict::Record(_)
            | Verdict::Page(_)
            | Verdict::NotModified(_)
            | Verdict::Shares(_) => {
                self.put_back(works, now.instant);
            }
        }
    }

    fn take_share(&mut self, mut work: Work, share: Share, now: Now) {
        match share {
            Share::Record(record) => self.record(work, record, now),
            Share::Absent(trouble) | Share::Failed(trouble) => self.fail(work, trouble, 1, now),
            Share::Unclear => {
                work.most = 1;
                self.stats.retries += 1;
                self.queue.push_at(now.instant, work);
            }
        }
    }

    /// The batch endpoint answers as if it were not there (any more), or one of the
    /// items were not. The URL for one is asked about the first of them, and
    /// the others go in halves.
    fn gone(&mut self, mut works: Vec<Work>, now: Now) {
        let far = self.batches.size.is_none();
        let rest = if far {
            Vec::new()
        } else {
            works.split_off(1.min(works.len()))
        };
        for work in &mut works {
            work.single = true;
        }
        self.put_back(works, now.instant);
        self.halve(rest, now);
    }

    /// The URL for one has what the batch endpoint refused as if it were gone.
    pub(super) fn rescued(&mut self, work: &Work) {
        let was_refused = work.single && self.fetcher.takes(&work.id);
        if was_refused && self.batches.size.is_some() && self.batches.has_rescued() {
            tracing::warn!(
                "the batch endpoint is gone; going on with `single`, one item a request"
            );
            self.batches.size = None;
        }
    }

    /// Asks again for these, in halves.
    fn halve(&mut self, mut works: Vec<Work>, now: Now) {
        if works.is_empty() {
            return;
        }
        let most = works.len().div_ceil(2);
        for work in &mut works {
            work.most = most;
        }
        tracing::debug!(items = works.len(), "a batch is asked for again in halves");
        self.put_back(works, now.instant);
    }

    /// The next tries of all these, at one time, so that they go together again.
    fn put_back(&mut self, works: Vec<Work>, due: Instant) {
        self.stats.retries += 1;
        for work in works {
            self.queue.push_at(due, work);
        }
    }

    /// A batch that is worth another try. Where it may be one of the items, in
    /// smaller ones; the last try of each is its own.
    fn again_all(&mut self, mut works: Vec<Work>, signal: Signal, trouble: Trouble, now: Now) {
        let half = works.len().div_ceil(2);
        let Some(lead) = works.first_mut() else {
            return;
        };
        let step = lead.attempts;
        let counts = match signal {
            Signal::RetryAfter(_) => {
                let alone = self.nothing_fresh();
                self.storm.told_to_wait(lead.tag(), &mut lead.waits, alone)
            }
            _ => self.counts(signal, &trouble),
        };
        // A batch is one sign, however many items it has.
        if signal == Signal::Neutral {
            self.weigh(lead, &trouble, now);
        }
        let last = self.job.retry.attempts.saturating_sub(1);
        for work in &mut works {
            if !counts {
                continue;
            }
            work.attempts = (work.attempts + 1).min(last);
            if work.attempts == last {
                work.most = 1;
            } else if signal == Signal::Neutral {
                work.most = half;
            }
        }
        tracing::debug!(items = works.len(), reason = %trouble.reason, "a batch is to be tried again: {}", trouble.message);
        self.put_back(works, now.instant + self.delay(step));
    }

    /// 401 to a token: as for one item, with the batch in its place.
    fn unauthorized_all(
        &mut self,
        mut works: Vec<Work>,
        refused: Refused,
        trouble: &Trouble,
        now: Now,
    ) {
        if let Some(shared) = self.credentials.shared_token() {
            shared.refuse(refused.generation);
        }
        if refused.expired {
            return self.put_back(works, now.instant);
        }
        for work in &mut works {
            work.refusals.add(&refused);
        }
        self.judged.refusals.add(&refused);
        let Some(lead) = works.first() else { return };
        self.remember_refused(lead);
        let for_all = !self.judged.let_through || self.judged.refused_items.len() >= ITEMS_REFUSED;
        if self.judged.refusals.are_enough() && for_all {
            let told = self.judged.refusals.told();
            return self.refused(format!("{told} ({})", trouble.message), now);
        }
        if lead.refusals.are_enough() {
            for work in &mut works {
                work.refusals.forget();
            }
            return self.halve(works, now);
        }
        // A short wait, so that a batch whose every token is refused can't spin.
        let wait = lead.refusals.pause();
        self.put_back(works, now.instant + wait);
    }
}

/// 403, 404 and 410: so an endpoint answers that was taken away.
fn is_gone(verdict: &Verdict) -> bool {
    let trouble = match verdict {
        Verdict::Failed(trouble) | Verdict::Forbidden(trouble) => trouble,
        _ => return false,
    };
    matches!(trouble.status, Some(403 | 404 | 410))
}
