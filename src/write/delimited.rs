//! CSV and TSV: a header row, then one row a record.
//!
//! Owns the columns. They are the job's, or those of the first record, and
//! never change after the header row was written; fields that come up later are
//! counted instead. Must never write half a row.

use super::columns::{cell, cells};
use super::flatten::flatten;
use super::row::RowFormat;
use crate::checkpoint::rfc3339;
use crate::job::RecordForm;
use crate::json::{Queries, QueryError, is_null};
use crate::outcome::Record;
use serde_json_path::JsonPath;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Names of fields without a column that are told apart.
const UNEXPECTED: usize = 1_000;
/// Columns of the envelope, before the body's.
const ENVELOPE: [&str; 3] = ["id", "status", "fetched_at"];

/// The state of a delimited output.
#[derive(Debug)]
pub(super) struct Delimited {
    format: RowFormat,
    form: RecordForm,
    columns: Columns,
    unexpected: BTreeMap<String, u64>,
}

/// Where cells come from.
#[derive(Debug)]
enum Columns {
    /// The job says it.
    Paths {
        names: Vec<String>,
        queries: Queries,
    },
    /// The first record will say it.
    Unknown,
    /// The first record said it: the body's columns and their places.
    Fields {
        names: Vec<String>,
        places: HashMap<String, usize>,
    },
}

/// Why a record has no row.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error("the body can't be searched for its columns: {0}")]
    Query(#[from] QueryError),
    #[error("the body can't be read as JSON: an object is cut or not compact")]
    NoObject,
    #[error("the body has a string that is no text: half of a surrogate pair")]
    NoText,
}

impl Delimited {
    /// A new output, or one whose columns were found by an earlier run (`found`).
    pub(super) fn new(
        delimiter: u8,
        form: RecordForm,
        paths: Vec<(String, JsonPath)>,
        found: Option<Vec<String>>,
    ) -> Delimited {
        let columns = match (paths.is_empty(), found) {
            (false, _) => Columns::Paths {
                queries: Queries::new(paths.iter().map(|(_, path)| path)),
                names: paths.into_iter().map(|(name, _)| name).collect(),
            },
            (true, Some(names)) => fields(names),
            (true, None) => Columns::Unknown,
        };
        Delimited {
            format: RowFormat::new(delimiter),
            form,
            columns,
            unexpected: BTreeMap::new(),
        }
    }

    /// The columns that the first record brought, for the checkpoint.
    pub(super) fn found(&self) -> Option<&[String]> {
        match &self.columns {
            Columns::Fields { names, .. } => Some(names),
            _ => None,
        }
    }

    /// Fields without a column, and in how many records they came.
    pub(super) fn unexpected(&self) -> &BTreeMap<String, u64> {
        &self.unexpected
    }

    /// Appends the header row to `out` when the columns are known.
    pub(super) fn header(&self, out: &mut Vec<u8>) {
        let names = match &self.columns {
            Columns::Unknown => return,
            Columns::Paths { names, .. } | Columns::Fields { names, .. } => names,
        };
        let envelope = match self.form {
            RecordForm::Envelope => &ENVELOPE[..],
            RecordForm::Body => &[],
        };
        let names = names.iter().map(String::as_str);
        self.format
            .write(envelope.iter().copied().chain(names), out);
    }

    /// Appends a record's row to `out`, after the header row when the record
    /// brought the columns; tells where the row begins.
    pub(super) fn row(
        &mut self,
        id: &str,
        record: &Record,
        out: &mut Vec<u8>,
    ) -> Result<usize, RowError> {
        let mut row: Vec<Cow<'_, str>> = Vec::new();
        if self.form == RecordForm::Envelope {
            let (status, at) = (record.status.to_string(), rfc3339(record.fetched_at));
            row.extend([Cow::Borrowed(id), Cow::Owned(status), Cow::Owned(at)]);
        }
        if let Columns::Paths { queries, .. } = &self.columns {
            row.append(&mut cells(queries, &record.body)?);
            let begin = out.len();
            self.format.write(row.iter(), out);
            return Ok(begin);
        }
        let prefix = if self.form == RecordForm::Envelope {
            "body."
        } else {
            ""
        };
        if matches!(self.columns, Columns::Unknown) {
            let mut names = Vec::new();
            flatten(&record.body, prefix, |name, raw| {
                names.push(name.to_owned());
                cell(raw).map(drop)
            })?;
            self.columns = fields(names);
            self.header(out);
        }
        if let Columns::Fields { names, places } = &self.columns {
            let before = row.len();
            row.resize(before + names.len(), Cow::Borrowed(""));
            // Most records have the same fields in the same order.
            let mut next = 0;
            let mut unexpected = Vec::new();
            flatten(&record.body, prefix, |name, raw| {
                let text = cell(raw)?;
                let place = match names.get(next) {
                    Some(expected) if expected == name => Some(next),
                    _ => places.get(name).copied(),
                };
                match place.and_then(|place| row.get_mut(before + place)) {
                    Some(cell) => *cell = text,
                    // A missing column loses nothing of null and `{}`.
                    None if !is_null(raw) && raw != b"{}" => unexpected.push(name.to_owned()),
                    None => {}
                }
                next = place.map_or(next, |place| place + 1);
                Ok(())
            })?;
            for name in unexpected {
                count(&mut self.unexpected, name);
            }
        }
        let begin = out.len();
        self.format.write(row.iter(), out);
        Ok(begin)
    }
}

