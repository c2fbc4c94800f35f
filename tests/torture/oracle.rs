//! What the files must say.
//!
//! Owns the reading of records and failures, line by line, and the judgement
//! of each: whole, asked for, and the same as what the server sent. Shares no
//! code with the product: it knows the formats from the documentation.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

/// The form of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Body,
    Envelope,
    /// With these columns (name, path into the body); none: those of the first record.
    Delimited(u8, &'static [(&'static str, &'static str)]),
}

/// What an oracle must know of the outside.
pub trait Truth {
    /// The one line that the body of an ID makes; an error when nobody asked for it.
    fn body(&self, id: &str) -> Result<Rc<[u8]>, String>;
    /// Whether the server said 404 to this ID.
    fn missing(&self, id: &str) -> bool;
    /// Unix seconds between which everything was fetched.
    fn span(&self) -> (f64, f64);
}

/// A record or a failure that was found good.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub id: String,
    /// Which of an ID's failures it is.
    pub occurrence: u32,
    /// Where the next one begins.
    pub end: usize,
}

/// Reads an output from its start, in several goes.
#[derive(Debug)]
pub struct Records {
    form: Form,
    header: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    id: String,
    status: u16,
    fetched_at: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    id: String,
    #[serde(default)]
    occurrence: u32,
    status: Option<u16>,
    reason: String,
    message: String,
    attempts: u32,
    at: String,
}

impl Records {
    pub fn new(form: Form) -> Records {
        Records { form, header: None }
    }

    /// Judges the next `most` records from the byte `from` on.
    pub fn read(
        &mut self,
        bytes: &[u8],
        from: usize,
        most: usize,
        truth: &dyn Truth,
    ) -> Result<Vec<Line>, String> {
        match self.form {
            Form::Body => lines(bytes, from, most, |line| {
                let id = parse::<Id>(line)?.id;
                same(&id, line, truth)?;
                Ok((id, 0))
            }),
            Form::Envelope => lines(bytes, from, most, |line| {
                let envelope: Envelope = parse(line)?;
                if envelope.status != 200 {
                    return Err(format!("the status is {}", envelope.status));
                }
                in_time(&envelope.fetched_at, truth)?;
                same(&envelope.id, envelope.body.get().as_bytes(), truth)?;
                Ok((envelope.id, 0))
            }),
            Form::Delimited(delimiter, columns) => {
                self.rows(bytes, from, most, truth, delimiter, columns)
            }
        }
        .map_err(|problem| format!("the output: {problem}"))
    }

    fn rows(
        &mut self,
        bytes: &[u8],
        from: usize,
        most: usize,
        truth: &dyn Truth,
        delimiter: u8,
        columns: &[(&str, &str)],
    ) -> Result<Vec<Line>, String> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(&bytes[from..]);
        let (mut found, mut row) = (Vec::new(), csv::StringRecord::new());
        let mut at = from;
        while found.len() < most {
            let more = reader.read_record(&mut row);
            if !more.map_err(|e| format!("byte {at}: {e}"))? {
                return Err(format!(
                    "{} rows from byte {from}, {most} are said to be there",
                    found.len()
                ));
            }
            let end = from + usize::try_from(reader.position().byte()).unwrap();
            if bytes[end - 1] != b'\n' {
                return Err(format!("a torn row at byte {at}"));
            }
            let Some(header) = &self.header else {
                let names: Vec<String> = row.iter().map(str::to_owned).collect();
                let wanted: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
                if !columns.is_empty() && names != wanted {
                    return Err(format!("the header row is {names:?}"));
                }
                self.header = Some(names);
                at = end;
                continue;
            };
            let id = cells(header, &row, columns, truth)
                .map_err(|e| format!("row at byte {at}: {e}: {row:?}"))?;
            found.push(Line {
                id,
                occurrence: 0,
                end,
            });
            at = end;
        }
        Ok(found)
    }
}

