//! Troubles that are not refusals (a 503 without a word, a time-out, a lost
//! connection): whether going slower helps against them.
//!
//! A server that has too much fails less when it is asked less; a bad line
//! fails as before. So a run that is in trouble goes slower once, looks at what
//! that changed, and takes it back if that was nothing. Owns that judgement.
//! Must never decide how fast to go.

use super::Tick;

/// So many answers show a share …
const ANSWERS: u32 = 100;
/// … and above this one, something is wrong with more than an item or two.
const STRAINED: f64 = 0.15;
/// A share that is not down to this part of what it was has not changed.
const HELPED: f64 = 0.6;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Advice {
    /// Nothing.
    Stay,
    /// Go slower: this share of the answers was trouble.
    Slower(f64),
    /// It did not help: back to this speed.
    Back(f64),
}

/// The answers since the last advice.
#[derive(Debug, Default)]
pub(super) struct Strain {
    answers: u32,
    troubles: u32,
    /// Requests from before this moment say nothing about the present speed.
    since: Tick,
    /// Slower for a try: the share and the speed before.
    trying: Option<(f64, f64)>,
    /// A share that slowness does not mend.
    tolerated: f64,
}

impl Strain {
    /// An answer to a request that started at `started` came in, at a speed of
    /// so many starts a second.
    pub(super) fn answer(&mut self, trouble: bool, started: Tick, now: Tick, speed: f64) -> Advice {
        if started < self.since {
            return Advice::Stay;
        }
        self.answers += 1;
        self.troubles += u32::from(trouble);
        if self.answers < ANSWERS {
            return Advice::Stay;
        }
        let share = f64::from(self.troubles) / f64::from(self.answers);
        (self.answers, self.troubles) = (0, 0);
        match self.trying.take() {
            Some((before, speed)) if share > before * HELPED => {
                self.tolerated = (before.max(share) * 1.5).min(0.9);
                self.since = now;
                Advice::Back(speed)
            }
            Some(_) => Advice::Stay,
            None if share > STRAINED.max(self.tolerated) => {
                self.trying = Some((share, speed));
                self.since = now;
                Advice::Slower(share)
            }
            None => {
                // A line that gets better is believed again, slowly.
                self.tolerated *= 0.98;
                Advice::Stay
            }
        }
    }

    /// Everything since is another matter: an outage, a pause.
    pub(super) fn forget(&mut self, now: Tick) {
        (self.answers, self.troubles, self.trying) = (0, 0, None);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 s of a server or line that fails so many at a speed: the average speed.
    fn against(fails: impl Fn(f64) -> f64) -> f64 {
        let mut strain = Strain::default();
        let mut random = fastrand::Rng::with_seed(1);
        let (mut speed, mut now, mut starts) = (100.0, 0.0_f64, 0);
        while now < 100.0 {
            let tick = (now * 1e9) as Tick;
            match strain.answer(random.f64() < fails(speed), tick, tick, speed) {
                Advice::Stay => {}
                Advice::Slower(_) => speed *= 0.5,
                Advice::Back(before) => speed = before,
            }
            // The pace looks upward again by itself.
            speed = (speed * 1.001).min(100.0);
            now += 1.0 / speed;
            starts += 1;
        }
        f64::from(starts) / 100.0
    }

    #[test]
    fn a_bad_line_is_not_made_slow_and_a_server_with_too_much_is_asked_less() {
        let line = against(|_| 0.3);
        assert!(line > 85.0, "{line}");
        assert!(against(|_| 0.05) > 99.0);
        let server = against(|speed| (1.0 - 40.0 / speed).max(0.0));
        assert!((25.0..50.0).contains(&server), "{server}");
    }
}
