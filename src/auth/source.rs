//! Where a job's tokens come from: one [`Source`] whatever the kind of `[auth]`.
//!
//! Owns the order of a renewal with a refresh token: the store is locked, what
//! another process renewed meanwhile is taken over, otherwise the server is
//! asked, and the new refresh token is durable before anybody sees the access
//! token that came with it. A refresh token that can't be written down is held
//! until it can be.

use super::discovery::{Need, endpoints};
use super::grant::{GrantError, Granted};
use super::login::log_in;
use super::permits::ApiGate;
use super::store::{LockedTokens, StoreError, StoredTokens, TokenStore};
use super::token_request::{Exchange, token_request};
use crate::fail_point::fail_point;
use crate::job::{Grant, GrantKind, Login, TokenUse};
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine};
use futures::future::BoxFuture;
use reqwest::Url;
use reqwest::header::AUTHORIZATION;
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

/// Begins something of this outcome.
pub(super) type Begin<T> = Box<dyn Fn() -> BoxFuture<'static, Result<T, GrantError>> + Send + Sync>;

/// A source as the keeper asks it.
pub(super) struct Supply {
    /// All that comes before a token request: where to ask, and leave to send.
    /// False when the run is over.
    pub(super) ready: Begin<bool>,
    /// Makes one token request.
    pub(super) ask: Begin<Granted>,
    /// How a token goes along with a request.
    pub(super) token_use: TokenUse,
    /// A token request under way is waited for, even when the run is over.
    pub(super) precious: bool,
}

/// Yields tokens, one request at a time.
pub struct Source {
    way: Way,
    client: reqwest::Client,
    timeout: Duration,
    gate: ApiGate,
}

enum Way {
    /// An API's own log-in.
    LogIn(Box<Login>),
    /// A grant that needs nothing but the job file.
    Fresh(Box<(Grant, OnceLock<Url>)>),
    /// A grant that lives by its refresh token.
    Refresh(Box<Refresh>),
}

struct Refresh {
    grant: Grant,
    token_url: OnceLock<Url>,
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

impl Source {
    /// Tokens by an API's own log-in.
    pub fn log_in(
        login: Login,
        client: reqwest::Client,
        timeout: Duration,
        gate: ApiGate,
    ) -> Source {
        Source {
            way: Way::LogIn(Box::new(login)),
            client,
            timeout,
            gate,
        }
    }

    /// Tokens by a grant. `store` keeps what a refresh token turns into;
    /// `job` is the job file, as a person would name it.
    pub fn grant(
        grant: Grant,
        store: Arc<dyn TokenStore>,
        job: &Path,
        client: reqwest::Client,
        timeout: Duration,
        gate: ApiGate,
    ) -> Source {
        let way = match grant.kind {
            GrantKind::ClientCredentials | GrantKind::JwtBearer(_) => {
                Way::Fresh(Box::new((grant, OnceLock::new())))
            }
            GrantKind::RefreshToken { .. }
            | GrantKind::AuthorizationCode { .. }
            | GrantKind::DeviceCode { .. } => Way::Refresh(Box::new(Refresh {
                grant,
                token_url: OnceLock::new(),
                store,
                job: job.to_owned(),
                state: Mutex::default(),
            })),
        };
        Source {
            way,
            client,
            timeout,
            gate,
        }
    }

    /// How its tokens go along with a request.
    fn token_use(&self) -> TokenUse {
        match &self.way {
            Way::LogIn(login) => login.send.clone(),
            _ => TokenUse::Header {
                name: AUTHORIZATION,
                prefix: "Bearer ".to_owned(),
            },
        }
    }

    /// A request under way must not be dropped: what it yields exists only once.
    fn is_precious(&self) -> bool {
        matches!(self.way, Way::Refresh(_))
    }

    /// The same, as the keeper asks for tokens.
    pub(super) fn supply(self) -> Supply {
        let (token_use, precious) = (self.token_use(), self.is_precious());
        let source = Arc::new(self);
        let again = Arc::clone(&source);
        Supply {
            ready: Box::new(move || {
                let source = Arc::clone(&source);
                Box::pin(async move { source.ready().await })
            }),
            ask: Box::new(move || {
                let source = Arc::clone(&again);
                Box::pin(async move { source.request().await })
            }),
            token_use,
            precious,
        }
    }

    /// Finds where to ask, and waits for leave to; false when the run is over.
    async fn ready(&self) -> Result<bool, GrantError> {
        let url = match &self.way {
            Way::LogIn(login) => &login.url,
            Way::Fresh(fresh) => self.token_url(&fresh.0, &fresh.1).await?,
            // What is only to be written down is not asked for.
            Way::Refresh(refresh) if refresh.state.lock().await.unsaved.is_some() => {
                return Ok(true);
            }
            Way::Refresh(refresh) => self.token_url(&refresh.grant, &refresh.token_url).await?,
        };
        Ok(self.gate.pass(url).await)
    }

    /// The next token. Asked one at a time.
    pub(super) async fn request(&self) -> Result<Granted, GrantError> {
        match &self.way {
            Way::LogIn(login) => log_in(login, &self.client, self.timeout).await,
            Way::Fresh(fresh) => {
                let (grant, token_url) = &**fresh;
                let token_url = self.token_url(grant, token_url).await?;
                let exchange = match &grant.kind {
                    GrantKind::JwtBearer(assertion) => Exchange::JwtBearer(assertion),
                    _ => Exchange::ClientCredentials,
                };
                token_request(grant, token_url, &exchange, &self.client, self.timeout).await
            }
            Way::Refresh(refresh) => refresh.request(self).await,
        }
    }

    async fn token_url<'u>(
        &self,
        grant: &Grant,
        known: &'u OnceLock<Url>,
    ) -> Result<&'u Url, GrantError> {
        if let Some(url) = known.get() {
            return Ok(url);
        }
        let found = endpoints(grant, Need::Token, &self.client, self.timeout, &self.gate).await?;
        Ok(known.get_or_init(|| found.token))
    }
}

impl Refresh {
    async fn request(&self, source: &Source) -> Result<Granted, GrantError> {
        let mut state = self.state.lock().await;
        if let Some(unsaved) = state.unsaved.take() {
            return save(&mut state, unsaved).await;
        }
        let token_url = source.token_url(&self.grant, &self.token_url).await?;
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
        let granted = token_request(
            &self.grant,
            token_url,
            &exchange,
            &source.client,
            source.timeout,
        )
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
#[path = "source_tests.rs"]
mod tests;
