//! What came into a URL from the environment or a file.
//!
//! Owns the question whether a part of such a URL may be shown. Must never show
//! what it holds.

use crate::job::interpolate::{Piece, Text};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// What is shorter and was filled in is a secret only where it stands alone: the
/// `en` of `${LANGUAGE}` is in many words.
const SHORTEST_PIECE: usize = 8;

/// What was filled in, by segment, name and value, percent-decoded: each piece
/// alone, and what several bring side by side.
#[derive(Clone)]
pub(super) struct Filled(Vec<String>);

impl Filled {
    /// What was filled in beyond the first `end` bytes, the authority.
    pub(super) fn after(end: usize, text: &Text) -> Filled {
        let (mut at, mut in_query, mut in_value) = (0, false, false);
        let mut filled = Vec::new();
        let (mut alone, mut together) = (String::new(), String::new());
        for piece in &text.pieces {
            let is_filled = matches!(piece, Piece::Filled(_) | Piece::StandIn);
            if !is_filled {
                filled.push(std::mem::take(&mut together));
            }
            // It may bring several segments or parameters, and a name with its value.
            for c in piece.text().chars() {
                at += c.len_utf8();
                let ends = match c {
                    '?' | '/' => !in_query,
                    '&' => in_query,
                    // Another one is the value's.
                    '=' => in_query && !in_value,
                    _ => false,
                };
                in_query |= c == '?';
                if ends {
                    in_value = c == '=';
                    filled.push(std::mem::take(&mut alone));
                    filled.push(std::mem::take(&mut together));
                } else if is_filled && at > end {
                    alone.push(c);
                    together.push(c);
                }
            }
            filled.push(std::mem::take(&mut alone));
        }
        filled.push(together);
        filled.retain(|part| !part.is_empty());
        filled.dedup();
        let decoded = filled.iter().map(|part| decoded(part).into_owned());
        Filled(decoded.collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether this segment, name or value holds something of it.
    pub(super) fn is_in(&self, part: &str) -> bool {
        let part = decoded(part);
        self.iter()
            .any(|filled| match filled.len() < SHORTEST_PIECE {
                true => part == filled,
                false => part.contains(filled),
            })
    }
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}
