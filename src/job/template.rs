//! Texts with `{name}` holes: the URL, the values of headers and query, the body.
//!
//! Only what was typed in the job file is a template: a value that was filled in
//! from outside is never looked into for holes, and never shown.

mod body;
mod expression;
mod filled;
mod filling;
mod graphql;
mod url;

pub use body::Body;
pub(super) use body::{BodyBuilder, Escape};
pub use filling::Filling;
pub(super) use url::UrlMistake;
pub use url::UrlTemplate;

use super::diagnostic::mask_all;
use super::interpolate::{Piece, Text};
use super::variables::Values;
use std::fmt;

/// Why an item's values cannot be put into the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `.` or `..` would be folded away, which asks for another path.
    #[error("an ID of `.` or `..` cannot be one path segment of the URL")]
    DotSegment,
    /// An empty ID would ask for the collection.
    #[error("an empty ID cannot be put into the URL")]
    EmptyId,
    /// No server takes a URL of that length.
    #[error("the URL would be longer than 65,000 bytes")]
    TooLong,
    /// The finished text is not a URL.
    #[error("not a URL: {0}")]
    Url(String),
}

/// What is wrong with a template's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HoleError {
    /// `{` without `}`.
    Unclosed,
    /// `{a b}`: no name of a variable.
    Unknown(String),
    /// `{+a}` or `{a,b}` where there is no URL.
    Operator(String),
    /// `{a:3}` or `{a*}`: RFC 6570 level 4.
    Modifier(String),
    /// `{#a}`.
    Fragment(String),
    /// `{?a}` when there is a `?` already.
    QueryAgain(String),
    /// `{&a}` when there is no `?` yet.
    NoQueryYet(String),
}

/// The hole of a batch's IDs, in the place of a variable.
pub(super) const IDS: &str = "ids";

/// How a hole's value is written, before what holds the template encodes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it is.
    Plain,
    /// RFC 6570 `{+name}`: reserved characters stay.
    Reserved,
    /// Inside a string of a GraphQL document.
    GraphqlString,
    /// Where a GraphQL document wants a value.
    GraphqlValue,
    /// An array of JSON strings: the IDs of a batch.
    JsonList,
}

#[derive(Debug, Clone, PartialEq)]
struct Hole {
    name: String,
    form: Form,
}

#[derive(Clone, PartialEq)]
enum Part {
    Text(String),
    Hole(Hole),
}

/// A header's or query parameter's value, with `{name}` holes.
#[derive(Clone)]
pub struct Template {
    raw: String,
    parts: Vec<Part>,
    secret: bool,
    /// What came from the environment or a file, piece by piece.
    filled: Vec<String>,
}

impl Template {
    pub(super) fn new(text: &Text) -> Result<Template, HoleError> {
        Ok(Template {
            raw: text.raw.clone(),
            parts: parts(text, plain_hole)?,
            secret: text.is_filled(),
            filled: text.filled().map(str::to_owned).collect(),
        })
    }

    /// As the job file says it, `${…}` not filled in.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// Holds a value from the environment or a file.
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// What came from the environment or a file, piece by piece.
    pub fn filled(&self) -> impl Iterator<Item = &str> {
        self.filled.iter().map(String::as_str)
    }

    /// The names of its holes, as often as they are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        names(&self.parts)
    }

    /// Whether it has the hole of a batch's IDs.
    pub fn has_ids(&self) -> bool {
        self.names().any(|name| name == IDS)
    }

    /// Whether the value differs from item to item.
    pub fn has_hole(&self) -> bool {
        self.names().next().is_some()
    }

    /// The value for one item, with nothing encoded.
    pub fn expand_value<'v>(&self, values: impl Into<Values<'v>>) -> String {
        let values = values.into();
        let mut text = String::new();
        for part in &self.parts {
            text.push_str(match part {
                Part::Text(text) => text,
                Part::Hole(hole) => values.get(&hole.name),
            });
        }
        text
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template")
            .field(&mask_all(&self.raw))
            .finish()
    }
}

impl Part {
    fn hole(name: &str, form: Form) -> Part {
        Part::Hole(Hole {
            name: name.to_owned(),
            form,
        })
    }

    fn text<'a>(&'a self, hole: &'a str) -> &'a str {
        match self {
            Part::Text(text) => text,
            Part::Hole(_) => hole,
        }
    }

    fn as_hole(&self) -> Option<&Hole> {
        match self {
            Part::Text(_) => None,
            Part::Hole(hole) => Some(hole),
        }
    }
}

fn names(parts: &[Part]) -> impl Iterator<Item = &str> {
    parts
        .iter()
        .filter_map(|part| part.as_hole().map(|hole| hole.name.as_str()))
}

/// Whether it may be a variable's name: words of letters, digits and `_` with
/// dots between them (`$.` before it makes it a JSONPath).
fn is_name(text: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let is_word = |word: &str| {
        word.bytes().next().is_some_and(first)
            && word.bytes().all(|b| first(b) || b.is_ascii_digit())
    };
    text.split('.').all(is_word)
}

/// What one pair of braces holds, where only names may be in them.
fn plain_hole(inner: &str, parts: &mut Vec<Part>) -> Result<(), HoleError> {
    if is_name(inner) {
        parts.push(Part::hole(inner, Form::Plain));
        return Ok(());
    }
    Err(match expression::read(inner, false) {
        Err(HoleError::Unknown(inner)) => HoleError::Unknown(inner),
        _ => HoleError::Operator(inner.to_owned()),
    })
}

/// Splits what was typed at its holes; what was filled in stays as it is.
/// `read` is told what stands between two braces, and what came before.
fn parts(
    text: &Text,
    read: impl Fn(&str, &mut Vec<Part>) -> Result<(), HoleError>,
) -> Result<Vec<Part>, HoleError> {
    let mut parts = Vec::new();
    let mut run = String::new();
    for piece in &text.pieces {
        let Piece::Typed(typed) = piece else {
            run.push_str(piece.text());
            continue;
        };
        let mut rest = typed.as_str();
        while let Some((before, brace)) = rest
            .find(['{', '}'])
            .and_then(|at| rest.split_at_checked(at))
        {
            run.push_str(before);
            let closing = || brace.strip_prefix("}}").or(brace.strip_prefix('}'));
            rest = if let Some(after) = brace.strip_prefix("{{") {
                run.push('{');
                after
            } else if let Some(after) = closing() {
                run.push('}');
                after
            } else {
                let (hole, after) = brace.split_once('}').ok_or(HoleError::Unclosed)?;
                push_text(&mut parts, &mut run);
                read(hole.strip_prefix('{').unwrap_or(hole), &mut parts)?;
                after
            };
        }
        run.push_str(rest);
    }
    push_text(&mut parts, &mut run);
    Ok(parts)
}

fn push_text(parts: &mut Vec<Part>, run: &mut String) {
    if !run.is_empty() {
        parts.push(Part::Text(std::mem::take(run)));
    }
}

#[cfg(test)]
mod tests;
