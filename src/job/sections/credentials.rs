//! What [auth] and [request] must not say together: two credentials in one
//! place, or a credential over plain http.

use super::auth::AuthPart;
use super::reader::Reader;
use super::request::RequestPart;
use crate::job::diagnostic::Diagnostic;
use crate::job::{ApiKeyPlace, Auth, Body, UrlTemplate};
use reqwest::Url;
use std::net::IpAddr;
use std::ops::Range;

const ALLOW: &str = "use https, or say `allow_http = true` in [auth] when the network is yours";

pub(super) fn check(reader: &mut Reader, request: &RequestPart, auth: &AuthPart) {
    check_doubles(reader, request, auth);
    // The sandbox is on loopback, wherever the job points.
    if reader.sandbox() || auth.allow_http {
        return;
    }
    if let (Auth::ClientCredentials(grant), Some(span)) = (&auth.value, &auth.token_url)
        && is_exposed(&grant.token_url)
    {
        tell_exposed(reader, "token_url", span);
    }
    let origin = Url::parse(&request.value.url.origin());
    if origin.is_ok_and(|origin| is_exposed(&origin)) && has_credentials(request, auth) {
        tell_exposed(reader, "url", &request.url);
    }
}

fn tell_exposed(reader: &mut Reader, name: &str, span: &Range<usize>) {
    let message = format!("`{name}` would send credentials over plain http");
    let mistake = Diagnostic::new(message).at(span.clone());
    reader.push(
        mistake
            .label("everybody on the way can read them")
            .help(ALLOW),
    );
}

/// Plain http that leaves this machine.
fn is_exposed(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let loopback = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    url.scheme() == "http" && !loopback
}

fn has_credentials(request: &RequestPart, auth: &AuthPart) -> bool {
    let request = &request.value;
    let mut values = request.headers.iter().chain(&request.query);
    let single = request.batch.as_ref().and_then(|b| b.single.as_ref());
    !matches!(auth.value, Auth::None)
        || request.url.is_secret()
        || request.body.as_ref().is_some_and(Body::is_secret)
        || single.is_some_and(UrlTemplate::is_secret)
        || values.any(|(name, value)| value.is_secret() || is_authorization(name))
}

fn is_authorization(name: &str) -> bool {
    name.eq_ignore_ascii_case("authorization")
}

fn check_doubles(reader: &mut Reader, request: &RequestPart, auth: &AuthPart) {
    if matches!(auth.value, Auth::None) {
        return;
    }
    let headers = request.value.headers.iter().zip(&request.headers);
    for ((name, _), span) in headers.filter(|((name, _), _)| is_authorization(name)) {
        let message = format!("header `{name}` and [auth] are both credentials");
        let mistake = Diagnostic::new(message).at(span.clone());
        reader.push(mistake.help("leave the header out: [auth] sets it"));
    }
    let Auth::ApiKey { place, name, .. } = &auth.value else {
        return;
    };
    let is_double = match place {
        ApiKeyPlace::Header => {
            let mut headers = request.value.headers.iter();
            headers.any(|(header, _)| header.eq_ignore_ascii_case(name) && !is_authorization(name))
        }
        ApiKeyPlace::Query => request.value.query.iter().any(|(query, _)| query == name),
    };
    if let Some(span) = auth.key_name.as_ref().filter(|_| is_double) {
        let message = "[request] sets what `name` names, too";
        let mistake = Diagnostic::new(message).at(span.clone());
        reader.push(mistake.help("leave it out of [request]: [auth] sets it"));
    }
}
