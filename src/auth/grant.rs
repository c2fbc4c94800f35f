//! What asking for a token comes to: a token, or why there is none.

use super::store::{StoreError, StoredTokens};
use secrecy::SecretString;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Who is asked, as messages name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority {
    /// `the token endpoint`.
    pub name: &'static str,
    /// The key of `[auth]` that says where it is.
    pub key: &'static str,
}

impl Authority {
    /// RFC 6749 section 3.2.
    pub const TOKEN_ENDPOINT: Authority = Authority {
        name: "the token endpoint",
        key: "token_url",
    };
    /// RFC 8628 section 3.1.
    pub const DEVICE_ENDPOINT: Authority = Authority {
        name: "the device authorization endpoint",
        key: "device_authorization_url",
    };
    /// RFC 8414 section 3.
    pub const METADATA: Authority = Authority {
        name: "the issuer's metadata",
        key: "issuer",
    };
    /// An API's own log-in.
    pub const LOGIN: Authority = Authority {
        name: "the log-in",
        key: "login_url",
    };
}

/// Why a request gave no token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GrantError {
    /// A refusal for good (RFC 6749 section 5.2).
    #[error("{} refused: {error}{description}", .who.name)]
    Refused {
        /// Who refused.
        who: Authority,
        /// RFC 6749 `error`, or the HTTP status.
        error: String,
        /// RFC 6749 `error_description`, with `": "` before it, or nothing.
        description: String,
    },
    /// An answer that none like it gives: the URL is wrong, or, when it was
    /// right before, something stands in its place for now.
    #[error("{} refused: {error}{description}", .who.name)]
    Odd {
        /// Who answered so.
        who: Authority,
        /// The HTTP status, or what is odd.
        error: String,
        /// More about it, with `": "` before it, or nothing.
        description: String,
    },
    /// The server's certificate is not trusted.
    #[error("{}: {problem}; is {} right, and this machine's clock?", .who.name, .who.key)]
    Untrusted {
        /// Whose certificate.
        who: Authority,
        /// What is wrong with it.
        problem: String,
    },
    /// Worth another try, after `after` when the server said so.
    #[error("{message}")]
    Unavailable {
        /// What happened.
        message: String,
        /// Its Retry-After.
        after: Option<Duration>,
    },
    /// The person has not answered yet (RFC 8628 section 3.5).
    #[error("nobody has answered the device's request yet")]
    Pending {
        /// Ask less often from now on: five seconds more between two requests.
        slow_down: bool,
    },
    /// No refresh token is good, and only a person can change that.
    #[error("{0}")]
    NeedsPerson(String),
    /// The kept tokens can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl GrantError {
    pub(super) fn unavailable(message: impl Into<String>) -> GrantError {
        GrantError::Unavailable {
            message: message.into(),
            after: None,
        }
    }

    pub(super) fn odd(who: Authority, error: impl Into<String>) -> GrantError {
        GrantError::Odd {
            who,
            error: error.into(),
            description: String::new(),
        }
    }

    /// What to look at in the job file, in a few words.
    pub fn advice(&self) -> &'static str {
        match self {
            GrantError::Refused { who, .. }
            | GrantError::Odd { who, .. }
            | GrantError::Untrusted { who, .. } => match *who {
                Authority::METADATA => "check issuer in [auth]",
                Authority::LOGIN => "check login_url and what is posted there in [auth]",
                _ => "check client_id, client_secret and token_url in [auth]",
            },
            GrantError::Unavailable { .. } | GrantError::Pending { .. } => "try again later",
            GrantError::NeedsPerson(_) => "then run the same command again",
            GrantError::Store(_) => "check the file's owner and mode, and the disk",
        }
    }
}

/// What a request yields.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The access token, or what an API's log-in gives for one.
    pub access_token: SecretString,
    /// The refresh token, when the server gave one.
    pub refresh_token: Option<SecretString>,
    /// When the server was asked for it: its life counts from there, and not
    /// from when it was written down.
    pub asked: Instant,
    /// How long the access token lives from then on; `None` when nobody knows.
    pub life: Option<Duration>,
    /// It came from the store, and no request was made.
    pub kept: bool,
}

impl Granted {
    /// As it is kept. Without a new refresh token, `previous` stays good (RFC 6749 section 6).
    pub fn to_stored(
        &self,
        previous: Option<&SecretString>,
        seed: Option<String>,
        asked: SystemTime,
    ) -> StoredTokens {
        StoredTokens {
            refresh_token: self.refresh_token.as_ref().or(previous).cloned(),
            access_token: self.access_token.clone(),
            expires: self.life.and_then(|life| asked.checked_add(life)),
            seed,
        }
    }
}
