//! What is done, kept so that no kill and no power loss can make it wrong.
//!
//! Owns the files beside an output: the checkpoint (a journal of commits), the
//! lock, and the names of all of them. Owns the done set too, which answers
//! "is this item still to be fetched?". Keeps promise 1 (exactly once: a block
//! counts wholly or not at all, a damaged checkpoint and an edited output are
//! refused), promise 2 ("done" is a hash of the ID, never a place in the list)
//! and its part of promise 7 (at most 40 bytes of memory a distinct ID).
//!
//! Must never write into the output or the failures file (that is
//! [`crate::write`]), never keep a secret, and never overwrite a checkpoint
//! that it could not read.
//!
//! The file's format, byte by byte: `format.rs` (blocks) and `commit.rs` (what
//! a commit block holds).

mod beside;
mod clock;
mod commit;
mod compact;
mod done;
mod error;
mod files;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod inspect;
mod journal;
mod lock;
mod read;
mod rights;
mod shape;
mod verify;

pub use commit::Closing;
pub use done::{Claim, DoneSet, ItemKey, Loading};
pub use error::CheckpointError;
pub use files::Files;
pub use inspect::{Inspection, inspect};
pub use lock::OutputLock;
pub use shape::{Difference, Shape};

pub(crate) use beside::{UPDATE_OF, has_mark, is_marked, no_link, refuse_foreign, refuse_meeting};
pub(crate) use clock::{rfc3339, unix_ms};
pub(crate) use commit::{Commit, Extent, Range};
pub(crate) use compact::{compact, replace};
pub(crate) use error::advice;
pub(crate) use files::sync_folder;
pub(crate) use journal::Journal;
pub(crate) use lock::is_at;
pub(crate) use read::{Known, State, scan};
pub(crate) use rights::create_like;
pub(crate) use verify::{mtime_ns, verify};

#[cfg(test)]
mod tests;
