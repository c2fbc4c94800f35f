//! A mistake in a job file, and how it is shown.
//!
//! Owns the pictures: file, line, column, the place underlined, what to do.
//! Promise: a literal secret of the file is never shown, because the source
//! that is drawn was masked before it came here (see [`mask`]).

mod mask;

pub(super) use mask::{mask_all, mask_source};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Where in the job file, in bytes; nothing that is missing has a place.
    pub span: Option<Range<usize>>,
    /// What to say at that place.
    pub label: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            message: message.into(),
            span: None,
            label: None,
            help: None,
        }
    }

    pub(super) fn at(mut self, span: Range<usize>) -> Diagnostic {
        self.span = Some(span);
        self
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = Some(label.into());
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    fn render(&self, path: &str, source: &str, renderer: &Renderer) -> String {
        let title = Level::ERROR.primary_title(self.message.as_str());
        let mut group: Group<'_> = match &self.span {
            Some(span) => {
                let span = char_range(source, span);
                let annotation = AnnotationKind::Primary
                    .span(span)
                    .label(self.label.as_deref());
                title.element(Snippet::source(source).path(path).annotation(annotation))
            }
            None => title.element(Origin::path(path)),
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

/// The span, kept inside the text and off the middle of a character.
fn char_range(source: &str, span: &Range<usize>) -> Range<usize> {
    let boundary = |at: usize| {
        let at = at.min(source.len());
        (0..=at)
            .rev()
            .find(|at| source.is_char_boundary(*at))
            .unwrap_or(0)
    };
    let start = boundary(span.start);
    start..boundary(span.end).max(start)
}

/// Why a job file is no job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The file could not be read.
    #[error("cannot read the job file `{}`: {source}", path.display())]
    Read {
        /// The job file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read, and says something impossible.
    #[error("{}", render(path, source_text, diagnostics, false))]
    Invalid {
        /// The job file.
        path: PathBuf,
        /// Its text, with whatever may be a secret masked.
        source_text: String,
        /// Every mistake, in the file's order.
        diagnostics: Vec<Diagnostic>,
    },
}

impl JobError {
    /// Every mistake; none when the file could not be read.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            JobError::Read { .. } => &[],
            JobError::Invalid { diagnostics, .. } => diagnostics,
        }
    }

    /// The whole message, for a terminal with or without colours.
    pub fn render(&self, color: bool) -> String {
        match self {
            JobError::Read { .. } => self.to_string(),
            JobError::Invalid {
                path,
                source_text,
                diagnostics,
            } => render(path, source_text, diagnostics, color),
        }
    }
}

fn render(path: &Path, source: &str, diagnostics: &[Diagnostic], color: bool) -> String {
    let path = path.display().to_string();
    let renderer = match color {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    let rendered: Vec<String> = diagnostics
        .iter()
        .map(|diagnostic| diagnostic.render(&path, source, &renderer))
        .collect();
    rendered.join("\n\n")
}

/// The candidate that `name` is most likely a misspelling of.
pub(crate) fn nearest<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let score = strsim::jaro_winkler(&name, &candidate.to_lowercase());
            (score, candidate)
        })
        .filter(|(score, _)| *score >= 0.82)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(diagnostic: Diagnostic) -> JobError {
        JobError::Invalid {
            path: PathBuf::from("jobs/x.toml"),
            source_text: "[limits]\nconncurrency = 8\n".to_owned(),
            diagnostics: vec![diagnostic],
        }
    }

    #[test]
    fn a_mistake_shows_file_line_column_place_and_help() {
        let diagnostic = Diagnostic::new("unknown key `conncurrency` in [limits]")
            .at(9..21)
            .label("not a key of [limits]")
            .help("did you mean `concurrency`?");
        let shown = invalid(diagnostic).to_string();
        for part in [
            "error: unknown key `conncurrency` in [limits]",
            "--> jobs/x.toml:2:1",
            "2 | conncurrency = 8",
            "^^^^^^^^^^^^ not a key of [limits]",
            "help: did you mean `concurrency`?",
        ] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
        assert!(!shown.contains('\u{1b}'));
    }

    #[test]
    fn colours_only_when_asked() {
        let error = invalid(Diagnostic::new("x").at(0..3));
        assert!(error.render(true).contains('\u{1b}'));
        assert_eq!(error.render(false), error.to_string());
    }

    #[test]
    fn a_mistake_without_a_place_names_the_file() {
        let shown = invalid(Diagnostic::new("`path` is missing in [output]").help("add it"));
        let shown = shown.to_string();
        assert!(shown.contains("--> jobs/x.toml"), "{shown}");
        assert!(shown.contains("help: add it"), "{shown}");
    }

    #[test]
    fn a_span_beyond_the_text_is_cut() {
        assert!(
            !invalid(Diagnostic::new("x").at(90..99))
                .to_string()
                .is_empty()
        );
        assert_eq!(char_range("aé", &(2..9)), 1..3);
    }

    #[test]
    fn nearest_names() {
        let keys = ["rate", "concurrency", "max_wait"];
        assert_eq!(nearest("conncurrency", keys), Some("concurrency"));
        assert_eq!(nearest("Rate", keys), Some("rate"));
        assert_eq!(nearest("maxwait", keys), Some("max_wait"));
        assert_eq!(nearest("zzz", keys), None);
    }
}
