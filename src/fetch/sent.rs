//! What a request carried that no message may repeat (promise 6).
//!
//! Knows where credentials stand in a request; taking them out of a text is
//! [`crate::transport::redact`]'s. Must never be shown or kept itself.

use crate::auth::Presented;
use crate::job::{Body, Template, UrlTemplate, Values};
use reqwest::Url;
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;
use std::borrow::Cow;

/// A shorter piece is a word: taken out, it would garble every message.
const SHORTEST_PIECE: usize = 8;

/// The parts of one item's request that may hold a secret.
pub(super) struct Sent<'a> {
    pub(super) values: Values<'a>,
    pub(super) home: &'a Url,
    pub(super) url: &'a UrlTemplate,
    pub(super) query: &'a [(String, Template)],
    pub(super) body: Option<&'a Body>,
}

impl Sent<'_> {
    /// What was sent and must not be told: sensitive headers (with and without
    /// their scheme, and word by word), keys in the query, whatever `${…}` brought
    /// into the URL and the body: the whole values, and the pieces.
    pub(super) fn secrets(&self, headers: &HeaderMap, presented: &Presented) -> Vec<Vec<u8>> {
        let mut secrets: Vec<Vec<u8>> = headers
            .values()
            .filter(|value| value.is_sensitive())
            .map(|value| value.as_bytes().to_vec())
            .collect();
        match presented {
            Presented::None => {}
            Presented::Header(_, value) => secrets.push(value.as_bytes().to_vec()),
            Presented::Token(token) => {
                secrets.push(token.header.as_bytes().to_vec());
                secrets.push(token.secret.expose_secret().as_bytes().to_vec());
            }
            Presented::Query(_, value) => secrets.push(value.expose_secret().as_bytes().to_vec()),
        }
        let words: Vec<_> = secrets.iter().flat_map(|value| words(value)).collect();
        secrets.extend(words);
        let mut pieces: Vec<&str> = self.url.filled().collect();
        for (_, template) in self.query.iter().filter(|(_, t)| t.is_secret()) {
            secrets.push(template.expand_value(self.values).into_bytes());
            pieces.extend(template.filled());
        }
        let filled = self.body.into_iter().flat_map(Body::secrets);
        secrets.extend(filled.map(|text| text.as_bytes().to_vec()));
        let mut parts: Vec<Cow<'_, str>> = pieces
            .into_iter()
            .filter(|piece| piece.len() >= SHORTEST_PIECE)
            .map(Cow::Borrowed)
            .collect();
        if self.url.is_secret() {
            let pairs = self.home.query().unwrap_or_default().as_bytes();
            // `?KEY` is a name without a value.
            let values = form_urlencoded::parse(pairs)
                .map(|(name, value)| if value.is_empty() { name } else { value });
            parts.extend(values.filter(|value| self.url.is_secret_part(value)));
        }
        // An item's own value is what a message is about.
        parts.retain(|part| self.values.all(|value| part != value));
        secrets.extend(parts.into_iter().map(|part| part.into_owned().into_bytes()));
        secrets
    }
}

/// The words of a header's value: what comes after its scheme, and what an API
/// of its own syntax has for a key (`Token token="…"`, `key=…;id=…`).
fn words(value: &[u8]) -> Vec<Vec<u8>> {
    let after_scheme = value.iter().position(|&b| b == b' ');
    let after_scheme = after_scheme.and_then(|space| value.get(space + 1..));
    let between = |b: &u8| b" =,;:\"'".contains(b);
    let words = value.split(between).filter(|w| w.len() >= SHORTEST_PIECE);
    let words = after_scheme.into_iter().chain(words);
    words.map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Environment, LoadOptions, load};
    use crate::transport::{holds, redact};
    use reqwest::header::HeaderValue;

    /// What a request of the item `track-0001` carried.
    fn secrets(request: &str, header: Option<&str>) -> Vec<Vec<u8>> {
        let text = format!(
            "[ids]\nlist = [\"track-0001\"]\n[request]\n{request}\n[output]\npath = \"x.ndjson\"\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        std::fs::write(&path, text).unwrap();
        let options = LoadOptions {
            environment: Environment::of([("KEY", "s3cr3t-key/1"), ("LANG", "en")]),
            ..LoadOptions::default()
        };
        let job = load(&path, &options).unwrap_or_else(|error| panic!("{error}"));
        let values = Values::One("track-0001");
        let url = &job.request.url;
        let home = url.build(values, &job.request.query).unwrap();
        let sent = Sent {
            values,
            home: &home,
            url,
            query: &job.request.query,
            body: None,
        };
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            let mut value = HeaderValue::from_str(value).unwrap();
            value.set_sensitive(true);
            headers.insert("x-key", value);
        }
        sent.secrets(&headers, &Presented::None)
    }

    fn told(text: &str, secrets: &[Vec<u8>]) -> String {
        redact(text, secrets.iter().map(Vec::as_slice))
    }

    #[test]
    fn a_key_is_known_wherever_it_stands_in_the_url() {
        for url in [
            "https://h/{id}?q=x${KEY}",
            "https://h/{id}?filter=key:${KEY}&lang=${LANG}",
            "https://h/{id}?q=${KEY}",
        ] {
            let secrets = secrets(&format!("url = \"{url}\""), None);
            let said = told(
                "no s3cr3t-key/1 s3cr3t-key%2F1 for track-0001 when",
                &secrets,
            );
            assert_eq!(
                said, "no [redacted] [redacted] for track-0001 when",
                "{url}"
            );
            let away = "https://cdn/v1?k=s3cr3t-key%2F1";
            assert!(holds(away, secrets.iter().map(Vec::as_slice)), "{url}");
        }
        let secrets = secrets("url = \"https://h/bot${KEY}/{id}\"", None);
        assert_eq!(told("bots3cr3t-key", &secrets), "bot[redacted]");
    }

    #[test]
    fn a_key_is_known_in_a_query_value_and_in_a_header() {
        let request = "url = \"https://h/{id}\"\nquery = { filter = \"key:${KEY}\" }";
        let secrets = secrets(request, Some("Token token=\"abcd-efgh-1\""));
        let said = told("key:s3cr3t-key/1, s3cr3t-key/1, abcd-efgh-1", &secrets);
        assert_eq!(said, "[redacted], [redacted], [redacted]");
    }
}
