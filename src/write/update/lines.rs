//! Lines by their places: read from the old output and from the update's, one
//! or a block of them at once, and appended to a next file with the checksums
//! that a checkpoint is to have.
//!
//! Owns those checksums' extent. Must never hold more than a block and a buffer.

use crate::checkpoint::{Known, Range, create_like};
use crate::write::error::WriteError;
use crate::write::index::read_at;
use crate::write::sink::{Sink, Target};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

/// Bytes of the new output under one checksum.
const RANGE: u64 = 16 << 20;

/// Lines of an output, by their places.
pub(super) struct Lines<'a> {
    /// From the start, for lines that come in their order.
    ahead: BufReader<File>,
    /// Where it stands.
    at: u64,
    file: File,
    path: &'a Path,
    pub(super) line: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Lines<'a>, WriteError> {
        let open = || File::open(path).map_err(WriteError::io(path, "read the output"));
        Ok(Lines {
            ahead: BufReader::with_capacity(1 << 18, open()?),
            at: 0,
            file: open()?,
            path,
            line: Vec::new(),
        })
    }

    /// Reads these bytes into `line`, which must be whole lines.
    pub(super) fn read(&mut self, offset: u64, length: u64) -> Result<(), WriteError> {
        let io = |cause| WriteError::io(self.path, "read the output")(cause);
        self.line.clear();
        self.line
            .resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        if offset == self.at {
            self.ahead.read_exact(&mut self.line).map_err(io)?;
            self.at += length;
        } else {
            read_at(&self.file, &mut self.line, offset).map_err(io)?;
        }
        match self.line.last() {
            None | Some(b'\n') => Ok(()),
            Some(_) => Err(WriteError::Disturbed {
                path: self.path.to_path_buf(),
            }),
        }
    }
}

/// A new file, and what a checkpoint is to say of it.
pub(super) struct Output {
    sink: Sink,
    ranges: Vec<Range>,
    /// Bytes of the ranges.
    covered: u64,
}

impl Output {
    /// Whoever may read the file at `like` may read this one.
    pub(super) fn create(path: &Path, like: &Path) -> Result<Output, WriteError> {
        let mut options = fs::OpenOptions::new();
        let file = create_like(options.append(true).create_new(true), path, like)
            .map_err(WriteError::io(path, "create the next output"))?;
        Ok(Output {
            sink: Sink::new(Target::File(file), path, 0),
            ranges: Vec::new(),
            covered: 0,
        })
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.sink.append(bytes)?;
        if self.sink.length() - self.covered >= RANGE {
            self.cover()?;
        }
        Ok(())
    }

    fn cover(&mut self) -> Result<(), WriteError> {
        self.ranges.extend(self.sink.extent(false)?.ranges);
        self.sink.committed();
        self.covered = self.sink.length();
        Ok(())
    }

    /// Makes it durable.
    pub(super) fn finish(mut self) -> Result<Known, WriteError> {
        self.sink.flush()?;
        self.cover()?;
        self.sink.sync_all()?;
        self.sink.sync()?;
        let extent = self.sink.extent(true)?;
        Ok(Known {
            length: extent.length,
            mtime_ns: extent.mtime_ns,
            ranges: self.ranges,
        })
    }
}
