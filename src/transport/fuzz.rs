//! What must hold for any `Retry-After`, and for any server's words.

use super::{budget, holds, redact, retry_after as read};
use crate::fuzzing::first_line;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time now in Unix seconds, then the header's value: a wait is over zero and at most a year.
pub fn retry_after(bytes: &[u8]) {
    let Some((now, value)) = first_line(bytes) else {
        return;
    };
    let seconds: i64 = now.parse().unwrap_or(0);
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let now = match seconds {
        0.. => UNIX_EPOCH.checked_add(distance),
        _ => UNIX_EPOCH.checked_sub(distance),
    };
    let Ok(value) = HeaderValue::from_bytes(value) else {
        return; // no header has such a value
    };
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, value.clone());
    let wait = read(&headers, now.unwrap_or(SystemTime::now()));
    let longest = Duration::from_secs(366 * 24 * 3600);
    assert!(wait.is_none_or(|wait| !wait.is_zero() && wait <= longest));
    let plain: Option<u64> = value
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| text.parse().ok());
    // Ten digits and more may be a Unix time.
    if let Some(seconds) = plain.filter(|seconds| (1..1_000_000_000).contains(seconds)) {
        assert_eq!(wait, Some(Duration::from_secs(seconds).min(longest)));
    }
}

/// The time now in Unix seconds, then header lines `name: value`: what is
/// announced is over no sooner than now and no later than in a year.
pub fn rate_headers(bytes: &[u8]) {
    let Some((now, lines)) = first_line(bytes) else {
        return;
    };
    let seconds: u64 = now.parse().unwrap_or(0);
    let now = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').take(40) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    if let Some(said) = budget(&headers, now.unwrap_or(SystemTime::now())) {
        let longest = Duration::from_secs(366 * 24 * 3600);
        assert!(said.reset.is_none_or(|r| !r.is_zero() && r <= longest));
        assert!(said.window.is_none_or(|w| !w.is_zero() && w <= longest));
        if let (Some(left), Some(limit)) = (said.left, said.limit) {
            assert!(left <= limit || limit == 0);
        }
    }
}

/// Secrets, with tabs between them, then what a server says: nothing of what
/// it says that is still shown has a secret in it.
pub fn redaction(bytes: &[u8]) {
    let Some((secrets, text)) = first_line(bytes) else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    let secrets: Vec<&str> = secrets
        .split('\t')
        .filter(|s| s.chars().count() >= 4)
        .collect();
    let shown = redact(&text, secrets.iter().map(|secret| secret.as_bytes()));
    assert!(shown.chars().count() <= 300 && !shown.contains(char::is_control));
    // Our own mark is not the server's word.
    for said in shown.split("[redacted]") {
        for secret in &secrets {
            assert!(!said.contains(secret), "{secret:?} in {shown:?}");
        }
        assert!(!holds(said, secrets.iter().map(|secret| secret.as_bytes())));
    }
}
