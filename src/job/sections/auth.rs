//! `[auth]`: whose credentials go along.

use super::reader::{Field, Reader, Section, StandIn, list};
use crate::job::diagnostic::Diagnostic;
use crate::job::{ApiKeyPlace, Auth, ClientAuth, ClientCredentials};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;
use std::ops::Range;
use toml::de::DeTable;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    ClientCredentials,
    Bearer,
    Basic,
    ApiKey,
}

/// Every `type`, with the keys that are its own.
const KINDS: [(&str, Kind, &[&str]); 5] = [
    ("none", Kind::None, &[]),
    (
        "client_credentials",
        Kind::ClientCredentials,
        &[
            "token_url",
            "client_id",
            "client_secret",
            "client_auth",
            "scope",
            "params",
        ],
    ),
    ("bearer", Kind::Bearer, &["token"]),
    ("basic", Kind::Basic, &["username", "password"]),
    ("api_key", Kind::ApiKey, &["in", "name", "value"]),
];

/// Form parameters that the grant itself sets.
const GRANT_PARAMS: [&str; 4] = ["grant_type", "client_id", "client_secret", "scope"];

/// The credentials, and what decides where they may go.
pub(super) struct AuthPart {
    pub(super) value: Auth,
    pub(super) allow_http: bool,
    /// Where `token_url` stands in the file.
    pub(super) token_url: Option<Range<usize>>,
    /// Where an API key's `name` stands in the file.
    pub(super) key_name: Option<Range<usize>>,
}

pub(super) fn read(reader: &mut Reader, root: &DeTable<'_>) -> Option<AuthPart> {
    let section = reader.section(root, "auth");
    let allow_http = section.optional("allow_http", false, |field| reader.boolean(field));
    let kind = section.optional("type", Kind::None, |field| {
        reader.choice(field, &KINDS.map(|(name, kind, _)| (name, kind)))
    })?;
    check_keys(reader, &section, kind);
    let value = match kind {
        Kind::None => Some(Auth::None),
        Kind::ClientCredentials => client_credentials(reader, &section),
        Kind::Bearer => bearer(reader, &section),
        Kind::Basic => basic(reader, &section),
        Kind::ApiKey => api_key(reader, &section),
    };
    Some(AuthPart {
        value: value?,
        allow_http: allow_http?,
        token_url: section.get("token_url").map(Field::span),
        key_name: section.get("name").map(Field::span),
    })
}

/// Tells the keys that belong to another type.
fn check_keys(reader: &mut Reader, section: &Section<'_>, kind: Kind) {
    for field in section.fields() {
        let owner = KINDS.iter().find(|(_, _, keys)| keys.contains(&field.name));
        let Some((owner, _, _)) = owner.filter(|(_, owner, _)| *owner != kind) else {
            continue;
        };
        let this = KINDS.iter().find(|(_, other, _)| *other == kind);
        let (this, keys) = this.map_or(("none", &[][..]), |(name, _, keys)| (name, keys));
        let message = format!("`{}` does not belong to `type = \"{this}\"`", field.name);
        let help = match section.get("type") {
            None => format!("add `type = \"{owner}\"`"),
            Some(_) if keys.is_empty() => format!("it is for `type = \"{owner}\"`"),
            Some(_) => format!(
                "it is for `type = \"{owner}\"`; \"{this}\" takes {}",
                list(keys)
            ),
        };
        reader.push(Diagnostic::new(message).at(field.key.clone()).help(help));
    }
}

fn client_credentials(reader: &mut Reader, section: &Section<'_>) -> Option<Auth> {
    let example = "token_url = \"https://auth.example.com/token\"";
    let token_url = reader.required(section, "token_url", example);
    let token_url = token_url.and_then(|field| read_token_url(reader, field));
    let client_id = secret(reader, section, "client_id", "client_id = \"${CLIENT_ID}\"");
    let example = "client_secret = \"${CLIENT_SECRET}\"";
    let client_secret = secret(reader, section, "client_secret", example);
    let words = [("basic", ClientAuth::Basic), ("post", ClientAuth::Post)];
    let client_auth = section.optional("client_auth", ClientAuth::Basic, |field| {
        reader.choice(field, &words)
    });
    let scope = section.optional("scope", String::new(), |field| {
        let text = reader.text(field, StandIn::InSandbox)?;
        Some(text.value().trim().to_owned())
    });
    let params = section.optional("params", Vec::new(), |field| read_params(reader, field));
    Some(Auth::ClientCredentials(ClientCredentials {
        token_url: token_url?,
        client_id: client_id?.into(),
        client_secret: client_secret?.into(),
        client_auth: client_auth?,
        scope: scope?,
        params: params?,
    }))
}

