//! Servers that count requests in the ways that are in use. All in ticks.

use super::{Tick, seconds, ticks};
use std::collections::VecDeque;

/// A second.
pub(super) const S: Tick = 1_000_000_000;

/// Answers the requests of a simulated run, in the order of their starts.
pub(super) trait Server {
    /// A request that starts `now`: when its answer is there, and, if it is
    /// refused, the wait that the refusal names (whole seconds), or none.
    fn ask(&mut self, now: Tick) -> (Tick, Option<Option<Tick>>);
    /// From now on, so many a second.
    fn set(&mut self, limit: f64);
}

fn whole_seconds(wait: Tick) -> Tick {
    (wait.max(1) + S - 1) / S * S
}

/// A token bucket: `limit` a second, and a burst.
pub(super) struct Bucket {
    limit: f64,
    burst_seconds: f64,
    tokens: f64,
    last: Tick,
    latency: Tick,
    named: bool,
}

impl Bucket {
    pub(super) fn new(limit: f64, burst: f64, latency: Tick, named: bool) -> Bucket {
        Bucket {
            limit,
            burst_seconds: burst / limit,
            tokens: burst.max(1.0),
            last: 0,
            latency,
            named,
        }
    }
}

impl Server for Bucket {
    fn ask(&mut self, now: Tick) -> (Tick, Option<Option<Tick>>) {
        let at = now + self.latency / 2;
        let burst = (self.limit * self.burst_seconds).max(1.0);
        self.tokens = (self.tokens + seconds(at - self.last) * self.limit).min(burst);
        self.last = at;
        let refusal = if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            None
        } else {
            let wait = whole_seconds(ticks((1.0 - self.tokens) / self.limit));
            Some(self.named.then_some(wait))
        };
        (now + self.latency, refusal)
    }

    fn set(&mut self, limit: f64) {
        self.limit = limit;
    }
}

/// A counter that is set to zero at the beginning of each window.
pub(super) struct Fixed {
    most: f64,
    window: Tick,
    number: Tick,
    count: f64,
    latency: Tick,
    named: bool,
}

impl Fixed {
    pub(super) fn new(limit: f64, window: Tick, latency: Tick, named: bool) -> Fixed {
        Fixed {
            most: limit * seconds(window),
            window,
            number: 0,
            count: 0.0,
            latency,
            named,
        }
    }
}

impl Server for Fixed {
    fn ask(&mut self, now: Tick) -> (Tick, Option<Option<Tick>>) {
        // The run begins somewhere in a window.
        let at = now + self.latency / 2 + self.window / 3;
        if at / self.window != self.number {
            (self.number, self.count) = (at / self.window, 0.0);
        }
        let refusal = if self.count + 1.0 <= self.most {
            self.count += 1.0;
            None
        } else {
            let wait = whole_seconds(self.window - at % self.window);
            Some(self.named.then_some(wait))
        };
        (now + self.latency, refusal)
    }

    fn set(&mut self, limit: f64) {
        self.most = limit * seconds(self.window);
    }
}

/// The accepted requests of the last window are counted.
pub(super) struct Sliding {
    most: f64,
    window: Tick,
    accepted: VecDeque<Tick>,
    latency: Tick,
    named: bool,
}

impl Sliding {
    pub(super) fn new(limit: f64, window: Tick, latency: Tick, named: bool) -> Sliding {
        Sliding {
            most: limit * seconds(window),
            window,
            accepted: VecDeque::new(),
            latency,
            named,
        }
    }
}

impl Server for Sliding {
    fn ask(&mut self, now: Tick) -> (Tick, Option<Option<Tick>>) {
        let at = now + self.latency / 2;
        while self
            .accepted
            .front()
            .is_some_and(|&t| t + self.window <= at)
        {
            self.accepted.pop_front();
        }
        let refusal = if self.accepted.len() as f64 + 1.0 <= self.most {
            self.accepted.push_back(at);
            None
        } else {
            let oldest = self.accepted.front().copied().unwrap_or(at);
            let wait = whole_seconds(oldest + self.window - at);
            Some(self.named.then_some(wait))
        };
        (now + self.latency, refusal)
    }

    fn set(&mut self, limit: f64) {
        self.most = limit * seconds(self.window);
    }
}

/// No limit, but so many requests at work at a time; the others queue.
pub(super) struct Workers {
    free_at: Vec<Tick>,
    work: Tick,
    random: fastrand::Rng,
}

impl Workers {
    pub(super) fn new(count: usize, work: Tick) -> Workers {
        Workers {
            free_at: vec![0; count],
            work,
            random: fastrand::Rng::with_seed(5),
        }
    }
}

impl Server for Workers {
    fn ask(&mut self, now: Tick) -> (Tick, Option<Option<Tick>>) {
        // From half to one and a half of the usual time.
        let work = (self.work as f64 * (0.5 + self.random.f64())) as Tick;
        let Some(worker) = self.free_at.iter_mut().min() else {
            return (now + work, None);
        };
        *worker = now.max(*worker) + work;
        (*worker, None)
    }

    fn set(&mut self, _limit: f64) {}
}

/// A server whose limit changes at times.
pub(super) struct Changing<T> {
    pub(super) server: T,
    /// When, and to what; the last one first.
    pub(super) changes: Vec<(Tick, f64)>,
}

impl<T: Server + ?Sized> Server for Box<T> {
    fn ask(&mut self, now: Tick) -> (Tick, Option<Option<Tick>>) {
        (**self).ask(now)
    }

    fn set(&mut self, limit: f64) {
        (**self).set(limit);
    }
}

impl<T: Server> Server for Changing<T> {
    fn ask(&mut self, now: Tick) -> (Tick, Option<Option<Tick>>) {
        while self.changes.last().is_some_and(|change| change.0 <= now) {
            if let Some((_, limit)) = self.changes.pop() {
                self.server.set(limit);
            }
        }
        self.server.ask(now)
    }

    fn set(&mut self, limit: f64) {
        self.server.set(limit);
    }
}
