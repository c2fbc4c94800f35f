//! The IDs that ask for a certain answer.
//!
//! Owns what each of them gets. Must never know who asks: whoever may ask for
//! an item may ask for these.

use super::answer::Answer;
use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a URL leaves as it is: RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Service unavailable</title></head>\
    <body><h1>Please try again later</h1></body></html>\n";

/// The answer to an ID that asks for a certain one.
pub(super) fn special(id: &str, folder: &str, query: Option<&str>) -> Option<Answer> {
    if let Some(target) = id.strip_prefix("redirect-").filter(|rest| !rest.is_empty()) {
        let target = utf8_percent_encode(target, SEGMENT);
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let target = HeaderValue::try_from(format!("{folder}/{target}{query}")).ok()?;
        return Some(Answer::error(StatusCode::FOUND, "Found").with(LOCATION, target));
    }
    if let Some(digits) = id.strip_prefix("status-").filter(|rest| rest.len() == 3) {
        // 1xx is no answer, and would hang the client.
        let code = digits.parse().ok().filter(|code| (200..600).contains(code));
        let status = StatusCode::from_u16(code?).ok()?;
        let answer = Answer::error(status, Answer::reason(status));
        return Some(match status.as_u16() {
            429 | 503 => answer.retry_after(1),
            _ => answer,
        });
    }
    Some(match id {
        "204" => Answer::bare(StatusCode::NO_CONTENT),
        "empty" => Answer::bare(StatusCode::OK),
        "html" => Answer::typed(StatusCode::OK, "text/html; charset=utf-8", PAGE),
        "malformed" => Answer::json(
            StatusCode::OK,
            "{\n  \"id\": \"malformed\",\n  \"name\": \"cu",
        ),
        "huge" => Answer::json(StatusCode::OK, format!("\"{}\"", "x".repeat(1 << 20))),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn special_ids_give_what_they_name() {
        let ask = |id: &str| special(id, "/things", Some("q=1")).unwrap();
        let moved = ask("redirect-a b");
        assert_eq!(moved.status, 302);
        let location = moved.headers.iter().find(|(name, _)| name == LOCATION);
        assert_eq!(location.unwrap().1, "/things/a%20b?q=1");
        for (id, wanted) in [
            ("status-404", 404),
            ("status-599", 599),
            ("status-204", 204),
            ("204", 204),
        ] {
            assert_eq!(ask(id).status.as_u16(), wanted, "{id}");
        }
        for (id, waits) in [("status-429", 1), ("status-503", 1), ("status-500", 0)] {
            let retry = ask(id).headers.iter().filter(|(_, v)| v == "1").count();
            assert_eq!(retry, waits, "{id}");
        }
        assert!(ask("empty").body.is_empty());
        assert!(ask("html").body.starts_with(b"<!DOCTYPE html>"));
        assert!(serde_json::from_slice::<Value>(&ask("malformed").body).is_err());
        let huge: String = serde_json::from_slice(&ask("huge").body).unwrap();
        assert_eq!(huge.len(), 1 << 20);
        for id in [
            "status-100",
            "status-600",
            "status-+20",
            "status-2000",
            "redirect-",
            "404",
        ] {
            assert!(special(id, "", None).is_none(), "{id}");
        }
    }
}
