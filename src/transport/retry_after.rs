//! `Retry-After` (RFC 9110 section 10.2.3): seconds, or an HTTP date. And its
//! dialects: a Unix time, and `Retry-After-Ms` in milliseconds beside it.

use super::server_time::{Clocks, number, seconds};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// Milliseconds (Azure, OpenAI).
const IN_MILLIS: [&str; 2] = ["retry-after-ms", "x-ms-retry-after-ms"];

/// How long the server wants to be left alone, from `now`. `None` when it says
/// nothing usable: no header, a negative number, garbage, or a time of nothing.
/// Said several times, the longest holds.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let mut clocks = None;
    let in_words = headers.get_all(RETRY_AFTER).iter().filter_map(|value| {
        let clocks = clocks.get_or_insert_with(|| Clocks::at(headers, now));
        parse(value.to_str().ok()?.trim(), clocks)
    });
    let longest = in_words.max();
    let in_millis = IN_MILLIS
        .iter()
        .flat_map(|name| headers.get_all(*name))
        .filter_map(|value| number(value.to_str().ok()?.trim()))
        .map(|millis| seconds(millis / 1e3));
    in_millis
        .chain(longest)
        .max()
        .filter(|wait| !wait.is_zero())
}

fn parse(text: &str, clocks: &Clocks) -> Option<Duration> {
    if let Some(wait) = clocks.until_text(text) {
        return Some(wait);
    }
    // Gateways join repeated headers with commas.
    text.split(',')
        .map(|part| number(part.trim()).map(seconds))
        .max()?
}

#[cfg(test)]
mod tests {
    use super::super::server_time::LONGEST;
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
    fn unix_times_and_milliseconds_are_read() {
        // 1795514400 is Tue, 24 Nov 2026 10:00:00 GMT.
        assert_eq!(read("1795514430"), Some(Duration::from_secs(30)));
        assert_eq!(read("1795514430000"), Some(Duration::from_secs(30)));
        assert_eq!(read("1795514370"), None);
        let mut headers = HeaderMap::new();
        headers.insert("retry-after-ms", "1500".parse().unwrap());
        let wait = |headers: &HeaderMap| retry_after(headers, SystemTime::now());
        assert_eq!(wait(&headers), Some(Duration::from_millis(1500)));
        headers.insert(RETRY_AFTER, "2".parse().unwrap());
        assert_eq!(wait(&headers), Some(Duration::from_secs(2)));
        headers.insert("retry-after-ms", "-5".parse().unwrap());
        headers.remove(RETRY_AFTER);
        assert_eq!(wait(&headers), None);
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
            headers.insert(reqwest::header::DATE, date.parse().unwrap());
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
