//! `[ids]`: which items.

use super::Ending;
use super::reader::{Field, Reader, Section};
use crate::job::diagnostic::Diagnostic;
use crate::job::{IdFile, IdFormat, IdSource, Ids, Repeats};
use toml::de::{DeTable, DeValue};

const ENDINGS: &str = "an ID file ends in .txt (one ID a line), .csv or .tsv (with `column`), \
                       .ndjson or .jsonl (with `field`), or is \"-\" for stdin";

pub(super) fn read(reader: &mut Reader, root: &DeTable<'_>) -> Option<Ids> {
    let section = reader.section(root, "ids");
    let list = section.optional("list", Vec::new(), |field| read_list(reader, field));
    let file = match section.get("file") {
        Some(field) => read_file(reader, &section, field).map(Some),
        None => {
            for name in ["column", "field"] {
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

fn read_list(reader: &mut Reader, field: &Field<'_>) -> Option<Vec<String>> {
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
            read_id(reader, &element)
        })
        .collect();
    ids.into_iter().collect()
}

fn read_id(reader: &mut Reader, field: &Field<'_>) -> Option<String> {
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

fn read_file(reader: &mut Reader, section: &Section<'_>, field: &Field<'_>) -> Option<IdFile> {
    let file = reader.string(field)?;
    let stdin = file == "-";
    let (column, path) = (section.get("column"), section.get("field"));
    let ending = match Ending::of(&file) {
        _ if stdin && path.is_some() => Ending::Ndjson,
        _ if stdin && column.is_some() => Ending::Delimited(b','),
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
    let format = match ending {
        Ending::Delimited(delimiter) => {
            let column = column.map(|field| reader.full_text(field, super::reader::StandIn::Never));
            let column = match column {
                Some(name) => Some(name?.value()),
                None => None,
            };
            IdFormat::Delimited { delimiter, column }
        }
        Ending::Ndjson => {
            let path = reader.required(section, "field", "field = \"$.id\"")?;
            IdFormat::Ndjson {
                field: reader.json_path(path)?,
            }
        }
        _ => IdFormat::Lines,
    };
    let source = match stdin {
        true => IdSource::Stdin,
        false => IdSource::Path(reader.resolve(&file)),
    };
    Some(IdFile { source, format })
}
