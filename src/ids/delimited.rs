//! CSV and TSV lists: a header row, and the column that holds the IDs, or a
//! column for each variable.

use super::watched::is_moved_end;
use super::{IdsError, Item, Problem, clean};
use crate::job::{nearest, object_id};
use csv::ByteRecord;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};

/// No record is longer, so that a quote that is never closed does not read the
/// whole file into memory.
const LONGEST: usize = 16 << 20;
const LONGEST_MIB: u64 = 16;

/// Bytes of a file's end that are remembered.
const TAIL: usize = 4;

/// UTF-8's byte order mark.
const MARK: [u8; 3] = *b"\xEF\xBB\xBF";

/// The bytes after a byte order mark, or after several: two files joined end to
/// end by a careless program begin so. The csv crate takes one out only when
/// more bytes come with it, and a pipe hands out what it likes.
fn without_mark(mut bytes: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut first = Vec::with_capacity(MARK.len());
    loop {
        bytes
            .by_ref()
            .take(MARK.len() as u64)
            .read_to_end(&mut first)?;
        if first != MARK {
            return Ok(Box::new(io::Cursor::new(first).chain(bytes)));
        }
        first.clear();
    }
}

/// Which columns are read.
pub(super) enum Columns<'a> {
    /// The one that holds the IDs; without a name, the only one.
    One(Option<&'a str>),
    /// Variable and column.
    Several(&'a [(String, String)]),
}

/// A column that is read.
struct Cell {
    /// What it fills, when there are several.
    variable: String,
    column: String,
    index: usize,
}

/// Rows of a CSV or TSV file, one in memory at a time.
pub(super) struct Delimited {
    name: String,
    rows: csv::Reader<Metered>,
    row: ByteRecord,
    /// The line that the row begins on.
    line: u64,
    /// Never empty; one holds the IDs, several fill variables.
    cells: Vec<Cell>,
}

impl Delimited {
    pub(super) fn open(
        name: String,
        bytes: Box<dyn Read + Send>,
        delimiter: u8,
        columns: Columns<'_>,
    ) -> Result<Delimited, IdsError> {
        let bytes = without_mark(bytes).map_err(|source| IdsError::Read {
            name: name.clone(),
            line: 0,
            source,
        })?;
        let rows = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            // By default a record ends between `\r` and `\n`, and line numbers
            // are off by one; like this, a `\r` is space at the end of a cell.
            .terminator(csv::Terminator::Any(b'\n'))
            .from_reader(Metered {
                bytes,
                left: LONGEST,
                total: 0,
                tail: Vec::new(),
                ended: false,
            });
        let mut reader = Delimited {
            name,
            rows,
            row: ByteRecord::new(),
            line: 1,
            cells: Vec::new(),
        };
        if !reader.next_row()? {
            return Err(reader.bad_header("is empty; it needs a header row".to_owned()));
        }
        let header: Option<Vec<String>> = reader
            .row
            .iter()
            .map(|name| Some(std::str::from_utf8(name).ok()?.trim().to_owned()))
            .collect();
        let Some(header) = header else {
            return Err(reader.fail(Problem::NotUtf8));
        };
        reader.cells = cells(&header, columns).map_err(|problem| reader.bad_header(problem))?;
        Ok(reader)
    }

    /// Reads the next row that is not blank; false at the end.
    fn next_row(&mut self) -> Result<bool, IdsError> {
        loop {
            self.rows.get_mut().left = LONGEST;
            self.line = self.rows.position().line();
            match self.rows.read_byte_record(&mut self.row) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) if is_end(&error) => return Ok(false),
                Err(error) => return Err(self.unreadable(error)),
            }
            // The reader skips empty lines before the row: count from its end.
            let inside = self.row.as_slice().iter().filter(|b| **b == b'\n').count() as u64;
            let end = self.rows.position().line();
            let source = self.rows.get_ref();
            let is_last = self.rows.position().byte() == source.total;
            let has_end = !is_last || source.tail.ends_with(b"\n");
            self.line = end.saturating_sub(inside + u64::from(has_end));
            if source.ended && ends_in_open_quote(&self.row, &source.tail) {
                self.line = end.saturating_sub(inside);
                return Err(self.fail(Problem::OpenQuote));
            }
            let is_blank = self.row.len() == 1 && self.row.as_slice().trim_ascii().is_empty();
            if !is_blank {
                return Ok(true);
            }
        }
    }

    pub(super) fn next(&mut self) -> Option<Result<Item, IdsError>> {
        self.next_item().transpose()
    }

    fn next_item(&mut self) -> Result<Option<Item>, IdsError> {
        while self.next_row()? {
            match self.id() {
                Ok(Some(id)) => {
                    let (id, position) = (id.into_owned(), self.line);
                    return Ok(Some(Item { id, position }));
                }
                Ok(None) => {}
                Err(problem) => return Err(self.fail(problem)),
            }
        }
        Ok(None)
    }

    pub(super) fn count(mut self) -> Result<u64, IdsError> {
        let mut count = 0;
        while self.next_row()? {
            match self.id() {
                Ok(id) => count += u64::from(id.is_some()),
                Err(problem) => return Err(self.fail(problem)),
            }
        }
        Ok(count)
    }

    /// The current row's ID; `None` when its cell is blank, or each of its cells.
    fn id(&self) -> Result<Option<Cow<'_, str>>, Problem> {
        if let [cell] = self.cells.as_slice() {
            return Ok(self.value(cell)?.map(Cow::Borrowed));
        }
        let mut values = BTreeMap::new();
        let mut empty = None;
        for cell in &self.cells {
            match self.value(cell) {
                Ok(Some(value)) => drop(values.insert(cell.variable.clone(), value.to_owned())),
                Ok(None) => empty = empty.or(Some(cell)),
                Err(problem @ Problem::Control(_)) => return Err(problem.of(&cell.variable)),
                Err(problem) => return Err(problem),
            }
        }
        match empty {
            None => Ok(Some(Cow::Owned(object_id(&values)))),
            Some(_) if values.is_empty() => Ok(None),
            Some(cell) => Err(Problem::EmptyCell {
                variable: cell.variable.clone(),
                column: cell.column.clone(),
            }),
        }
    }

    fn value(&self, cell: &Cell) -> Result<Option<&str>, Problem> {
        let text = self.row.get(cell.index);
        let mut text = text.ok_or_else(|| Problem::ShortRow(cell.column.clone()))?;
        // Files that were joined have a mark in their midst.
        if cell.index == 0 {
            text = text.strip_prefix(&MARK).unwrap_or(text);
        }
        clean(std::str::from_utf8(text).map_err(|_| Problem::NotUtf8)?)
    }

    fn fail(&self, problem: Problem) -> IdsError {
        IdsError::Line {
            name: self.name.clone(),
            line: self.line,
            problem,
        }
    }

    fn unreadable(&self, error: csv::Error) -> IdsError {
        let source = match error.into_kind() {
            csv::ErrorKind::Io(_) if self.rows.get_ref().left == 0 => {
                return self.fail(Problem::TooLong(LONGEST_MIB));
            }
            csv::ErrorKind::Io(source) => source,
            other => io::Error::other(format!("{other:?}")),
        };
        IdsError::Read {
            name: self.name.clone(),
            line: self.line.saturating_sub(1),
            source,
        }
    }

    fn bad_header(&self, problem: String) -> IdsError {
        IdsError::Header {
            name: self.name.clone(),
            problem,
        }
    }
}

