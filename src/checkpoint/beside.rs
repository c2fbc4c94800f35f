//! What stands beside an output under a name of ours.
//!
//! Owns whose a file is: a regular file that is empty, or that begins with our mark,
//! may be replaced or removed by us, and so may what belongs to one with the mark.
//! Everything else is another's. What a symbolic link leads to is never opened.
//! Must never change a file.

use super::error::CheckpointError;
use super::files::Files;
use super::format::MAGIC;
use super::lock::holder;
use super::read::scan;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Bytes that are enough to tell whose a file is.
const HEAD: u64 = 1 << 16;

/// What the checkpoint of an update has in its shape, and no other.
pub(crate) const UPDATE_OF: &str = "update.of";

/// Lets `options` open what has that very name, and not what a symbolic link leads to.
pub(crate) fn no_link(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
    }
    #[cfg(not(unix))]
    options
}

/// Whether a file that begins with these bytes has our mark, perhaps cut off by a kill.
pub(crate) fn is_marked(head: &[u8]) -> bool {
    head.starts_with(&MAGIC) || MAGIC.starts_with(head)
}

/// Refuses what stands at `path`, unless it is empty or `is_ours` by its first bytes.
///
/// # Errors
/// [`CheckpointError::Foreign`], or [`CheckpointError::Io`] when it can't be read.
pub(crate) fn refuse_foreign(
    path: &Path,
    is_ours: impl FnOnce(&[u8]) -> bool,
) -> Result<(), CheckpointError> {
    match head(path)? {
        Some(head) if !head.is_empty() && !is_ours(&head) => {
            Err(foreign(path, "a file that harvest did not write"))
        }
        _ => Ok(()),
    }
}

/// Whether there is a file at `path` that has our mark.
///
/// # Errors
/// Those of [`refuse_foreign`].
pub(crate) fn has_mark(path: &Path) -> Result<bool, CheckpointError> {
    Ok(head(path)?.is_some_and(|head| !head.is_empty() && is_marked(&head)))
}

/// Refuses what stands at `path` and is no regular file; whether a file is there.
pub(super) fn refuse_strange(path: &Path) -> Result<bool, CheckpointError> {
    match fs::symlink_metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(CheckpointError::io(path, "look at the file")(cause)),
        Ok(there) if there.is_symlink() => Err(foreign(path, "a symbolic link")),
        Ok(there) if !there.is_file() => Err(foreign(path, "something that is no regular file")),
        Ok(_) => Ok(true),
    }
}

/// The first bytes of the file at `path`; `None` when nothing is there.
fn head(path: &Path) -> Result<Option<Vec<u8>>, CheckpointError> {
    if !refuse_strange(path)? {
        return Ok(None);
    }
    let mut head = Vec::new();
    let read = no_link(OpenOptions::new().read(true))
        .open(path)
        .and_then(|file| file.take(HEAD).read_to_end(&mut head));
    match read {
        Ok(_) => Ok(Some(head)),
        Err(cause) => Err(CheckpointError::io(path, "look at the file")(cause)),
    }
}

pub(super) fn foreign(path: &Path, found: &'static str) -> CheckpointError {
    CheckpointError::Foreign {
        path: path.to_path_buf(),
        found,
    }
}

/// Refuses an output of which a file would have the name of another output's: the
/// one that comes second. Both hold their locks while they look.
///
/// # Errors
/// [`CheckpointError::Meets`], or those of [`refuse_foreign`].
pub(crate) fn refuse_meeting(files: &Files) -> Result<(), CheckpointError> {
    let meets = |other: &Path, name: &Path| CheckpointError::Meets {
        output: files.output.clone(),
        other: other.to_path_buf(),
        name: name.to_path_buf(),
    };
    for base in files.bases() {
        if is_output(&base)? {
            return Err(meets(&base.output, &files.output));
        }
    }
    for side in files.sides() {
        let other = Files::named(side);
        if is_output(&other)? && !is_update(&other) {
            return Err(meets(&other.output, &other.output));
        }
    }
    Ok(())
}

/// Whether these are an output and its files, or are about to be.
fn is_output(files: &Files) -> Result<bool, CheckpointError> {
    Ok(holder(&files.lock).is_some() || has_mark(&files.checkpoint)?)
}

/// Whether they belong to an update, and not to a job of their own. A damaged
/// checkpoint does not say.
fn is_update(files: &Files) -> bool {
    let of_update =
        |fields: Vec<(String, String)>| fields.iter().any(|(name, _)| name == UPDATE_OF);
    match scan(&files.checkpoint, |_| {}) {
        Ok(Some(state)) => of_update(state.shape.fields),
        Ok(None) => false,
        Err(_) => true,
    }
}
