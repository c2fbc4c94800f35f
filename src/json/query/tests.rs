//! serde_json_path on a tree is the judge of what is selected, and a slow
//! reader of the text the judge of the order.

use super::super::fuzz::places;
use super::super::{compact_json, elements, members, string};
use super::*;
use bytes::Bytes;
use proptest::prelude::*;

fn path(text: &str) -> JsonPath {
    JsonPath::parse(text).unwrap()
}

fn select(text: &str, body: &str) -> Vec<String> {
    let found = Query::new(&path(text));
    let found = found.select(body.as_bytes()).unwrap();
    found
        .into_iter()
        .map(|raw| String::from_utf8(raw.to_vec()).unwrap())
        .collect()
}

const BODY: &str = concat!(
    r#"{"s":"a\nb","n":1.00,"big":12345678901234567890123,"huge":1e400,"t":true,"z":null,"#,
    r#""o":{"b":1e2,"a":[]},"l":[{"n":"x","v":2.0},{"n":"y"},{"n":null,"v":3},4],"#,
    r#""a\"b\u00e9":{"\u0061":"\u0061"},"":[[1,2],[3.0]],"}":"]"}"#
);

#[test]
fn values_are_found_as_they_were_sent() {
    for (path, want) in [
        ("$.s", &[r#""a\nb""#][..]),
        ("$.n", &["1.00"]),
        ("$.big", &["12345678901234567890123"]),
        ("$.huge", &["1e400"]),
        ("$.t", &["true"]),
        ("$.z", &["null"]),
        ("$.none", &[]),
        ("$.s.a", &[]),
        ("$.s[0]", &[]),
        ("$.o", &[r#"{"b":1e2,"a":[]}"#]),
        ("$.o.*", &["1e2", "[]"]),
        ("$.o[0]", &[]),
        ("$.l.n", &[]),
        ("$.l[*].n", &[r#""x""#, r#""y""#, "null"]),
        ("$.l[*].*", &[r#""x""#, "2.0", r#""y""#, "null", "3"]),
        ("$.l[2].v", &["3"]),
        ("$.l[9]", &[]),
        ("$[''][*][0]", &["1", "3.0"]),
        ("$[''][0][1]", &["2"]),
        ("$['a\"b\u{e9}'].a", &[r#""\u0061""#]),
        ("$['}']", &[r#""]""#]),
        ("$", &[BODY]),
    ] {
        assert_eq!(select(path, BODY), want, "{path}");
    }
}

#[test]
fn other_paths_go_by_a_tree_and_give_the_text_too() {
    let body = BODY.replace("1e400", "1e4");
    for (path, want) in [
        ("$.l[-2].v", &["3"][..]),
        ("$.l[1::-1].n", &[r#""y""#, r#""x""#]),
        ("$.l[?@.v>=3]", &[r#"{"n":null,"v":3}"#]),
        ("$..b", &["1e2"]),
        (
            "$['n','big','n']",
            &["1.00", "12345678901234567890123", "1.00"],
        ),
        ("$.l[?length(@.n)==1].n", &[r#""x""#, r#""y""#]),
        ("$..none", &[]),
    ] {
        assert_eq!(select(path, &body), want, "{path}");
    }
    let error = Query::new(&path("$..b"))
        .select(BODY.as_bytes())
        .unwrap_err();
    assert!(error.to_string().contains("out of range"), "{error}");
}

#[test]
fn of_two_members_with_one_name_the_last_counts() {
    let body = r#"{"a":{"x":1,"y":2,"x":3},"b":0,"\u0061":{"x":4.0,"y":{"a":5},"x":6}}"#;
    assert_eq!(select("$.a.x", body), ["6"]);
    assert_eq!(select("$.a.y.a", body), ["5"]);
    assert_eq!(select("$.*.x", body), ["6"]);
    assert_eq!(select("$.*", body), ["0", r#"{"x":4.0,"y":{"a":5},"x":6}"#]);
    assert_eq!(select("$..x", body), ["6"]);
    // Names that no text can be are each other's only when they are spelled alike.
    let odd = r#"{"\ud83d":1,"\\ud83d":2,"\ud83d":3}"#;
    assert_eq!(select("$.*", odd), ["2", "3"]);
    assert_eq!(select("$['\\\\ud83d']", odd), ["2"]);
}

#[test]
fn several_paths_are_answered_at_once() {
    let paths = [
        "$.l[*].n", "$.l[-1]", "$.n", "$.none", "$.l[0]", "$.l[0].v", "$.n",
    ]
    .map(path);
    let body = BODY.replace("1e400", "1e4");
    let queries = Queries::new(&paths);
    assert_eq!(queries.len(), paths.len());
    let found = queries.select_all(body.as_bytes()).unwrap();
    for (path, found) in paths.iter().zip(found) {
        assert_eq!(found, Query::new(path).select(body.as_bytes()).unwrap());
    }
    assert_eq!(Queries::new([]).select_all(b"1").unwrap().len(), 0);
}

#[test]
fn what_is_not_compact_json_is_an_error() {
    let at = |path_text, body: &str| match Query::new(&path(path_text)).select(body.as_bytes()) {
        Err(QueryError::NotCompact { at }) => at,
        other => panic!("{body}: {other:?}"),
    };
    assert_eq!(at("$.n", r#"{"a":"#), 5);
    assert_eq!(at("$.n", ""), 0);
    assert_eq!(at("$.n", r#"{"n":1} "#), 7);
    assert_eq!(at("$.n", r#"{ "n":1}"#), 1);
    assert_eq!(at("$.n", "{\"n\":\"a\nb\"}"), 7);
    assert_eq!(at("$..n", "nope!"), 4);
    assert_eq!(at("$[*].a", r#"[{"b":[{},{}}"#), 13);
}

#[test]
fn a_deep_body_ends_no_stack() {
    let depth = 1_000_000;
    let arrays = format!("[{}1{},7]", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(select("$[1]", &arrays), ["7"]);
    assert_eq!(select("$[0][0][1]", &arrays), [""; 0]);
    let objects = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let long = format!("${}", ".a".repeat(128));
    assert_eq!(select(&long, &objects)[0].len(), objects.len() - 128 * 6);
    let longer = format!("${}", ".a".repeat(129));
    assert!(
        Query::new(&path(&longer))
            .select(objects.as_bytes())
            .is_err()
    );
    assert!(Query::new(&path("$..b")).select(arrays.as_bytes()).is_err());
}

#[test]
fn what_costs_too_much_on_a_tree_is_refused_by_its_path() {
    let wide = |elements: usize| format!("[{}1]", r#"{"b":1},"#.repeat(elements));
    for (path_text, few, many) in [
        ("$..b", 100_000, 300_000),
        ("$[?count($[*])>0]", 1_000, 20_000),
        ("$..*..*..*", 20_000, 60_000),
        ("$[0,1:,*][0,*]", 10_000, 60_000),
        ("$[?match(@.b,'x')]", 1_000, 20_000),
    ] {
        let query = Query::new(&path(path_text));
        assert!(query.select(wide(few).as_bytes()).is_ok(), "{path_text}");
        let error = query.select(wide(many).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("needs a tree"), "{error}");
        assert!(
            error.to_string().contains(&shown(&path(path_text))),
            "{error}"
        );
    }
    // Without a tree there is no such bound.
    assert_eq!(select("$[*].b", &wide(300_000)).len(), 300_000);
}

#[test]
fn names_that_come_twice_on_every_level_do_not_take_for_ever() {
    let paths: Vec<_> = (0..100)
        .flat_map(|n| {
            let way = ".x".repeat(n);
            [path(&format!("${way}.y")), path(&format!("${way}.x.z"))]
        })
        .collect();
    let body = (0..100).fold("1".to_owned(), |inner, _| {
        format!(r#"{{"x":{inner},"y":1,"y":2.0}}"#)
    });
    let found = Queries::new(&paths).select_all(body.as_bytes()).unwrap();
    assert!(found.iter().step_by(2).all(|found| *found == [b"2.0"]));
}

/// The values at the end of simple steps, by a reader that is slow and plain.
fn slowly<'b>(raw: &'b [u8], steps: &[Step<'_>]) -> Vec<&'b [u8]> {
    let Some((step, rest)) = steps.split_first() else {
        return vec![raw];
    };
    let mut children: Vec<(Step<'_>, &[u8])> = Vec::new();
    for (index, raw) in elements(raw).unwrap_or_default().into_iter().enumerate() {
        children.push((Step::Index(index), raw));
    }
    for (name, raw) in members(raw).unwrap_or_default() {
        let name = Step::Name(string(name).unwrap().into_owned().into());
        children.retain(|(other, _)| *other != name);
        children.push((name, raw));
    }
    let chosen = children
        .iter()
        .filter(|(child, _)| *step == Step::All || child == step);
    chosen.flat_map(|(_, raw)| slowly(raw, rest)).collect()
}

const NAMES: [&str; 5] = ["a", "b", "\u{e9}\"", "", "a.b"];

/// JSON text with few names, so that paths hit and names come twice.
fn json() -> impl Strategy<Value = String> {
    let name = (0..NAMES.len(), any::<bool>()).prop_map(|(name, escaped)| match escaped {
        false => serde_json::to_string(NAMES[name]).unwrap(),
        true => {
            let escape = |unit| format!("\\u{unit:04x}");
            let escaped: String = NAMES[name].encode_utf16().map(escape).collect();
            format!("\"{escaped}\"")
        }
    });
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "-0",
            "1.00",
            "1e2",
            "12345678901234567890123",
            "[]",
            "{}",
            "\"\"",
        ])
        .prop_map(str::to_owned),
        "[a\\\\\"{}\\[\\],:\u{e9} ]{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let members = prop::collection::vec((name.clone(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            members.prop_map(|members| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(name, value)| format!("{name}:{value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn segment(others: bool) -> impl Strategy<Value = String> {
    let name =
        (0..NAMES.len()).prop_map(|n| format!("[{}]", serde_json::to_string(NAMES[n]).unwrap()));
    let simple = prop_oneof![
        4 => name,
        2 => prop::sample::select(vec![".a", ".b", "[*]", ".*"]).prop_map(str::to_owned),
        2 => (0..4).prop_map(|n| format!("[{n}]")),
    ];
    let other = prop::sample::select(vec![
        "..a",
        "..*",
        "[-1]",
        "[::-1]",
        "[1:]",
        "['b','a']",
        "[?@.a]",
        "[?@.b>1]",
        "[0,*]",
    ]);
    prop_oneof![
        6 => simple,
        u32::from(others) => other.prop_map(str::to_owned),
    ]
}

fn a_path(others: bool, longest: usize) -> impl Strategy<Value = JsonPath> {
    prop::collection::vec(segment(others), 0..longest)
        .prop_map(|segments| path(&format!("${}", segments.concat())))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn simple_paths_select_what_serde_json_path_does(body in json(), path in a_path(false, 5)) {
        let tree: Value = serde_json::from_str(&body).unwrap();
        let steps = simple(&path).unwrap();
        let found = Query::new(&path).select(body.as_bytes()).unwrap();
        prop_assert_eq!(&found, &slowly(body.as_bytes(), &steps));
        let by_tree = Queries::on_trees([&path]).select_all(body.as_bytes()).unwrap().concat();
        prop_assert_eq!(places(body.as_bytes(), &found), places(body.as_bytes(), &by_tree));
        let values: Vec<Value> = by_tree.iter().map(|raw| serde_json::from_slice(raw).unwrap()).collect();
        prop_assert_eq!(values.iter().collect::<Vec<_>>(), path.query(&tree).all());
    }

    #[test]
    fn paths_asked_together_answer_as_each_alone(
        body in json(),
        paths in prop::collection::vec(a_path(true, 4), 0..5),
    ) {
        let tree: Value = serde_json::from_str(&body).unwrap();
        let all = Queries::new(&paths).select_all(body.as_bytes()).unwrap();
        prop_assert_eq!(all.len(), paths.len());
        for (path, found) in paths.iter().zip(all) {
            prop_assert_eq!(&found, &Query::new(path).select(body.as_bytes()).unwrap());
            if simple(path).is_none() {
                let values: Vec<Value> = found.iter().map(|raw| serde_json::from_slice(raw).unwrap()).collect();
                prop_assert_eq!(values.iter().collect::<Vec<_>>(), path.query(&tree).all());
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in "[\\[\\]{}:,\"\\\\a01 tn\u{e9}]{0,24}", path in a_path(true, 4)) {
        let _ = Query::new(&path).select(bytes.as_bytes());
        let _ = (elements(bytes.as_bytes()), string(bytes.as_bytes()));
        prop_assert!(members(bytes.as_bytes()).unwrap_or_default().len() <= bytes.len());
    }

    #[test]
    fn json_is_compact_as_it_is_made(body in json()) {
        prop_assert_eq!(compact_json(Bytes::from(body.clone())).unwrap(), body.as_bytes());
    }
}
