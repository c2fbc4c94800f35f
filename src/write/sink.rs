//! A file that only grows, and what a commit must know about it.
//!
//! Owns one file's buffer, its length, and the CRC-32 of what was added since
//! the last commit. Must never write on its own: dropping a sink drops what is
//! buffered, so nothing reaches a disk after an error.

use super::error::WriteError;
use crate::checkpoint::{Extent, Range, is_at, mtime_ns, verify};
use crate::fail_point::{fail_point, limit};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Bytes that are buffered.
const BUFFER: usize = 256 << 10;

/// The same, unless a test lowered it.
fn buffer() -> usize {
    limit!("BUFFER", BUFFER)
}

/// Where the bytes go.
#[derive(Debug)]
pub(super) enum Target {
    /// Opened for appending.
    File(File),
    Stdout(io::Stdout),
}

/// A file that only grows.
#[derive(Debug)]
pub(super) struct Sink {
    target: Target,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Bytes in all, buffered ones included.
    length: u64,
    /// Bytes that the last commit covers.
    committed: u64,
    /// Of the bytes after `committed`.
    crc: crc32fast::Hasher,
    /// Where this run's bytes begin.
    begin: u64,
    /// What this run has committed, commit by commit.
    ranges: Vec<Range>,
}

impl Sink {
    /// A sink for a target that holds `length` committed bytes.
    pub(super) fn new(target: Target, path: &Path, length: u64) -> Sink {
        Sink {
            target,
            path: path.to_path_buf(),
            buffer: Vec::with_capacity(buffer()),
            length,
            committed: length,
            crc: crc32fast::Hasher::new(),
            begin: length,
            ranges: Vec::new(),
        }
    }

    /// The file's name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in all, buffered ones included.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether something was appended since the last commit.
    pub(super) fn has_news(&self) -> bool {
        self.length != self.committed
    }

    /// Appends; writes when the buffer is full.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.crc.update(bytes);
        self.length += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > buffer() {
            self.flush()?;
        }
        if bytes.len() >= buffer() {
            return self.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Gives everything buffered to the operating system.
    pub(super) fn flush(&mut self) -> Result<(), WriteError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer)?;
        buffer.clear();
        self.buffer = buffer;
        if let Target::Stdout(stdout) = &mut self.target {
            stdout
                .flush()
                .map_err(|cause| WriteError::Stdout { cause })?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        match &mut self.target {
            Target::File(file) => {
                fail_point!("outputs: part written", |percent| {
                    let _ = file.write_all(&crate::fail_point::torn(bytes, percent));
                });
                file.write_all(bytes)
                    .map_err(WriteError::io(&self.path, "write"))
            }
            Target::Stdout(stdout) => stdout
                .write_all(bytes)
                .map_err(|cause| WriteError::Stdout { cause }),
        }
    }

    /// Makes what was flushed durable, if there is something new, and checks
    /// that the file has these bytes and its name still.
    pub(super) fn sync(&mut self) -> Result<(), WriteError> {
        let Target::File(file) = &self.target else {
            return Ok(());
        };
        if self.has_news() {
            file.sync_data()
                .map_err(WriteError::io(&self.path, "make the file durable"))?;
        }
        let io = |cause| WriteError::io(&self.path, "look at the file")(cause);
        let whole = file.metadata().map_err(io)?.len() == self.length;
        if whole && is_at(file, &self.path).map_err(io)? {
            return Ok(());
        }
        Err(WriteError::Disturbed {
            path: self.path.clone(),
        })
    }

    /// Makes a new file durable, its length included.
    pub(super) fn sync_all(&self) -> Result<(), WriteError> {
        match &self.target {
            Target::Stdout(_) => Ok(()),
            Target::File(file) => file
                .sync_all()
                .map_err(WriteError::io(&self.path, "make the file durable")),
        }
    }

    /// The file has another name now.
    pub(super) fn renamed(&mut self, path: &Path) {
        self.path = path.to_path_buf();
    }

    /// What the last commit said about the file.
    pub(super) fn committed_extent(&self) -> Extent {
        Extent {
            length: self.committed,
            ..Extent::default()
        }
    }

    /// What a commit says about the file.
    pub(super) fn extent(&self, closing: bool) -> Result<Extent, WriteError> {
        let mut extent = Extent {
            length: self.length,
            ..Extent::default()
        };
        extent.ranges.extend(self.news());
        if let (true, Target::File(file)) = (closing, &self.target) {
            let metadata = file
                .metadata()
                .map_err(WriteError::io(&self.path, "look at the file"))?;
            extent.mtime_ns = mtime_ns(&metadata);
        }
        Ok(extent)
    }

    /// What was appended since the last commit.
    fn news(&self) -> Option<Range> {
        self.has_news().then(|| Range {
            length: self.length - self.committed,
            crc: self.crc.clone().finalize(),
        })
    }

    /// Refuses a file in which somebody has written over what this run has
    /// appended: all of it is read, up to 1 GiB.
    pub(super) fn verify(&self) -> Result<(), WriteError> {
        match &self.target {
            Target::Stdout(_) => Ok(()),
            Target::File(_) => {
                let ranges: Vec<Range> = self.ranges.iter().copied().chain(self.news()).collect();
                Ok(verify(&self.path, self.begin, &ranges)?)
            }
        }
    }

    /// The commit is durable.
    pub(super) fn committed(&mut self) {
        self.ranges.extend(self.news());
        self.committed = self.length;
        self.crc.reset();
    }
}
