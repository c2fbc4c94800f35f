//! One row of CSV or TSV (RFC 4180).
//!
//! Owns delimiters, quotes and line ends. Must never change a cell's text.

use csv_core::{Terminator, WriteResult, Writer, WriterBuilder};

/// Bytes at a time on their way through the csv crate's core.
const ROOM: usize = 256;

/// The format of the rows.
#[derive(Debug)]
pub(super) struct RowFormat {
    /// At the beginning of a row.
    writer: Writer,
}

impl RowFormat {
    pub(super) fn new(delimiter: u8) -> RowFormat {
        let mut builder = WriterBuilder::new();
        builder.delimiter(delimiter);
        builder.terminator(Terminator::Any(b'\n'));
        RowFormat {
            writer: builder.build(),
        }
    }

    /// Appends a row to `out`: cells are quoted where they must be, and an
    /// empty one that is alone in its row.
    pub(super) fn write(&self, cells: impl Iterator<Item = impl AsRef<str>>, out: &mut Vec<u8>) {
        let mut writer = self.writer.clone();
        for (n, cell) in cells.enumerate() {
            if n > 0 {
                append(out, |room| writer.delimiter(room));
            }
            let mut rest = cell.as_ref().as_bytes();
            append(out, |room| {
                let (result, read, written) = writer.field(rest, room);
                rest = rest.get(read..).unwrap_or_default();
                (result, written)
            });
        }
        append(out, |room| writer.terminator(room));
    }
}

/// Appends what `part` writes into the room that it is given, in as many calls
/// as it takes.
fn append(out: &mut Vec<u8>, mut part: impl FnMut(&mut [u8]) -> (WriteResult, usize)) {
    let mut room = [0; ROOM];
    loop {
        let (result, written) = part(&mut room);
        out.extend_from_slice(room.get(..written).unwrap_or_default());
        if matches!(result, WriteResult::InputEmpty) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(delimiter: u8, cells: &[&str]) -> String {
        let mut out = Vec::new();
        RowFormat::new(delimiter).write(cells.iter(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(row(b',', &["a", "", "b c"]), "a,,b c\n");
        assert_eq!(
            row(b',', &["a,b", "\"", "a\nb", "\r"]),
            "\"a,b\",\"\"\"\",\"a\nb\",\"\r\"\n"
        );
        assert_eq!(row(b'\t', &["a,b", "a\tb"]), "a,b\t\"a\tb\"\n");
        assert_eq!(row(b',', &[""]), "\"\"\n");
        assert_eq!(row(b',', &["", ""]), ",\n");
        let quotes = "\"".repeat(10 * ROOM + 1);
        assert_eq!(row(b',', &[&quotes]), format!("\"{quotes}{quotes}\"\n"));
    }

    proptest! {
        /// The csv crate is the judge.
        #[test]
        fn a_row_is_what_the_csv_crate_writes(
            cells in prop::collection::vec("[a,;\t\"\r\n\u{e9} ]{0,90}", 1..5),
            tab in any::<bool>(),
        ) {
            let delimiter = if tab { b'\t' } else { b',' };
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            let mut judge = csv::WriterBuilder::new()
                .delimiter(delimiter)
                .terminator(csv::Terminator::Any(b'\n'))
                .from_writer(Vec::new());
            judge.write_record(&cells).unwrap();
            let judged = String::from_utf8(judge.into_inner().unwrap()).unwrap();
            prop_assert_eq!(row(delimiter, &cells), judged);
        }
    }
}
