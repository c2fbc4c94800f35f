//! The two encodings a request carries its words in: forms and base64.
//!
//! Owns decoding, nothing else. Must never guess: what is not valid base64 is
//! refused, so that a client that encodes wrongly is found out here.

use percent_encoding::percent_decode_str;

/// The pairs of a form or a query string, decoded, in order.
pub(super) fn form_pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form_word(name), form_word(value))
        })
        .collect()
}

/// One word of a form: `+` is a space, the rest is percent-encoding.
pub(super) fn form_word(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// Standard base64 with its padding (RFC 4648, section 4), or nothing.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let data = match text {
        [start @ .., b'=', b'='] => start,
        [start @ .., b'='] => start,
        all => all,
    };
    let mut out = Vec::with_capacity(data.len() * 3 / 4);
    for group in data.chunks(4) {
        let mut bits: u32 = 0;
        for &letter in group {
            bits = bits << 6 | u32::from(sextet(letter)?);
        }
        bits <<= 6 * (4 - group.len());
        let [_, bytes @ ..] = bits.to_be_bytes();
        let (kept, spare) = bytes.split_at(group.len() - 1);
        // Bits that belong to no byte have to be zero: there is one spelling.
        if spare.iter().any(|&byte| byte != 0) {
            return None;
        }
        out.extend_from_slice(kept);
    }
    Some(out)
}

fn sextet(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_takes_the_one_spelling() {
        // The vectors of RFC 4648, section 10.
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!(base64("+/+/").as_deref(), Some(&[0xfb, 0xff, 0xbf][..]));
        for text in [
            "Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm 9", "Zm9_", "Zg==Zg==",
        ] {
            assert_eq!(base64(text), None, "{text}");
        }
    }

    #[test]
    fn forms_are_decoded() {
        let pairs = form_pairs("a=1+2&b=%C3%A9%2B&c&&d=x=y");
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        assert_eq!(pairs, [("a", "1 2"), ("b", "é+"), ("c", ""), ("d", "x=y")]);
    }
}
