//! What a person does once, so that runs can renew their tokens by themselves:
//! the authorization code grant with PKCE, and the device grant.
//!
//! Owns those two conversations, from the link that is shown to the tokens.
//! Where the tokens are kept is the store's, and what the person sees the
//! caller's: it gets a [`Prompt`]. Must never show a token, a code that is one,
//! or believe a browser that does not bring our `state` back.

mod authorization;
mod client;
mod device;
mod loopback;
mod page;
mod revoke;
#[cfg(test)]
mod testing;

pub use revoke::{Revoked, revoke};

use self::client::{Client, Keeping};
use super::discovery::{Need, Resolved, endpoints};
use super::grant::GrantError;
use super::permits::ApiGate;
use super::store::{StoredTokens, TokenStore};
use super::token_request::Exchange;
use crate::job::{Grant, GrantKind};
use oauth2::StandardDeviceAuthorizationResponse;
use reqwest::Url;
use secrecy::SecretString;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What the person has to do.
#[derive(Debug)]
pub enum Prompt<'a> {
    /// Open this link in a browser on this machine.
    Visit {
        /// The authorization request.
        url: &'a Url,
    },
    /// Open a link anywhere and enter a code (RFC 8628 section 3.3).
    Enter {
        /// The code.
        user_code: &'a str,
        /// Where to enter it.
        verification_uri: &'a Url,
        /// The same with the code in it.
        complete: Option<&'a Url>,
        /// How long the code is good for.
        expires_in: Duration,
    },
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// The fixed port is not to be had.
    #[error(
        "port {port} of 127.0.0.1, where the browser is to come back to, can't be listened on: {cause}; \
         another program has it, or `redirect_port` in [auth] is meant to be another one"
    )]
    Port {
        /// `redirect_port`.
        port: u16,
        /// What the operating system said.
        cause: io::Error,
    },
    /// No port is to be had.
    #[error("127.0.0.1, where the browser is to come back to, can't be listened on: {0}")]
    Listen(io::Error),
    /// The person or the server said no (RFC 6749 section 4.1.2.1).
    #[error("the log-in was refused: {error}{description}")]
    Refused {
        /// RFC 6749 `error`.
        error: String,
        /// RFC 6749 `error_description`, with `": "` before it, or nothing.
        description: String,
    },
    /// The answer is another server's (RFC 9207).
    #[error(
        "the browser brought an answer that is not {expected}'s; nothing of it was used. Is `issuer` in [auth] right?"
    )]
    Issuer {
        /// The issuer.
        expected: String,
    },
    /// No code, and no error either.
    #[error("the browser came back without a code; try again")]
    NoCode,
    /// The device code has expired.
    #[error("the code was not entered in time; run the command again for a new one")]
    Expired,
    /// The device authorization endpoint's answer can't be used.
    #[error("the device authorization endpoint answered with {0}")]
    OddDevice(&'static str),
    /// This grant needs nobody.
    #[error("this kind of [auth] needs no person")]
    NoPerson,
    /// An endpoint said no, or nothing.
    #[error(transparent)]
    Grant(#[from] GrantError),
}

/// Gets tokens for a grant that needs a person, who learns by `prompt` what to
/// do, and keeps them in `store`. Waits for the person without an end; dropped
/// meanwhile, it leaves nothing behind.
///
/// # Errors
/// [`ConsentError`]: nothing was granted, or it could not be kept.
pub async fn obtain(
    grant: &Grant,
    store: Arc<dyn TokenStore>,
    http: &reqwest::Client,
    timeout: Duration,
    prompt: impl Fn(&Prompt<'_>),
) -> Result<StoredTokens, ConsentError> {
    let endpoints = endpoints(grant, Need::Login, http, timeout, &ApiGate::default()).await?;
    let server = Server::new(grant, &endpoints);
    let ask = Keeping {
        client: Client {
            grant,
            endpoints: &endpoints,
            http,
            timeout,
        },
        store,
    };
    match &grant.kind {
        GrantKind::DeviceCode {
            authorization_params,
        } => device::obtain(grant, &server, authorization_params, &ask, prompt).await,
        GrantKind::AuthorizationCode {
            redirect_port,
            authorization_params,
        } => {
            let (port, params) = (*redirect_port, authorization_params);
            authorization::obtain(grant, &server, port, params, &ask, prompt).await
        }
        _ => Err(ConsentError::NoPerson),
    }
}

/// The server that a grant's person logs in at, as they know it: its host.
pub fn server_name(grant: &Grant) -> String {
    let endpoints = &grant.endpoints;
    let issuer = endpoints.issuer.as_ref().map(|issuer| &issuer.url);
    let said = [
        issuer,
        endpoints.authorization.as_ref(),
        endpoints.device_authorization.as_ref(),
        endpoints.token.as_ref(),
    ];
    let host = said.into_iter().flatten().find_map(|url| url.host_str());
    host.unwrap_or("the server").to_owned()
}

/// Asks the server as the grant's client, and keeps what it gives.
trait Ask {
    /// One token request. What it yields is kept when it is there.
    fn tokens(
        &self,
        exchange: &Exchange<'_>,
    ) -> impl Future<Output = Result<StoredTokens, GrantError>>;
    /// One device authorization request with this form.
    fn device(
        &self,
        endpoint: &Url,
        form: Vec<(&str, SecretString)>,
    ) -> impl Future<Output = Result<StandardDeviceAuthorizationResponse, GrantError>>;
}

/// The authorization server of a log-in.
#[derive(Debug, Clone)]
struct Server {
    /// For people.
    name: String,
    /// Its identifier, when the job names it.
    issuer: Option<String>,
    /// RFC 9207: its answers always say who gives them.
    iss_promised: bool,
    authorization: Option<Url>,
    device: Option<Url>,
}

impl Server {
    fn new(grant: &Grant, endpoints: &Resolved) -> Server {
        let issuer = grant.endpoints.issuer.as_ref();
        Server {
            name: server_name(grant),
            issuer: issuer.map(|issuer| issuer.text.clone()),
            iss_promised: endpoints.iss_promised,
            authorization: endpoints.authorization.clone(),
            device: endpoints.device_authorization.clone(),
        }
    }
}
