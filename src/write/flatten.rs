//! JSON with its tokens as they were sent.
//!
//! Owns two readings of a body: a tree that is parsed only where someone looks
//! ([`Tree`]), and a flat list of fields ([`flatten`]). Must never change a
//! number's or a nested value's text, and never recurse as deep as a body says.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json_path::PathElement;
use std::borrow::Cow;
use std::fmt;

/// Objects deeper than this stay JSON text.
const DEPTH: usize = 32;

/// An object's members in the order of the text; a name may come twice.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value of the body; its children are found when they are asked for.
pub(super) struct Tree<'a> {
    raw: &'a RawValue,
    children: Option<Children<'a>>,
}

enum Children<'a> {
    None,
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
    Array(Vec<Tree<'a>>),
}

impl<'a> Tree<'a> {
    /// The tree of a body.
    pub(super) fn new(raw: &'a RawValue) -> Tree<'a> {
        Tree {
            raw,
            children: None,
        }
    }

    /// The text of the value at a place; `None` when there is none.
    pub(super) fn at<'p>(
        &mut self,
        path: impl Iterator<Item = &'p PathElement<'p>>,
    ) -> Option<&'a str> {
        let mut tree = self;
        for element in path {
            let raw = tree.raw;
            tree = match (tree.children.get_or_insert_with(|| children(raw)), element) {
                (Children::Object(members), PathElement::Name(name)) => {
                    // Of two members with one name, the last counts, as everywhere in serde_json.
                    members
                        .iter_mut()
                        .rev()
                        .find(|(other, _)| other == name)
                        .map(|(_, tree)| tree)?
                }
                (Children::Array(items), PathElement::Index(index)) => items.get_mut(*index)?,
                _ => return None,
            };
        }
        Some(tree.raw.get())
    }
}

fn children(raw: &RawValue) -> Children<'_> {
    match raw.get().as_bytes().first() {
        Some(b'{') => match serde_json::from_str::<Members<'_>>(raw.get()) {
            Ok(Members(members)) => Children::Object(
                members
                    .into_iter()
                    .map(|(name, raw)| (name, Tree::new(raw)))
                    .collect(),
            ),
            Err(_) => Children::None,
        },
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
            Ok(items) => Children::Array(items.into_iter().map(Tree::new).collect()),
            Err(_) => Children::None,
        },
        _ => Children::None,
    }
}

/// One field of a flat record.
#[derive(Debug, PartialEq)]
pub(super) struct Field<'a> {
    /// The names on the way, joined with dots.
    pub(super) name: String,
    /// What a cell shows.
    pub(super) text: Cow<'a, str>,
    /// Whether a missing column would lose something: false for null and `{}`.
    pub(super) says_something: bool,
}

/// The fields of a body: objects are entered, all else is one field. A body
/// that is not an object, or is an empty one, is one field named `value`.
pub(super) fn flatten<'a>(body: &'a RawValue, prefix: &str) -> serde_json::Result<Vec<Field<'a>>> {
    let mut fields = Vec::new();
    if is_full_object(body.get()) {
        enter(body, prefix, 0, &mut fields)?;
    } else {
        fields.push(field(format!("{prefix}value"), body)?);
    }
    Ok(fields)
}

fn enter<'a>(
    object: &'a RawValue,
    prefix: &str,
    depth: usize,
    fields: &mut Vec<Field<'a>>,
) -> serde_json::Result<()> {
    for (name, raw) in serde_json::from_str::<Members<'a>>(object.get())?.0 {
        let name = format!("{prefix}{name}");
        if depth < DEPTH && is_full_object(raw.get()) {
            enter(raw, &format!("{name}."), depth + 1, fields)?;
        } else {
            fields.push(field(name, raw)?);
        }
    }
    Ok(())
}

fn field(name: String, raw: &RawValue) -> serde_json::Result<Field<'_>> {
    let text = cell(raw.get())?;
    Ok(Field {
        name,
        says_something: !matches!(raw.get(), "null" | "{}"),
        text,
    })
}

/// What a cell shows of a value: a string without its quotes, nothing for null, else the text.
pub(super) fn cell(raw: &str) -> serde_json::Result<Cow<'_, str>> {
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Name<'_>>(raw).map(|Name(text)| text),
        Some(b'n') => Ok(Cow::Borrowed("")),
        _ => Ok(Cow::Borrowed(raw)),
    }
}

fn is_full_object(raw: &str) -> bool {
    raw.starts_with('{') && raw != "{}"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(body: &str) -> Vec<(String, String)> {
        let raw: &RawValue = serde_json::from_str(body).unwrap();
        flatten(raw, "")
            .unwrap()
            .into_iter()
            .map(|field| (field.name, field.text.into_owned()))
            .collect()
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
