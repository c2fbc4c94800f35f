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
/// So many windows that stay slow while the run goes slower: it is not the run.
const IN_VAIN: u32 = 8;
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
    /// Windows in a row with a rise.
    rises: u32,
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
        self.standing = match latency - unloaded > NOISE {
            true if latency > 2.0 * unloaded => Load::Rising,
            true if latency > 1.5 * unloaded => Load::Raised,
            _ => Load::Easy,
        };
        self.rises = match self.standing {
            Load::Rising => self.rises + 1,
            _ => 0,
        };
        let stale = now - self.seen > STALE || self.rises > IN_VAIN;
        self.measuring = stale.then_some(now);
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Tick = 1_000_000;

    /// `count` answers of `ms` each, one every ms: the rises told, and the last window.
    fn answers(
        latency: &mut Latency,
        now: &mut Tick,
        count: u32,
        ms: Tick,
    ) -> (u32, Option<Window>) {
        let (mut rises, mut last) = (0, None);
        for _ in 0..count {
            *now += MS;
            last = latency.answer(*now - ms * MS, *now, 4).or(last);
            rises += u32::from(latency.load() == Load::Rising);
        }
        (rises, last)
    }

    #[test]
    fn a_rise_is_told_once_a_window_and_one_slow_answer_is_none() {
        let (mut latency, mut now) = (Latency::default(), 10_000 * MS);
        assert_eq!(answers(&mut latency, &mut now, 1_000, 20).0, 0);
        // One answer of 10 s among 200 quick ones.
        latency.answer(now - 10_000 * MS, now, 4);
        assert_eq!(answers(&mut latency, &mut now, 1_000, 20).0, 0);
        let (rises, window) = answers(&mut latency, &mut now, 1_000, 60);
        assert!((3..=6).contains(&rises), "{rises}");
        let window = window.unwrap();
        assert!((window.latency - 0.06).abs() < 1e-6 && (window.unloaded - 0.02).abs() < 1e-3);
    }

    #[test]
    fn a_server_that_is_just_slower_now_slows_the_run_for_a_while_only() {
        let (mut latency, mut now) = (Latency::default(), 10_000 * MS);
        answers(&mut latency, &mut now, 1_000, 20);
        let (rises, _) = answers(&mut latency, &mut now, 20_000, 80);
        assert!((5..=10).contains(&rises), "{rises} rises");
        let (rises, window) = answers(&mut latency, &mut now, 5_000, 80);
        assert_eq!(rises, 0);
        assert!((window.unwrap().unloaded - 0.08).abs() < 1e-3);
    }
}
