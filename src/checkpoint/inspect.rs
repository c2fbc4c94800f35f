//! Where a run stands, for whoever only looks.
//!
//! Owns the summary of a checkpoint. Reads without a lock, also while another
//! process appends: half a block at the end is ignored. Must never change
//! anything, and needs no memory for the keys.

use super::commit::Closing;
use super::error::CheckpointError;
use super::files::Files;
use super::lock::holder;
use super::read::scan;
use super::shape::Shape;
use crate::pace::Note;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Before a second look.
const PAUSE: Duration = Duration::from_millis(50);

/// What a checkpoint says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Inspection {
    /// Items with a fate.
    pub done: u64,
    /// Of these, records in the output.
    pub records: u64,
    /// Of these, failures, by the reason's name.
    pub failures: BTreeMap<String, u64>,
    /// Items of which a part is in the output: in their midst, or failed there.
    pub parts: u64,
    /// Their records in the output.
    pub part_records: u64,
    /// Bytes of the output that are committed.
    pub output_bytes: u64,
    /// The pacer's last note.
    pub last_note: Option<Note>,
    /// When the last commit was made; `None` before the first.
    pub committed_at: Option<SystemTime>,
    /// When the checkpoint was made, RFC 3339.
    pub created: String,
    /// How the last run ended; [`Closing::No`] when it runs, or was killed.
    pub closing: Closing,
    /// The last run had finished its list.
    pub finished: bool,
    /// What the records depend on.
    pub shape: Shape,
    /// The process that works on the output right now, for people.
    pub running: Option<String>,
}

/// Reads the checkpoint of the output at `output`; `None` when there is none.
///
/// # Errors
/// [`CheckpointError`]: the folder or the checkpoint can't be read, or the checkpoint is damaged.
pub fn inspect(output: &Path) -> Result<Option<Inspection>, CheckpointError> {
    let files = Files::of(output)?;
    let running = holder(&files.lock);
    let scanned = match scan(&files.checkpoint, |_| {}) {
        // A run that starts right now may have replaced a torn end under our eyes.
        Err(CheckpointError::Damaged { .. }) if running.is_some() => {
            std::thread::sleep(PAUSE);
            scan(&files.checkpoint, |_| {})?
        }
        scanned => scanned?,
    };
    let Some(state) = scanned else {
        return Ok(None);
    };
    Ok(Some(Inspection {
        done: state.keys,
        records: state.records,
        failures: state.failed,
        parts: state.resume_points.len() as u64,
        part_records: state
            .resume_points
            .values()
            .map(|resume_point| resume_point.records)
            .sum(),
        output_bytes: state.output.length,
        last_note: state.notes.last().copied(),
        committed_at: state
            .committed_ms
            .and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms))),
        created: state.created,
        closing: state.closing,
        finished: state.closing == Closing::Finished,
        shape: state.shape,
        running,
    }))
}
