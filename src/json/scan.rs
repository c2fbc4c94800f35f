//! A place in compact JSON text, and how to get past what stands there.
//!
//! Owns how a value's end is found. Must never judge what it steps over (the
//! text is JSON: `pass.rs` has seen to that), and never loop or panic when it
//! is not.

use super::words::{HIGH, between, brackets, equal, has, plain_until, word_at};

/// No compact JSON at this byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Odd(pub(super) usize);

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'t> {
    pub(super) bytes: &'t [u8],
    pub(super) at: usize,
}

/// A string without its quotes, as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quoted<'t> {
    pub(super) inside: &'t [u8],
    /// It holds a backslash.
    pub(super) escaped: bool,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(bytes: &'t [u8]) -> Cursor<'t> {
        Cursor { bytes, at: 0 }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Steps over `byte` if it is the next.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Steps over `byte`, which must be the next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> Result<(), Odd> {
        match self.eat(byte) {
            true => Ok(()),
            false => Err(self.odd()),
        }
    }

    pub(super) fn odd(&self) -> Odd {
        Odd(self.at)
    }

    /// The text from `from` to here.
    #[inline]
    pub(super) fn since(&self, from: usize) -> &'t [u8] {
        self.bytes.get(from..self.at).unwrap_or_default()
    }

    /// A member's name and the colon after it.
    #[inline]
    pub(super) fn name(&mut self) -> Result<Quoted<'t>, Odd> {
        self.take(b'"')?;
        let from = self.at;
        let (at, escaped) = self.string_end(from)?;
        let inside = self.bytes.get(from..at - 1).unwrap_or_default();
        self.at = at;
        self.take(b':')?;
        Ok(Quoted { inside, escaped })
    }

    /// Steps over a value.
    #[inline]
    pub(super) fn skip(&mut self) -> Result<(), Odd> {
        match self.peek() {
            Some(b'"') => {
                (self.at, _) = self.string_end(self.at + 1)?;
                Ok(())
            }
            Some(b'{' | b'[') => {
                self.at += 1;
                self.close()
            }
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.at += 1;
                while let Some(b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z') =
                    self.peek()
                {
                    self.at += 1;
                }
                Ok(())
            }
            _ => Err(self.odd()),
        }
    }

    /// Steps over the rest of the innermost object or array, its end included.
    pub(super) fn close(&mut self) -> Result<(), Odd> {
        let mut rest = Rest {
            at: self.at,
            open: 0,
            inside: 0,
        };
        while let Some(word) = word_at(self.bytes, rest.at) {
            if has(word, b'\\') {
                // An escape may reach into the next word.
                let until = rest.at + 8;
                match self.close_bytewise(rest, until)? {
                    Ok(end) => {
                        self.at = end;
                        return Ok(());
                    }
                    Err(further) => rest = further,
                }
                continue;
            }
            let quotes = equal(word, b'"');
            if quotes == 0 && rest.inside != 0 {
                rest.at += 8;
                continue;
            }
            let strings = between(quotes) ^ rest.inside;
            let mut brackets = brackets(word) & !strings;
            while brackets != 0 {
                let place = brackets.trailing_zeros() / 8;
                if rest.is_closed_by((word >> (8 * place)) as u8) {
                    self.at = rest.at + place as usize + 1;
                    return Ok(());
                }
                brackets &= brackets - 1;
            }
            rest.inside = (strings >> 63) * HIGH;
            rest.at += 8;
        }
        match self.close_bytewise(rest, usize::MAX)? {
            Ok(end) => {
                self.at = end;
                Ok(())
            }
            Err(rest) => Err(Odd(rest.at)),
        }
    }

    /// The same byte by byte as far as `until`: the position after the end, or
    /// what is left to do.
    fn close_bytewise(&self, mut rest: Rest, until: usize) -> Result<Result<usize, Rest>, Odd> {
        while rest.at < until {
            let byte = *self.bytes.get(rest.at).ok_or(Odd(rest.at))?;
            rest.at += 1;
            match byte {
                b'\\' if rest.inside != 0 => rest.at += 1,
                b'"' => rest.inside ^= HIGH,
                _ if rest.inside == 0 && rest.is_closed_by(byte) => return Ok(Ok(rest.at)),
                _ => {}
            }
        }
        Ok(Err(rest))
    }

    /// The position after a string's closing quote, and whether it has escapes;
    /// `at` is after the opening one.
    #[inline]
    fn string_end(&self, mut at: usize) -> Result<(usize, bool), Odd> {
        let mut escaped = false;
        loop {
            at = plain_until(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => return Ok((at + 1, escaped)),
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                _ => return Err(Odd(at)),
            }
        }
    }
}

/// On the way to the end of an object or array.
#[derive(Debug, Clone, Copy)]
struct Rest {
    at: usize,
    /// How many are open within it.
    open: usize,
    /// `HIGH` when the text before `at` ends inside of a string, or 0.
    inside: u64,
}

impl Rest {
    /// Counts a bracket; another byte is none.
    #[inline]
    fn is_closed_by(&mut self, bracket: u8) -> bool {
        match bracket {
            b'{' | b'[' => self.open += 1,
            b'}' | b']' if self.open == 0 => return true,
            b'}' | b']' => self.open -= 1,
            _ => {}
        }
        false
    }
}
