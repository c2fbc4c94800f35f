//! Wall-clock times as this program writes them.
//!
//! Owns the two spellings: RFC 3339 with milliseconds, and Unix milliseconds.
//! Must never fail or panic, whatever the clock says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last moment that RFC 3339 can spell: 9999-12-31T23:59:59.999Z.
const LAST: Duration = Duration::from_millis(253_402_300_799_999);

/// RFC 3339 in UTC with milliseconds; a time that it can't spell becomes the nearest one that it can.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .min(LAST);
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// Milliseconds since the Unix epoch; 0 before it.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_does_not_panic() {
        assert_eq!(
            rfc3339(UNIX_EPOCH - Duration::from_secs(9)),
            "1970-01-01T00:00:00.000Z"
        );
        assert_eq!(
            rfc3339(UNIX_EPOCH + LAST + Duration::from_secs(9)),
            "9999-12-31T23:59:59.999Z"
        );
        assert_eq!(
            rfc3339(UNIX_EPOCH + Duration::from_millis(1)),
            "1970-01-01T00:00:00.001Z"
        );
        assert_eq!(unix_ms(UNIX_EPOCH - Duration::from_secs(9)), 0);
    }
}
