//! What a request carried that no message may repeat (promise 6).
//!
//! Knows where credentials stand in a request; taking them out of a text is
//! [`crate::transport::redact`]'s. Must never be shown or kept itself.

use crate::auth::Presented;
use crate::job::{Body, Template, UrlTemplate, Values};
use reqwest::Url;
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;

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
    /// their scheme), keys in the query, whatever `${…}` brought into the URL.
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
        let bare = |value: &Vec<u8>| {
            let space = value.iter().position(|&b| b == b' ')?;
            Some(value.get(space + 1..)?.to_vec())
        };
        let without_scheme: Vec<_> = secrets.iter().filter_map(bare).collect();
        secrets.extend(without_scheme);
        for (_, template) in self.query.iter().filter(|(_, t)| t.is_secret()) {
            secrets.push(template.expand_value(self.values).into_bytes());
        }
        let filled = self.body.into_iter().flat_map(Body::secrets);
        secrets.extend(filled.map(|text| text.as_bytes().to_vec()));
        if self.url.is_secret() {
            let pairs = self.home.query().unwrap_or_default().split('&');
            let filled = pairs.filter(|pair| self.url.is_secret_part(pair));
            let values = filled.flat_map(|pair| {
                // `?KEY` is a name without a value.
                form_urlencoded::parse(pair.as_bytes()).map(|(name, value)| match &*value {
                    "" => name.into_owned(),
                    value => value.to_owned(),
                })
            });
            // Shorter segments are words (`v1`, `tracks`), and no keys.
            let segments = self
                .home
                .path_segments()
                .into_iter()
                .flatten()
                .filter(|segment| segment.len() >= 16 && self.url.is_secret_part(segment))
                .map(str::to_owned);
            let parts = values.chain(segments);
            let parts = parts.filter(|part| self.values.all(|value| part != value));
            secrets.extend(parts.map(String::into_bytes));
        }
        secrets
    }
}
