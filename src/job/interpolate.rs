//! `${NAME}` and `${file:PATH}` in the strings of a job file.
//!
//! Keeps apart what the file says from what was put in for it, so that the
//! latter never becomes part of a message or of a template's syntax.
//! `$${` is a literal `${`. Nothing that was read here is ever shown.

mod dot_env;

#[cfg(any(test, feature = "fuzzing"))]
pub(super) use dot_env::parse as parse_dot_env;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;

/// The largest file that `${file:…}` takes.
const FILE_LIMIT: u64 = 64 * 1024;

/// Where variables come from before any `.env` is asked.
#[derive(Clone, Default)]
pub struct Environment(Option<BTreeMap<String, String>>);

impl Environment {
    /// The environment of this process.
    pub fn process() -> Environment {
        Environment(None)
    }

    /// Exactly these variables, whatever the process has. `.env` files are still read.
    pub fn of<N: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Environment {
        let variables = variables.into_iter();
        Environment(Some(variables.map(|(n, v)| (n.into(), v.into())).collect()))
    }

    fn get(&self, name: &str) -> Option<Result<String, Missing>> {
        match &self.0 {
            Some(variables) => variables.get(name).cloned().map(Ok),
            None => std::env::var_os(name).map(|value| {
                value
                    .into_string()
                    .map_err(|_| Missing::NotUtf8(format!("environment variable `{name}`")))
            }),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "Environment::of(…)",
            None => "Environment::process()",
        })
    }
}

/// A string of the job file with its references filled in.
#[derive(Clone)]
pub(super) struct Text {
    /// As the file says it, references and all.
    pub(super) raw: String,
    /// The same, filled in.
    pub(super) pieces: Vec<Piece>,
}

/// A part of a [`Text`].
#[derive(Clone)]
pub(super) enum Piece {
    /// Typed in the file; a template looks for holes here.
    Typed(String),
    /// `$${`: a `${` that means nothing.
    Escaped,
    /// Came from the environment or a file: never shown, never looked into.
    Filled(String),
    /// Stands for a value that is missing (only with `--sandbox`).
    StandIn,
}

impl Piece {
    /// What the piece puts into the value.
    pub(super) fn text(&self) -> &str {
        match self {
            Piece::Typed(text) | Piece::Filled(text) => text,
            Piece::Escaped => "${",
            Piece::StandIn => "sandbox",
        }
    }
}

impl Text {
    /// The whole value.
    pub(super) fn value(&self) -> String {
        self.pieces.iter().map(Piece::text).collect()
    }

    /// Holds something that was not typed in the file.
    pub(super) fn is_filled(&self) -> bool {
        let from_outside = |piece: &Piece| matches!(piece, Piece::Filled(_) | Piece::StandIn);
        self.pieces.iter().any(from_outside)
    }

    /// What was not typed in the file, piece by piece.
    pub(super) fn filled(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Filled(value) => Some(value.as_str()),
            Piece::Typed(_) | Piece::Escaped | Piece::StandIn => None,
        })
    }

    /// A missing value is stood in for.
    pub(super) fn has_stand_in(&self) -> bool {
        let stands_in = |piece: &Piece| matches!(piece, Piece::StandIn);
        self.pieces.iter().any(stands_in)
    }
}

/// What a reference cannot be filled with, and why. Never holds a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    Unclosed,
    NotAName,
    Unset(String),
    NotUtf8(String),
    File { path: PathBuf, reason: String },
    DotEnv { path: PathBuf, reason: String },
}

impl Missing {
    pub(super) fn message(&self) -> String {
        match self {
            Missing::Unclosed => "`${` is never closed".to_owned(),
            Missing::NotAName => {
                "`${…}` holds neither a variable's name nor `file:PATH`".to_owned()
            }
            Missing::Unset(name) => format!("environment variable `{name}` is not set"),
            Missing::NotUtf8(what) => format!("{what} is not UTF-8"),
            Missing::File { path, reason } => format!("cannot read `{}`: {reason}", path.display()),
            Missing::DotEnv { path, reason } => format!("`{}`{reason}", path.display()),
        }
    }

