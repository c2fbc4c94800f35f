//! What can be wrong with a checkpoint, told with the next step.
//!
//! Owns the messages. Each is complete by itself (the cause is part of it), so
//! whoever shows one must not print a source chain after it.

use super::shape::Difference;
use std::io;
use std::path::PathBuf;

/// Why a checkpoint can't be used, or an output can't be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Another process works on this output.
    #[error(
        "{}: another run is writing this output ({by}); wait until it has finished, or stop it first",
        output.display()
    )]
    Locked {
        /// The output, as it was named.
        output: PathBuf,
        /// Who holds the lock, for people: process, host, since when.
        by: String,
    },
    /// Something that is not ours stands where a file of ours belongs.
    #[error(
        "{}: {found} stands where harvest keeps a file of its own, and is left as it is; \
         move it away, or choose another output",
        path.display()
    )]
    Foreign {
        /// What has the name.
        path: PathBuf,
        /// What it is, for people.
        found: &'static str,
    },
    /// Two outputs would have a file of the same name.
    #[error(
        "{}: {} would be a file of this output and of {}, which was there first; choose another output",
        output.display(), name.display(), other.display()
    )]
    Meets {
        /// The output that came second.
        output: PathBuf,
        /// The one that was there.
        other: PathBuf,
        /// The file.
        name: PathBuf,
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
    /// The file has the checkpoint's name, but not its first bytes.
    #[error(
        "{}: this is not a checkpoint of harvest; move it away, or choose another output",
        path.display()
    )]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
    },
    /// Written by another version of this program.
    #[error(
        "{}: the checkpoint has format version {found}, and this harvest reads version {known}; \
         resume with the harvest that wrote it, or start over with --fresh",
        path.display()
    )]
    Version {
        /// The checkpoint.
        path: PathBuf,
        /// The version that it names.
        found: u8,
        /// The version that is understood here.
        known: u8,
    },
    /// A block that was once durable does not have its bytes any more.
    #[error(
        "{}: the checkpoint is damaged at byte {offset}, so it is refused; \
         restore it from a backup (together with the output), or start over with --fresh",
        path.display()
    )]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// Where the damaged block begins, in bytes from the start of the file.
        offset: u64,
    },
    /// Someone else changed the checkpoint while it was written.
    #[error(
        "{}: another program changed the checkpoint during the run; \
         stop it, and run the same command again, or start over with --fresh",
        path.display()
    )]
    Disturbed {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The job now asks for other records than those in the output.
    #[error(
        "{}: the output holds records of another job:{}\n\
         change that back, choose another output, or start over with --fresh",
        path.display(), list(differences)
    )]
    Shape {
        /// The checkpoint.
        path: PathBuf,
        /// Each field that differs.
        differences: Vec<Difference>,
    },
    /// A file that the checkpoint covers has another length than it may have.
    #[error(
        "{}: the file was changed since harvest wrote it: it has {found} bytes, and the checkpoint \
         knows {committed}; restore the file, choose another output, or start over with --fresh",
        path.display()
    )]
    Mismatch {
        /// The output or the failures file.
        path: PathBuf,
        /// Bytes that the checkpoint covers.
        committed: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A file that the checkpoint covers is not there.
    #[error(
        "{}: the file is gone, and the checkpoint knows {committed} bytes of it; \
         restore the file, choose another output, or start over with --fresh",
        path.display()
    )]
    Missing {
        /// The output or the failures file.
        path: PathBuf,
        /// Bytes that the checkpoint covers.
        committed: u64,
    },
    /// The bytes are others than those that were committed.
    #[error(
        "{}: the file was changed since harvest wrote it, somewhere in bytes {from} to {to}; \
         restore the file, choose another output, or start over with --fresh, which asks for everything again",
        path.display()
    )]
    Changed {
        /// The output or the failures file.
        path: PathBuf,
        /// First byte of the range that does not fit, from the start of the file.
        from: u64,
        /// The byte after the range.
        to: u64,
    },
}

impl CheckpointError {
    /// A closure for `map_err`: `doing` is a verb and its object.
    pub(crate) fn io(
        path: impl Into<PathBuf>,
        doing: &'static str,
    ) -> impl FnOnce(io::Error) -> CheckpointError {
        let path = path.into();
        move |cause| CheckpointError::Io { path, doing, cause }
    }
}

/// The next step after an I/O error.
pub(crate) fn advice(cause: &io::Error) -> &'static str {
    use io::ErrorKind as K;
    match cause.kind() {
        K::StorageFull | K::QuotaExceeded => {
            "free some space and run the same command again: what was committed is safe"
        }
        K::FileTooLarge => {
            "raise the file size limit or choose an output on another file system, and run the same command \
             again: what was committed is safe"
        }
        K::PermissionDenied | K::ReadOnlyFilesystem => {
            "make it writable for this user, or choose another output"
        }
        K::NotFound => "create the folder, or choose another output",
        K::NotADirectory | K::IsADirectory | K::InvalidFilename | K::InvalidInput => {
            "choose another output path"
        }
        K::BrokenPipe => "whoever was reading has gone",
        _ => "check the disk, and run the same command again: what was committed is safe",
    }
}

/// One line a difference.
fn list(differences: &[Difference]) -> String {
    differences
        .iter()
        .map(|difference| format!("\n  {difference}"))
        .collect()
}
