//! serde_json is the judge of what is JSON.

use super::*;
use proptest::prelude::*;
use serde_json::value::RawValue;

fn agrees(text: &str) -> Result<(), TestCaseError> {
    let theirs = serde_json::from_str::<&RawValue>(text);
    prop_assert_eq!(compact(text).is_ok(), theirs.is_ok(), "{:?}", text);
    Ok(())
}

#[test]
fn what_is_json_and_what_is_not() {
    let good = [
        "0",
        "-0",
        "1.5e+3",
        "1E9",
        "[]",
        "{}",
        " [ 1 , 2 ] ",
        "\"\\u00ff\\/\"",
        "true",
        "{\"a\":{\"b\":[[],{}]}}",
        "\"\u{7f}\u{2028}\"",
        "[null,false,true]",
        "\"\\ud800\"",
    ];
    let bad = [
        "",
        " ",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "[1 2]",
        "[",
        "]",
        "[}",
        "{]",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "tru",
        "nulll",
        "1 2",
        "{\"a\":1}}",
        "\u{feff}1",
        "\"\\u12",
        "'a'",
        "NaN",
        "[1]\u{b}",
        "\"a\u{1}\"",
        "{\"a\":1 \"b\":2}",
        "[,1]",
        "{,}",
        "\"12345678\u{0}90\"",
    ];
    for text in good {
        assert!(compact(text).is_ok(), "{text}");
        agrees(text).unwrap();
    }
    for text in bad {
        assert_eq!(compact(text), Err(NoJson), "{text}");
        agrees(text).unwrap();
    }
}

#[test]
fn any_depth_is_known_to_its_end() {
    for depth in [1, 127, 128, 129, 255, 256, 257, 1_000, 100_000] {
        let open: String = (0..depth)
            .map(|n| if n % 3 == 0 { "{\"a\":" } else { "[" })
            .collect();
        let close: String = (0..depth)
            .rev()
            .map(|n| if n % 3 == 0 { '}' } else { ']' })
            .collect();
        assert_eq!(compact(&format!("{open}1{close}")), Ok(None), "{depth}");
        let wrong = close.replacen(['}', ']'], ")", 1);
        assert_eq!(compact(&format!("{open}1{wrong}")), Err(NoJson));
        let crossed = format!("{}{}", &close[1..], &close[..1]);
        if crossed != close {
            assert_eq!(compact(&format!("{open}1{crossed}")), Err(NoJson));
        }
        assert_eq!(compact(&format!("{open}1{}", &close[1..])), Err(NoJson));
    }
}

#[test]
fn every_byte_in_a_string_at_every_place_of_a_word() {
    for place in 0..20 {
        for byte in 0..=0x7f_u8 {
            let text = format!("\"{}{}tail\"", "x".repeat(place), char::from(byte));
            agrees(&text).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// serde_json is the judge.
    #[test]
    fn it_takes_what_serde_json_takes(text in "[\\[\\]{}:,\"\\\\ \n0-9.eE+\\-truefalsn\u{e9}]{0,24}") {
        agrees(&text)?;
    }

    #[test]
    fn one_change_to_good_json_is_judged_the_same(
        pieces in prop::collection::vec(("[a-z\\\\\"\u{1}-\u{ff}]{0,20}", any::<f64>(), any::<i64>()), 0..5),
        at in any::<prop::sample::Index>(),
        with in any::<char>(),
        pretty in any::<bool>(),
    ) {
        let value: Vec<_> = pieces
            .iter()
            .map(|(text, float, whole)| serde_json::json!({ text.as_str(): [float, whole, { "x": text }] }))
            .collect();
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.unwrap();
        let out = compact(&text).unwrap();
        let line = out.as_deref().unwrap_or(text.as_bytes());
        prop_assert_eq!(line, serde_json::to_vec(&value).unwrap());
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        if let Some(spot) = chars.get_mut(at) {
            *spot = with;
        }
        agrees(&chars.into_iter().collect::<String>())?;
    }
}
