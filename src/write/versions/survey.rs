//! What a versions file says of an output, looked through once.

use super::Entries;
use crate::write::error::WriteError;
use std::path::Path;

/// What a file says of the first bytes of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::write) struct Survey {
    /// Records with an entry.
    pub(in crate::write) records: u64,
    /// Of these, known to be so before the given moment.
    pub(in crate::write) older: u64,
    /// Every record has its entry: their lines lie end to end. Items without a
    /// line have theirs, too, and are none of that.
    pub(in crate::write) whole: bool,
    /// Where the first line begins: after a CSV's header row.
    pub(in crate::write) first: u64,
    /// Bytes of the file up to the last entry that is about these bytes.
    pub(in crate::write) good: u64,
}

/// Looks through a file for the first `length` bytes of an output, which hold
/// so many records; `before` is in Unix ms.
pub(in crate::write) fn survey(
    path: &Path,
    generation: u64,
    length: u64,
    records: u64,
    before: u64,
) -> Result<Survey, WriteError> {
    let mut survey = Survey::default();
    let Some(mut entries) = Entries::of(path, generation)? else {
        survey.whole = records == 0;
        survey.first = length;
        return Ok(survey);
    };
    survey.good = entries.place;
    let (mut end, mut gapless) = (None, true);
    while let Some(entry) = entries.next()? {
        if entry.has_place() {
            let empty = entry.length == 0;
            let overlaps = !empty && end.is_some_and(|end| entry.offset < end);
            let Some(to) = entry.end().filter(|&to| to <= length && !overlaps) else {
                break;
            };
            // A header row may be written after an item without a line.
            if !empty {
                gapless &= end.is_none_or(|end| entry.offset == end);
                if end.is_none() {
                    survey.first = entry.offset;
                }
                end = Some(to);
            }
            survey.records = survey.records.saturating_add(entry.records);
            if entry.at_ms < before {
                survey.older = survey.older.saturating_add(entry.records);
            }
        }
        survey.good = entries.place;
    }
    survey.whole = gapless && survey.records == records && end.is_none_or(|end| end == length);
    if end.is_none() {
        survey.first = length;
    }
    Ok(survey)
}
