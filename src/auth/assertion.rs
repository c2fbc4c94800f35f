//! Signed assertions: a JWT (RFC 7519) in compact form (RFC 7515 section 3.1)
//! with what RFC 7523 section 3 asks for.
//!
//! `ring` signs. The usual crate for JWTs can sign with two libraries, of which
//! one is a second TLS stack and the other has no constant-time RSA; what it
//! would do beside signing is this file.

use super::grant::GrantError;
use crate::job::Assertion;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// An assertion of its own for this moment: each has another `jti`. `audience`
/// is for one that names none.
pub(super) fn signed(
    assertion: &Assertion,
    audience: &str,
    now: SystemTime,
) -> Result<SecretString, GrantError> {
    let failed = || GrantError::unavailable("the assertion could not be signed");
    let mut header = Map::new();
    header.insert("alg".to_owned(), assertion.key.algorithm().name().into());
    header.insert("typ".to_owned(), "JWT".into());
    if let Some(key_id) = assertion.key.key_id() {
        header.insert("kid".to_owned(), key_id.into());
    }
    let mut jti = [0; 16];
    SystemRandom::new().fill(&mut jti).map_err(|_| failed())?;
    let issued = now.duration_since(UNIX_EPOCH).map_err(|_| failed())?;
    let issued = issued.as_secs();
    let mut claims = Map::new();
    claims.insert("aud".to_owned(), audience.into());
    for (name, value) in &assertion.claims {
        claims.insert(name.clone(), value.expose_secret().into());
    }
    claims.insert("iat".to_owned(), json!(issued));
    let expires = issued.saturating_add(assertion.lifetime.as_secs());
    claims.insert("exp".to_owned(), json!(expires));
    let jti = BASE64_URL_SAFE_NO_PAD.encode(jti);
    claims.insert("jti".to_owned(), jti.into());

    let part =
        |value: Map<String, Value>| BASE64_URL_SAFE_NO_PAD.encode(Value::Object(value).to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = assertion
        .key
        .sign(message.as_bytes())
        .map_err(|_| failed())?;
    let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
    Ok(format!("{message}.{signature}").into())
}
