//! Errors in answers of success: what `fail_when` and `retry_when` find.
//!
//! Owns what such an error means and how it is worded. GraphQL answers so
//! (`{"errors":[…]}` with status 200), and many older APIs. Must never look at
//! an answer that is not 2xx: its status says it all.

use super::classify::{Trouble, Verdict, server_words};
use crate::job::Request;
use crate::json::{self, Query, QueryError};
use crate::outcome::Reason;
use crate::pace::Signal;
use serde_json::Value;
use std::time::Duration;

/// Of several errors, so many are told.
const TOLD: usize = 3;

/// When an answer of success is none.
#[derive(Debug)]
pub(super) struct ErrorRule {
    fail_when: Option<Query>,
    retry_when: Option<Query>,
}

/// An error in an answer of success.
#[derive(Debug)]
pub(super) struct ApiError {
    /// In the server's words.
    said: String,
    /// Its kind, as the server names it: `NOT_FOUND`, `THROTTLED` …
    kind: Option<String>,
    again: bool,
    /// It could not be looked for.
    unreadable: bool,
}

impl ErrorRule {
    pub(super) fn of(request: &Request) -> ErrorRule {
        ErrorRule {
            fail_when: request.fail_when.as_ref().map(Query::new),
            retry_when: request.retry_when.as_ref().map(Query::new),
        }
    }

    /// The error in a body, if there is one. Without a rule, nothing is looked for.
    pub(super) fn find(&self, body: &[u8]) -> Option<ApiError> {
        if self.fail_when.is_none() && self.retry_when.is_none() {
            return None;
        }
        match self.nodes(body) {
            Ok((nodes, _)) if nodes.is_empty() => None,
            Ok((nodes, again)) => Some(ApiError::of(&nodes, again, body)),
            Err(error) => Some(ApiError {
                said: format!("the body can't be searched for an error: {error}"),
                kind: None,
                again: false,
                unreadable: true,
            }),
        }
    }

    /// What was found, and whether it is worth another try.
    fn nodes<'b>(&self, body: &'b [u8]) -> Result<(Vec<&'b [u8]>, bool), QueryError> {
        let find = |query: &Option<Query>| -> Result<Vec<&'b [u8]>, QueryError> {
            let mut nodes = match query {
                Some(query) => query.select(body)?,
                None => Vec::new(),
            };
            nodes.retain(|node| says_something(node));
            Ok(nodes)
        };
        let failed = find(&self.fail_when)?;
        // Where nothing failed, there is nothing to try again.
        if failed.is_empty() && self.fail_when.is_some() {
            return Ok((failed, false));
        }
        let again = find(&self.retry_when)?;
        Ok(match again.is_empty() {
            true => (failed, false),
            false => (again, true),
        })
    }
}

impl ApiError {
    fn of(nodes: &[&[u8]], again: bool, body: &[u8]) -> ApiError {
        // An array stands for the errors in it.
        let errors: Vec<&[u8]> = nodes
            .iter()
            .flat_map(|node| json::elements(node).unwrap_or_else(|| vec![*node]))
            .collect();
        let read = |error: &&[u8]| serde_json::from_slice::<Value>(error).ok();
        let told: Vec<Value> = errors.iter().take(TOLD).filter_map(read).collect();
        let words: Vec<String> = told.iter().filter_map(words).collect();
        let mut said = words.join("; ");
        if errors.len() > TOLD {
            said.push_str(&format!("; and {} more", errors.len() - TOLD));
        }
        if words.is_empty() {
            said = server_words(body).unwrap_or_else(|| "the answer is an error".to_owned());
        }
        ApiError {
            said,
            kind: told.first().and_then(kind),
            again,
            unreadable: false,
        }
    }

    /// What it means for the item, and what it says about the server.
    pub(super) fn judge(
        self,
        status: u16,
        after: impl FnOnce() -> Option<Duration>,
    ) -> (Verdict, Signal) {
        let is_kind = |names: &[&str]| {
            let kind = self.kind.as_deref().unwrap_or_default();
            let kind = kind.to_ascii_uppercase().replace(['-', ' '], "_");
            names.iter().any(|name| kind.contains(name))
        };
        let busy = self.again
            && is_kind(&[
                "RATE_LIMIT",
                "RATELIMIT",
                "THROTTL",
                "TOO_MANY_REQUESTS",
                "QUOTA",
            ]);
        let reason = match &self.kind {
            _ if self.unreadable => Reason::MalformedBody,
            _ if busy => Reason::RateLimited,
            Some(kind) if kind.eq_ignore_ascii_case("NOT_FOUND") => Reason::NotFound,
            _ => Reason::ApiError,
        };
        let message = format!("HTTP {status}: {}", self.said);
        let trouble = Trouble::new(Some(status), reason, message);
        if !self.again {
            return (Verdict::Failed(trouble), Signal::Fine);
        }
        let signal = match after() {
            Some(wait) => Signal::RetryAfter(wait),
            None if busy => Signal::Overloaded,
            None => Signal::Neutral,
        };
        (Verdict::Again(trouble), signal)
    }
}

/// Not a way to say "no error".
fn says_something(node: &[u8]) -> bool {
    match node {
        b"null" | b"false" | b"\"\"" | b"[]" | b"{}" => false,
        [b'-' | b'0'..=b'9', ..] => {
            let number = std::str::from_utf8(node).ok().and_then(|n| n.parse().ok());
            number != Some(0.0)
        }
        _ => true,
    }
}

