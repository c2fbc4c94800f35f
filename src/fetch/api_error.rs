//! Errors in answers of success: what `fail_when` and `retry_when` find.
//!
//! Owns what such an error means and how it is worded. GraphQL answers so
//! (`{"errors":[…]}` with status 200), and many older APIs. Must never look at
//! an answer that is not 2xx: its status says it all.

use super::classify::{Trouble, Verdict, server_words};
use crate::job::Request;
use crate::outcome::Reason;
use crate::pace::Signal;
use serde_json::Value;
use serde_json_path::JsonPath;
use std::time::Duration;

/// Of several errors, so many are told.
const TOLD: usize = 3;

/// When an answer of success is none.
#[derive(Debug)]
pub(super) struct ErrorRule {
    fail_when: Option<JsonPath>,
    retry_when: Option<JsonPath>,
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
            fail_when: request.fail_when.clone(),
            retry_when: request.retry_when.clone(),
        }
    }

    /// The error in a body, if there is one. Without a rule, nothing is parsed.
    pub(super) fn find(&self, body: &[u8]) -> Option<ApiError> {
        if self.fail_when.is_none() && self.retry_when.is_none() {
            return None;
        }
        let value: Value = match serde_json::from_slice(body) {
            Ok(value) => value,
            Err(error) => {
                return Some(ApiError {
                    said: format!("the body can't be searched for an error: {error}"),
                    kind: None,
                    again: false,
                    unreadable: true,
                });
            }
        };
        let found = |path: &Option<JsonPath>| -> Vec<Value> {
            let nodes = path.iter().flat_map(|path| path.query(&value).all());
            nodes.filter(|node| says_something(node)).cloned().collect()
        };
        let (failed, again) = (found(&self.fail_when), found(&self.retry_when));
        if failed.is_empty() && again.is_empty() {
            return None;
        }
        let nodes = if again.is_empty() { &failed } else { &again };
        let errors: Vec<&Value> = nodes.iter().flat_map(elements).collect();
        let told: Vec<String> = errors.iter().take(TOLD).filter_map(|e| words(e)).collect();
        let mut said = told.join("; ");
        if errors.len() > TOLD {
            said.push_str(&format!("; and {} more", errors.len() - TOLD));
        }
        if told.is_empty() {
            said = server_words(body).unwrap_or_else(|| "the answer is an error".to_owned());
        }
        Some(ApiError {
            said,
            kind: errors.first().and_then(|error| kind(error)),
            again: !again.is_empty(),
            unreadable: false,
        })
    }
}

impl ApiError {
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
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// The errors that a found value stands for.
fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements,
        one => std::slice::from_ref(one),
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
        let path = |text: Option<&str>| text.map(|text| JsonPath::parse(text).unwrap());
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
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert_eq!(told(&deep).0, Reason::MalformedBody);
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
