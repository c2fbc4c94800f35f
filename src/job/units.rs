//! The small languages of the job file's values: rates, shares, lengths of time, sizes.
//!
//! Each error says what is expected and never repeats the text it was given,
//! because that text may have come from the environment.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// No length of time in a job is longer, so that adding one to a clock cannot overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Why a rate, a length of time, or a size could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(&'static str);

const RATE_EXPECTED: UnitError = UnitError(
    "expected requests per window, such as `10/s`, `600/m`, `5000/h`, `10000/d` or `180/30s`, or `auto`",
);
const DURATION_EXPECTED: UnitError =
    UnitError("expected a length of time, such as `500ms`, `30s`, `5m` or `1h 30m`");
const SIZE_EXPECTED: UnitError =
    UnitError("expected a size, such as `16 MiB`, `500 kB` or `1048576` (bytes)");

/// A quota: in no window of this length do more than `count` requests start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests in one window at most; at least 1.
    pub count: u32,
    /// The window's length; never zero.
    pub window: Duration,
}

/// Unit names of a rate's window, the largest first, with their length in milliseconds.
const WINDOW_UNITS: [(&[&str], u64); 5] = [
    (&["d", "day", "days"], 86_400_000),
    (&["h", "hour", "hours"], 3_600_000),
    (&["m", "min", "minute", "minutes"], 60_000),
    (&["s", "sec", "second", "seconds"], 1_000),
    (&["ms"], 1),
];

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Rate, UnitError> {
        let (count, window) = text.split_once('/').ok_or(RATE_EXPECTED)?;
        let count = digits(count.trim()).ok_or(RATE_EXPECTED)?;
        if count == 0 {
            return Err(UnitError("a rate of 0 would never send anything"));
        }
        let count =
            u32::try_from(count).map_err(|_| UnitError("a rate counts up to 4294967295"))?;
        let window = window.trim();
        let unit_at = window
            .find(|c: char| !c.is_ascii_digit())
            .ok_or(RATE_EXPECTED)?;
        let (number, unit) = window.split_at(unit_at);
        let number = match number {
            "" => 1,
            number => digits(number).ok_or(RATE_EXPECTED)?,
        };
        let unit = unit.trim_start();
        let (_, milliseconds) = WINDOW_UNITS
            .iter()
            .find(|(names, _)| names.contains(&unit))
            .ok_or(RATE_EXPECTED)?;
        if number == 0 {
            return Err(UnitError("a rate needs a window longer than 0"));
        }
        let window = number
            .checked_mul(*milliseconds)
            .map(Duration::from_millis)
            .filter(|window| *window <= LONGEST)
            .ok_or(UnitError("a rate's window is at most 366 days"))?;
        Ok(Rate { count, window })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.window.as_millis();
        for (names, unit) in WINDOW_UNITS {
            let unit = u128::from(unit);
            if let Some(name) = names.first()
                && milliseconds >= unit
                && milliseconds.is_multiple_of(unit)
            {
                return match milliseconds / unit {
                    1 => write!(f, "{}/{name}", self.count),
                    number => write!(f, "{}/{number}{name}", self.count),
                };
            }
        }
        write!(f, "{}/{:?}", self.count, self.window)
    }
}

/// One of a job's rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// `auto`: what the server bears.
    Auto,
    /// A quota.
    Quota(Rate),
}

impl FromStr for Pace {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Pace, UnitError> {
        match text.trim() {
            "auto" => Ok(Pace::Auto),
            _ => text.parse().map(Pace::Quota),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::Auto => f.write_str("auto"),
            Pace::Quota(rate) => rate.fmt(f),
        }
    }
}

/// `[limits] concurrency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// `auto`: as many as the server's latency allows.
    Auto,
    /// So many at most.
    AtMost(usize),
}

impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Concurrency::Auto => f.write_str("auto"),
            Concurrency::AtMost(number) => number.fmt(f),
        }
    }
}

/// `[limits] quarantine`: when so many of so many items one after another fail
/// in the same way, it is not the items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantine {
    /// Items that failed in the same way; at least 2.
    pub failures: u32,
    /// … of so many; at least `failures`, at most 10,000.
    pub items: u32,
}

const QUARANTINE_EXPECTED: UnitError = UnitError(
    "expected failures of items, such as `95/100` (95 of 100 items failed in the same way), or `off`",
);

impl FromStr for Quarantine {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Quarantine, UnitError> {
        let (failures, items) = text.split_once('/').ok_or(QUARANTINE_EXPECTED)?;
        let number = |text: &str| {
            let number = digits(text.trim()).ok_or(QUARANTINE_EXPECTED)?;
            u32::try_from(number).map_err(|_| QUARANTINE_EXPECTED)
        };
        let (failures, items) = (number(failures)?, number(items)?);
        if failures < 2 {
            return Err(UnitError(
                "one failure is no pattern: at least 2 are needed",
            ));
        }
        if failures > items {
            return Err(UnitError("more failures than items can never be reached"));
        }
        if items > 10_000 {
            return Err(UnitError("a quarantine looks at 10000 items at most"));
        }
        Ok(Quarantine { failures, items })
    }
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.failures, self.items)
    }
}

/// Reads a length of time such as `30s`, `500ms` or `1h 30m`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let length = humantime::parse_duration(text.trim()).map_err(|_| DURATION_EXPECTED)?;
    if length > LONGEST {
        return Err(UnitError("a length of time is at most 366 days"));
    }
    Ok(length)
}

/// Bytes by unit name; the first name of each row is how it is usually written.
const SIZE_UNITS: [(&[&str], u64); 7] = [
    (&["", "B"], 1),
    (&["kB", "KB"], 1_000),
    (&["MB"], 1_000_000),
    (&["GB"], 1_000_000_000),
    (&["KiB"], 1 << 10),
    (&["MiB"], 1 << 20),
    (&["GiB"], 1 << 30),
];

/// Reads a number of bytes such as `16 MiB`, `500 kB`, `1.5 GB` or `1048576`.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = unit.trim_start();
    let (_, bytes) = SIZE_UNITS
        .iter()
        .find(|(names, _)| names.contains(&unit))
        .ok_or(SIZE_EXPECTED)?;
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if (1..=9).contains(&fraction.len()) => (whole, fraction),
        Some(_) => return Err(SIZE_EXPECTED),
        None => (number, "0"),
    };
    let whole = digits(whole).ok_or(SIZE_EXPECTED)?;
    let scale = fraction.bytes().fold(1, |scale, _| scale * 10);
    let fraction = digits(fraction).ok_or(SIZE_EXPECTED)?;
    let size =
        u128::from(whole) * u128::from(*bytes) + u128::from(fraction) * u128::from(*bytes) / scale;
    u64::try_from(size).map_err(|_| UnitError("a size of more than 16 EiB is too large"))
}

/// A number in plain ASCII digits: no sign, no separators.
fn digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests;
