//! A server's words without the credentials that a careless server repeats.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

/// Shorter texts are no secrets, and taking them out would garble every message.
const SHORTEST: usize = 4;
/// Characters that a message keeps.
const LONGEST: usize = 300;

/// `text` as a message may show it: printable, short, and with each of
/// `secrets` taken out, in any spelling that HTTP gives it (as it is,
/// percent-encoded, form-encoded). Cut only afterwards: half a secret is one too.
pub fn redact<'a>(text: &str, secrets: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut clean: String = text.chars().filter(|c| !c.is_control()).collect();
    for secret in secrets {
        if secret.len() < SHORTEST {
            continue;
        }
        let encoded = percent_encode(secret, NON_ALPHANUMERIC).to_string();
        let as_form = encoded.replace("%20", "+");
        for spelling in [String::from_utf8_lossy(secret).as_ref(), &encoded, &as_form] {
            clean = clean.replace(spelling, "[redacted]");
        }
    }
    clean.chars().take(LONGEST).collect()
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
    fn a_secret_at_the_cut_goes_whole() {
        let text = format!("{}secret-token", "x".repeat(LONGEST - 5));
        assert!(!redact(&text, [b"secret-token".as_slice()]).contains("secr"));
    }
}
