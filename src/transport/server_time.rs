//! Times that a server names, as lengths of time from now.
//!
//! Owns the question whose clock a moment is read by: the server's own, where
//! its `Date` header tells it. Must never give a length longer than a year.

use reqwest::header::{DATE, HeaderMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longer than any server means: a year.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Unix seconds from 2001 to 2286; as a number of seconds to wait, 31 years and more.
const EPOCH_SECONDS: std::ops::Range<f64> = 1e9..1e10;
/// The same in milliseconds.
const EPOCH_MILLIS: std::ops::Range<f64> = 1e12..1e13;

/// Both clocks at the moment of an answer.
pub(super) struct Clocks {
    ours: SystemTime,
    servers: Option<SystemTime>,
}

impl Clocks {
    /// Ours is at `now`; the server's is in its `Date`.
    pub(super) fn at(headers: &HeaderMap, now: SystemTime) -> Clocks {
        let servers = headers
            .get(DATE)
            .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?.trim()).ok());
        Clocks { ours: now, servers }
    }

    /// From now until that moment of the server's clock; zero when it is over.
    pub(super) fn until(&self, moment: SystemTime) -> Duration {
        let by_ours = || moment.duration_since(self.ours).unwrap_or_default();
        let wait = match self.servers.map(|then| moment.duration_since(then)) {
            // A server whose clock is years off says nothing by it.
            Some(Ok(wait)) if wait >= LONGEST => by_ours(),
            Some(wait) => wait.unwrap_or_default(),
            None => by_ours(),
        };
        wait.min(LONGEST)
    }

    /// A moment in one of the spellings in use: an HTTP date, Unix seconds or milliseconds.
    pub(super) fn until_text(&self, text: &str) -> Option<Duration> {
        if let Ok(moment) = httpdate::parse_http_date(text) {
            return Some(self.until(moment));
        }
        let number: f64 = number(text)?;
        let since = if EPOCH_SECONDS.contains(&number) {
            Duration::from_secs_f64(number)
        } else if EPOCH_MILLIS.contains(&number) {
            Duration::from_secs_f64(number / 1e3)
        } else {
            return None;
        };
        Some(self.until(UNIX_EPOCH.checked_add(since)?))
    }
}

/// A number that is not negative: digits, or the fraction that some servers send.
pub(super) fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let number: f64 = text.parse().ok()?;
    // Digits without an end are a very large number, and not an infinite one.
    let number = if plain { number.min(f64::MAX) } else { number };
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// So many seconds, a year at most.
pub(super) fn seconds(number: f64) -> Duration {
    Duration::from_secs_f64(number.clamp(0.0, LONGEST.as_secs_f64()))
}
