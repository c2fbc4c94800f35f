//! The grant's client at its server's endpoints.

use super::Ask;
use crate::auth::client_auth::{basic_pair, client_assertion, credentials, described, told};
use crate::auth::discovery::Resolved;
use crate::auth::grant::{Authority, GrantError};
use crate::auth::send::send;
use crate::auth::store::{StoredTokens, TokenStore};
use crate::auth::token_request::{Exchange, token_request};
use crate::job::{ClientAuth, Grant};
use oauth2::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use oauth2::http::{HeaderMap, Request, StatusCode};
use oauth2::{HttpResponse, StandardDeviceAuthorizationResponse, StandardErrorResponse};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// RFC 6749 section 5.2, as RFC 7009 and RFC 8628 use it too.
type ErrorAnswer = StandardErrorResponse<oauth2::basic::BasicErrorResponseType>;

/// The client, to be asked as.
#[derive(Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) grant: &'a Grant,
    pub(super) endpoints: &'a Resolved,
    pub(super) http: &'a reqwest::Client,
    pub(super) timeout: Duration,
}

impl Client<'_> {
    /// One request as this client (RFC 6749 section 2.3) to another endpoint than the token's.
    pub(super) async fn post<'f>(
        &self,
        endpoint: &Url,
        mut form: Vec<(&'f str, SecretString)>,
        who: Authority,
    ) -> Result<Answered<'f>, GrantError> {
        let failed = || GrantError::unavailable(format!("{} can't be asked", who.name));
        let id = self.grant.client.id.clone().unwrap_or_default();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form_type);
        match &self.grant.client.auth {
            ClientAuth::Basic(_) => {
                let (id, secret) = credentials(self.grant);
                let value = format!("Basic {}", basic_pair(id, secret));
                let value = HeaderValue::from_str(&value).map_err(|_| failed())?;
                headers.insert(AUTHORIZATION, value);
            }
            ClientAuth::Post(secret) => {
                form.push(("client_id", id));
                form.push(("client_secret", secret.clone()));
            }
            ClientAuth::None => form.push(("client_id", id)),
            ClientAuth::PrivateKeyJwt(assertion) => {
                form.push(("client_id", id));
                form.extend(client_assertion(
                    self.grant,
                    assertion,
                    &self.endpoints.token,
                )?);
            }
        }
        let mut body = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &form {
            body.append_pair(name, value.expose_secret());
        }
        let request = Request::post(endpoint.as_str()).body(body.finish().into_bytes());
        let mut request = request.map_err(|_| failed())?;
        *request.headers_mut() = headers;
        let answer = send(self.http, request, self.timeout, who).await?;
        Ok(Answered { answer, sent: form })
    }

    /// What an answer that is no success means.
    pub(super) fn refusal(&self, answered: &Answered<'_>, who: Authority) -> GrantError {
        let Answered { answer, sent } = answered;
        let Ok(said) = serde_json::from_slice::<ErrorAnswer>(answer.body()) else {
            return GrantError::Odd {
                who,
                error: answer.status().to_string(),
                description: format!(": is {} right?", who.key),
            };
        };
        let description = said.error_description().map_or("", String::as_str);
        let sent = || sent.iter().map(|(name, value)| (*name, value));
        GrantError::Refused {
            who,
            error: told(said.error().as_ref(), self.grant, sent()),
            description: described(told(description, self.grant, sent())),
        }
    }
}

/// An answer, and the form that it answers.
pub(super) struct Answered<'f> {
    pub(super) answer: HttpResponse,
    sent: Vec<(&'f str, SecretString)>,
}

/// A client whose tokens are kept.
pub(super) struct Keeping<'a> {
    pub(super) client: Client<'a>,
    pub(super) store: Arc<dyn TokenStore>,
}

impl Ask for Keeping<'_> {
    async fn tokens(&self, exchange: &Exchange<'_>) -> Result<StoredTokens, GrantError> {
        let Client {
            grant,
            endpoints,
            http,
            timeout,
        } = self.client;
        let asked = SystemTime::now();
        let granted = token_request(grant, &endpoints.token, exchange, http, timeout).await?;
        let tokens = granted.to_stored(None, None, asked);
        let (store, kept) = (Arc::clone(&self.store), tokens.clone());
        let kept = tokio::task::spawn_blocking(move || store.lock()?.save(&kept)).await;
        kept.map_err(|_| GrantError::unavailable("the tokens could not be kept"))??;
        Ok(tokens)
    }

    async fn device(
        &self,
        endpoint: &Url,
        form: Vec<(&str, SecretString)>,
    ) -> Result<StandardDeviceAuthorizationResponse, GrantError> {
        let who = Authority::DEVICE_ENDPOINT;
        let answered = self.client.post(endpoint, form, who).await?;
        if answered.answer.status() != StatusCode::OK {
            return Err(self.client.refusal(&answered, who));
        }
        // Not its words: the answer has a code in it.
        serde_json::from_slice(answered.answer.body())
            .map_err(|_| GrantError::odd(who, "an answer that is not one of RFC 8628"))
    }
}