/// Columns of these names, in this order, each once.
fn fields(all: Vec<String>) -> Columns {
    let mut places = HashMap::new();
    let mut names = Vec::with_capacity(all.len());
    for name in all {
        if !places.contains_key(&name) {
            places.insert(name.clone(), names.len());
            names.push(name);
        }
    }
    Columns::Fields { names, places }
}

/// Counts a field, unless there are too many names.
fn count(unexpected: &mut BTreeMap<String, u64>, name: String) {
    if let Some(count) = unexpected.get_mut(&name) {
        *count += 1;
    } else if unexpected.len() < UNEXPECTED {
        unexpected.insert(name, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn rows(delimited: &mut Delimited, bodies: &[&str]) -> String {
        let mut out = Vec::new();
        for body in bodies {
            let record = Record {
                status: 200,
                fetched_at: UNIX_EPOCH,
                body: body.as_bytes().to_vec().into(),
                validators: Default::default(),
            };
            delimited.row("a,b", &record, &mut out).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_first_record_brings_the_columns() {
        let mut csv = Delimited::new(b',', RecordForm::Body, vec![], None);
        let bodies = [
            r#"{"id":1,"a":{"n":"x,y"},"l":[1,2]}"#,
            r#"{"a":{"n":null,"m":2},"id":2,"new":{"x":1},"e":null}"#,
        ];
        assert_eq!(
            rows(&mut csv, &bodies),
            "id,a.n,l\n1,\"x,y\",\"[1,2]\"\n2,,\n"
        );
        assert_eq!(csv.found().unwrap(), ["id", "a.n", "l"]);
        let unexpected: Vec<_> = csv
            .unexpected()
            .iter()
            .map(|(n, c)| (n.as_str(), *c))
            .collect();
        assert_eq!(unexpected, [("a.m", 1), ("new.x", 1)]);
        let mut resumed = Delimited::new(
            b'\t',
            RecordForm::Body,
            vec![],
            csv.found().map(<[_]>::to_vec),
        );
        assert_eq!(
            rows(&mut resumed, &[r#"{"l":"x","id":3}"#, "[1]"]),
            "3\t\tx\n\t\t\n"
        );
        assert_eq!(resumed.unexpected().get("value"), Some(&1));
    }

    #[test]
    fn the_envelope_comes_first() {
        let mut csv = Delimited::new(b',', RecordForm::Envelope, vec![], None);
        assert_eq!(
            rows(&mut csv, &[r#"{"id":"x","s":"\"q\""}"#]),
            "id,status,fetched_at,body.id,body.s\n\"a,b\",200,1970-01-01T00:00:00.000Z,x,\"\"\"q\"\"\"\n"
        );
        let paths = vec![("n".to_owned(), JsonPath::parse("$.n").unwrap())];
        let mut csv = Delimited::new(b',', RecordForm::Envelope, paths, None);
        let mut out = Vec::new();
        csv.header(&mut out);
        assert_eq!(out, b"id,status,fetched_at,n\n");
        assert_eq!(
            rows(&mut csv, &[r#"{"n":1}"#]),
            "\"a,b\",200,1970-01-01T00:00:00.000Z,1\n"
        );
        assert!(csv.found().is_none());
    }

    #[test]
    fn one_name_is_one_column_and_names_are_bounded() {
        let mut csv = Delimited::new(b',', RecordForm::Body, vec![], None);
        assert_eq!(
            rows(&mut csv, &[r#"{"a.b":1,"a":{"b":2},"c":3,"c":4}"#]),
            "a.b,c\n2,4\n"
        );
        for n in 0..2 * UNEXPECTED {
            rows(&mut csv, &[&format!("{{\"x{n}\":1}}")]);
        }
        assert_eq!(csv.unexpected().len(), UNEXPECTED);
    }

    #[test]
    fn a_body_that_is_not_json_has_no_row_and_brings_no_columns() {
        let mut csv = Delimited::new(b',', RecordForm::Body, vec![], None);
        let record = Record {
            status: 200,
            fetched_at: UNIX_EPOCH,
            body: (&b"{\"a\":"[..]).into(),
            validators: Default::default(),
        };
        assert!(csv.row("x", &record, &mut Vec::new()).is_err());
        assert!(csv.found().is_none());
    }
}
