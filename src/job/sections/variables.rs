//! `[ids.variables]`: where the value of each variable comes from.
//!
//! The templates say which variables there are ([`crate::job::Request::variables`]);
//! here each gets its column, its JSONPath, or its key in an item of `list`.

use super::ids::quoted;
use super::reader::{Field, Reader, Section, StandIn};
use crate::job::diagnostic::{Diagnostic, nearest};
use crate::job::{json_path, object_id};
use serde_json_path::JsonPath;
use std::collections::BTreeMap;
use std::ops::Range;

/// The variables, and what the job file says of them.
pub(super) struct Variables {
    /// Sorted; none when the request has mistakes, which says nothing about [ids].
    names: Option<Vec<String>>,
    sources: Vec<Source>,
}

/// One key of `[ids.variables]`.
struct Source {
    variable: String,
    text: String,
    /// Where the text stands.
    span: Range<usize>,
}

impl Variables {
    pub(super) fn read(
        reader: &mut Reader,
        section: &Section<'_>,
        names: Option<&[String]>,
    ) -> Variables {
        let mut variables = Variables {
            names: names.map(<[_]>::to_vec),
            sources: Vec::new(),
        };
        let Some(field) = section.get("variables") else {
            return variables;
        };
        for pair in reader.table(field).unwrap_or_default() {
            variables.check_name(reader, &pair);
            if let Some(text) = reader.full_text(&pair, StandIn::Never) {
                variables.sources.push(Source {
                    variable: pair.name.to_owned(),
                    text: text.value(),
                    span: pair.span(),
                });
            }
        }
        variables
    }

    pub(super) fn are_several(&self) -> bool {
        self.names.as_ref().is_some_and(|names| names.len() > 1)
    }

    /// Some are given by a JSONPath.
    pub(super) fn are_paths(&self) -> bool {
        self.sources
            .iter()
            .any(|source| source.text.starts_with('$'))
    }

    /// Each comes from a place of its own: there are several, or one is mapped.
    pub(super) fn are_named(&self) -> bool {
        self.are_several() || !self.sources.is_empty()
    }

    /// The ID has no place in `[ids.variables]`: `column` or `field` may name it.
    pub(super) fn has_plain_id(&self) -> bool {
        let names = self.names.as_deref().unwrap_or_default();
        match names {
            [] => true,
            [only] => self.source(only).is_none(),
            _ => names.iter().any(|name| name == "id") && self.source("id").is_none(),
        }
    }

    /// The names, for people.
    pub(super) fn quoted(&self) -> String {
        quoted(self.names.as_deref().unwrap_or_default())
    }

    /// Variable and column of each; `column` is where the IDs are.
    pub(super) fn columns(&self, column: Option<String>) -> Vec<(String, String)> {
        let names = self.names.iter().flatten();
        names
            .map(|name| {
                let mapped = self.source(name).map(|source| source.text.clone());
                let ids = column.clone().filter(|_| name == "id");
                let source = mapped.or(ids).unwrap_or_else(|| name.clone());
                (name.clone(), source)
            })
            .collect()
    }

    /// The column of the only variable, where its name says it.
    pub(super) fn only_column(&self) -> Option<String> {
        let [name] = self.names.as_deref()? else {
            return None;
        };
        let mapped = self.source(name).map(|source| source.text.clone());
        // A list of one column may call its IDs what it likes.
        mapped.or_else(|| (name != "id").then(|| name.clone()))
    }

    /// Variable and path of each; `field` is where the ID is.
    pub(super) fn paths(
        &self,
        reader: &mut Reader,
        field: Option<JsonPath>,
    ) -> Option<Vec<(String, JsonPath)>> {
        let names = self.names.iter().flatten();
        let paths: Vec<Option<(String, JsonPath)>> = names
            .map(|name| {
                let ids = field.clone().filter(|_| name == "id");
                let path = match (self.source(name), ids) {
                    (None, Some(path)) => Some(path),
                    _ => self.path(reader, name),
                };
                Some((name.clone(), path?))
            })
            .collect();
        paths.into_iter().collect()
    }

