//! What goes back to the client, before it is HTTP.
//!
//! Owns [`Answer`] and the shape of the API's errors. Must never decide which
//! answer a request gets, and never write to a connection.

use super::faults::Fault;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

/// An answer, with what the log wants to know of it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    /// The access token that the body hands out.
    pub(super) issued: Option<String>,
    /// What is to go wrong on the way.
    pub(super) fault: Option<Fault>,
}

impl Answer {
    /// A status and nothing else.
    pub(super) fn bare(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            issued: None,
            fault: None,
        }
    }

    /// A body of the type that is named.
    pub(super) fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Self {
        let mut answer = Self::bare(status).with(CONTENT_TYPE, HeaderValue::from_static(kind));
        answer.body = body.into();
        answer
    }

    /// Bytes that are, or pretend to be, JSON.
    pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::typed(status, "application/json; charset=utf-8", body)
    }

    /// An error as the Web API words it; without a body where HTTP allows none.
    pub(super) fn error(status: StatusCode, message: &str) -> Self {
        if matches!(status.as_u16(), 204 | 205 | 304) {
            return Self::bare(status);
        }
        let body: Value = json!({"error": {"status": status.as_u16(), "message": message}});
        Self::json(status, body.to_string())
    }

    /// The usual words for a status.
    pub(super) fn reason(status: StatusCode) -> &'static str {
        status.canonical_reason().unwrap_or("Unknown status")
    }

    /// 405, with what would be allowed.
    pub(super) fn not_allowed() -> Self {
        Self::error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            .with(ALLOW, HeaderValue::from_static("GET, POST"))
    }

    /// One more header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// `Retry-After`, in seconds.
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        self.with(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The same answer, with something going wrong on the way.
    pub(super) fn failing(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_shape_of_the_api() {
        let answer = Answer::error(StatusCode::NOT_FOUND, "gone \"for good\"");
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["error"]["status"], 404);
        assert_eq!(body["error"]["message"], "gone \"for good\"");
        let silent = Answer::error(StatusCode::NO_CONTENT, "never seen");
        assert!(silent.body.is_empty() && silent.headers.is_empty());
    }
}
