//! The job's credentials, and where its tokens come from.
//!
//! Owns what `--sandbox` puts in the place of a job's endpoints: the embedded
//! API grants tokens at any path, and logs in anybody in a way of its own.

use super::{
    ApiGate, CredentialError, Credentials, MemoryStore, SidePermits, Source, StoredTokens,
    TokenKeeper, TokenStore,
};
use crate::job::{Auth, Grant, Job, Login, LoginLife, LoginToken, json_path};
use reqwest::Url;
use reqwest::header::HeaderName;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

impl Credentials {
    /// The job's credentials, and the keeper of the token where they have one.
    pub fn of(
        job: &Job,
        base: Option<&str>,
        client: &reqwest::Client,
        side_permits: &SidePermits,
    ) -> Result<(Credentials, Option<TokenKeeper>), CredentialError> {
        if let Some(fixed) = Credentials::fixed(&job.auth)? {
            return Ok((fixed, None));
        }
        let timeout = job.request.timeout.min(Duration::from_secs(60));
        let client = client.clone();
        // Whatever asks for a token there takes a permit of the API's quota.
        let api_host = match base.map(Url::parse) {
            Some(Ok(base)) => base.host_str().unwrap_or_default().to_owned(),
            _ => job.request.url.host().to_owned(),
        };
        let gate = ApiGate::before(&api_host, side_permits.clone());
        let source = match job.auth.clone() {
            Auth::Login(mut login) => {
                if let Some(base) = base {
                    log_in_at(base, &mut login);
                }
                Source::log_in(*login, client, timeout, gate)
            }
            Auth::Grant(mut grant) => {
                let store: Arc<dyn TokenStore> = match base {
                    Some(base) => {
                        ask_at(base, &mut grant);
                        Arc::new(signed_in(&grant)?)
                    }
                    None => super::open_store(&grant)?,
                };
                Source::grant(*grant, store, &job.path, client, timeout, gate)
            }
            _ => return Ok((Credentials::None, None)),
        };
        let (keeper, shared) = TokenKeeper::new(source, job.limits.max_wait);
        Ok((Credentials::Token(shared), Some(keeper)))
    }
}

/// The grant's requests go to the embedded API, path and all.
fn ask_at(base: &str, grant: &mut Grant) {
    let token = grant.endpoints.token.as_ref();
    let path = token.map_or("/api/token", |url| url.path());
    if let Ok(url) = Url::parse(&format!("{base}{path}")) {
        grant.endpoints.token = Some(url);
        grant.endpoints.issuer = None;
    }
}

/// The log-in is the embedded API's, which has the token in places of its own.
fn log_in_at(base: &str, login: &mut Login) {
    if let Ok(url) = Url::parse(&format!("{base}/login")) {
        login.url = url;
    }
    login.token = match &login.token {
        LoginToken::Header(_) => LoginToken::Header(HeaderName::from_static("x-auth-token")),
        LoginToken::Cookie(_) => LoginToken::Cookie("session".to_owned()),
        LoginToken::Body(path) => {
            LoginToken::Body(json_path("$.token").unwrap_or_else(|_| path.clone()))
        }
    };
    login.life = json_path("$.expires_in").ok().map(LoginLife::Body);
}

/// What nobody has to log in for: the embedded API takes any refresh token.
fn signed_in(grant: &Grant) -> Result<MemoryStore, CredentialError> {
    let store = MemoryStore::default();
    if grant.needs_login() {
        let tokens = StoredTokens {
            refresh_token: Some("sandbox".into()),
            access_token: "sandbox".into(),
            expires: Some(SystemTime::UNIX_EPOCH),
            seed: None,
        };
        store.lock()?.save(&tokens)?;
    }
    Ok(store)
}
