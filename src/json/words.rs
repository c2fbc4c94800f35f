//! Bytes of a text, eight at a time.
//!
//! Owns the arithmetic on words. Must never know what the bytes mean.

/// A byte of 1 in each place of a word.
pub(super) const ONES: u64 = u64::MAX / 255;
/// The high bit in each place of a word: where it is set, something was found.
pub(super) const HIGH: u64 = ONES << 7;

/// The eight bytes from `at` on, the first of them lowest.
#[inline]
pub(super) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*eight))
}

/// Where a word has this byte.
#[inline]
pub(super) fn equal(word: u64, byte: u8) -> u64 {
    zeros(word ^ (ONES * u64::from(byte)))
}

/// Where a word has a byte of 0. (No byte's sum reaches the next byte.)
#[inline]
fn zeros(word: u64) -> u64 {
    !(((word & !HIGH) + !HIGH) | word) & HIGH
}

/// Whether a word has this byte, which is an ASCII character.
#[inline]
pub(super) fn has(word: u64, byte: u8) -> bool {
    // A borrow goes on to other bytes only from one that is there.
    let zero_there = word ^ (ONES * u64::from(byte));
    zero_there.wrapping_sub(ONES) & !zero_there & HIGH != 0
}

/// Where a word has one of `[]{}`, or of `Yy_` and DEL, which are never outside
/// of JSON's strings.
#[inline]
pub(super) fn brackets(word: u64) -> u64 {
    // They have these bits in common, and no other byte has.
    zeros((word & (ONES * 0xD9)) ^ (ONES * 0x59))
}

/// From a place that is set up to the next, that one excluded, and so on: the
/// strings, when the quotes are set.
#[inline]
pub(super) fn between(mut places: u64) -> u64 {
    places ^= places << 8;
    places ^= places << 16;
    places ^ (places << 32)
}

/// The first position from `at` on that is a quote, a backslash, a control
/// character or the end: what a string's inside can't simply contain.
#[inline]
pub(super) fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    // Eight at a time. A byte that is too low borrows into its own high bit;
    // bytes after the first hit may be wrong, and are not looked at.
    while let Some(word) = word_at(bytes, at) {
        let control = word.wrapping_sub(ONES * 0x20);
        let quote = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
        let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
        let hits = (control | quote | backslash) & !word & HIGH;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(0x20..=0x21 | 0x23..=0x5B | 0x5D..) = bytes.get(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The high bit where `found` says so.
    fn places(bytes: [u8; 8], mut found: impl FnMut(u8) -> bool) -> u64 {
        u64::from_le_bytes(bytes.map(|byte| if found(byte) { 0x80 } else { 0 }))
    }

    #[test]
    fn every_byte_in_every_place() {
        for byte in 0..=u8::MAX {
            for other in [0, 0x7f, 0x80, 0xff, byte.wrapping_add(1), byte ^ 0x80] {
                for place in 0..8 {
                    let mut bytes = [other; 8];
                    bytes[place] = byte;
                    let word = u64::from_le_bytes(bytes);
                    let found = brackets(word);
                    assert_eq!(found, places(bytes, |byte| b"[]{}Yy_\x7f".contains(&byte)));
                    for sought in *b"\"\\" {
                        assert_eq!(equal(word, sought), places(bytes, |byte| byte == sought));
                        assert_eq!(has(word, sought), bytes.contains(&sought));
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn words_are_read_as_bytes_are(bytes in any::<[u8; 8]>(), sought in 0..0x80_u8) {
            let word = u64::from_le_bytes(bytes);
            prop_assert_eq!(equal(word, sought), places(bytes, |byte| byte == sought));
            prop_assert_eq!(has(word, sought), bytes.contains(&sought));
            let mut inside = false;
            let strings = places(bytes, |byte| {
                inside ^= byte < 0x40;
                inside
            });
            prop_assert_eq!(between(places(bytes, |byte| byte < 0x40)), strings);
        }
    }
}
