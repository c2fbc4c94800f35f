//! What a server announces of its own quota.
//!
//! Owns what an announcement is worth: which ones are believed, and what they
//! ask for. Must never make a wait longer than the one announced.

use std::time::Duration;

/// A longer wait is not believed without a refusal: a day, the longest window in common use.
const BELIEVED: Duration = Duration::from_secs(24 * 3600);
/// In a window of this length or less, what is left is spread from the start;
/// in a longer one, once half of it is used.
const SPREAD: Duration = Duration::from_secs(60);

/// The server's quota as it stood at one answer. All of it hearsay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Requests left.
    pub left: Option<u64>,
    /// From the answer until there are more again.
    pub reset: Option<Duration>,
    /// The quota: so many requests …
    pub limit: Option<u64>,
    /// … in a window of this length.
    pub window: Option<Duration>,
}

impl Budget {
    /// How long nothing may be asked: the quota is used up.
    pub(super) fn hold(&self) -> Option<Duration> {
        // A limit of 0 is some servers' word for "none".
        if self.left != Some(0) || self.limit == Some(0) {
            return None;
        }
        self.reset.filter(|r| !r.is_zero() && *r <= BELIEVED)
    }

    /// The wait that an answer of this status means by its announcement, where
    /// it names none: GitHub refuses with 403 when nothing is left.
    pub fn refuses(&self, status: u16) -> Option<Duration> {
        match (status, self.left) {
            (403 | 429, Some(0)) => self.reset,
            _ => None,
        }
    }

    /// Requests a second that the rest of the window bears, with so many in
    /// flight that the server may not have counted; and how long that holds.
    pub(super) fn spread(&self, in_flight: usize) -> Option<(f64, Duration)> {
        let left = self.left.filter(|left| *left > 0)?;
        let reset = self.reset.filter(|r| !r.is_zero() && *r <= BELIEVED)?;
        let plenty = self.limit.is_some_and(|limit| left > limit / 2);
        if reset > SPREAD && plenty {
            return None;
        }
        // Never nothing: the answers to those in flight will tell more.
        let free = (left as f64 - in_flight as f64).max(0.5);
        Some((free / reset.as_secs_f64(), reset))
    }

    /// Of two quotas of one answer, the one that holds first.
    pub fn tighter(self, other: Budget) -> Budget {
        let key = |b: &Budget| match (b.left, b.reset) {
            (Some(0), Some(reset)) => (0, -reset.as_secs_f64()),
            (Some(left), Some(reset)) => (1, left as f64 / reset.as_secs_f64().max(1e-3)),
            (Some(left), None) => (2, left as f64),
            (None, _) => (3, 0.0),
        };
        let ((a, x), (b, y)) = (key(&self), key(&other));
        if (a, x) <= (b, y) { self } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn budget(left: u64, reset: u64, limit: Option<u64>) -> Budget {
        Budget {
            left: Some(left),
            reset: Some(S(reset)),
            limit,
            window: None,
        }
    }

    #[test]
    fn a_quota_that_is_used_up_holds_until_its_reset_if_that_can_be_believed() {
        assert_eq!(budget(0, 30, Some(100)).hold(), Some(S(30)));
        assert_eq!(budget(0, 86_400, None).hold(), Some(S(86_400)));
        assert_eq!(budget(0, 86_401, None).refuses(403), Some(S(86_401)));
        assert_eq!(budget(0, 9, None).refuses(404), None);
        assert_eq!(budget(1, 9, None).refuses(429), None);
        for no in [
            budget(0, 86_401, None),
            budget(0, 0, None),
            budget(1, 30, None),
            budget(0, 30, Some(0)),
            Budget {
                reset: None,
                ..budget(0, 1, None)
            },
            Budget::default(),
        ] {
            assert_eq!(no.hold(), None, "{no:?}");
        }
    }

    #[test]
    fn what_is_left_is_spread_in_a_short_window_or_when_half_is_used() {
        assert_eq!(budget(100, 50, Some(100)).spread(0), Some((2.0, S(50))));
        assert_eq!(budget(104, 50, Some(100)).spread(4), Some((2.0, S(50))));
        assert_eq!(budget(4_000, 3_000, Some(5_000)).spread(0), None);
        assert_eq!(
            budget(1_500, 3_000, Some(5_000)).spread(0),
            Some((0.5, S(3_000)))
        );
        assert_eq!(budget(1_500, 3_000, None).spread(0), Some((0.5, S(3_000))));
        assert_eq!(budget(2, 10, None).spread(9), Some((0.05, S(10))));
        assert_eq!(budget(0, 10, None).spread(0), None);
    }

    #[test]
    fn the_tighter_of_two_quotas_counts() {
        let (second, day) = (budget(5, 1, None), budget(100, 3_600, None));
        assert_eq!(second.tighter(day), day);
        assert_eq!(day.tighter(second), day);
        assert_eq!(budget(0, 1, None).tighter(day), budget(0, 1, None));
        assert_eq!(
            budget(0, 1, None).tighter(budget(0, 9, None)),
            budget(0, 9, None)
        );
        assert_eq!(Budget::default().tighter(second), second);
    }

    proptest! {
        #[test]
        fn no_announcement_is_stretched(
            left in any::<Option<u64>>(),
            reset in any::<Option<Duration>>(),
            limit in any::<Option<u64>>(),
            in_flight in any::<usize>(),
        ) {
            let budget = Budget { left, reset, limit, window: None };
            if let Some(hold) = budget.hold() {
                prop_assert!(Some(hold) == reset && hold <= BELIEVED && left == Some(0));
            }
            if let Some((rate, holds)) = budget.spread(in_flight) {
                prop_assert!(rate.is_finite() && rate > 0.0 && Some(holds) == reset);
            }
        }
    }
}
