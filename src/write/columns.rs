//! Cells that a job names by JSONPath.
//!
//! Owns what a cell shows: a string as it is; a number, an array or an object
//! as its text in the body; `true` and `false`; nothing for null or when there
//! is no such value; several values joined with `; `. Must never round a number.

use super::delimited::RowError;
use crate::json::{Queries, is_null, string};
use std::borrow::Cow;

/// Between several values.
const BETWEEN: &str = "; ";

/// The cells of a body, one a column. An error says why the body can't be read.
pub(super) fn cells<'b>(columns: &Queries, body: &'b [u8]) -> Result<Vec<Cow<'b, str>>, RowError> {
    let mut cells: Vec<Option<Cow<'_, str>>> = vec![None; columns.len()];
    let mut odd = None;
    columns.each(body, |column, raw| {
        match (cells.get_mut(column), cell(raw)) {
            (Some(Some(cell)), Ok(more)) => {
                let cell = cell.to_mut();
                cell.push_str(BETWEEN);
                cell.push_str(&more);
            }
            (Some(none), Ok(only)) => *none = Some(only),
            (None, Ok(_)) => {}
            (_, Err(error)) => odd = Some(error),
        }
    })?;
    match odd {
        Some(error) => Err(error),
        None => Ok(cells.into_iter().map(Option::unwrap_or_default).collect()),
    }
}

/// What a cell shows of a value: a string without its quotes, nothing for null, else the text.
pub(super) fn cell(raw: &[u8]) -> Result<Cow<'_, str>, RowError> {
    if raw.first() == Some(&b'"') {
        return string(raw).ok_or(RowError::NoText);
    }
    if is_null(raw) {
        return Ok(Cow::Borrowed(""));
    }
    match std::str::from_utf8(raw) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) => Err(RowError::NoText),
    }
}

#[cfg(test)]
mod tests;
