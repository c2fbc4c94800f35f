//! The authorization code grant (RFC 6749 section 4.1) with PKCE (RFC 7636),
//! for a native app: the browser comes back to loopback (RFC 8252).
//!
//! Owns the authorization request and the judgement of what comes back: the
//! `state` must be ours, and `iss` (RFC 9207) the issuer's.

use super::loopback::{Arrival, Loopback};
use super::page::Page;
use super::{Ask, ConsentError, Prompt, Server};
use crate::auth::client_auth::{described, told};
use crate::auth::store::StoredTokens;
use crate::auth::token_request::Exchange;
use crate::job::Grant;
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl, Scope};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// Sends the person to the server and waits for them to come back with a code.
pub(super) async fn obtain(
    grant: &Grant,
    server: &Server,
    redirect_port: Option<u16>,
    params: &[(String, SecretString)],
    ask: &impl Ask,
    prompt: impl Fn(&Prompt<'_>),
) -> Result<StoredTokens, ConsentError> {
    let endpoint = server.authorization.clone();
    let endpoint = endpoint.ok_or(ConsentError::NoPerson)?;
    let mut loopback =
        Loopback::listen(redirect_port)
            .await
            .map_err(|cause| match redirect_port {
                Some(port) => ConsentError::Port { port, cause },
                None => ConsentError::Listen(cause),
            })?;
    let redirect_uri = loopback.redirect_uri().clone();
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let verifier = verifier.into_secret().into();
    let (url, state) = address(grant, endpoint, &redirect_uri, challenge, params);
    prompt(&Prompt::Visit { url: &url });
    loop {
        let arrival = loopback.next().await;
        let code = match judge(&arrival, &state, server, grant) {
            Judged::Stranger => {
                tracing::debug!("something else came to the redirect's address");
                arrival.show(Page::stranger());
                continue;
            }
            Judged::Bad(error) => {
                arrival.show(Page::refused(&error.to_string()));
                loopback.close().await;
                return Err(error);
            }
            Judged::Code(code) => code,
        };
        let exchange = Exchange::AuthorizationCode {
            code: &code,
            redirect_uri: redirect_uri.as_str(),
            verifier: &verifier,
        };
        let tokens = ask.tokens(&exchange).await;
        arrival.show(match &tokens {
            Ok(_) => Page::welcome(&server.name),
            Err(error) => Page::refused(&error.to_string()),
        });
        loopback.close().await;
        return Ok(tokens?);
    }
}

/// RFC 6749 section 4.1.1: the address to visit, and the `state` in it.
fn address(
    grant: &Grant,
    endpoint: Url,
    redirect_uri: &Url,
    challenge: PkceCodeChallenge,
    params: &[(String, SecretString)],
) -> (Url, CsrfToken) {
    let id = grant.client.id.as_ref().map_or("", |id| id.expose_secret());
    let client = BasicClient::new(ClientId::new(id.to_owned()))
        .set_auth_uri(AuthUrl::from_url(endpoint))
        .set_redirect_uri(RedirectUrl::from_url(redirect_uri.clone()));
    let mut request = client
        .authorize_url(CsrfToken::new_random)
        .set_pkce_challenge(challenge);
    for scope in grant.scope.split_whitespace() {
        request = request.add_scope(Scope::new(scope.to_owned()));
    }
    for (name, value) in params {
        request = request.add_extra_param(name.clone(), value.expose_secret().to_owned());
    }
    request.url()
}

/// What the browser brought.
#[derive(Debug)]
enum Judged {
    /// Not the answer to our request.
    Stranger,
    /// The answer, and it is no.
    Bad(ConsentError),
    /// The answer.
    Code(SecretString),
}

fn judge(arrival: &Arrival, state: &CsrfToken, server: &Server, grant: &Grant) -> Judged {
    let all = |name: &str| {
        let params = arrival.params.iter().filter(move |(n, _)| n == name);
        params.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    // Twice is not ours either: RFC 6749 section 3.1.
    if all("state") != [state.secret().as_str()] {
        return Judged::Stranger;
    }
    // Before anything else is believed: RFC 9207 section 2.4.
    if let Some(issuer) = &server.issuer {
        let named = all("iss");
        let missing = named.is_empty() && server.iss_promised;
        if missing || named.iter().any(|iss| iss != issuer) {
            return Judged::Bad(ConsentError::Issuer {
                expected: issuer.clone(),
            });
        }
    }
    if let Some(error) = all("error").first() {
        let description = all("error_description").concat();
        return Judged::Bad(ConsentError::Refused {
            error: told(error, grant, []),
            description: described(told(&description, grant, [])),
        });
    }
    match all("code").as_slice() {
        [code] if !code.is_empty() => Judged::Code((*code).into()),
        _ => Judged::Bad(ConsentError::NoCode),
    }
}

#[cfg(test)]
#[path = "authorization_tests.rs"]
mod tests;