    /// The path of the only variable, where its name says it.
    pub(super) fn only_path(&self, reader: &mut Reader) -> Option<Option<JsonPath>> {
        let [name] = self.names.as_deref()? else {
            return None;
        };
        (name != "id" || self.source(name).is_some()).then(|| self.path(reader, name))
    }

    fn path(&self, reader: &mut Reader, name: &str) -> Option<JsonPath> {
        let Some(source) = self.source(name) else {
            return json_path(&format!("$.{name}")).ok();
        };
        let path = json_path(&source.text);
        if let Err(error) = &path {
            let message = format!("`{name}` is not a JSONPath: {error}");
            let mistake = Diagnostic::new(message).at(source.span.clone());
            reader.push(mistake.help("in an .ndjson file a variable has a path: `$.org.login`"));
        }
        path.ok()
    }

    fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.variable == name)
    }

    /// An item of `list` with a key for each variable.
    pub(super) fn read_item(&self, reader: &mut Reader, field: &Field<'_>) -> Option<String> {
        let mut values = BTreeMap::new();
        let mut good = true;
        for pair in reader.table(field)? {
            good &= self.check_name(reader, &pair);
            match read_value(reader, &pair) {
                Some(value) => drop(values.insert(pair.name.to_owned(), value)),
                None => good = false,
            }
        }
        let names = self.names.as_deref().unwrap_or_default();
        let missing: Vec<String> = names
            .iter()
            .filter(|name| !values.contains_key(*name))
            .cloned()
            .collect();
        if good && !missing.is_empty() {
            let message = format!("this item has no {}", quoted(&missing));
            let help = format!("an item has {}", quoted(names));
            reader.impossible(field, &message, &help);
            return None;
        }
        match names {
            _ if !good => None,
            [only] => values.remove(only),
            _ => Some(object_id(&values)),
        }
    }

    /// A plain value where each variable needs its own.
    pub(super) fn tell_plain(&self, reader: &mut Reader, field: &Field<'_>) {
        let names = self.names.as_deref().unwrap_or_default();
        let message = format!("a plain ID cannot fill {}", self.quoted());
        let keys: Vec<String> = names.iter().map(|name| format!("{name} = \"…\"")).collect();
        let twins = names.iter().flat_map(|a| names.iter().map(move |b| (a, b)));
        let mut twins = twins.filter(|(a, b)| a < b && nearest(a, [b.as_str()]).is_some());
        let help = match twins.next() {
            Some((a, b)) => format!("are `{{{a}}}` and `{{{b}}}` meant to be the same?"),
            None => format!("write `{{ {} }}`", keys.join(", ")),
        };
        reader.impossible(field, &message, &help);
    }

    /// Whether the request has a hole of this name.
    fn check_name(&self, reader: &mut Reader, field: &Field<'_>) -> bool {
        let Some(names) = &self.names else {
            return true;
        };
        if names.iter().any(|name| name == field.name) {
            return true;
        }
        let near = nearest(field.name, names.iter().map(String::as_str));
        let help = match (near, names.as_slice()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, []) => format!("put `{{{}}}` into `url`", field.name),
            (None, _) => format!("the request has {}", quoted(names)),
        };
        let message = format!("there is no `{{{}}}` in the request", field.name);
        reader.push(Diagnostic::new(message).at(field.key.clone()).help(help));
        false
    }
}

/// One value: a string or an integer.
pub(super) fn read_value(reader: &mut Reader, field: &Field<'_>) -> Option<String> {
    if let Some(integer) = field.value.get_ref().as_integer() {
        let id = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        if id.is_none() {
            reader.impossible(field, "this number is too long", "write the ID in quotes");
        }
        return id.map(|id| id.to_string());
    }
    if !field.value.get_ref().is_str() {
        reader.wrong_type(field, "strings or integers");
        return None;
    }
    let id = reader.string(field)?.trim().to_owned();
    if id.is_empty() {
        reader.impossible(field, "an ID cannot be empty", "leave it out");
        return None;
    }
    if id.contains(char::is_control) {
        reader.impossible(field, "an ID cannot hold control characters", "remove them");
        return None;
    }
    Some(id)
}
