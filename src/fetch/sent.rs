//! What a request carried that no message may repeat (promise 6).
//!
//! Knows where credentials stand in a request; taking them out of a text is
//! [`crate::transport::redact`]'s. Must never be shown or kept itself.

use crate::auth::Presented;
use crate::job::{Body, Template, UrlTemplate, Values};
use crate::transport::spellings;
use base64::prelude::{BASE64_STANDARD, Engine};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;
use std::sync::{Mutex, PoisonError};

/// A shorter piece is a word: taken out, it would garble every message.
const SHORTEST_TOLD: usize = 8;
/// A shorter piece of letters or of digits alone may be a name or a date, and a
/// link that has one is no leak.
const SHORTEST_HELD: usize = 16;

/// The parts of one item's request that may hold a secret.
pub(super) struct Sent<'a> {
    pub(super) values: Values<'a>,
    pub(super) home: &'a Url,
    pub(super) url: &'a UrlTemplate,
    pub(super) query: &'a [(String, Template)],
    pub(super) body: Option<&'a Body>,
    /// What `${…}` brought into headers, piece by piece.
    pub(super) headers: &'a [String],
}

/// What was sent and must not get out.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Must neither be told, nor be sent elsewhere, nor be kept.
    pub(super) held: Vec<Vec<u8>>,
    /// Must not be told. Some of it may be a word that anybody uses, so a link
    /// that has it is followed.
    told: Vec<Vec<u8>>,
}

impl Secrets {
    /// What no message may have.
    pub(super) fn untold(&self) -> impl Iterator<Item = &[u8]> {
        self.held.iter().chain(&self.told).map(Vec::as_slice)
    }

    /// What must not go anywhere else.
    pub(super) fn held(&self) -> impl Iterator<Item = &[u8]> {
        self.held.iter().map(Vec::as_slice)
    }

    fn hold(&mut self, secret: impl Into<Vec<u8>>) {
        self.held.push(secret.into());
    }

    /// A part of something longer, held when it is no name and no date.
    fn piece(&mut self, piece: &[u8]) {
        let mixed =
            piece.iter().any(u8::is_ascii_alphabetic) && piece.iter().any(u8::is_ascii_digit);
        match piece.len() {
            0..SHORTEST_TOLD => {}
            SHORTEST_TOLD..SHORTEST_HELD if !mixed => self.told.push(piece.to_vec()),
            _ => self.held.push(piece.to_vec()),
        }
    }
}

/// How the secrets of the last request are spelled: those of the next one are mostly
/// the same, and every good answer asks.
#[derive(Debug, Default)]
pub(super) struct Spelled(Mutex<(Vec<Vec<u8>>, Vec<String>)>);

impl Spelled {
    /// Whether a text that would be kept has one of `secrets`, in any spelling.
    pub(super) fn is_in(&self, text: &[u8], secrets: &Secrets) -> bool {
        let text = String::from_utf8_lossy(text);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != secrets.held {
            let long = secrets
                .held()
                .filter(|secret| secret.len() >= SHORTEST_TOLD);
            *last = (secrets.held.clone(), long.flat_map(spellings).collect());
        }
        last.1
            .iter()
            .any(|spelling| text.contains(spelling.as_str()))
    }
}

impl Sent<'_> {
    /// What was sent and must not get out: sensitive headers (with and without
    /// their scheme), keys in the query, whatever `${…}` brought into the URL, the
    /// headers and the body: the whole values, and the pieces.
    pub(super) fn secrets(&self, headers: &HeaderMap, presented: &Presented) -> Secrets {
        let mut secrets = Secrets::default();
        for value in headers.values().filter(|value| value.is_sensitive()) {
            header(value.as_bytes(), &mut secrets);
        }
        match presented {
            Presented::None => {}
            Presented::Header(_, value) => {
                header(value.as_bytes(), &mut secrets);
                words(value.as_bytes(), &mut secrets);
            }
            Presented::Token(token) => {
                header(token.header.as_bytes(), &mut secrets);
                secrets.hold(token.secret.expose_secret());
            }
            Presented::Query(_, value) => secrets.hold(value.expose_secret()),
        }
        let filled = self.body.into_iter().flat_map(Body::secrets);
        filled.for_each(|text| secrets.hold(text));
        // An item's own value is what a message is about.
        let is_own = |part: &str| !self.values.all(|value| part != value);
        for piece in self.headers {
            secrets.piece(piece.as_bytes());
            // One may bring a whole header: `${COOKIE}`.
            words(piece.as_bytes(), &mut secrets);
        }
        let mut pieces: Vec<&str> = self.url.filled().collect();
        for (_, template) in self.query.iter().filter(|(_, t)| t.is_secret()) {
            secrets.hold(template.expand_value(self.values));
            pieces.extend(template.filled());
        }
        for piece in pieces.into_iter().filter(|piece| !is_own(piece)) {
            secrets.piece(piece.as_bytes());
        }
        if self.url.is_secret() {
            for pair in self.home.query().unwrap_or_default().split('&') {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                // `?KEY` is a name without a value.
                let part = if value.is_empty() { name } else { value };
                if self.url.is_secret_part(part) {
                    for read in readings(part).into_iter().filter(|read| !is_own(read)) {
                        secrets.hold(read);
                    }
                }
            }
        }
        secrets
    }
}

