//! An item's ID as JSON has it: a string, or the object of its variables.
//!
//! Owns how an ID is written into a line and read again. Must never change an
//! ID: what is written is read back as the same text, for by it an item is known.

use crate::job::{IdForm, object_id};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// Appends the ID.
pub(super) fn write(form: IdForm, id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
    match form {
        IdForm::Text => serde_json::to_writer(out, id),
        // It is compact JSON already.
        IdForm::Object => {
            out.extend_from_slice(id.as_bytes());
            Ok(())
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Object(BTreeMap<String, String>),
}

/// Reads an ID, whatever its form.
pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match Written::deserialize(from)? {
        Written::Text(id) => id,
        Written::Object(values) => object_id(&values),
    })
}
