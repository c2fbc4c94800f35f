//! `.env` files: variables for those who do not export them.
//!
//! Promise: what a line holds is never part of an error, only its number.

use super::Missing;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The `.env` of the working directory, overlaid by the one beside the job file.
pub(super) fn read(folder: &Path) -> Result<HashMap<String, String>, Missing> {
    let mut variables = HashMap::new();
    for path in [PathBuf::from(".env"), folder.join(".env")] {
        let failed = |reason| Missing::DotEnv {
            path: path.clone(),
            reason,
        };
        let content = match std::fs::read_to_string(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(format!(": {error}"))),
        };
        variables.extend(parse(&content).map_err(failed)?);
    }
    Ok(variables)
}

/// The variables of a file's content, or what to say after the file's name.
pub(in crate::job) fn parse(content: &str) -> Result<HashMap<String, String>, String> {
    let content = content.trim_start_matches('\u{feff}');
    dotenvy::from_read_iter(content.as_bytes())
        .map(|variable| variable.map_err(|error| explain(&error, content)))
        .collect()
}

/// dotenvy tells the bad line's text, which may be a secret, but not its number.
fn explain(error: &dotenvy::Error, content: &str) -> String {
    let line = match error {
        dotenvy::Error::LineParse(text, _) => content
            .split_once(text.trim())
            .map(|(before, _)| 1 + before.matches('\n').count()),
        _ => None,
    };
    match line {
        Some(line) => format!(", line {line}: not `NAME=value`"),
        None => ": not lines of `NAME=value`".to_owned(),
    }
}
