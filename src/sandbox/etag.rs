//! Conditional requests (RFC 9110 section 13.1.2): a body has an ETag, and who
//! has it already gets 304 and no body.
//!
//! Owns the comparison. Must never look at anything but the body and the headers.

use super::answer::Answer;
use hyper::StatusCode;
use hyper::header::{ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use xxhash_rust::xxh3::xxh3_64;

/// The same answer with the ETag of its body; 304 without it when the request has that one.
pub(super) fn conditional(headers: &HeaderMap, answer: Answer) -> Answer {
    if answer.status != StatusCode::OK {
        return answer;
    }
    let etag = format!("\"{:016x}\"", xxh3_64(&answer.body));
    let Ok(value) = HeaderValue::from_str(&etag) else {
        return answer;
    };
    let known = headers.get_all(IF_NONE_MATCH).iter();
    if known
        .filter_map(|v| v.to_str().ok())
        .any(|list| names(list, &etag))
    {
        return Answer::bare(StatusCode::NOT_MODIFIED).with(ETAG, value);
    }
    answer.with(ETAG, value)
}

/// Whether a list of ETags names this one, weak or strong (section 8.8.3.2).
fn names(list: &str, etag: &str) -> bool {
    list.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_body_gets_none() {
        let answer = || Answer::json(StatusCode::OK, "{\"id\":1}");
        let first = conditional(&HeaderMap::new(), answer());
        assert_eq!(first.status, StatusCode::OK);
        let (_, etag) = first.headers.iter().find(|(name, _)| name == ETAG).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, etag.clone());
        let second = conditional(&headers, answer());
        assert_eq!(second.status, StatusCode::NOT_MODIFIED);
        assert!(second.body.is_empty());
        headers.insert(IF_NONE_MATCH, "\"another\"".parse().unwrap());
        assert_eq!(conditional(&headers, answer()).status, StatusCode::OK);
        let many = format!("\"another\", W/{}", etag.to_str().unwrap());
        headers.insert(IF_NONE_MATCH, many.parse().unwrap());
        assert_eq!(
            conditional(&headers, answer()).status,
            StatusCode::NOT_MODIFIED
        );
    }
}
