//! What goes wrong on request.
//!
//! Owns the draw: whether a request fails, and how. The same seed draws the
//! same faults in the same order. Must never touch a connection; carrying a
//! fault out is the server's part.

use fastrand::Rng;
use std::sync::{Mutex, PoisonError};

/// One way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// 500, 502 or 503, without `Retry-After`.
    Status(u16),
    /// The connection is reset, without an answer.
    Reset,
    /// The body ends in the middle of what `Content-Length` promised.
    Cut,
}

impl Fault {
    const ALL: [Self; 5] = [
        Self::Status(500),
        Self::Status(502),
        Self::Status(503),
        Self::Reset,
        Self::Cut,
    ];

    /// What the log calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Status(500) => "500",
            Self::Status(502) => "502",
            Self::Status(503) => "503",
            Self::Status(_) => "status",
            Self::Reset => "reset",
            Self::Cut => "cut",
        }
    }
}

/// The faults of one server.
#[derive(Debug)]
pub(super) struct Faults {
    rate: f64,
    rng: Mutex<Rng>,
}

impl Faults {
    /// A share of `rate` fails; the seed says which and how.
    pub(super) fn new(rate: f64, seed: u64) -> Self {
        Self {
            rate,
            rng: Mutex::new(Rng::with_seed(seed)),
        }
    }

    /// Whether the next request fails, and how.
    pub(super) fn draw(&self) -> Option<Fault> {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        // The kind is drawn either way: then a higher rate only adds faults to
        // those of a lower one, and runs at two rates can be compared.
        let struck = rng.f64() < self.rate;
        let kind = rng.choice(Fault::ALL);
        kind.filter(|_| struck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_and_the_seed_hold() {
        let draw = |rate, seed| {
            let faults = Faults::new(rate, seed);
            (0..10_000).map(move |_| faults.draw()).collect::<Vec<_>>()
        };
        assert!(draw(0.0, 1).iter().all(Option::is_none));
        assert!(draw(f64::NAN, 1).iter().all(Option::is_none));
        assert!(draw(1.0, 1).iter().all(Option::is_some));
        let tenth = draw(0.1, 7);
        let struck = tenth.iter().flatten().count();
        assert!((800..1_200).contains(&struck), "{struck} of 10,000");
        for kind in Fault::ALL {
            assert!(tenth.contains(&Some(kind)), "{kind:?}");
        }
        assert_eq!(tenth, draw(0.1, 7));
        assert_ne!(tenth, draw(0.1, 8));
    }
}
