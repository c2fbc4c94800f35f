//! `[output]`: where records go.

use super::Ending;
use super::reader::{Field, Reader};
use crate::job::diagnostic::Diagnostic;
use crate::job::{Output, OutputFormat, OutputTarget, RecordForm};
use serde_json_path::JsonPath;
use std::path::PathBuf;
use toml::de::DeTable;

const ENDINGS: &str =
    "an output ends in .ndjson, .jsonl, .csv or .tsv, or is \"-\" for stdout (NDJSON)";

/// Columns that an envelope puts before those of the job.
const ENVELOPE: [&str; 3] = ["id", "status", "fetched_at"];

/// `instead` is the path of `--output`.
pub(super) fn read(
    reader: &mut Reader,
    root: &DeTable<'_>,
    instead: Option<&str>,
) -> Option<Output> {
    let section = reader.section(root, "output");
    let path = reader.required(&section, "path", "path = \"../data/records.ndjson\"");
    let own = path.and_then(|field| reader.string(field));
    let destination = match instead {
        Some(path) => format_of(path)
            .map_err(|mistake| reader.push(mistake))
            .map(|format| (target(path, PathBuf::from(path)), format)),
        None => own.ok_or(()).and_then(|own| {
            let resolved = reader.resolve(&own);
            format_of(&own)
                .map_err(|mut mistake| {
                    mistake.span = path.map(Field::span);
                    reader.push(mistake);
                })
                .map(|format| (target(&own, resolved), format))
        }),
    };
    let words = [
        ("body", RecordForm::Body),
        ("envelope", RecordForm::Envelope),
    ];
    let record = section.optional("record", RecordForm::Body, |field| {
        reader.choice(field, &words)
    });
    if let Some(field) = section.get("order") {
        read_order(reader, field);
    }
    let columns = section.optional("columns", Vec::new(), |field| {
        read_columns(reader, field, record)
    });
    let ndjson = matches!(destination, Ok((_, OutputFormat::Ndjson)));
    if let Some(field) = section.get("columns").filter(|_| ndjson) {
        let help = match instead {
            Some(_) => "--output names an NDJSON file; name a .csv or .tsv file",
            None => "NDJSON keeps the whole record: leave the columns out, or write .csv or .tsv",
        };
        let message = "[output.columns] is for .csv and .tsv outputs";
        reader.push(Diagnostic::new(message).at(field.key.clone()).help(help));
    }
    let (target, format) = destination.ok()?;
    Some(Output {
        target,
        format,
        record: record?,
        columns: columns?,
    })
}

fn target(path: &str, resolved: PathBuf) -> OutputTarget {
    match path {
        "-" => OutputTarget::Stdout,
        _ => OutputTarget::File(resolved),
    }
}

fn format_of(path: &str) -> Result<OutputFormat, Diagnostic> {
    let message = match Ending::of(path) {
        _ if path == "-" => return Ok(OutputFormat::Ndjson),
        Ending::Ndjson => return Ok(OutputFormat::Ndjson),
        Ending::Delimited(delimiter) => return Ok(OutputFormat::Delimited { delimiter }),
        Ending::NotYet(ending) => format!("this version does not write {ending} files yet"),
        Ending::Lines | Ending::Unknown => {
            "the ending of the output's `path` does not say its format".to_owned()
        }
    };
    Err(Diagnostic::new(message).help(ENDINGS))
}

/// Only the default order is there yet.
fn read_order(reader: &mut Reader, field: &Field<'_>) {
    let words = [("completion", false), ("input", true)];
    if reader.choice(field, &words) == Some(true) {
        let message = "`order = \"input\"` is not supported by this version yet";
        reader.impossible(field, message, "leave `order` out or say \"completion\"");
    }
}

fn read_columns(
    reader: &mut Reader,
    field: &Field<'_>,
    record: Option<RecordForm>,
) -> Option<Vec<(String, JsonPath)>> {
    let fields = reader.table(field)?;
    if fields.is_empty() {
        let help = "name a column, `id = \"$.id\"`, or leave [output.columns] out";
        let mistake = Diagnostic::new("[output.columns] names no columns");
        reader.push(mistake.at(field.key.clone()).help(help));
        return None;
    }
    let mut columns = Vec::with_capacity(fields.len());
    for field in &fields {
        if record == Some(RecordForm::Envelope) && ENVELOPE.contains(&field.name) {
            let message = format!("the envelope has a column `{}` already", field.name);
            let help = "choose another name, or leave the column out";
            reader.push(Diagnostic::new(message).at(field.key.clone()).help(help));
        }
        if field.name.trim().is_empty() {
            reader.push(Diagnostic::new("a column needs a name").at(field.key.clone()));
        }
        columns.push((field.name.to_owned(), reader.json_path(field)));
    }
    let whole = columns.into_iter().map(|(name, path)| Some((name, path?)));
    whole.collect()
}
