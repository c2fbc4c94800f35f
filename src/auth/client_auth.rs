//! The client of a grant: how it authenticates itself, and what of that a
//! server's words may not tell.
//!
//! Owns what is a secret in a request to an authorization server. Must never
//! show one: a server's words reach a message through [`told`] alone.

use super::assertion::signed;
use super::grant::GrantError;
use crate::job::{Assertion, ClientAuth, Grant, GrantKind};
use crate::transport::redact;
use base64::prelude::{BASE64_STANDARD, Engine};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use std::time::SystemTime;

/// RFC 7523 section 8.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What application/x-www-form-urlencoded leaves as it is, beside letters and digits.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'*')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_');

/// Parameters whose values everybody knows, and which messages are about.
const PUBLIC: [&str; 8] = [
    "redirect_uri",
    "client_assertion_type",
    "token_type_hint",
    "scope",
    "audience",
    // RFC 8707.
    "resource",
    "prompt",
    "access_type",
];

/// An assertion's part that is shorter says nothing.
const SHORTEST_PART: usize = 16;

/// The client's `client_id` and its secret, each empty where it has none.
pub(super) fn credentials(grant: &Grant) -> (&str, &str) {
    let id = grant.client.id.as_ref().map_or("", |id| id.expose_secret());
    let secret = match &grant.client.auth {
        ClientAuth::Basic(secret) | ClientAuth::Post(secret) => secret.expose_secret(),
        ClientAuth::None | ClientAuth::PrivateKeyJwt(_) => "",
    };
    (id, secret)
}

/// The pair of the Authorization header (RFC 6749 section 2.3.1), encoded.
pub(super) fn basic_pair(id: &str, secret: &str) -> String {
    let form = |text: &str| {
        utf8_percent_encode(text, FORM)
            .to_string()
            .replace("%20", "+")
    };
    BASE64_STANDARD.encode(format!("{}:{}", form(id), form(secret)))
}

/// How a client with a key authenticates itself (RFC 7523 section 2.2), at any endpoint.
pub(super) fn client_assertion(
    grant: &Grant,
    assertion: &Assertion,
    token_url: &Url,
) -> Result<[(&'static str, SecretString); 2], GrantError> {
    let issuer = grant.endpoints.issuer.as_ref();
    let audience = issuer.map_or(token_url.as_str(), |issuer| &issuer.text);
    let signed = signed(assertion, audience, SystemTime::now())?;
    Ok([
        ("client_assertion_type", ASSERTION_TYPE.into()),
        ("client_assertion", signed),
    ])
}

/// A server's words as a message may show them: without whatever of the job's
/// `[auth]` is a secret, and without what was `sent` for this exchange.
pub(super) fn told<'a>(
    text: &str,
    grant: &'a Grant,
    sent: impl IntoIterator<Item = (&'a str, &'a SecretString)>,
) -> String {
    let (id, secret) = credentials(grant);
    let pair = basic_pair(id, secret);
    // As it is when somebody forgot that its halves are to be encoded first.
    let plain_pair = BASE64_STANDARD.encode(format!("{id}:{secret}"));
    let (seed, of_kind) = match &grant.kind {
        GrantKind::RefreshToken { refresh_token } => (Some(refresh_token), None),
        GrantKind::AuthorizationCode {
            authorization_params,
            ..
        }
        | GrantKind::DeviceCode {
            authorization_params,
        } => (None, Some(authorization_params)),
        GrantKind::ClientCredentials | GrantKind::JwtBearer(_) => (None, None),
    };
    let named = |params: &'a [(String, SecretString)]| {
        let params = params.iter();
        params.map(|(name, value)| (name.as_str(), value))
    };
    let sent = sent
        .into_iter()
        .chain(named(&grant.params))
        .chain(of_kind.into_iter().flat_map(|params| named(params)))
        .filter(|(name, _)| !PUBLIC.contains(name))
        .map(|(_, value)| value)
        .chain(seed)
        .map(ExposeSecret::expose_secret);
    let endpoints = &grant.endpoints;
    let urls = [
        &endpoints.token,
        &endpoints.authorization,
        &endpoints.device_authorization,
    ];
    // `…/token?key=…`.
    let in_urls: Vec<_> = urls
        .into_iter()
        .flatten()
        .flat_map(|url| url.query_pairs().map(|(_, value)| value))
        .collect();
    let mut secrets: Vec<&str> = vec![&pair, &plain_pair, secret, id];
    secrets.extend(in_urls.iter().map(|value| &**value));
    // An assertion's parts are worth as much as the whole, to who has the others.
    secrets.extend(sent.flat_map(|value| {
        let parts = value.split('.').filter(|part| part.len() >= SHORTEST_PART);
        std::iter::once(value).chain(parts)
    }));
    redact(text, secrets.into_iter().map(str::as_bytes))
}

/// An `error_description` as it comes after its `error`, already [`told`].
pub(super) fn described(told: String) -> String {
    match told.is_empty() {
        true => told,
        false => format!(": {told}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Endpoints, OAuthClient};

    fn grant(kind: GrantKind, auth: ClientAuth) -> Grant {
        Grant {
            kind,
            endpoints: Endpoints {
                token: "https://a.example/token?key=key-in-the-url".parse().ok(),
                ..Endpoints::default()
            },
            client: OAuthClient {
                id: Some("the-client".into()),
                auth,
            },
            scope: String::new(),
            params: vec![("account".to_owned(), "account-5417".into())],
            allow_http: false,
        }
    }

    #[test]
    fn whatever_was_sent_is_taken_out_of_a_server_s_words() {
        let device = GrantKind::DeviceCode {
            authorization_params: vec![("tenant".to_owned(), "tenant-key-9".into())],
        };
        let grant = grant(device, ClientAuth::Basic("se cret/1".into()));
        let assertion =
            SecretString::from("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0xx.c2lnbmF0dXJlYWJj");
        let refresh = SecretString::from("refresh-77");
        let redirect = SecretString::from("http://127.0.0.1/");
        let sent = || {
            [
                ("client_assertion", &assertion),
                ("token", &refresh),
                ("redirect_uri", &redirect),
            ]
        };
        let pair = basic_pair("the-client", "se cret/1");
        for secret in [
            "the-client",
            "se cret/1",
            "se+cret%2F1",
            &pair,
            &BASE64_STANDARD.encode("the-client:se cret/1"),
            "account-5417",
            "key-in-the-url",
            "tenant-key-9",
            "refresh-77",
            "c2lnbmF0dXJlYWJj",
            "eyJpc3MiOiJ4In0xx",
        ] {
            let said = told(&format!("no <{secret}>"), &grant, sent());
            assert_eq!(said, "no <[redacted]>", "{secret}");
        }
        let said = "http://127.0.0.1/ is not registered";
        assert_eq!(told(said, &grant, sent()), said);
    }

    #[test]
    fn a_refresh_token_of_the_job_file_is_never_told() {
        let seed = GrantKind::RefreshToken {
            refresh_token: "seed-token-3".into(),
        };
        let grant = grant(seed, ClientAuth::None);
        assert_eq!(told("seed-token-3?", &grant, []), "[redacted]?");
        assert_eq!(described(told("", &grant, [])), "");
        assert_eq!(described(told("why", &grant, [])), ": why");
    }
}
