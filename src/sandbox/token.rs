//! The token endpoint, and the tokens it has issued.
//!
//! Owns who gets a token, how long it lives, and what a token presented is
//! worth. Must never keep or log a client's secret.

use super::answer::Answer;
use super::wire::{base64, form_pairs, form_word};
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderValue};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// What the tokens of every sandbox start with.
pub(super) const PREFIX: &str = "sbx-";

/// The secret that is always refused.
const WRONG_SECRET: &str = "wrong";

/// The tokens of one server, dead ones too: a client is told apart whether its
/// token has expired or was never one.
#[derive(Debug)]
pub(super) struct Tokens {
    lifetime: Duration,
    seed: u64,
    /// Each token, and when it was issued.
    issued: Mutex<HashMap<String, Instant>>,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// None came along.
    Absent,
    /// It was not issued here.
    Unknown,
    /// Its time is over.
    Expired,
}

impl Refusal {
    /// What the Web API says about it.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Absent => "No token provided",
            Self::Unknown => "Invalid access token",
            Self::Expired => "The access token expired",
        }
    }
}

impl Tokens {
    /// No tokens yet.
    pub(super) fn new(lifetime: Duration, seed: u64) -> Self {
        Self {
            lifetime,
            seed,
            issued: Mutex::default(),
        }
    }

    /// Answers a token request.
    pub(super) fn grant(&self, headers: &HeaderMap, body: &[u8]) -> Answer {
        let form = form_pairs(&String::from_utf8_lossy(body));
        match field(&form, "grant_type") {
            None => return refused("invalid_request", "grant_type is missing"),
            Some("client_credentials") => {}
            Some(_) => {
                return refused("unsupported_grant_type", "grant_type is not supported");
            }
        }
        if headers.contains_key(AUTHORIZATION) && field(&form, "client_secret").is_some() {
            let why = "The client must not authenticate in two ways";
            return refused("invalid_request", why);
        }
        match credentials(headers, &form) {
            Some((id, secret)) if !id.is_empty() && !secret.is_empty() => {
                if secret == WRONG_SECRET {
                    return refused("invalid_client", "Invalid client secret");
                }
            }
            _ => return refused("invalid_client", "Invalid client"),
        }
        let token = self.issue();
        let body = json!({
            "access_token": token,
            "token_type": "Bearer",
            // Never more than the truth, unless the truth is less than the
            // least that can be said.
            "expires_in": self.lifetime.as_secs().max(1),
        });
        let mut answer = Answer::json(StatusCode::OK, body.to_string())
            .with(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer.issued = Some(token);
        answer
    }

    /// Whether a token is good now.
    pub(super) fn check(&self, token: &str) -> Result<(), Refusal> {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let since = issued.get(token).ok_or(Refusal::Unknown)?;
        if since.elapsed() < self.lifetime {
            Ok(())
        } else {
            Err(Refusal::Expired)
        }
    }

    fn issue(&self) -> String {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let count = issued.len().to_le_bytes();
        let token = format!("{PREFIX}{:032x}", xxh3_128_with_seed(&count, self.seed));
        issued.insert(token.clone(), Instant::now());
        token
    }
}

/// The bearer token that a request presents.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    scheme(headers, "bearer").filter(|token| !token.is_empty())
}

/// The client's ID and secret, from the header or from the form.
fn credentials(headers: &HeaderMap, form: &[(String, String)]) -> Option<(String, String)> {
    if headers.contains_key(AUTHORIZATION) {
        let decoded = String::from_utf8(base64(scheme(headers, "basic")?)?).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        return Some((form_word(id), form_word(secret)));
    }
    let id = field(form, "client_id")?.to_owned();
    let secret = field(form, "client_secret")?.to_owned();
    Some((id, secret))
}

/// What follows the scheme in the Authorization header, if it is this scheme.
fn scheme<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(name).then(|| rest.trim())
}

fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// A refusal as RFC 6749 5.2 words it. Always a 400: Spotify has no 401 here.
fn refused(error: &str, description: &str) -> Answer {
    let body = json!({"error": error, "error_description": description});
    Answer::json(StatusCode::BAD_REQUEST, body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::thread::sleep;

    fn ask(tokens: &Tokens, basic: Option<&str>, form: &str) -> (u16, Value, Option<String>) {
        let mut headers = HeaderMap::new();
        if let Some(basic) = basic {
            headers.insert(AUTHORIZATION, basic.parse().unwrap());
        }
        let answer = tokens.grant(&headers, form.as_bytes());
        let body = serde_json::from_slice(&answer.body).unwrap();
        (answer.status.as_u16(), body, answer.issued)
    }

    #[test]
    fn both_ways_to_authenticate_work() {
        let tokens = Tokens::new(Duration::from_millis(2_700), 3);
        let grant = "grant_type=client_credentials";
        // a%3Ab:c%2Bd, the form-encoded "a:b" and "c+d"
        let (status, body, issued) = ask(&tokens, Some("Basic YSUzQWI6YyUyQmQ="), grant);
        assert_eq!((status, &body["token_type"]), (200, &json!("Bearer")));
        assert_eq!(body["expires_in"], 2, "rounded down");
        let token = issued.unwrap();
        assert_eq!(body["access_token"], token.as_str());
        assert!(token.starts_with(PREFIX), "{token}");
        let posted = format!("{grant}&client_id=a&client_secret=b");
        let (status, _, second) = ask(&tokens, None, &posted);
        assert_eq!(status, 200);
        assert_ne!(second.as_ref(), Some(&token));
        assert_eq!(tokens.check(&token), Ok(()));
        assert_eq!(tokens.check(&second.unwrap()), Ok(()));

        let again = Tokens::new(Duration::ZERO, 3);
        assert_eq!(ask(&again, None, &posted).2, Some(token), "from the seed");
    }

    #[test]
    fn the_rest_is_refused() {
        let tokens = Tokens::new(Duration::from_secs(1), 0);
        let grant = "grant_type=client_credentials";
        for (basic, form, error) in [
            (None, "", "invalid_request"),
            (None, "grant_type=password", "unsupported_grant_type"),
            (None, grant, "invalid_client"),
            (Some("Bearer YTpi"), grant, "invalid_client"),
            (Some("Basic YTpi="), grant, "invalid_client"),
            (Some("Basic YTo="), grant, "invalid_client"), // a:
            (Some("Basic YTp3cm9uZw=="), grant, "invalid_client"), // a:wrong
            (
                Some("Basic YTpi"),
                "grant_type=client_credentials&client_secret=b",
                "invalid_request",
            ),
        ] {
            let (status, body, issued) = ask(&tokens, basic, form);
            assert_eq!(
                (status, &body["error"]),
                (400, &json!(error)),
                "{basic:?} {form}"
            );
            assert_eq!(issued, None);
        }
        let (_, body, _) = ask(&tokens, Some("basic YTp3cm9uZw=="), grant);
        assert_eq!(body["error_description"], "Invalid client secret");
    }

    #[test]
    fn tokens_expire() {
        let tokens = Tokens::new(Duration::from_millis(100), 0);
        let token = tokens.issue();
        assert_eq!(tokens.check("sbx-0"), Err(Refusal::Unknown));
        assert_eq!(tokens.check(&token), Ok(()));
        sleep(Duration::from_millis(110));
        assert_eq!(tokens.check(&token), Err(Refusal::Expired));
        assert_eq!(tokens.check(&tokens.issue()), Ok(()));
    }
}
