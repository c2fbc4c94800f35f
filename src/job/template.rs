//! Texts with `{id}` holes: the URL, and the values of headers and query.
//!
//! Only what was typed in the job file is a template: a value that was filled in
//! from outside is never looked into for holes, and never shown.

mod url;

pub(super) use url::UrlMistake;
pub use url::UrlTemplate;

use super::diagnostic::mask_all;
use super::interpolate::{Piece, Text};
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
        self.parts.iter().any(Part::is_id)
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
            Part::Id => id,
        }
    }

    fn is_id(&self) -> bool {
        *self == Part::Id
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
                if name != "id" {
                    return Err(HoleError::Unknown(name.to_owned()));
                }
                push_text(&mut parts, &mut run);
                parts.push(Part::Id);
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
