//! The pacer: quotas, pauses, throttle and health in one decision.

use super::auto::AutoRate;
use super::concurrency::Vegas;
use super::health::Health;
use super::latency::Latency;
use super::ledger::Ledger;
use super::quota::QuotaGate;
use super::strain::Strain;
use super::throttle::Throttle;
use super::turn::{GiveUp, Now, PauseReason, PauseView, Permit, Turn, Why};
use super::{Tick, nanos};
use crate::job::{Limits, Retry};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

mod answers;
mod notes;

/// Added to a Retry-After: a server that rounds down must not be asked early.
const CUSHION: Duration = Duration::from_millis(100);

/// The one owner of "when may the next request go".
#[derive(Debug)]
pub struct Pacer {
    epoch: Instant,
    quotas: Vec<QuotaGate>,
    throttle: Throttle,
    /// In the throttle's place, where the pace finds itself.
    auto: Option<AutoRate>,
    strain: Strain,
    /// In the fixed number's place, where the number in flight finds itself.
    vegas: Option<Vegas>,
    latency: Latency,
    /// The quota that the server announced last.
    announced: Option<(u64, Option<Duration>)>,
    refused: u64,
    health: Health,
    pause: Option<(Tick, PauseReason)>,
    max_wait: Duration,
    in_flight: usize,
    concurrency: usize,
    ledger: Ledger,
    random: fastrand::Rng,
}

