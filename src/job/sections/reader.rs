//! Takes typed values out of TOML tables and collects what is wrong with them.
//!
//! Owns the wording that all sections share: unknown keys, missing keys, wrong
//! types. Never puts a value that was filled in from outside into a message.

use super::SECTIONS;
use crate::job::diagnostic::{Diagnostic, nearest};
use crate::job::interpolate::{Filler, Text};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A key of a table and its value.
#[derive(Clone)]
pub(super) struct Field<'t> {
    pub(super) name: &'t str,
    pub(super) key: Range<usize>,
    pub(super) value: &'t Spanned<DeValue<'t>>,
}

impl Field<'_> {
    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }
}

/// A section of the file; one that is absent has no fields.
pub(super) struct Section<'t> {
    name: &'static str,
    span: Option<Range<usize>>,
    fields: Vec<Field<'t>>,
}

impl<'t> Section<'t> {
    pub(super) fn get(&self, name: &str) -> Option<&Field<'t>> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub(super) fn fields(&self) -> &[Field<'t>] {
        &self.fields
    }

    /// The key's value, or `default` when it is absent.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        default: T,
        read: impl FnOnce(&Field<'t>) -> Option<T>,
    ) -> Option<T> {
        self.get(name).map_or(Some(default), read)
    }
}

/// A string in a section that may be tried without its values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StandIn {
    /// A missing variable is a mistake, always.
    Never,
    /// A missing variable does not matter with `--sandbox`.
    InSandbox,
}

/// Reads values and remembers mistakes.
pub(super) struct Reader {
    filler: Filler,
    folder: PathBuf,
    sandbox: bool,
    mistakes: Vec<Diagnostic>,
}

impl Reader {
    pub(super) fn new(filler: Filler, folder: PathBuf, sandbox: bool) -> Reader {
        Reader {
            filler,
            folder,
            sandbox,
            mistakes: Vec::new(),
        }
    }

    pub(super) fn sandbox(&self) -> bool {
        self.sandbox
    }