/// A header's whole value, and what comes after its scheme.
fn header(value: &[u8], secrets: &mut Secrets) {
    secrets.hold(value);
    let mut parts = value.splitn(2, |&b| b == b' ');
    let scheme = parts.next().unwrap_or_default();
    // Not `sid=…; language=en`.
    let is_scheme = scheme.iter().all(|b| !b"=;,:\"".contains(b));
    if let Some(bare) = parts.next().filter(|_| is_scheme) {
        secrets.hold(bare);
    }
    if let Some((user, password)) = basic(value) {
        // Some APIs take a key for a name.
        secrets.piece(&user);
        match password.len() < SHORTEST_TOLD {
            true => secrets.told.push(password),
            false => secrets.hold(password),
        }
    }
}

/// The words of a credential of an API's own syntax: `Token token="…"`, `key=…;id=…`.
fn words(value: &[u8], secrets: &mut Secrets) {
    let between = |b: &u8| b" =,;:\"'".contains(b);
    value.split(between).for_each(|word| secrets.piece(word));
}

/// The user and the password in a header of HTTP Basic (RFC 7617 section 2).
fn basic(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut pair = BASE64_STANDARD
        .decode(value.strip_prefix(b"Basic ")?)
        .ok()?;
    let colon = pair.iter().position(|&b| b == b':')?;
    let password = pair.split_off(colon + 1);
    pair.truncate(colon);
    Some((pair, password))
}

