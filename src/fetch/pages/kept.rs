//! Links without the credentials that a server repeats in them.
//!
//! A server that took a key in the query gives it back in the link to the next
//! page. Owns the marks that stand in a kept link where a credential stood, and
//! how they are filled in again: from the item's own URL, so that the
//! credentials may change meanwhile. Must never be shown or kept itself.

use crate::auth::Presented;
use crate::job::{Template, UrlTemplate};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use std::borrow::Cow;

/// Where credentials stand in the URLs of one item.
#[derive(Debug, Default)]
pub(in crate::fetch) struct Slots {
    /// The parameter of an API key: left out, and added by whoever sends.
    key: Option<String>,
    slots: Vec<Slot>,
}

/// One place that holds, or may hold, a credential.
#[derive(Debug)]
struct Slot {
    /// `<p1>`: a URL never has a `<`.
    mark: String,
    /// The query parameter's name; `None` in the path.
    name: Option<String>,
    /// As it stands in the item's URL, encoded.
    value: String,
}

impl Slots {
    /// The slots of the item whose URL is `home`.
    pub(in crate::fetch) fn new(
        home: &Url,
        url: &UrlTemplate,
        query: &[(String, Template)],
        presented: &Presented,
    ) -> Slots {
        let mut slots = Vec::new();
        let segments = home.path().split('/').enumerate();
        let secret = segments.filter(|(_, value)| !value.is_empty() && url.is_secret_part(value));
        slots.extend(secret.map(|(place, value)| Slot {
            mark: format!("<p{place}>"),
            name: None,
            value: value.to_owned(),
        }));
        let pairs: Vec<&str> = home.query().unwrap_or_default().split('&').collect();
        let own = pairs.len().saturating_sub(query.len());
        for (place, pair) in pairs.iter().enumerate() {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let is_secret = match place.checked_sub(own) {
                Some(place) => query.get(place).is_some_and(|(_, value)| value.is_secret()),
                None => url.is_secret_part(value),
            };
            if is_secret && !value.is_empty() {
                slots.push(Slot {
                    mark: format!("<v{place}>"),
                    name: Some(decoded(name).into_owned()),
                    value: value.to_owned(),
                });
            }
        }
        Slots {
            key: match presented {
                Presented::Query(name, _) => Some(name.clone()),
                _ => None,
            },
            slots,
        }
    }

    /// The URL with marks in the place of credentials.
    pub(super) fn mask(&self, url: &Url) -> String {
        let mut text = url.origin().ascii_serialization();
        for (place, segment) in url.path().split('/').enumerate() {
            if place > 0 {
                text.push('/');
            }
            text.push_str(self.mark(None, segment).unwrap_or(segment));
        }
        let mut separator = '?';
        for pair in url.query().into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if self.key.as_deref().is_some_and(|key| decoded(name) == key) {
                continue;
            }
            text.push(separator);
            separator = '&';
            match self.mark(Some(name), value) {
                Some(mark) => text.extend([name, "=", mark]),
                None => text.push_str(pair),
            }
        }
        text
    }

    /// The credentials put back; `None` when there is no such slot.
    pub(super) fn unmask(&self, text: &str) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, marked)) = rest.split_once('<') {
            let (mark, after) = marked.split_once('>')?;
            let is_it = |slot: &&Slot| {
                slot.mark
                    .strip_prefix('<')
                    .and_then(|known| known.strip_suffix('>'))
                    == Some(mark)
            };
            out.push_str(before);
            out.push_str(&self.slots.iter().find(is_it)?.value);
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }

    /// The mark for a segment or a parameter's value: of the parameter of that
    /// name (the server may have blackened its value), or of the same value.
    fn mark(&self, name: Option<&str>, value: &str) -> Option<&str> {
        if value.is_empty() || self.slots.is_empty() {
            return None;
        }
        let (name, value) = (name.map(decoded), decoded(value));
        let of_that_name = |slot: &&Slot| {
            let named = name.is_some() && slot.name.as_deref() == name.as_deref();
            named && is_repeated(&value, &decoded(&slot.value))
        };
        let of_that_value = |slot: &&Slot| decoded(&slot.value) == value;
        let slots = || self.slots.iter();
        let found = slots()
            .find(of_that_name)
            .or_else(|| slots().find(of_that_value));
        found.map(|slot| slot.mark.as_str())
    }
}

/// Whether a parameter of a credential's name has (a part of) that credential,
/// or what a server puts in its place; anything else is a value of the link's own.
fn is_repeated(value: &str, credential: &str) -> bool {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if number(value) {
        return value == credential;
    }
    let lower = value.to_ascii_lowercase();
    let words = ["redact", "hidden", "mask", "filtered", "secret"];
    credential.contains(value)
        || words.iter().any(|word| lower.contains(word))
        || lower.chars().all(|c| matches!(c, '*' | 'x' | '•' | '.'))
}

/// A part of a URL as the server understands it.
fn decoded(text: &str) -> Cow<'_, str> {
    match text.contains('+') {
        true => percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
            .into(),
        false => percent_decode_str(text).decode_utf8_lossy(),
    }
}
