//! What an answer means for the item, and what it says about the server.

use super::pages::PageAnswer;
use crate::outcome::{Reason, Record, Validators};
use crate::pace::Signal;
use std::time::Duration;

/// One attempt's answer, classified.
#[derive(Debug)]
pub struct Answer {
    /// What it says about the server: for the pacer.
    pub signal: Signal,
    /// What it means for the item: for the run.
    pub verdict: Verdict,
    /// Bytes of body that came.
    pub bytes: u64,
}

impl Answer {
    /// An answer without a body.
    pub(super) fn new(signal: Signal, verdict: Verdict) -> Answer {
        Answer {
            signal,
            verdict,
            bytes: 0,
        }
    }
}

/// What an attempt means for its item.
#[derive(Debug)]
pub enum Verdict {
    /// A record.
    Record(Record),
    /// A page of an item that comes in pages.
    Page(Box<PageAnswer>),
    /// 304 to a conditional request: the body of before still holds, and what it is called now.
    NotModified(Validators),
    /// A batch's answer came whole: each item has a share, in the order of the IDs.
    Shares(Vec<Share>),
    /// Failed for good.
    Failed(Trouble),
    /// 403: failed, unless every request gets it.
    Forbidden(Trouble),
    /// Worth another try.
    Again(Trouble),
    /// The server's certificate is not trusted: stop, unless it was trusted before.
    Untrusted(Trouble),
    /// 401, to this token; `None` with credentials that don't change.
    Unauthorized(Option<Refused>, Trouble),
}

impl Verdict {
    /// What would be kept of the server's names for this version.
    pub(super) fn validators_mut(&mut self) -> Option<&mut Validators> {
        match self {
            Verdict::Record(record) => Some(&mut record.validators),
            Verdict::NotModified(validators) => Some(validators),
            _ => None,
        }
    }

    /// The trouble, where there is one, to be changed.
    pub(super) fn trouble_mut(&mut self) -> Option<&mut Trouble> {
        match self {
            Verdict::Failed(trouble)
            | Verdict::Forbidden(trouble)
            | Verdict::Again(trouble)
            | Verdict::Untrusted(trouble)
            | Verdict::Unauthorized(_, trouble) => Some(trouble),
            _ => None,
        }
    }
}

/// What a batch's answer has for one of its items.
#[derive(Debug)]
pub enum Share {
    /// Its record.
    Record(Record),
    /// There is no such item.
    Absent(Trouble),
    /// There may be: which element is its own can't be told. Asked for alone, it can.
    Unclear,
    /// Alone and unclear all the same.
    Failed(Trouble),
}

/// The token that a 401 was the answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Which one.
    pub generation: u64,
    /// It died on the way: the refusal says nothing about the item or the credentials.
    pub expired: bool,
    /// From when the token was asked for to its refusal.
    pub age: Duration,
}

/// Why there is no record.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The kind.
    pub reason: Reason,
    /// In words.
    pub message: String,
}

impl Trouble {
    pub(super) fn new(status: Option<u16>, reason: Reason, message: impl Into<String>) -> Trouble {
        Trouble {
            status,
            reason,
            message: message.into(),
        }
    }
}

/// The verdict and the signal for a status that is not 2xx (nor a redirect
/// that is followed). `said` is the server's own message, `after` its Retry-After.
pub(super) fn status(
    status: u16,
    said: Option<String>,
    after: Option<Duration>,
    refused: Option<Refused>,
) -> (Verdict, Signal) {
    let message = match said {
        Some(said) => format!("HTTP {status}: {said}"),
        None => format!("HTTP {status}"),
    };
    let trouble = |reason| Trouble::new(Some(status), reason, message);
    let busy = after.map_or(Signal::Trouble, Signal::RetryAfter);
    match status {
        401 => (
            Verdict::Unauthorized(refused, trouble(Reason::Unauthorized)),
            Signal::Neutral,
        ),
        // GitHub's secondary rate limit answers so.
        403 if after.is_some() => (Verdict::Again(trouble(Reason::RateLimited)), busy),
        403 => (
            Verdict::Forbidden(trouble(Reason::Forbidden)),
            Signal::Neutral,
        ),
        404 => (Verdict::Failed(trouble(Reason::NotFound)), Signal::Fine),
        410 => (Verdict::Failed(trouble(Reason::Gone)), Signal::Fine),
        408 | 425 => (Verdict::Again(trouble(Reason::ServerBusy)), busy),
        429 => (
            Verdict::Again(trouble(Reason::RateLimited)),
            after.map_or(Signal::Overloaded, Signal::RetryAfter),
        ),
        400..=499 => (Verdict::Failed(trouble(Reason::ClientError)), Signal::Fine),
        // Gateways speak for a server that can't (520 to 530: Cloudflare's).
        502..=504 | 520..=530 => (Verdict::Again(trouble(Reason::ServerError)), busy),
        500..=599 => (
            Verdict::Again(trouble(Reason::ServerError)),
            after.map_or(Signal::Neutral, Signal::RetryAfter),
        ),
        _ => (
            Verdict::Failed(trouble(Reason::UnexpectedStatus)),
            Signal::Fine,
        ),
    }
}

/// What kind of signal a lost or refused connection is.
pub(super) fn connection_signal(reason: Reason) -> Signal {
    match reason {
        Reason::Connect => Signal::Unreachable,
        _ => Signal::Trouble,
    }
}

/// The server's own words in an error body, as APIs commonly put them:
/// `error.message`, `errors[0].message`, `message`, `error_description`, `error`, `detail`, `title`.
pub(super) fn server_words(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = [
        "/error/message",
        "/errors/0/message",
        "/message",
        "/error_description",
        "/error",
        "/detail",
        "/title",
    ]
    .iter()
    .find_map(|path| value.pointer(path).and_then(serde_json::Value::as_str))?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_fate() {
        for code in 100..=999 {
            let (verdict, signal) = status(code, None, None, None);
            match code {
                401 => assert!(matches!(verdict, Verdict::Unauthorized(..))),
                403 => assert!(matches!(verdict, Verdict::Forbidden(_))),
                408 | 425 | 429 | 500..=599 => {
                    assert!(matches!(verdict, Verdict::Again(_)), "{code}")
                }
                _ => assert!(matches!(verdict, Verdict::Failed(_)), "{code}"),
            }
            if matches!(code, 429 | 503) {
                assert!(matches!(signal, Signal::Trouble | Signal::Overloaded));
                let wait = Duration::from_secs(9);
                assert_eq!(
                    status(code, None, Some(wait), None).1,
                    Signal::RetryAfter(wait)
                );
            }
        }
    }

    #[test]
    fn the_servers_words_are_found() {
        let words = |s: &str| server_words(s.as_bytes());
        assert_eq!(
            words(r#"{"error":{"status":404,"message":"Non existing id"}}"#).as_deref(),
            Some("Non existing id")
        );
        assert_eq!(
            words(r#"{"error":"invalid","error_description":"no"}"#).as_deref(),
            Some("no")
        );
        assert_eq!(words("[]"), None);
        assert_eq!(words("<html>"), None);
    }
}
