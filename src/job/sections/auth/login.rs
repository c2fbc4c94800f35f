//! `[auth] type = "login"`: one POST, and where its answer has the token.

use super::{Address, endpoints};
use crate::job::diagnostic::Diagnostic;
use crate::job::sections::reader::{Field, Reader, Section, StandIn};
use crate::job::{Login, LoginBody, LoginLife, LoginToken, TokenUse};
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use serde_json::{Map, Number, Value};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

pub(super) const KEYS: [&str; 11] = [
    "login_url",
    "form",
    "json",
    "token_path",
    "token_header",
    "token_cookie",
    "expires",
    "expires_in_path",
    "send_as",
    "name",
    "prefix",
];

/// `send_as`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Bearer,
    Header,
    Cookie,
}

pub(super) fn read(
    reader: &mut Reader,
    section: &Section<'_>,
    addresses: &mut Vec<Address>,
) -> Option<Login> {
    let example = "login_url = \"https://api.example.com/login\"";
    let url = reader.required(section, "login_url", example);
    let url = url.and_then(|field| {
        let url = endpoints::read_url(reader, field, "login_url")?;
        addresses.push(Address {
            key: "login_url",
            url: url.clone(),
            span: field.span(),
        });
        Some(url)
    });
    let body = body(reader, section);
    let token = token(reader, section);
    let life = life(reader, section);
    let send = match &token {
        Some(token) => send(reader, section, token),
        None => None,
    };
    Some(Login {
        url: url?,
        body: body?,
        token: token?,
        life: life?,
        send: send?,
    })
}

/// Of keys that exclude each other, the one that is there. More than one is told.
fn only<'s, 't>(
    reader: &mut Reader,
    section: &'s Section<'t>,
    names: &[&str],
    what: &str,
) -> Option<Option<&'s Field<'t>>> {
    let mut there = names.iter().filter_map(|name| section.get(name));
    let first = there.next();
    if let (Some(first), Some(second)) = (first, there.next()) {
        let message = format!("`{}` and `{}` are both {what}", first.name, second.name);
        let mistake = Diagnostic::new(message).at(second.key.clone());
        reader.push(mistake.help("keep one of them"));
        return None;
    }
    Some(first)
}

fn body(reader: &mut Reader, section: &Section<'_>) -> Option<LoginBody> {
    let Some(field) = only(reader, section, &["json", "form"], "what is posted")? else {
        let example = "json = { username = \"${API_USER}\", password = \"${API_PASSWORD}\" }";
        reader.required(section, "json", example);
        return None;
    };
    if field.name == "form" {
        let mut pairs = Vec::new();
        let mut whole = true;
        for pair in reader.table(field)? {
            match reader.text(&pair, StandIn::InSandbox) {
                Some(text) => pairs.push((pair.name.to_owned(), text.value().into())),
                None => whole = false,
            }
        }
        return whole.then_some(LoginBody::Form(pairs));
    }
    reader.table(field)?;
    let value = json(reader, field, field.value)?;
    Some(LoginBody::Json(value.to_string().into()))
}

/// A TOML value as JSON, its strings filled in.
fn json(reader: &mut Reader, field: &Field<'_>, value: &Spanned<DeValue<'_>>) -> Option<Value> {
    let at = Field {
        name: field.name,
        key: field.key.clone(),
        value,
    };
    match value.get_ref() {
        DeValue::String(_) => {
            let text = reader.text(&at, StandIn::InSandbox)?.value();
            Some(Value::String(text))
        }
        DeValue::Boolean(value) => Some(Value::Bool(*value)),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            number.ok().map(Value::from)
        }
        DeValue::Float(number) => {
            let number = number.as_str().parse().ok().and_then(Number::from_f64);
            if number.is_none() {
                reader.impossible(&at, "JSON has no such number", "write it as a string");
            }
            number.map(Value::Number)
        }
        DeValue::Datetime(_) => {
            reader.impossible(&at, "JSON has no dates", "write it as a string");
            None
        }
        DeValue::Array(array) => {
            let values: Vec<_> = array
                .iter()
                .map(|value| json(reader, field, value))
                .collect();
            values.into_iter().collect::<Option<_>>().map(Value::Array)
        }
        DeValue::Table(table) => {
            let values: Vec<_> = table
                .iter()
                .map(|(key, value)| {
                    let value = json(reader, field, value)?;
                    Some((key.get_ref().to_string(), value))
                })
                .collect();
            let values = values.into_iter().collect::<Option<Map<_, _>>>();
            values.map(Value::Object)
        }
    }
}

