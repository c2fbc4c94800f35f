//! NDJSON lists: one JSON value a line, the ID (or each variable) at a JSONPath.

use super::lines::TextLines;
use super::{IdsError, Item, Problem, clean};
use crate::job::object_id;
use serde_json::Value;
use serde_json_path::JsonPath;

/// What is looked for in a value.
pub(super) enum Fields {
    /// The ID.
    One(JsonPath),
    /// Several variables, by their names.
    Several(Vec<(String, JsonPath)>),
}

/// One JSON value a line.
pub(super) struct Ndjson {
    lines: TextLines,
    fields: Fields,
}

impl Ndjson {
    pub(super) fn new(lines: TextLines, fields: Fields) -> Ndjson {
        Ndjson { lines, fields }
    }

    pub(super) fn next(&mut self) -> Option<Result<Item, IdsError>> {
        self.next_item().transpose()
    }

    fn next_item(&mut self) -> Result<Option<Item>, IdsError> {
        while let Some(line) = self.lines.next_line()? {
            if line.is_empty() {
                continue;
            }
            let id = id_in(line, &self.fields).map_err(|problem| self.lines.fail(problem))?;
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

fn id_in(line: &str, fields: &Fields) -> Result<String, Problem> {
    let value: Value =
        serde_json::from_str(line).map_err(|error| Problem::NotJson(error.column()))?;
    match fields {
        Fields::One(field) => value_at(&value, field),
        Fields::Several(fields) => {
            let values = fields.iter().map(|(variable, field)| {
                let value = value_at(&value, field);
                Ok((
                    variable.clone(),
                    value.map_err(|problem| problem.of(variable))?,
                ))
            });
            values
                .collect::<Result<_, _>>()
                .map(|values| object_id(&values))
        }
    }
}

fn value_at(value: &Value, field: &JsonPath) -> Result<String, Problem> {
    let found = field.query(value).all();
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
