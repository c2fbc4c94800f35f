//! The one owner of the access token.
//!
//! A task of its own that alone makes token requests, one at a time. Everyone
//! else reads the present token from a watch channel and reports a refused one.

use super::grant::{Authority, GrantError, Granted};
use super::lifetime;
use super::shared::{AuthError, Demand, Note, SharedToken, Token, TokenState, TokenTrouble};
use super::source::{Supply, TokenSource};
use crate::job::TokenUse;
use crate::pace::{backoff_delay, full_jitter};
use reqwest::header::{COOKIE, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LAST: Duration = Duration::from_secs(60);
/// Between two token requests, unless a token was refused.
const SHORTEST_BETWEEN: Duration = Duration::from_millis(500);

/// So many tokens in a row may expire before anything could be sent with them.
const MOST_UNUSED: u32 = 3;

/// The owner.
pub struct TokenRefresher {
    supply: Supply,
    max_wait: Duration,
    state: watch::Sender<TokenState>,
    notes: mpsc::UnboundedReceiver<Note>,
    /// When a token was refused last.
    dropped: Option<Instant>,
    demand: Arc<Demand>,
    /// Tokens in a row that nothing could be sent with.
    unused: u32,
    random: fastrand::Rng,
}

impl TokenRefresher {
    /// An owner to spawn, and the readers' end.
    pub fn new(source: TokenSource, max_wait: Duration) -> (TokenRefresher, SharedToken) {
        TokenRefresher::supplied(source.supply(), max_wait)
    }

    fn supplied(supply: Supply, max_wait: Duration) -> (TokenRefresher, SharedToken) {
        let (state_tx, state_rx) = watch::channel(TokenState::default());
        let (notes_tx, notes_rx) = mpsc::unbounded_channel();
        let refresher = TokenRefresher {
            supply,
            max_wait,
            state: state_tx,
            notes: notes_rx,
            dropped: None,
            demand: Arc::default(),
            unused: 0,
            random: fastrand::Rng::new(),
        };
        let shared = SharedToken {
            state: state_rx,
            notes: notes_tx,
            newest_refused: Arc::default(),
            demand: Arc::clone(&refresher.demand),
        };
        (refresher, shared)
    }

    /// Keeps a live token until the readers are gone or the credentials are refused.
    pub async fn keep(mut self) {
        let mut generation = 0;
        loop {
            generation += 1;
            if !self.renew(generation).await || !self.wait_for_renewal().await {
                break;
            }
        }
        (self.supply.end)().await;
    }

    /// Sleeps until the token is due for renewal, or refused. False when nobody reads any more.
    async fn wait_for_renewal(&mut self) -> bool {
        let expires = self.state.borrow().token.as_ref().and_then(|t| t.expires);
        let granted_life = expires.map(|at| at.saturating_duration_since(Instant::now()));
        let due = match (expires, granted_life) {
            // A token that dies on the way is no reason to ask all night long.
            (Some(at), Some(life)) => {
                (at - lifetime::margin(life)).max(Instant::now() + SHORTEST_BETWEEN)
            }
            _ => never(),
        };
        let due = tokio::time::sleep_until(due);
        tokio::pin!(due);
        loop {
            tokio::select! {
                () = &mut due => return true,
                note = self.notes.recv() => match note {
                    None | Some(Note::Over) => return false,
                    // An older token's late refusal changes nothing: that one is gone already.
                    Some(Note::Refused(refused)) => {
                        if self.drop_refused(refused) {
                            return true;
                        }
                    }
                },
            }
        }
    }

    /// Asks until there is a token; the old one stays in use meanwhile. False when there won't be one.
    async fn renew(&mut self, generation: u64) -> bool {
        let mut failing_since: Option<Instant> = None;
        let mut step = 0;
        loop {
            let waiting_since = Instant::now();
            let ready = (self.supply.ready)();
            let Some(ready) = self.meanwhile(ready, false).await else {
                return false;
            };
            // A token's life, and an outage, begin when the server is asked: not
            // when we began to wait for a permit.
            let asked = Instant::now();
            let waited = asked.saturating_duration_since(waiting_since);
            // Where leave never came, it is the issuer that does not answer.
            if ready.is_ok() {
                failing_since = failing_since.map(|since| since + waited);
            }
            let result = match ready {
                Ok(false) => return false,
                Ok(true) => {
                    self.state.send_modify(|s| s.requests += 1);
                    let request = (self.supply.ask)();
                    let precious = self.supply.precious;
                    let Some(result) = self.meanwhile(request, precious).await else {
                        return false;
                    };
                    if result.as_ref().is_ok_and(|granted| granted.kept) {
                        self.state.send_modify(|s| s.requests -= 1);
                    }
                    result
                }
                Err(error) => Err(error),
            };
            let token = result.and_then(|granted| self.token(granted, generation));
            let (message, after) = match token {
                Ok(token) => {
                    if let Some(error) = self.in_vain(&token, step == 0, waited) {
                        self.fail(error);
                        return false;
                    }
                    self.state.send_modify(|s| {
                        s.token = Some(Arc::new(token));
                        s.trouble = None;
                    });
                    return true;
                }
                Err(refused @ (GrantError::Refused { .. } | GrantError::NeedsPerson(_))) => {
                    self.fail(AuthError::Refused(refused));
                    return false;
                }
                // It gave tokens before: whatever stands in its place now (a gateway's
                // page, the hotel's log-in) may pass, and the old token is in use still.
                Err(GrantError::Untrusted { who, problem }) if generation > 1 => {
                    (format!("{}: {problem}", who.name), None)
                }
                Err(odd @ (GrantError::Odd { .. } | GrantError::Store(_))) if generation > 1 => {
                    (odd.to_string(), None)
                }
                Err(
                    no @ (GrantError::Untrusted { .. }
                    | GrantError::Odd { .. }
                    | GrantError::Store(_)),
                ) => {
                    self.fail(AuthError::Refused(no));
                    return false;
                }
                Err(GrantError::Unavailable { message, after }) => (message, after),
                Err(pending @ GrantError::Pending { .. }) => (pending.to_string(), None),
            };
            let since = *failing_since.get_or_insert(asked);
            let jittered = full_jitter(
                backoff_delay(step, BACKOFF_FIRST, BACKOFF_LAST),
                self.random.f64(),
            );
            let wait = after.unwrap_or(jittered).max(Duration::from_millis(100));
            step += 1;
            let (now, until) = (Instant::now(), SystemTime::now() + wait);
            let idle_from = self.idle_from(since);
            let waited = now.saturating_duration_since(idle_from);
            let without = (now + wait).saturating_duration_since(idle_from.max(now));
            tracing::warn!("{message}; asking again in {wait:.1?}");
            self.state.send_modify(|s| {
                let message = message.clone();
                s.trouble = Some(TokenTrouble { message, until });
            });
            let error = if after.is_some() && without > self.max_wait {
                AuthError::RetryAfter { until }
            } else if waited > self.max_wait {
                AuthError::Unavailable { message, waited }
            } else {
                if !self.pass(now + wait, false).await {
                    return false;
                }
                continue;
            };
            if self.pass(idle_from, true).await {
                self.fail(error);
            }
            return false;
        }
    }

    /// Waits for something and hears of refused tokens meanwhile. `None` when
    /// nobody reads any more; something precious is waited for even then.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>, precious: bool) -> Option<T> {
        tokio::pin!(what);
        loop {
            tokio::select! {
                result = &mut what => return Some(result),
                note = self.notes.recv() => match note {
                    None | Some(Note::Over) => {
                        if precious {
                            what.await;
                        }
                        return None;
                    }
                    Some(Note::Refused(refused)) => {
                        self.drop_refused(refused);
                    }
                },
            }
        }
    }

    /// From when on this outage keeps anybody waiting: nobody while the old token lives.
    fn idle_from(&self, since: Instant) -> Instant {
        let end = match &self.state.borrow().token {
            Some(token) => Some(token.expires.unwrap_or_else(never)),
            None => self.dropped,
        };
        end.map_or(since, |end| end.max(since))
    }

    /// Drops the present token if it is this one; true when it was.
    fn drop_refused(&mut self, refused: u64) -> bool {
        let hit = self.state.send_if_modified(|s| {
            let hit = s.token.as_ref().is_some_and(|t| t.generation == refused);
            if hit {
                s.token = None;
            }
            hit
        });
        if hit {
            self.dropped = Some(Instant::now());
        }
        hit
    }

    /// Lets time pass until `until`, or, with `while_usable`, until the present
    /// token is refused. False when nobody reads any more.
    async fn pass(&mut self, until: Instant, while_usable: bool) -> bool {
        let over = tokio::time::sleep_until(until);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return true,
                note = self.notes.recv() => match note {
                    None | Some(Note::Over) => return false,
                    Some(Note::Refused(refused)) => {
                        if self.drop_refused(refused) && while_usable {
                            return true;
                        }
                    }
                },
            }
        }
    }

    /// The token that was granted, if it can be sent.
    fn token(&self, granted: Granted, generation: u64) -> Result<Token, GrantError> {
        let token = granted.access_token.expose_secret();
        let (name, header) = header(&self.supply.token_use, token).ok_or_else(|| {
            GrantError::odd(Authority::TOKEN_ENDPOINT, "a token that fits no header")
        })?;
        let (asked, life) = (granted.asked, granted.life);
        // Nobody would send it, and its renewal would be the next of many.
        let took = asked.elapsed();
        if let Some(life) = life.filter(|life| *life <= took) {
            return Err(GrantError::unavailable(format!(
                "an access token lives {life:.1?}, and asking for it and keeping what came with it took {took:.1?}"
            )));
        }
        let life_s = life.map(|life| life.as_secs_f64());
        tracing::info!(generation, life_s, kept = granted.kept, "new access token");
        Ok(Token {
            name,
            header,
            secret: granted.access_token,
            generation,
            asked,
            // Counted from before the request: never later than the server's own count.
            expires: life.map(|life| asked + life),
        })
    }

    /// Whether tokens come in vain: this one had to wait for its turn, and nothing
    /// had gone out with the one before it, though something waits.
    fn in_vain(&mut self, token: &Token, at_once: bool, waited: Duration) -> Option<AuthError> {
        let wanted = self.demand.wanted.swap(false, Ordering::Relaxed);
        let sent = self.demand.newest_sent.load(Ordering::Relaxed);
        let unused = token.generation > 1 && sent + 1 < token.generation;
        let in_vain = at_once && wanted && unused && waited > SHORTEST_BETWEEN;
        self.unused = if in_vain { self.unused + 1 } else { 0 };
        let life = token.expires?.saturating_duration_since(token.asked);
        (self.unused >= MOST_UNUSED).then_some(AuthError::NeverUsed {
            tokens: self.unused,
            life,
        })
    }

    fn fail(&self, error: AuthError) {
        self.state.send_modify(|s| {
            s.token = None;
            s.trouble = None;
            s.failed = Some(error);
        });
    }
}

/// A year from now: for a token whose end nobody knows.
fn never() -> Instant {
    Instant::now() + Duration::from_secs(366 * 24 * 3600)
}

/// The header that a token goes along in, if it can; it is sensitive.
pub(super) fn header(token_use: &TokenUse, token: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = match token_use {
        TokenUse::Header { name, prefix } => (name.clone(), format!("{prefix}{token}")),
        // RFC 6265 section 4.1.1: what ends a cookie can't be in it.
        TokenUse::Cookie(_) if token.contains([';', ',', ' ', '\\']) => return None,
        TokenUse::Cookie(name) => (COOKIE, format!("{name}={token}")),
    };
    if token.is_empty() {
        return None;
    }
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
#[path = "refresher_tests.rs"]
mod tests;
