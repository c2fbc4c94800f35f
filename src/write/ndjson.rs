//! NDJSON: one JSON value a line.
//!
//! Owns the two forms of a line. Must never change a body: its bytes go out as
//! they came.

use super::item_id;
use crate::checkpoint::rfc3339;
use crate::job::{IdForm, RecordForm};
use crate::outcome::Record;

/// Appends the line of a record, with its newline, to `out`.
pub(super) fn line(
    form: RecordForm,
    id_form: IdForm,
    id: &str,
    record: &Record,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    match form {
        RecordForm::Body => out.extend_from_slice(&record.body),
        RecordForm::Envelope => {
            out.extend_from_slice(b"{\"id\":");
            item_id::write(id_form, id, out)?;
            let (status, at) = (record.status, rfc3339(record.fetched_at));
            out.extend_from_slice(
                format!(",\"status\":{status},\"fetched_at\":\"{at}\",\"body\":").as_bytes(),
            );
            out.extend_from_slice(&record.body);
            out.push(b'}');
        }
    }
    out.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn both_forms() {
        let record = Record {
            status: 200,
            fetched_at: UNIX_EPOCH + Duration::from_millis(5),
            body: (&br#"{"n":1.50}"#[..]).into(),
            validators: Default::default(),
        };
        let mut out = Vec::new();
        let id = r#"{"a":"b"}"#;
        line(RecordForm::Body, IdForm::Text, "a\"b", &record, &mut out).unwrap();
        line(
            RecordForm::Envelope,
            IdForm::Text,
            "a\"b",
            &record,
            &mut out,
        )
        .unwrap();
        line(RecordForm::Envelope, IdForm::Object, id, &record, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                "{\"n\":1.50}\n",
                r#"{"id":"a\"b","status":200,"fetched_at":"1970-01-01T00:00:00.005Z","body":{"n":1.50}}"#,
                "\n",
                r#"{"id":{"a":"b"},"status":200,"fetched_at":"1970-01-01T00:00:00.005Z","body":{"n":1.50}}"#,
                "\n"
            )
        );
    }
}
