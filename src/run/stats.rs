//! The run's own account of itself: plain numbers, read by the reports.

use crate::outcome::{Pages, Reason};
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// The rate that people see is an average over so long.
const RATE_SPAN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Stats {
    pub(super) began: Instant,
    /// Lines of the output.
    pub(super) records: u64,
    /// Items that have their records.
    pub(super) items: u64,
    /// Pages of items that come in pages.
    pub(super) pages: u64,
    /// Records of before that still hold.
    pub(super) unchanged: u64,
    pub(super) failed: BTreeMap<Reason, (u64, String)>,
    pub(super) failed_count: u64,
    pub(super) retries: u64,
    pub(super) repeats: u64,
    /// Listed items that earlier runs did.
    pub(super) done_before: u64,
    pub(super) starts: u64,
    pub(super) bytes: u64,
    samples: VecDeque<(Instant, u64)>,
}

impl Stats {
    pub(super) fn new() -> Stats {
        Stats {
            began: Instant::now(),
            records: 0,
            items: 0,
            pages: 0,
            unchanged: 0,
            failed: BTreeMap::new(),
            failed_count: 0,
            retries: 0,
            repeats: 0,
            done_before: 0,
            starts: 0,
            bytes: 0,
            samples: VecDeque::new(),
        }
    }

    /// An item has its record, or a part or the rest of its pages.
    pub(super) fn record(&mut self, pages: Option<&Pages>) {
        let (records, done) = match pages {
            None => (1, true),
            Some(pages) => (pages.count(), pages.trail.is_none()),
        };
        self.records += records;
        self.items += u64::from(done);
    }

    pub(super) fn failure(&mut self, reason: Reason, message: &str) {
        self.failed_count += 1;
        self.failed
            .entry(reason)
            .or_insert_with(|| (0, message.to_owned()))
            .0 += 1;
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
