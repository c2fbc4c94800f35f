//! A place in compact JSON text, and how to get past what stands there.
//!
//! Owns how a value's end is found. Must never judge what it steps over (the
//! text is JSON: `pass.rs` has seen to that), and never loop or panic when it
//! is not.

use super::words::plain_until;

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
        let mut at = self.at;
        // How many are open within it.
        let mut open = 0_usize;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => (at, _) = self.string_end(at + 1)?,
                Some(b'{' | b'[') => {
                    open += 1;
                    at += 1;
                }
                Some(b'}' | b']') => {
                    at += 1;
                    if open == 0 {
                        self.at = at;
                        return Ok(());
                    }
                    open -= 1;
                }
                Some(_) => at += 1,
                None => return Err(Odd(at)),
            }
        }
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
