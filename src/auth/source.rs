//! Where a job's tokens come from: one [`TokenSource`] whatever the kind of `[auth]`.
//!
//! Owns what comes before a token request, and which one is made. Renewal with a
//! refresh token is [`super::refresh`]'s.

use super::discovery::{Need, endpoints};
use super::grant::{GrantError, Granted};
use super::login::log_in;
use super::permits::ApiGate;
use super::refresh::Refresh;
use super::store::TokenStore;
use super::token_request::{Exchange, token_request};
use crate::job::{Grant, GrantKind, Login, TokenUse};
use futures::future::BoxFuture;
use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Begins something of this outcome.
pub(super) type Begin<T> = Box<dyn Fn() -> BoxFuture<'static, Result<T, GrantError>> + Send + Sync>;

/// A source as the refresher asks it.
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
    /// The run is over: a last try to keep what must not be lost.
    pub(super) end: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

/// Yields tokens, one request at a time.
pub struct TokenSource {
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

impl TokenSource {
    /// Tokens by an API's own log-in.
    pub fn log_in(
        login: Login,
        client: reqwest::Client,
        timeout: Duration,
        gate: ApiGate,
    ) -> TokenSource {
        TokenSource {
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
    ) -> TokenSource {
        let way = match grant.kind {
            GrantKind::ClientCredentials | GrantKind::JwtBearer(_) => {
                Way::Fresh(Box::new((grant, OnceLock::new())))
            }
            GrantKind::RefreshToken { .. }
            | GrantKind::AuthorizationCode { .. }
            | GrantKind::DeviceCode { .. } => {
                Way::Refresh(Box::new(Refresh::new(grant, store, job)))
            }
        };
        TokenSource {
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

    /// The same, as the refresher asks for tokens.
    pub(super) fn supply(self) -> Supply {
        let (token_use, precious) = (self.token_use(), self.is_precious());
        let source = Arc::new(self);
        let again = Arc::clone(&source);
        let last = Arc::clone(&source);
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
            end: Box::new(move || {
                let source = Arc::clone(&last);
                Box::pin(async move {
                    if let Way::Refresh(refresh) = &source.way {
                        refresh.end().await;
                    }
                })
            }),
        }
    }

    /// Finds where to ask, and waits for leave to; false when the run is over.
    async fn ready(&self) -> Result<bool, GrantError> {
        let url = match &self.way {
            Way::LogIn(login) => &login.url,
            Way::Fresh(fresh) => self.token_url(&fresh.0, &fresh.1).await?,
            // What is only to be written down is not asked for.
            Way::Refresh(refresh) if refresh.holds_one().await => return Ok(true),
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
            Way::Refresh(refresh) => {
                if let Some(saved) = refresh.save_again().await {
                    return saved;
                }
                let token_url = self.token_url(&refresh.grant, &refresh.token_url).await?;
                refresh.request(token_url, &self.client, self.timeout).await
            }
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
