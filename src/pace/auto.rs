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
/// A probe's growth in a second, far below a speed that was refused …
const PROBE_FAST: f64 = 0.08;
/// … and near it.
const PROBE_SLOW: f64 = 0.02;
/// A speed so far above one that was refused shows that the limit has risen.
const RISEN: f64 = 1.3;
/// Two ceilings so near to each other are the same one.
const SAME: f64 = 0.08;
/// Seconds from a refusal to the first probe above a ceiling that was measured …
const HOLD: f64 = 5.0;
/// … above one that is a guess …
const HOLD_GUESS: f64 = 2.0;
/// … and at most, where the server's window is not longer.
const HOLD_MOST: f64 = 120.0;
/// A refusal this soon after the last wait tells of the last one's guess.
const SOON: f64 = 3.0;
/// The part of the way from a measured ceiling to a refused probe's speed that the ceiling moves.
const CREEP: f64 = 0.1;
/// A wait of so many seconds is the rest of a window.
const LONG_WAIT: f64 = 3.0;
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
}

/// From the end of a wait to the next refusal.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    accepted: u64,
    /// Seconds.
    run: f64,
    ended: Tick,
}

/// What is known of the limit.
#[derive(Debug, Clone, Copy)]
struct Ceiling {
    rate: f64,
    /// The speed that was refused.
    refused_at: f64,
    /// Measured between two refusals; else a guess.
    measured: bool,
    /// Probes above it that failed one after another.
    failed: u32,
    /// When the next one begins.
    probe_at: Tick,
    /// The seconds that the measure took, where the server counts in long
    /// windows: what happens in less says little about such a one.
    span: f64,
}

impl AutoRate {
    /// Begins at `known` starts a second, an earlier run's finding, or slowly.
    pub(super) fn new(known: Option<f64>, now: Tick) -> AutoRate {
        let known = known.filter(|rate| rate.is_finite() && *rate > 0.0);
        let ceiling = known.map(|rate| Ceiling {
            rate: rate.clamp(SLOWEST, FASTEST),
            refused_at: rate.clamp(SLOWEST, FASTEST),
            measured: false,
            failed: 0,
            probe_at: now.saturating_add(ticks(HOLD)),
            span: 0.0,
        });
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
        self.ceiling.is_some()
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
    pub(super) fn start(&mut self, now: Tick) {
        if !self.begun {
            self.begun = true;
            self.since = self.since.max(now);
        }
        if let Some(last) = self.last_start {
            let gap = seconds(now - last).max(1e-6);
            self.observed += (1.0 / gap - self.observed) * gap.min(1.0);
        }
        self.last_start = Some(now);
        let gap = ticks(1.0 / self.speed(now));
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
            Some(c) if self.rate < c.rate * PLATEAU * 0.995 => {
                // Concave: half of what is missing in about a second.
                self.rate + (c.rate * PLATEAU - self.rate) * (1.0 - (-since * 0.7).exp())
            }
            Some(c) if now < c.probe_at => self.rate,
            Some(c) => {
                let growth = match self.rate < c.refused_at * 0.8 {
                    true => PROBE_FAST,
                    false => PROBE_SLOW,
                };
                self.rate * (growth * since).exp()
            }
        };
        self.rate = grown.clamp(SLOWEST, FASTEST);
        let risen = |c: Ceiling| {
            self.rate > c.refused_at * RISEN && now >= c.probe_at.saturating_add(ticks(c.span))
        };
        if self.ceiling.is_some_and(risen) {
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
        let used = self.rate.min(self.observed.max(SLOWEST));
        let next = self.judge(measured, used, run, wait);
        self.before = Stretch {
            accepted: self.accepted,
            run,
            ended: now,
        };
        self.settle(next, resume, wait);
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
                let next = Ceiling {
                    rate: measured.clamp(SLOWEST, old.rate.max(SLOWEST)),
                    measured: true,
                    ..old
                };
                self.settle(next, resume, wait);
            }
            _ => self.wait(resume),
        }
        self.since = resume;
    }

    /// Takes a ceiling over, and comes back below it after the wait.
    fn settle(&mut self, next: Ceiling, resume: Tick, wait: f64) {
        let hold = match next.measured {
            true => HOLD.max(2.0 * wait),
            false => HOLD_GUESS,
        };
        let most = HOLD_MOST.max(hold);
        let hold = (hold * f64::from(next.failed).exp2()).min(most);
        self.ceiling = Some(Ceiling {
            probe_at: resume.saturating_add(ticks(hold)),
            ..next
        });
        self.rate = (next.rate * RESUME).clamp(SLOWEST, FASTEST);
        self.wait(resume);
        self.since = resume;
        self.accepted = 0;
    }

    /// The ceiling after a refusal. All in starts a second, and seconds.
    fn judge(&self, measured: f64, used: f64, run: f64, wait: f64) -> Ceiling {
        let guess = |rate: f64, failed| Ceiling {
            rate: rate.clamp(SLOWEST, FASTEST),
            refused_at: used,
            measured: false,
            failed,
            probe_at: 0,
            span: 0.0,
        };
        let sure = |rate: f64, failed| Ceiling {
            measured: true,
            span: if wait >= LONG_WAIT { run + wait } else { 0.0 },
            ..guess(rate, failed)
        };
        let Some(old) = self.ceiling else {
            // The end of slow start.
            return match wait >= LONG_WAIT {
                true => sure(measured, 0),
                false => guess(used, 0),
            };
        };
        if self.rate <= old.rate * (PLATEAU + 0.005) {
            if run + wait < 0.5 * old.span {
                // The edge of a window, or what an uneven start has left in it.
                return Ceiling {
                    rate: old.rate * RESUME,
                    ..old
                };
            }
            // Not even that much is allowed.
            let least = used * if run < SOON { 0.25 } else { 0.5 };
            let rate = measured.clamp(least, used * 0.95);
            return match run >= SOON || wait >= LONG_WAIT {
                true => sure(rate, 0),
                false => guess(rate, 0),
            };
        }
        // A probe failed.
        let failed = |rate: f64| match (rate / old.rate - 1.0).abs() < SAME {
            true => old.failed.saturating_add(1).min(16),
            false => 0,
        };
        if old.measured && used < old.rate * 1.5 {
            // Without a bucket to fill it, the time of a short wait is lost to the measure.
            let creep = if wait < LONG_WAIT { CREEP } else { 0.0 };
            let least = old.rate + creep * (used - old.rate).max(0.0);
            let rate = measured.clamp(least, used.max(least));
            return sure(rate, failed(rate));
        }
        guess(used, failed(used))
    }

    /// The server or the way to it was in trouble until `resume`, for another reason than too
    /// many requests: gentler for a while, and nothing learnt.
    pub(super) fn interrupted(&mut self, started: Tick, now: Tick, resume: Tick) {
        if started >= self.reacted {
            let before = self.ceiling.map_or(self.rate, |c| c.rate.max(self.rate));
            self.ceiling.get_or_insert(Ceiling {
                rate: before,
                refused_at: before,
                measured: false,
                failed: 0,
                probe_at: 0,
                span: 0.0,
            });
            if let Some(ceiling) = &mut self.ceiling {
                ceiling.probe_at = ceiling.probe_at.max(resume.saturating_add(ticks(HOLD)));
            }
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
        self.ceiling = Some(Ceiling {
            rate: (used * (1.0 - share)).clamp(SLOWEST, FASTEST),
            refused_at: used,
            measured: false,
            failed: 0,
            probe_at: now.saturating_add(ticks(4.0 * HOLD)),
            span: 0.0,
        });
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