impl Pacer {
    /// A pacer that begins now; `leased` when commits make its notes durable.
    pub fn new(limits: &Limits, retry: &Retry, leased: bool, seed: u64, now: Now) -> Pacer {
        let shortest = limits
            .rates
            .iter()
            .enumerate()
            .min_by_key(|(_, r)| (r.window, r.count))
            .map(|(i, _)| i);
        let quotas: Vec<_> = limits
            .rates
            .iter()
            .enumerate()
            .map(|(i, rate)| QuotaGate::new(*rate, Some(i) == shortest))
            .collect();
        Pacer {
            epoch: now.instant,
            ledger: Ledger::new(leased && !quotas.is_empty()),
            quotas,
            throttle: Throttle::default(),
            auto: limits.rate_auto.then(|| AutoRate::new(None, 0)),
            strain: Strain::default(),
            vegas: limits.concurrency_auto.then(|| Vegas::new(None)),
            latency: Latency::default(),
            announced: None,
            refused: 0,
            health: Health::new(retry.backoff_first, retry.backoff_last),
            pause: None,
            max_wait: limits.max_wait,
            in_flight: 0,
            concurrency: limits.concurrency,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Asks for leave to start an item's request.
    pub fn turn(&mut self, now: Now) -> Turn {
        let tick = self.tick(now);
        if self.in_flight >= self.most_in_flight() {
            return Turn::Full;
        }
        if let Some(outage) = self.health.outage {
            if self.in_flight > 0 {
                return Turn::Full;
            }
            if outage.next_probe > tick {
                return Turn::Wait(self.instant(outage.next_probe), Why::Outage);
            }
        }
        // In an outage the probes' own schedule is the gate.
        let speed = match self.auto {
            Some(_) => tick,
            None => self.throttle.earliest(tick),
        };
        if speed > tick && !self.in_outage() {
            return Turn::Wait(self.instant(speed), Why::Quota);
        }
        match self.start(tick) {
            Ok(()) => {
                self.in_flight += 1;
                Turn::Go(Permit::new(tick, true))
            }
            Err(turn) => turn,
        }
    }

    fn most_in_flight(&self) -> usize {
        match &self.vegas {
            Some(vegas) if self.latency.is_measuring() => (vegas.limit() / 4).max(1),
            Some(vegas) => vegas.limit(),
            None => self.concurrency,
        }
    }

    /// Asks for leave to start a request that belongs to another one: a
    /// redirect's next hop, a token from the same host. Takes from the quotas,
    /// not from the in-flight limit.
    pub fn side_turn(&mut self, now: Now) -> Turn {
        let tick = self.tick(now);
        match self.start(tick) {
            Ok(()) => Turn::Go(Permit::new(tick, false)),
            Err(turn) => turn,
        }
    }

    fn start(&mut self, tick: Tick) -> Result<(), Turn> {
        if let Some((until, _)) = self.pause {
            if until > tick {
                return Err(Turn::Wait(self.instant(until), Why::Pause));
            }
            self.pause = None;
        }
        let earliest = self
            .quotas
            .iter_mut()
            .map(|q| q.earliest(tick))
            .max()
            .unwrap_or(tick);
        let own = match &self.auto {
            // In an outage the probes' own schedule is the gate.
            Some(auto) if self.health.outage.is_none() => auto.earliest(tick),
            _ => tick,
        };
        if own.max(earliest) > tick {
            if own > earliest
                && let Some(auto) = &mut self.auto
            {
                auto.bound(tick);
            }
            return Err(Turn::Wait(self.instant(own.max(earliest)), Why::Quota));
        }
        if !self.ledger.start(tick) {
            return Err(Turn::NeedsLease);
        }
        for quota in &mut self.quotas {
            quota.start(tick);
        }
        self.throttle.start(tick);
        if let Some(auto) = &mut self.auto {
            auto.start(tick, self.latency.is_measuring());
        }
        Ok(())
    }

    /// Errs when the pause that an earlier run was given is still longer than `max_wait`.
    pub fn check_inherited_pause(&self, now: Now) -> Result<(), GiveUp> {
        let tick = self.tick(now);
        let left = self.pause.map_or(0, |(until, _)| (until - tick).max(0));
        self.check_pause(now, Duration::from_nanos(left.unsigned_abs()))
    }

    /// Somebody who sees all answers says that the server is down, though it answers.
    pub fn begin_outage(&mut self, now: Now) {
        let tick = self.tick(now);
        let random = self.random.f64();
        self.health.begin_outage(tick, random);
    }

    /// Whether failures now are the server's and not the items'.
    pub fn in_outage(&self) -> bool {
        self.health.outage.is_some()
    }

    /// Whether nothing was fine since the last trouble: then an item that was
    /// not tried yet tells more than one that was.
    pub fn in_doubt(&self) -> bool {
        self.health.in_a_row()
    }

    /// The pause that holds now, for people.
    pub fn pause_view(&self, now: Now) -> Option<PauseView> {
        let tick = self.tick(now);
        if let Some((until, reason)) = self.pause.filter(|p| p.0 > tick) {
            return Some(PauseView {
                reason,
                until: self.wall(now, until),
                ends: self.instant(until),
            });
        }
        self.health.outage.map(|o| PauseView {
            reason: PauseReason::Outage,
            until: self.wall(now, o.next_probe.max(tick)),
            ends: self.instant(o.next_probe.max(tick)),
        })
    }

    /// The last note is durable: its lease may be used.
    pub fn committed(&mut self, now: Now) {
        let tick = self.tick(now);
        self.ledger.committed(tick);
    }

    /// Whether the lease wants renewal soon.
    pub fn lease_low(&self, now: Now) -> bool {
        self.ledger.low(self.tick(now))
    }

    /// Starts a second that all quotas allow in the long run; `None` when unlimited.
    pub fn allowed_per_second(&self) -> Option<f64> {
        self.quotas
            .iter()
            .map(QuotaGate::per_second)
            .min_by(f64::total_cmp)
    }

    /// The present cap of a throttled run, in starts a second.
    pub fn throttled_to(&self, now: Now) -> Option<f64> {
        self.throttle.capped_at(self.tick(now))
    }

    /// Item requests in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn tick(&self, now: Now) -> Tick {
        nanos(now.instant.saturating_duration_since(self.epoch))
    }

    fn instant(&self, tick: Tick) -> Instant {
        self.epoch + Duration::from_nanos(u64::try_from(tick).unwrap_or(0))
    }

    fn wall(&self, now: Now, tick: Tick) -> SystemTime {
        let present = self.tick(now);
        let distance = Duration::from_nanos((tick - present).unsigned_abs());
        if tick >= present {
            now.wall + distance
        } else {
            now.wall.checked_sub(distance).unwrap_or(UNIX_EPOCH)
        }
    }
}

#[cfg(test)]
mod auto_tests;
#[cfg(test)]
#[path = "pacer_tests.rs"]
mod tests;
