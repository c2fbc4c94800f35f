//! `Retry-After` (RFC 9110 section 10.2.3): seconds, or an HTTP date.

use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// Longer than any server means: a year.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// How long the server wants to be left alone, from `now`. `None` when it says
/// nothing usable: no header, a negative number, garbage, or a time of nothing.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    parse(text, now).filter(|wait| !wait.is_zero())
}

fn parse(text: &str, now: SystemTime) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // A number too long for u64 is still a very long time.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    // Some servers send fractions.
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds)
            .ok()
            .map(|wait| wait.min(LONGEST));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(now).unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<Duration> {
        let now = httpdate::parse_http_date("Tue, 24 Nov 2026 10:00:00 GMT").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        retry_after(&headers, now)
    }

    #[test]
    fn seconds_and_http_dates_are_read() {
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(read("1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(
            read("Tue, 24 Nov 2026 10:00:30 GMT"),
            Some(Duration::from_secs(30))
        );
    }

    #[test]
    fn nonsense_says_nothing_and_huge_is_a_year() {
        for text in [
            "",
            "-1",
            "soon",
            "0",
            "NaN",
            "Tue, 24 Nov 2026 09:00:00 GMT",
            "-1.5",
            "1e",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        for text in ["99999999999999999999999", "1e300", "400000000"] {
            assert!(read(text).is_none_or(|w| w == LONGEST), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[ -~]{0,40}") {
            if let Some(wait) = read(&text) { prop_assert!(wait <= LONGEST && !wait.is_zero()); }
        }
    }
}
