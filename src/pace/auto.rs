//! The speed that finds itself (`rate = "auto"`).
//!
//! Owns the search for a limit that nobody told us, and the spacing of starts
//! at the speed found. A state machine like the pacer that holds it: it is told
//! the time, the starts and the answers. Must never know of quotas: those stay
//! above it as hard ceilings.
//!
//! The search is TCP's, with a rate in the window's place:
//!
//! 1. **Slow start** (RFC 5681): the speed doubles every [`DOUBLING`] until the
//!    first refusal, paced by answers: no answers, no growth.
//! 2. **A ceiling with a memory** (CUBIC, RFC 9438): a refusal says that the
//!    limit is near; the run comes back below it, goes up to just under it in
//!    a concave curve, and stays. Above it lies a probe, slow at first; each one
//!    that fails doubles the time to the next, one that succeeds brings slow
//!    start back. So refusals get rare, and a limit that rises is still found.
//! 3. **What the ceiling is.** A bucket lets a burst through that hides the
//!    limit, a window hides it until it is used up. But a refusal means that
//!    the bucket is empty, so what got through between two of them, divided
//!    by the time from the end of one wait to the end of the next, is the limit
//!    that holds in the long run, whatever the server counts with. A refusal
//!    where none was expected is answered by that measure, one in a probe only
//!    confirms what was known.

use super::Tick;
use super::latency::Load;
use ceiling::{Ceiling, HOLD, LONG_WAIT, Refusal};

mod ceiling;

/// Starts a second to begin with, where nothing is known.
const FIRST: f64 = 4.0;
/// The slowest that is tried; below it, the server's own waits decide.
const SLOWEST: f64 = 0.02;
/// The fastest: the timers are the limit then.
const FASTEST: f64 = 20_000.0;
/// Slow start doubles the speed in so many seconds.
const DOUBLING: f64 = 2.0;
/// "Just under": the part of the ceiling that is used …
const PLATEAU: f64 = 0.97;
/// … and the part to come back at after a refusal.
const RESUME: f64 = 0.9;
/// What is waited after a refusal that names no time, in seconds.
const UNNAMED_WAIT: f64 = 1.0;
/// A late timer is made up for within so long.
const CATCH_UP: Tick = 5_000_000;

/// The search, and the gate.
#[derive(Debug)]
pub(super) struct AutoRate {
    /// Starts a second at present.
    rate: f64,
    ceiling: Option<Ceiling>,
    /// What the server announced that it will bear, and until when that holds.
    announced: Option<(f64, Tick)>,
    /// The earliest next start.
    next: Tick,
    /// Starts a second lately, as a moving average.
    observed: f64,
    last_start: Option<Tick>,
    /// When this gate last made somebody wait: only a speed that is used may grow.
    bound: Tick,
    grown: Tick,
    /// Answers to requests from before this moment say nothing new.
    reacted: Tick,
    /// Where the present stretch between two refusals began: at the end of the last wait.
    since: Tick,
    /// What got through since.
    accepted: u64,
    /// The ceiling from before a strain, while that is looked into.
    set_aside: Option<Ceiling>,
    /// The stretch before that: a wait that proves too short belongs to it.
    before: Stretch,
    /// Waits in a row that proved too short.
    too_short: u32,
    begun: bool,
    /// There was a refusal in this run.
    limit_seen: bool,
}

/// From the end of a wait to the next refusal.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    accepted: u64,
    /// Seconds.
    run: f64,
    ended: Tick,
}

impl AutoRate {
    /// Begins at `known` starts a second, an earlier run's finding, or slowly.
    pub(super) fn new(known: Option<f64>, now: Tick) -> AutoRate {
        let known = known.filter(|rate| rate.is_finite() && *rate > 0.0);
        let ceiling =
            known.map(|rate| Ceiling::guess(rate, rate).probed_at(now.saturating_add(ticks(HOLD))));
        AutoRate {
            rate: ceiling.map_or(FIRST, |c| (c.rate * RESUME).max(SLOWEST)),
            ceiling,
            announced: None,
            next: now,
            observed: 0.0,
            last_start: None,
            bound: Tick::MIN,
            grown: now,
            reacted: now,
            since: now,
            accepted: 0,
            set_aside: None,
            before: Stretch {
                accepted: 0,
                run: 0.0,
                ended: now,
            },
            too_short: 0,
            begun: false,
            limit_seen: false,
        }
    }

