//! The failures file: one JSON line a failed item.
//!
//! Owns the line's form, which people's scripts read, and reads it again for
//! whoever tries failed items once more. Must never write a URL or a
//! credential: [`Failure::message`] has none.

use super::error::WriteError;
use super::item_id;
use crate::checkpoint::rfc3339;
use crate::job::IdForm;
use crate::outcome::Failure;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// What every line has.
const FIELDS: [&str; 6] = ["id", "status", "reason", "message", "attempts", "at"];

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "is_first")]
    occurrence: u32,
    status: Option<u16>,
    reason: &'static str,
    message: &'a str,
    attempts: u32,
    at: String,
}

fn is_first(occurrence: &u32) -> bool {
    *occurrence == 0
}

/// Appends the line of a failed item, with its newline, to `out`.
pub(super) fn line(
    form: IdForm,
    id: &str,
    occurrence: u32,
    failure: &Failure,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    let line = Line {
        occurrence,
        status: failure.status,
        reason: failure.reason.as_str(),
        message: &failure.message,
        attempts: failure.attempts,
        at: rfc3339(failure.at),
    };
    out.extend_from_slice(b"{\"id\":");
    item_id::write(form, id, out)?;
    // The rest of the object: its opening brace becomes the comma.
    let rest = out.len();
    serde_json::to_writer(&mut *out, &line)?;
    if let Some(brace) = out.get_mut(rest) {
        *brace = b',';
    }
    out.push(b'\n');
    Ok(())
}

/// An item that failed, as the failures file has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FailedItem {
    /// The item's ID; of several variables, their JSON object.
    #[serde(deserialize_with = "item_id::read")]
    pub id: String,
    /// Which listing of a repeated ID this is: 0 unless `repeats = "each"`.
    #[serde(default)]
    pub occurrence: u32,
    /// The reason's name.
    pub reason: String,
}

/// Whether a file that begins with these bytes is a failures file, perhaps cut off in its first line.
pub(super) fn is_ours(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or(head);
    match serde_json::from_slice::<serde_json::Value>(line) {
        Ok(line) => FIELDS.iter().all(|name| line.get(name).is_some()),
        Err(_) => line == head && line.starts_with(b"{\"id\":"),
    }
}

/// Reads a line; `None` when it is none of ours.
pub(super) fn parse(line: &[u8]) -> Option<FailedItem> {
    serde_json::from_slice(line).ok()
}

/// The lines of a file's first bytes, one at a time.
#[derive(Debug)]
pub(super) struct Lines {
    file: BufReader<io::Take<File>>,
    path: PathBuf,
    line: Vec<u8>,
}

pub(super) fn lines(path: &Path, length: u64) -> Result<Lines, WriteError> {
    // The old file stays readable while new ones take its name.
    let file = File::open(path).map_err(WriteError::io(path, "read the failures file"))?;
    Ok(Lines {
        file: BufReader::with_capacity(1 << 16, file.take(length)),
        path: path.to_path_buf(),
        line: Vec::new(),
    })
}

impl Lines {
    /// The next line, with its newline.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, WriteError> {
        self.line.clear();
        let read = self
            .file
            .read_until(b'\n', &mut self.line)
            .map_err(WriteError::io(&self.path, "read the failures file"))?;
        Ok((read > 0).then_some(&*self.line))
    }

    /// There is a line that harvest never wrote.
    pub(super) fn disturbed(&self) -> WriteError {
        WriteError::Disturbed {
            path: self.path.clone(),
        }
    }
}

/// The items in a failures file, in its order.
#[derive(Debug)]
pub struct FailedItems {
    lines: Lines,
}

impl FailedItems {
    /// Reads the first `length` bytes: what is committed.
    pub(super) fn open(path: &Path, length: u64) -> Result<FailedItems, WriteError> {
        let lines = lines(path, length)?;
        Ok(FailedItems { lines })
    }
}

impl Iterator for FailedItems {
    type Item = Result<FailedItem, WriteError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.lines.next() {
            Err(error) => Some(Err(error)),
            Ok(None) => None,
            Ok(Some(line)) => Some(parse(line).ok_or_else(|| self.lines.disturbed())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Reason;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_line_has_the_documented_fields() {
        let mut failure = Failure {
            status: Some(404),
            reason: Reason::NotFound,
            message: "not \"there\"\nat all".to_owned(),
            attempts: 1,
            at: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            is_there: false,
        };
        let mut out = Vec::new();
        line(IdForm::Text, "a", 0, &failure, &mut out).unwrap();
        failure.status = None;
        line(IdForm::Text, "b\n", 2, &failure, &mut out).unwrap();
        let read: Vec<_> = out
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| parse(line).unwrap())
            .map(|item| (item.id, item.occurrence, item.reason))
            .collect();
        let reason = || "not_found".to_owned();
        assert_eq!(
            read,
            [
                ("a".to_owned(), 0, reason()),
                ("b\n".to_owned(), 2, reason())
            ]
        );
        assert_eq!(parse(b"{\"id\":\"a\"}\n"), None);
        // However it was cut off, it is ours; a record of somebody's is not.
        for end in 6..=out.len() {
            assert!(is_ours(&out[..end]), "{end}");
        }
        for others in ["notes", "{\"id\":\"a\"}", "{\"id\":\"a\"}\n", "{\"id\":\n"] {
            assert!(!is_ours(others.as_bytes()), "{others}");
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"id":"a","status":404,"reason":"not_found","message":"not \"there\"\nat all","#,
                r#""attempts":1,"at":"2023-11-14T22:13:20.123Z"}"#,
                "\n",
                r#"{"id":"b\n","occurrence":2,"status":null,"reason":"not_found","#,
                r#""message":"not \"there\"\nat all","attempts":1,"at":"2023-11-14T22:13:20.123Z"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn an_item_of_several_variables_is_an_object_and_is_read_back_as_it_was() {
        let failure = Failure {
            status: None,
            reason: Reason::Timeout,
            message: String::new(),
            attempts: 1,
            at: UNIX_EPOCH,
            is_there: false,
        };
        let id = r#"{"owner":"a\"b","repo":"{é}"}"#;
        let mut out = Vec::new();
        line(IdForm::Object, id, 0, &failure, &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["id"]["owner"], "a\"b");
        assert_eq!(parse(&out).unwrap().id, id);
        // By hand, and in another order.
        let moved = parse(br#"{"id": {"repo": "{\u00e9}", "owner": "a\"b"}, "reason": "timeout"}"#);
        assert_eq!(moved.unwrap().id, id);
        // An only variable may look like an object, and is none.
        out.clear();
        line(IdForm::Text, id, 0, &failure, &mut out).unwrap();
        assert_eq!(parse(&out).unwrap().id, id);
        assert!(out.starts_with(br#"{"id":"{\"owner"#));
    }
}
