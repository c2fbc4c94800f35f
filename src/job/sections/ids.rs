//! `[ids]`: which items.

use super::Ending;
use super::reader::{Field, Reader, Section, StandIn, list};
use super::variables::{self, Variables};
use crate::job::diagnostic::Diagnostic;
use crate::job::{IdFile, IdFormat, IdSource, Ids, LISTING, Repeats};
use toml::de::{DeTable, DeValue};

const ENDINGS: &str = "an ID file ends in .txt (one ID a line), .csv or .tsv (with `column`), \
                       .ndjson or .jsonl (with `field`), or is \"-\" for stdin";

/// `names`: the variables of the request; `None` when it has mistakes.
pub(super) fn read(
    reader: &mut Reader,
    root: &DeTable<'_>,
    names: Option<&[String]>,
) -> Option<Ids> {
    let section = reader.section(root, "ids");
    if root.get("ids").is_none() && names.is_some_and(<[_]>::is_empty) {
        return Some(Ids {
            list: vec![LISTING.to_owned()],
            file: None,
            repeats: Repeats::Once,
        });
    }
    let variables = Variables::read(reader, &section, names);
    let list = section.optional("list", Vec::new(), |field| {
        read_list(reader, field, &variables)
    });
    let file = match section.get("file") {
        Some(field) => read_file(reader, &section, field, &variables).map(Some),
        None => {
            for name in ["column", "field", "variables"] {
                if let Some(field) = section.get(name) {
                    let message = format!("`{name}` is for a `file`, and there is none");
                    reader.push(Diagnostic::new(message).at(field.key.clone()));
                }
            }
            Some(None)
        }
    };
    let words = [("once", Repeats::Once), ("each", Repeats::Each)];
    let repeats = section.optional("repeats", Repeats::Once, |field| {
        reader.choice(field, &words)
    });
    let is_empty = |field: &Field<'_>| matches!(field.value.get_ref(), DeValue::Array(list) if list.is_empty());
    if section.get("file").is_none() && section.get("list").is_none_or(is_empty) {
        let mut mistake = Diagnostic::new("[ids] names no items")
            .help("add `list = [\"…\"]` or `file = \"ids.txt\"`");
        mistake.span = root.get_key_value("ids").map(|(key, _)| key.span());
        reader.push(mistake);
    }
    Some(Ids {
        list: list?,
        file: file?,
        repeats: repeats?,
    })
}

fn read_list(reader: &mut Reader, field: &Field<'_>, variables: &Variables) -> Option<Vec<String>> {
    let DeValue::Array(elements) = field.value.get_ref() else {
        reader.wrong_type(field, "an array of IDs");
        return None;
    };
    let ids: Vec<Option<String>> = elements
        .iter()
        .map(|value| {
            let element = Field {
                name: "list",
                key: field.key.clone(),
                value,
            };
            match value.get_ref() {
                DeValue::Table(_) => variables.read_item(reader, &element),
                _ if variables.are_several() => {
                    variables.tell_plain(reader, &element);
                    None
                }
                _ => variables::read_value(reader, &element),
            }
        })
        .collect();
    ids.into_iter().collect()
}

fn read_file(
    reader: &mut Reader,
    section: &Section<'_>,
    field: &Field<'_>,
    variables: &Variables,
) -> Option<IdFile> {
    let file = reader.string(field)?;
    let stdin = file == "-";
    let (column, path) = (section.get("column"), section.get("field"));
    let ending = match Ending::of(&file) {
        _ if stdin && (path.is_some() || variables.are_paths()) => Ending::Ndjson,
        _ if stdin && (column.is_some() || variables.are_named()) => Ending::Delimited(b','),
        _ if stdin => Ending::Lines,
        ending => ending,
    };
    let (column_fits, path_fits) = match ending {
        Ending::Lines => (false, false),
        Ending::Delimited(_) => (true, false),
        Ending::Ndjson => (false, true),
        Ending::NotYet(ending) => {
            let message = format!("this version does not read {ending} files yet");
            reader.impossible(field, &message, ENDINGS);
            return None;
        }
        Ending::Unknown => {
            reader.impossible(
                field,
                "the ending of `file` does not say what it is",
                ENDINGS,
            );
            return None;
        }
    };
    if let Some(column) = column.filter(|_| !column_fits) {
        let message = "`column` is for .csv and .tsv files";
        reader.push(
            Diagnostic::new(message)
                .at(column.key.clone())
                .help(ENDINGS),
        );
    }
    if let Some(path) = path.filter(|_| !path_fits) {
        let message = "`field` is for .ndjson and .jsonl files";
        reader.push(Diagnostic::new(message).at(path.key.clone()).help(ENDINGS));
    }
    let column = match column {
        Some(field) => Some(reader.full_text(field, StandIn::Never)?.value()),
        None => None,
    };
    let path = match path {
        Some(field) => Some(reader.json_path(field)?),
        None => None,
    };
    for name in ["column", "field"] {
        if let Some(field) = section.get(name).filter(|_| !variables.has_plain_id()) {
            let message = format!("`{name}` says where `{{id}}` is");
            let help = "name each variable's place in [ids.variables]";
            reader.push(Diagnostic::new(message).at(field.key.clone()).help(help));
        }
    }
    let format = match ending {
        Ending::Delimited(delimiter) if variables.are_several() => IdFormat::Rows {
            delimiter,
            columns: variables.columns(column),
        },
        Ending::Delimited(delimiter) => IdFormat::Delimited {
            delimiter,
            column: column.or_else(|| variables.only_column()),
        },
        Ending::Ndjson if variables.are_several() => IdFormat::Objects {
            fields: variables.paths(reader, path)?,
        },
        Ending::Ndjson => {
            let field = match path {
                Some(path) => path,
                None => match variables.only_path(reader) {
                    Some(path) => path?,
                    None => {
                        reader.required(section, "field", "field = \"$.id\"")?;
                        return None;
                    }
                },
            };
            IdFormat::Ndjson { field }
        }
        _ if variables.are_several() => {
            let message = format!("a list of plain lines cannot fill {}", variables.quoted());
            let help = "use a .csv file with a column for each, or an .ndjson file";
            reader.impossible(field, &message, help);
            return None;
        }
        _ => {
            if let Some(field) = section.get("variables") {
                let message = "`variables` is for .csv, .tsv, .ndjson and .jsonl files";
                reader.push(Diagnostic::new(message).at(field.key.clone()).help(ENDINGS));
            }
            IdFormat::Lines
        }
    };
    let source = match stdin {
        true => IdSource::Stdin,
        false => IdSource::Path(reader.resolve(&file)),
    };
    Some(IdFile { source, format })
}

/// `` `a` and `b` ``.
pub(super) fn quoted(names: &[String]) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    list(&names)
}
