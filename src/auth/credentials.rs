//! What goes along with each request, by kind of authentication.

use super::{SharedToken, StoreError, Token};
use crate::job::{ApiKeyPlace, Auth};
use base64::prelude::{BASE64_STANDARD, Engine};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// Credentials that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A credential that fits no header.
    #[error("[auth] `{key}` holds a character that no HTTP header can carry (a newline, perhaps)")]
    Unsendable {
        /// Its key in the job file.
        key: &'static str,
    },
    /// The kept tokens.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The credentials of one job.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// None.
    None,
    /// Always the same header.
    Header(HeaderName, HeaderValue),
    /// Always the same query parameter.
    Query(String, SecretString),
    /// The shared token of the moment.
    Token(SharedToken),
}

impl Credentials {
    /// The credentials of every kind but a grant; `Ok(None)` for a grant.
    pub fn fixed(auth: &Auth) -> Result<Option<Credentials>, CredentialError> {
        let header = |name: HeaderName, text: &str, key| {
            let mut value =
                HeaderValue::from_str(text).map_err(|_| CredentialError::Unsendable { key })?;
            value.set_sensitive(true);
            Ok(Some(Credentials::Header(name, value)))
        };
        match auth {
            Auth::None => Ok(Some(Credentials::None)),
            Auth::Grant(_) | Auth::Login(_) => Ok(None),
            Auth::Bearer { token } => header(
                AUTHORIZATION,
                &format!("Bearer {}", token.expose_secret()),
                "token",
            ),
            Auth::Basic { username, password } => {
                let pair =
                    BASE64_STANDARD.encode(format!("{username}:{}", password.expose_secret()));
                header(AUTHORIZATION, &format!("Basic {pair}"), "password")
            }
            Auth::ApiKey { place, name, value } => match place {
                ApiKeyPlace::Header => {
                    let name = HeaderName::from_bytes(name.as_bytes())
                        .map_err(|_| CredentialError::Unsendable { key: "name" })?;
                    header(name, value.expose_secret(), "value")
                }
                ApiKeyPlace::Query => Ok(Some(Credentials::Query(name.clone(), value.clone()))),
            },
        }
    }

    /// The shared token's readers' end, where there is one.
    pub fn shared_token(&self) -> Option<&SharedToken> {
        match self {
            Credentials::Token(shared) => Some(shared),
            _ => None,
        }
    }
}

/// The credentials as one attempt takes them: the token of the moment, never kept with an item.
#[derive(Debug, Clone)]
pub enum Presented {
    /// Nothing.
    None,
    /// A header.
    Header(HeaderName, HeaderValue),
    /// A query parameter.
    Query(String, SecretString),
    /// A token, of this generation.
    Token(Arc<Token>),
}

impl Credentials {
    /// What to present now; `None` while there is no live token.
    pub fn present(&self, now: tokio::time::Instant) -> Option<Presented> {
        Some(match self {
            Credentials::None => Presented::None,
            Credentials::Header(name, value) => Presented::Header(name.clone(), value.clone()),
            Credentials::Query(name, value) => Presented::Query(name.clone(), value.clone()),
            Credentials::Token(shared) => Presented::Token(shared.current(now)?),
        })
    }

    /// Notes that a request goes out with this.
    pub fn sent(&self, presented: &Presented) {
        if let (Credentials::Token(shared), Presented::Token(token)) = (self, presented) {
            shared.sent(token.generation);
        }
    }

    /// Notes that a request waits for its turn.
    pub fn wanted(&self) {
        if let Credentials::Token(shared) = self {
            shared.wanted();
        }
    }

    /// Waits until there is something live to present. `None` when there won't be.
    pub async fn wait_until_live(&self) -> Option<()> {
        let Credentials::Token(shared) = self else {
            return Some(());
        };
        let mut shared = shared.clone();
        loop {
            if shared.current(tokio::time::Instant::now()).is_some() {
                return Some(());
            }
            if shared.state().failed.is_some() {
                return None;
            }
            shared.changed().await;
        }
    }
}
