//! What must hold for any ID file.
#![allow(clippy::panic, reason = "a body fails by panicking")]

use super::FileReader;
use crate::fuzzing::first_line;
use crate::job::{IdFormat, json_path};
use std::io::{self, Cursor, Read};

/// The form (`txt`, `csv`, `csv NAME`, `tsv NAME`, `ndjson PATH`), then the
/// file: reader and counter agree, no line has two IDs, every ID is clean, and
/// it does not matter in which pieces the bytes come.
pub fn id_file(bytes: &[u8]) {
    let Some((form, content)) = first_line(bytes) else {
        return;
    };
    let (kind, argument) = form.split_once(' ').unwrap_or((form, ""));
    let column = || Some(argument.to_owned()).filter(|name| !name.is_empty());
    let format = match kind {
        "txt" => IdFormat::Lines,
        "csv" | "tsv" => IdFormat::Delimited {
            delimiter: if kind == "csv" { b',' } else { b'\t' },
            column: column(),
        },
        "ndjson" => match json_path(argument) {
            // Longer ones are for the fuzzing of columns.
            Ok(field) if argument.len() <= 16 => IdFormat::Ndjson { field },
            _ => return,
        },
        _ => return,
    };
    let (items, error) = read(&format, content, content.len().max(1));
    assert_eq!(read(&format, content, 1), (items.clone(), error.clone()));
    let lines = content.split_inclusive(|byte| *byte == b'\n').count() as u64;
    let mut last = 0;
    for (id, position) in &items {
        assert!(!id.is_empty() && id.trim() == id && !id.contains(char::is_control));
        assert!(*position > last && *position <= lines, "{position}");
        last = *position;
    }
    let counted = open(&format, content, 3)
        .and_then(|reader| reader.count().map_err(|error| error.to_string()));
    match (counted, error) {
        (Ok(count), None) => assert_eq!(count, items.len() as u64),
        // The counter does not read the JSON.
        (Ok(count), Some(_)) => {
            assert!(kind == "ndjson" && count > items.len() as u64 && count <= lines);
        }
        (Err(told), Some(error)) => assert!(kind == "ndjson" || told == error),
        (Err(told), None) => panic!("only the counter says: {told}"),
    }
}

/// Every item, and the error at the end.
fn read(format: &IdFormat, content: &[u8], step: usize) -> (Vec<(String, u64)>, Option<String>) {
    let mut reader = match open(format, content, step) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut items = Vec::new();
    while let Some(item) = reader.next() {
        match item {
            Ok(item) => items.push((item.id, item.position)),
            Err(error) => return (items, Some(error.to_string())),
        }
    }
    (items, None)
}

fn open(format: &IdFormat, content: &[u8], step: usize) -> Result<FileReader, String> {
    let pieces = Pieces {
        content: Cursor::new(content.to_vec()),
        step,
    };
    FileReader::new("list".to_owned(), Box::new(pieces), format).map_err(|error| error.to_string())
}

/// Hands out at most `step` bytes at a time.
struct Pieces {
    content: Cursor<Vec<u8>>,
    step: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.by_ref().take(self.step as u64).read(buffer)
    }
}
