//! The checkpoint file while a run appends to it.
//!
//! Owns the file's end: a block is written with one call and made durable
//! before the next is begun (promise 1: all or nothing). A new file gets its
//! name only when all of it is durable. After any error a journal must not be
//! used again: whoever holds it sees to that ([`crate::write::Writer`]).
//!
//! What an earlier run left is read from the system's cache, and that is not
//! the disk: after an fdatasync that failed, Linux keeps the pages, marked as
//! written. So the last block is written once more and made durable before
//! anything follows it.

use super::clock::{rfc3339, unix_ms};
use super::commit::{Closing, Commit};
use super::done::ItemKey;
use super::error::CheckpointError;
use super::files::{Files, sync_folder};
use super::format::{self, Kind};
use super::lock::hold;
use super::read::State;
use super::shape::Shape;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Block 0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Header {
    /// RFC 3339.
    pub(super) created: String,
    /// The version of the program, for people.
    pub(super) harvest: String,
    /// Commit blocks that were durable before the file got its name.
    pub(super) base: u64,
    /// Name and value.
    pub(super) shape: Vec<(String, String)>,
}

/// An open checkpoint.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    salt: u64,
    /// The last block's checksum.
    seed: u64,
    /// Where the next block begins.
    end: u64,
    /// The last commit was a closing one, and nothing was opened since.
    closed: bool,
    /// Where the last block of an earlier run begins, until it is surely on the disk.
    doubtful: Option<u64>,
}

