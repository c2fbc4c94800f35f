//! `Retry-After` (RFC 9110 section 10.2.3): seconds, or an HTTP date.

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// Longer than any server means: a year.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// How long the server wants to be left alone, from `now`. `None` when it says
/// nothing usable: no header, a negative number, garbage, or a time of nothing.
/// Said several times, the longest holds.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    // An HTTP date is a date of the server's clock, which need not be ours.
    let servers_now = headers
        .get(DATE)
        .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?.trim()).ok());
    headers
        .get_all(RETRY_AFTER)
        .iter()
        .filter_map(|value| parse(value.to_str().ok()?.trim(), now, servers_now))
        .max()
        .filter(|wait| !wait.is_zero())
}

fn parse(text: &str, now: SystemTime, servers_now: Option<SystemTime>) -> Option<Duration> {
    if let Ok(until) = httpdate::parse_http_date(text) {
        let wait = match servers_now.map(|then| until.duration_since(then)) {
            // A server whose clock is years off says nothing by it.
            Some(Ok(wait)) if wait >= LONGEST => until.duration_since(now).unwrap_or_default(),
            Some(wait) => wait.unwrap_or_default(),
            None => until.duration_since(now).unwrap_or_default(),
        };
        return Some(wait.min(LONGEST));
    }
    // Gateways join repeated headers with commas.
    text.split(',').map(|part| seconds(part.trim())).max()?
}

/// A whole number, or the fraction that some servers send.
fn seconds(text: &str) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // A number too long for u64 is still a very long time.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let seconds: f64 = text.parse().ok()?;
    if !(seconds.is_finite() && seconds > 0.0) {
        return None;
    }
    Some(Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
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
            assert_eq!(read(text), Some(LONGEST), "{text}");
        }
        assert_eq!(read("Fri, 31 Dec 9999 23:59:59 GMT"), Some(LONGEST));
    }

    #[test]
    fn repeated_the_longest_holds() {
        assert_eq!(read("5, 30"), Some(Duration::from_secs(30)));
        let mut headers = HeaderMap::new();
        for text in ["7", "soon", "9", "-1"] {
            headers.append(RETRY_AFTER, text.parse().unwrap());
        }
        let wait = retry_after(&headers, SystemTime::now());
        assert_eq!(wait, Some(Duration::from_secs(9)));
    }

    #[test]
    fn a_date_is_read_by_the_servers_own_clock() {
        let mut headers = HeaderMap::new();
        let mut at = |date: &str, until: &str| {
            headers.insert(DATE, date.parse().unwrap());
            headers.insert(RETRY_AFTER, until.parse().unwrap());
            let day = Duration::from_secs(86_400);
            let now = httpdate::parse_http_date("Tue, 24 Nov 2026 10:00:00 GMT").unwrap();
            [now - day, now, now + day].map(|now| retry_after(&headers, now))
        };
        let minute = [Some(Duration::from_secs(60)); 3];
        let until = "Tue, 24 Nov 2026 10:01:00 GMT";
        assert_eq!(at("Tue, 24 Nov 2026 10:00:00 GMT", until), minute);
        assert_eq!(at("Tue, 24 Nov 2026 10:02:00 GMT", until), [None; 3]);
        // Unless that one stands at 1970, or says nothing.
        for date in ["Thu, 01 Jan 1970 00:00:00 GMT", "today"] {
            assert_eq!(at(date, until)[1], minute[1], "{date}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[ -~]{0,40}") {
            if let Some(wait) = read(&text) { prop_assert!(wait <= LONGEST && !wait.is_zero()); }
        }
    }
}
