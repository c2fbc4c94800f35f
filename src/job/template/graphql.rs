//! Which braces of a GraphQL document are holes.
//!
//! In GraphQL, braces are everywhere: `{id}` after a field selects its ID. So a
//! hole is only where a value stands: in a string, or after `:`, `[` or `,`
//! outside of one. Must never take a selection for a hole.

use super::Form;

/// Whether a text is a GraphQL document: it begins with an operation's keyword,
/// or with a selection.
pub(super) fn is_document(text: &str) -> bool {
    let text = text.trim_start();
    let word = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        end.unwrap_or(text.len())
    };
    if let Some(inner) = text.strip_prefix('{') {
        let inner = inner.trim_start();
        let end = word(inner);
        // `{id}` alone is a hole.
        let goes_on = |c: char| c.is_whitespace() || matches!(c, '{' | '(' | ':' | '@' | ',');
        let after = inner.get(end..).unwrap_or_default();
        return inner.starts_with("...") || (end > 0 && after.starts_with(goes_on));
    }
    let (keyword, rest) = text.split_at_checked(word(text)).unwrap_or((text, ""));
    matches!(keyword, "query" | "mutation" | "subscription" | "fragment") && rest.contains('{')
}

/// The places of the opening braces that may begin a hole, and how a value is
/// written there.
pub(super) fn value_places(document: &str) -> Vec<(usize, Form)> {
    let mut places = Vec::new();
    // The last character outside of strings and comments that is no space.
    let mut before = ' ';
    let mut at = 0;
    while let Some(rest) = document.get(at..)
        && let Some(c) = rest.chars().next()
    {
        let width = match c {
            '"' if rest.starts_with("\"\"\"") => block_string(rest),
            '"' => {
                let length = string(rest);
                let inside = rest.get(..length).unwrap_or(rest).match_indices('{');
                places.extend(inside.map(|(brace, _)| (at + brace, Form::GraphqlString)));
                length
            }
            '#' => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            '{' if matches!(before, ':' | '[' | ',') => {
                places.push((at, Form::GraphqlValue));
                1
            }
            c => c.len_utf8(),
        };
        if !c.is_whitespace() && c != '#' {
            before = c;
        }
        at += width;
    }
    places
}

/// The length of the string that the text begins with, quotes included.
fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, c)| {
        let ends = matches!(c, '"' | '\n' | '\r') && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The same of a block string, `"""…"""`: only `\"""` is an escape in it.
fn block_string(text: &str) -> usize {
    let mut from = 3;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find("\"\"\"")) {
        let end = from + found;
        if !text.get(..end).is_some_and(|before| before.ends_with('\\')) {
            return end + 3;
        }
        from = end + 3;
    }
    text.len()
}

/// A value inside a string (GraphQL escapes as JSON does).
pub(super) fn in_string(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    let inner = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

/// A value by itself: a number, name or keyword as it is, anything else as a string.
pub(super) fn as_value(value: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'.');
    let is_number = value.parse::<f64>().is_ok_and(f64::is_finite);
    let is_word = !value.starts_with(|c: char| c.is_ascii_digit())
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !value.is_empty() && value.bytes().all(bare) && (is_number || is_word) {
        return value.to_owned();
    }
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_told_from_other_texts() {
        for text in [
            "query($id: ID!) { node(id: $id) { id } }",
            " query Q {viewer{login}}",
            "mutation { x }",
            "{ viewer { login } }",
            "{viewer{login}}",
            "{user(login:\"{id}\"){name}}",
            "fragment f on User { id }",
            "{ ...f }",
        ] {
            assert!(is_document(text), "{text}");
        }
        for text in [
            "{id}",
            "{id} and {name}",
            "query",
            "queryable {id}",
            "",
            "{",
            "{\"a\":{}}",
            "é",
        ] {
            assert!(!is_document(text), "{text}");
        }
    }

    #[test]
    fn a_hole_is_where_a_value_stands() {
        let places = |document: &str| -> Vec<(usize, Form)> {
            let braces = |(at, form): (usize, Form)| {
                assert!(document[at..].starts_with('{'));
                (at, form)
            };
            value_places(document).into_iter().map(braces).collect()
        };
        let (text, value) = (Form::GraphqlString, Form::GraphqlValue);
        assert_eq!(places("{user(login:\"{id}\"){id}}"), [(13, text)]);
        assert_eq!(
            places("{i(n: {n}, x: [{a},{b}]){id}}"),
            [(6, value), (15, value), (19, value)]
        );
        assert_eq!(places("{a {id} b{id}}"), []);
        assert_eq!(places("{a # \"{x}\"\n(b: \"\\\"{y}\\\\\"){id}}").len(), 1);
        assert_eq!(
            places("{a(b: \"\"\"{x} \\\"\"\" {y}\"\"\" c: {z})}"),
            [(28, value)]
        );
        assert_eq!(places("{a(b:\"\"){id}}"), []);
        assert_eq!(places("\"{é"), [(1, text)]);
    }

    #[test]
    fn a_value_cannot_leave_its_place() {
        assert_eq!(in_string("a\"\\\n"), "a\\\"\\\\\\n");
        for bare in ["7", "-1.5e3", "OPEN", "true", "a_1"] {
            assert_eq!(as_value(bare), bare);
        }
        for other in ["", "a b", "1) { x }", "7a", "a-b", "\"", "é", "inf-"] {
            let quoted = as_value(other);
            assert!(quoted.starts_with('"') && quoted.ends_with('"'), "{quoted}");
        }
    }
}