/// What servers read in a part of a query: a `+` is a space to most, and itself to some.
fn readings(part: &str) -> Vec<String> {
    let read = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut readings = vec![read(part)];
    if part.contains('+') {
        readings.push(read(&part.replace('+', " ")));
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::head::header_value;
    use crate::job::{Environment, LoadOptions, load};
    use crate::transport::{holds, redact};
    use reqwest::header::{AUTHORIZATION, HeaderValue};

    const KEY: &str = "s3cr3t-key.of-the-test";

    /// What a request of the item `track-0001` carried.
    fn secrets(request: &str, presented: &Presented) -> Secrets {
        let text = format!(
            "[ids]\nlist = [\"track-0001\"]\n[request]\n{request}\n[output]\npath = \"x.ndjson\"\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        std::fs::write(&path, text).unwrap();
        let options = LoadOptions {
            environment: Environment::of([
                ("KEY", KEY),
                ("LANG", "en"),
                ("OWNER", "microsoft"),
                ("COOKIE", "sid=4f9c8d7e6b5a43210fed; uid=7"),
                ("BOT", "bot"),
                ("SHORT", "a1b2c3d4e5"),
                ("FROM", "2025-01-01"),
            ]),
            ..LoadOptions::default()
        };
        let job = load(&path, &options).unwrap_or_else(|error| panic!("{error}"));
        let values = Values::One("track-0001");
        let url = &job.request.url;
        let home = url.build(values, &job.request.query).unwrap();
        let filled = job.request.headers.iter();
        let filled: Vec<String> = filled
            .flat_map(|(_, value)| value.filled().map(str::to_owned))
            .collect();
        let sent = Sent {
            values,
            home: &home,
            url,
            query: &job.request.query,
            body: None,
            headers: &filled,
        };
        let mut headers = HeaderMap::new();
        for (_, template) in &job.request.headers {
            headers.insert("x-own", header_value(template, values).unwrap());
        }
        sent.secrets(&headers, presented)
    }

    fn told(text: &str, secrets: &Secrets) -> String {
        redact(text, secrets.untold())
    }

    fn leaks(url: &str, secrets: &Secrets) -> bool {
        holds(url, secrets.held())
    }

    #[test]
    fn a_key_is_known_wherever_it_stands_in_the_url() {
        for url in [
            "https://h/{id}?q=x${KEY}",
            "https://h/{id}?filter=key:${KEY}&lang=${LANG}",
            "https://h/{id}?q=${KEY}",
            "https://h/bot${KEY}/{id}",
        ] {
            let secrets = secrets(&format!("url = \"{url}\""), &Presented::None);
            let text =
                "no s3cr3t-key.of-the-test s3cr3t%2Dkey%2Eof%2Dthe%2Dtest for track-0001 when";
            let said = told(text, &secrets);
            assert_eq!(
                said, "no [redacted] [redacted] for track-0001 when",
                "{url}"
            );
            let away = "https://cdn/v1?k=s3cr3t-key.of-the-test";
            assert!(leaks(away, &secrets), "{url}");
        }
    }

    #[test]
    fn a_plus_of_a_key_is_known_as_a_space_too() {
        let url = "url = \"https://h/{id}?key=${KEY}+9%2F2==\"";
        let secrets = secrets(url, &Presented::None);
        for read in [
            "s3cr3t-key.of-the-test+9/2==",
            "s3cr3t-key.of-the-test 9/2==",
        ] {
            assert_eq!(told(&format!("<{read}>"), &secrets), "<[redacted]>");
        }
        assert!(leaks(
            "https://cdn/?key=s3cr3t-key.of-the-test%2B9%2F2%3D%3D",
            &secrets
        ));
    }

    #[test]
    fn a_key_is_known_in_a_query_value_and_in_a_header() {
        let request = "url = \"https://h/{id}\"\nquery = { filter = \"key:${KEY}\" }\n\
                       headers = { Cookie = \"sid=${KEY}; language=en\" }";
        let mut value = HeaderValue::from_static("Token token=\"abcd-efgh-1\"");
        value.set_sensitive(true);
        let secrets = secrets(request, &Presented::Header(AUTHORIZATION, value));
        let said = told(&format!("key:{KEY}, {KEY}, abcd-efgh-1"), &secrets);
        assert_eq!(said, "[redacted], [redacted], [redacted]");
        assert!(leaks(&format!("https://cdn/?x={KEY}"), &secrets));
        // What was typed is no secret.
        assert!(!leaks("https://h/?language=en&page=2", &secrets));
    }

    #[test]
    fn a_whole_header_that_was_filled_in_is_known_word_by_word() {
        let request = "url = \"https://h/{id}\"\nheaders = { Cookie = \"${COOKIE}\" }";
        let secrets = secrets(request, &Presented::None);
        let said = told("session 4f9c8d7e6b5a43210fed has expired", &secrets);
        assert_eq!(said, "session [redacted] has expired");
        assert!(leaks("https://cdn/?sid=4f9c8d7e6b5a43210fed", &secrets));
    }

    #[test]
    fn pieces_side_by_side_are_known_alone_and_together() {
        let secrets = secrets("url = \"https://h/${BOT}${KEY}/{id}\"", &Presented::None);
        for told_of in [KEY.to_owned(), format!("bot{KEY}")] {
            let said = told(&format!("no {told_of}!"), &secrets);
            assert!(!said.contains(KEY), "{said}");
        }
        assert!(leaks(&format!("https://cdn/file/{KEY}"), &secrets));
    }

    #[test]
    fn a_password_is_known_without_its_encoding() {
        let pair = BASE64_STANDARD.encode("bob:hunter22");
        let mut value = HeaderValue::from_str(&format!("Basic {pair}")).unwrap();
        value.set_sensitive(true);
        let presented = Presented::Header(AUTHORIZATION, value);
        let secrets = secrets("url = \"https://h/{id}\"", &presented);
        let said = told("no hunter22 for bob", &secrets);
        assert_eq!(said, "no [redacted] for bob");
    }

    #[test]
    fn pieces_that_are_names_or_dates_may_be_in_a_link() {
        let secrets = secrets(
            "url = \"https://h/${OWNER}/{id}?range=${FROM}..${FROM}\"",
            &Presented::None,
        );
        assert!(!leaks(
            "https://raw.h/microsoft/x?from=2025-01-01",
            &secrets
        ));
        assert!(leaks(
            "https://raw.h/x?range=2025-01-01..2025-01-01",
            &secrets
        ));
    }
}
