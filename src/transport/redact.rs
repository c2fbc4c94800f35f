//! A server's words without the credentials that a careless server repeats.

use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine};
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
/// A shorter part of a base64 text may be anything's.
const SHORTEST_IN_BASE64: usize = 6;
/// Characters that a message keeps.
const LONGEST: usize = 300;

/// Stands where a secret was.
const MARK: &str = "[redacted]";

/// `text` as a message may show it: printable, short, and with each of
/// `secrets` taken out, in any spelling that HTTP gives it (as it is,
/// percent-encoded, form-encoded, base64). Cut only afterwards: half a secret is one too.
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

/// A secret in every spelling that is known of it, the longest first.
pub fn spellings(secret: &[u8]) -> Vec<String> {
    let mut spellings = vec![String::from_utf8_lossy(secret).into_owned()];
    for kept in ENCODERS {
        let encoded = percent_encode(secret, kept).to_string();
        // The hexadecimal digits may be small ones.
        for encoded in [lower_hex(&encoded), encoded] {
            spellings.push(encoded.replace("%20", "+"));
            spellings.push(encoded);
        }
    }
    let digits = |of: fn(&u8) -> String| secret.iter().map(of).collect();
    spellings.push(digits(|byte| format!("%{byte:02X}")));
    spellings.push(digits(|byte| format!("%{byte:02x}")));
    spellings.extend(in_base64(secret));
    // The longest first: none may break one that holds it.
    spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    spellings.dedup();
    spellings
}

/// What base64 makes of a secret, by itself and within a longer text (`user:secret`):
/// there, the characters that its bytes alone decide, for each place of its first byte.
fn in_base64(secret: &[u8]) -> Vec<String> {
    let whole = BASE64_STANDARD_NO_PAD.encode(secret);
    let mut found = vec![format!("{whole}="), format!("{whole}=="), whole];
    for before in 0..3 {
        let longer = [vec![0; before].as_slice(), secret].concat();
        let encoded = BASE64_STANDARD_NO_PAD.encode(&longer);
        let decided = (8 * before).div_ceil(6)..8 * longer.len() / 6;
        let part = encoded.get(decided).unwrap_or_default();
        found.extend((part.len() >= SHORTEST_IN_BASE64).then(|| part.to_owned()));
    }
    let for_urls: Vec<String> = found
        .iter()
        .filter(|text| text.contains(['+', '/']))
        .map(|text| text.replace('+', "-").replace('/', "_"))
        .collect();
    found.extend(for_urls);
    found
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
    fn all_of_it_percent_encoded_or_in_base64_goes() {
        use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
        for secret in ["hunter2", "s3cr3t?>ÿ~", "a-credential-of-the-test"] {
            let secrets = || [secret.as_bytes()];
            let upper: String = secret.bytes().map(|b| format!("%{b:02X}")).collect();
            assert_eq!(redact(&upper, secrets()), MARK);
            assert_eq!(redact(&lower_hex(&upper), secrets()), MARK);
            for user in ["", "u", "us", "use", "user:", "someone:"] {
                let pair = format!("{user}{secret}");
                for text in [
                    BASE64_STANDARD.encode(&pair),
                    BASE64_URL_SAFE.encode(&pair),
                    BASE64_STANDARD.encode(pair.clone() + "@h"),
                ] {
                    let shown = redact(&text, secrets());
                    assert!(shown.contains(MARK), "{text}: {shown}");
                    // At most what a part of a byte decides, at either end.
                    let left = shown.replace(MARK, "").len();
                    let others = BASE64_STANDARD.encode(user).len() + 8;
                    assert!(left <= others, "{text}: {shown}");
                    assert!(holds(&text, secrets()), "{text}");
                }
            }
        }
        // What is short stays a word.
        assert_eq!(redact("YWJj YWI=", [b"ab".as_slice()]), "YWJj YWI=");
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