/// Judges the next `most` failures from the byte `from` on.
pub fn failures(
    bytes: &[u8],
    from: usize,
    most: usize,
    truth: &dyn Truth,
) -> Result<Vec<Line>, String> {
    lines(bytes, from, most, |line| {
        let failure: Failure = parse(line)?;
        in_time(&failure.at, truth)?;
        let right = failure.status == Some(404)
            && failure.reason == "not_found"
            && failure.attempts >= 1
            && !failure.message.is_empty();
        if !right || !truth.missing(&failure.id) {
            return Err("it is no answer of the server".to_owned());
        }
        Ok((failure.id, failure.occurrence))
    })
    .map_err(|problem| format!("the failures file: {problem}"))
}

fn lines(
    bytes: &[u8],
    from: usize,
    most: usize,
    mut judge: impl FnMut(&[u8]) -> Result<(String, u32), String>,
) -> Result<Vec<Line>, String> {
    let (mut found, mut at) = (Vec::new(), from);
    while found.len() < most {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(match rest {
                [] => format!(
                    "{} lines from byte {from}, {most} are said to be there",
                    found.len()
                ),
                _ => format!("a torn line at byte {at}"),
            });
        };
        let line = &rest[..length];
        let (id, occurrence) = judge(line)
            .map_err(|e| format!("line at byte {at}: {e}: {}", String::from_utf8_lossy(line)))?;
        at += length + 1;
        found.push(Line {
            id,
            occurrence,
            end: at,
        });
    }
    Ok(found)
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|e| format!("no whole record ({e})"))
}

fn same(id: &str, body: &[u8], truth: &dyn Truth) -> Result<(), String> {
    if *truth.body(id)? == *body {
        return Ok(());
    }
    Err("the body is not what the server sent".to_owned())
}

/// Whether a time is one at which this harvest was under way.
fn in_time(text: &str, truth: &dyn Truth) -> Result<(), String> {
    let at = humantime::parse_rfc3339(text).map_err(|e| format!("{text}: {e}"))?;
    let at = at.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let (from, to) = truth.span();
    match from - 0.002 <= at && at <= to + 0.002 {
        true => Ok(()),
        false => Err(format!("{text} is not between {from} and {to}")),
    }
}

/// Compares a row's cells with the body; gives the ID.
fn cells(
    header: &[String],
    row: &csv::StringRecord,
    columns: &[(&str, &str)],
    truth: &dyn Truth,
) -> Result<String, String> {
    if row.len() != header.len() {
        return Err(format!(
            "{} cells under {} columns",
            row.len(),
            header.len()
        ));
    }
    let place = header.iter().position(|name| name == "id");
    let id = row[place.ok_or("there is no column for the id")?].to_owned();
    let body = truth.body(&id)?;
    let body: &RawValue = serde_json::from_slice(&body).unwrap();
    for (name, cell) in header.iter().zip(row) {
        let path = columns
            .iter()
            .find(|(n, _)| n == name)
            .map_or(name.as_str(), |(_, path)| path);
        let wanted = wanted(body, path);
        if wanted.as_ref().is_some_and(|wanted| wanted != cell) {
            return Err(format!("{name} is {cell:?} instead of {wanted:?}"));
        }
    }
    Ok(id)
}

/// What a cell should show of `a.b` or `a[].b` in the body; `None` when this
/// oracle does not know (a whole array or object).
fn wanted(body: &RawValue, path: &str) -> Option<String> {
    if let Some((list, name)) = path.split_once("[].") {
        let list: Vec<&RawValue> = serde_json::from_str(member(body, list)?.get()).ok()?;
        let texts: Option<Vec<_>> = list.iter().map(|value| wanted(value, name)).collect();
        return Some(texts?.join("; "));
    }
    let value = path.split('.').try_fold(body, member)?.get();
    match value.as_bytes().first()? {
        b'"' => serde_json::from_str(value).ok(),
        b'[' | b'{' => None,
        b'n' => Some(String::new()),
        _ => Some(value.to_owned()),
    }
}

/// A member of an object, as it came.
fn member<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let members: HashMap<String, &'a RawValue> = serde_json::from_str(object.get()).ok()?;
    members.get(name).copied()
}
