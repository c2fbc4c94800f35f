//! The failures file while failed items are tried again.
//!
//! Owns the new failures file of each commit: the lines of items that are
//! still to be tried, as they stand, then the lines of those that failed
//! again. An item that has its record now leaves the file in the commit that
//! covers the record ("Exactly once"): the new file is durable under the draft's
//! name before the checkpoint's block says so, and gets its own name after it.
//! [`finish`] does that last step for a run that was killed before it.
//!
//! Must never change the old file: until the block is durable it is the truth.

use super::error::WriteError;
use super::failures;
use super::files::remove;
use super::sink::{Sink, Target};
use crate::checkpoint::{Files, ItemKey, Known, create_like, sync_folder, verify};
use crate::fail_point::fail_point;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A new file takes at most this part of the time: a long failures file is
/// written anew less often than `[checkpoint] every` says.
const SHARE: u32 = 20;

/// What is to change in the failures file.
#[derive(Debug, Default)]
pub(super) struct Rewrite {
    /// Items that have a new fate since the last commit: their lines leave.
    leaving: HashSet<ItemKey>,
    /// The lines of those that failed again.
    lines: Vec<u8>,
    /// What the last new file took, and when it was done.
    last: Option<(Duration, Instant)>,
}

/// A new failures file, durable under the draft's name.
pub(super) struct Draft {
    pub(super) sink: Sink,
    /// Failed items in it, by the reason's name.
    pub(super) failed: BTreeMap<String, u64>,
    path: PathBuf,
    began: Instant,
}

impl Rewrite {
    /// The item has a new fate.
    pub(super) fn leaves(&mut self, key: ItemKey) {
        self.leaving.insert(key);
    }

    /// The new line of an item that failed again.
    pub(super) fn fails(&mut self, line: &[u8]) {
        self.lines.extend_from_slice(line);
    }

    pub(super) fn has_news(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Whether a new file would take too much of the time, so soon after the last.
    pub(super) fn too_soon(&self) -> bool {
        self.last
            .is_some_and(|(took, at)| at.elapsed() < took.saturating_mul(SHARE))
    }

    /// Makes the new file, durable, under the draft's name. `committed` bytes
    /// of the present one count.
    pub(super) fn draft(&self, path: &Path, committed: u64) -> Result<Draft, WriteError> {
        let began = Instant::now();
        let draft = Files::temporary(path);
        remove(&draft)?;
        let mut options = OpenOptions::new();
        let file = create_like(options.write(true).create_new(true), &draft, path)
            .map_err(WriteError::io(&draft, "create the new failures file"))?;
        let mut sink = Sink::new(Target::File(file), &draft, 0);
        let mut failed: BTreeMap<String, u64> = BTreeMap::new();
        let mut keep = |line: &[u8], sink: &mut Sink| -> Result<(), WriteError> {
            let item = failures::parse(line).ok_or_else(|| WriteError::Disturbed {
                path: path.to_path_buf(),
            })?;
            *failed.entry(item.reason).or_default() += 1;
            sink.append(line)
        };
        let mut old = failures::lines(path, committed)?;
        while let Some(line) = old.next()? {
            let item = failures::parse(line).ok_or_else(|| WriteError::Disturbed {
                path: path.to_path_buf(),
            })?;
            if !self
                .leaving
                .contains(&ItemKey::of(&item.id, item.occurrence))
            {
                keep(line, &mut sink)?;
            }
        }
        for line in self.lines.split_inclusive(|&byte| byte == b'\n') {
            keep(line, &mut sink)?;
        }
        sink.flush()?;
        fail_point!("retry: new failures written");
        sink.sync_all()?;
        sync_folder(&draft)
            .map_err(WriteError::io(&draft, "make the new failures file durable"))?;
        fail_point!("retry: new failures durable");
        Ok(Draft {
            sink,
            failed,
            path: path.to_path_buf(),
            began,
        })
    }

    /// The block that covers the draft is durable: gives it its name.
    pub(super) fn publish(&mut self, draft: Draft) -> Result<Sink, WriteError> {
        let Draft {
            mut sink,
            path,
            began,
            ..
        } = draft;
        fail_point!("retry: block durable");
        publish(&path)?;
        fail_point!("retry: new failures in place");
        sink.renamed(&path);
        sink.committed();
        self.leaving.clear();
        self.lines.clear();
        self.last = Some((began.elapsed(), Instant::now()));
        Ok(sink)
    }
}

fn publish(path: &Path) -> Result<(), WriteError> {
    fs::rename(Files::temporary(path), path)
        .and_then(|()| {
            fail_point!("retry: new failures renamed");
            sync_folder(path)
        })
        .map_err(WriteError::io(
            path,
            "put the new failures file in its place",
        ))
}

/// Where the committed failures are: in the draft when the last block began
/// the file anew and its new name is still due, else in the file itself.
pub(super) fn place(path: &Path, known: &Known, rewriting: bool) -> Result<PathBuf, WriteError> {
    let draft = Files::temporary(path);
    if rewriting {
        let io = |cause| WriteError::io(&draft, "look at the new failures file")(cause);
        match fs::metadata(&draft) {
            Ok(metadata) => {
                if metadata.len() == known.length && verify(&draft, 0, &known.ranges).is_ok() {
                    return Ok(draft);
                }
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(io(cause)),
        }
    }
    Ok(path.to_path_buf())
}

/// Finishes what a killed run began: a committed draft (`at`, from [`place`])
/// gets its name, any other is removed.
pub(super) fn finish(path: &Path, at: &Path) -> Result<(), WriteError> {
    if at != path {
        return publish(path);
    }
    remove(&Files::temporary(path)).map(drop)
}
