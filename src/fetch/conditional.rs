//! Conditional requests (RFC 9110 section 13): what is sent along to be told
//! only of news, and what is kept of an answer to do so the next time.
//!
//! Owns the four headers. A validator belongs to the URL that gave it, so both
//! are for an item's own URL alone: behind a redirect nothing is asked
//! conditionally, and nothing is kept. Must never change a
//! validator, and never keep one that holds a credential.

use crate::outcome::Validators;
use reqwest::header::{
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};

/// A longer validator is not kept: it would take more room than many a body.
const LONGEST: usize = 1024;

/// Asks for the body only when it is another than the one these belong to.
/// Whether there is anything to ask with.
pub(super) fn ask(headers: &mut HeaderMap, known: Option<&Validators>) -> bool {
    let Some(known) = known else {
        return false;
    };
    let mut asked = false;
    for (name, value) in [
        (IF_NONE_MATCH, &known.etag),
        // Read by servers that know no ETags; the others must ignore it (section 13.1.3).
        (IF_MODIFIED_SINCE, &known.last_modified),
    ] {
        if let Some(value) = value
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            headers.insert(name, value);
            asked = true;
        }
    }
    asked
}

/// What an answer calls its version.
pub(super) fn validators(headers: &HeaderMap) -> Validators {
    let kept = |name: HeaderName| {
        let value = headers.get(name)?.as_bytes();
        (1..=LONGEST).contains(&value.len()).then(|| value.into())
    };
    Validators {
        etag: kept(ETAG),
        last_modified: kept(LAST_MODIFIED),
    }
}

/// Leaves out what holds a credential: validators are written to a file.
pub(super) fn drop_secrets(known: &mut Validators, holds_secret: impl Fn(&[u8]) -> bool) {
    for value in [&mut known.etag, &mut known.last_modified] {
        if value.as_ref().is_some_and(|value| holds_secret(value)) {
            *value = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_said_is_asked_with_byte_for_byte() {
        let mut answer = HeaderMap::new();
        answer.insert(ETAG, HeaderValue::from_bytes(b"W/\"\xe9 1\"").unwrap());
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        answer.insert(LAST_MODIFIED, HeaderValue::from_static(date));
        let known = validators(&answer);
        let mut request = HeaderMap::new();
        assert!(ask(&mut request, Some(&known)));
        assert_eq!(
            request.get(IF_NONE_MATCH).unwrap().as_bytes(),
            b"W/\"\xe9 1\""
        );
        assert_eq!(request.get(IF_MODIFIED_SINCE).unwrap(), date);
    }

    #[test]
    fn without_validators_nothing_is_conditional() {
        let mut answer = HeaderMap::new();
        answer.insert(ETAG, "x".repeat(LONGEST + 1).parse().unwrap());
        answer.insert(LAST_MODIFIED, HeaderValue::from_static(""));
        let known = validators(&answer);
        assert!(known.is_empty());
        let mut request = HeaderMap::new();
        assert!(!ask(&mut request, Some(&known)));
        assert!(!ask(&mut request, None));
        assert!(request.is_empty());
    }
}