    /// The job file's folder: paths are relative to it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn push(&mut self, mistake: Diagnostic) {
        // A broken .env is one mistake, however many keys ask for it.
        let is_repeat = |known: &Diagnostic| {
            known.message == mistake.message && mistake.message.contains(".env`")
        };
        if !self.mistakes.iter().any(is_repeat) {
            self.mistakes.push(mistake);
        }
    }

    /// Every mistake, in the file's order; what is missing comes last.
    pub(super) fn into_mistakes(mut self) -> Vec<Diagnostic> {
        self.mistakes
            .sort_by_key(|mistake| mistake.span.as_ref().map_or(usize::MAX, |span| span.start));
        self.mistakes
    }

    /// Tells names at the top of the file that no section has.
    pub(super) fn check_sections(&mut self, root: &DeTable<'_>) {
        for (key, _) in root {
            let name: &str = key.get_ref();
            if SECTIONS.iter().any(|(section, _)| *section == name) {
                continue;
            }
            let sections = SECTIONS.map(|(section, _)| section);
            let help = match (home_of(name), nearest(name, sections)) {
                (Some(section), _) => format!("`{name}` belongs in [{section}]"),
                (None, Some(section)) => format!("did you mean [{section}]?"),
                (None, None) => format!("the sections are {}", list(&sections)),
            };
            let message = format!("unknown section `{name}`");
            self.push(Diagnostic::new(message).at(key.span()).help(help));
        }
    }

    /// A section's fields; unknown ones are told.
    pub(super) fn section<'t>(&mut self, root: &'t DeTable<'t>, name: &'static str) -> Section<'t> {
        let mut section = Section {
            name,
            span: None,
            fields: Vec::new(),
        };
        let Some((key, value)) = root.get_key_value(name) else {
            return section;
        };
        section.span = Some(key.span());
        let DeValue::Table(table) = value.get_ref() else {
            let found = a(value.get_ref());
            let message = format!("`{name}` must be a section `[{name}]`, found {found}");
            self.push(Diagnostic::new(message).at(key.span()));
            return section;
        };
        let known = SECTIONS.iter().find(|(section, _)| *section == name);
        let known = known.map_or(&[][..], |(_, keys)| keys);
        for field in fields(table) {
            if known.contains(&field.name) {
                section.fields.push(field);
            } else {
                self.unknown_key(&field, name, known);
            }
        }
        section
    }

    /// The fields of a table within a section; unknown ones are told.
    pub(super) fn subsection<'t>(
        &mut self,
        field: &Field<'t>,
        name: &'static str,
        known: &[&'static str],
    ) -> Option<Section<'t>> {
        let mut section = Section {
            name,
            span: Some(field.key.clone()),
            fields: Vec::new(),
        };
        for field in self.table(field)? {
            if known.contains(&field.name) {
                section.fields.push(field);
            } else {
                self.unknown_key(&field, name, known);
            }
        }
        Some(section)
    }

    fn unknown_key(&mut self, field: &Field<'_>, section: &str, known: &[&'static str]) {
        let name = field.name;
        let help = match (nearest(name, known.iter().copied()), home_of(name)) {
            (_, Some(home)) => format!("`{name}` belongs in [{home}]"),
            (Some(near), None) => format!("did you mean `{near}`?"),
            (None, None) => format!("[{section}] knows {}", list(known)),
        };
        let message = format!("unknown key `{name}` in [{section}]");
        self.push(Diagnostic::new(message).at(field.key.clone()).help(help));
    }

    /// The key's value; its absence is a mistake, with an example for help.
    pub(super) fn required<'s, 't>(
        &mut self,
        section: &'s Section<'t>,
        name: &str,
        example: &str,
    ) -> Option<&'s Field<'t>> {
        let field = section.get(name);
        if field.is_none() {
            let mut mistake = Diagnostic::new(format!("`{name}` is missing in [{}]", section.name))
                .help(format!("add `{example}`"));
            mistake.span = section.span.clone();
            self.push(mistake);
        }
        field
    }

    pub(super) fn wrong_type(&mut self, field: &Field<'_>, expected: &str) {
        let found = a(field.value.get_ref());
        let message = format!("`{}` must be {expected}, found {found}", field.name);
        self.push(Diagnostic::new(message).at(field.span()));
    }

    /// A value that cannot be.
    pub(super) fn impossible(&mut self, field: &Field<'_>, message: &str, help: &str) {
        self.push(Diagnostic::new(message).at(field.span()).help(help));
    }

    pub(super) fn text(&mut self, field: &Field<'_>, stand_in: StandIn) -> Option<Text> {
        let DeValue::String(raw) = field.value.get_ref() else {
            self.wrong_type(field, "a string");
            return None;
        };
        let stand_in = self.sandbox && stand_in == StandIn::InSandbox;
        match self.filler.fill(raw, stand_in) {
            Ok(text) => Some(text),
            Err(missing) => {
                let mistake = Diagnostic::new(missing.message())
                    .at(field.span())
                    .label(format!("in the value of `{}`", field.name))
                    .help(missing.help());
                self.push(mistake);
                None
            }
        }
    }

    /// A string that no stand-in can take the place of.
    pub(super) fn string(&mut self, field: &Field<'_>) -> Option<String> {
        self.text(field, StandIn::Never).map(|text| text.value())
    }

    /// A string that is not empty.
    pub(super) fn full_text(&mut self, field: &Field<'_>, stand_in: StandIn) -> Option<Text> {
        let text = self.text(field, stand_in)?;
        if text.value().is_empty() {
            let help = match text.is_filled() {
                true => "the variable or file it comes from is there, but empty",
                false => "leave no value empty",
            };
            self.impossible(field, &format!("`{}` is empty", field.name), help);
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&mut self, field: &Field<'_>) -> Option<bool> {
        let value = field.value.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type(field, "true or false");
        }
        value
    }

    pub(super) fn integer(&mut self, field: &Field<'_>, min: usize, max: usize) -> Option<usize> {
        let Some(value) = field.value.get_ref().as_integer() else {
            self.wrong_type(field, "an integer");
            return None;
        };
        let value = usize::from_str_radix(value.as_str(), value.radix()).ok();
        let value = value.filter(|value| (min..=max).contains(value));
        if value.is_none() {
            let message = match max {
                10_000 => format!("`{}` must be from {min} to {max}", field.name),
                _ => format!("`{}` must be at least {min}, and fit 32 bits", field.name),
            };
            self.push(Diagnostic::new(message).at(field.span()));
        }
        value
    }

    /// A TCP port.
    pub(super) fn port(&mut self, field: &Field<'_>) -> Option<u16> {
        let Some(value) = field.value.get_ref().as_integer() else {
            self.wrong_type(field, "an integer");
            return None;
        };
        let value = u16::from_str_radix(value.as_str(), value.radix()).ok();
        let value = value.filter(|port| *port > 0);
        if value.is_none() {
            let message = format!("`{}` must be from 1 to 65535", field.name);
            self.push(Diagnostic::new(message).at(field.span()));
        }
        value
    }

    /// A table's fields, in the file's order.
    pub(super) fn table<'t>(&mut self, field: &Field<'t>) -> Option<Vec<Field<'t>>> {
        match field.value.get_ref() {
            DeValue::Table(table) => Some(fields(table)),
            _ => {
                self.wrong_type(field, "a table");
                None
            }
        }
    }

    /// A path, relative to the job file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }
}

/// A table's fields in the file's order (the table itself is sorted by name).
fn fields<'t>(table: &'t DeTable<'t>) -> Vec<Field<'t>> {
    let mut fields: Vec<Field<'t>> = table
        .iter()
        .map(|(key, value)| Field {
            name: key.get_ref(),
            key: key.span(),
            value,
        })
        .collect();
    fields.sort_by_key(|field| field.key.start);
    fields
}

/// The section that a key is at home in, when there is just one.
fn home_of(key: &str) -> Option<&'static str> {
    let mut homes = SECTIONS.iter().filter(|(_, keys)| keys.contains(&key));
    match (homes.next(), homes.next()) {
        (Some((section, _)), None) => Some(section),
        _ => None,
    }
}

fn a(value: &DeValue<'_>) -> String {
    match value.type_str() {
        kind @ ("integer" | "array") => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}

/// `` `a`, `b` and `c` ``.
pub(super) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
