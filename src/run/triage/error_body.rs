//! A record that may be none: an answer of success whose body is an error.
//!
//! Owns what such a body looks like. One of them is a record like any other (an
//! item may well be called an error); only when nearly every item gets one does
//! [`super::quarantine`] stop the run.

use crate::fetch::Trouble;
use crate::outcome::{Reason, Record};

/// Longer bodies say more than that something failed.
const LONGEST: usize = 16 * 1024;

/// What is suspicious about the record: its body is a JSON object whose first
/// key is `error` or `errors`, with something in it. The words in it are not
/// repeated: they may be anything.
pub(super) fn error_body(record: &Record) -> Option<Trouble> {
    let key = ["error", "errors"].into_iter().find(|key| {
        let rest = record.body.strip_prefix(b"{\"");
        let rest = rest.and_then(|rest| rest.strip_prefix(key.as_bytes()));
        rest.and_then(|rest| rest.strip_prefix(b"\":"))
            .is_some_and(says_something)
    })?;
    let status = record.status;
    (record.body.len() <= LONGEST).then(|| Trouble {
        status: Some(status),
        reason: Reason::MalformedBody,
        message: format!("HTTP {status} with an object that begins with `{key}`"),
    })
}

/// The value that begins here is not empty, and not a way to say "no error".
fn says_something(value: &[u8]) -> bool {
    let nothing: [&[u8]; 6] = [b"null", b"false", b"\"\"", b"[]", b"{}", b"0"];
    !nothing.iter().any(|empty| {
        value
            .strip_prefix(*empty)
            .is_some_and(|rest| matches!(rest.first(), None | Some(b',' | b'}')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn is_error(body: &str) -> bool {
        let record = Record {
            status: 200,
            fetched_at: UNIX_EPOCH,
            body: body.to_owned().into(),
            validators: Default::default(),
        };
        error_body(&record).is_some()
    }

    #[test]
    fn an_object_that_begins_with_an_error_is_one() {
        for body in [
            r#"{"error":"invalid session"}"#,
            r#"{"errors":[{"message":"quota"}],"data":null}"#,
            r#"{"error":{"code":7}}"#,
            r#"{"error":1}"#,
            r#"{"error":true,"id":"a"}"#,
        ] {
            assert!(is_error(body), "{body}");
        }
    }

    #[test]
    fn no_error_is_none() {
        for body in [
            r#"{"id":"a","error":"x"}"#,
            r#"{"error":null,"id":"a"}"#,
            r#"{"errors":[],"data":{"id":"a"}}"#,
            r#"{"error":""}"#,
            r#"{"error":0}"#,
            r#"{"error_rate":0.5}"#,
            r#"["error"]"#,
            "\"error\"",
        ] {
            assert!(!is_error(body), "{body}");
        }
        assert!(!is_error(&format!(
            r#"{{"error":"{}"}}"#,
            "x".repeat(LONGEST)
        )));
    }
}
