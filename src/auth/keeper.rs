//! The one owner of the access token.
//!
//! A task of its own that alone makes token requests, one at a time. Everyone
//! else reads the present token from a watch channel and reports a refused one.

use super::grant::{self, GrantError, Granted};
use super::{SidePermits, lifetime};
use crate::job::ClientCredentials;
use crate::pace::{backoff_delay, full_jitter};
use futures::future::BoxFuture;
use reqwest::header::HeaderValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LAST: Duration = Duration::from_secs(60);
/// Between two token requests, unless a token was refused.
const SHORTEST_BETWEEN: Duration = Duration::from_millis(500);

/// An access token in use.
#[derive(Debug)]
pub struct Token {
    /// `Bearer …`, marked sensitive.
    pub header: HeaderValue,
    /// Counts the tokens of this run, from 1.
    pub generation: u64,
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
    /// The credentials are wrong.
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

/// The readers' end.
#[derive(Debug, Clone)]
pub struct SharedToken {
    state: watch::Receiver<TokenState>,
    refused: mpsc::UnboundedSender<u64>,
    /// The newest generation that was refused: not sent again while the keeper has yet to hear of it.
    newest_refused: Arc<AtomicU64>,
}

impl SharedToken {
    /// The token to send now; `None` while there is none.
    pub fn current(&self, now: Instant) -> Option<Arc<Token>> {
        let refused = self.newest_refused.load(Ordering::Relaxed);
        let token = self.state.borrow().token.clone();
        token.filter(|t| t.is_live(now) && t.generation > refused)
    }

    /// Everything that is known.
    pub fn state(&self) -> TokenState {
        self.state.borrow().clone()
    }

    /// Waits for the next change.
    pub async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            // The keeper is gone; whoever waits here is about to be told why by `state`.
            std::future::pending::<()>().await;
        }
    }

    /// Reports that the server refused the token of this generation.
    pub fn refuse(&self, generation: u64) {
        self.newest_refused.fetch_max(generation, Ordering::Relaxed);
        // One message per answered request: bounded by the requests in flight.
        let _ = self.refused.send(generation);
    }
}

/// Makes one token request.
type Ask = Box<dyn Fn() -> BoxFuture<'static, Result<Granted, GrantError>> + Send + Sync>;

/// The owner.
pub struct TokenKeeper {
    ask: Ask,
    max_wait: Duration,
    /// Asked before each token request, when the endpoint is on the API's own host.
    permits: Option<SidePermits>,
    state: watch::Sender<TokenState>,
    refused: mpsc::UnboundedReceiver<u64>,
    random: fastrand::Rng,
}

