//! Values in the small languages of the job file: words, rates, lengths of
//! time, JSONPaths, templates.
//!
//! What an error repeats was typed in the file: a value that was filled in from
//! outside only gets a message that does not show it.

use super::reader::{Field, Reader, StandIn};
use crate::job::diagnostic::{Diagnostic, nearest};
use crate::job::json_path;
use crate::job::template::{HoleError, Template};
use crate::job::units::{UnitError, parse_duration};
use serde_json_path::JsonPath;
use std::ops::RangeInclusive;
use std::time::Duration;

impl Reader {
    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, field: &Field<'_>, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(field, StandIn::Never)?;
        let value = text.value();
        let chosen = words.iter().find(|(word, _)| *word == value);
        if chosen.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let near = nearest(&value, names.iter().copied()).filter(|_| !text.is_filled());
            let help = match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "it is one of these words".to_owned(),
            };
            let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
            let message = format!("`{}` must be {}", field.name, quoted.join(" or "));
            self.impossible(field, &message, &help);
        }
        chosen.map(|(_, value)| *value)
    }

    /// A string in one of the small languages of [`crate::job::units`].
    pub(super) fn unit<T>(
        &mut self,
        field: &Field<'_>,
        parse: impl FnOnce(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        let text = self.string(field)?;
        let parsed = parse(&text);
        if let Err(error) = parsed {
            let message = format!("`{}`: {error}", field.name);
            self.push(Diagnostic::new(message).at(field.span()));
        }
        parsed.ok()
    }

    pub(super) fn duration(
        &mut self,
        field: &Field<'_>,
        range: RangeInclusive<Duration>,
        words: &str,
    ) -> Option<Duration> {
        let length = self.unit(field, parse_duration)?;
        if !range.contains(&length) {
            let message = format!("`{}` must be {words}", field.name);
            self.push(Diagnostic::new(message).at(field.span()));
            return None;
        }
        Some(length)
    }

    /// `500ms..60s`, or one length of time for both ends.
    pub(super) fn span_of_time(&mut self, field: &Field<'_>) -> Option<(Duration, Duration)> {
        let (first, last) = self.unit(field, |text| match text.split_once("..") {
            Some((first, last)) => Ok((parse_duration(first)?, parse_duration(last)?)),
            None => parse_duration(text).map(|length| (length, length)),
        })?;
        if first.is_zero() {
            let message = format!("`{}` must be over 0", field.name);
            self.push(Diagnostic::new(message).at(field.span()));
            return None;
        }
        if first > last {
            let message = format!("`{}` ends before it begins", field.name);
            self.impossible(
                field,
                &message,
                "the shorter wait comes first: `500ms..60s`",
            );
            return None;
        }
        Some((first, last))
    }

    /// An RFC 9535 JSONPath.
    pub(super) fn json_path(&mut self, field: &Field<'_>) -> Option<JsonPath> {
        let text = self.text(field, StandIn::Never)?;
        match json_path(&text.value()) {
            Ok(path) => Some(path),
            Err(error) => {
                let message = match text.is_filled() {
                    true => format!("`{}` is not a JSONPath", field.name),
                    false => format!("`{}` is not a JSONPath: {error}", field.name),
                };
                let help = "a JSONPath (RFC 9535) begins with `$`: `$.id`, `$.artists[*].name`";
                self.impossible(field, &message, help);
                None
            }
        }
    }

    /// A value that may hold `{id}` or another variable.
    pub(super) fn template(&mut self, field: &Field<'_>) -> Option<Template> {
        let text = self.text(field, StandIn::InSandbox)?;
        match Template::new(&text) {
            Ok(template) => Some(template),
            Err(error) => {
                self.bad_hole(field, &error);
                None
            }
        }
    }

    pub(super) fn bad_hole(&mut self, field: &Field<'_>, error: &HoleError) {
        let (key, literal) = (field.name, "write `{{` for a literal `{`");
        let shown = |inner: &str| match is_expression(inner) {
            true => format!(" `{{{inner}}}`"),
            false => String::new(),
        };
        let (message, help) = match error {
            HoleError::Unclosed => (
                format!("a `{{` is never closed in `{key}`"),
                format!("a placeholder is `{{id}}`; {literal}"),
            ),
            HoleError::Unknown(inner) => (
                format!("unknown placeholder{} in `{key}`", shown(inner)),
                format!(
                    "placeholders are `{{id}}` or another variable's name (letters, digits and \
                     `_`), and `{{ids}}` with [request.batch]; {literal}"
                ),
            ),
            HoleError::Operator(inner) => (
                format!("the placeholder{} in `{key}` is for URLs", shown(inner)),
                format!("only `{{name}}` can stand here; {literal}"),
            ),
            HoleError::Modifier(inner) => (
                format!(
                    "the placeholder{} in `{key}` cuts or splits a value",
                    shown(inner)
                ),
                "`:` and `*` (RFC 6570 level 4) are not taken: give the values as columns of the \
                 list"
                    .to_owned(),
            ),
            HoleError::Fragment(inner) => (
                format!(
                    "the placeholder{} in `{key}` is a fragment, which is never sent",
                    shown(inner)
                ),
                "leave it out".to_owned(),
            ),
            HoleError::QueryAgain(inner) => (
                format!(
                    "the placeholder{} in `{key}` comes after a `?`",
                    shown(inner)
                ),
                "a query goes on with `{&name}`".to_owned(),
            ),
            HoleError::NoQueryYet(inner) => (
                format!(
                    "there is no `?` before the placeholder{} in `{key}`",
                    shown(inner)
                ),
                "a query begins with `{?name}`".to_owned(),
            ),
        };
        self.impossible(field, &message, &help);
    }
}

/// Short and plain: safe to repeat in a message.
fn is_expression(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_,.+#/;?&:*".contains(&b);
    text.len() <= 20 && text.bytes().all(plain)
}
