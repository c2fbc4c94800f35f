//! What stands beside an output under a name of ours.
//!
//! Owns what may be in a side file's place: a regular file. What a symbolic link
//! leads to is never opened. Must never change a file.

use super::error::CheckpointError;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

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

/// Refuses what stands at `path` and is no regular file.
///
/// # Errors
/// [`CheckpointError::Foreign`], or [`CheckpointError::Io`] when it can't be looked at.
pub(crate) fn refuse_strange(path: &Path) -> Result<(), CheckpointError> {
    match fs::symlink_metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(CheckpointError::io(path, "look at the file")(cause)),
        Ok(there) if there.is_symlink() => Err(foreign(path, "a symbolic link")),
        Ok(there) if !there.is_file() => Err(foreign(path, "what is no regular file")),
        Ok(_) => Ok(()),
    }
}

/// Something that is not ours has a name of ours.
pub(crate) fn foreign(path: &Path, found: &'static str) -> CheckpointError {
    CheckpointError::Foreign {
        path: path.to_path_buf(),
        found,
    }
}
