//! One token request, by any OAuth2 grant.
//!
//! The protocol is the `oauth2` crate's; this gives it our HTTP client, signs
//! assertions, and sorts what comes back into "wait it out" and "no use trying
//! again". The crate knows no assertions: a request is made as for client
//! credentials, and gets its own grant's name before it is sent.

use super::assertion::signed;
use super::client_auth::{client_assertion, credentials, described, told};
use super::grant::{Authority, GrantError, Granted};
use super::lifetime::believable;
use super::send;
use crate::job::{Assertion, ClientAuth, Grant};
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
    BasicTokenIntrospectionResponse,
};
use oauth2::http::StatusCode;
use oauth2::{
    AccessToken, AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, RefreshToken,
    RequestTokenError, Scope, StandardRevocableToken, TokenResponse, TokenType, TokenUrl,
};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

const WHO: Authority = Authority::TOKEN_ENDPOINT;

/// What is exchanged for a token.
#[derive(Debug, Clone, Copy)]
pub enum Exchange<'a> {
    /// The client's own credentials (RFC 6749 section 4.4).
    ClientCredentials,
    /// A refresh token (RFC 6749 section 6).
    RefreshToken(&'a SecretString),
    /// An authorization code with its PKCE verifier (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
    AuthorizationCode {
        /// `code`.
        code: &'a SecretString,
        /// `redirect_uri`, as the authorization request had it.
        redirect_uri: &'a str,
        /// `code_verifier`.
        verifier: &'a SecretString,
    },
    /// A device code (RFC 8628 section 3.4).
    DeviceCode(&'a SecretString),
    /// A signed assertion (RFC 7523 section 2.1).
    JwtBearer(&'a Assertion),
}

impl Exchange<'_> {
    fn grant_type(&self) -> &'static str {
        match self {
            Exchange::ClientCredentials => "client_credentials",
            Exchange::RefreshToken(_) => "refresh_token",
            Exchange::AuthorizationCode { .. } => "authorization_code",
            Exchange::DeviceCode(_) => "urn:ietf:params:oauth:grant-type:device_code",
            Exchange::JwtBearer(_) => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    /// Whether `scope` goes along here: the other grants said it when a person was asked.
    fn says_scope(&self) -> bool {
        matches!(self, Exchange::ClientCredentials | Exchange::JwtBearer(_))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct AnyTokenType(String);
impl TokenType for AnyTokenType {}

fn bearer() -> AnyTokenType {
    AnyTokenType("Bearer".into())
}

/// RFC 6749 section 5.1, read leniently: `token_type` may be missing, and
/// `expires_in` anything.
#[derive(Debug, Serialize, Deserialize)]
struct Response {
    access_token: AccessToken,
    #[serde(default = "bearer")]
    token_type: AnyTokenType,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
    #[serde(default)]
    refresh_token: Option<RefreshToken>,
}

impl TokenResponse for Response {
    type TokenType = AnyTokenType;
    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }
    fn token_type(&self) -> &AnyTokenType {
        &self.token_type
    }
    fn expires_in(&self) -> Option<Duration> {
        believable(self.expires_in.as_ref())
    }
    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
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

/// Makes one token request. `client` must not follow redirects; `issuer`, when
/// the job names one, is the audience of the client's assertion.
pub async fn token_request(
    grant: &Grant,
    token_url: &Url,
    exchange: &Exchange<'_>,
    client: &reqwest::Client,
    timeout: Duration,
) -> Result<Granted, GrantError> {
    converse(grant, token_url, exchange, |request| {
        let client = client.clone();
        async move {
            let answer = send::send(&client, request, timeout, WHO).await?;
            sorted(answer.status(), answer.into_body())
        }
    })
    .await
}

/// The protocol, whoever sends its one request.
pub(super) async fn converse<F>(
    grant: &Grant,
    token_url: &Url,
    exchange: &Exchange<'_>,
    send: impl Fn(HttpRequest) -> F,
) -> Result<Granted, GrantError>
where
    F: Future<Output = Result<HttpResponse, GrantError>>,
{
    let params = own_params(grant, token_url, exchange)?;
    let (id, secret) = credentials(grant);
    let mut protocol = Client::new(ClientId::new(id.to_owned()))
        .set_auth_type(match grant.client.auth {
            ClientAuth::Basic(_) => AuthType::BasicAuth,
            _ => AuthType::RequestBody,
        })
        .set_token_uri(TokenUrl::from_url(token_url.clone()));
    if !secret.is_empty() {
        protocol = protocol.set_client_secret(ClientSecret::new(secret.to_owned()));
    }
    let mut request = protocol.exchange_client_credentials();
    if exchange.says_scope() {
        for scope in grant.scope.split_whitespace() {
            request = request.add_scope(Scope::new(scope.to_owned()));
        }
    }
    for (name, value) in params.iter().chain(&grant.params) {
        request = request.add_extra_param(name.clone(), value.expose_secret().to_owned());
    }
    let sent = || params.iter().map(|(name, value)| (name.as_str(), value));
    let shown = |text: &str| told(text, grant, sent());
    let send = |request: HttpRequest| send(named(request, exchange.grant_type()));
    let asked = Instant::now();
    let response = request
        .request_async(&send)
        .await
        .map_err(|error| sort(error, &shown))?;
    if !response.token_type.0.eq_ignore_ascii_case("bearer") {
        return Err(GrantError::Odd {
            who: WHO,
            error: "unsupported token_type".into(),
            description: format!(
                ": {}; harvest sends bearer tokens (RFC 6750) only",
                shown(&response.token_type.0)
            ),
        });
    }
    Ok(Granted {
        asked,
        life: response.expires_in(),
        access_token: response.access_token.into_secret().into(),
        refresh_token: response
            .refresh_token
            .map(|token| SecretString::from(token.into_secret()))
            .filter(|token| !token.expose_secret().is_empty()),
        kept: false,
    })
}

/// The parameters of this exchange, and of the client's assertion.
fn own_params(
    grant: &Grant,
    token_url: &Url,
    exchange: &Exchange<'_>,
) -> Result<Vec<(String, SecretString)>, GrantError> {
    let mut params: Vec<(&str, SecretString)> = Vec::new();
    match *exchange {
        Exchange::ClientCredentials => {}
        Exchange::RefreshToken(token) => params.push(("refresh_token", token.clone())),
        Exchange::AuthorizationCode {
            code,
            redirect_uri,
            verifier,
        } => {
            params.push(("code", code.clone()));
            params.push(("redirect_uri", redirect_uri.into()));
            params.push(("code_verifier", verifier.clone()));
        }
        Exchange::DeviceCode(code) => params.push(("device_code", code.clone())),
        Exchange::JwtBearer(assertion) => {
            let signed = signed(assertion, token_url.as_str(), SystemTime::now())?;
            params.push(("assertion", signed));
        }
    }
    if let ClientAuth::PrivateKeyJwt(assertion) = &grant.client.auth {
        params.extend(client_assertion(grant, assertion, token_url)?);
    }
    let params = params.into_iter();
    Ok(params
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}

/// The request with its own grant's name, and without the `client_id` of a client that has none.
fn named(request: HttpRequest, grant_type: &str) -> HttpRequest {
    let (head, body) = request.into_parts();
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(&body) {
        match &*name {
            "grant_type" => form.append_pair(&name, grant_type),
            "client_id" if value.is_empty() => continue,
            _ => form.append_pair(&name, &value),
        };
    }
    HttpRequest::from_parts(head, form.finish().into_bytes())
}

fn sort(
    error: RequestTokenError<GrantError, BasicErrorResponse>,
    shown: &impl Fn(&str) -> String,
) -> GrantError {
    match error {
        RequestTokenError::Request(error) => error,
        RequestTokenError::ServerResponse(response) => {
            let name = response.error().as_ref().to_owned();
            if let "authorization_pending" | "slow_down" = name.as_str() {
                return GrantError::Pending {
                    slow_down: name == "slow_down",
                };
            }
            let text = response.error_description().cloned().unwrap_or_default();
            let text = shown(&text);
            let passing = matches!(response.error(), BasicErrorResponseType::Extension(e)
                if ["temporarily_unavailable", "server_error"].contains(&e.as_str()));
            if passing {
                GrantError::Unavailable {
                    message: format!("the token endpoint answered {name}: {text}"),
                    after: None,
                }
            } else {
                let description = described(text);
                let is_known = match response.error() {
                    // RFC 8628 section 3.5 adds two; another need not be about the credentials.
                    BasicErrorResponseType::Extension(name) => {
                        ["access_denied", "expired_token"].contains(&name.as_str())
                    }
                    _ => true,
                };
                // Such a name is nobody's secret, and looked at further on.
                let error = if is_known { name } else { shown(&name) };
                match is_known {
                    true => GrantError::Refused {
                        who: WHO,
                        error,
                        description,
                    },
                    false => GrantError::Odd {
                        who: WHO,
                        error,
                        description,
                    },
                }
            }
        }
        // The body of an answer that could not be read is not repeated: it may hold a token.
        RequestTokenError::Parse(error, _) => GrantError::Unavailable {
            message: format!(
                "the token endpoint's answer is no token response (at `{}`)",
                // Made of the answer's own names.
                shown(&error.path().to_string())
            ),
            after: None,
        },
        RequestTokenError::Other(_) => GrantError::odd(WHO, "an empty error answer"),
    }
}

/// The answer with the status that makes the crate read it for what it is.
pub(super) fn sorted(status: StatusCode, body: Vec<u8>) -> Result<HttpResponse, GrantError> {
    let is_oauth_error = serde_json::from_slice::<serde_json::Value>(&body)
        .is_ok_and(|v| v.get("error").is_some_and(serde_json::Value::is_string));
    if !status.is_success() && !is_oauth_error {
        return Err(GrantError::Odd {
            who: WHO,
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
