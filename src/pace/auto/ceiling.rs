//! The ceiling: what is known of the limit, and what a refusal says about it.
//!
//! Owns the judgement. Must never know the present time or speed but by what
//! it is told.

use super::{FASTEST, PLATEAU, RESUME, SLOWEST, seconds};
use crate::pace::Tick;

/// A probe's growth in a second, far below a speed that was refused …
const PROBE_FAST: f64 = 0.08;
/// … and near it.
const PROBE_SLOW: f64 = 0.02;
/// A speed so far above one that was refused shows that the limit has risen.
const RISEN: f64 = 1.3;
/// Two ceilings so near to each other are the same one.
const SAME: f64 = 0.08;
/// Seconds from a refusal to the first probe above a ceiling that was measured …
pub(super) const HOLD: f64 = 5.0;
/// … above one that is a guess …
const HOLD_GUESS: f64 = 2.0;
/// … and at most, where the server's window is not longer.
const HOLD_MOST: f64 = 120.0;
/// A refusal this soon after the last wait tells of the last one's guess.
const SOON: f64 = 3.0;
/// The part of the way from a measured ceiling to a refused probe's speed that the ceiling moves.
const CREEP: f64 = 0.1;
/// A wait of so many seconds is the rest of a window …
pub(super) const LONG_WAIT: f64 = 3.0;
/// … and of more than so many, a penalty or a day's quota: no rate is measured by it.
const PENALTY: f64 = 3_700.0;

/// What is known of the limit. Speeds in starts a second, times in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ceiling {
    pub(super) rate: f64,
    /// The speed that was refused.
    refused_at: f64,
    /// Measured between two refusals; else a guess.
    measured: bool,
    /// Probes above it that failed one after another.
    failed: u32,
    /// When the next one begins.
    pub(super) probe_at: Tick,
    /// How long the measure took, where the server counts in long windows:
    /// what happens in less says little about such a one.
    span: f64,
}

/// A refusal, and the stretch since the wait before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    /// What got through, from the end of that wait to the end of the next.
    pub(super) measured: f64,
    /// The speed that was refused.
    pub(super) used: f64,
    /// It was above what the ceiling allows.
    pub(super) probing: bool,
    /// The time from that wait to the refusal …
    pub(super) run: f64,
    /// … and the one that is waited now.
    pub(super) wait: f64,
}

impl Ceiling {
    /// A speed that nothing was measured for.
    pub(super) fn guess(rate: f64, refused_at: f64) -> Ceiling {
        Ceiling {
            rate: rate.clamp(SLOWEST, FASTEST),
            refused_at: refused_at.clamp(SLOWEST, FASTEST),
            measured: false,
            failed: 0,
            probe_at: 0,
            span: 0.0,
        }
    }

    /// The same, with the time of the next probe.
    pub(super) fn probed_at(self, probe_at: Tick) -> Ceiling {
        Ceiling { probe_at, ..self }
    }

    /// The ceiling after a refusal.
    pub(super) fn after(old: Option<Ceiling>, refusal: &Refusal) -> Ceiling {
        let &Refusal {
            measured,
            used,
            probing,
            run,
            wait,
        } = refusal;
        let guess = |rate, failed| Ceiling {
            failed,
            ..Ceiling::guess(rate, used)
        };
        let sure = |rate, failed| Ceiling {
            measured: true,
            span: if wait >= LONG_WAIT { run + wait } else { 0.0 },
            ..guess(rate, failed)
        };
        if wait > PENALTY {
            let before = old.map_or(used, |old| old.rate.min(used));
            return guess(before * 0.5, 5);
        }
        let Some(old) = old else {
            // The end of slow start.
            return match wait >= LONG_WAIT {
                true => sure(measured, 0),
                false => guess(used, 0),
            };
        };
        if !probing {
            if run + wait < 0.5 * old.span {
                // The edge of a window, or what an uneven start has left in it.
                return Ceiling {
                    rate: (old.rate * RESUME).max(SLOWEST),
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

    /// The same, measured again over a longer time.
    pub(super) fn measured_anew(self, rate: f64) -> Ceiling {
        Ceiling {
            rate: rate.clamp(SLOWEST, self.rate.max(SLOWEST)),
            measured: true,
            ..self
        }
    }

    /// Seconds from the end of the wait to the next probe.
    pub(super) fn hold(&self, wait: f64) -> f64 {
        let hold = match self.measured {
            true => HOLD.max(2.0 * wait),
            false => HOLD_GUESS,
        };
        (hold * f64::from(self.failed).exp2()).min(HOLD_MOST.max(hold))
    }

    /// A probe's growth in a second, at this speed.
    pub(super) fn growth(&self, rate: f64) -> f64 {
        match rate < self.refused_at * 0.8 {
            true => PROBE_FAST,
            false => PROBE_SLOW,
        }
    }

    /// The speed just under it.
    pub(super) fn plateau(&self) -> f64 {
        self.rate * PLATEAU
    }

    /// Whether a speed that is borne now shows that the limit has risen.
    pub(super) fn has_risen(&self, rate: f64, now: Tick) -> bool {
        rate > self.refused_at * RISEN && seconds(now - self.probe_at) >= self.span
    }
}
