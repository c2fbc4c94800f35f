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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Algorithm, SigningKey};
    use ring::signature::{self, KeyPair, UnparsedPublicKey};
    use std::time::Duration;

    /// `alg`, the same as a value, the public key, the private one, what verifies.
    type Case = (
        &'static str,
        Algorithm,
        Vec<u8>,
        Vec<u8>,
        &'static dyn signature::VerificationAlgorithm,
    );

    const PEM: (&str, &str) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");

    fn pem(der: &[u8]) -> String {
        let body = base64::prelude::BASE64_STANDARD.encode(der);
        format!("{}\n{body}\n{}\n", PEM.0, PEM.1)
    }

    fn decoded(part: &str) -> Value {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn an_assertion_says_what_rfc_7523_asks_for_and_is_signed() {
        let random = SystemRandom::new();
        let ec = |algorithm| {
            signature::EcdsaKeyPair::generate_pkcs8(algorithm, &random)
                .unwrap()
                .as_ref()
                .to_vec()
        };
        let p256 = ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING);
        let p384 = ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING);
        let ed = signature::Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let public = |algorithm, der: &[u8]| {
            let pair = signature::EcdsaKeyPair::from_pkcs8(algorithm, der, &random).unwrap();
            pair.public_key().as_ref().to_vec()
        };
        let ed_public = signature::Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap();
        let keys: [Case; 3] = [
            (
                "ES256",
                Algorithm::Es256,
                public(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &p256),
                p256,
                &signature::ECDSA_P256_SHA256_FIXED,
            ),
            (
                "ES384",
                Algorithm::Es384,
                public(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, &p384),
                p384,
                &signature::ECDSA_P384_SHA384_FIXED,
            ),
            (
                "EdDSA",
                Algorithm::EdDsa,
                ed_public.public_key().as_ref().to_vec(),
                ed.as_ref().to_vec(),
                &signature::ED25519,
            ),
        ];
        for (name, algorithm, public, der, verifies) in keys {
            let key = SigningKey::from_pem(&pem(&der), None, Some("k1".into())).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            let assertion = Assertion {
                key,
                claims: vec![("iss".into(), "me".into()), ("sub".into(), "you".into())],
                lifetime: Duration::from_secs(90),
            };
            let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
            let jwt = signed(&assertion, "https://a.example/token", now).unwrap();
            let jwt = jwt.expose_secret();
            let parts: Vec<&str> = jwt.split('.').collect();
            let [header, claims, signature] = parts[..] else {
                panic!("{jwt}");
            };
            assert_eq!(
                decoded(header),
                json!({"alg": name, "typ": "JWT", "kid": "k1"})
            );
            let mut said = decoded(claims);
            let jti = said.as_object_mut().unwrap().remove("jti").unwrap();
            assert_eq!(jti.as_str().unwrap().len(), 22);
            assert_eq!(
                said,
                json!({
                    "iss": "me", "sub": "you", "aud": "https://a.example/token",
                    "iat": 1_700_000_000, "exp": 1_700_000_090,
                })
            );
            let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
            let message = format!("{header}.{claims}");
            UnparsedPublicKey::new(verifies, public)
                .verify(message.as_bytes(), &signature)
                .unwrap();
            let again = signed(&assertion, "https://a.example/token", now).unwrap();
            assert_ne!(again.expose_secret(), jwt, "each has its own jti");
        }
    }
}
