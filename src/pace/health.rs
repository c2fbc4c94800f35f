//! Whether the server is there at all.
//!
//! One item's bad luck and an outage look the same for a moment. This decides
//! which it is, so that an API that is down for an hour costs one probe per
//! back-off step and no item its attempts.

use super::Tick;
use super::throttle::{backoff_delay, equal_jitter};
use std::time::Duration;

/// So many troubled answers in a row …
const TROUBLES: u32 = 8;
/// … for so many different items, and none fine between: an outage.
const ITEMS: usize = 4;

/// The share of troubled answers looks back on about twenty of them …
const SHARE_WEIGHT: f64 = 0.05;
/// … and above this one, the whole run slows down: a server that fails one
/// request in fifty is not helped by half the speed.
const STRAINED: f64 = 0.15;

/// What an answer (or its absence) says about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// It works: any answer that is about the item alone.
    Fine,
    /// It answered, and badly: says nothing about other items (500, a malformed body).
    Neutral,
    /// It said that it has too much (429 without Retry-After).
    Overloaded,
    /// It or something in front of it fails (502, 503, 504, time-out, lost connection).
    Trouble,
    /// It said how long to leave it alone.
    RetryAfter(Duration),
    /// No connection could be made.
    Unreachable,
    /// The request was never sent.
    NotSent,
}

/// How much one troubled answer says about the server rather than the item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// It may be the item: only several of them make an outage.
    Item,
    /// The server spoke of itself (Retry-After): one item's word is as good as four items'.
    Server,
    /// There is no server: an outage at once.
    Nobody,
}

/// An outage, from its first sign on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    pub(super) since: Tick,
    pub(super) next_probe: Tick,
    pub(super) step: u32,
}

/// The judgement, from one answer to the next.
#[derive(Debug)]
pub(super) struct Health {
    first: Duration,
    last: Duration,
    troubles: u32,
    items: Vec<u64>,
    first_trouble: Option<Tick>,
    last_fine: Tick,
    /// The troubled share of the last answers, as a moving average.
    share: f64,
    pub(super) outage: Option<Outage>,
}

impl Health {
    pub(super) fn new(first: Duration, last: Duration) -> Health {
        Health {
            first: first.max(Duration::from_millis(1)),
            last: last.max(Duration::from_millis(1)),
            troubles: 0,
            items: Vec::new(),
            first_trouble: None,
            last_fine: Tick::MIN,
            share: 0.0,
            outage: None,
        }
    }

    /// True when this answer ended an outage.
    pub(super) fn fine(&mut self, now: Tick) -> bool {
        self.troubles = 0;
        self.items.clear();
        self.first_trouble = None;
        self.last_fine = now;
        self.share -= self.share * SHARE_WEIGHT;
        self.outage.take().is_some()
    }

    /// True when this answer began an outage.
    pub(super) fn trouble(
        &mut self,
        item: u64,
        started: Tick,
        now: Tick,
        weight: Weight,
        random: f64,
    ) -> bool {
        self.share += (1.0 - self.share) * SHARE_WEIGHT;
        if let Some(outage) = &mut self.outage {
            // Only the probe of this step moves it on; stragglers from before don't.
            if started >= outage.next_probe {
                outage.step = outage.step.saturating_add(1);
                outage.next_probe = now.saturating_add(equal_jitter(
                    backoff_delay(outage.step, self.first, self.last),
                    random,
                ));
            }
            return false;
        }
        if started < self.last_fine {
            return false;
        }
        self.troubles += 1;
        if self.items.len() < ITEMS && !self.items.contains(&item) {
            self.items.push(item);
        }
        let since = *self.first_trouble.get_or_insert(now);
        let enough = match weight {
            Weight::Item => self.items.len() >= ITEMS,
            Weight::Server | Weight::Nobody => true,
        };
        if enough && (self.troubles >= TROUBLES || weight == Weight::Nobody) {
            self.outage = Some(Outage {
                since,
                next_probe: now.saturating_add(equal_jitter(self.first, random)),
                step: 0,
            });
            return true;
        }
        false
    }

    /// An outage that the answers one by one did not show.
    pub(super) fn begin_outage(&mut self, now: Tick, random: f64) {
        if self.outage.is_none() {
            self.outage = Some(Outage {
                since: now,
                next_probe: now.saturating_add(equal_jitter(self.first, random)),
                step: 0,
            });
        }
    }

    /// Whether the last answer that said anything was trouble.
    pub(super) fn in_a_row(&self) -> bool {
        self.troubles > 0 || self.outage.is_some()
    }

    /// Whether so many answers are troubled that it is more than bad luck.
    pub(super) fn is_strained(&self) -> bool {
        self.share > STRAINED
    }

    /// The first trouble since anything was fine: an outage's, or, for a
    /// request that started after it and was told to wait, that of its row.
    pub(super) fn down_since(&self, started: Tick, weight: Weight) -> Option<Tick> {
        match self.outage {
            Some(outage) => Some(outage.since),
            None if weight == Weight::Server => self.first_trouble.filter(|&at| started > at),
            None => None,
        }
    }

    /// When an outage is probed next.
    pub(super) fn next_probe(&self) -> Option<Tick> {
        self.outage.map(|o| o.next_probe)
    }
}
