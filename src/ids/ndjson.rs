//! NDJSON lists: one JSON value a line, the ID at a JSONPath.

use super::lines::TextLines;
use super::{IdsError, Item, Problem, clean};
use serde_json::Value;
use serde_json_path::JsonPath;

/// One JSON value a line.
pub(super) struct Ndjson {
    lines: TextLines,
    field: JsonPath,
}

impl Ndjson {
    pub(super) fn new(lines: TextLines, field: JsonPath) -> Ndjson {
        Ndjson { lines, field }
    }

    pub(super) fn next(&mut self) -> Option<Result<Item, IdsError>> {
        self.next_item().transpose()
    }

    fn next_item(&mut self) -> Result<Option<Item>, IdsError> {
        while let Some(line) = self.lines.next_line()? {
            if line.is_empty() {
                continue;
            }
            let id = id_in(line, &self.field).map_err(|problem| self.lines.fail(problem))?;
            let position = self.lines.line();
            return Ok(Some(Item { id, position }));
        }
        Ok(None)
    }

    /// Every line that is not blank has one ID (or is an error once it is read).
    pub(super) fn count(mut self) -> Result<u64, IdsError> {
        let mut count = 0;
        while let Some(line) = self.lines.next_line()? {
            count += u64::from(!line.is_empty());
        }
        Ok(count)
    }
}

fn id_in(line: &str, field: &JsonPath) -> Result<String, Problem> {
    let value: Value =
        serde_json::from_str(line).map_err(|error| Problem::NotJson(error.column()))?;
    let found = field.query(&value).all();
    let [found] = found.as_slice() else {
        return Err(Problem::NotOne {
            path: field.to_string(),
            found: found.len(),
        });
    };
    let not_an_id = |found| Problem::NotAnId {
        path: field.to_string(),
        found,
    };
    match found {
        Value::String(text) => match clean(text)? {
            Some(id) => Ok(id.to_owned()),
            None => Err(not_an_id("an empty string")),
        },
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        Value::Number(_) => Err(not_an_id("a number that is no 64-bit integer")),
        Value::Null => Err(not_an_id("null")),
        Value::Bool(_) => Err(not_an_id("true or false")),
        Value::Array(_) => Err(not_an_id("an array")),
        Value::Object(_) => Err(not_an_id("an object")),
    }
}
