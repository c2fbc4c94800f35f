//! Texts with `{id}` or `{ids}` holes: the URL, and the values of headers and query.
//!
//! Only what was typed in the job file is a template: a value that was filled in
//! from outside is never looked into for holes, and never shown.

mod url;

pub(super) use url::UrlMistake;
pub use url::UrlTemplate;

use super::diagnostic::mask_all;
use super::interpolate::{Piece, Text};
use std::borrow::Cow;
use std::fmt;

/// Why an ID cannot be put into the URL.
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
    /// `{foo}`.
    Unknown(String),
}

#[derive(Clone, PartialEq)]
enum Part {
    Text(String),
    Id,
    /// The IDs of a batch.
    Ids,
}

/// What takes the place of the holes in one request.
#[derive(Debug, Clone)]
pub struct Filling<'a> {
    /// In headers: the ID, or the batch's IDs with the separator between them.
    pub(super) plain: Cow<'a, str>,
    /// In the URL: each ID percent-encoded.
    encoded: String,
    longest: usize,
    empty: bool,
}

impl<'a> Filling<'a> {
    /// For the request of one item.
    pub fn one(id: &'a str) -> Filling<'a> {
        Filling {
            plain: Cow::Borrowed(id),
            encoded: url::encode(id),
            longest: id.len(),
            empty: id.is_empty(),
        }
    }

    /// For the request of several. In a URL the separator stands as it was
    /// typed, so `","`, `"%2C"` and `"&id="` are all possible.
    pub fn several(ids: &[&'a str], separator: &str) -> Filling<'a> {
        let encoded: Vec<String> = ids.iter().map(|id| url::encode(id)).collect();
        let plain = ids.join(separator);
        Filling {
            longest: plain.len(),
            encoded: encoded.join(&url::encode_separator(separator)),
            empty: ids.iter().any(|id| id.is_empty()),
            plain: Cow::Owned(plain),
        }
    }

    /// As headers have it, with nothing encoded.
    pub fn plain(&self) -> &str {
        &self.plain
    }
}

/// A header's or query parameter's value, with `{id}` holes.
#[derive(Clone)]
pub struct Template {
    raw: String,
    parts: Vec<Part>,
    secret: bool,
}

impl Template {
    pub(super) fn new(text: &Text) -> Result<Template, HoleError> {
        Ok(Template {
            raw: text.raw.clone(),
            parts: parts(text)?,
            secret: text.is_filled(),
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

    pub(super) fn has_id(&self) -> bool {
        self.parts.contains(&Part::Id)
    }

    /// Whether it has the hole of a batch's IDs.
    pub fn has_ids(&self) -> bool {
        self.parts.contains(&Part::Ids)
    }

    /// The value for one item, with nothing encoded.
    pub fn expand_value(&self, id: &str) -> String {
        self.parts.iter().map(|part| part.text(id)).collect()
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
    fn text<'a>(&'a self, id: &'a str) -> &'a str {
        match self {
            Part::Text(text) => text,
            Part::Id | Part::Ids => id,
        }
    }

    fn is_hole(&self) -> bool {
        matches!(self, Part::Id | Part::Ids)
    }
}

/// Splits what was typed at its holes; what was filled in stays as it is.
fn parts(text: &Text) -> Result<Vec<Part>, HoleError> {
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
                let name = hole.strip_prefix('{').unwrap_or(hole);
                let hole = match name {
                    "id" => Part::Id,
                    "ids" => Part::Ids,
                    _ => return Err(HoleError::Unknown(name.to_owned())),
                };
                push_text(&mut parts, &mut run);
                parts.push(hole);
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
