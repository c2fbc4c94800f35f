//! The URL of one item.
//!
//! Keeps the promise that a value ends up where its hole is and nowhere else: it
//! is percent-encoded down to RFC 3986 unreserved characters (but for `{+name}`,
//! which asks for the reserved ones), and a value that would make the URL parser
//! take another path is refused.

use super::filled::Filled;
use super::{Filling, Form, Hole, HoleError, IDS, Part, Template, TemplateError, expression};
use super::{is_name, names, parts, push_text};
use crate::job::interpolate::Text;
use crate::job::variables::Values;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use std::fmt;

/// Everything but RFC 3986 unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a separator may have beside them and stand in a URL as it is. `%` is there
/// for those that are typed as an escape.
const IN_SEPARATOR: &AsciiSet = &RESERVED
    .remove(b'!')
    .remove(b'$')
    .remove(b'%')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// An ID as it stands in a URL.
pub(super) fn encode(id: &str) -> String {
    let mut encoded = String::with_capacity(id.len());
    push_encoded(id, &mut encoded);
    encoded
}

/// Appends a text as it stands in a URL.
pub(super) fn push_encoded(text: &str, out: &mut String) {
    // Most have nothing to encode, and that is seen faster than encoded.
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    match text.bytes().all(plain) {
        true => out.push_str(text),
        false => out.extend(utf8_percent_encode(text, RESERVED)),
    }
}

/// What stands between two IDs in a URL.
pub(super) fn encode_separator(separator: &str) -> String {
    utf8_percent_encode(separator, IN_SEPARATOR).to_string()
}

/// Longer URLs are refused by HTTP libraries (and by every server).
const URL_LIMIT: usize = 65_000;

/// What is wrong with a URL template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::job) enum UrlMistake {
    Hole(HoleError),
    /// The URL parser's words; they never repeat the text.
    Syntax(String),
    Scheme,
    Credentials,
    Characters,
    Fragment,
    /// `{id}` in the scheme, host or port.
    IdInOrigin,
    /// `{id}` in a path that is folded away (`/{id}/..`).
    IdFolded,
    /// `%{id}`: the ID would become part of an escape.
    CutEscape,
}

/// The URL of one item, with `{name}` holes in its path or query.
#[derive(Clone)]
pub struct UrlTemplate {
    raw: String,
    origin: String,
    host: String,
    /// The origin, parsed: each item's URL is this one with another path.
    home: Url,
    path: Vec<Part>,
    query: Option<Vec<Part>>,
    /// The path has a `{+name}`, which may bring a `?`.
    reserved: bool,
    /// What came from the environment or a file, by segment, name and value.
    filled: Filled,
}

impl UrlTemplate {
    pub(in crate::job) fn new(text: &Text) -> Result<UrlTemplate, UrlMistake> {
        let parts = parts(text, url_hole).map_err(UrlMistake::Hole)?;
        let typed: String = parts.iter().map(|part| part.text("")).collect();
        // What the parser would drop or turn into something else.
        if typed.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(UrlMistake::Characters);
        }
        if typed.contains('#') {
            return Err(UrlMistake::Fragment);
        }
        let mark = mark_for(&typed);
        let marked: String = parts.iter().map(|part| part.text(&mark)).collect();
        let holes: Vec<&Hole> = parts.iter().filter_map(Part::as_hole).collect();
        if authority(&marked).contains(&mark) {
            return Err(UrlMistake::IdInOrigin);
        }
        // The parser would also take `https:host` and `https:///host`.
        let after_scheme = marked.split_once("://").map(|(_, rest)| rest);
        if after_scheme.is_none_or(|rest| rest.starts_with('/')) {
            return Err(UrlMistake::Scheme);
        }
        let url = Url::parse(&marked).map_err(|error| UrlMistake::Syntax(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlMistake::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlMistake::Credentials);
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        if hyper::Uri::try_from(url.as_str()).is_err() || host.is_empty() {
            return Err(UrlMistake::Syntax("characters that no URL has".to_owned()));
        }
        let origin = url.origin().ascii_serialization();
        let home = Url::parse(&origin).map_err(|error| UrlMistake::Syntax(error.to_string()))?;
        let marks = |text: &str| text.matches(&mark).count();
        if marks(url.path()) + url.query().map_or(0, marks) != holes.len() {
            return Err(UrlMistake::IdFolded);
        }
        let mut holes = holes.into_iter();
        let path = split_at_mark(url.path(), &mark, &mut holes);
        let query = url.query();
        let query = query.map(|query| split_at_mark(query, &mark, &mut holes));
        if path.iter().chain(query.iter().flatten()).any(cuts_escape) {
            return Err(UrlMistake::CutEscape);
        }
        Ok(UrlTemplate {
            raw: text.raw.clone(),
            origin,
            host,
            home,
            reserved: path.iter().any(is_reserved),
            path,
            query,
            filled: Filled::after(authority(&text.value()).len(), text),
        })
    }

    /// As the job file says it, `${…}` not filled in.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// Scheme, host, and port when it is not the scheme's own: `https://api.spotify.com`.
    pub fn origin(&self) -> String {
        self.origin.clone()
    }

    /// The host, as it is connected to.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path or query holds a value from the environment or a file.
    pub fn is_secret(&self) -> bool {
        self.filled.iter().next().is_some()
    }

