//! Outcomes become bytes, and bytes become durable.
//!
//! Owns the output, the failures file, and the order of a commit: flush both,
//! make both durable, then append the block that covers them to the checkpoint
//! and make that durable. When failed items are tried again, a new failures
//! file takes the old one's place with that block; an update puts a whole new
//! output in the old one's place. Keeps promise 1 (exactly once: after a kill at any
//! moment, [`open()`] cuts both files back to the last commit and tells what is
//! done) and promise 7 (an item costs 16 bytes until the next commit, and its
//! bytes go through a buffer of 256 KiB).
//!
//! Must never write after an error (a failed fsync is never retried over: the
//! [`Writer`] is poisoned by it), never change a file before it is known to be
//! what the checkpoint says, and never write what a job asks for to any place
//! but these files.
//!
//! Everything blocks: the run gives the writer a thread of its own.

mod beside;
mod columns;
mod delimited;
mod encode;
mod error;
mod failures;
mod files;
mod flatten;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod generation;
mod index;
mod item_id;
mod ndjson;
mod open;
mod rewrite;
mod row;
mod sink;
mod update;
mod versions;
mod writer;

pub use crate::checkpoint::{Closing, Files, Inspection, inspect};
pub use error::WriteError;
pub use failures::{FailedItem, FailedItems};
pub use open::{OpenOptions, Opened, Resumed, open, open_base};
pub use update::{Ages, KnownRecord, KnownRecords, Update, Updated, ages, open_update, under_way};
pub(crate) use writer::in_the_output;
pub use writer::{Appended, Counts, Writer, stdout};

#[cfg(test)]
mod tests;
