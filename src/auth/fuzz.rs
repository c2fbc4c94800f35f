//! What must hold for any answer of a token endpoint.
#![allow(clippy::unwrap_used, reason = "a body fails by panicking")]

use super::grant::{Authority, GrantError};
use super::refresher::header;
use super::send::readable;
use super::token_request::{Exchange, converse, sorted};
use crate::fuzzing::first_line;
use crate::job::{ClientAuth, Endpoints, Grant, GrantKind, OAuthClient, TokenUse};
use base64::prelude::{BASE64_STANDARD, Engine};
use futures::FutureExt;
use oauth2::AccessToken;
use reqwest::StatusCode;
use reqwest::header::AUTHORIZATION;
use secrecy::ExposeSecret;
use std::time::Duration;

const ID: &str = "client-id:1";
const SECRET: &str = "s3cr&t/+=";

/// The status, then the body: a token lives for over zero and at most a year,
/// if it is known how long; an error repeats neither our secret nor the token.
pub fn token_response(bytes: &[u8]) {
    let Some((status, body)) = first_line(bytes) else {
        return;
    };
    let Some(status) = status
        .parse()
        .ok()
        .and_then(|code: u16| StatusCode::from_u16(code).ok())
    else {
        return;
    };
    let grant = Grant {
        kind: GrantKind::ClientCredentials,
        endpoints: Endpoints {
            token: "https://h.example/token".parse().ok(),
            ..Endpoints::default()
        },
        client: OAuthClient {
            id: Some(ID.into()),
            auth: ClientAuth::Basic(SECRET.into()),
        },
        scope: String::new(),
        params: Vec::new(),
        allow_http: false,
    };
    let token_url = "https://h.example/token".parse().unwrap();
    let token_use = TokenUse::Header {
        name: AUTHORIZATION,
        prefix: "Bearer ".into(),
    };
    let answer = converse(
        &grant,
        &token_url,
        &Exchange::ClientCredentials,
        |_| async {
            readable(status, None, Authority::TOKEN_ENDPOINT)?;
            sorted(status, body.to_vec())
        },
    );
    match answer.now_or_never().unwrap() {
        Ok(granted) => {
            assert!(status.is_success());
            let longest = Duration::from_secs(366 * 24 * 3600);
            assert!(
                granted
                    .life
                    .is_none_or(|life| !life.is_zero() && life <= longest)
            );
            if let Some((_, header)) = header(&token_use, granted.access_token.expose_secret()) {
                assert!(header.is_sensitive());
            }
        }
        Err(error) => told(&error, body),
    }
}

fn told(error: &GrantError, body: &[u8]) {
    let told = format!("{error} {error:?}");
    let basic = BASE64_STANDARD.encode(format!("{ID}:{SECRET}"));
    for secret in [SECRET, ID, &basic, "s3cr%26t%2F%2B%3D", "s3cr%26t%2f%2b%3d"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
    assert!(told.len() < 4_000 && !error.to_string().contains(char::is_control));
    #[derive(serde::Deserialize)]
    struct Response {
        access_token: AccessToken,
    }
    // What is no error answer has a token in it, perhaps, that nobody may see.
    if let Ok(response) = serde_json::from_slice::<Response>(body)
        && let token = response.access_token.secret()
        && token.len() >= 16
        && !token.contains(' ')
        && serde_json::from_slice::<serde_json::Value>(body)
            .is_ok_and(|value| value.get("error").is_none())
    {
        assert!(!told.contains(token), "{told}");
    }
}
