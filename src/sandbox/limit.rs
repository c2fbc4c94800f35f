//! How many item requests a second are allowed, and when that changes.
//!
//! Owns the limit. Must never wait.

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// The limits, one after another.
#[derive(Debug)]
pub(super) struct Limit {
    started: Instant,
    /// From when on which holds, in the order of time; none holds before the first.
    steps: Vec<(Duration, Option<DefaultDirectRateLimiter>)>,
}

impl Limit {
    /// `first` from the start on (`None` and 0 allow any number), and then each
    /// of `changes`, so long after it.
    pub(super) fn new(first: Option<u32>, changes: &[(Duration, u32)]) -> Limit {
        let mut steps = vec![(Duration::ZERO, first.unwrap_or(0))];
        steps.extend_from_slice(changes);
        steps.sort_by_key(|step| step.0);
        let limiter =
            |rate| NonZeroU32::new(rate).map(|r| RateLimiter::direct(Quota::per_second(r)));
        let steps = steps.into_iter().map(|(from, rate)| (from, limiter(rate)));
        Limit {
            started: Instant::now(),
            steps: steps.collect(),
        }
    }

    /// How many whole seconds to stay away, if this request is one too many.
    pub(super) fn over(&self) -> Option<u64> {
        let age = self.started.elapsed();
        let (_, limiter) = self.steps.iter().rev().find(|step| step.0 <= age)?;
        let early = limiter.as_ref()?.check().err()?;
        let wait = early.wait_time_from(DefaultClock::default().now());
        // Rounded up: who comes back after that long is not too early again.
        let part = u64::from(wait.subsec_nanos() > 0);
        Some((wait.as_secs() + part).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(limit: &Limit) -> usize {
        (0..50).filter(|_| limit.over().is_none()).count()
    }

    #[test]
    fn the_limit_changes_at_its_time() {
        let from = Duration::ZERO;
        assert!((5..10).contains(&allowed(&Limit::new(Some(5), &[]))));
        assert_eq!(allowed(&Limit::new(None, &[])), 50);
        assert_eq!(allowed(&Limit::new(Some(0), &[])), 50);
        // The last one whose time has come.
        let changed = Limit::new(Some(5), &[(from, 20), (Duration::from_secs(60), 1)]);
        assert!((20..25).contains(&allowed(&changed)));
        assert_eq!(allowed(&Limit::new(Some(5), &[(from, 0)])), 50);
    }
}