impl Journal {
    /// Makes a checkpoint without commits.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub(crate) fn create(path: &Path, shape: &Shape) -> Result<Journal, CheckpointError> {
        let created = rfc3339(SystemTime::now());
        Draft::begin(path, shape, created, 0)?.publish()
    }

    /// Opens the checkpoint that `state` was read from, cutting off a torn block.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub(crate) fn resume(path: &Path, state: &State) -> Result<Journal, CheckpointError> {
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(CheckpointError::io(path, "open the checkpoint"))?;
        hold(&file, path)?;
        if state.torn > 0 {
            file.set_len(state.end)
                .and_then(|()| file.sync_all())
                .map_err(CheckpointError::io(
                    path,
                    "cut the torn end off the checkpoint",
                ))?;
        }
        Ok(Journal {
            file,
            path: path.to_path_buf(),
            salt: state.salt,
            seed: state.seed,
            end: state.end,
            closed: state.closing != Closing::No,
            doubtful: Some(state.last),
        })
    }

    /// Makes a commit durable.
    ///
    /// # Errors
    /// [`CheckpointError::Io`]; the journal must not be used again then.
    pub(crate) fn commit(
        &mut self,
        commit: &Commit,
        keys: &[ItemKey],
    ) -> Result<(), CheckpointError> {
        self.append_commit(commit, keys)?;
        self.sync()?;
        self.closed = commit.closing != Closing::No;
        Ok(())
    }

    /// Makes durable that the output may grow again, when the last commit was a
    /// closing one. To be called before the first byte is appended.
    ///
    /// # Errors
    /// [`CheckpointError::Io`]; the journal must not be used again then.
    pub(crate) fn open_again(&mut self) -> Result<(), CheckpointError> {
        if self.closed {
            self.append(Kind::Opened, &unix_ms(SystemTime::now()).to_le_bytes())?;
            self.sync()?;
            self.closed = false;
        }
        Ok(())
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Appends a commit without making it durable.
    pub(super) fn append_commit(
        &mut self,
        commit: &Commit,
        keys: &[ItemKey],
    ) -> Result<(), CheckpointError> {
        let payload = commit.encode(keys).ok_or_else(|| self.too_long())?;
        self.append(Kind::Commit, &payload)
    }

    fn append(&mut self, kind: Kind, payload: &[u8]) -> Result<(), CheckpointError> {
        let (bytes, checksum) = format::block(kind, payload, self.end, self.salt, self.seed)
            .ok_or_else(|| self.too_long())?;
        if let Some(from) = self.doubtful {
            self.write_again(from)?;
            self.doubtful = None;
        }
        self.check()?;
        self.write(&bytes)?;
        self.seed = checksum;
        Ok(())
    }

    /// Writes the last block over itself, durably: the same bytes, so that a
    /// kill in the midst changes nothing.
    fn write_again(&self, from: u64) -> Result<(), CheckpointError> {
        let again = || -> io::Result<()> {
            // Not the file that appends: its writes go to the end.
            let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
            let mut block = Vec::new();
            file.seek(SeekFrom::Start(from))?;
            (&mut file).take(self.end - from).read_to_end(&mut block)?;
            file.seek(SeekFrom::Start(from))?;
            file.write_all(&block)?;
            file.sync_data()
        };
        again().map_err(CheckpointError::io(
            &self.path,
            "make the checkpoint durable",
        ))
    }

    /// Refuses a file that has other bytes than those written here.
    fn check(&self) -> Result<(), CheckpointError> {
        let found = self
            .file
            .metadata()
            .map_err(CheckpointError::io(&self.path, "look at the checkpoint"))?;
        if found.len() == self.end {
            return Ok(());
        }
        Err(CheckpointError::Disturbed {
            path: self.path.clone(),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.file
            .write_all(bytes)
            .map_err(CheckpointError::io(&self.path, "write the checkpoint"))?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn sync(&self) -> Result<(), CheckpointError> {
        self.file.sync_data().map_err(CheckpointError::io(
            &self.path,
            "make the checkpoint durable",
        ))?;
        self.check()
    }

    fn too_long(&self) -> CheckpointError {
        let cause = io::Error::other("one commit has more than a block can hold");
        CheckpointError::Io {
            path: self.path.clone(),
            doing: "write the checkpoint",
            cause,
        }
    }
}

/// A checkpoint that does not have its name yet.
pub(super) struct Draft {
    journal: Journal,
    path: PathBuf,
}

impl Draft {
    /// Begins a file that will have `base` commit blocks before it gets its name.
    pub(super) fn begin(
        path: &Path,
        shape: &Shape,
        created: String,
        base: u64,
    ) -> Result<Draft, CheckpointError> {
        let temporary = Files::temporary(path);
        match fs::remove_file(&temporary) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(CheckpointError::io(&temporary, "remove an earlier draft")(
                    cause,
                ));
            }
            _ => {}
        }
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&temporary)
            .map_err(CheckpointError::io(&temporary, "create a checkpoint"))?;
        hold(&file, path)?;
        let salt = RandomState::new().build_hasher().finish();
        let preface = format::preface(salt);
        let header = Header {
            created,
            harvest: env!("CARGO_PKG_VERSION").to_owned(),
            base,
            shape: shape.fields.clone(),
        };
        let header = serde_json::to_vec(&header)
            .map_err(io::Error::from)
            .map_err(CheckpointError::io(
                &temporary,
                "write the checkpoint's header",
            ))?;
        let seed = format::first_seed(&preface);
        let mut journal = Journal {
            file,
            path: temporary,
            salt,
            seed,
            end: 0,
            closed: false,
            doubtful: None,
        };
        journal.write(&preface)?;
        journal.append(Kind::Header, &header)?;
        Ok(Draft {
            journal,
            path: path.to_path_buf(),
        })
    }

    /// Appends one of the base blocks.
    pub(super) fn commit(
        &mut self,
        commit: &Commit,
        keys: &[ItemKey],
    ) -> Result<(), CheckpointError> {
        self.journal.append_commit(commit, keys)?;
        self.journal.closed = commit.closing != Closing::No;
        Ok(())
    }

    /// Makes the file durable, then gives it its name, then makes that durable.
    pub(super) fn publish(self) -> Result<Journal, CheckpointError> {
        let Draft { mut journal, path } = self;
        journal.file.sync_all().map_err(CheckpointError::io(
            &journal.path,
            "make the checkpoint durable",
        ))?;
        fs::rename(&journal.path, &path)
            .and_then(|()| sync_folder(&path))
            .map_err(CheckpointError::io(
                &path,
                "put the checkpoint in its place",
            ))?;
        journal.path = path;
        Ok(journal)
    }
}
