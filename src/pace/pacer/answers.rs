//! The pacer's second half: what answers change.

use super::super::health::{Signal, Weight};
use super::super::strain::Advice;
use super::super::turn::{GiveUp, Now, PauseReason, Permit};
use super::super::{Budget, Tick, nanos};
use super::{CUSHION, Pacer};
use std::time::Duration;

/// A longer wait than this that is no 429's says nothing about a rate: maintenance.
const SHORT_WAIT: Duration = Duration::from_secs(5);

impl Pacer {
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
        let said = permit.said();
        let random = self.random.f64();
        self.watch(signal, &permit, tick);
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
                    self.slow_down(tick, tick, 0.25);
                }
            }
            Signal::RetryAfter(wait) => {
                let over = said.over || wait <= SHORT_WAIT;
                self.refused += u64::from(over);
                if !self.in_outage() {
                    let until = tick.saturating_add(nanos(wait.saturating_add(CUSHION)));
                    match &mut self.auto {
                        Some(auto) if over => auto.refused(started, tick, Some(until)),
                        Some(auto) => auto.interrupted(started, tick, until),
                        None => self.slow_down(started, tick, 0.7),
                    }
                }
                self.pause_for(wait, PauseReason::RetryAfter, now)?;
                self.trouble(item, started, now, Weight::Server, random)?;
            }
            Signal::Overloaded => {
                self.refused += 1;
                self.trouble(item, started, now, Weight::Item, random)?;
                if !self.in_outage() {
                    match &mut self.auto {
                        Some(auto) => auto.refused(started, tick, None),
                        None => self.slow_down(started, tick, 0.5),
                    }
                }
            }
            Signal::Trouble | Signal::Unreachable => {
                let weight = match signal {
                    Signal::Unreachable => Weight::Nobody,
                    _ => Weight::Item,
                };
                self.trouble(item, started, now, weight, random)?;
                // Where the pace finds itself, the strain decides.
                if self.auto.is_none() && self.health.is_strained() && !self.in_outage() {
                    self.slow_down(started, tick, 0.5);
                }
            }
        }
        match said.budget {
            Some(budget) => self.heed(budget, signal, now),
            None => Ok(()),
        }
    }

    /// The run has to be gentler: it goes at `factor` of the present speed.
    fn slow_down(&mut self, started: Tick, tick: Tick, factor: f64) {
        let allowed = self.allowed_per_second();
        match &mut self.auto {
            Some(auto) => {
                auto.interrupted(started, tick, tick);
                self.strain.forget(tick);
            }
            None => {
                self.throttle.slow_down(started, tick, allowed, factor);
            }
        }
    }

    /// What an answer tells those that find the pace and the number in flight.
    fn watch(&mut self, signal: Signal, permit: &Permit, tick: Tick) {
        let finds = self.auto.is_some() || self.vegas.is_some();
        if !finds || signal == Signal::NotSent || self.in_outage() {
            return;
        }
        let started = permit.started;
        let fine = signal == Signal::Fine;
        if permit.in_flight && fine {
            let window = self.latency.answer(started, tick, self.in_flight + 1);
            if let (Some(vegas), Some(window)) = (&mut self.vegas, window) {
                vegas.window(&window);
            }
        }
        let refused = matches!(signal, Signal::RetryAfter(_) | Signal::Overloaded);
        let trouble = matches!(signal, Signal::Trouble | Signal::Unreachable);
        if let Some(vegas) = &mut self.vegas
            && (trouble || refused && self.auto.is_none())
        {
            // Where the pace finds itself, a refusal is its matter.
            vegas.dropped(started, tick);
        }
        let Some(auto) = &mut self.auto else { return };
        if matches!(signal, Signal::Fine | Signal::Neutral) {
            auto.accepted(started, tick, self.latency.load());
        }
        match self.strain.answer(trouble, started, tick, auto.speed(tick)) {
            Advice::Stay => {}
            Advice::Slower(share) => auto.strained(share, tick),
            Advice::Back(speed) => auto.restore(speed),
        }
    }

    /// Heeds what the server announced of its quota.
    fn heed(&mut self, budget: Budget, signal: Signal, now: Now) -> Result<(), GiveUp> {
        let tick = self.tick(now);
        if let Some(limit) = budget.limit.filter(|limit| *limit > 0) {
            self.announced = Some((limit, budget.window));
        }
        if let (Some(auto), Some((rate, holds))) = (&mut self.auto, budget.spread(self.in_flight)) {
            auto.announce(rate, tick.saturating_add(nanos(holds)));
        }
        // What it asked for in so many words comes first.
        match (signal, budget.hold()) {
            (Signal::RetryAfter(_), _) | (_, None) => Ok(()),
            (_, Some(wait)) => self.pause_for(wait, PauseReason::UsedUp, now),
        }
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

    fn pause_for(&mut self, wait: Duration, reason: PauseReason, now: Now) -> Result<(), GiveUp> {
        let tick = self.tick(now);
        let until = tick.saturating_add(nanos(wait.saturating_add(CUSHION)));
        if self.pause.is_none_or(|(present, _)| present < until) {
            self.pause = Some((until, reason));
            self.throttle.hold(until);
        }
        self.check_pause(now, wait)
    }

    pub(super) fn check_pause(&self, now: Now, wait: Duration) -> Result<(), GiveUp> {
        let tick = self.tick(now);
        match self.pause {
            Some((until, reason))
                if until > tick && wait > self.max_wait.saturating_add(CUSHION) =>
            {
                let until = self.wall(now, until);
                Err(match reason {
                    PauseReason::UsedUp => GiveUp::UsedUp(until),
                    _ => GiveUp::RetryAfter(until),
                })
            }
            _ => Ok(()),
        }
    }
}
