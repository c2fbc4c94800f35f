//! JSONPath (RFC 9535), read without a panic.
//!
//! Owns what the parser's crate must not be given. Must never change a path.

use serde_json_path::JsonPath;

/// Reads a path; the error is for people.
///
/// serde_json_path 0.7 panics on a text that ends inside a `\u` escape (its
/// parser of escapes wants more input); no such text is a path.
pub(crate) fn json_path(text: &str) -> Result<JsonPath, String> {
    if ["\\u", "\\uD", "\\ud"]
        .iter()
        .any(|end| text.ends_with(end))
    {
        return Err("it ends inside a `\\u` escape".to_owned());
    }
    JsonPath::parse(text).map_err(|error| error.to_string())
}

/// A path's text for people: the crate shows `..a` with a dot too many.
pub fn shown(path: &JsonPath) -> String {
    path.to_string().replace("...", "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_that_ends_inside_an_escape_is_an_error() {
        for text in [
            "$[\"\\u",
            "$['\\uD",
            "$['\\ud",
            "$['\\uD83D\\u",
            "$['\\uD83D\\uD",
            "$['\\",
        ] {
            assert!(json_path(text).is_err(), "{text}");
        }
        assert!(json_path("$['\\uD83D\\uDE00']").is_ok());
        assert!(json_path("$.a['\\u0041']").is_ok());
    }

    #[test]
    fn a_path_is_shown_as_it_is_written() {
        for text in ["$..b", "$..*", "$..['b'][-1]", "$.a[?@['b']==1]"] {
            assert_eq!(shown(&json_path(text).unwrap()), text);
        }
    }

    proptest! {
        #[test]
        fn every_start_of_a_path_is_read_or_refused(cut in 0usize..60) {
            let path = "$..a['\\uD83D\\uDE00',\"\\u0041\\n\"][?@.x=='\\udead'&&count(@.*)>1][1:2:3]";
            let cut = cut.min(path.len());
            let _ = json_path(path.get(..cut).unwrap_or_default());
        }

        #[test]
        fn no_text_panics(text in "\\$[\\[\\]\"'.uD\\\\0-9a-f@?(),:*=&|!<> ]{0,24}") {
            let _ = json_path(&text);
        }
    }
}