/// The kind of an error: `type` (GitHub), `extensions.code` (the GraphQL
/// specification's place for it), `code`.
fn kind(error: &Value) -> Option<String> {
    let places = ["/extensions/code", "/type", "/code", "/extensions/type"];
    let texts = places
        .iter()
        .filter_map(|place| error.pointer(place)?.as_str());
    texts.map(str::to_owned).find(|text| !text.is_empty())
}

/// An error in words, its kind first.
fn words(error: &Value) -> Option<String> {
    let said = match error {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => [
            "/message",
            "/error_description",
            "/detail",
            "/title",
            "/error",
            "/reason",
        ]
        .iter()
        .find_map(|place| error.pointer(place)?.as_str())
        .map(str::to_owned),
    };
    match (kind(error), said) {
        (Some(kind), Some(said)) => Some(format!("{kind}: {said}")),
        (kind, said) => said.or(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(fail_when: Option<&str>, retry_when: Option<&str>) -> ErrorRule {
        let path = |text: Option<&str>| {
            text.map(|text| Query::new(&serde_json_path::JsonPath::parse(text).unwrap()))
        };
        ErrorRule {
            fail_when: path(fail_when),
            retry_when: path(retry_when),
        }
    }

    fn judged(rule: &ErrorRule, body: &str) -> Option<(Verdict, Signal)> {
        Some(rule.find(body.as_bytes())?.judge(200, || None))
    }

    #[test]
    fn no_error_is_none() {
        let rule = rule(Some("$['error','errors']"), Some("$.retry"));
        for body in [
            r#"{"errors":null,"data":1}"#,
            r#"{"errors":[]}"#,
            r#"{"error":""}"#,
            r#"{"error":0}"#,
            r#"{"error":false,"retry":false}"#,
            r#"{"data":{"errors":[1]}}"#,
            "[]",
        ] {
            assert!(judged(&rule, body).is_none(), "{body}");
        }
        let nothing = self::rule(None, None);
        assert!(judged(&nothing, r#"{"errors":[1]}"#).is_none());
    }

    #[test]
    fn an_error_fails_in_the_servers_words() {
        let rule = rule(Some("$.errors"), None);
        let told = |body: &str| match judged(&rule, body) {
            Some((Verdict::Failed(trouble), Signal::Fine)) => (trouble.reason, trouble.message),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            told(r#"{"data":null,"errors":[{"message":"Bad","path":["a"]},{"message":"Worse"}]}"#),
            (Reason::ApiError, "HTTP 200: Bad; Worse".to_owned())
        );
        assert_eq!(
            told(r#"{"errors":[{"type":"NOT_FOUND","message":"No such node"}]}"#),
            (
                Reason::NotFound,
                "HTTP 200: NOT_FOUND: No such node".to_owned()
            )
        );
        assert_eq!(told(r#"{"errors":"quota"}"#).1, "HTTP 200: quota");
        assert_eq!(
            told(r#"{"errors":true}"#).1,
            "HTTP 200: the answer is an error"
        );
        assert_eq!(
            told(r#"{"errors":["a","b","c","d","e"]}"#).1,
            "HTTP 200: a; b; c; and 2 more"
        );
        assert_eq!(told(r#"{"errors":{"code":"E7"}}"#).1, "HTTP 200: E7");
        let deep = format!("{{\"errors\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(told(&deep).1, "HTTP 200: the answer is an error");
    }

    #[test]
    fn a_body_that_cannot_be_searched_is_no_record() {
        let rule = rule(Some("$.errors[?@.fatal]"), None);
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let (verdict, _) = judged(&rule, &deep).unwrap();
        let Verdict::Failed(trouble) = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!(trouble.reason, Reason::MalformedBody);
    }

    #[test]
    fn what_retry_when_finds_is_tried_again() {
        let rule = rule(
            Some("$.errors"),
            Some("$.errors[?@.type == 'RATE_LIMITED' || @.extensions.code == 'INTERNAL']"),
        );
        let again = |body: &str| match judged(&rule, body) {
            Some((Verdict::Again(trouble), signal)) => (trouble.reason, signal),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            again(r#"{"errors":[{"message":"x"},{"type":"RATE_LIMITED","message":"slow down"}]}"#),
            (Reason::RateLimited, Signal::Overloaded)
        );
        assert_eq!(
            again(r#"{"errors":[{"extensions":{"code":"INTERNAL"}}]}"#),
            (Reason::ApiError, Signal::Neutral)
        );
        let body = br#"{"errors":[{"type":"RATE_LIMITED"}]}"#;
        let wait = Duration::from_secs(3);
        let (_, signal) = rule.find(body).unwrap().judge(200, || Some(wait));
        assert_eq!(signal, Signal::RetryAfter(wait));
        let other = judged(&rule, r#"{"errors":[{"type":"FORBIDDEN"}]}"#);
        assert!(matches!(other, Some((Verdict::Failed(_), _))));
        // By itself it is a rule, too.
        let alone = self::rule(None, Some("$.busy"));
        assert!(matches!(
            judged(&alone, r#"{"busy":1}"#),
            Some((Verdict::Again(_), _))
        ));
        assert!(judged(&alone, r#"{"errors":[1]}"#).is_none());
    }
}