    /// Starts a second at present.
    pub(super) fn speed(&self, now: Tick) -> f64 {
        match self.announced {
            Some((rate, until)) if now < until => self.rate.min(rate),
            _ => self.rate,
        }
    }

    /// The speed found: the ceiling's, or what was reached so far.
    pub(super) fn found(&self) -> Option<f64> {
        match self.ceiling {
            Some(ceiling) => Some(ceiling.rate),
            None => self.begun.then_some(self.rate),
        }
    }

    /// Whether a refusal has shown the limit.
    pub(super) fn is_settled(&self) -> bool {
        self.limit_seen
    }

    /// The earliest moment for the next start, `now` or later.
    pub(super) fn earliest(&self, now: Tick) -> Tick {
        self.next.max(now)
    }

    /// It was this gate that made somebody wait, and no other.
    pub(super) fn bound(&mut self, now: Tick) {
        self.bound = now;
    }

    /// Counts a start.
    /// `gently` is twice as slow as otherwise.
    pub(super) fn start(&mut self, now: Tick, gently: bool) {
        if !self.begun {
            self.begun = true;
            self.since = self.since.max(now);
        }
        if let Some(last) = self.last_start {
            let gap = seconds(now - last).max(1e-6);
            self.observed += (1.0 / gap - self.observed) * gap.min(1.0);
        }
        self.last_start = Some(now);
        let speed = self.speed(now) * if gently { 0.5 } else { 1.0 };
        let gap = ticks(1.0 / speed);
        self.next = self.next.max(now - CATCH_UP).saturating_add(gap);
    }

    /// A request was accepted. `load` is what its latency tells.
    pub(super) fn accepted(&mut self, started: Tick, now: Tick, load: Load) {
        let since = seconds(now - self.grown).min((2.0 / self.rate).max(0.25));
        self.grown = now;
        if started < self.reacted {
            return;
        }
        self.accepted += 1;
        match load {
            // Once for each verdict on the latency: see `Latency`.
            Load::Rising => {
                self.rate = (self.rate * 0.9).max(SLOWEST);
                return;
            }
            Load::Raised => return,
            Load::Easy => {}
        }
        let lately = ticks((3.0 / self.rate).max(0.25));
        if self.bound.saturating_add(lately) < now || self.speed(now) < self.rate {
            return;
        }
        let grown = match self.ceiling {
            None => self.rate * (since / DOUBLING).exp2(),
            Some(c) if self.rate < c.plateau() * 0.995 => {
                // Concave: half of what is missing in about a second.
                self.rate + (c.plateau() - self.rate) * (1.0 - (-since * 0.7).exp())
            }
            Some(c) if now < c.probe_at => self.rate,
            Some(c) => self.rate * (c.growth(self.rate) * since).exp(),
        };
        self.rate = grown.clamp(SLOWEST, FASTEST);
        if self.ceiling.is_some_and(|c| c.has_risen(self.rate, now)) {
            self.ceiling = None;
        }
    }

    /// The server refused a request that was made at `started`, because there
    /// were too many. `resume`: when it may be asked again, if it said so.
    pub(super) fn refused(&mut self, started: Tick, now: Tick, resume: Option<Tick>) {
        if started < self.reacted {
            // In flight when an earlier one was refused; only a longer wait is news.
            if let Some(resume) = resume {
                self.wait(resume);
            }
            return;
        }
        if self.accepted == 0 {
            return self.still_refused(now, resume);
        }
        self.too_short = 0;
        let resume = resume
            .unwrap_or(now.saturating_add(ticks(UNNAMED_WAIT)))
            .max(now);
        let run = seconds(started - self.since).max(0.0);
        let wait = seconds(resume - now);
        // From the end of one wait to the end of the next.
        let measured = self.accepted as f64 / (run + wait).max(1e-3);
        let refusal = Refusal {
            measured,
            used: self.rate.min(self.observed.max(SLOWEST)),
            probing: self
                .ceiling
                .is_some_and(|c| self.rate > c.rate * (PLATEAU + 0.005)),
            run,
            wait,
        };
        self.before = Stretch {
            accepted: self.accepted,
            run,
            ended: now,
        };
        self.settle(Ceiling::after(self.ceiling, &refusal), resume, wait);
    }

