//! A list in a file that may change while it is read.
//!
//! Owns what is told of that, and where such a list ends. A file that has
//! another length or time at its end than at its beginning was changed. What
//! follows its last line end was perhaps cut, or is being written: nobody gets
//! it, unless the file ends where it ended at the beginning.

use std::fs::File;
use std::io::{self, Read};
use std::time::SystemTime;

/// A regular file, looked at when its reading begins and when it ends.
pub(super) struct Watched {
    name: String,
    file: File,
    begun: State,
    read: u64,
    /// Whoever reads it for a second time need not say it again.
    tells: bool,
}

#[derive(PartialEq)]
struct State {
    length: u64,
    modified: Option<SystemTime>,
}

/// The error at the end of a list that ends elsewhere than it did.
#[derive(Debug, thiserror::Error)]
#[error("it was changed while it was read")]
struct Moved;

/// Whether reading ended because of a change: whole lines came before it, no more come after it.
pub(super) fn is_moved_end(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Moved>())
}

/// The file's bytes; what is no regular file has no length to be watched.
pub(super) fn watched(name: &str, file: File, tells: bool) -> io::Result<Box<dyn Read + Send>> {
    if !file.metadata()?.is_file() {
        return Ok(Box::new(file));
    }
    Ok(Box::new(Watched {
        name: name.to_owned(),
        begun: State::of(&file)?,
        file,
        read: 0,
        tells,
    }))
}

impl State {
    fn of(file: &File) -> io::Result<State> {
        let metadata = file.metadata()?;
        Ok(State {
            length: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        if read == 0 && State::of(&self.file)? != self.begun {
            if std::mem::take(&mut self.tells) {
                tracing::warn!(
                    "the ID list `{}` was changed while it was read, so that IDs may be missing: \
                     run the same command again when it is complete",
                    self.name
                );
            }
            if self.read != self.begun.length {
                return Err(io::Error::other(Moved));
            }
        }
        Ok(read)
    }
}
