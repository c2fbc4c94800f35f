//! How fast to go when the server shows that it has too much: the speed is
//! halved at once and comes back slowly (AIMD, Chiu and Jain 1989).

use super::{Tick, nanos};
use std::time::Duration;

/// The slowest that a throttled run goes, in starts a second.
const FLOOR: f64 = 0.2;
/// The part of the full speed that a second without trouble gives back.
const RECOVERY: f64 = 0.05;

/// Taken for the full speed where there is no quota and nothing was seen yet,
/// in starts a second.
const UNKNOWN: f64 = 10.0;

/// A cap on the speed, while there is one.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    cap: Option<Cap>,
    /// Starts a second lately, as a moving average.
    observed: f64,
    last_start: Option<Tick>,
    /// Answers to requests from before this moment say nothing new.
    reacted: Tick,
}

#[derive(Debug, Clone, Copy)]
struct Cap {
    per_second: f64,
    full: f64,
    since: Tick,
}

impl Throttle {
    /// The earliest moment for the next start.
    pub(super) fn earliest(&mut self, now: Tick) -> Tick {
        let Some(cap) = &mut self.cap else { return now };
        let healed = seconds(now - cap.since) * RECOVERY * cap.full;
        if cap.per_second + healed >= cap.full {
            self.cap = None;
            return now;
        }
        let speed = cap.per_second + healed;
        match self.last_start {
            Some(last) => now.max(last.saturating_add((1e9 / speed) as Tick)),
            None => now,
        }
    }

    pub(super) fn start(&mut self, now: Tick) {
        if let Some(last) = self.last_start {
            let gap = seconds(now - last).max(1e-6);
            // A window of about a second, whatever the speed.
            let weight = gap.min(1.0);
            self.observed += weight * (1.0 / gap - self.observed);
        }
        self.last_start = Some(now);
    }

    /// Trouble was answered to a request that started at `started`: goes at
    /// `factor` of the present speed. True when that was news.
    pub(super) fn slow_down(
        &mut self,
        started: Tick,
        now: Tick,
        allowed: Option<f64>,
        factor: f64,
    ) -> bool {
        if started < self.reacted {
            return false;
        }
        // Without a quota, what was reached before. A speed that is capped is not
        // what the server can bear: taken for that, it would only ever sink.
        let full = allowed.unwrap_or_else(|| {
            let before = self.cap.map_or(0.0, |cap| cap.full);
            before.max(self.observed * 1.5).max(UNKNOWN)
        });
        let present = match self.cap {
            Some(cap) => {
                (cap.per_second + seconds(now - cap.since) * RECOVERY * cap.full).min(full)
            }
            None => full.min(self.observed.max(1.0)),
        };
        self.cap = Some(Cap {
            per_second: (present * factor).max(FLOOR.min(full)),
            full,
            since: now,
        });
        self.reacted = now;
        true
    }

    /// A pause holds until `until`: the speed does not recover meanwhile.
    pub(super) fn hold(&mut self, until: Tick) {
        if let Some(cap) = &mut self.cap {
            cap.since = cap.since.max(until);
        }
        self.reacted = self.reacted.max(until);
    }

    /// Starts a second at most, while the speed is capped.
    pub(super) fn capped_at(&self, now: Tick) -> Option<f64> {
        self.cap
            .map(|c| c.per_second + seconds((now - c.since).max(0)) * RECOVERY * c.full)
    }
}

fn seconds(ticks: Tick) -> f64 {
    ticks as f64 / 1e9
}

/// The ceiling of back-off step `step` (0 is the first): `first` doubled each time, up to `last`.
pub fn backoff_delay(step: u32, first: Duration, last: Duration) -> Duration {
    first
        .saturating_mul(1_u32.checked_shl(step.min(31)).unwrap_or(u32::MAX))
        .clamp(first.min(last), last)
}

/// Full jitter: a random delay from 0 to `ceiling` (Brooker, "Exponential
/// Backoff And Jitter", AWS Architecture Blog, 2015), `random` in 0..1.
pub fn full_jitter(ceiling: Duration, random: f64) -> Duration {
    ceiling.mul_f64(random.clamp(0.0, 1.0))
}

/// Half fixed, half random: for probes of a server that is down, where a
/// delay of nearly nothing would be one request more in the same step.
pub(super) fn equal_jitter(ceiling: Duration, random: f64) -> Tick {
    nanos(ceiling.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_quota_a_trouble_every_few_seconds_does_not_sink_the_speed_for_good() {
        let mut throttle = Throttle::default();
        let (mut now, mut starts): (Tick, u32) = (0, 0);
        // 50 a second, then a trouble every three seconds for two minutes.
        while now < 5_000_000_000 {
            throttle.start(now);
            now += 20_000_000;
        }
        let mut next_trouble = now;
        let (from, until) = (now + 60_000_000_000, now + 120_000_000_000);
        while now < until {
            if now >= next_trouble {
                throttle.slow_down(now, now, None, 0.5);
                next_trouble = now + 3_000_000_000;
            }
            now = throttle.earliest(now).max(now + 20_000_000);
            throttle.start(now);
            starts += u32::from(now >= from);
        }
        assert!(starts > 8 * 60, "{starts} starts in the last minute");
    }
}
