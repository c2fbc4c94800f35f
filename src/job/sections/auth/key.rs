//! The keys of an assertion: who signs it, and what it claims.

use super::AuthType;
use crate::job::diagnostic::Diagnostic;
use crate::job::sections::reader::{Field, Reader, Section, StandIn};
use crate::job::{Algorithm, Assertion, SigningKey};
use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;
use std::time::Duration;

/// Long enough for a clock that is a little off, short enough to be useless when stolen.
const LIFETIME: Duration = Duration::from_secs(300);

/// What the assertion itself sets.
const SET: [&str; 3] = ["iat", "exp", "jti"];

/// A Google service account's key file, as its console hands it out.
#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default)]
    token_uri: Option<String>,
}

/// The signing key, and what a key file says beside it.
pub(super) struct Signer {
    key: SigningKey,
    /// `client_email`: the issuer.
    pub(super) email: Option<String>,
    /// `token_uri`.
    pub(super) token_url: Option<Url>,
}

/// `key` or `key_file`, with `key_id` and `algorithm`.
pub(super) fn read_signer(
    reader: &mut Reader,
    section: &Section<'_>,
    kind: AuthType,
) -> Option<Signer> {
    let algorithm = section.optional("algorithm", None, |field| {
        reader.choice(field, &Algorithm::ALL).map(Some)
    });
    let key_id = section.optional("key_id", None, |field| {
        let text = reader.full_text(field, StandIn::InSandbox)?;
        Some(Some(text.value()))
    });
    let (algorithm, key_id) = (algorithm?, key_id?);
    if let (Some(_), Some(key)) = (section.get("key_file"), section.get("key")) {
        let mistake = Diagnostic::new("`key` and `key_file` are both the private key");
        reader.push(mistake.at(key.key.clone()).help("keep one of them"));
        return None;
    }
    if let Some(field) = section
        .get("key_file")
        .filter(|_| kind == AuthType::JwtBearer)
    {
        return read_file(reader, field, algorithm, key_id);
    }
    let example = match kind {
        AuthType::JwtBearer => {
            "key = \"${file:service.pem}\"` or `key_file = \"service-account.json\""
        }
        _ => "key = \"${file:client.pem}\"",
    };
    let field = reader.required(section, "key", example)?;
    let text = reader.full_text(field, StandIn::InSandbox)?;
    let key = match text.has_stand_in() {
        true => SigningKey::stand_in(key_id),
        false => signing_key(reader, field, "`key`", &text.value(), algorithm, key_id),
    };
    Some(Signer {
        key: key?,
        email: None,
        token_url: None,
    })
}

fn signing_key(
    reader: &mut Reader,
    field: &Field<'_>,
    what: &str,
    pem: &str,
    algorithm: Option<Algorithm>,
    key_id: Option<String>,
) -> Option<SigningKey> {
    match SigningKey::from_pem(pem, algorithm, key_id) {
        Ok(key) => Some(key),
        Err(error) => {
            reader.impossible(field, &format!("{what} {error}"), error.help());
            None
        }
    }
}

fn read_file(
    reader: &mut Reader,
    field: &Field<'_>,
    algorithm: Option<Algorithm>,
    key_id: Option<String>,
) -> Option<Signer> {
    const HELP: &str = "it is the JSON file that the console gave for the service account's key, \
                        with `client_email` and `private_key`";
    let stand_in = |key_id| {
        Some(Signer {
            key: SigningKey::stand_in(key_id)?,
            email: Some("sandbox".to_owned()),
            token_url: Url::parse("https://sandbox.invalid/token_url").ok(),
        })
    };
    let path = reader.full_text(field, StandIn::InSandbox)?;
    if path.has_stand_in() {
        return stand_in(key_id);
    }
    let path = reader.folder().join(path.value());
    let content = match std::fs::read_to_string(&path) {
        Ok(content) => content,
        Err(_) if reader.sandbox() => return stand_in(key_id),
        Err(error) => {
            let message = format!("cannot read `key_file`: {error}");
            reader.impossible(field, &message, "its path is relative to the job file");
            return None;
        }
    };
    // The parser's own words may repeat a part of the file.
    let Ok(file) = serde_json::from_str::<KeyFile>(&content) else {
        reader.impossible(
            field,
            "`key_file` is not a service account's key file",
            HELP,
        );
        return None;
    };
    let token_url = file.token_uri.as_deref().map(Url::parse).transpose();
    let is_web = |url: &Option<Url>| {
        let mut url = url.iter();
        url.all(|url| matches!(url.scheme(), "http" | "https"))
    };
    let Some(token_url) = token_url.ok().filter(is_web) else {
        reader.impossible(field, "the `token_uri` in `key_file` is not a URL", HELP);
        return None;
    };
    let key_id = key_id.or(file.private_key_id);
    let what = "the `private_key` in `key_file`";
    let pem = &file.private_key;
    Some(Signer {
        key: signing_key(reader, field, what, pem, algorithm, key_id)?,
        email: Some(file.client_email),
        token_url,
    })
}

