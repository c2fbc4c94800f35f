//! Why an ID list cannot be read: which file, which line, what to do.

use std::io;

/// Why the list of IDs stops.
#[derive(Debug, thiserror::Error)]
pub enum IdsError {
    /// The file cannot be opened.
    #[error(
        "cannot open the ID list `{name}`: {source}; `file` in [ids] is relative to the job file"
    )]
    Open {
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read on.
    #[error(
        "cannot read the ID list `{name}` after line {line}: {source}; what is done stays done: \
         run the same command again when the list can be read"
    )]
    Read {
        /// The file, or `stdin`.
        name: String,
        /// The last line that was read.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The header row does not lead to the IDs.
    #[error("the ID list `{name}` {problem}")]
    Header {
        /// The file, or `stdin`.
        name: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// One line is no ID.
    #[error("the ID list `{name}`, line {line}: {problem}")]
    Line {
        /// The file, or `stdin`.
        name: String,
        /// Counted from 1.
        line: u64,
        /// What is wrong, and what to do.
        problem: Problem,
    },
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Bytes that are no UTF-8 text.
    #[error("not UTF-8; save the file as UTF-8")]
    NotUtf8,
    /// Too long to be kept in memory.
    #[error("longer than {0} MiB; is a line end or a closing quote missing?")]
    TooLong(u64),
    /// All rows to the end would be part of one cell.
    #[error("the quote that begins in this row is never closed, and swallows all rows after it")]
    OpenQuote,
    /// A character that no ID has.
    #[error("a control character (U+{0:04X}) in the ID; is this a text file?")]
    Control(u32),
    /// A row that ends before the column.
    #[error("the row has no column `{0}`; is a delimiter or a quote missing?")]
    ShortRow(String),
    /// A line that is no JSON.
    #[error("not JSON (column {0}); each line must hold one JSON value")]
    NotJson(usize),
    /// `field` leads nowhere, or to several values.
    #[error("`{path}` finds {found} values, but it must find one")]
    NotOne {
        /// The JSONPath.
        path: String,
        /// How many values it found.
        found: usize,
    },
    /// `field` leads to something that is no ID.
    #[error("`{path}` finds {found}, but an ID is a string or an integer")]
    NotAnId {
        /// The JSONPath.
        path: String,
        /// What it found.
        found: &'static str,
    },
    /// A row that fills some of its variables.
    #[error(
        "the cell of `{{{variable}}}` (column `{column}`) is empty; every item needs a value for it"
    )]
    EmptyCell {
        /// The variable.
        variable: String,
        /// Its column.
        column: String,
    },
    /// What is wrong with one of several variables.
    #[error("`{{{variable}}}`: {problem}")]
    Variable {
        /// The variable.
        variable: String,
        /// What is wrong with its value.
        problem: Box<Problem>,
    },
}

impl Problem {
    /// The same, said of one of several variables.
    pub(super) fn of(self, variable: &str) -> Problem {
        Problem::Variable {
            variable: variable.to_owned(),
            problem: Box::new(self),
        }
    }
}
