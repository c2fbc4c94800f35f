//! What the pacer keeps across runs: the notes, and what was learnt.

use super::super::auto::AutoRate;
use super::super::concurrency::Vegas;
use super::super::turn::{Found, Now, PauseReason};
use super::super::{Learnt, Note, Tick, Uptime, nanos, past};
use super::Pacer;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl Pacer {
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
        if let Some(last) = notes.last() {
            self.resume_from(&last.learnt, tick);
        }
        if !past.pause.is_zero() {
            let until = tick.saturating_add(nanos(past.pause));
            self.pause = Some((until, PauseReason::Inherited));
        }
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
            learnt: self.learnt(),
        }
    }

    fn learnt(&self) -> Learnt {
        let found = self.found();
        let (limit, window) = found.announced.unwrap_or_default();
        Learnt {
            rate_milli: found.rate.map_or(0, |rate| (rate * 1e3) as u64),
            concurrency: found
                .concurrency
                .map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX)),
            limit,
            window_ms: window.map_or(0, |w| u64::try_from(w.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Begins where an earlier run was.
    fn resume_from(&mut self, learnt: &Learnt, tick: Tick) {
        if let Some(auto) = &mut self.auto
            && learnt.rate_milli > 0
        {
            *auto = AutoRate::new(Some(learnt.rate_milli as f64 / 1e3), tick);
        }
        if let Some(vegas) = &mut self.vegas
            && learnt.concurrency > 0
        {
            *vegas = Vegas::new(usize::try_from(learnt.concurrency).ok());
        }
        if learnt.limit > 0 {
            let window = (learnt.window_ms > 0).then(|| Duration::from_millis(learnt.window_ms));
            self.announced = Some((learnt.limit, window));
        }
    }

    /// What has been found of the server's limits.
    pub fn found(&self) -> Found {
        Found {
            rate: self.auto.as_ref().and_then(AutoRate::found),
            limit_seen: self.auto.as_ref().is_some_and(AutoRate::is_settled),
            concurrency: self.vegas.as_ref().map(Vegas::limit),
            announced: self.announced,
            refused: self.refused,
        }
    }

    /// Starts a second at present, where the pace finds itself.
    pub fn auto_speed(&self, now: Now) -> Option<f64> {
        let tick = self.tick(now);
        self.auto.as_ref().map(|auto| auto.speed(tick))
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
