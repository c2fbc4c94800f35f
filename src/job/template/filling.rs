//! What takes the place of the holes in one request: the values of one item, or
//! the IDs of a batch.
//!
//! Owns how each is encoded into a URL. Must never parse a template.

use super::{Form, Hole, Part, expression, url};
use crate::job::variables::Values;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What takes the place of the holes in one request.
#[derive(Debug, Clone)]
pub struct Filling<'a> {
    source: Source<'a>,
    /// Bytes of the longest value.
    pub(super) longest: usize,
    /// Some value is empty.
    pub(super) empty: bool,
}

#[derive(Debug, Clone)]
enum Source<'a> {
    /// Every hole gets the same.
    Same {
        /// In headers and bodies: the ID, or the batch's IDs with the separator between them.
        plain: Cow<'a, str>,
        /// In the URL: each ID percent-encoded.
        encoded: String,
        /// The IDs of a batch.
        ids: Vec<&'a str>,
    },
    /// Each hole gets the value of its variable.
    Named(&'a BTreeMap<String, String>),
}

impl<'a> Filling<'a> {
    /// For the request of an item of one variable.
    pub fn one(id: &'a str) -> Filling<'a> {
        Filling {
            longest: id.len(),
            empty: id.is_empty(),
            source: Source::Same {
                plain: Cow::Borrowed(id),
                encoded: url::encode(id),
                ids: Vec::new(),
            },
        }
    }

    /// For the request of one item.
    pub fn of(values: Values<'a>) -> Filling<'a> {
        match values {
            Values::One(id) => Filling::one(id),
            Values::Several(values) => Filling {
                longest: values.values().map(String::len).max().unwrap_or(0),
                empty: values.values().any(String::is_empty),
                source: Source::Named(values),
            },
        }
    }

    /// For the request of several items. In a URL the separator stands as it was
    /// typed, so `","`, `"%2C"` and `"&id="` are all possible.
    pub fn several(ids: &[&'a str], separator: &str) -> Filling<'a> {
        let encoded: Vec<String> = ids.iter().map(|id| url::encode(id)).collect();
        let plain = ids.join(separator);
        Filling {
            longest: plain.len(),
            empty: ids.iter().any(|id| id.is_empty()),
            source: Source::Same {
                plain: Cow::Owned(plain),
                encoded: encoded.join(&url::encode_separator(separator)),
                ids: ids.to_vec(),
            },
        }
    }

    /// The values as headers have them, with nothing encoded.
    pub fn values(&self) -> Values<'_> {
        match &self.source {
            Source::Same { plain, .. } => Values::One(plain),
            Source::Named(values) => Values::Several(values),
        }
    }

    /// The IDs of a batch; one item is a batch of one.
    pub(super) fn ids(&self) -> Vec<&str> {
        match &self.source {
            Source::Same { ids, .. } if !ids.is_empty() => ids.clone(),
            _ => vec![self.values().get(super::IDS)],
        }
    }

    /// Appends a URL's parts with what is in their holes.
    #[inline]
    pub(super) fn fill(&self, parts: &[Part], text: &mut String) {
        for part in parts {
            match part {
                Part::Text(run) => text.push_str(run),
                Part::Hole(hole) => self.push_encoded(hole, text),
            }
        }
    }

    /// Appends what is in a hole of a URL.
    #[inline]
    pub(super) fn push_encoded(&self, hole: &Hole, text: &mut String) {
        match &self.source {
            _ if hole.form == Form::Reserved => {
                expression::push_reserved(self.values().get(&hole.name), text);
            }
            Source::Same { encoded, .. } => text.push_str(encoded),
            Source::Named(_) => {
                url::push_encoded(self.values().get(&hole.name), text);
            }
        }
    }
}
