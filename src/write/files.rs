//! One file of an output on disk: what is there, whether it is what was
//! committed, cut back to that, gone.
//!
//! Owns no order of steps: that is whoever opens, commits or puts in place. Must
//! never cut or remove what it was not told to.

use super::error::WriteError;
use super::sink::{Sink, Target};
use crate::checkpoint::{CheckpointError, Known, mtime_ns, no_link, verify};
use crate::fail_point::fail_point;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// Removes a file; whether there was one.
pub(super) fn remove(path: &Path) -> Result<bool, WriteError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(WriteError::io(path, "remove the file")(cause)),
    }
}

/// Refuses what is there and is no file.
pub(super) fn refuse_strangers(path: &Path) -> Result<(), WriteError> {
    match look(path)? {
        Some(there) if !there.is_file() => Err(WriteError::NotAFile {
            path: path.to_path_buf(),
        }),
        _ => Ok(()),
    }
}

/// Refuses a file that does not have what was committed. `closed`: nothing was
/// appended after the last commit, so the file must be exactly that.
pub(super) fn check(path: &Path, known: &Known, closed: bool) -> Result<(), WriteError> {
    let committed = known.length;
    let Some(metadata) = look(path)? else {
        return match committed {
            0 => Ok(()),
            _ => Err(CheckpointError::Missing {
                path: path.to_path_buf(),
                committed,
            }
            .into()),
        };
    };
    if !metadata.is_file() {
        return Err(WriteError::NotAFile {
            path: path.to_path_buf(),
        });
    }
    let found = metadata.len();
    if found < committed || (closed && found > committed) {
        return Err(CheckpointError::Mismatch {
            path: path.to_path_buf(),
            committed,
            found,
        }
        .into());
    }
    if closed && known.mtime_ns != 0 && known.mtime_ns == mtime_ns(&metadata) {
        return Ok(());
    }
    Ok(verify(path, 0, &known.ranges)?)
}

/// Opens a file and cuts it to its committed length; tells how many bytes that took.
pub(super) fn recover(path: &Path, committed: u64) -> Result<(Sink, u64), WriteError> {
    let io = |cause| WriteError::io(path, "cut the file back to its last commit")(cause);
    let mut options = fs::OpenOptions::new();
    let file = no_link(options.append(true).create(true))
        .open(path)
        .map_err(io)?;
    let found = file.metadata().map_err(io)?.len();
    if found > committed {
        cut(&file, committed).map_err(io)?;
    }
    Ok((
        Sink::new(Target::File(file), path, committed),
        found.saturating_sub(committed),
    ))
}

/// Cuts a file, durably.
pub(super) fn cut(file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)?;
    fail_point!("cut: shortened");
    file.sync_all()
}

/// What is at a path; `None` when nothing is.
pub(super) fn look(path: &Path) -> Result<Option<Metadata>, WriteError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(WriteError::io(path, "look at the file")(cause)),
    }
}
