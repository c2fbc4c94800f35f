//! The pacer: quotas, pauses, throttle and health in one decision.

use super::health::{Health, Signal, Weight};
use super::ledger::Ledger;
use super::quota::QuotaGate;
use super::throttle::Throttle;
use super::turn::{GiveUp, Now, PauseReason, PauseView, Permit, Turn, Why};
use super::{Note, Tick, Uptime, nanos, past};
use crate::job::{Limits, Retry};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Added to a Retry-After: a server that rounds down must not be asked early.
const CUSHION: Duration = Duration::from_millis(100);

/// The one owner of "when may the next request go".
#[derive(Debug)]
pub struct Pacer {
    epoch: Instant,
    quotas: Vec<QuotaGate>,
    throttle: Throttle,
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
            health: Health::new(retry.backoff_first, retry.backoff_last),
            pause: None,
            max_wait: limits.max_wait,
            in_flight: 0,
            concurrency: limits.concurrency,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Takes over the ledger of earlier runs: what they started, what they
    /// may have started after their last note, and the pause that they were given.
    pub fn restore(&mut self, notes: &[Note], now: Now, up: Option<Uptime>) {
        let tick = self.tick(now);
        let past = past::read(notes, millis(now.wall), up);
        for quota in &mut self.quotas {
            for &(age, count) in &past.starts {
                quota.remember(tick.saturating_sub(nanos(age)), count);
            }
        }
        self.ledger.inherit(past.lease);
        if !past.pause.is_zero() {
            let until = tick.saturating_add(nanos(past.pause));
            self.pause = Some((until, PauseReason::Inherited));
        }
    }

    /// Asks for leave to start an item's request.
    pub fn turn(&mut self, now: Now) -> Turn {
        let tick = self.tick(now);
        if self.in_flight >= self.concurrency {
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
        let speed = self.throttle.earliest(tick);
        if speed > tick && !self.in_outage() {
            return Turn::Wait(self.instant(speed), Why::Quota);
        }
        match self.start(tick) {
            Ok(()) => {
                self.in_flight += 1;
                Turn::Go(Permit {
                    started: tick,
                    in_flight: true,
                })
            }
            Err(turn) => turn,
        }
    }

    /// Asks for leave to start a request that belongs to another one: a
    /// redirect's next hop, a token from the same host. Takes from the quotas,
    /// not from the in-flight limit.
    pub fn side_turn(&mut self, now: Now) -> Turn {
        let tick = self.tick(now);
        match self.start(tick) {
            Ok(()) => Turn::Go(Permit {
                started: tick,
                in_flight: false,
            }),
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
        if earliest > tick {
            return Err(Turn::Wait(self.instant(earliest), Why::Quota));
        }
        if !self.ledger.start(tick) {
            return Err(Turn::NeedsLease);
        }
        for quota in &mut self.quotas {
            quota.start(tick);
        }
        self.throttle.start(tick);
        Ok(())
    }

    /// Takes a permit back, with what the answer said about the server.
    /// `item` tells items apart. Errs when the wait would be longer than `max_wait`.
    pub fn finish(
        &mut self,
        permit: Permit,
        signal: Signal,
        item: u64,
        now: Now,
    ) -> Result<(), GiveUp> {
        let tick = self.tick(now);
        if permit.in_flight {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        let started = permit.started;
        let random = self.random.f64();
        let allowed = self.allowed_per_second();
        match signal {
            Signal::NotSent => {}
            Signal::Neutral => {
                // No outage begins with it, and none ends: a probe like any other.
                if self.in_outage() {
                    self.trouble(item, started, now, Weight::Item, random)?;
                }
            }
            Signal::Fine => {
                if self.health.fine(tick) {
                    self.throttle.slow_down(tick, tick, allowed, 0.25);
                }
            }
            Signal::RetryAfter(wait) => {
                if !self.in_outage() {
                    self.throttle.slow_down(started, tick, allowed, 0.7);
                }
                self.pause_for(wait, now)?;
                self.trouble(item, started, now, Weight::Server, random)?;
            }
            Signal::Overloaded => {
                self.trouble(item, started, now, Weight::Item, random)?;
                if !self.in_outage() {
                    self.throttle.slow_down(started, tick, allowed, 0.5);
                }
            }
            Signal::Trouble | Signal::Unreachable => {
                let weight = match signal {
                    Signal::Unreachable => Weight::Nobody,
                    _ => Weight::Item,
                };
                self.trouble(item, started, now, weight, random)?;
                if self.health.is_strained() && !self.in_outage() {
                    self.throttle.slow_down(started, tick, allowed, 0.5);
                }
            }
        }
        Ok(())
    }

    fn trouble(
        &mut self,
        item: u64,
        started: Tick,
        now: Now,
        weight: Weight,
        random: f64,
    ) -> Result<(), GiveUp> {
        let tick = self.tick(now);
        self.health.trouble(item, started, tick, weight, random);
        let Some(since) = self.health.down_since(started, weight) else {
            return Ok(());
        };
        // The server can't be asked before both are over.
        let probe = self.health.next_probe().unwrap_or(tick);
        let pause = self.pause.map_or(tick, |p| p.0);
        if probe.max(pause) - since <= nanos(self.max_wait.saturating_add(CUSHION)) {
            return Ok(());
        }
        Err(GiveUp::Outage(Duration::from_nanos(
            (tick - since).unsigned_abs(),
        )))
    }

    fn pause_for(&mut self, wait: Duration, now: Now) -> Result<(), GiveUp> {
        let tick = self.tick(now);
        let until = tick.saturating_add(nanos(wait.saturating_add(CUSHION)));
        if self.pause.is_none_or(|(present, _)| present < until) {
            self.pause = Some((until, PauseReason::RetryAfter));
            self.throttle.hold(until);
        }
        self.check_pause(now, wait)
    }

    fn check_pause(&self, now: Now, wait: Duration) -> Result<(), GiveUp> {
        let tick = self.tick(now);
        match self.pause {
            Some((until, _)) if until > tick && wait > self.max_wait.saturating_add(CUSHION) => {
                Err(GiveUp::RetryAfter(self.wall(now, until)))
            }
            _ => Ok(()),
        }
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

    /// The note for the next commit. With `closing`, nothing is leased on.
    /// Exactly one of [`Pacer::committed`] follows each note, when it is durable.
    pub fn note(&mut self, now: Now, up: Option<Uptime>, closing: bool) -> Note {
        let tick = self.tick(now);
        let length = self.ledger.lease_length();
        let most = self
            .quotas
            .iter()
            .map(|q| q.most_within(length))
            .min()
            .unwrap_or(0);
        let (starts, lease) = self.ledger.entry(tick, if closing { 0 } else { most });
        Note {
            at_ms: millis(self.wall(now, tick)),
            up,
            starts,
            lease: lease.starts,
            lease_until_ms: if lease.starts > 0 {
                millis(self.wall(now, lease.until))
            } else {
                0
            },
            pause_until_ms: self
                .pause
                .filter(|p| p.0 > tick)
                .map_or(0, |p| millis(self.wall(now, p.0))),
        }
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

fn millis(at: SystemTime) -> u64 {
    u64::try_from(
        at.duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis(),
    )
    .unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "pacer_tests.rs"]
mod tests;
