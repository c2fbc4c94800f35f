//! The tokens that were issued.
//!
//! Owns how long a token lives, and what a token presented is worth: an access
//! token is good for its lifetime, a refresh token and an assertion once. Must
//! never keep or log a client's secret.

use hyper::header::{AUTHORIZATION, HeaderMap};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// What the tokens of every sandbox start with.
pub(super) const PREFIX: &str = "sbx-";

/// The tokens of one server, dead ones too: a client is told apart whether its
/// token has expired or was never one.
#[derive(Debug)]
pub(super) struct Tokens {
    lifetime: Duration,
    seed: u64,
    /// Each token, and when it was issued.
    issued: Mutex<HashMap<String, Instant>>,
    /// What was presented and is good only once: refresh tokens, assertions' `jti`.
    spent: Mutex<HashSet<String>>,
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
            spent: Mutex::default(),
        }
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

    /// How long an access token lives, in whole seconds: never more than the
    /// truth, unless the truth is less than the least that can be said.
    pub(super) fn expires_in(&self) -> u64 {
        self.lifetime.as_secs().max(1)
    }

    /// Uses up what is good once; false when it was used before.
    pub(super) fn spend(&self, once: &str) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.insert(once.to_owned())
    }

    /// The refresh token that takes this one's place.
    pub(super) fn issue_refresh(&self, old: &str) -> String {
        format!("sbr-{:032x}", xxh3_128_with_seed(old.as_bytes(), self.seed))
    }

    /// A new access token.
    pub(super) fn issue(&self) -> String {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let count = issued.len().to_le_bytes();
        let token = format!("{PREFIX}{:032x}", xxh3_128_with_seed(&count, self.seed));
        issued.insert(token.clone(), Instant::now());
        token
    }
}

/// The token that a request presents: as a bearer, or one of ours in any
/// other header (a cookie, say).
pub(super) fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = scheme(headers, "bearer").filter(|token| !token.is_empty());
    let words = || headers.values().filter_map(|value| value.to_str().ok());
    bearer.or_else(|| words().find_map(ours))
}

fn ours(text: &str) -> Option<&str> {
    let (_, token) = text.split_once(PREFIX)?;
    let end = token.find(|c: char| !c.is_ascii_alphanumeric());
    let length = PREFIX.len() + end.unwrap_or(token.len());
    let start = text.len() - token.len() - PREFIX.len();
    text.get(start..start + length)
}

/// What follows the scheme in the Authorization header, if it is this scheme.
pub(super) fn scheme<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(name).then(|| rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    #[test]
    fn a_token_is_seen_wherever_it_is() {
        let at = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            presented(&headers).map(str::to_owned)
        };
        assert_eq!(at("authorization", "Bearer x"), Some("x".to_owned()));
        assert_eq!(
            at("authorization", "Token sbx-1a"),
            Some("sbx-1a".to_owned())
        );
        assert_eq!(at("x-auth-token", "sbx-1a"), Some("sbx-1a".to_owned()));
        assert_eq!(
            at("cookie", "a=b; s=sbx-1a; c=d"),
            Some("sbx-1a".to_owned())
        );
        assert_eq!(at("x-auth-token", "theirs"), None);
    }

    #[test]
    fn some_things_are_good_once() {
        let tokens = Tokens::new(Duration::from_secs(1), 0);
        assert!(tokens.spend("a") && tokens.spend("b"));
        assert!(!tokens.spend("a"));
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
