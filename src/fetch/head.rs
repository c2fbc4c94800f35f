//! What goes along with a request: its headers, and whose credentials.
//!
//! Owns where a credential stands in a request. Must never put one into a
//! request that leaves home ("Secrets stay secret").

use crate::auth::{Presented, Token};
use crate::job::{Template, Values};
use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::ExposeSecret;

/// Puts the headers and the credentials on a request to home; elsewhere it goes bare.
pub(super) fn equip<'p>(
    request: &mut reqwest::Request,
    headers: &HeaderMap,
    presented: &'p Presented,
    trusted: bool,
) -> Option<&'p Token> {
    if !trusted {
        return None;
    }
    *request.headers_mut() = headers.clone();
    match presented {
        Presented::Header(name, value) => {
            request.headers_mut().insert(name.clone(), value.clone());
            None
        }
        Presented::Token(token) => {
            request
                .headers_mut()
                .insert(token.name.clone(), token.header.clone());
            Some(token)
        }
        Presented::None | Presented::Query(..) => None,
    }
}

/// What a POST sends, and its media type.
#[derive(Debug, Clone)]
pub(super) struct Payload {
    pub(super) bytes: Bytes,
    pub(super) content_type: HeaderValue,
}

/// Puts the body on a request that still is a POST; after a redirect that made
/// it a GET, nothing is said of a body that is not sent (RFC 9110 section 15.4).
pub(super) fn load(request: &mut reqwest::Request, payload: Option<&Payload>) {
    let Some(payload) = payload else { return };
    if request.method() == reqwest::Method::POST {
        let kind = payload.content_type.clone();
        request.headers_mut().insert(CONTENT_TYPE, kind);
        *request.body_mut() = Some(payload.bytes.clone().into());
    } else {
        request.headers_mut().remove(CONTENT_TYPE);
    }
}

/// A header's value for these values; `None` when HTTP does not allow it.
pub(super) fn header_value(template: &Template, values: Values<'_>) -> Option<HeaderValue> {
    // RFC 9110 fields are visible ASCII; other text goes as UTF-8 bytes, as curl sends it.
    let mut value = HeaderValue::from_bytes(template.expand_value(values).as_bytes()).ok()?;
    value.set_sensitive(template.is_secret());
    Some(value)
}

/// The URL with the key in its query, where there is one and it is not there already.
pub(super) fn with_key(mut url: Url, presented: &Presented) -> Url {
    if let Presented::Query(name, value) = presented
        && !url
            .query_pairs()
            .any(|(present, _)| present == name.as_str())
    {
        url.query_pairs_mut()
            .append_pair(name, value.expose_secret());
    }
    url
}
