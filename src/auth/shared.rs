//! What everyone sees of the access token: the present one, or why there is
//! none, from a watch channel that the refresher alone writes.

use super::grant::GrantError;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// An access token in use.
#[derive(Debug)]
pub struct Token {
    /// The header it goes along in.
    pub name: HeaderName,
    /// That header's value (`Bearer …`), marked sensitive.
    pub header: HeaderValue,
    /// The token alone, to keep it out of messages.
    pub secret: SecretString,
    /// Counts the tokens of this run, from 1.
    pub generation: u64,
    /// When it was asked for, by this process's clock.
    pub asked: Instant,
    /// When it expires, by this process's clock; `None` when nobody knows.
    pub expires: Option<Instant>,
}

impl Token {
    /// Whether the token may still be sent.
    pub fn is_live(&self, now: Instant) -> bool {
        self.expires.is_none_or(|at| now < at)
    }
}

/// Why there is no token, for good or for as long as the run may wait.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// The credentials are wrong, or cannot be used.
    #[error(transparent)]
    Refused(GrantError),
    /// The token endpoint could not be used for longer than `max_wait`.
    #[error("no token for {}: {message}", humantime::format_duration(Duration::from_secs(.waited.as_secs())))]
    Unavailable {
        /// The last trouble.
        message: String,
        /// How long it has been tried.
        waited: Duration,
    },
    /// The endpoint asked for a wait that is longer than `max_wait`.
    #[error("the token endpoint asked to wait until {}", humantime::format_rfc3339_seconds(*.until))]
    RetryAfter {
        /// When it may be asked again.
        until: SystemTime,
    },
    /// The quota lets requests out so seldom that each token has expired before
    /// its turn: asking on would use it up for nothing.
    #[error(
        "{tokens} tokens in a row have been renewed before a request could go out with them: they live {}, and their own requests take turns in the API's quota",
        humantime::format_duration(Duration::from_millis(.life.as_millis() as u64))
    )]
    NeverUsed {
        /// In a row.
        tokens: u32,
        /// How long the last one lived.
        life: Duration,
    },
}

impl AuthError {
    /// What to look at in the job file, in a few words.
    pub fn advice(&self) -> &'static str {
        match self {
            AuthError::Refused(error) => error.advice(),
            AuthError::Unavailable { .. } | AuthError::RetryAfter { .. } => "try again later",
            AuthError::NeverUsed { .. } => {
                "raise `rate` in [limits], or get tokens that live longer"
            }
        }
    }
}

/// A token endpoint that does not answer as it should, at present.
#[derive(Debug, Clone)]
pub struct TokenTrouble {
    /// What happened.
    pub message: String,
    /// When it is tried again.
    pub until: SystemTime,
}

/// What everyone sees of the token.
#[derive(Debug, Clone, Default)]
pub struct TokenState {
    /// The token in use; it may have expired meanwhile.
    pub token: Option<Arc<Token>>,
    /// The trouble in getting the next one.
    pub trouble: Option<TokenTrouble>,
    /// No further token will come.
    pub failed: Option<AuthError>,
    /// Token requests made.
    pub requests: u64,
}

/// What the readers tell the refresher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    /// The server refused the token of this generation.
    Refused(u64),
    /// The run is over.
    Over,
}

/// The readers' end.
#[derive(Debug, Clone)]
pub struct SharedToken {
    pub(super) state: watch::Receiver<TokenState>,
    pub(super) notes: mpsc::UnboundedSender<Note>,
    /// The newest generation that was refused: not sent again while the refresher has yet to hear of it.
    pub(super) newest_refused: Arc<AtomicU64>,
    pub(super) demand: Arc<Demand>,
}

/// What the refresher sees of the tokens' use.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// The newest generation that a request went out with.
    pub(super) newest_sent: AtomicU64,
    /// A request waits for a token, or with one for its turn.
    pub(super) wanted: AtomicBool,
}

impl SharedToken {
    /// The token to send now; `None` while there is none.
    pub fn current(&self, now: Instant) -> Option<Arc<Token>> {
        let refused = self.newest_refused.load(Ordering::Relaxed);
        let token = self.state.borrow().token.clone();
        let live = token.filter(|t| t.is_live(now) && t.generation > refused);
        if live.is_none() {
            self.wanted();
        }
        live
    }

    /// Notes that a request waits: for a token, or with one for its turn.
    pub fn wanted(&self) {
        self.demand.wanted.store(true, Ordering::Relaxed);
    }

    /// Notes that a request goes out with the token of this generation.
    pub fn sent(&self, generation: u64) {
        let newest = &self.demand.newest_sent;
        newest.fetch_max(generation, Ordering::Relaxed);
    }

    /// Everything that is known.
    pub fn state(&self) -> TokenState {
        self.state.borrow().clone()
    }

    /// Waits for the next change.
    pub async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            // The refresher is gone; whoever waits here is about to be told why by `state`.
            std::future::pending::<()>().await;
        }
    }

    /// Reports that the server refused the token of this generation.
    pub fn refuse(&self, generation: u64) {
        self.newest_refused.fetch_max(generation, Ordering::Relaxed);
        // One message per answered request: bounded by the requests in flight.
        let _ = self.notes.send(Note::Refused(generation));
    }

    /// Tells the refresher that the run is over: no further token is needed.
    pub fn end(&self) {
        let _ = self.notes.send(Note::Over);
    }
}
