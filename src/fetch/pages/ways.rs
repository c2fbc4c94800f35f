//! From one page to the next, and to its URL.

use super::{Bad, Next, Numbers, PageCursor, PageRequest, Pages, Slots, Way, holds_any, link};
use crate::json::{Query, is_null, string, text};
use crate::outcome::Reason;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;

/// Everything but RFC 3986 unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Pages {
    /// The URL of the page at `place`, and whether the job's headers and
    /// credentials go along. Errs in words for people.
    pub(in crate::fetch) fn url(
        &self,
        home: &Url,
        place: &PageCursor,
        slots: &Slots,
    ) -> Result<(Url, bool), &'static str> {
        let odd = "the checkpoint's resume_point of this item does not fit this job";
        let url = match (&self.way, &place.next) {
            (Way::Next(_) | Way::Link, Some(Next::Url { text, away })) => {
                // Nothing of ours is filled into a link that leads away ("Secrets stay secret").
                let text = match away {
                    true => (!text.contains('<')).then(|| text.clone()),
                    false => slots.unmask(text),
                };
                let url = text.and_then(|text| Url::parse(&text).ok());
                return url.map(|url| (url, !away)).ok_or(odd);
            }
            (Way::Cursor { param, .. }, Some(Next::Cursor(cursor))) => with(home, param, cursor),
            (Way::Next(_) | Way::Link | Way::Cursor { .. }, None) => home.clone(),
            (Way::Offset(numbers), None) => numbers.url(home, 0),
            (Way::Page { numbers, first }, None) => numbers.url(home, *first),
            (Way::Offset(numbers) | Way::Page { numbers, .. }, Some(Next::Number(number))) => {
                numbers.url(home, *number)
            }
            _ => return Err(odd),
        };
        if hyper::Uri::try_from(url.as_str()).is_err() {
            return Err("the URL of the next page is longer than a URL may be");
        }
        Ok((url, true))
    }

    /// What comes after this page, in which there are `count` elements.
    pub(super) fn next(
        &self,
        body: &[u8],
        asked: &PageRequest<'_>,
        links: &[Vec<u8>],
        count: u64,
    ) -> Result<Option<Next>, Bad> {
        let PageCursor {
            pages, elements, ..
        } = asked.place;
        let elements = elements + count;
        match &self.way {
            Way::Next(at) => match value(at, body)? {
                Some(link) => self.follow(&link, asked).map(Some),
                None => Ok(None),
            },
            Way::Link => match link::next(links, asked.url) {
                Ok(Some(link)) => self.follow(&link, asked).map(Some),
                Ok(None) => Ok(None),
                Err(message) => Err(Bad(Reason::NextPage, message)),
            },
            Way::Cursor { at, .. } => {
                let Some(cursor) = value(at, body)? else {
                    return Ok(None);
                };
                if holds_any(&cursor, asked.secrets) {
                    let message = "the page's cursor holds a credential of this job \
                                   (what is no secret can be typed in the place of `${…}`)";
                    return Err(Bad(Reason::NextPage, message.to_owned()));
                }
                Ok(Some(Next::Cursor(cursor)))
            }
            Way::Offset(numbers) => {
                let on = numbers.go_on(body, count, elements)?;
                // By what came, not by what was asked for: a server that gives less loses nothing.
                Ok(on.then_some(Next::Number(elements)))
            }
            Way::Page { numbers, first } => {
                let on = numbers.go_on(body, count, elements)?;
                Ok(on.then_some(Next::Number(first.saturating_add(pages + 1))))
            }
        }
    }

    /// The link as it may be kept, when it may be followed.
    fn follow(&self, link: &str, asked: &PageRequest<'_>) -> Result<Next, Bad> {
        let bad = |message: &str| Bad(Reason::NextPage, message.to_owned());
        let mut url = asked
            .url
            .join(link)
            .map_err(|_| bad("the link to the next page is no URL"))?;
        url.set_fragment(None);
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("the link to the next page is neither http nor https"));
        }
        let secure = asked.url.scheme() == "https" || asked.home.scheme() == "https";
        if secure && url.scheme() == "http" {
            return Err(bad(
                "the link to the next page leads from https to plain http",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("the link to the next page holds a user or password"));
        }
        if hyper::Uri::try_from(url.as_str()).is_err() {
            return Err(bad(
                "the link to the next page is longer than a URL may be, or holds characters that can't be sent",
            ));
        }
        let home = url.origin() == asked.home.origin();
        if !home && !self.other_origins {
            let message = format!(
                "the link to the next page leads to another origin ({}); `other_origins = true` in [request.pages] follows it, without credentials",
                url.origin().ascii_serialization()
            );
            return Err(Bad(Reason::NextPage, message));
        }
        // Once away from home, nothing brings the credentials back.
        let away = !home || !asked.trusted;
        if away && holds_any(url.as_str(), asked.secrets) {
            return Err(bad(
                "the link to the next page would carry a credential to another origin \
                 (what is no secret can be typed in the place of `${…}`)",
            ));
        }
        let text = match away {
            true => url.to_string(),
            false => asked.slots.mask(&url),
        };
        if holds_any(&text, asked.secrets) {
            return Err(bad(
                "the link to the next page holds a credential in a place where it can't be told from the rest \
                 (what is no secret can be typed in the place of `${…}`)",
            ));
        }
        Ok(Next::Url { text, away })
    }
}

impl Numbers {
    fn url(&self, home: &Url, number: u64) -> Url {
        let mut url = with(home, &self.param, &number.to_string());
        if let Some((param, size)) = &self.limit {
            url = with(&url, param, &size.to_string());
        }
        url
    }

    /// Whether there is more: until the total is reached, else until a page is empty.
    fn go_on(&self, body: &[u8], count: u64, elements: u64) -> Result<bool, Bad> {
        let total = match &self.total {
            Some(at) => value(at, body)?.and_then(|total| total.parse::<u64>().ok()),
            None => None,
        };
        Ok(count > 0 && total.is_none_or(|total| elements < total))
    }
}

/// The text of what the path finds first; `None` for what says that there is
/// nothing: absent, null, false, an empty text.
fn value(at: &Query, body: &[u8]) -> Result<Option<String>, Bad> {
    let path = at.path();
    let found = at.first(body).map_err(|error| {
        let message = format!("the page can't be read: {error}");
        Bad(Reason::MalformedBody, message)
    })?;
    let Some(found) = found.filter(|raw| !is_null(raw) && *raw != b"false") else {
        return Ok(None);
    };
    let plain = string(found).is_some() || found.first().is_some_and(u8::is_ascii_digit);
    if !plain {
        let message = format!("what the page has at `{path}` is no text");
        return Err(Bad(Reason::NextPage, message));
    }
    Ok(Some(text(found).into_owned()).filter(|text| !text.is_empty()))
}

/// The URL with one query parameter set.
fn with(url: &Url, name: &str, value: &str) -> Url {
    let is_other = |pair: &&str| {
        let (other, _) = pair.split_once('=').unwrap_or((pair, ""));
        percent_decode_str(&other.replace('+', " ")).decode_utf8_lossy() != name
    };
    let pairs = url.query().unwrap_or_default().split('&');
    let mut query = String::new();
    for pair in pairs.filter(|pair| !pair.is_empty()).filter(is_other) {
        query.push_str(pair);
        query.push('&');
    }
    query.extend(utf8_percent_encode(name, RESERVED));
    query.push('=');
    query.extend(utf8_percent_encode(value, RESERVED));
    let mut url = url.clone();
    url.set_query(Some(&query));
    url
}
