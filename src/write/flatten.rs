//! A body as a flat list of fields, its tokens as they were sent.
//!
//! Owns the fields' names and which values are one field. Must never change a
//! number's or a nested value's text, and never recurse as deep as a body says.

use super::delimited::RowError;
use crate::json::{members, string};

/// Objects deeper than this stay JSON text.
const DEPTH: usize = 32;

/// Calls `field` with the name and the JSON text of each field of a body, in
/// their order: objects are entered, their names joined with dots; all else is
/// one field. A body that is not an object, or is an empty one, is one field
/// named `value`. Every name has `prefix` before it.
pub(super) fn flatten<'b>(
    body: &'b [u8],
    prefix: &str,
    mut field: impl FnMut(&str, &'b [u8]) -> Result<(), RowError>,
) -> Result<(), RowError> {
    let mut name = prefix.to_owned();
    if is_full_object(body) {
        return enter(body, &mut name, 0, &mut field);
    }
    name.push_str("value");
    field(&name, body)
}

/// `name` is the way to the object, a dot at its end.
fn enter<'b>(
    object: &'b [u8],
    name: &mut String,
    depth: usize,
    field: &mut impl FnMut(&str, &'b [u8]) -> Result<(), RowError>,
) -> Result<(), RowError> {
    let way = name.len();
    for (last, raw) in members(object).ok_or(RowError::NoObject)? {
        name.push_str(&string(last).ok_or(RowError::NoText)?);
        if depth < DEPTH && is_full_object(raw) {
            name.push('.');
            enter(raw, name, depth + 1, field)?;
        } else {
            field(name, raw)?;
        }
        name.truncate(way);
    }
    Ok(())
}

fn is_full_object(raw: &[u8]) -> bool {
    raw.starts_with(b"{") && raw != b"{}"
}

#[cfg(test)]
mod tests {
    use super::super::columns::cell;
    use super::*;

    fn flat(body: &str) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        let flattened = flatten(body.as_bytes(), "", |name, raw| {
            fields.push((name.to_owned(), cell(raw)?.into_owned()));
            Ok(())
        });
        flattened.unwrap();
        fields
    }

    #[test]
    fn objects_are_entered_and_tokens_stay_as_they_were() {
        let fields = flat(
            r#"{"z":"a\"b","n":1.50,"big":123456789012345678901,"l":[1.0,{"b":1,"a":2}],"o":{"x":{"y":null}},"e":{},"t":true}"#,
        );
        let want = [
            ("z", "a\"b"),
            ("n", "1.50"),
            ("big", "123456789012345678901"),
            ("l", r#"[1.0,{"b":1,"a":2}]"#),
            ("o.x.y", ""),
            ("e", "{}"),
            ("t", "true"),
        ];
        assert_eq!(
            fields,
            want.map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn what_is_no_object_is_a_value() {
        for (body, text) in [
            ("[1]", "[1]"),
            ("\"x\"", "x"),
            ("{}", "{}"),
            ("null", ""),
            ("1e2", "1e2"),
        ] {
            assert_eq!(flat(body), [("value".to_owned(), text.to_owned())]);
        }
    }

    #[test]
    fn a_deep_body_ends_no_stack() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        let fields = flat(&deep);
        assert_eq!(fields.len(), 1);
        assert_eq!(fields[0].0, ["a"; DEPTH + 1].join("."));
    }
}
