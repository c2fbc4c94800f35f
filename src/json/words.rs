//! Bytes of a text, eight at a time.
//!
//! Owns the arithmetic on words. Must never know what the bytes mean.

/// A byte of 1 in each place of a word.
pub(super) const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// The eight bytes from `at` on, the first of them lowest.
#[inline]
pub(super) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*eight))
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