    /// Nothing got through since the last wait: it was too short, and what was
    /// measured before it has taken longer than it seemed.
    fn still_refused(&mut self, now: Tick, resume: Option<Tick>) {
        self.too_short = self.too_short.saturating_add(1).min(6);
        let unnamed = ticks(UNNAMED_WAIT * f64::from(self.too_short).exp2());
        let resume = resume.unwrap_or(now.saturating_add(unnamed)).max(now);
        let wait = seconds(resume - self.before.ended);
        match self.ceiling {
            Some(old) if self.before.accepted > 0 && wait >= LONG_WAIT => {
                let measured = self.before.accepted as f64 / (self.before.run + wait);
                self.settle(old.measured_anew(measured), resume, wait);
            }
            _ => self.wait(resume),
        }
        self.since = resume;
    }

    /// Takes a ceiling over, and comes back below it after the wait.
    fn settle(&mut self, next: Ceiling, resume: Tick, wait: f64) {
        let probe_at = resume.saturating_add(ticks(next.hold(wait)));
        self.ceiling = Some(next.probed_at(probe_at));
        self.limit_seen = true;
        self.rate = (next.rate * RESUME).clamp(SLOWEST, FASTEST);
        self.wait(resume);
        self.since = resume;
        self.accepted = 0;
    }

    /// The server or the way to it was in trouble until `resume`, for another reason than too
    /// many requests: gentler for a while, and nothing learnt.
    pub(super) fn interrupted(&mut self, started: Tick, now: Tick, resume: Tick) {
        if started >= self.reacted {
            let before = self.ceiling.map_or(self.rate, |c| c.rate.max(self.rate));
            let ceiling = self.ceiling.get_or_insert(Ceiling::guess(before, before));
            ceiling.probe_at = ceiling.probe_at.max(resume.saturating_add(ticks(HOLD)));
            self.rate = (self.rate * 0.5).max(SLOWEST);
        }
        self.wait(resume.max(now));
        // What came through meanwhile measures nothing.
        self.since = self.since.max(resume);
        self.accepted = 0;
    }

    /// So large a share of the answers was trouble that there may be too many
    /// requests, though nobody said so.
    pub(super) fn strained(&mut self, share: f64, now: Tick) {
        let used = self.rate.min(self.observed.max(SLOWEST));
        self.set_aside = self.ceiling;
        let guess = Ceiling::guess(used * (1.0 - share), used);
        self.ceiling = Some(guess.probed_at(now.saturating_add(ticks(4.0 * HOLD))));
        self.rate = (used * 0.5).max(SLOWEST);
        (self.since, self.accepted) = (now, 0);
    }

    /// That was not it: the speed is what it was.
    pub(super) fn restore(&mut self, speed: f64) {
        self.ceiling = self.set_aside.take();
        self.rate = self.rate.max(speed).min(FASTEST);
    }

    /// Nothing is started until `resume`, and what was sent before says nothing new.
    fn wait(&mut self, resume: Tick) {
        self.next = self.next.max(resume);
        self.reacted = self.reacted.max(resume);
        self.grown = self.grown.max(resume);
        self.last_start = None;
        if self.accepted == 0 {
            self.since = self.since.max(resume);
        }
    }

    /// The server announced that `rate` starts a second are left until `until`.
    pub(super) fn announce(&mut self, rate: f64, until: Tick) {
        if rate.is_finite() && rate > 0.0 {
            self.announced = Some((rate.max(SLOWEST), until));
        }
    }
}

fn seconds(ticks: Tick) -> f64 {
    ticks as f64 / 1e9
}

fn ticks(seconds: f64) -> Tick {
    (seconds * 1e9) as Tick
}

#[cfg(test)]
mod servers;
#[cfg(test)]
mod tests;
