//! What [auth] and [request] must not say together: two credentials in one
//! place, or a credential over plain http.

use super::auth::AuthPart;
use super::reader::Reader;
use super::request::RequestPart;
use crate::job::credentials::{have_credentials, is_authorization};
use crate::job::diagnostic::Diagnostic;
use crate::job::{ApiKeyPlace, Auth, TokenUse, in_clear};
use reqwest::Url;
use std::ops::Range;

const ALLOW: &str = "use https, or say `allow_http = true` in [auth] when the network is yours";

pub(super) fn check(reader: &mut Reader, request: &RequestPart, auth: &AuthPart) {
    check_doubles(reader, request, auth);
    // The sandbox is on loopback, wherever the job points.
    if reader.sandbox() || auth.allow_http {
        return;
    }
    for address in auth.addresses.iter().filter(|a| in_clear(&a.url)) {
        tell_exposed(reader, address.key, &address.span);
    }
    let origin = Url::parse(&request.value.url.origin());
    if origin.is_ok_and(|origin| in_clear(&origin)) && have_credentials(&request.value, &auth.value)
    {
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
    if let Auth::Login(login) = &auth.value {
        let name = match &login.send {
            TokenUse::Header { name, .. } => name.as_str(),
            TokenUse::Cookie(_) => "cookie",
        };
        let headers = request.value.headers.iter().zip(&request.headers);
        let double = |header: &str| header.eq_ignore_ascii_case(name) && !is_authorization(header);
        for ((header, _), span) in headers.filter(|((header, _), _)| double(header)) {
            let message = format!("header `{header}` is where [auth] puts its token");
            let mistake = Diagnostic::new(message).at(span.clone());
            reader.push(mistake.help("leave the header out: [auth] sets it"));
        }
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