    /// The names of its holes, as often as they are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        names(&self.path).chain(names(self.query.as_deref().unwrap_or_default()))
    }

    /// What came from the environment or a file, percent-decoded, by segment of
    /// the path, name and value of the query.
    pub fn filled(&self) -> impl Iterator<Item = &str> {
        self.filled.iter()
    }

    /// Whether this segment, name or value of the query, of one of its URLs holds
    /// something from the environment or a file. Told by what it holds: where in
    /// a URL a parameter comes depends on the item's values.
    pub fn is_secret_part(&self, part: &str) -> bool {
        self.filled.is_in(part)
    }

    /// Whether it has the hole of a variable.
    pub(in crate::job) fn has_id(&self) -> bool {
        self.names().any(|name| name != IDS)
    }

    /// Whether it has the hole of a batch's IDs.
    pub(in crate::job) fn has_ids(&self) -> bool {
        self.names().any(|name| name == IDS)
    }

    /// The same with `base` (`http://127.0.0.1:4000`) in the place of scheme, host and port.
    pub fn at(mut self, base: &str) -> Result<UrlTemplate, TemplateError> {
        self.home = Url::parse(base).map_err(|error| TemplateError::Url(error.to_string()))?;
        Ok(self)
    }

    /// The URL of one item: its values percent-encoded into their holes, `query`
    /// appended to the URL's own.
    pub fn build<'v>(
        &self,
        values: impl Into<Values<'v>>,
        query: &[(String, Template)],
    ) -> Result<Url, TemplateError> {
        self.fill(&Filling::of(values.into()), query)
    }

    /// The URL of one request, whatever it asks for.
    pub fn fill(
        &self,
        filling: &Filling<'_>,
        query: &[(String, Template)],
    ) -> Result<Url, TemplateError> {
        if filling.empty {
            return Err(TemplateError::EmptyId);
        }
        if filling.longest > URL_LIMIT {
            return Err(TemplateError::TooLong);
        }
        let mut text = String::with_capacity(128);
        filling.fill(&self.path, &mut text);
        let mut path_end = text.len();
        let mut has_query = self.query.is_some() || !query.is_empty();
        if self.reserved
            && let Some(at) = text.find('?')
        {
            text.remove(at);
            (path_end, has_query) = (at, true);
        }
        if let Some(own) = &self.query {
            if text.len() > path_end {
                text.push('&');
            }
            filling.fill(own, &mut text);
        }
        // An empty query needs none; one that ends in `?` is not empty.
        let mut separator = (text.len() > path_end).then_some('&');
        for (name, value) in query {
            text.extend(separator);
            separator = Some('&');
            push_encoded(name, &mut text);
            text.push('=');
            for part in &value.parts {
                match part {
                    Part::Text(value) => push_encoded(value, &mut text),
                    Part::Hole(hole) => filling.push_encoded(hole, &mut text),
                }
            }
        }
        if self.origin.len() + text.len() >= URL_LIMIT {
            return Err(TemplateError::TooLong);
        }
        let (path, query_text) = text.split_at_checked(path_end).unwrap_or((&text, ""));
        // Parsing the whole would do the host's part again for each item.
        let mut url = self.home.clone();
        url.set_path(path);
        // The parser folds `.` and `..` (also as `%2e`): that would be another item's path.
        if path != url.path() {
            return Err(TemplateError::DotSegment);
        }
        if has_query {
            url.set_query(Some(query_text));
        }
        Ok(url)
    }
}

/// What one pair of braces holds.
fn url_hole(inner: &str, parts: &mut Vec<Part>) -> Result<(), HoleError> {
    if is_name(inner) {
        parts.push(Part::hole(inner, Form::Plain));
        return Ok(());
    }
    let in_query = parts.iter().any(|part| part.text("").contains('?'));
    parts.extend(expression::read(inner, in_query)?);
    Ok(())
}

impl fmt::Debug for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UrlTemplate").field(&self.raw).finish()
    }
}

/// A word that no URL parser touches and that stands in `text` nowhere, not
/// even partly in `text` and partly in another mark: its run of zeros is longer
/// than any other (percent-encoding, `%60`, lengthens one by one zero).
fn mark_for(text: &str) -> String {
    let runs = text.split(|c| c != '0').map(str::len);
    let longest = runs.max().unwrap_or(0);
    format!("x{}x", "0".repeat(longest + 2))
}

/// Scheme, host and port: everything before the path.
fn authority(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(start..).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).map(|end| start + end);
    end.and_then(|end| url.get(..end)).unwrap_or(url)
}

fn is_reserved(part: &Part) -> bool {
    part.as_hole()
        .is_some_and(|hole| hole.form == Form::Reserved)
}

/// The text ends inside a percent-escape: `%` or `%2`.
fn cuts_escape(part: &Part) -> bool {
    let text = part.text("").as_bytes();
    text.iter().rev().take(2).any(|b| *b == b'%')
}

/// The text's parts; `holes` are those of the marks, in their order.
fn split_at_mark<'h>(
    text: &str,
    mark: &str,
    holes: &mut impl Iterator<Item = &'h Hole>,
) -> Vec<Part> {
    let mut parts = Vec::new();
    for (index, run) in text.split(mark).enumerate() {
        if index > 0 {
            parts.extend(holes.next().cloned().map(Part::Hole));
        }
        push_text(&mut parts, &mut run.to_owned());
    }
    parts
}
