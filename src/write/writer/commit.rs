//! One commit: what is appended becomes durable, all or nothing.
//!
//! Owns the order of its steps ("Exactly once"): flush, fdatasync, then the block
//! that covers it. In a retry, the new failures file is durable before the
//! block and gets its name after it.

use super::{Failures, Writer};
use crate::checkpoint::{Closing, Commit, Extent, is_at, sync_folder, unix_ms};
use crate::fail_point::fail_point;
use crate::pace::Note;
use crate::write::error::WriteError;
use crate::write::rewrite::Rewrite;
use crate::write::versions::Versions;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes of an ID that is kept, at most.
const LONGEST_KEPT: usize = 4 << 10;

impl Writer {
    pub(super) fn try_commit(
        &mut self,
        note: Note,
        known_good: Option<&str>,
        closing: Closing,
    ) -> Result<(), WriteError> {
        let news = self.output.has_news() || self.rewrite.as_ref().is_some_and(Rewrite::has_news);
        if let (true, Some((journal, _))) = (news, &mut self.journal) {
            journal.open_again()?;
        }
        let too_soon = self.rewrite.as_ref().is_some_and(Rewrite::too_soon);
        if news && too_soon && closing == Closing::No {
            return self.commit_note(note);
        }
        fail_point!("commit: begun");
        self.output.flush()?;
        fail_point!("commit: output flushed");
        if let Failures::Open(sink) = &mut self.failures {
            sink.flush()?;
        }
        fail_point!("commit: failures flushed");
        // Before the block that covers the output: what is committed has its entry.
        if let Some(versions) = &mut self.versions {
            versions.sync()?;
            fail_point!("commit: versions durable");
        }
        if self.journal.is_some() {
            self.output.sync()?;
            fail_point!("commit: output durable");
            if let Failures::Open(sink) = &mut self.failures {
                sink.sync()?;
            }
            fail_point!("commit: failures durable");
            // The last look: a closed file is not read again while its time of change stays.
            if closing != Closing::No {
                self.output.verify()?;
                if let Failures::Open(sink) = &self.failures {
                    sink.verify()?;
                }
            }
            self.commit_durable(note, known_good, closing)?;
        }
        self.output.committed();
        if let Failures::Open(sink) = &mut self.failures {
            sink.committed();
        }
        if let Some(versions) = &mut self.versions {
            versions.committed();
        }
        self.committed_records = self.records;
        self.keys.clear();
        self.resume_points.committed();
        self.added.clear();
        Ok(())
    }

    /// Appends the block that covers what is durable.
    fn commit_durable(
        &mut self,
        note: Note,
        known_good: Option<&str>,
        closing: Closing,
    ) -> Result<(), WriteError> {
        let closes = closing != Closing::No;
        let draft = match (&self.rewrite, &self.failures) {
            (Some(rewrite), Failures::Open(sink)) if rewrite.has_news() => {
                Some(rewrite.draft(sink.path(), sink.length())?)
            }
            _ => None,
        };
        let failures = match (&draft, &self.failures) {
            (Some(draft), _) => draft.sink.extent(closes)?,
            (None, Failures::Open(sink)) => sink.extent(closes)?,
            _ => Extent::default(),
        };
        let failed = match &draft {
            Some(draft) => draft.failed.clone().into_iter().collect(),
            None => self
                .added
                .iter()
                .map(|(reason, n)| ((*reason).to_owned(), *n))
                .collect(),
        };
        let found = self.encoder.found().filter(|_| !self.columns_kept);
        let known_good = known_good.filter(|id| id.len() <= LONGEST_KEPT);
        let is_new = known_good != self.known_good.as_deref();
        let commit = Commit {
            at_ms: unix_ms(SystemTime::now()),
            closing,
            records: self.records,
            output: self.output.extent(closes)?,
            failures,
            versions: self.versions.as_ref().map_or(0, Versions::length),
            notes: vec![note],
            failed,
            columns: found.map(<[String]>::to_vec),
            known_good: is_new.then(|| known_good.map(str::to_owned)),
            resume_points: self.resume_points.news(),
            rewrites_failures: draft.is_some(),
        };
        self.append_block(&commit)?;
        self.columns_kept |= commit.columns.is_some();
        if let Some(known_good) = commit.known_good {
            self.known_good = known_good;
        }
        if let (Some(draft), Some(rewrite)) = (draft, &mut self.rewrite) {
            self.failed = draft.failed.clone();
            self.failures = Failures::Open(rewrite.publish(draft)?);
        }
        match &self.failures {
            // Nothing is left in it: as if nothing had ever failed.
            Failures::Open(sink) if closes && self.rewrite.is_some() && sink.length() == 0 => {
                self.failures = Failures::Later(remove(sink.path())?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Commits the pacer's note alone: the outputs stay uncovered for now.
    fn commit_note(&mut self, note: Note) -> Result<(), WriteError> {
        let commit = Commit {
            at_ms: unix_ms(SystemTime::now()),
            records: self.committed_records,
            output: self.output.committed_extent(),
            failures: match &self.failures {
                Failures::Open(sink) => sink.committed_extent(),
                _ => Extent::default(),
            },
            versions: self.versions.as_ref().map_or(0, Versions::committed_length),
            notes: vec![note],
            ..Commit::default()
        };
        self.append_block(&commit)
    }

    fn append_block(&mut self, commit: &Commit) -> Result<(), WriteError> {
        let Some((journal, path)) = &mut self.journal else {
            return Ok(());
        };
        if !is_at(journal.file(), path).map_err(WriteError::io(&*path, "look at the checkpoint"))? {
            return Err(WriteError::Disturbed { path: path.clone() });
        }
        Ok(journal.commit(commit, &self.keys)?)
    }
}

/// Removes an empty failures file.
fn remove(path: &Path) -> Result<PathBuf, WriteError> {
    fs::remove_file(path)
        .and_then(|()| {
            fail_point!("retry: empty failures removed");
            sync_folder(path)
        })
        .map_err(WriteError::io(path, "remove the empty failures file"))?;
    Ok(path.to_path_buf())
}
