//! The run's own account of itself: plain numbers, read by the reports.

use crate::outcome::{Failure, Outcome, Reason};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// The rate that people see is an average over so long.
const RATE_SPAN: Duration = Duration::from_secs(5);

/// What was written. The writer alone counts it.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Lines of the output.
    pub(super) records: u64,
    /// Items that have their records.
    pub(super) items: u64,
    /// Records of before that still hold.
    pub(super) unchanged: u64,
    /// Failures by reason: how many, and the first one's message.
    pub(super) failed: BTreeMap<Reason, (u64, String)>,
}

impl Written {
    /// An outcome was written as it is.
    pub(super) fn outcome(&mut self, outcome: &Outcome) {
        match (&outcome.fate, &outcome.pages) {
            (Err(failure), _) => self.failure(&outcome.id, failure),
            (Ok(record), _) if record.is_unchanged() => self.unchanged += 1,
            (Ok(_), None) => {
                self.records += 1;
                self.items += 1;
            }
            (Ok(_), Some(pages)) => {
                self.records += pages.count();
                self.items += u64::from(pages.trail.is_none());
            }
        }
    }

    /// A failure was written.
    pub(super) fn failure(&mut self, id: &str, failure: &Failure) {
        tracing::info!(id, reason = %failure.reason, "failed: {}", failure.message);
        let entry = self.failed.entry(failure.reason);
        entry.or_insert_with(|| (0, failure.message.clone())).0 += 1;
    }

    /// Adds what was written after this.
    pub(super) fn add(&mut self, later: Written) {
        self.records += later.records;
        self.items += later.items;
        self.unchanged += later.unchanged;
        for (reason, (count, message)) in later.failed {
            self.failed.entry(reason).or_insert((0, message)).0 += count;
        }
    }

    /// Failures of every reason.
    pub(super) fn failures(&self) -> u64 {
        self.failed.values().map(|(count, _)| count).sum()
    }
}

/// What a run has done so far.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) began: Instant,
    pub(super) written: Written,
    /// Pages that came, of items that come in pages.
    pub(super) pages: u64,
    /// Attempts beyond the first.
    pub(super) retries: u64,
    /// Requests begun.
    pub(super) starts: u64,
    /// Bytes of bodies received.
    pub(super) bytes: u64,
    samples: VecDeque<(Instant, u64)>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally {
            began: Instant::now(),
            written: Written::default(),
            pages: 0,
            retries: 0,
            starts: 0,
            bytes: 0,
            samples: VecDeque::new(),
        }
    }

    /// Starts a second over the last seconds.
    pub(super) fn rate(&mut self, now: Instant) -> f64 {
        self.samples.push_back((now, self.starts));
        while self.samples.len() > 2 && self.samples.get(1).is_some_and(|s| now - s.0 >= RATE_SPAN)
        {
            self.samples.pop_front();
        }
        match self.samples.front() {
            Some(&(at, starts)) if now > at => {
                (self.starts - starts) as f64 / (now - at).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}
