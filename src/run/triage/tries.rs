//! Whether an attempt counts against its item, and when the next one is due.
//!
//! The rule: an attempt counts unless the server, and not the item, is the
//! reason for its failure; and when only failing items are left and no known
//! good item can be asked, they must use up their tries at last.

use crate::job::Retry;
use crate::outcome::Reason;
use crate::pace::{Signal, backoff_delay, full_jitter};
use std::time::Duration;

/// The job's `[retry]`, with the dice for its delays.
#[derive(Debug)]
pub(super) struct Tries {
    retry: Retry,
    random: fastrand::Rng,
}

impl Tries {
    pub(super) fn new(retry: Retry, seed: u64) -> Tries {
        Tries {
            retry,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Whether an item has no try left after so many.
    pub(super) fn are_used_up(&self, attempts: u32) -> bool {
        attempts >= self.retry.attempts
    }

    /// The attempts after which an item has one try left.
    pub(super) fn last(&self) -> u32 {
        self.retry.attempts.saturating_sub(1)
    }

    /// How long to wait before the try after number `step`.
    pub(super) fn delay(&mut self, step: u32) -> Duration {
        let ceiling = backoff_delay(step, self.retry.backoff_first, self.retry.backoff_last);
        full_jitter(ceiling, self.random.f64())
    }
}

/// Whether an attempt that ended so counts against its item. A Retry-After is
/// judged by [`super::fairness`]. `nobody_can_tell`: only failing items are left,
/// and there is no known good item to compare them with.
pub(super) fn counts(signal: Signal, reason: Reason, outage: bool, nobody_can_tell: bool) -> bool {
    match signal {
        Signal::NotSent | Signal::RetryAfter(_) => false,
        // A 500 is the item's, unless all items get it.
        Signal::Neutral if reason == Reason::ServerError => !outage || nobody_can_tell,
        // The answer is about the item, whatever else is down.
        Signal::Neutral | Signal::Fine => true,
        Signal::Unreachable => !outage,
        Signal::Trouble | Signal::Overloaded => !outage || nobody_can_tell,
    }
}
