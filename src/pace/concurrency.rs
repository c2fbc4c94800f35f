//! The number in flight that finds itself (`concurrency = "auto"`).
//!
//! Owns one number. It is TCP Vegas (Brakmo and Peterson 1995) as Netflix's
//! concurrency-limits has it (`VegasLimit`): what is in flight beyond what the
//! unloaded latency accounts for stands in a queue at the server, and that
//! queue is kept between `alpha` and `beta`, 3 and 6 times the decimal logarithm
//! of the limit. One difference: it is told whole windows of answers instead of
//! single ones (`Latency`), so that the noise of one answer moves nothing.

use super::Tick;
use super::latency::Window;

/// In flight at most, however quick the server is.
pub(super) const CEILING: usize = crate::job::MOST_AUTO_CONCURRENCY;
/// To begin with, where nothing is known.
const FIRST: f64 = 4.0;

/// The limit.
#[derive(Debug)]
pub(super) struct Vegas {
    limit: f64,
    /// Drops of requests from before this moment say nothing new.
    reacted: Tick,
}

impl Vegas {
    /// Begins at `known`, an earlier run's finding, or at 4.
    pub(super) fn new(known: Option<usize>) -> Vegas {
        let limit = known.map_or(FIRST, |n| n as f64);
        Vegas {
            limit: limit.clamp(1.0, CEILING as f64),
            reacted: Tick::MIN,
        }
    }

    /// In flight at most, at present.
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    /// A window of answers came in.
    pub(super) fn window(&mut self, window: &Window) {
        let step = self.step();
        let queue = self.limit * (1.0 - window.unloaded / window.latency);
        // The rate is the limit then, and the latency says nothing about this one.
        if window.in_flight.saturating_mul(2) < self.limit() && queue <= 6.0 * step {
            return;
        }
        let next = match queue {
            queue if queue <= step => self.limit + 6.0 * step,
            queue if queue < 3.0 * step => self.limit + step,
            queue if queue > 6.0 * step => self.limit - step,
            _ => self.limit,
        };
        self.limit = next.clamp(1.0, CEILING as f64);
    }

    /// A request was dropped: refused, lost or timed out.
    pub(super) fn dropped(&mut self, started: Tick, now: Tick) {
        if started >= self.reacted {
            self.limit = (self.limit - self.step()).max(1.0);
            self.reacted = now;
        }
    }

    fn step(&self) -> f64 {
        self.limit.log10().max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::latency::Latency;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    /// A server with so many workers that each take `work` ms, for two minutes,
    /// with as much in flight as is allowed: the limit, and answers a second
    /// in the last half minute.
    fn against(workers: usize, work: f64, noise: f64) -> (usize, f64) {
        const MS: i64 = 1_000_000;
        let mut random = fastrand::Rng::with_seed(3);
        let mut vegas = Vegas::new(None);
        let mut latency = Latency::default();
        let mut free: BinaryHeap<_> = (0..workers).map(|_| Reverse(0_i64)).collect();
        let mut answers = BinaryHeap::new();
        let (mut now, mut late) = (0, 0);
        while now < 120_000 * MS {
            let limit = vegas.limit() / if latency.is_measuring() { 4 } else { 1 };
            while answers.len() < limit.max(1) {
                let takes = work * (1.0 + noise * (random.f64() - 0.5));
                let Reverse(worker) = free.pop().unwrap();
                let done = now.max(worker) + (takes * MS as f64) as i64;
                free.push(Reverse(done));
                // On top, the way there and back.
                answers.push(Reverse((done + 10 * MS, now)));
            }
            let Reverse((at, started)) = answers.pop().unwrap();
            now = at;
            late += u32::from(now > 90_000 * MS);
            if let Some(window) = latency.answer(started, now, answers.len() + 1) {
                vegas.window(&window);
            }
        }
        (vegas.limit(), f64::from(late) / 30.0)
    }

    #[test]
    fn as_many_are_in_flight_as_the_server_works_on_and_few_more() {
        for (workers, work, noise) in [
            (1, 20.0, 0.5),
            (4, 40.0, 1.0),
            (16, 60.0, 0.5),
            (40, 90.0, 1.0),
        ] {
            let (limit, speed) = against(workers, work, noise);
            let capacity = workers as f64 * 1000.0 / work;
            // What it takes to keep all workers busy.
            let ideal = (workers as f64 * (work + 10.0) / work).ceil() as usize;
            assert!(speed > 0.9 * capacity, "{workers}: {speed} of {capacity}");
            assert!(
                limit >= ideal && limit <= ideal * 2 + 8,
                "{workers}: {limit}, ideal {ideal}"
            );
        }
    }

    #[test]
    fn a_server_that_never_queues_gets_the_ceiling_and_no_more() {
        let (limit, _) = against(2_000, 50.0, 0.5);
        assert_eq!(limit, CEILING);
    }

    #[test]
    fn a_rate_that_leaves_most_places_empty_moves_nothing_and_drops_shrink() {
        let mut vegas = Vegas::new(Some(100));
        let idle = Window {
            latency: 0.02,
            unloaded: 0.02,
            in_flight: 10,
        };
        for _ in 0..50 {
            vegas.window(&idle);
        }
        assert_eq!(vegas.limit(), 100);
        // Of those that were in flight together, one tells.
        (0..50).for_each(|n| vegas.dropped(n, 100));
        assert_eq!(vegas.limit(), 98);
        (1..500).for_each(|n| vegas.dropped(n * 100, n * 100));
        assert_eq!(vegas.limit(), 1);
    }
}
