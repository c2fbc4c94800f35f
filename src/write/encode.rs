//! One record, one line, whatever the format.
//!
//! Owns the choice between the formats. Must never write to a file.

use super::delimited::Delimited;
use super::error::WriteError;
use super::ndjson;
use crate::job::{IdForm, OutputFormat, RecordForm};
use crate::outcome::Record;
use serde_json_path::JsonPath;
use std::collections::BTreeMap;
use std::io;

/// A format and its state.
#[derive(Debug)]
pub(super) enum Encoder {
    Ndjson(RecordForm, IdForm),
    Delimited(Box<Delimited>),
}

/// What became of a record.
#[derive(Debug)]
pub(super) enum Encoded {
    /// Its line was appended.
    Line {
        /// Where it begins: behind the header row, if it brought that along.
        begin: usize,
    },
    /// The format has no line for it: why not, for people.
    Unreadable(String),
}

impl Encoder {
    /// `found`: the columns that an earlier run's first record brought.
    pub(super) fn new(
        format: OutputFormat,
        record: RecordForm,
        id_form: IdForm,
        columns: Vec<(String, JsonPath)>,
        found: Option<Vec<String>>,
    ) -> Encoder {
        match format {
            OutputFormat::Ndjson => Encoder::Ndjson(record, id_form),
            OutputFormat::Delimited { delimiter } => {
                Encoder::Delimited(Box::new(Delimited::new(delimiter, record, columns, found)))
            }
        }
    }

    /// Appends what comes before the first record, as far as it is known.
    pub(super) fn header(&self, out: &mut Vec<u8>) {
        match self {
            Encoder::Ndjson(..) => {}
            Encoder::Delimited(delimited) => delimited.header(out),
        }
    }

    /// Appends a record's line, or leaves `out` to be thrown away.
    pub(super) fn record(
        &mut self,
        id: &str,
        record: &Record,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, WriteError> {
        match self {
            Encoder::Ndjson(form, id_form) => {
                let begin = out.len();
                ndjson::line(*form, *id_form, id, record, out).map_err(odd)?;
                Ok(Encoded::Line { begin })
            }
            Encoder::Delimited(delimited) => Ok(match delimited.row(id, record, out) {
                Ok(begin) => Encoded::Line { begin },
                Err(error) => Encoded::Unreadable(error.to_string()),
            }),
        }
    }

    /// The columns that a first record brought.
    pub(super) fn found(&self) -> Option<&[String]> {
        match self {
            Encoder::Ndjson(..) => None,
            Encoder::Delimited(delimited) => delimited.found(),
        }
    }

    /// Fields without a column.
    pub(super) fn unexpected(&self) -> &BTreeMap<String, u64> {
        static NONE: BTreeMap<String, u64> = BTreeMap::new();
        match self {
            Encoder::Ndjson(..) => &NONE,
            Encoder::Delimited(delimited) => delimited.unexpected(),
        }
    }
}

/// An encoder into memory failed, which it can't but for want of memory.
pub(super) fn odd(error: impl std::error::Error + Send + Sync + 'static) -> WriteError {
    WriteError::io("memory", "encode a line")(io::Error::other(error))
}
