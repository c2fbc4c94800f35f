//! The addresses of an authorization server.

use super::{Address, AuthType};
use crate::job::sections::reader::{Field, Reader, Section, StandIn};
use crate::job::{Endpoints, Issuer};
use reqwest::Url;

const ISSUER: &str = "https://auth.example.com";

/// `issuer` and the endpoints that `kind` needs. `found` is the token endpoint
/// that a key file names.
pub(super) fn read(
    reader: &mut Reader,
    section: &Section<'_>,
    kind: AuthType,
    found: Option<Url>,
    addresses: &mut Vec<Address>,
) -> Option<Endpoints> {
    let issuer = section.get("issuer");
    let issuer = issuer.map(|field| {
        let (text, url) = read_issuer(reader, field)?;
        note(addresses, "issuer", field, &url);
        Some(Issuer { text, url })
    });
    if let (Some(url), Some(field), None) =
        (&found, section.get("key_file"), section.get("token_url"))
    {
        note(addresses, "key_file", field, url);
    }
    let mut one = |key: &'static str, is_needed: bool, found: Option<Url>| match section.get(key) {
        Some(field) => {
            let url = read_url(reader, field, key)?;
            note(addresses, key, field, &url);
            Some(Some(url))
        }
        None if is_needed && issuer.is_none() && found.is_none() => {
            let example = format!("{key} = \"{ISSUER}/…\"` or `issuer = \"{ISSUER}\"");
            reader.required(section, key, &example);
            None
        }
        None => Some(found),
    };
    let token = one("token_url", true, found);
    let authorization = one(
        "authorization_url",
        kind == AuthType::AuthorizationCode,
        None,
    );
    let device = one(
        "device_authorization_url",
        kind == AuthType::DeviceCode,
        None,
    );
    Some(Endpoints {
        token: token?,
        authorization: authorization?,
        device_authorization: device?,
        issuer: match issuer {
            Some(issuer) => Some(issuer?),
            None => None,
        },
    })
}

fn note(addresses: &mut Vec<Address>, key: &'static str, field: &Field<'_>, url: &Url) {
    addresses.push(Address {
        key,
        url: url.clone(),
        span: field.span(),
    });
}

fn read_issuer(reader: &mut Reader, field: &Field<'_>) -> Option<(String, Url)> {
    let url = read_url(reader, field, "issuer")?;
    let text = reader.full_text(field, StandIn::InSandbox)?;
    let (text, url) = match text.has_stand_in() {
        true => (url.to_string(), url),
        false => (text.value(), url),
    };
    if url.query().is_some() {
        let help = "an issuer is an address without query, such as `https://auth.example.com`";
        reader.impossible(field, "`issuer` has a query (`?…`)", help);
        return None;
    }
    if url.path().contains("/.well-known/") {
        let help = "leave out `/.well-known/…`: harvest adds it";
        reader.impossible(field, "`issuer` is the address of its metadata", help);
        return None;
    }
    Some((text, url))
}

/// An absolute http or https URL that credentials may be sent to.
pub(super) fn read_url(reader: &mut Reader, field: &Field<'_>, key: &str) -> Option<Url> {
    let text = reader.full_text(field, StandIn::InSandbox)?;
    // The sandbox has its own endpoints: a missing URL does not matter there.
    let value = match text.has_stand_in() {
        true => format!("https://sandbox.invalid/{key}"),
        false => text.value(),
    };
    let mistake = match Url::parse(&value) {
        Err(error) => format!("`{key}` is not a URL: {error}"),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            format!("`{key}` must begin with `https://` or `http://`")
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            format!("`{key}` holds a user or password; credentials have keys of their own")
        }
        Ok(url) if url.fragment().is_some() => {
            format!("`{key}` has a fragment (`#…`), which is never sent")
        }
        Ok(url) => return Some(url),
    };
    let help = match key {
        "issuer" => format!("the authorization server's name, such as `{ISSUER}`"),
        "login_url" => "the log-in's full address, such as `https://api.example.com/login`".into(),
        "token_url" => {
            "the token endpoint's full address, such as `https://auth.example.com/token`".into()
        }
        _ => format!("the full address, such as `{ISSUER}/authorize`"),
    };
    reader.impossible(field, &mistake, &help);
    None
}
