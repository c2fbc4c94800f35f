//! The IDs of a bench: 22 base-62 characters, as Spotify makes them.
//!
//! Owns how a number becomes an ID and back. That it goes back is what lets a
//! check of ten million lines do with a bit for each.

use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Characters in an ID.
pub const LENGTH: usize = 22;

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Odd, so multiplying by it modulo 2^128 loses nothing; the golden ratio, so that neighbours look unlike.
const SPREAD: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;

/// The ID of this number.
pub fn id(number: u64) -> [u8; LENGTH] {
    let mut rest = u128::from(number + 1).wrapping_mul(SPREAD);
    let mut id = [b'0'; LENGTH];
    for place in id.iter_mut().rev() {
        *place = LETTERS[(rest % 62) as usize];
        rest /= 62;
    }
    id
}

/// The number that made this ID, if one did.
pub fn number(id: &[u8]) -> Option<u64> {
    if id.len() != LENGTH {
        return None;
    }
    let mut value: u128 = 0;
    for letter in id {
        let digit = match letter {
            b'0'..=b'9' => letter - b'0',
            b'A'..=b'Z' => letter - b'A' + 10,
            b'a'..=b'z' => letter - b'a' + 36,
            _ => return None,
        };
        value = value.checked_mul(62)?.checked_add(u128::from(digit))?;
    }
    u64::try_from(value.wrapping_mul(inverse(SPREAD)))
        .ok()?
        .checked_sub(1)
}

/// Newton's method: each step doubles the number of bits that are right.
const fn inverse(odd: u128) -> u128 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 7 {
        inverse = inverse.wrapping_mul(2_u128.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

/// Writes the first `count` IDs, one a line.
pub fn write_list(path: &Path, count: u64) -> io::Result<()> {
    let mut list = BufWriter::with_capacity(1 << 16, std::fs::File::create(path)?);
    for n in 0..count {
        list.write_all(&id(n))?;
        list.write_all(b"\n")?;
    }
    list.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_goes_back_to_its_number() {
        for n in (0..100_000).chain([10_000_000, u64::MAX - 1]) {
            assert_eq!(number(&id(n)), Some(n));
        }
        for foreign in [
            &b"short"[..],
            b"0000000000000000000000",
            b"zzzzzzzzzzzzzzzzzzzzzz",
        ] {
            assert_eq!(number(foreign), None);
        }
    }
}
