//! `[auth]`: whose credentials go along.

mod endpoints;
mod grant;
mod key;
mod login;

use super::reader::{Field, Reader, Section, StandIn, list};
use crate::job::diagnostic::Diagnostic;
use crate::job::{ApiKeyPlace, Auth};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use std::ops::Range;
use toml::de::DeTable;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AuthType {
    None,
    ClientCredentials,
    RefreshToken,
    AuthorizationCode,
    DeviceCode,
    JwtBearer,
    Login,
    Bearer,
    Basic,
    ApiKey,
}

impl AuthType {
    /// The keys that go with this type, beside `type` and `allow_http`.
    fn keys(self) -> Vec<&'static str> {
        let (own, shared): (&[&str], &[&str]) = match self {
            AuthType::None => (&[], &[]),
            AuthType::ClientCredentials => (&[], &GRANT_KEYS),
            AuthType::RefreshToken => (&["refresh_token"], &GRANT_KEYS),
            AuthType::AuthorizationCode => (
                &["authorization_url", "redirect_port", "authorization_params"],
                &GRANT_KEYS,
            ),
            AuthType::DeviceCode => (
                &["device_authorization_url", "authorization_params"],
                &GRANT_KEYS,
            ),
            AuthType::JwtBearer => (&["key_file"], &GRANT_KEYS),
            AuthType::Login => (&login::KEYS, &[]),
            AuthType::Bearer => (&["token"], &[]),
            AuthType::Basic => (&["username", "password"], &[]),
            AuthType::ApiKey => (&["in", "name", "value"], &[]),
        };
        own.iter().chain(shared).copied().collect()
    }

    fn name(self) -> &'static str {
        let mut kinds = KINDS.iter();
        kinds
            .find(|(_, kind)| *kind == self)
            .map_or("none", |(name, _)| name)
    }
}

/// Every `type`.
const KINDS: [(&str, AuthType); 10] = [
    ("none", AuthType::None),
    ("client_credentials", AuthType::ClientCredentials),
    ("refresh_token", AuthType::RefreshToken),
    ("authorization_code", AuthType::AuthorizationCode),
    ("device_code", AuthType::DeviceCode),
    ("jwt_bearer", AuthType::JwtBearer),
    ("login", AuthType::Login),
    ("bearer", AuthType::Bearer),
    ("basic", AuthType::Basic),
    ("api_key", AuthType::ApiKey),
];

/// What every OAuth2 grant takes.
const GRANT_KEYS: [&str; 12] = [
    "issuer",
    "token_url",
    "client_id",
    "client_secret",
    "client_auth",
    "key",
    "key_id",
    "algorithm",
    "claims",
    "lifetime",
    "scope",
    "params",
];

/// The credentials, and what decides where they may go.
pub(super) struct AuthPart {
    pub(super) value: Auth,
    pub(super) allow_http: bool,
    /// Every address that credentials go to: its key, itself, and where it stands in the file.
    pub(super) addresses: Vec<Address>,
    /// Where an API key's `name` stands in the file.
    pub(super) key_name: Option<Range<usize>>,
}

/// An address that credentials go to.
pub(super) struct Address {
    pub(super) key: &'static str,
    pub(super) url: Url,
    pub(super) span: Range<usize>,
}

pub(super) fn read(reader: &mut Reader, root: &DeTable<'_>) -> Option<AuthPart> {
    let section = reader.section(root, "auth");
    let allow_http = section.optional("allow_http", false, |field| reader.boolean(field));
    let kind = section.optional("type", AuthType::None, |field| reader.choice(field, &KINDS))?;
    check_keys(reader, &section, kind);
    let mut addresses = Vec::new();
    let value = match kind {
        AuthType::None => Some(Auth::None),
        AuthType::Bearer => bearer(reader, &section),
        AuthType::Basic => basic(reader, &section),
        AuthType::ApiKey => api_key(reader, &section),
        AuthType::Login => {
            let login = login::read(reader, &section, &mut addresses);
            login.map(|login| Auth::Login(Box::new(login)))
        }
        grant => {
            let grant = grant::read(reader, &section, grant, &mut addresses);
            grant.map(|grant| {
                Auth::Grant(Box::new(crate::job::Grant {
                    allow_http: allow_http.unwrap_or(false),
                    ..grant
                }))
            })
        }
    };
    Some(AuthPart {
        value: value?,
        allow_http: allow_http?,
        addresses,
        key_name: section.get("name").map(Field::span),
    })
}

/// Tells the keys that belong to another type.
fn check_keys(reader: &mut Reader, section: &Section<'_>, kind: AuthType) {
    let keys = kind.keys();
    for field in section.fields() {
        if keys.contains(&field.name) {
            continue;
        }
        let owners: Vec<&str> = KINDS
            .iter()
            .filter(|(_, owner)| owner.keys().contains(&field.name))
            .map(|(name, _)| *name)
            .collect();
        let Some(first) = owners.first() else {
            continue;
        };
        let this = kind.name();
        let message = format!("`{}` does not belong to `type = \"{this}\"`", field.name);
        let owners: Vec<String> = owners.iter().map(|name| format!("\"{name}\"")).collect();
        let help = match section.get("type") {
            None if owners.len() == 1 => format!("add `type = \"{first}\"`"),
            None => format!("add a `type`: {}", owners.join(" or ")),
            Some(_) if keys.is_empty() => format!("it is for `type = {}`", owners.join(" or ")),
            Some(_) => format!(
                "it is for `type = {}`; \"{this}\" takes {}",
                owners.join(" or "),
                list(&keys)
            ),
        };
        reader.push(Diagnostic::new(message).at(field.key.clone()).help(help));
    }
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
