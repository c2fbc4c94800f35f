//! From a path to a [`Job`]: read, parse, walk the sections.
//!
//! Syntax errors are told alone, because what they hide would look missing.

use super::diagnostic::{Diagnostic, JobError, mask_source};
use super::{Concurrency, Environment, Job, Pace, sections};
use std::path::Path;
use toml::de::DeTable;

/// What the command line adds to the job file, or puts in its place.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The job goes to the embedded API: missing credentials do not matter.
    pub sandbox: bool,
    /// Instead of `[limits] rate`; empty means unlimited.
    pub rates: Option<Vec<Pace>>,
    /// Instead of `[limits] concurrency`.
    pub concurrency: Option<Concurrency>,
    /// Instead of `[output] path`: relative to the working directory; `-` is stdout.
    pub output: Option<String>,
    /// Where `${NAME}` is looked up.
    pub environment: Environment,
}

/// Reads and validates a job file. Every mistake is told at once.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Job, JobError> {
    let text = std::fs::read_to_string(path).map_err(|source| JobError::Read {
        path: path.to_owned(),
        source,
    })?;
    decode(path, &text, options)
}

/// [`load`], with the file's text at hand.
pub(super) fn decode(path: &Path, text: &str, options: &LoadOptions) -> Result<Job, JobError> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let root = root.get_ref();
    let (parsed, result) = if errors.is_empty() {
        (Some(root), sections::read(path, root, options))
    } else {
        let mistakes = errors.iter().map(syntax_mistake).collect();
        (None, Err(mistakes))
    };
    result.map_err(|diagnostics| JobError::Invalid {
        path: path.to_owned(),
        source_text: mask_source(text, parsed),
        diagnostics,
    })
}

fn syntax_mistake(error: &toml::de::Error) -> Diagnostic {
    let mut mistake = Diagnostic::new(format!("this is not TOML: {}", error.message()));
    mistake.span = error.span();
    mistake
}

#[cfg(test)]
mod tests;
