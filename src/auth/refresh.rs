//! A grant that lives by its refresh token.
//!
//! Owns the order of a renewal: the store is locked, what another process
//! renewed meanwhile is taken over, otherwise the server is asked, and the new
//! refresh token is durable before anybody sees the access token that came with
//! it. A refresh token that can't be written down is held until it can be.

use super::grant::{GrantError, Granted};
use super::store::{LockedTokens, StoreError, StoredTokens, TokenStore};
use super::token_request::{Exchange, token_request};
use crate::fail_point::fail_point;
use crate::job::{Grant, GrantKind};
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine};
use reqwest::Url;
use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A kept access token that dies sooner is not worth beginning with.
const WORTH_USING: Duration = Duration::from_secs(30);
/// No kept token is believed to live longer: clocks get set.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A grant that lives by its refresh token.
pub(super) struct Refresh {
    pub(super) grant: Grant,
    pub(super) token_url: OnceLock<Url>,
    store: Arc<dyn TokenStore>,
    job: PathBuf,
    state: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// The access token that was handed out last: being asked again means that its time is over.
    handed_out: Option<SecretString>,
    /// What the server gave and the store did not take yet.
    unsaved: Option<Unsaved>,
}

struct Unsaved {
    locked: Box<dyn LockedTokens>,
    tokens: StoredTokens,
    granted: Granted,
}

impl Refresh {
    /// `store` keeps what the refresh token turns into; `job` is the job file,
    /// as a person would name it.
    pub(super) fn new(grant: Grant, store: Arc<dyn TokenStore>, job: &Path) -> Refresh {
        Refresh {
            grant,
            token_url: OnceLock::new(),
            store,
            job: job.to_owned(),
            state: Mutex::default(),
        }
    }

    /// Whether a new refresh token is still to be written down.
    pub(super) async fn holds_one(&self) -> bool {
        self.state.lock().await.unsaved.is_some()
    }

    /// Writes down what could not be written down before; `None` when that is nothing.
    pub(super) async fn save_again(&self) -> Option<Result<Granted, GrantError>> {
        let mut state = self.state.lock().await;
        let unsaved = state.unsaved.take()?;
        Some(save(&mut state, unsaved).await)
    }

    /// Nothing is asked for after this: what is held is kept now, or lost.
    pub(super) async fn end(&self) {
        if let Some(Err(error)) = self.save_again().await {
            let way = match &self.grant.kind {
                GrantKind::RefreshToken { .. } => {
                    "the provider may want you to get another one".to_owned()
                }
                _ => format!("run `{}` when it can be", self.login()),
            };
            tracing::error!("{error}, and the run has ended: it is lost; {way}");
        }
    }

    /// The next token: another process's, or one that is asked for.
    pub(super) async fn request(
        &self,
        token_url: &Url,
        client: &reqwest::Client,
        timeout: Duration,
    ) -> Result<Granted, GrantError> {
        let mut state = self.state.lock().await;
        let store = Arc::clone(&self.store);
        let (locked, stored) = blocking(move || {
            let locked = store.lock()?;
            let stored = locked.load()?;
            Ok((locked, stored))
        })
        .await?;
        let seed = self.seed();
        let stored = stored.filter(|stored| stored.seed == seed);
        let now = SystemTime::now();
        if let Some(stored) = &stored
            && !is_same(state.handed_out.as_ref(), &stored.access_token)
            && let Some(life) = life_left(stored, now)
        {
            state.handed_out = Some(stored.access_token.clone());
            return Ok(Granted {
                access_token: stored.access_token.clone(),
                refresh_token: None,
                asked: Instant::now(),
                life,
                kept: true,
            });
        }
        let refresh_token = self.refresh_token(stored.as_ref())?;
        let exchange = Exchange::RefreshToken(&refresh_token);
        let granted = token_request(&self.grant, token_url, &exchange, client, timeout)
            .await
            .map_err(|error| self.explained(error))?;
        fail_point!("token: granted");
        let unsaved = Unsaved {
            locked,
            tokens: granted.to_stored(Some(&refresh_token), seed, now),
            granted,
        };
        save(&mut state, unsaved).await
    }

    /// What the kept tokens must go back to.
    fn seed(&self) -> Option<String> {
        match &self.grant.kind {
            GrantKind::RefreshToken { refresh_token } => {
                let digest = digest(&SHA256, refresh_token.expose_secret().as_bytes());
                Some(BASE64_STANDARD_NO_PAD.encode(digest))
            }
            _ => None,
        }
    }

    fn refresh_token(&self, stored: Option<&StoredTokens>) -> Result<SecretString, GrantError> {
        if let Some(token) = stored.and_then(|stored| stored.refresh_token.as_ref()) {
            return Ok(token.clone());
        }
        match (&self.grant.kind, stored) {
            (GrantKind::RefreshToken { refresh_token }, _) => Ok(refresh_token.clone()),
            (_, None) => Err(GrantError::NeedsPerson(format!(
                "nobody has logged in for this job yet: run `{}`",
                self.login()
            ))),
            (_, Some(_)) => Err(GrantError::NeedsPerson(format!(
                "the log-in has run out, and the server gave no refresh token with it: run `{}` \
                 (many servers give one for `scope = \"offline_access\"`)",
                self.login()
            ))),
        }
    }

    /// The command that signs in.
    fn login(&self) -> String {
        format!("harvest login {}", self.job.display())
    }

    /// A refusal of the refresh token, with what to do about it.
    fn explained(&self, error: GrantError) -> GrantError {
        match &error {
            GrantError::Refused {
                error, description, ..
            } if error == "invalid_grant" => GrantError::NeedsPerson(match &self.grant.kind {
                GrantKind::RefreshToken { .. } => format!(
                    "the refresh token is not good any more ({error}{description}): get a new \
                         one from the provider and put it in the place of `refresh_token`"
                ),
                _ => format!(
                    "the log-in is not good any more ({error}{description}): run `{}`",
                    self.login()
                ),
            }),
            _ => error,
        }
    }
}

/// Makes the tokens durable, then hands the access token out.
async fn save(state: &mut Progress, unsaved: Unsaved) -> Result<Granted, GrantError> {
    let (unsaved, result) = tokio::task::spawn_blocking(move || {
        let mut unsaved = unsaved;
        let result = unsaved.locked.save(&unsaved.tokens);
        (unsaved, result)
    })
    .await
    .map_err(|_| GrantError::unavailable("the token cache could not be written"))?;
    if let Err(error) = result {
        // Dropped, it would be lost for good: the server takes the old one no more.
        state.unsaved = Some(unsaved);
        return Err(GrantError::unavailable(format!(
            "{error}; the new refresh token is held until it can be kept"
        )));
    }
    fail_point!("token: kept");
    state.handed_out = Some(unsaved.granted.access_token.clone());
    Ok(unsaved.granted)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, GrantError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(GrantError::unavailable("the token cache could not be used")),
    }
}

fn is_same(known: Option<&SecretString>, token: &SecretString) -> bool {
    known.is_some_and(|known| known.expose_secret() == token.expose_secret())
}

/// How long a kept access token can still be used, if it is worth it.
fn life_left(stored: &StoredTokens, now: SystemTime) -> Option<Option<Duration>> {
    let Some(expires) = stored.expires else {
        return Some(None);
    };
    let left = expires.duration_since(now).ok()?;
    (WORTH_USING..=LONGEST)
        .contains(&left)
        .then_some(Some(left))
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