impl TokenKeeper {
    /// An owner to spawn, and the readers' end.
    pub fn new(
        grant: ClientCredentials,
        client: reqwest::Client,
        timeout: Duration,
        max_wait: Duration,
        permits: Option<SidePermits>,
    ) -> (TokenKeeper, SharedToken) {
        let grant = Arc::new(grant);
        let ask = move || -> BoxFuture<'static, Result<Granted, GrantError>> {
            let (grant, client) = (Arc::clone(&grant), client.clone());
            Box::pin(async move { grant::request(&grant, &client, timeout).await })
        };
        TokenKeeper::asking(Box::new(ask), max_wait, permits)
    }

    fn asking(
        ask: Ask,
        max_wait: Duration,
        permits: Option<SidePermits>,
    ) -> (TokenKeeper, SharedToken) {
        let (state_tx, state_rx) = watch::channel(TokenState::default());
        let (refused_tx, refused_rx) = mpsc::unbounded_channel();
        let keeper = TokenKeeper {
            ask,
            max_wait,
            permits,
            state: state_tx,
            refused: refused_rx,
            random: fastrand::Rng::new(),
        };
        let shared = SharedToken {
            state: state_rx,
            refused: refused_tx,
            newest_refused: Arc::default(),
        };
        (keeper, shared)
    }

    /// Keeps a live token until the readers are gone or the credentials are refused.
    pub async fn keep(mut self) {
        let mut generation = 0;
        loop {
            generation += 1;
            if !self.renew(generation).await {
                return;
            }
            if !self.wait_for_renewal(generation).await {
                return;
            }
        }
    }

    /// Sleeps until the token of `generation` is due or refused. False when nobody reads any more.
    async fn wait_for_renewal(&mut self, generation: u64) -> bool {
        let expires = self.state.borrow().token.as_ref().and_then(|t| t.expires);
        let granted_life = expires.map(|at| at.saturating_duration_since(Instant::now()));
        let due = match (expires, granted_life) {
            // A token that dies on the way is no reason to ask all night long.
            (Some(at), Some(life)) => {
                (at - lifetime::margin(life)).max(Instant::now() + SHORTEST_BETWEEN)
            }
            _ => Instant::now() + Duration::from_secs(366 * 24 * 3600),
        };
        let due = tokio::time::sleep_until(due);
        tokio::pin!(due);
        loop {
            tokio::select! {
                () = &mut due => return true,
                refused = self.refused.recv() => match refused {
                    None => return false,
                    Some(refused) if refused == generation => {
                        self.state.send_modify(|s| s.token = None);
                        return true;
                    }
                    // An older token's late refusal: that one is gone already.
                    Some(_) => {}
                },
            }
        }
    }

    /// Asks until there is a token; the old one stays in use meanwhile. False when there won't be one.
    async fn renew(&mut self, generation: u64) -> bool {
        let mut failing_since: Option<Instant> = None;
        let mut step = 0;
        loop {
            if let Some(permits) = &self.permits
                && permits.permit().await.is_none()
            {
                return false;
            }
            let asked = Instant::now();
            self.state.send_modify(|s| s.requests += 1);
            let result = {
                let mut request = (self.ask)();
                loop {
                    tokio::select! {
                        result = &mut request => break result,
                        refused = self.refused.recv() => match refused {
                            None => return false,
                            Some(refused) => drop_refused(&self.state, refused),
                        },
                    }
                }
            };
            let (message, after) = match result {
                Ok(granted) => {
                    let Some(header) = bearer(granted.access_token.secret()) else {
                        self.fail(AuthError::Refused(GrantError::Refused {
                            error: "an access token that fits no header".into(),
                            description: String::new(),
                        }));
                        return false;
                    };
                    let token = Token {
                        header,
                        generation,
                        // Counted from before the request: never later than the server's own count.
                        expires: granted.life.map(|life| asked + life),
                    };
                    tracing::info!(
                        generation,
                        life_s = granted.life.map(|l| l.as_secs_f64()),
                        "new access token"
                    );
                    self.state.send_modify(|s| {
                        s.token = Some(Arc::new(token));
                        s.trouble = None;
                    });
                    return true;
                }
                Err(refused @ GrantError::Refused { .. }) => {
                    self.fail(AuthError::Refused(refused));
                    return false;
                }
                // Trusted before: the hotel's log-in page, perhaps; waited out.
                Err(GrantError::Untrusted(problem)) if generation > 1 => {
                    (format!("the token endpoint: {problem}"), None)
                }
                Err(untrusted @ GrantError::Untrusted(_)) => {
                    self.fail(AuthError::Refused(untrusted));
                    return false;
                }
                Err(GrantError::Unavailable { message, after }) => (message, after),
            };
            let since = *failing_since.get_or_insert(asked);
            let jittered = full_jitter(
                backoff_delay(step, BACKOFF_FIRST, BACKOFF_LAST),
                self.random.f64(),
            );
            let wait = after.unwrap_or(jittered).max(Duration::from_millis(100));
            step += 1;
            let waited = asked.elapsed() + (asked - since);
            if after.is_some_and(|a| a > self.max_wait) {
                self.fail(AuthError::RetryAfter {
                    until: SystemTime::now() + wait,
                });
                return false;
            }
            if waited > self.max_wait {
                self.fail(AuthError::Unavailable { message, waited });
                return false;
            }
            tracing::warn!("{message}; asking again in {wait:.1?}");
            self.state.send_modify(|s| {
                s.trouble = Some(TokenTrouble {
                    message,
                    until: SystemTime::now() + wait,
                });
            });
            let again = tokio::time::sleep(wait);
            tokio::pin!(again);
            loop {
                tokio::select! {
                    () = &mut again => break,
                    refused = self.refused.recv() => match refused {
                        None => return false,
                        Some(refused) => drop_refused(&self.state, refused),
                    },
                }
            }
        }
    }

    fn fail(&self, error: AuthError) {
        self.state.send_modify(|s| {
            s.token = None;
            s.trouble = None;
            s.failed = Some(error);
        });
    }
}

fn drop_refused(state: &watch::Sender<TokenState>, refused: u64) {
    state.send_if_modified(|s| {
        let hit = s.token.as_ref().is_some_and(|t| t.generation == refused);
        if hit {
            s.token = None;
        }
        hit
    });
}

pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