fn is_end(error: &csv::Error) -> bool {
    matches!(error.kind(), csv::ErrorKind::Io(source) if is_moved_end(source))
}

/// The columns that are read, or what to do about them.
fn cells(header: &[String], columns: Columns<'_>) -> Result<Vec<Cell>, String> {
    let cell = |variable: &str, (index, column): (usize, String)| Cell {
        variable: variable.to_owned(),
        column,
        index,
    };
    match columns {
        Columns::One(column) => Ok(vec![cell("", find(header, column)?)]),
        Columns::Several(columns) => columns
            .iter()
            .map(|(variable, column)| match find(header, Some(column)) {
                Ok(found) => Ok(cell(variable, found)),
                Err(problem) => Err(format!(
                    "{problem}; `{{{variable}}}` takes its value from there: [ids.variables] names another"
                )),
            })
            .collect(),
    }
}

/// The index and the name of the column, or what to do about it.
fn find(header: &[String], column: Option<&str>) -> Result<(usize, String), String> {
    let names: Vec<String> = header.iter().map(|name| format!("`{name}`")).collect();
    let names = names.join(", ");
    let Some(column) = column else {
        return match header {
            [only] => Ok((0, only.clone())),
            _ => Err(format!(
                "has several columns: {names}; say which holds the IDs with `column` in [ids]"
            )),
        };
    };
    let named = header.iter().enumerate();
    let mut found = named.filter(|(_, name)| *name == column);
    match (found.next(), found.next()) {
        (Some((index, name)), None) => Ok((index, name.clone())),
        (Some(_), Some(_)) => Err(format!("has two columns `{column}`; rename one")),
        (None, _) => {
            let near = nearest(column, header.iter().map(String::as_str));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            Err(format!("has no column `{column}`, it has {names}{hint}"))
        }
    }
}

/// Whether the last cell goes over lines and its quote is not closed. `tail`
/// is how the row ends in the file.
fn ends_in_open_quote(row: &ByteRecord, tail: &[u8]) -> bool {
    let last = row.iter().next_back().unwrap_or_default();
    // A cell that ends in a line end has it before its closing quote.
    let closing: &[u8] = match last.last() {
        Some(b'\n') => b"\n\"",
        _ => b"\"",
    };
    // Without quotes, no cell has a line end in it.
    last.contains(&b'\n') && !tail.trim_ascii_end().ends_with(closing)
}

/// Hands out a bounded number of bytes before it must be refilled.
struct Metered {
    bytes: Box<dyn Read + Send>,
    left: usize,
    total: u64,
    /// The last bytes: room for a cell's end, a quote and a line end.
    tail: Vec<u8>,
    /// There are no more: whatever row comes now was ended by that.
    ended: bool,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("record too long"));
        }
        let read = (&mut self.bytes).take(self.left as u64).read(buffer)?;
        self.left = self.left.saturating_sub(read);
        self.total += read as u64;
        self.ended = read == 0 && !buffer.is_empty();
        let news = buffer.get(..read).unwrap_or_default();
        self.tail
            .extend(news.iter().skip(read.saturating_sub(TAIL)));
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        Ok(read)
    }
}
