//! What the triage does about troubles: other tries, smaller batches, and signs of
//! what all items have in common.

use super::batches::halve;
use super::decision::{Decision, Round, StopReason};
use super::doubted::is_doubtful;
use super::quarantine::{FailureKind, Suspect, Weighed};
use super::state::Triage;
use super::tries::counts;
use crate::fetch::Trouble;
use crate::outcome::Reason;
use crate::pace::Signal;
use crate::run::item::Item;
use std::time::Duration;

impl Triage {
    /// A request that is worth another try. A batch is one sign, whose first
    /// item stands for all. Where one of its items may be at fault, it is tried
    /// in smaller ones; the last try of each item is its own.
    pub(super) fn again(
        &mut self,
        mut items: Vec<Item>,
        signal: Signal,
        trouble: Trouble,
        round: &mut Round,
    ) {
        items.retain(|item| !self.memories.is_over(item));
        let Some(lead) = items.first() else { return };
        // Troubles of the connection or the server are for the pacer to judge.
        if signal == Signal::Neutral {
            let weighed = std::mem::replace(&mut self.memories.of(lead).weighed, true);
            self.weigh(lead, weighed, &trouble, round);
        }
        let facts = round.facts;
        let memory = self.memories.of(lead);
        let step = memory.attempts;
        let counts = match signal {
            Signal::RetryAfter(_) => {
                let (item, alone) = (lead.tag(), facts.nothing_fresh);
                self.fairness.told_to_wait(item, &mut memory.waits, alone)
            }
            _ => {
                let nobody_can_tell = facts.nothing_fresh && !self.known_good.is_known();
                counts(signal, trouble.reason, facts.outage, nobody_can_tell)
            }
        };
        if items.len() > 1 {
            self.narrow(&mut items, counts, signal);
        } else if let Some(item) = self.used_up(&mut items, counts) {
            return match self.is_doubted(&item, signal) {
                true => self.doubted.push(item, trouble),
                false => self.fail(item, trouble, 0, round),
            };
        }
        tracing::debug!(id = items.first().map(|item| item.id.as_str()), items = items.len(), reason = %trouble.reason, attempt = step + u32::from(counts), "to be tried again: {}", trouble.message);
        let delay = self.tries.delay(step);
        round.ask_again(items, delay);
    }

    /// Counts an attempt against the items of a batch, and lets them go in
    /// smaller ones where one of them may be at fault.
    fn narrow(&mut self, items: &mut [Item], counts: bool, signal: Signal) {
        let (half, last) = (items.len().div_ceil(2), self.tries.last());
        for item in items.iter_mut().filter(|_| counts) {
            let memory = self.memories.of(item);
            memory.attempts = (memory.attempts + 1).min(last);
            if memory.attempts == last {
                item.most = 1;
            } else if signal == Signal::Neutral {
                item.most = half;
            }
        }
    }

    /// Counts an attempt against the only item; gives it back when it has no try left.
    fn used_up(&mut self, items: &mut Vec<Item>, counts: bool) -> Option<Item> {
        let memory = self.memories.of(items.first()?);
        memory.attempts += u32::from(counts);
        memory
            .successes_then
            .get_or_insert(self.fairness.successes());
        self.tries
            .are_used_up(memory.attempts)
            .then(|| items.pop())?
    }

    fn is_doubted(&mut self, item: &Item, signal: Signal) -> bool {
        let then = self.memories.of(item).successes_then.unwrap_or_default();
        self.known_good.is_known() && is_doubtful(signal, then, self.fairness.successes())
    }

    /// A batch is refused as a whole: something is wrong with one of its items,
    /// or with its length.
    pub(super) fn batch_refused(&mut self, items: Vec<Item>, trouble: &Trouble, round: &mut Round) {
        self.batches
            .refused(items.len(), trouble.reason, trouble.status);
        if let Some(lead) = items.first().filter(|_| trouble.status.is_some()) {
            let memory = self.memories.of(lead);
            let weighed = std::mem::replace(&mut memory.weighed, true);
            self.weigh(lead, weighed, trouble, round);
        }
        self.halve(items, round);
    }

    /// The batch endpoint answers as if it were gone, or as if one of the items
    /// were. The URL for one item is asked about the first, and the others go
    /// in halves; when the endpoint is known to be gone, each goes alone.
    pub(super) fn try_single(&mut self, mut items: Vec<Item>, round: &mut Round) {
        let first = match self.batches.size() {
            Some(_) => 1.min(items.len()),
            None => items.len(),
        };
        let rest = items.split_off(first);
        for item in &mut items {
            item.single = true;
        }
        round.ask_again(items, Duration::ZERO);
        self.halve(rest, round);
    }

    /// Asks again for these, in halves.
    pub(super) fn halve(&mut self, mut items: Vec<Item>, round: &mut Round) {
        halve(&mut items);
        round.ask_again(items, Duration::ZERO);
    }

    /// Takes an item's first trouble as a sign of what all items may have in common.
    pub(super) fn weigh(
        &mut self,
        item: &Item,
        weighed: bool,
        trouble: &Trouble,
        round: &mut Round,
    ) {
        let facts = round.facts;
        if facts.stopping || facts.outage || weighed || item.fails_again(trouble.reason) {
            return;
        }
        let kind = FailureKind::of(trouble);
        // That an item is not there is about the item, once others were. But
        // in an update, when it was there itself, its record is at stake, unless
        // its first page has come: then the record stays.
        let at_stake = item.known.is_some() && item.page_cursor().is_none() && !self.rules.listing;
        let missing = matches!(kind.reason, Reason::NotFound | Reason::Gone);
        let own = missing && !at_stake && self.any_record;
        let (released, weighed) = self.quarantine.weigh(kind, own);
        for outcome in released {
            self.write(outcome, round);
        }
        match weighed {
            Weighed::Own => {}
            Weighed::ServerDown(suspects) => {
                tracing::warn!(
                    "nearly every item gets {}: the server is down",
                    trouble.message
                );
                // The server may have failed nearly all of these.
                for Suspect { anew, .. } in suspects {
                    round.decisions.push(Decision::StartOver(anew));
                }
                round.server_down();
            }
            Weighed::Row(failures, items) => {
                let mut seen = format!("{}: {}", trouble.reason, trouble.message);
                if kind.reason == Reason::NotFound {
                    seen.push_str("; is [request] url right?");
                }
                self.gave_up = true;
                round.stop(StopReason::Quarantine {
                    failures,
                    items,
                    seen,
                });
            }
        }
    }

    /// An item got what it asked for: a row of failures may be broken by it.
    pub(super) fn unsuspicious(&mut self, round: &mut Round) {
        // A run that stops has judged.
        if round.facts.stopping {
            return;
        }
        for outcome in self.quarantine.other(None) {
            self.write(outcome, round);
        }
    }
}
