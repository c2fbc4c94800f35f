//! Lists with one ID a line, and the bounded line reader under them.

use super::watched::is_moved_end;
use super::{IdBatch, IdsError, Item, Problem, clean};
use memchr::memchr;
use std::borrow::Cow;
use std::io::{BufRead as _, BufReader, Read};

const MIB: u64 = 1 << 20;

/// Lines of UTF-8 text, one in memory at a time, each of bounded length.
pub(super) struct TextLines {
    name: String,
    bytes: BufReader<Box<dyn Read + Send>>,
    /// A line that was not whole in what was read ahead.
    buffer: Vec<u8>,
    /// Bytes of what is read ahead that the last line took.
    taken: usize,
    line: u64,
    /// In MiB.
    longest: u64,
}

impl TextLines {
    pub(super) fn new(name: String, bytes: Box<dyn Read + Send>, longest: u64) -> TextLines {
        TextLines {
            name,
            bytes: BufReader::with_capacity(128 * 1024, bytes),
            buffer: Vec::new(),
            taken: 0,
            line: 0,
            longest,
        }
    }

    /// The number of the line that was read last.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// An error on the line that was read last.
    pub(super) fn fail(&self, problem: Problem) -> IdsError {
        IdsError::Line {
            name: self.name.clone(),
            line: self.line,
            problem,
        }
    }

    /// The next line without the space around it, its end, and a byte order mark:
    /// files that were joined have one in their midst.
    pub(super) fn next_line(&mut self) -> Result<Option<&str>, IdsError> {
        self.bytes.consume(std::mem::take(&mut self.taken));
        let whole = memchr(b'\n', self.bytes.buffer());
        let line = match whole {
            // It is read where it is: longer than that buffer no line need be.
            Some(end) => {
                self.taken = end + 1;
                self.bytes.buffer().get(..end).unwrap_or_default()
            }
            None => {
                if !self.read_on()? {
                    return Ok(None);
                }
                &self.buffer
            }
        };
        self.line += 1;
        if line.len() as u64 > self.longest * MIB {
            return Err(self.fail(Problem::TooLong(self.longest)));
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(self.fail(Problem::NotUtf8));
        };
        Ok(Some(trim(line)))
    }

    /// Reads a line, or a byte more than it may have, into `buffer`; false at the end.
    fn read_on(&mut self) -> Result<bool, IdsError> {
        self.buffer.clear();
        let mut bounded = (&mut self.bytes).take(self.longest * MIB + 1);
        match bounded.read_until(b'\n', &mut self.buffer) {
            Ok(read) => Ok(read > 0),
            Err(source) if is_moved_end(&source) => Ok(false),
            Err(source) => Err(IdsError::Read {
                name: self.name.clone(),
                line: self.line,
                source,
            }),
        }
    }
}

/// One ID a line; `#` begins a comment line.
pub(super) struct Lines(TextLines);

impl Lines {
    pub(super) fn new(lines: TextLines) -> Lines {
        Lines(lines)
    }

    /// Reads on to the next ID and hands it to `take`.
    fn next_id<T>(&mut self, take: impl FnOnce(&str) -> T) -> Result<Option<T>, IdsError> {
        loop {
            let Some(line) = self.0.next_line()? else {
                return Ok(None);
            };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // Most lines are nothing but an ID, and that is seen faster than made.
            if is_plain(line) && !line.starts_with('"') {
                return Ok(Some(take(line)));
            }
            match clean(&unquote(line)) {
                Ok(Some(id)) => return Ok(Some(take(id))),
                Ok(None) => {}
                Err(problem) => return Err(self.0.fail(problem)),
            }
        }
    }

    /// Reads on to the next ID and appends it; `None` at the end.
    pub(super) fn read(&mut self, batch: &mut IdBatch) -> Result<Option<()>, IdsError> {
        self.next_id(|id| batch.push(id))
    }

    pub(super) fn next(&mut self) -> Option<Result<Item, IdsError>> {
        let id = self.next_id(str::to_owned).transpose()?;
        let position = self.0.line();
        Some(id.map(|id| Item { id, position }))
    }

    pub(super) fn count(mut self) -> Result<u64, IdsError> {
        let mut count = 0;
        while self.next_id(|_| ())?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

/// The text without the space around it and byte order marks before it.
fn trim(line: &str) -> &str {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let bytes = line.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    let graphic = |end: Option<&u8>| end.is_some_and(u8::is_ascii_graphic);
    match ends.into_iter().all(graphic) {
        true => line,
        false => line
            .trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace())
            .trim_end(),
    }
}

/// Whether the text is of printable ASCII alone, without a space. Looks at eight
/// bytes at a time: an ID is too short for more.
fn is_plain(text: &str) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = 0x80 * ONES;
    // In a byte's highest bit: it is below `!`, or `~` is below it.
    let odd = |eight: &[u8; 8]| {
        let eight = u64::from_ne_bytes(*eight);
        let below = eight.wrapping_sub(u64::from(b'!') * ONES) & !eight;
        (below | eight.wrapping_add(ONES) | eight) & HIGH
    };
    let bytes = text.as_bytes();
    let Some(last) = bytes.last_chunk() else {
        return bytes.iter().all(u8::is_ascii_graphic);
    };
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().fold(odd(last), |any, eight| any | odd(eight)) == 0
}

/// A spreadsheet's `"…"` around the whole line is not part of the ID.
fn unquote(line: &str) -> Cow<'_, str> {
    let inner = line
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if inner.contains('"') => Cow::Owned(inner.replace("\"\"", "\"")),
        Some(inner) => Cow::Borrowed(inner),
        None => Cow::Borrowed(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn plain_is_what_is_graphic_ascii(text in "[ -~\u{7f}\u{80}é]{0,30}", plain in "[!-~]{0,30}") {
            prop_assert_eq!(is_plain(&text), text.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert!(is_plain(&plain));
            let line = format!("{text}\r");
            prop_assert_eq!(trim(&line), text.trim());
        }
    }
}
