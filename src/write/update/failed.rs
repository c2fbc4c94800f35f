//! The next failures file: made of the old one and the update's.
//!
//! Owns which of the failures still count. Must never hold more than a line.

use super::lines::Output;
use super::next::Next;
use crate::checkpoint::{Files, ItemKey, Known};
use crate::write::error::WriteError;
use crate::write::failures::{self, FailedItem};
use crate::write::versions::Fate;
use std::collections::BTreeMap;
use std::path::Path;

impl Next<'_> {
    /// The next failures file: what failed before and was not asked again, then
    /// what failed now and has no record.
    pub(super) fn failures(
        &self,
        next: &Files,
    ) -> Result<(Known, BTreeMap<String, u64>), WriteError> {
        let like = self.like(&self.files.failures)?;
        let mut out = Output::create(&next.failures, like)?;
        let mut failed: BTreeMap<String, u64> = BTreeMap::new();
        let mut keep = |item: FailedItem, line: &[u8]| {
            *failed.entry(item.reason).or_default() += 1;
            out.append(line)
        };
        each_failure(
            &self.files.failures,
            self.old.failures.length,
            |item, key, line| match self.news(key)? {
                Some(_) => Ok(()),
                None => keep(item, line),
            },
        )?;
        each_failure(
            &self.delta.failures,
            self.new.failures.length,
            |item, key, line| {
                let Some((_, news)) = self.news(key)? else {
                    return Ok(());
                };
                match news.fate == Fate::Gone || self.known.whole(key)?.is_none() {
                    true => keep(item, line),
                    false => Ok(()),
                }
            },
        )?;
        Ok((out.finish()?, failed))
    }
}

/// Hands over each failed item of the first `length` bytes of a failures file.
fn each_failure(
    path: &Path,
    length: u64,
    mut take: impl FnMut(FailedItem, ItemKey, &[u8]) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    if length == 0 {
        return Ok(());
    }
    let mut lines = failures::lines(path, length)?;
    while let Some(line) = lines.next()? {
        let item = failures::parse(line).ok_or_else(|| WriteError::Disturbed {
            path: path.to_path_buf(),
        })?;
        let key = ItemKey::of(&item.id, item.occurrence);
        take(item, key, line)?;
    }
    Ok(())
}
