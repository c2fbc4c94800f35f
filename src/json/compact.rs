//! A body as one line of JSON, token for token as the server sent it.
//!
//! Owns what is said of a body that is no JSON; `pass.rs` has the grammar. Must
//! never parse into a tree.

use super::pass;
use bytes::Bytes;
use serde_json::value::RawValue;

/// Why a body is no JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

/// Checks that `body` is one JSON text in UTF-8 (RFC 8259) and takes the
/// insignificant white space out of it. Numbers, key order, duplicate keys
/// and escapes stay as they came; a byte order mark at the start is dropped.
pub fn compact_json(body: Bytes) -> Result<Bytes, JsonError> {
    let body = match body.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => body.slice_ref(rest),
        None => body,
    };
    let compacted = std::str::from_utf8(&body).map(pass::compact);
    match compacted {
        Ok(Ok(Some(line))) => Ok(Bytes::from(line)),
        Ok(Ok(None)) => Ok(body),
        // Seldom, so it may take a second reader to say where and why.
        Ok(Err(pass::NoJson)) | Err(_) => Err(JsonError(describe(&body))),
    }
}

fn describe(body: &[u8]) -> String {
    let start = body.trim_ascii_start();
    if start.first() == Some(&b'<') {
        let text = String::from_utf8_lossy(start.get(..start.len().min(4096)).unwrap_or(start));
        let title = title(&text);
        return match title {
            Some(title) => format!("the body is HTML or XML, not JSON: “{title}”"),
            None => "the body is HTML or XML, not JSON".into(),
        };
    }
    if std::str::from_utf8(body).is_err() {
        return "the body is not UTF-8 text".into();
    }
    match serde_json::from_slice::<&RawValue>(body) {
        Err(error) if error.is_eof() => {
            format!("the JSON ends too early, after {} bytes", body.len())
        }
        Err(error) => format!(
            "the body is not JSON (line {}, column {})",
            error.line(),
            error.column()
        ),
        Ok(_) => "the body is not JSON".into(),
    }
}

fn title(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let from = lower.find("<title>")? + "<title>".len();
    let to = from + lower.get(from..)?.find('<')?;
    let title: String = html
        .get(from..to)?
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    let title = title.trim();
    (!title.is_empty()).then(|| title.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compact(text: &str) -> String {
        String::from_utf8(compact_json(Bytes::from(text.to_owned())).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn tokens_stay_as_they_came() {
        let text = "{ \"b\" : 1.00,\n\t\"a\":[ 1e400 , -0 , 12345678901234567890123 ],\r\n \"a\" : \"\\u00e9 \\\" \\n é  \\\\\" }\n";
        assert_eq!(
            compact(text),
            "{\"b\":1.00,\"a\":[1e400,-0,12345678901234567890123],\"a\":\"\\u00e9 \\\" \\n é  \\\\\"}"
        );
    }

    #[test]
    fn a_compact_body_is_not_copied() {
        let body = Bytes::from_static(b"{\"a\":\"b c\"}");
        assert_eq!(compact_json(body.clone()).unwrap().as_ptr(), body.as_ptr());
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        assert_eq!(compact("\u{feff}[1]"), "[1]");
    }

    #[test]
    fn what_is_no_json_is_named() {
        let says = |text: &'static [u8]| {
            compact_json(Bytes::from_static(text))
                .unwrap_err()
                .to_string()
        };
        assert!(says(b"<html><head><title>Sign in</title>").contains("“Sign in”"));
        assert!(says(b"{\"a\":").contains("ends too early"));
        assert!(says(b"{\"a\":\"\xff\"}").contains("UTF-8"));
        assert!(says(b"{} {}").contains("line 1, column 4"));
        assert!(says(b"nope").contains("not JSON"));
    }

    proptest! {
        /// The compact form has the same tokens, and no newline.
        #[test]
        fn compaction_keeps_the_value(value in prop::collection::vec((".{0,12}", any::<f64>()), 0..6)) {
            let map: Vec<_> = value.iter().map(|(k, v)| serde_json::json!({k.as_str(): v})).collect();
            let pretty = serde_json::to_string_pretty(&map).unwrap();
            let line = compact(&pretty);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(line, serde_json::to_string(&map).unwrap());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = compact_json(Bytes::from(bytes));
        }
    }
}
