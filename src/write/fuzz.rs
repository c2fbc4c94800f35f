//! What must hold for any body in any column.
#![allow(clippy::unwrap_used, reason = "a body fails by panicking")]

use super::columns::cells;
use super::delimited::Delimited;
use super::ndjson;
use crate::job::{IdForm, RecordForm, json_path};
use crate::json::{Queries, compact_json};
use crate::outcome::Record;
use bytes::Bytes;
use serde_json_path::JsonPath;
use std::borrow::Cow;
use std::time::UNIX_EPOCH;

/// A JSONPath, then a body: its rows read back with as many cells as there are
/// columns, and with the same text in them; its line is JSON.
pub fn columns(bytes: &[u8]) {
    let Some((path, body)) = crate::fuzzing::first_line(bytes) else {
        return;
    };
    // A path is the user's own: one that takes for ever is not what is looked for here.
    let stars = path.matches(['*', ',']).count() + path.matches("..").count();
    if path.len() > 64 || stars > 5 || body.len() > 4_096 {
        return;
    }
    let (Ok(path), Ok(body)) = (json_path(path), compact_json(Bytes::copy_from_slice(body))) else {
        return;
    };
    let record = Record {
        status: 200,
        fetched_at: UNIX_EPOCH,
        body,
        validators: Default::default(),
    };
    one_line(&record);
    let paths = vec![
        ("a\"b".to_owned(), path),
        ("all".to_owned(), JsonPath::parse("$").unwrap()),
    ];
    let queries = Queries::new(paths.iter().map(|(_, path)| path));
    let cells = cells(&queries, &record.body);
    for delimiter in [b',', b'\t'] {
        let rows = rows(delimiter, RecordForm::Body, &paths, &record);
        match (&cells, &rows) {
            (Ok(cells), Some(rows)) => {
                assert_eq!(*rows, [vec!["a\"b".into(), "all".into()], cells.clone()])
            }
            (Err(_), None) => {}
            _ => unreachable!("{cells:?} {rows:?}"),
        }
        // The first record brings the columns, under the envelope's.
        if let Some(rows) = self::rows(delimiter, RecordForm::Envelope, &[], &record) {
            let [header, row] = rows.as_slice() else {
                unreachable!("{rows:?}");
            };
            assert_eq!(header.len(), row.len());
            assert_eq!(row.first().map(Cow::as_ref), Some("i,d\t\"\r"));
        }
    }
}

/// Header and row as a reader of CSV sees them; `None` when the body has no row.
fn rows(
    delimiter: u8,
    form: RecordForm,
    paths: &[(String, JsonPath)],
    record: &Record,
) -> Option<Vec<Vec<Cow<'static, str>>>> {
    let mut output = Delimited::new(delimiter, form, paths.to_vec(), None);
    let mut out = Vec::new();
    output.header(&mut out);
    output.row("i,d\t\"\r", record, &mut out).ok()?;
    assert_eq!(out.last(), Some(&b'\n'));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .from_reader(out.as_slice());
    let rows = reader.records().map(|row| {
        row.unwrap()
            .iter()
            .map(|cell| cell.to_owned().into())
            .collect()
    });
    Some(rows.collect())
}

fn one_line(record: &Record) {
    let mut out = Vec::new();
    ndjson::line(RecordForm::Envelope, IdForm::Text, "a\nb", record, &mut out).unwrap();
    assert_eq!(
        out.iter().position(|byte| *byte == b'\n'),
        Some(out.len() - 1)
    );
    let line: &serde_json::value::RawValue = serde_json::from_slice(&out).unwrap();
    assert!(line.get().ends_with('}'));
}