fn read_params(reader: &mut Reader, field: &Field<'_>) -> Option<Vec<(String, SecretString)>> {
    let mut params = Vec::new();
    let mut whole = true;
    for param in reader.table(field)? {
        if GRANT_PARAMS.contains(&param.name) {
            let message = format!("`{}` is not one of `params`", param.name);
            let help = "the grant sets it itself; `scope` is a key of [auth]";
            reader.push(Diagnostic::new(message).at(param.key.clone()).help(help));
        }
        match reader.text(&param, StandIn::InSandbox) {
            Some(text) => params.push((param.name.to_owned(), text.value().into())),
            None => whole = false,
        }
    }
    whole.then_some(params)
}

fn read_token_url(reader: &mut Reader, field: &Field<'_>) -> Option<Url> {
    let text = reader.full_text(field, StandIn::InSandbox)?;
    // The sandbox has its own token endpoint: a missing URL does not matter there.
    let value = match text.has_stand_in() {
        true => "https://sandbox.invalid/token".to_owned(),
        false => text.value(),
    };
    let mistake = match Url::parse(&value) {
        Err(error) => format!("`token_url` is not a URL: {error}"),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            "`token_url` must begin with `https://` or `http://`".to_owned()
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "`token_url` holds a user or password; they are `client_id` and `client_secret`"
                .to_owned()
        }
        Ok(url) if url.fragment().is_some() => {
            "`token_url` has a fragment (`#…`), which is never sent".to_owned()
        }
        Ok(url) => return Some(url),
    };
    let help = "the token endpoint's full address, such as `https://auth.example.com/token`";
    reader.impossible(field, &mistake, help);
    None
}

fn bearer(reader: &mut Reader, section: &Section<'_>) -> Option<Auth> {
    let token = secret(reader, section, "token", "token = \"${API_TOKEN}\"")?;
    sendable(reader, section, "token", &token)?;
    Some(Auth::Bearer {
        token: token.into(),
    })
}

fn basic(reader: &mut Reader, section: &Section<'_>) -> Option<Auth> {
    let username = secret(reader, section, "username", "username = \"${API_USER}\"");
    let password = reader.required(section, "password", "password = \"${API_PASSWORD}\"");
    // Some APIs take a key as the user name and no password.
    let password = password.and_then(|field| reader.text(field, StandIn::InSandbox));
    let username = username?;
    if let Some(field) = section.get("username").filter(|_| username.contains(':')) {
        let help = "HTTP Basic (RFC 7617) ends the user name at the first colon";
        reader.impossible(field, "`username` cannot hold a colon", help);
    }
    Some(Auth::Basic {
        username,
        password: password?.value().into(),
    })
}

fn api_key(reader: &mut Reader, section: &Section<'_>) -> Option<Auth> {
    let words = [
        ("header", ApiKeyPlace::Header),
        ("query", ApiKeyPlace::Query),
    ];
    let place = section.optional("in", ApiKeyPlace::Header, |field| {
        reader.choice(field, &words)
    });
    let name_field = reader.required(section, "name", "name = \"X-Api-Key\"");
    let name = name_field.and_then(|field| reader.full_text(field, StandIn::InSandbox));
    let value = secret(reader, section, "value", "value = \"${API_KEY}\"");
    let (place, name, value) = (place?, name?.value(), value?);
    if place == ApiKeyPlace::Header {
        sendable(reader, section, "value", &value)?;
        if let (Some(field), Err(_)) = (name_field, HeaderName::from_bytes(name.as_bytes())) {
            let help = "a header's name has letters, digits and `-`, such as `X-Api-Key`";
            reader.impossible(field, "`name` is not a header's name", help);
        }
    }
    Some(Auth::ApiKey {
        place,
        name,
        value: value.into(),
    })
}

/// A credential that has to be there.
fn secret(reader: &mut Reader, section: &Section<'_>, name: &str, example: &str) -> Option<String> {
    let field = reader.required(section, name, example)?;
    let text = reader.full_text(field, StandIn::InSandbox)?;
    Some(text.value())
}

/// A credential that travels in a header.
fn sendable(reader: &mut Reader, section: &Section<'_>, name: &str, value: &str) -> Option<()> {
    let is_sendable = HeaderValue::from_str(value).is_ok();
    if let Some(field) = section.get(name).filter(|_| !is_sendable) {
        let message = format!("`{name}` cannot be sent in a header");
        let help = "it must be visible ASCII on one line; was something copied along with it?";
        reader.impossible(field, &message, help);
    }
    is_sendable.then_some(())
}