/// The assertion of `jwt_bearer`: `claims` say who it is for.
pub(super) fn grant_assertion(
    reader: &mut Reader,
    section: &Section<'_>,
    signer: &Signer,
    client_id: Option<&str>,
    scope: &str,
) -> Option<Assertion> {
    let mut claims = section.optional("claims", Vec::new(), |field| {
        read_claims(reader, field, &SET, "the assertion sets it itself")
    })?;
    let has = |claims: &[(String, SecretString)], name: &str| claims.iter().any(|(n, _)| n == name);
    if !has(&claims, "iss") {
        match signer.email.as_deref().or(client_id) {
            Some(issuer) => claims.push(("iss".to_owned(), issuer.into())),
            None => {
                let message = "the assertion has no issuer";
                let at = section.get("claims").or_else(|| section.get("type"));
                let mut mistake = Diagnostic::new(message).help(
                    "add `claims = { iss = \"…\" }`, as the server knows it, or `client_id`, \
                     which is taken for it",
                );
                mistake.span = at.map(|field| field.key.clone());
                reader.push(mistake);
                return None;
            }
        }
    }
    // A Google service account says its scopes in the assertion.
    if signer.email.is_some() && !scope.is_empty() && !has(&claims, "scope") {
        claims.push(("scope".to_owned(), scope.into()));
    }
    Some(Assertion {
        key: signer.key.clone(),
        claims,
        lifetime: lifetime(reader, section)?,
    })
}

/// The assertion of `client_auth = "private_key_jwt"`.
pub(super) fn client_assertion(
    reader: &mut Reader,
    section: &Section<'_>,
    signer: &Signer,
    client_id: &str,
    kind: AuthType,
) -> Option<Assertion> {
    // With both, `claims` are those of the grant's assertion.
    let mut claims = match section
        .get("claims")
        .filter(|_| kind != AuthType::JwtBearer)
    {
        None => Vec::new(),
        Some(field) => {
            let set = ["iss", "sub", "iat", "exp", "jti"];
            read_claims(
                reader,
                field,
                &set,
                "of a client it is the `client_id`, or set with each assertion",
            )?
        }
    };
    for name in ["iss", "sub"] {
        claims.push((name.to_owned(), client_id.into()));
    }
    Some(Assertion {
        key: signer.key.clone(),
        claims,
        lifetime: lifetime(reader, section)?,
    })
}

fn lifetime(reader: &mut Reader, section: &Section<'_>) -> Option<Duration> {
    let range = Duration::from_secs(10)..=Duration::from_secs(24 * 3600);
    section.optional("lifetime", LIFETIME, |field| {
        reader.duration(field, range, "from `10s` to `24h`")
    })
}

fn read_claims(
    reader: &mut Reader,
    field: &Field<'_>,
    set: &[&str],
    why: &str,
) -> Option<Vec<(String, SecretString)>> {
    let mut claims = Vec::new();
    let mut whole = true;
    for claim in reader.table(field)? {
        if set.contains(&claim.name) {
            let message = format!("`{}` is not one of `claims`", claim.name);
            reader.push(Diagnostic::new(message).at(claim.key.clone()).help(why));
        }
        match reader.text(&claim, StandIn::InSandbox) {
            Some(text) => claims.push((claim.name.to_owned(), text.value().into())),
            None => whole = false,
        }
    }
    whole.then_some(claims)
}
