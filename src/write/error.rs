//! Why nothing can be written, told with the next step.
//!
//! Owns the messages. Each is complete by itself (the cause is part of it), so
//! whoever shows one must not print a source chain after it.

use crate::checkpoint::{CheckpointError, advice};
use std::io;
use std::path::PathBuf;

/// Why an output can't be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The checkpoint does not fit, or can't be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Something is there already that this program may not have written.
    #[error(
        "{}: the file exists and has no checkpoint: harvest did not write it, or its checkpoint was removed; \
         move it away, choose another output, or start over with --fresh",
        path.display()
    )]
    OutputExists {
        /// The output or the failures file.
        path: PathBuf,
    },
    /// Nothing has failed where nothing ever ran.
    #[error(
        "{}: there is no checkpoint, so no item has failed yet; run the job first, without `retry`",
        path.display()
    )]
    NoRun {
        /// The output.
        path: PathBuf,
    },
    /// An update of an output of which nobody knows where each record is.
    #[error(
        "{}: the records of {} can't be updated, since this file does not say where each of them is: \
         it was removed or changed, or an earlier harvest wrote the output; restore it, or start over with --fresh",
        path.display(), output.display()
    )]
    NoVersions {
        /// The versions file.
        path: PathBuf,
        /// The output.
        output: PathBuf,
    },
    /// A folder, a device, a pipe.
    #[error(
        "{}: this is not a regular file, so nothing written to it could be resumed; \
         move it away, or choose another output (\"-\" is stdout)",
        path.display()
    )]
    NotAFile {
        /// The output or the failures file.
        path: PathBuf,
    },
    /// The operating system refused something.
    #[error("{}: could not {doing}: {cause}; {}", path.display(), advice(cause))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: a verb and its object.
        doing: &'static str,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Stdout took no more.
    #[error(
        "stdout: could not write: {cause}; stdout keeps no checkpoint, so the same command begins \
         again: name a file with --output for a run that can be resumed"
    )]
    Stdout {
        /// What the operating system said.
        cause: io::Error,
    },
    /// Someone else changed, moved or removed the file while it was written.
    #[error(
        "{}: another program changed, moved or removed the file during the run; \
         restore it and run the same command again, or start over with --fresh",
        path.display()
    )]
    Disturbed {
        /// The output, the failures file or the checkpoint.
        path: PathBuf,
    },
    /// An earlier call failed, and nothing is written after that.
    #[error("nothing is written any more since: {first}")]
    Poisoned {
        /// The first error.
        first: String,
    },
}

impl WriteError {
    /// A closure for `map_err`: `doing` is a verb and its object.
    pub(super) fn io(
        path: impl Into<PathBuf>,
        doing: &'static str,
    ) -> impl FnOnce(io::Error) -> WriteError {
        let path = path.into();
        move |cause| WriteError::Io { path, doing, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_the_next_step() {
        let full = WriteError::io("/data/out.ndjson", "write")(io::ErrorKind::StorageFull.into());
        let text = full.to_string();
        assert!(
            text.starts_with("/data/out.ndjson: could not write: "),
            "{text}"
        );
        assert!(
            text.ends_with(
                "free some space and run the same command again: what was committed is safe"
            ),
            "{text}"
        );
    }
}
