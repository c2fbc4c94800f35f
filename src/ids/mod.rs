//! The stream of items.
//!
//! Owns how an ID list is read: the inline IDs, then the file or stdin, one
//! line at a time, so memory does not grow with the list. Tells the line of
//! whatever is no ID, and stops there. Must not drop repeats (the run does),
//! and must never send or write anything.

mod batch;
mod delimited;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod lines;
mod ndjson;
mod watched;

pub use batch::IdBatch;
pub use error::{IdsError, Problem};

use self::delimited::{Columns, Delimited};
use self::lines::{Lines, TextLines};
use self::ndjson::{Fields, Ndjson};
use self::watched::watched;
use crate::job::{IdFile, IdFormat, IdSource, Ids};
use std::fs::File;
use std::io::{self, Read};

/// One thing to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What `{id}` becomes; of several variables, the JSON object (see [`crate::job::object_id`]).
    pub id: String,
    /// Counted from 1: the line of the file, or the place in `list`.
    pub position: u64,
}

/// The items of a job, in the order of its list. Ends after an error.
pub struct ItemReader {
    list: std::iter::Enumerate<std::vec::IntoIter<String>>,
    file: Option<FileReader>,
}

enum FileReader {
    Lines(Lines),
    Delimited(Delimited),
    Ndjson(Ndjson),
}

/// Opens the list of a job.
pub fn open(ids: &Ids) -> Result<ItemReader, IdsError> {
    Ok(ItemReader {
        list: ids.list.clone().into_iter().enumerate(),
        file: match &ids.file {
            Some(file) => Some(FileReader::open(file, true)?),
            None => None,
        },
    })
}

/// How many items the list has, repeats included; `None` when it comes from stdin.
pub fn count(ids: &Ids) -> Result<Option<u64>, IdsError> {
    let list = ids.list.len() as u64;
    match &ids.file {
        None => Ok(Some(list)),
        Some(file) if file.source == IdSource::Stdin => Ok(None),
        // Bytes that are read from a pipe to be counted would be missing from the list.
        Some(IdFile {
            source: IdSource::Path(path),
            ..
        }) if std::fs::metadata(path).is_ok_and(|m| !m.is_file()) => Ok(None),
        Some(file) => Ok(Some(list + FileReader::open(file, false)?.count()?)),
    }
}

impl ItemReader {
    /// Appends the next `most` IDs to `batch`: fewer, when the list ends there.
    ///
    /// # Errors
    /// [`IdsError`]; what came before it is in `batch`.
    pub fn read(&mut self, batch: &mut IdBatch, most: usize) -> Result<(), IdsError> {
        let most = batch.len() + most;
        while batch.len() < most {
            if let Some((_, id)) = self.list.next() {
                batch.push(&id);
                continue;
            }
            let Some(file) = &mut self.file else { break };
            let read = match file {
                FileReader::Lines(reader) => reader.read(batch).transpose(),
                FileReader::Delimited(reader) => push(reader.next(), batch),
                FileReader::Ndjson(reader) => push(reader.next(), batch),
            };
            if !matches!(read, Some(Ok(()))) {
                self.file = None;
            }
            read.unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

fn push(next: Option<Result<Item, IdsError>>, batch: &mut IdBatch) -> Option<Result<(), IdsError>> {
    next.map(|item| item.map(|item| batch.push(&item.id)))
}

impl Iterator for ItemReader {
    type Item = Result<Item, IdsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((index, id)) = self.list.next() {
            let position = index as u64 + 1;
            return Some(Ok(Item { id, position }));
        }
        let next = self.file.as_mut()?.next();
        if !matches!(next, Some(Ok(_))) {
            self.file = None;
        }
        next
    }
}

impl std::iter::FusedIterator for ItemReader {}

impl FileReader {
    /// `tells`: a file that changes while it is read is told.
    fn open(file: &IdFile, tells: bool) -> Result<FileReader, IdsError> {
        let (name, bytes): (String, Box<dyn Read + Send>) = match &file.source {
            IdSource::Stdin => ("stdin".to_owned(), Box::new(io::stdin())),
            IdSource::Path(path) => {
                let name = path.display().to_string();
                match File::open(path).and_then(|file| watched(&name, file, tells)) {
                    Ok(bytes) => (name, bytes),
                    Err(source) => return Err(IdsError::Open { name, source }),
                }
            }
        };
        FileReader::new(name, bytes, &file.format)
    }

    fn new(
        name: String,
        bytes: Box<dyn Read + Send>,
        format: &IdFormat,
    ) -> Result<FileReader, IdsError> {
        Ok(match format {
            IdFormat::Lines => FileReader::Lines(Lines::new(TextLines::new(name, bytes, 1))),
            IdFormat::Delimited { delimiter, column } => {
                let column = Columns::One(column.as_deref());
                FileReader::Delimited(Delimited::open(name, bytes, *delimiter, column)?)
            }
            IdFormat::Rows { delimiter, columns } => {
                let columns = Columns::Several(columns);
                FileReader::Delimited(Delimited::open(name, bytes, *delimiter, columns)?)
            }
            IdFormat::Ndjson { field } => {
                let lines = TextLines::new(name, bytes, 64);
                FileReader::Ndjson(Ndjson::new(lines, Fields::One(field.clone())))
            }
            IdFormat::Objects { fields } => {
                let lines = TextLines::new(name, bytes, 64);
                FileReader::Ndjson(Ndjson::new(lines, Fields::Several(fields.clone())))
            }
        })
    }

    fn next(&mut self) -> Option<Result<Item, IdsError>> {
        match self {
            FileReader::Lines(reader) => reader.next(),
            FileReader::Delimited(reader) => reader.next(),
            FileReader::Ndjson(reader) => reader.next(),
        }
    }

    fn count(self) -> Result<u64, IdsError> {
        match self {
            FileReader::Lines(reader) => reader.count(),
            FileReader::Delimited(reader) => reader.count(),
            FileReader::Ndjson(reader) => reader.count(),
        }
    }
}

/// The ID in a cell or line: no spaces around it, no control characters in it.
/// `None` when it is blank.
fn clean(text: &str) -> Result<Option<&str>, Problem> {
    let id = text.trim();
    // Bytes first, and all of them: without a way out the scan takes many at once.
    let may_be_control = |b: u8| (b < 0x20) | (b == 0x7f) | (b == 0xc2);
    if id.bytes().fold(false, |any, b| any | may_be_control(b))
        && let Some(c) = id.chars().find(|c| c.is_control())
    {
        return Err(Problem::Control(u32::from(c)));
    }
    Ok(Some(id).filter(|id| !id.is_empty()))
}

#[cfg(test)]
mod tests;
