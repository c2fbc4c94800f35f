//! The parts of a value: an array's elements, an object's members, a string's
//! text.
//!
//! Owns the reading of one value's own level. Must never look further in.

use super::scan::{Cursor, Odd};
use super::words::plain_until;
use std::borrow::Cow;

/// The elements of an array, in their order; `None` when `array` is none.
pub fn elements(array: &[u8]) -> Option<Vec<&[u8]>> {
    level(array, b'[', b']', |cursor| {
        let from = cursor.at;
        cursor.skip()?;
        Ok(cursor.since(from))
    })
}

/// The members of an object in the order of the text, those with one name all
/// of them: each one's name, a JSON string ([`string`] has its text), and its
/// value. `None` when `object` is none.
pub fn members(object: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    level(object, b'{', b'}', |cursor| {
        let from = cursor.at;
        cursor.name()?;
        let value = cursor.at;
        let name = cursor.bytes.get(from..value - 1).unwrap_or_default();
        cursor.skip()?;
        Ok((name, cursor.since(value)))
    })
}

/// What `one` reads between the brackets of the whole text, comma by comma.
fn level<'t, T>(
    text: &'t [u8],
    open: u8,
    close: u8,
    mut one: impl FnMut(&mut Cursor<'t>) -> Result<T, Odd>,
) -> Option<Vec<T>> {
    let mut cursor = Cursor::new(text);
    cursor.take(open).ok()?;
    let mut all = Vec::new();
    if !cursor.eat(close) {
        loop {
            all.push(one(&mut cursor).ok()?);
            if !cursor.eat(b',') {
                break;
            }
        }
        cursor.take(close).ok()?;
    }
    cursor.peek().is_none().then_some(all)
}

/// The text of a JSON string, its escapes resolved; `None` when `raw` is no
/// string, or is one that no text can be: with a lone surrogate.
pub fn string(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inside = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if plain_until(inside, 0) == inside.len() {
        return std::str::from_utf8(inside).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice(raw).ok().map(Cow::Owned)
}

/// A string's text, or another value's JSON text: for comparing what may be
/// sent as a number or as a string (`"17"` and `17` are the same here). A
/// string that no text can be stays JSON text.
pub fn text(raw: &[u8]) -> Cow<'_, str> {
    string(raw).unwrap_or_else(|| String::from_utf8_lossy(raw))
}

/// Whether it is `null`.
pub fn is_null(raw: &[u8]) -> bool {
    raw == b"null"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'t>(raw: impl IntoIterator<Item = &'t [u8]>) -> Vec<&'t str> {
        let text = |raw| std::str::from_utf8(raw).unwrap();
        raw.into_iter().map(text).collect()
    }

    #[test]
    fn elements_come_as_they_were_sent() {
        let array = br#"[1.00,"a,\"]",{"b":[1,2]},[],null,-1e400]"#;
        assert_eq!(
            texts(elements(array).unwrap()),
            [
                "1.00",
                r#""a,\"]""#,
                r#"{"b":[1,2]}"#,
                "[]",
                "null",
                "-1e400"
            ]
        );
        assert_eq!(elements(b"[]"), Some(vec![]));
        for none in ["{}", "1", "", "[", "[1", "[1,]", "[1]2", "[1 ]", "[,1]"] {
            assert_eq!(elements(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn members_come_as_they_were_sent() {
        let object = br#"{"a":1.0,"\u0061":[{}],"b,}":"x"}"#;
        let (names, values): (Vec<_>, Vec<_>) = members(object).unwrap().into_iter().unzip();
        assert_eq!(texts(names), [r#""a""#, r#""\u0061""#, r#""b,}""#]);
        assert_eq!(texts(values), ["1.0", "[{}]", r#""x""#]);
        assert_eq!(members(b"{}"), Some(vec![]));
        for none in ["[1]", "{", r#"{"a":1,"b"}"#, r#"{"a":1,}"#, r#"{"a":1} "#] {
            assert_eq!(members(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn a_strings_text() {
        for (raw, want) in [
            (r#""""#, Some("")),
            (r#""é \u00e9\n\"\ud83d\ude00""#, Some("é é\n\"😀")),
            (r#""\ud83d""#, None),
            (r#"""#, None),
            (r#""a"b""#, None),
            ("1", None),
            ("null", None),
        ] {
            assert_eq!(string(raw.as_bytes()).as_deref(), want, "{raw}");
        }
        assert!(matches!(
            string(br#""plain""#),
            Some(Cow::Borrowed("plain"))
        ));
        assert_eq!(text(br#""17""#), text(b"17"));
        assert_eq!(text(br#"{"a":1.0}"#), r#"{"a":1.0}"#);
        assert_eq!(text(br#""\ud83d""#), r#""\ud83d""#);
        assert!(is_null(b"null") && !is_null(br#""null""#) && !is_null(b""));
    }
}
