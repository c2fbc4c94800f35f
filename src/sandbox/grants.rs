//! The token endpoint and the log-in: who gets a token.
//!
//! Owns the rules for grants and clients. Any client, refresh token, assertion
//! and password will do, but for a few that never do; what is checked is that
//! the request is well made. Must never keep or log a client's secret.

use super::answer::Answer;
use super::token::{Tokens, scheme};
use super::wire::{base64, form_pairs, form_word};
use ::base64::Engine;
use ::base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The secret, the refresh token and the password that are always refused.
const WRONG: &str = "wrong";

/// Where a log-in is posted to.
pub(super) const LOGIN: &str = "/login";

/// RFC 7523 section 8.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An assertion's clock may be so many seconds ahead of ours.
const SKEW: u64 = 60;

type Form = [(String, String)];
/// RFC 6749 `error` and `error_description`.
type Refused = (&'static str, &'static str);

/// RFC 6749 section 5.1.
#[derive(Serialize)]
struct Granted<'t> {
    access_token: &'t str,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// An assertion's claims, as far as anybody looks at them.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Option<String>,
    exp: u64,
    iat: u64,
    jti: Option<String>,
}

/// A JOSE header, likewise.
#[derive(Deserialize)]
struct Header {
    alg: String,
}

/// Answers a token request.
pub(super) fn grant(tokens: &Tokens, headers: &HeaderMap, body: &[u8]) -> Answer {
    let form = form_pairs(&String::from_utf8_lossy(body));
    match granted(tokens, headers, &form) {
        Ok(refresh_token) => {
            let token = tokens.issue();
            let body = Granted {
                access_token: &token,
                token_type: "Bearer",
                expires_in: tokens.expires_in(),
                refresh_token,
            };
            let body = serde_json::to_string(&body).unwrap_or_default();
            let mut answer = Answer::json(StatusCode::OK, body)
                .with(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            answer.issued = Some(token);
            answer
        }
        Err((error, description)) => refused(error, description),
    }
}

/// The new refresh token, where the grant has one.
fn granted(tokens: &Tokens, headers: &HeaderMap, form: &Form) -> Result<Option<String>, Refused> {
    match field(form, "grant_type") {
        None => Err(("invalid_request", "grant_type is missing")),
        Some("client_credentials") => match client(tokens, headers, form)? {
            Client::Known => Ok(None),
            Client::Named | Client::Unnamed => Err(("invalid_client", "Invalid client")),
        },
        Some("refresh_token") => {
            if client(tokens, headers, form)? == Client::Unnamed {
                return Err(("invalid_client", "Invalid client"));
            }
            let token = field(form, "refresh_token").filter(|token| !token.is_empty());
            let token = token.ok_or(("invalid_request", "refresh_token is missing"))?;
            if token == WRONG {
                return Err(("invalid_grant", "Invalid refresh token"));
            }
            if !tokens.spend(token) {
                return Err(("invalid_grant", "Refresh token revoked"));
            }
            Ok(Some(tokens.issue_refresh(token)))
        }
        Some(JWT_BEARER) => {
            client(tokens, headers, form)?;
            let text = field(form, "assertion").unwrap_or_default();
            match assertion(tokens, text) {
                Some(_) => Ok(None),
                None => Err(("invalid_grant", "Invalid JWT")),
            }
        }
        Some(_) => Err(("unsupported_grant_type", "grant_type is not supported")),
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// By a secret or an assertion.
    Known,
    /// By its ID alone.
    Named,
    /// Not at all.
    Unnamed,
}

fn client(tokens: &Tokens, headers: &HeaderMap, form: &Form) -> Result<Client, Refused> {
    let (in_header, in_form) = (
        headers.contains_key(AUTHORIZATION),
        field(form, "client_secret").is_some(),
    );
    let signed = field(form, "client_assertion");
    if u8::from(in_header) + u8::from(in_form) + u8::from(signed.is_some()) > 1 {
        let why = "The client must not authenticate in two ways";
        return Err(("invalid_request", why));
    }
    if let Some(text) = signed {
        let is_ours = |claims: &Claims| {
            let named = field(form, "client_id");
            claims.sub.as_ref() == Some(&claims.iss) && named.is_none_or(|id| claims.iss == id)
        };
        let is_jwt = field(form, "client_assertion_type") == Some(ASSERTION_TYPE);
        return match assertion(tokens, text).filter(is_ours) {
            Some(_) if is_jwt => Ok(Client::Known),
            _ => Err(("invalid_client", "Invalid client assertion")),
        };
    }
    if !in_header && !in_form {
        let id = field(form, "client_id").filter(|id| !id.is_empty());
        return Ok(id.map_or(Client::Unnamed, |_| Client::Named));
    }
    match credentials(headers, form) {
        Some((id, secret)) if !id.is_empty() && !secret.is_empty() => match secret.as_str() {
            WRONG => Err(("invalid_client", "Invalid client secret")),
            _ => Ok(Client::Known),
        },
        _ => Err(("invalid_client", "Invalid client")),
    }
}

/// The claims of a JWT that is well made and new: an algorithm and a signature
/// (which nobody here can check), `iss`, `aud`, an `exp` that is yet to come,
/// an `iat` that is not, and no `jti` that was seen before.
fn assertion(tokens: &Tokens, text: &str) -> Option<Claims> {
    let mut parts = text
        .split('.')
        .map(|part| BASE64_URL_SAFE_NO_PAD.decode(part));
    let mut part = || parts.next()?.ok();
    let (header, claims, signature) = (part()?, part()?, part()?);
    let header: Header = serde_json::from_slice(&header).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let is_whole = parts.next().is_none()
        && signature.len() >= 64
        && !["", "none"].contains(&header.alg.as_str())
        && !claims.iss.is_empty()
        && !claims.aud.is_empty()
        && claims.exp > now
        && claims.iat <= now + SKEW;
    let is_new = match &claims.jti {
        Some(jti) => tokens.spend(&format!("jti {jti}")),
        None => true,
    };
    (is_whole && is_new).then_some(claims)
}

/// Answers a log-in: a JSON object or a form, in which nothing is `wrong`. The
/// token is in the body, in a header and in a cookie.
pub(super) fn log_in(tokens: &Tokens, body: &[u8]) -> Answer {
    let values: Vec<Value> = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(members)) => members.into_iter().map(|(_, value)| value).collect(),
        _ => form_pairs(&String::from_utf8_lossy(body))
            .into_iter()
            .map(|(_, value)| value.into())
            .collect(),
    };
    if values.is_empty() || values.iter().any(|value| value == WRONG) {
        return Answer::error(StatusCode::UNAUTHORIZED, "Invalid credentials");
    }
    let token = tokens.issue();
    let body = json!({"token": token, "expires_in": tokens.expires_in()});
    let mut answer = Answer::json(StatusCode::OK, body.to_string())
        .with(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let cookie = format!("session={token}; Path=/; HttpOnly");
    let own = HeaderName::from_static("x-auth-token");
    for (name, value) in [(own, &token), (SET_COOKIE, &cookie)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            answer = answer.with(name, value);
        }
    }
    answer.issued = Some(token);
    answer
}

/// The client's ID and secret, from the header or from the form.
fn credentials(headers: &HeaderMap, form: &Form) -> Option<(String, String)> {
    if headers.contains_key(AUTHORIZATION) {
        let decoded = String::from_utf8(base64(scheme(headers, "basic")?)?).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        return Some((form_word(id), form_word(secret)));
    }
    let id = field(form, "client_id")?.to_owned();
    let secret = field(form, "client_secret")?.to_owned();
    Some((id, secret))
}

fn field<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// A refusal as RFC 6749 5.2 words it. Always a 400: Spotify has no 401 here.
fn refused(error: &str, description: &str) -> Answer {
    let body = json!({"error": error, "error_description": description});
    Answer::json(StatusCode::BAD_REQUEST, body.to_string())
}

#[cfg(test)]
mod tests;
