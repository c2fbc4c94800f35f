//! One token request: the client credentials grant (RFC 6749 section 4.4).
//!
//! The protocol is the `oauth2` crate's; this gives it our HTTP client and
//! sorts what comes back into "wait it out" and "no use trying again". A
//! redirect is never followed: the secret goes to `token_url` and nowhere else.

use super::lifetime::believable;
use crate::job::{ClientAuth, Grant};
use crate::transport::redact;
use base64::prelude::{BASE64_STANDARD, Engine};
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
    BasicTokenIntrospectionResponse,
};
use oauth2::http::StatusCode;
use oauth2::{
    AccessToken, AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, RefreshToken,
    RequestTokenError, Scope, StandardRevocableToken, TokenResponse, TokenType, TokenUrl,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A token response is a few kB; more is not one.
const MAX_RESPONSE: usize = 256 * 1024;

/// What application/x-www-form-urlencoded leaves as it is, beside letters and digits.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'*')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_');

/// Why a token request gave no token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GrantError {
    /// The endpoint refused for good (RFC 6749 section 5.2).
    #[error("the token endpoint refused: {error}{description}")]
    Refused {
        /// RFC 6749 `error`, or the HTTP status.
        error: String,
        /// RFC 6749 `error_description`, with `": "` before it, or nothing.
        description: String,
    },
    /// An answer that no token endpoint gives: the URL is wrong, or, when it
    /// was right before, something stands in the endpoint's place for now.
    #[error("the token endpoint refused: {error}{description}")]
    Odd {
        /// The HTTP status, or what is odd.
        error: String,
        /// More about it, with `": "` before it, or nothing.
        description: String,
    },
    /// The endpoint's certificate is not trusted.
    #[error("the token endpoint: {0}; is token_url right, and this machine's clock?")]
    Untrusted(String),
    /// Worth another try, after `after` when the endpoint said so.
    #[error("{message}")]
    Unavailable {
        /// What happened.
        message: String,
        /// Its Retry-After.
        after: Option<Duration>,
    },
}