fn token(reader: &mut Reader, section: &Section<'_>) -> Option<LoginToken> {
    let names = ["token_path", "token_header", "token_cookie"];
    let Some(field) = only(reader, section, &names, "where the token is")? else {
        let example = "token_path = \"$.token\"`, `token_header = \"X-Auth-Token\"` or `token_cookie = \"session\"";
        reader.required(section, "token_path", example);
        return None;
    };
    match field.name {
        "token_path" => reader.json_path(field).map(LoginToken::Body),
        "token_header" => header(reader, field).map(LoginToken::Header),
        _ => cookie(reader, field).map(LoginToken::Cookie),
    }
}

fn life(reader: &mut Reader, section: &Section<'_>) -> Option<Option<LoginLife>> {
    let names = ["expires", "expires_in_path"];
    let Some(field) = only(reader, section, &names, "how long a token lives")? else {
        return Some(None);
    };
    let life = match field.name {
        "expires" => {
            let range = Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 3600);
            let life = reader.duration(field, range, "from `1s` to `366d`");
            life.map(LoginLife::Fixed)
        }
        _ => reader.json_path(field).map(LoginLife::Body),
    };
    life.map(Some)
}

/// How the token is sent: as it came, unless the job says otherwise.
fn send(reader: &mut Reader, section: &Section<'_>, token: &LoginToken) -> Option<TokenUse> {
    let words = [
        ("bearer", Way::Bearer),
        ("header", Way::Header),
        ("cookie", Way::Cookie),
    ];
    let usual = match token {
        LoginToken::Body(_) if section.get("name").is_some() => Way::Header,
        LoginToken::Body(_) => Way::Bearer,
        LoginToken::Header(_) => Way::Header,
        LoginToken::Cookie(_) => Way::Cookie,
    };
    let way = section.optional("send_as", usual, |field| reader.choice(field, &words))?;
    let allowed: &[&str] = match way {
        Way::Bearer => &[],
        Way::Header => &["name", "prefix"],
        Way::Cookie => &["name"],
    };
    for name in ["name", "prefix"] {
        if let Some(field) = section.get(name).filter(|_| !allowed.contains(&name)) {
            let way = words.iter().find(|(_, other)| *other == way);
            let way = way.map_or("", |(word, _)| word);
            let message = format!("`{name}` does not go with `send_as = \"{way}\"`");
            let help = "`send_as = \"header\"` takes `name` and `prefix`, \"cookie\" takes `name`";
            reader.push(Diagnostic::new(message).at(field.key.clone()).help(help));
        }
    }
    let prefix = section.optional("prefix", String::new(), |field| {
        let prefix = reader.string(field)?;
        if HeaderValue::from_str(&prefix).is_err() {
            let help = "it stands before the token, such as `Token `";
            reader.impossible(field, "`prefix` cannot be sent in a header", help);
            return None;
        }
        Some(prefix)
    })?;
    let example = match way {
        Way::Cookie => "name = \"session\"",
        _ => "name = \"X-Auth-Token\"",
    };
    match way {
        Way::Bearer => Some(TokenUse::Header {
            name: AUTHORIZATION,
            prefix: "Bearer ".to_owned(),
        }),
        Way::Header => {
            let name = match (section.get("name"), token) {
                (None, LoginToken::Header(name)) => name.clone(),
                _ => {
                    let field = reader.required(section, "name", example)?;
                    header(reader, field)?
                }
            };
            Some(TokenUse::Header { name, prefix })
        }
        Way::Cookie => match (section.get("name"), token) {
            (None, LoginToken::Cookie(name)) => Some(TokenUse::Cookie(name.clone())),
            _ => {
                let field = reader.required(section, "name", example)?;
                cookie(reader, field).map(TokenUse::Cookie)
            }
        },
    }
}

fn header(reader: &mut Reader, field: &Field<'_>) -> Option<HeaderName> {
    let text = reader.string(field)?;
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    // Cookies have a key of their own, and these frame the message.
    let framing = ["content-length", "transfer-encoding", "host", "connection"];
    let name = name.filter(|name| {
        *name != COOKIE && name != "set-cookie" && !framing.contains(&name.as_str())
    });
    if name.is_none() {
        let message = format!("`{}` is not a header that a token is in", field.name);
        let help = "a header's name has letters, digits and `-`, such as `X-Auth-Token`; a \
                    cookie's is for `token_cookie` and `send_as = \"cookie\"`";
        reader.impossible(field, &message, help);
    }
    name
}

/// A cookie's name: a token of RFC 6265 section 4.1.1.
fn cookie(reader: &mut Reader, field: &Field<'_>) -> Option<String> {
    let name = reader.string(field)?;
    let is_name = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?={}".contains(c);
    if name.is_empty() || !name.chars().all(is_name) {
        let message = format!("`{}` is not a cookie's name", field.name);
        reader.impossible(
            field,
            &message,
            "a cookie's name is a word such as `session`",
        );
        return None;
    }
    Some(name)
}
