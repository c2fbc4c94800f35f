//! The end of a log-in at the server (RFC 7009).

use super::client::Client;
use crate::auth::discovery::{Need, endpoints};
use crate::auth::grant::{Authority, GrantError};
use crate::auth::permits::ApiGate;
use crate::auth::store::StoredTokens;
use crate::job::Grant;
use std::time::Duration;

const WHO: Authority = Authority {
    name: "the revocation endpoint",
    key: "issuer",
};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The server takes the tokens no more.
    Done,
    /// The server names no such endpoint, or the job no issuer to ask.
    NoEndpoint,
}

/// Tells the server that these tokens are over: the refresh token first, with
/// which most servers let go of everything.
///
/// # Errors
/// Whatever keeps the server from hearing it, or from agreeing.
pub async fn revoke(
    grant: &Grant,
    tokens: &StoredTokens,
    http: &reqwest::Client,
    timeout: Duration,
) -> Result<Revoked, GrantError> {
    let endpoints = endpoints(grant, Need::Login, http, timeout, &ApiGate::default()).await?;
    let Some(endpoint) = &endpoints.revocation else {
        return Ok(Revoked::NoEndpoint);
    };
    let client = Client {
        grant,
        endpoints: &endpoints,
        http,
        timeout,
    };
    let refresh = tokens.refresh_token.as_ref();
    let access = Some(&tokens.access_token);
    for (token, kind) in [(refresh, "refresh_token"), (access, "access_token")] {
        let Some(token) = token else { continue };
        let form = vec![
            ("token", token.clone()),
            ("token_type_hint", kind.to_owned().into()),
        ];
        let answered = client.post(endpoint, form, WHO).await?;
        let answer = &answered.answer;
        // Section 2.2.1: a server need not revoke access tokens; they end by themselves.
        let is_exempt =
            || kind == "access_token" && is_error(answer.body(), "unsupported_token_type");
        if !answer.status().is_success() && !is_exempt() {
            return Err(client.refusal(&answered, WHO));
        }
    }
    Ok(Revoked::Done)
}

fn is_error(body: &[u8], name: &str) -> bool {
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    body.is_some_and(|body| body.get("error").and_then(|e| e.as_str()) == Some(name))
}
