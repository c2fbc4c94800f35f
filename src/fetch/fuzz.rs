//! What must hold for any body.
#![allow(clippy::unwrap_used, reason = "a body fails by panicking")]

use super::classify::server_words;
use crate::json::compact_json;
use bytes::Bytes;
use serde_json::Value;

/// A body: its compact form has the same value and no line end, and compacting
/// it again changes nothing; what is no JSON is told in one short line.
pub fn json_body(bytes: &[u8]) {
    let _ = server_words(bytes);
    let body = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let value = serde_json::from_slice::<Value>(body);
    match compact_json(Bytes::copy_from_slice(bytes)) {
        Ok(line) => {
            let text = std::str::from_utf8(&line).unwrap();
            assert!(!text.contains(['\n', '\r']), "{text}");
            // Same bytes but for white space outside of strings.
            assert_eq!(outside_strings(body), text.as_bytes());
            if let Ok(value) = value {
                assert_eq!(serde_json::from_str::<Value>(text).unwrap(), value);
            }
            assert_eq!(compact_json(line.clone()), Ok(line));
        }
        Err(error) => {
            assert!(value.is_err(), "{value:?}");
            let told = error.to_string();
            assert!(
                !told.is_empty()
                    && told.chars().count() < 5_000
                    && !told.contains(char::is_control)
            );
        }
    }
}

/// A second way to the compact form: byte by byte, with the state of a string.
fn outside_strings(body: &[u8]) -> Vec<u8> {
    let (mut inside, mut escaped) = (false, false);
    let keep = |byte: &u8| {
        let kept = inside || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = inside,
            b'"' => inside = !inside,
            _ => {}
        }
        kept
    };
    let mut body = body.to_vec();
    let mut keep = keep;
    body.retain(|byte| keep(byte));
    body
}
