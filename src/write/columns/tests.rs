//! A tree is the judge of what a cell shows, but for what a tree can't hold.

use super::*;
use crate::json::Query;
use proptest::prelude::*;
use serde_json::Value;
use serde_json_path::JsonPath;

fn ask(path: &str, body: &str) -> Result<String, RowError> {
    let path = JsonPath::parse(path).unwrap();
    let cells = cells(&Queries::new([&path]), body.as_bytes())?;
    assert_eq!(cells.len(), 1);
    Ok(cells.concat())
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
        ("$.o.*", "1e2; []"),
        ("$.l[*].n", "x; y; "),
        ("$.l[*].v", "2.0; 3"),
        ("$.l[-1].v", "3"),
        ("$.l[::-1].n", "; y; x"),
    ] {
        assert_eq!(ask(path, body).unwrap(), cell, "{path}");
    }
    assert_eq!(ask("$.a", r#"{"a":1.0,"a":2.0}"#).unwrap(), "2.0");
    assert_eq!(ask("$", "1.0").unwrap(), "1.0");
    assert_eq!(
        ask("$['a\"b\u{e9}']", "{\"a\\\"b\\u00e9\":1.0}").unwrap(),
        "1.0"
    );
    assert_eq!(ask("$.a", r#"{"a":1e400}"#).unwrap(), "1e400");
}

#[test]
fn a_string_that_no_text_can_be_is_an_error_where_it_is_asked_for() {
    let body = r#"{"a":"\ud83d","b":"fine"}"#;
    assert!(
        ask("$.a", body)
            .unwrap_err()
            .to_string()
            .contains("surrogate")
    );
    assert_eq!(ask("$.b", body).unwrap(), "fine");
}

#[test]
fn a_body_that_is_too_deep_for_a_tree_is_no_crash() {
    for (depth, why) in [(200, "recursion limit"), (100_000, "too large")] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(ask("$", &deep).unwrap(), deep);
        let error = ask("$..a", &deep).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

/// What a cell shows of a value in a tree, when a tree has all of it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Members are sorted here, as a tree has them.
    #[test]
    fn cells_are_those_of_a_tree(
        value in value(),
        steps in prop::collection::vec("\\.[abc]|\\[\\*\\]|\\[[0-2]\\]|\\[-1\\]|\\.\\.a", 0..4),
    ) {
        let path = JsonPath::parse(&format!("${}", steps.concat())).unwrap();
        let want: Vec<_> = path.query(&value).iter().map(|node| shown(node)).collect();
        let body = value.to_string();
        let found = cells(&Queries::new([&path, &path]), body.as_bytes()).unwrap();
        prop_assert_eq!(&found, &[want.join("; "), want.join("; ")]);
        prop_assert_eq!(Query::new(&path).select(body.as_bytes()).unwrap().len(), want.len());
    }
}
