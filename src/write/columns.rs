//! Cells that a job names by JSONPath.
//!
//! Owns what a cell shows: a string as it is; a number, an array or an object
//! as its text in the body; `true` and `false`; nothing for null or when there
//! is no such value; several values joined with `; `. Must never round a number.

use super::flatten::{Tree, cell};
use serde_json::Value;
use serde_json::value::RawValue;
use serde_json_path::JsonPath;
use std::borrow::Cow;

/// Between several values.
const BETWEEN: &str = "; ";

/// The cells of a body, one a column. An error says why the body can't be read.
pub(super) fn cells(
    columns: &[(String, JsonPath)],
    body: &[u8],
) -> serde_json::Result<Vec<String>> {
    let value: Value = serde_json::from_slice(body)?;
    let mut tree = Tree::new(serde_json::from_slice::<&RawValue>(body)?);
    columns
        .iter()
        .map(|(_, path)| one(path, &value, &mut tree))
        .collect()
}

fn one(path: &JsonPath, value: &Value, tree: &mut Tree<'_>) -> serde_json::Result<String> {
    let nodes = path.query(value);
    let plain: Option<Vec<Cow<'_, str>>> = nodes.iter().map(|node| plain(node)).collect();
    if let Some(cells) = plain {
        return Ok(cells.join(BETWEEN));
    }
    // Some value's text must be taken from the body: floats may be rounded in
    // `value`, and members sorted.
    let mut cells: Vec<Cow<'_, str>> = Vec::new();
    for located in path.query_located(value).iter() {
        let raw = tree.at(located.location().iter());
        cells.push(raw.map_or(Ok(Cow::Borrowed("")), cell)?);
    }
    Ok(cells.join(BETWEEN))
}

/// What a cell shows of a value that is the same in the body.
fn plain(node: &Value) -> Option<Cow<'_, str>> {
    match node {
        Value::Null => Some(Cow::Borrowed("")),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) if number.is_u64() || number.is_i64() => {
            Some(Cow::Owned(number.to_string()))
        }
        Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str, body: &str) -> String {
        let columns = [("x".to_owned(), JsonPath::parse(path).unwrap())];
        cells(&columns, body.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn cells_show_what_was_sent() {
        let body = concat!(
            r#"{"s":"a\nb","n":-7,"f":1.50,"big":123456789012345678901234,"p":0.1234567890123456789,"#,
            r#""t":true,"z":null,"o":{"b":1e2,"a":[]},"l":[{"n":"x","v":2.0},{"n":"y"},{"n":null,"v":3}]}"#
        );
        for (path, cell) in [
            ("$.s", "a\nb"),
            ("$.n", "-7"),
            ("$.f", "1.50"),
            ("$.big", "123456789012345678901234"),
            ("$.p", "0.1234567890123456789"),
            ("$.t", "true"),
            ("$.z", ""),
            ("$.none", ""),
            ("$.o", r#"{"b":1e2,"a":[]}"#),
            ("$.o.a", "[]"),
            ("$.l[*].n", "x; y; "),
            ("$.l[*].v", "2.0; 3"),
            ("$.l[-1].v", "3"),
        ] {
            assert_eq!(ask(path, body), cell, "{path}");
        }
        assert_eq!(ask("$.a", r#"{"a":1.0,"a":2.0}"#), "2.0");
        assert_eq!(ask("$", "1.0"), "1.0");
        assert_eq!(ask("$['a\"b\u{e9}']", "{\"a\\\"b\\u00e9\":1.0}"), "1.0");
    }

    #[test]
    fn a_body_that_is_too_deep_is_an_error_and_no_crash() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let columns = [("x".to_owned(), JsonPath::parse("$").unwrap())];
        assert!(cells(&columns, deep.as_bytes()).is_err());
    }
}
