//! One quota: at most N starts in any window of length W.
//!
//! Two parts hold it. governor's GCRA spreads the starts evenly and lets a
//! start that a timer made late be caught up with. The log of actual starts
//! then holds the promise itself: start k may go only when start k−N has left
//! the window, whatever the plan was. GCRA alone can't: with burst b it allows
//! N + b − 1 in a window, and with burst 1 it loses a timer tick per start.

use super::{Tick, nanos};
use crate::job::Rate;
use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A late timer of this length is made up for; a longer stall is not.
const CATCH_UP: Duration = Duration::from_millis(5);

/// Starts closer together than this part of a window share one log entry, so
/// the log of a quota of millions stays small.
const LOG_GRAIN: Tick = 2_000;

/// The pacer's own time, in the form that governor reads.
#[derive(Debug, Clone, Default)]
struct ToldClock(Arc<AtomicU64>);

impl ToldClock {
    fn tell(&self, now: Tick) {
        self.0
            .store(u64::try_from(now).unwrap_or(0), Ordering::Relaxed);
    }
}

impl Clock for ToldClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

/// Even spacing of one quota's starts.
#[derive(Debug)]
struct Spacing {
    clock: ToldClock,
    limiter: RateLimiter<NotKeyed, InMemoryState, ToldClock, NoOpMiddleware<Nanos>>,
    interval: Tick,
    burst: u32,
    /// A cell that governor gave, and that no start has used yet.
    held: bool,
}

impl Spacing {
    fn new(rate: Rate, window: Tick) -> Option<Spacing> {
        let interval = (window / Tick::from(rate.count)).max(1);
        let burst = u32::try_from(nanos(CATCH_UP) / interval + 2).unwrap_or(u32::MAX);
        let quota = Quota::with_period(Duration::from_nanos(interval.unsigned_abs()))?
            .allow_burst(NonZeroU32::new(burst)?);
        let clock = ToldClock::default();
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        // The burst is there to catch up, not to begin with.
        let _ = limiter.check_n(NonZeroU32::new(burst - 1)?);
        Some(Spacing {
            clock,
            limiter,
            interval,
            burst,
            held: false,
        })
    }

    fn earliest(&mut self, now: Tick) -> Tick {
        if self.held {
            return now;
        }
        self.clock.tell(now);
        match self.limiter.check() {
            Ok(()) => {
                self.held = true;
                now
            }
            Err(not_until) => {
                let wait = not_until
                    .earliest_possible()
                    .duration_since(self.clock.now());
                now.saturating_add(nanos(wait.into()).max(1))
            }
        }
    }
}

/// Holds one quota for the actual start times.
#[derive(Debug)]
pub struct QuotaGate {
    rate: Rate,
    /// The quota's window and a little more, so that a server that sees the
    /// starts with some jitter counts no window over the quota either.
    window: Tick,
    spacing: Option<Spacing>,
    /// Starts in the window, oldest first: the latest time in the entry, and how many.
    log: VecDeque<(Tick, u32)>,
    logged: u64,
}

impl QuotaGate {
    /// A gate for `rate`; `even` spreads its starts evenly over the window.
    pub fn new(rate: Rate, even: bool) -> QuotaGate {
        let exact = nanos(rate.window);
        let margin = (exact / 100).min(nanos(Duration::from_millis(250)));
        let window = exact.saturating_add(margin);
        QuotaGate {
            rate,
            window,
            spacing: if even {
                Spacing::new(rate, window)
            } else {
                None
            },
            log: VecDeque::new(),
            logged: 0,
        }
    }

    /// The quota that this gate holds.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// The earliest moment, `now` or later, at which one more start fits.
    pub fn earliest(&mut self, now: Tick) -> Tick {
        let spaced = self.spacing.as_mut().map_or(now, |s| s.earliest(now));
        while let Some(&(at, count)) = self.log.front() {
            if at.saturating_add(self.window) > now {
                break;
            }
            self.logged -= u64::from(count);
            self.log.pop_front();
        }
        if self.logged < u64::from(self.rate.count) {
            return spaced;
        }
        // Over the quota by more than one entry (after a restart at a lower
        // rate), the entry whose leaving makes room decides.
        let mut over = self.logged - u64::from(self.rate.count);
        for &(at, count) in &self.log {
            let leaves = at.saturating_add(self.window);
            if u64::from(count) > over {
                return spaced.max(leaves);
            }
            over -= u64::from(count);
        }
        spaced
    }

    /// Logs a start that `earliest` allowed at `now`.
    pub fn start(&mut self, now: Tick) {
        if let Some(spacing) = &mut self.spacing {
            spacing.held = false;
        }
        self.remember(now, 1);
    }

    /// Logs starts of an earlier run. Calls must come in the order of time.
    pub fn remember(&mut self, at: Tick, count: u32) {
        if count == 0 {
            return;
        }
        let grain = self.window / LOG_GRAIN;
        self.logged += u64::from(count);
        // The first time of an entry is not kept: an entry's span is bounded
        // by comparing with the one before it.
        let before_last = self
            .log
            .len()
            .checked_sub(2)
            .and_then(|i| self.log.get(i))
            .map(|e| e.0);
        if let (Some(last), Some(before)) = (self.log.back_mut(), before_last)
            && at - before < grain
        {
            last.0 = last.0.max(at);
            last.1 = last.1.saturating_add(count);
            return;
        }
        self.log.push_back((at, count));
    }

    /// The most starts that this quota allows within `horizon`, at least 1.
    pub fn most_within(&self, horizon: Duration) -> u32 {
        let horizon = nanos(horizon);
        let by_window = Tick::from(self.rate.count).saturating_mul(horizon / self.window + 1);
        let by_spacing = self.spacing.as_ref().map_or(Tick::MAX, |s| {
            (horizon / s.interval).saturating_add(Tick::from(s.burst) + 1)
        });
        u32::try_from(by_window.min(by_spacing).max(1)).unwrap_or(u32::MAX)
    }

    /// Starts a second that this quota allows in the long run.
    pub fn per_second(&self) -> f64 {
        f64::from(self.rate.count) / self.rate.window.as_secs_f64()
    }
}
