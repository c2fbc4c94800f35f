//! What must hold for any foreign bytes, said once.
//!
//! Owns the list of fuzz targets. A target's body stands in `fuzz.rs` beside
//! the code that reads such bytes, so that it can reach what is private. The
//! fuzzer (`fuzz/`) feeds each body for as long as one likes; the tests below
//! feed it the committed corpus and some thousand random cases on every run.
//! Not part of the program: built for tests and with the feature `fuzzing`.

pub use crate::auth::fuzz::token_response;
pub use crate::checkpoint::fuzz::checkpoint;
pub use crate::fetch::fuzz::json_body;
pub use crate::ids::fuzz::id_file;
pub use crate::job::fuzz::{dot_env, item_url, job_file};
pub use crate::json::fuzz::json_query;
pub use crate::transport::fuzz::{rate_headers, redaction, retry_after};
pub use crate::write::fuzz::columns;

/// What is asserted about some bytes; it fails by panicking.
pub type Body = fn(&[u8]);

/// Every target: the name of its folder in `fuzz/corpus`, and its body.
pub const TARGETS: [(&str, Body); 12] = [
    ("checkpoint", checkpoint),
    ("columns", columns),
    ("dot_env", dot_env),
    ("id_file", id_file),
    ("item_url", item_url),
    ("job_file", job_file),
    ("json_body", json_body),
    ("json_query", json_query),
    ("rate_headers", rate_headers),
    ("redaction", redaction),
    ("retry_after", retry_after),
    ("token_response", token_response),
];

/// The first line, which says how to read the rest, and the rest. `None` when
/// the first line is not text.
pub(crate) fn first_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let line = std::str::from_utf8(parts.next()?).ok()?;
    Some((line, parts.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests;
