//! One pass over a body: is it JSON, and where is its white space?
//!
//! Owns the grammar of RFC 8259. Must never build a value: the bytes go through
//! as they came, and a tree would cost more than the request that brought them.

use super::words::{ONES, plain_until, word_at};

/// The text is no JSON. What is wrong with it is for a slower reader to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoJson;

/// The one JSON text that `text` is (RFC 8259), without insignificant white
/// space; `None` when it had none. Nesting has no limit but the text's length.
pub(super) fn compact(text: &str) -> Result<Option<Vec<u8>>, NoJson> {
    let mut pass = Pass {
        bytes: text.as_bytes(),
        at: 0,
        kept: 0,
        out: None,
        open: Nesting::default(),
    };
    pass.text()?;
    Ok(pass.rest())
}

struct Pass<'t> {
    bytes: &'t [u8],
    at: usize,
    /// `kept..at` is a run of bytes that stay.
    kept: usize,
    out: Option<Vec<u8>>,
    open: Nesting,
}

impl Pass<'_> {
    fn text(&mut self) -> Result<(), NoJson> {
        loop {
            if self.value()? {
                // An array's first item or a member's value comes next.
                continue;
            }
            // A value has ended, and perhaps what it was the last part of.
            loop {
                let Some(kind) = self.open.innermost() else {
                    return match self.token() {
                        None => Ok(()),
                        Some(_) => Err(NoJson),
                    };
                };
                match (self.token(), kind) {
                    (Some(b','), Container::Object) => {
                        self.at += 1;
                        self.key()?;
                        break;
                    }
                    (Some(b','), Container::Array) => {
                        self.at += 1;
                        break;
                    }
                    (Some(b'}'), Container::Object) | (Some(b']'), Container::Array) => {
                        self.at += 1;
                        self.open.close();
                    }
                    _ => return Err(NoJson),
                }
            }
        }
    }

    /// A scalar, an empty object or array, or the beginning of one: true then.
    fn value(&mut self) -> Result<bool, NoJson> {
        match self.token().ok_or(NoJson)? {
            b'"' => self.string()?,
            b'{' => {
                self.at += 1;
                if self.token() != Some(b'}') {
                    self.open.open(Container::Object);
                    self.key()?;
                    return Ok(true);
                }
                self.at += 1;
            }
            b'[' => {
                self.at += 1;
                if self.token() != Some(b']') {
                    self.open.open(Container::Array);
                    return Ok(true);
                }
                self.at += 1;
            }
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => return Err(NoJson),
        }
        Ok(false)
    }

    /// A member's name, and the colon after it.
    fn key(&mut self) -> Result<(), NoJson> {
        if self.token() != Some(b'"') {
            return Err(NoJson);
        }
        self.string()?;
        if self.token() != Some(b':') {
            return Err(NoJson);
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is not white space; stays before it.
    #[inline]
    fn token(&mut self) -> Option<u8> {
        match self.peek() {
            Some(b' ' | b'\n' | b'\r' | b'\t') => self.token_after_space(),
            byte => byte,
        }
    }

    fn token_after_space(&mut self) -> Option<u8> {
        let run = self.bytes.get(self.kept..self.at).unwrap_or_default();
        self.out
            .get_or_insert_with(|| Vec::with_capacity(self.bytes.len()))
            .extend_from_slice(run);
        let mut at = self.at + 1;
        let byte = loop {
            // Indentation, eight at a time.
            while let Some(word) = word_at(self.bytes, at) {
                let others = word ^ (ONES * u64::from(b' '));
                if others != 0 {
                    at += (others.trailing_zeros() / 8) as usize;
                    break;
                }
                at += 8;
            }
            match self.bytes.get(at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
                byte => break byte,
            }
        };
        (self.at, self.kept) = (at, at);
        byte.copied()
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn string(&mut self) -> Result<(), NoJson> {
        // The opening quote is the caller's.
        let mut at = self.at + 1;
        loop {
            at = plain_until(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(());
                }
                Some(b'\\') => at = self.escape(at + 1)?,
                // A control character, or the end.
                _ => return Err(NoJson),
            }
        }
    }

    /// The position after an escape whose backslash is before `at`.
    fn escape(&self, at: usize) -> Result<usize, NoJson> {
        match self.bytes.get(at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
            Some(b'u') => match self.bytes.get(at + 1..at + 5) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => Ok(at + 5),
                _ => Err(NoJson),
            },
            _ => Err(NoJson),
        }
    }

    fn number(&mut self) -> Result<(), NoJson> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit at least.
    fn digits(&mut self) -> Result<(), NoJson> {
        let begun = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == begun {
            return Err(NoJson);
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), NoJson> {
        let end = self.at + word.len();
        if self.bytes.get(self.at..end) != Some(word) {
            return Err(NoJson);
        }
        self.at = end;
        Ok(())
    }

    fn rest(self) -> Option<Vec<u8>> {
        let mut out = self.out?;
        out.extend_from_slice(self.bytes.get(self.kept..).unwrap_or_default());
        Some(out)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

/// The kinds of what is open, a bit each.
#[derive(Debug, Default)]
struct Nesting {
    /// The innermost 128 at most; 1 is an object.
    word: u128,
    in_word: u32,
    /// Full words of what is further out.
    outer: Vec<u128>,
}

impl Nesting {
    #[inline]
    fn open(&mut self, kind: Container) {
        if self.in_word == u128::BITS {
            self.outer.push(self.word);
            self.in_word = 0;
        }
        self.word = self.word << 1 | u128::from(kind == Container::Object);
        self.in_word += 1;
    }

    #[inline]
    fn close(&mut self) {
        self.word >>= 1;
        self.in_word = self.in_word.saturating_sub(1);
        if self.in_word == 0
            && let Some(word) = self.outer.pop()
        {
            self.word = word;
            self.in_word = u128::BITS;
        }
    }

    #[inline]
    fn innermost(&self) -> Option<Container> {
        match (self.in_word, self.word & 1) {
            (0, _) => None,
            (_, 1) => Some(Container::Object),
            _ => Some(Container::Array),
        }
    }
}

#[cfg(test)]
mod tests;
