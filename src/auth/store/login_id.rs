//! Which login a job's grant needs, and the name of its file.

use crate::job::{Grant, GrantKind};
use secrecy::{ExposeSecret, SecretString};
use xxhash_rust::xxh3::xxh3_64;

/// Whose tokens: what makes two logins different ones, whatever job asks.
#[derive(Debug, Clone)]
pub struct LoginId {
    /// The issuer, or the token endpoint where no issuer is named.
    pub(super) server: String,
    /// `""` for none.
    pub(super) client_id: SecretString,
    /// Space-separated, as the job file has it.
    pub(super) scope: String,
    /// The hash of all that, and of what else the tokens depend on.
    hash: u64,
}

impl LoginId {
    /// The login that a job's grant needs.
    pub fn of(grant: &Grant) -> LoginId {
        let endpoints = &grant.endpoints;
        let issuer = endpoints.issuer.as_ref().map(|issuer| issuer.text.clone());
        let token_url = endpoints.token.as_ref().map(ToString::to_string);
        let server = issuer.or(token_url).unwrap_or_default();
        let client_id = grant.client.id.clone().unwrap_or_default();
        let (seed, more) = match &grant.kind {
            GrantKind::RefreshToken { refresh_token } => (refresh_token.expose_secret(), &[][..]),
            GrantKind::AuthorizationCode {
                authorization_params,
                ..
            }
            | GrantKind::DeviceCode {
                authorization_params,
            } => ("", authorization_params.as_slice()),
            GrantKind::ClientCredentials | GrantKind::JwtBearer(_) => ("", &[][..]),
        };
        let mut params: Vec<_> = grant.params.iter().chain(more).collect();
        params.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut parts = vec![&*server, client_id.expose_secret(), &*grant.scope, seed];
        for (name, value) in params {
            parts.extend([name, value.expose_secret()]);
        }
        // Lengths go along, so that no two lists of parts look the same.
        let mut all = Vec::new();
        for part in parts {
            all.extend_from_slice(&(part.len() as u64).to_le_bytes());
            all.extend_from_slice(part.as_bytes());
        }
        LoginId {
            hash: xxh3_64(&all),
            server,
            client_id,
            scope: grant.scope.clone(),
        }
    }

    /// `accounts.example.com-1f0c…`: the host for people, the hash for uniqueness.
    pub(super) fn file_name(&self) -> String {
        let url = reqwest::Url::parse(&self.server).ok();
        let host = url.as_ref().and_then(|url| url.host_str());
        let readable: String = host
            .unwrap_or("login")
            .chars()
            .map(|c| match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
                _ => '_',
            })
            .take(80)
            .collect();
        format!("{readable}-{:016x}", self.hash)
    }
}