/// What a grant yields.
pub(super) struct Granted {
    pub(super) access_token: AccessToken,
    pub(super) life: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Kind(String);
impl TokenType for Kind {}

fn bearer() -> Kind {
    Kind("Bearer".into())
}

/// RFC 6749 section 5.1, read leniently: `token_type` may be missing, and
/// `expires_in` anything.
#[derive(Debug, Serialize, Deserialize)]
struct Response {
    access_token: AccessToken,
    #[serde(default = "bearer")]
    token_type: Kind,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

impl TokenResponse for Response {
    type TokenType = Kind;
    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }
    fn token_type(&self) -> &Kind {
        &self.token_type
    }
    fn expires_in(&self) -> Option<Duration> {
        believable(self.expires_in.as_ref())
    }
    fn refresh_token(&self) -> Option<&RefreshToken> {
        None
    }
    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

type Client = oauth2::Client<
    BasicErrorResponse,
    Response,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

/// Makes one token request. `client` must not follow redirects.
pub(super) async fn request(
    grant: &Grant,
    client: &reqwest::Client,
    timeout: Duration,
) -> Result<Granted, GrantError> {
    exchange(grant, |request| send(client.clone(), request, timeout)).await
}

/// The protocol, whoever sends its one request.
pub(super) async fn exchange<F>(
    grant: &Grant,
    send: impl Fn(HttpRequest) -> F,
) -> Result<Granted, GrantError>
where
    F: Future<Output = Result<HttpResponse, GrantError>>,
{
    let (id, secret) = credentials(grant);
    let token_url = grant.endpoints.token.clone();
    let token_url = token_url.ok_or_else(|| unavailable("no token endpoint is known"))?;
    let protocol = Client::new(ClientId::new(id.to_owned()))
        .set_client_secret(ClientSecret::new(secret.to_owned()))
        .set_auth_type(match grant.client.auth {
            ClientAuth::Basic(_) => AuthType::BasicAuth,
            _ => AuthType::RequestBody,
        })
        .set_token_uri(TokenUrl::from_url(token_url));
    let mut exchange = protocol.exchange_client_credentials();
    for scope in grant.scope.split_whitespace() {
        exchange = exchange.add_scope(Scope::new(scope.to_owned()));
    }
    for (name, value) in &grant.params {
        exchange = exchange.add_extra_param(name.clone(), value.expose_secret().to_owned());
    }
    let response = exchange
        .request_async(&send)
        .await
        .map_err(|error| sort(error, grant))?;
    if !response.token_type.0.eq_ignore_ascii_case("bearer") {
        return Err(GrantError::Odd {
            error: "unsupported token_type".into(),
            description: format!(
                ": {}; harvest sends bearer tokens (RFC 6750) only",
                shown(&response.token_type.0, grant)
            ),
        });
    }
    Ok(Granted {
        life: response.expires_in(),
        access_token: response.access_token,
    })
}

fn sort(error: RequestTokenError<GrantError, BasicErrorResponse>, grant: &Grant) -> GrantError {
    match error {
        RequestTokenError::Request(error) => error,
        RequestTokenError::ServerResponse(response) => {
            let name = response.error().as_ref().to_owned();
            let text = response.error_description().cloned().unwrap_or_default();
            let text = shown(&text, grant);
            let passing = matches!(response.error(), BasicErrorResponseType::Extension(e)
                if ["temporarily_unavailable", "server_error", "slow_down"].contains(&e.as_str()));
            if passing {
                GrantError::Unavailable {
                    message: format!("the token endpoint answered {name}: {text}"),
                    after: None,
                }
            } else {
                let error = shown(&name, grant);
                let description = if text.is_empty() {
                    text
                } else {
                    format!(": {text}")
                };
                match response.error() {
                    // None of RFC 6749's names: it need not be about the credentials.
                    BasicErrorResponseType::Extension(_) => GrantError::Odd { error, description },
                    _ => GrantError::Refused { error, description },
                }
            }
        }
        // The body of an answer that could not be read is not repeated: it may hold a token.
        RequestTokenError::Parse(error, _) => GrantError::Unavailable {
            message: format!(
                "the token endpoint's answer is no token response (at `{}`)",
                // Made of the answer's own names.
                shown(&error.path().to_string(), grant)
            ),
            after: None,
        },
        RequestTokenError::Other(_) => GrantError::Odd {
            error: "an empty error answer".into(),
            description: String::new(),
        },
    }
}

async fn send(
    client: reqwest::Client,
    request: HttpRequest,
    timeout: Duration,
) -> Result<HttpResponse, GrantError> {
    let exchange = async {
        let (mut head, body) = request.into_parts();
        for value in head.headers.values_mut() {
            value.set_sensitive(true);
        }
        let request = oauth2::http::Request::from_parts(head, body)
            .try_into()
            .map_err(|_| unavailable("the token request could not be made"))?;
        let mut response =
            client.execute(request).await.map_err(
                |e| match crate::transport::certificate_problem(&e) {
                    Some(problem) => GrantError::Untrusted(problem),
                    None => unavailable(&format!(
                        "the token endpoint: {}",
                        crate::transport::connection_message(&e)
                    )),
                },
            )?;
        let status = response.status();
        let after = crate::transport::retry_after(response.headers(), std::time::SystemTime::now());
        readable(status, after)?;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|_| unavailable("the token endpoint's answer was cut"))?
        {
            if body.len() + chunk.len() > MAX_RESPONSE {
                return Err(unavailable("the token endpoint's answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        sorted(status, body)
    };
    tokio::time::timeout(timeout, exchange)
        .await
        .unwrap_or_else(|_| Err(unavailable("the token endpoint did not answer in time")))
}

fn unavailable(message: &str) -> GrantError {
    GrantError::Unavailable {
        message: message.to_owned(),
        after: None,
    }
}

/// Whether an answer of this status has a body that is worth reading.
pub(super) fn readable(status: StatusCode, after: Option<Duration>) -> Result<(), GrantError> {
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        return Err(GrantError::Unavailable {
            message: format!("the token endpoint answered {status}"),
            after,
        });
    }
    if status.is_redirection() {
        return Err(GrantError::Odd {
            error: status.to_string(),
            description: ": token_url redirects, and a secret is never sent along a redirect; \
                          give the final URL"
                .into(),
        });
    }
    Ok(())
}

/// The answer with the status that makes the crate read it for what it is.
pub(super) fn sorted(status: StatusCode, body: Vec<u8>) -> Result<HttpResponse, GrantError> {
    let is_oauth_error = serde_json::from_slice::<serde_json::Value>(&body)
        .is_ok_and(|v| v.get("error").is_some_and(serde_json::Value::is_string));
    if !status.is_success() && !is_oauth_error {
        return Err(GrantError::Odd {
            error: status.to_string(),
            description: ": is token_url right?".into(),
        });
    }
    let mut answer = HttpResponse::new(body);
    // Some providers answer an error with 200; the crate reads it as an error only otherwise.
    *answer.status_mut() = if is_oauth_error {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    Ok(answer)
}

fn credentials(grant: &Grant) -> (&str, &str) {
    let id = grant.client.id.as_ref().map_or("", |id| id.expose_secret());
    let secret = match &grant.client.auth {
        ClientAuth::Basic(secret) | ClientAuth::Post(secret) => secret.expose_secret(),
        _ => "",
    };
    (id, secret)
}

/// A server's words as a message may show them: without the credentials that
/// we sent, in the spellings that we sent them in.
fn shown(text: &str, grant: &Grant) -> String {
    let form = |text: &str| {
        percent_encoding::utf8_percent_encode(text, FORM)
            .to_string()
            .replace("%20", "+")
    };
    let (id, secret) = credentials(grant);
    let basic = BASE64_STANDARD.encode(format!("{}:{}", form(id), form(secret)));
    let plain = BASE64_STANDARD.encode(format!("{id}:{secret}"));
    redact(
        text,
        [
            basic.as_bytes(),
            plain.as_bytes(),
            secret.as_bytes(),
            id.as_bytes(),
        ],
    )
}
