//! What the time to an answer tells about the server: whether it queues.
//!
//! Owns the latency without load, as far as it was seen, and the verdict on the
//! present one. Answers are judged in windows, by their geometric mean, so that
//! one slow answer is no sign. Must never decide what to do about it.

use super::Tick;

/// Answers in a window at least …
const FEWEST: u32 = 20;
/// … and how long it lasts at least.
const SHORTEST: Tick = 200_000_000;
/// After so long under a raised latency, the one without load is measured anew,
/// as BBR does (Cardwell et al. 2016): the server may just be slower now.
const STALE: Tick = 60_000_000_000;
/// So near to the unloaded latency, it is that.
const NEAR: f64 = 1.1;
/// Less than so many seconds more is noise.
const NOISE: f64 = 0.01;

/// What a window's latency says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Load {
    /// As without load, or not known.
    #[default]
    Easy,
    /// Half as much again: go no faster.
    Raised,
    /// More than double, told once a window: go slower.
    Rising,
}

/// A window of answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    /// Their latency in seconds.
    pub(super) latency: f64,
    /// The lowest seen, in seconds.
    pub(super) unloaded: f64,
    /// The most in flight meanwhile.
    pub(super) in_flight: usize,
}

/// The windows, one after another.
#[derive(Debug, Default)]
pub(super) struct Latency {
    log_sum: f64,
    count: u32,
    from: Tick,
    in_flight: usize,
    unloaded: Option<f64>,
    /// When the unloaded latency was last seen or measured.
    seen: Tick,
    /// In a measurement: less is in flight, and the window decides. From then on.
    measuring: Option<Tick>,
    standing: Load,
}

impl Latency {
    /// An answer took `latency` ticks, with so many in flight. The window, when it is full.
    pub(super) fn answer(&mut self, started: Tick, now: Tick, in_flight: usize) -> Option<Window> {
        if self.measuring.is_some_and(|since| started < since) {
            return None;
        }
        if self.count == 0 {
            self.from = now;
        }
        let latency = ((now - started).max(1_000) as f64) / 1e9;
        self.log_sum += latency.ln();
        self.count += 1;
        self.in_flight = self.in_flight.max(in_flight);
        let enough = FEWEST.max(u32::try_from(self.in_flight).unwrap_or(u32::MAX));
        if self.count < enough || now - self.from < SHORTEST {
            return None;
        }
        let latency = (self.log_sum / f64::from(self.count)).exp();
        let unloaded = match self.unloaded {
            Some(known) if self.measuring.is_none() => known.min(latency),
            _ => latency,
        };
        if self.measuring.is_some() || latency <= unloaded * NEAR {
            self.seen = now;
        }
        self.unloaded = Some(unloaded);
        self.measuring = (now - self.seen > STALE).then_some(now);
        self.standing = match latency - unloaded > NOISE {
            true if latency > 2.0 * unloaded => Load::Rising,
            true if latency > 1.5 * unloaded => Load::Raised,
            _ => Load::Easy,
        };
        let window = Window {
            latency,
            unloaded,
            in_flight: self.in_flight,
        };
        (self.log_sum, self.count, self.in_flight) = (0.0, 0, 0);
        Some(window)
    }

    /// What the last window said; a rise is told once.
    pub(super) fn load(&mut self) -> Load {
        let standing = self.standing;
        if standing == Load::Rising {
            self.standing = Load::Raised;
        }
        standing
    }

    /// Whether the unloaded latency is being measured: a quarter in flight, please.
    pub(super) fn is_measuring(&self) -> bool {
        self.measuring.is_some()
    }
}
