//! The checkpoint file while a run appends to it.
//!
//! Owns the file's end: a block is written with one call and made durable
//! before the next is begun ("Exactly once": all or nothing). A new file gets its
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
use super::format::{self, BlockKind, Header};
use super::lock::hold;
use super::read::State;
use super::rights::create_like;
use super::shape::Shape;
use crate::fail_point::fail_point;
use crate::pace::Note;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes of a block that are written again at once.
const PIECE: u64 = 256 << 10;

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
    /// Makes a checkpoint without items, in the place of whatever is there, in
    /// one step. `notes`: what the pacer has to know of earlier runs;
    /// `generation`: which update the output comes from.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub(crate) fn create(
        path: &Path,
        shape: &Shape,
        generation: u64,
        notes: Vec<Note>,
    ) -> Result<Journal, CheckpointError> {
        Journal::create_like(path, path, shape, generation, notes)
    }

    /// The same, with the rights of the file at `like`.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub(crate) fn create_like(
        path: &Path,
        like: &Path,
        shape: &Shape,
        generation: u64,
        notes: Vec<Note>,
    ) -> Result<Journal, CheckpointError> {
        let now = SystemTime::now();
        let base = u64::from(!notes.is_empty());
        let mut draft = Draft::begin(path, like, shape, generation, rfc3339(now), base)?;
        if base > 0 {
            let commit = Commit {
                at_ms: unix_ms(now),
                notes,
                ..Commit::default()
            };
            draft.commit(&commit, &[])?;
        }
        draft.publish()
    }

    /// Opens the checkpoint that `state` was read from, cutting off a torn
    /// block, and removes the draft that a killed compaction left beside it.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub(crate) fn resume(path: &Path, state: &State) -> Result<Journal, CheckpointError> {
        remove_draft(&Files::temporary(path))?;
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(CheckpointError::io(path, "open the checkpoint"))?;
        hold(&file, path)?;
        if state.torn > 0 {
            file.set_len(state.end)
                .and_then(|()| {
                    fail_point!("checkpoint: torn end cut");
                    file.sync_all()
                })
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
        fail_point!("checkpoint: block written");
        if commit.closing != Closing::No {
            fail_point!("checkpoint: closing block written");
        }
        self.sync()?;
        fail_point!("checkpoint: block durable");
        if commit.closing != Closing::No {
            fail_point!("checkpoint: closing block durable");
        }
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
            self.append(BlockKind::Opened, &unix_ms(SystemTime::now()).to_le_bytes())?;
            fail_point!("checkpoint: opened block written");
            self.sync()?;
            fail_point!("checkpoint: opened block durable");
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
        let kind = if commit.rewrites_failures {
            BlockKind::Rewriting
        } else {
            BlockKind::Commit
        };
        self.append(kind, &payload)
    }

    fn append(&mut self, kind: BlockKind, payload: &[u8]) -> Result<(), CheckpointError> {
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
    /// kill in the midst changes nothing. Piece by piece, for it may hold the
    /// keys of millions.
    fn write_again(&self, from: u64) -> Result<(), CheckpointError> {
        let again = || -> io::Result<()> {
            // Not the file that appends: its writes go to the end.
            let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
            let mut piece = Vec::new();
            let mut at = from;
            while at < self.end {
                piece.clear();
                file.seek(SeekFrom::Start(at))?;
                let most = PIECE.min(self.end - at);
                (&mut file).take(most).read_to_end(&mut piece)?;
                if piece.is_empty() {
                    break; // Cut meanwhile: whoever appends finds out.
                }
                file.seek(SeekFrom::Start(at))?;
                file.write_all(&piece)?;
                at += piece.len() as u64;
            }
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
        fail_point!("checkpoint: part written", |percent| {
            let _ = self
                .file
                .write_all(&crate::fail_point::torn(bytes, percent));
        });
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

/// Removes what a kill left of a checkpoint that never got its name.
fn remove_draft(temporary: &Path) -> Result<(), CheckpointError> {
    match fs::remove_file(temporary) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(CheckpointError::io(
            temporary,
            "remove an earlier draft",
        )(cause)),
        _ => Ok(()),
    }
}

/// A checkpoint that does not have its name yet.
pub(super) struct Draft {
    journal: Journal,
    path: PathBuf,
}

impl Draft {
    /// Begins a file that will have `base` commit blocks before it gets its name,
    /// and that has the rights of the file at `like` from its first moment.
    pub(super) fn begin(
        path: &Path,
        like: &Path,
        shape: &Shape,
        generation: u64,
        created: String,
        base: u64,
    ) -> Result<Draft, CheckpointError> {
        let temporary = Files::temporary(path);
        remove_draft(&temporary)?;
        let mut options = OpenOptions::new();
        let file = create_like(options.append(true).create_new(true), &temporary, like)
            .map_err(CheckpointError::io(&temporary, "create a checkpoint"))?;
        hold(&file, path)?;
        let salt = RandomState::new().build_hasher().finish();
        let preface = format::preface(salt);
        let header = Header {
            created,
            harvest: env!("CARGO_PKG_VERSION").to_owned(),
            base,
            shape: shape.fields.clone(),
            generation,
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
        journal.append(BlockKind::Header, &header)?;
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
        fail_point!("draft: written");
        journal.file.sync_all().map_err(CheckpointError::io(
            &journal.path,
            "make the checkpoint durable",
        ))?;
        fail_point!("draft: durable");
        fs::rename(&journal.path, &path)
            .and_then(|()| {
                fail_point!("draft: renamed");
                sync_folder(&path)
            })
            .map_err(CheckpointError::io(
                &path,
                "put the checkpoint in its place",
            ))?;
        fail_point!("draft: in place");
        journal.path = path;
        Ok(journal)
    }
}