    pub(super) fn help(&self) -> &'static str {
        match self {
            Missing::Unclosed => "write `$${` for a literal `${`",
            Missing::NotAName => {
                "`${NAME}` takes an environment variable, `${file:PATH}` a file's content; \
                 write `$${` for a literal `${`"
            }
            Missing::Unset(_) => {
                "export it, put it in .env beside the job file, or try the job with --sandbox, \
                 which needs no credentials"
            }
            Missing::NotUtf8(_) => "a string in a job is UTF-8 text",
            Missing::File { .. } => "the path of `${file:…}` is relative to the job file",
            Missing::DotEnv { .. } => "a line of .env is `NAME=value`, a comment (`#`), or blank",
        }
    }

    /// `--sandbox` can do without it.
    pub(super) fn can_be_stood_in(&self) -> bool {
        matches!(self, Missing::Unset(_) | Missing::File { .. })
    }
}

/// Fills references in: knows the environment, and reads `.env` files when first needed.
pub(super) struct Filler {
    environment: Environment,
    folder: PathBuf,
    dot_env: Option<Result<HashMap<String, String>, Missing>>,
}

impl Filler {
    /// `folder` is where the job file is.
    pub(super) fn new(environment: Environment, folder: PathBuf) -> Filler {
        Filler {
            environment,
            folder,
            dot_env: None,
        }
    }

    /// Fills in one string. With `stand_in`, what is missing becomes [`Piece::StandIn`].
    pub(super) fn fill(&mut self, raw: &str, stand_in: bool) -> Result<Text, Missing> {
        let mut pieces = Vec::new();
        let mut rest = raw;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                pieces.push(Piece::Typed(before.to_owned()));
                pieces.push(Piece::Escaped);
                rest = after;
                continue;
            }
            pieces.push(Piece::Typed(before.to_owned()));
            let (reference, after) = after.split_once('}').ok_or(Missing::Unclosed)?;
            if !is_reference(reference) {
                return Err(Missing::NotAName);
            }
            pieces.push(match self.look_up(reference) {
                Ok(value) => Piece::Filled(value),
                Err(missing) if stand_in && missing.can_be_stood_in() => Piece::StandIn,
                Err(missing) => return Err(missing),
            });
            rest = after;
        }
        pieces.push(Piece::Typed(rest.to_owned()));
        pieces.retain(|piece| !matches!(piece, Piece::Typed(text) if text.is_empty()));
        Ok(Text {
            raw: raw.to_owned(),
            pieces,
        })
    }

    fn look_up(&mut self, reference: &str) -> Result<String, Missing> {
        if let Some(path) = reference.strip_prefix("file:") {
            return read_file(self.folder.join(path));
        }
        if let Some(value) = self.environment.get(reference) {
            return value;
        }
        let folder = &self.folder;
        let dot_env = self.dot_env.get_or_insert_with(|| dot_env::read(folder));
        let variables = dot_env.as_ref().map_err(Clone::clone)?;
        variables
            .get(reference)
            .cloned()
            .ok_or_else(|| Missing::Unset(reference.to_owned()))
    }
}

/// The length of the `${NAME}` or `${file:PATH}` that `text` starts with.
pub(super) fn reference_length(text: &str) -> Option<usize> {
    let (reference, _) = text.strip_prefix("${")?.split_once('}')?;
    is_reference(reference).then_some("${".len() + reference.len() + "}".len())
}

/// Whether it may stand between `${` and `}`: a name, or `file:` and a path.
fn is_reference(name: &str) -> bool {
    match name.strip_prefix("file:") {
        Some(path) => !path.trim().is_empty() && !path.contains(char::is_control),
        None => {
            !name.starts_with(|c: char| c.is_ascii_digit())
                && !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        }
    }
}

fn read_file(path: PathBuf) -> Result<String, Missing> {
    let mut content = Vec::new();
    let opened = std::fs::File::open(&path);
    let read = opened.and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut content));
    match read {
        Err(error) => Err(Missing::File {
            path,
            reason: error.to_string(),
        }),
        Ok(_) if content.len() as u64 > FILE_LIMIT => Err(Missing::File {
            path,
            reason: "it is longer than 64 KiB".to_owned(),
        }),
        Ok(_) => match String::from_utf8(content) {
            Ok(content) => Ok(content.trim_start_matches('\u{feff}').trim().to_owned()),
            Err(_) => Err(Missing::NotUtf8(format!("`{}`", path.display()))),
        },
    }
}

#[cfg(test)]
mod tests;
