//! The variables of one item: what the holes of the job's templates become.
//!
//! Owns an item's identity. With one variable an item is called by its value;
//! with several, by the compact JSON object of them, names sorted
//! (`{"owner":"rust-lang","repo":"rust"}`), so that the same combination always
//! is the same text. Must never know where values come from.

use std::collections::BTreeMap;

/// What the text of an item's ID is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdForm {
    /// The value of the only variable.
    #[default]
    Text,
    /// The JSON object of several variables, as [`object_id`] writes it.
    Object,
}

/// The values of one item's variables.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Of the only variable, whatever its name.
    One(&'a str),
    /// By their names.
    Several(&'a BTreeMap<String, String>),
}

impl<'a> Values<'a> {
    /// The value of a variable. One that there is none of is empty.
    pub fn get(self, name: &str) -> &'a str {
        match self {
            Values::One(value) => value,
            Values::Several(values) => values.get(name).map_or("", String::as_str),
        }
    }

    /// Whether every value passes `test`.
    pub(crate) fn all(self, mut test: impl FnMut(&str) -> bool) -> bool {
        match self {
            Values::One(value) => test(value),
            Values::Several(values) => values.values().all(|value| test(value)),
        }
    }
}

impl<'a> From<&'a str> for Values<'a> {
    fn from(value: &'a str) -> Values<'a> {
        Values::One(value)
    }
}

impl<'a> From<&'a String> for Values<'a> {
    fn from(value: &'a String) -> Values<'a> {
        Values::One(value)
    }
}

/// The ID of an item of several variables.
pub fn object_id(values: &BTreeMap<String, String>) -> String {
    let pairs = values.iter();
    let object: serde_json::Map<String, serde_json::Value> = pairs
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    serde_json::Value::Object(object).to_string()
}

/// The variables in an ID of [`IdForm::Object`]; `None` when it is none.
pub fn object_values(id: &str) -> Option<BTreeMap<String, String>> {
    serde_json::from_str(id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_combination_is_the_same_text() {
        let values = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let pairs = pairs.iter();
            pairs
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect()
        };
        let id = object_id(&values(&[("repo", "ru\"st"), ("owner", "é\n")]));
        assert_eq!(id, r#"{"owner":"é\n","repo":"ru\"st"}"#);
        assert_eq!(
            id,
            object_id(&values(&[("owner", "é\n"), ("repo", "ru\"st")]))
        );
        // Not one long text, in which a border could be moved.
        assert_ne!(
            object_id(&values(&[("a", "x"), ("b", "yz")])),
            object_id(&values(&[("a", "xy"), ("b", "z")]))
        );
        assert_eq!(object_values("plain"), None);
        assert_eq!(object_values("{\"a\":1}"), None);
    }

    proptest! {
        #[test]
        fn an_id_is_read_back(values in prop::collection::btree_map("[a-z_]{1,8}", ".*", 2..5)) {
            let id = object_id(&values);
            prop_assert!(!id.contains('\n'));
            let read = object_values(&id).unwrap();
            prop_assert_eq!(Values::Several(&read).get("absent"), "");
            prop_assert_eq!(read, values);
        }
    }
}
