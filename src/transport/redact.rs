//! A server's words without the credentials that a careless server repeats.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::ops::Range;

/// What the encoders in use leave as it is, beside letters and digits: nothing;
/// RFC 3986's unreserved characters; those of application/x-www-form-urlencoded.
const ENCODERS: [&AsciiSet; 3] = [
    NON_ALPHANUMERIC,
    &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~'),
    &NON_ALPHANUMERIC
        .remove(b'*')
        .remove(b'-')
        .remove(b'.')
        .remove(b'_'),
];

/// Shorter texts are no secrets, and taking them out would garble every message.
const SHORTEST: usize = 4;
/// Characters that a message keeps.
const LONGEST: usize = 300;

/// Stands where a secret was.
const MARK: &str = "[redacted]";

/// `text` as a message may show it: printable, short, and with each of
/// `secrets` taken out, in any spelling that HTTP gives it (as it is,
/// percent-encoded, form-encoded). Cut only afterwards: half a secret is one too.
pub fn redact<'a>(text: &str, secrets: impl IntoIterator<Item = &'a [u8]>) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    let mut found: Vec<Range<usize>> = secrets
        .into_iter()
        .filter(|secret| secret.len() >= SHORTEST)
        .flat_map(spellings)
        .flat_map(|spelling| {
            let matches = clean.match_indices(&spelling);
            let ranges = matches.map(|(at, found)| at..at + found.len());
            ranges.collect::<Vec<_>>()
        })
        .collect();
    // All at once, so that no mark is taken for a server's word.
    found.sort_by_key(|range| range.start);
    let (mut shown, mut from) = (Shown::default(), 0);
    for range in found {
        if range.start >= from {
            shown.push_text(clean.get(from..range.start).unwrap_or_default());
            shown.push_mark();
        }
        from = from.max(range.end);
    }
    shown.push_text(clean.get(from..).unwrap_or_default());
    shown.text
}

/// What is shown so far.
#[derive(Default)]
struct Shown {
    text: String,
    characters: usize,
    /// What comes now has no room any more.
    full: bool,
}

impl Shown {
    fn push_text(&mut self, text: &str) {
        for character in text.chars() {
            self.full |= self.characters >= LONGEST;
            if self.full {
                return;
            }
            self.text.push(character);
            self.characters += 1;
        }
    }

    /// A mark is shown whole or not at all.
    fn push_mark(&mut self) {
        self.full |= self.characters + MARK.len() > LONGEST;
        if !self.full {
            self.text.push_str(MARK);
            self.characters += MARK.len();
        }
    }
}

/// Whether `text` holds one of `secrets`, in any of these spellings.
pub fn holds<'a>(text: &str, secrets: impl IntoIterator<Item = &'a [u8]>) -> bool {
    secrets
        .into_iter()
        .filter(|secret| secret.len() >= SHORTEST)
        .any(|secret| spellings(secret).iter().any(|s| text.contains(s.as_str())))
}

fn spellings(secret: &[u8]) -> Vec<String> {
    let mut spellings = vec![String::from_utf8_lossy(secret).into_owned()];
    for kept in ENCODERS {
        let encoded = percent_encode(secret, kept).to_string();
        // The hexadecimal digits may be small ones.
        for encoded in [lower_hex(&encoded), encoded] {
            spellings.push(encoded.replace("%20", "+"));
            spellings.push(encoded);
        }
    }
    // The longest first: none may break one that holds it.
    spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    spellings.dedup();
    spellings
}

fn lower_hex(encoded: &str) -> String {
    let mut digits = 0;
    encoded
        .chars()
        .map(|c| {
            if c == '%' {
                digits = 2;
                c
            } else if digits > 0 {
                digits -= 1;
                c.to_ascii_lowercase()
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_goes_and_short_words_stay() {
        let secrets: [&[u8]; 2] = [b"s3 cr&t", b"ab"];
        let text = "no s3 cr&t, no s3%20cr%26t, no s3+cr%26t; about\n";
        assert_eq!(
            redact(text, secrets),
            "no [redacted], no [redacted], no [redacted]; about"
        );
    }

    #[test]
    fn every_encoder_s_spelling_goes() {
        let text = "k-y.of%2Fthe%2Btest k-y.of%2fthe%2btest k%2Dy%2Eof%2Fthe%2Btest";
        assert_eq!(
            redact(text, [b"k-y.of/the+test".as_slice()]),
            "[redacted] [redacted] [redacted]"
        );
    }

    #[test]
    fn secrets_that_overlap_or_look_like_the_mark_are_taken_out_once() {
        let secrets: [&[u8]; 3] = [b"abcd", b"cdef", b"redac"];
        assert_eq!(
            redact("x abcdef redacted y", secrets),
            "x [redacted] [redacted]ted y"
        );
        let cut = redact(&"redac".repeat(1_000), secrets);
        assert_eq!(cut, MARK.repeat(LONGEST / MARK.len()));
    }

    #[test]
    fn a_secret_at_the_cut_goes_whole() {
        let text = format!("{}secret-token", "x".repeat(LONGEST - 5));
        assert!(!redact(&text, [b"secret-token".as_slice()]).contains("secr"));
    }
}
