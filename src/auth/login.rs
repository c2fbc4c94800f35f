//! An API's own log-in: one POST, and the token somewhere in the answer.

use super::grant::{Authority, GrantError, Granted};
use super::lifetime::believable;
use super::send::send;
use crate::job::{Login, LoginBody, LoginLife, LoginToken};
use oauth2::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, SET_COOKIE};
use oauth2::http::{Request, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use serde_json_path::JsonPath;
use std::time::Duration;
use tokio::time::Instant;

/// Logs in once. `client` must not follow redirects.
pub(super) async fn log_in(
    login: &Login,
    client: &reqwest::Client,
    timeout: Duration,
) -> Result<Granted, GrantError> {
    let request = request(login)?;
    let asked = Instant::now();
    let answer = send(client, request, timeout, Authority::LOGIN).await?;
    read(login, &answer, asked)
}

fn request(login: &Login) -> Result<Request<Vec<u8>>, GrantError> {
    let (kind, body) = match &login.body {
        LoginBody::Json(text) => ("application/json", text.expose_secret().to_owned()),
        LoginBody::Form(pairs) => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(pairs.iter().map(|(name, v)| (name, v.expose_secret())));
            ("application/x-www-form-urlencoded", form.finish())
        }
    };
    Request::post(login.url.as_str())
        .header(CONTENT_TYPE, kind)
        .header(ACCEPT, "application/json")
        .body(body.into_bytes())
        .map_err(|_| GrantError::unavailable("the log-in is no address"))
}

/// The token in an answer. No word of the answer gets into an error: it may hold the token.
fn read(login: &Login, answer: &Response<Vec<u8>>, asked: Instant) -> Result<Granted, GrantError> {
    let status = answer.status();
    if status.is_client_error() {
        let error = status.to_string();
        return Err(match status.as_u16() {
            404 | 405 | 410 => GrantError::odd(Authority::LOGIN, error),
            _ => GrantError::Refused {
                who: Authority::LOGIN,
                error,
                description: String::new(),
            },
        });
    }
    let body = serde_json::from_slice::<Value>(answer.body()).ok();
    let mut max_age = None;
    let (token, place) = match &login.token {
        LoginToken::Body(path) => (
            body.as_ref().and_then(|body| word(path, body)),
            format!("at `{path}`"),
        ),
        LoginToken::Header(name) => {
            let value = answer.headers().get(name.as_str());
            let value = value.and_then(|value| value.to_str().ok());
            // Some repeat the scheme that the token is to be sent with.
            let bare = value.map(|v| strip_bearer(v.trim()).to_owned());
            (bare, format!("in the header `{name}`"))
        }
        LoginToken::Cookie(name) => {
            let cookie = cookie(answer.headers(), name);
            max_age = cookie.as_ref().and_then(|(_, age)| *age);
            (
                cookie.map(|(value, _)| value),
                format!("in a cookie `{name}`"),
            )
        }
    };
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Err(GrantError::Odd {
            who: Authority::LOGIN,
            error: status.to_string(),
            description: format!(": there is no token {place}"),
        });
    };
    let life = match &login.life {
        None => max_age,
        Some(LoginLife::Fixed(life)) => Some(*life),
        Some(LoginLife::Body(path)) => {
            let value = body.as_ref().and_then(|body| path.query(body).first());
            believable(value)
        }
    };
    Ok(Granted {
        access_token: SecretString::from(token),
        refresh_token: None,
        asked,
        life,
        kept: false,
    })
}

fn strip_bearer(value: &str) -> &str {
    match value.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer ") => rest.trim_start(),
        _ => value,
    }
}

/// A string or a number at the path.
fn word(path: &JsonPath, body: &Value) -> Option<String> {
    match path.query(body).first()? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The last `Set-Cookie` of this name (RFC 6265 section 5.2): its value, and its Max-Age.
fn cookie(headers: &HeaderMap, name: &str) -> Option<(String, Option<Duration>)> {
    let mut cookies = headers.get_all(SET_COOKIE).iter().rev();
    cookies.find_map(|cookie| {
        let mut parts = cookie.to_str().ok()?.split(';');
        let (own, value) = parts.next()?.split_once('=')?;
        let age = parts.find_map(|part| {
            let (attribute, value) = part.split_once('=')?;
            let is_age = attribute.trim().eq_ignore_ascii_case("max-age");
            is_age.then(|| believable(Some(&Value::from(value.trim()))))
        });
        (own.trim() == name).then(|| (value.trim().to_owned(), age.flatten()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{TokenUse, json_path};
    use reqwest::header::{AUTHORIZATION, HeaderName};

    fn login(token: LoginToken, life: Option<LoginLife>) -> Login {
        Login {
            url: "https://h.example/login".parse().unwrap(),
            body: LoginBody::Form(Vec::new()),
            token,
            life,
            send: TokenUse::Header {
                name: AUTHORIZATION,
                prefix: "Bearer ".into(),
            },
        }
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Vec<u8>> {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        answer.body(body.as_bytes().to_vec()).unwrap()
    }

    fn at(path: &str) -> LoginToken {
        LoginToken::Body(json_path(path).unwrap())
    }

    #[test]
    fn the_token_is_found_where_the_job_says() {
        let token = |login: &Login, answer: &Response<Vec<u8>>| {
            let granted = read(login, answer, Instant::now()).unwrap();
            (
                granted.access_token.expose_secret().to_owned(),
                granted.life,
            )
        };
        let life = LoginLife::Body(json_path("$.ttl").unwrap());
        let body = answer(200, &[], "{\"data\":{\"jwt\":\"t1\"},\"ttl\":\"90\"}");
        let from_body = login(at("$.data.jwt"), Some(life));
        assert_eq!(
            token(&from_body, &body),
            ("t1".to_owned(), Some(Duration::from_secs(90)))
        );
        let name = HeaderName::from_static("x-auth-token");
        let from_header = login(LoginToken::Header(name), None);
        let headers = answer(204, &[("X-Auth-Token", "Bearer t2")], "");
        assert_eq!(token(&from_header, &headers), ("t2".to_owned(), None));
        let from_cookie = login(LoginToken::Cookie("sid".into()), None);
        let cookies = [
            ("Set-Cookie", "sidebar=no; Max-Age=5"),
            ("Set-Cookie", "sid=t3=; Path=/; max-age=60; HttpOnly"),
        ];
        assert_eq!(
            token(&from_cookie, &answer(302, &cookies, "<html>")),
            ("t3=".to_owned(), Some(Duration::from_secs(60)))
        );
        let fixed = login(at("$.t"), Some(LoginLife::Fixed(Duration::from_secs(7))));
        assert_eq!(
            token(&fixed, &answer(200, &[], "{\"t\":12345}")),
            ("12345".to_owned(), Some(Duration::from_secs(7)))
        );
    }

    #[test]
    fn an_answer_without_it_says_where_it_was_looked_for_and_nothing_else() {
        let login = login(at("$.token"), None);
        for body in ["{\"tok\":\"hunter2\"}", "hunter2", "{\"token\":\"\"}", ""] {
            let error = read(&login, &answer(200, &[], body), Instant::now()).unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(said.contains("no token at `$.token`"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
            assert!(matches!(error, GrantError::Odd { .. }));
        }
        for (status, is_refusal) in [(401, true), (422, true), (404, false), (405, false)] {
            let error = read(&login, &answer(status, &[], "hunter2"), Instant::now()).unwrap_err();
            assert_eq!(matches!(error, GrantError::Refused { .. }), is_refusal);
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
