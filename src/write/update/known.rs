//! The old output's records, by item.
//!
//! Owns two questions that have different answers for an item whose pages are
//! there in part: whether it has its record, and whether it has any line. Must
//! never write.

use crate::checkpoint::ItemKey;
use crate::outcome::Validators;
use crate::write::error::WriteError;
use crate::write::index::Index;
use crate::write::versions::{Entry, Fate};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is known of an item's record, or of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRecord {
    /// When it was fetched, or last found to hold.
    pub at: SystemTime,
    /// What to ask with.
    pub validators: Validators,
}

/// The records of the old output.
#[derive(Debug, Clone)]
pub struct KnownRecords(Option<Arc<Index>>);

impl KnownRecords {
    pub(super) fn of(index: Option<Index>) -> KnownRecords {
        KnownRecords(index.map(Arc::new))
    }

    /// What is known of the item's record; `None` when it has none, or not all
    /// of its pages.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn find(&self, id: &str, occurrence: u32) -> Result<Option<KnownRecord>, WriteError> {
        let Some((place, entry)) = self.whole(ItemKey::of(id, occurrence))? else {
            return Ok(None);
        };
        // It is as old as its oldest part.
        let mut at_ms = entry.at_ms;
        if let (Some(index), 1..) = (&self.0, entry.earlier) {
            for part in index.parts(place)? {
                at_ms = at_ms.min(index.at(part)?.at_ms);
            }
        }
        Ok(Some(KnownRecord {
            at: UNIX_EPOCH
                .checked_add(Duration::from_millis(at_ms))
                .unwrap_or(UNIX_EPOCH),
            validators: entry.validators,
        }))
    }

    /// Whether anything is there of the item, a part of its pages at least.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn has_any(&self, id: &str, occurrence: u32) -> Result<bool, WriteError> {
        Ok(self.last(ItemKey::of(id, occurrence))?.is_some())
    }

    /// The item's last entry: its record's, or a part's that others were to follow.
    pub(super) fn last(&self, key: ItemKey) -> Result<Option<(u64, Entry)>, WriteError> {
        match &self.0 {
            Some(index) => index.find(key),
            None => Ok(None),
        }
    }

    /// The last entry of an item that has its record.
    pub(super) fn whole(&self, key: ItemKey) -> Result<Option<(u64, Entry)>, WriteError> {
        Ok(self
            .last(key)?
            .filter(|(_, last)| last.fate == Fate::Record))
    }

    /// Whether any line of the item is there.
    pub(super) fn has_lines(&self, key: ItemKey) -> Result<bool, WriteError> {
        match (&self.0, self.last(key)?) {
            (Some(index), Some((place, _))) => index.has_lines(place),
            _ => Ok(false),
        }
    }

    /// The places of the item's parts, in their order; with what to read them by.
    pub(super) fn parts(&self, key: ItemKey) -> Result<Option<(&Index, Vec<u64>)>, WriteError> {
        match (&self.0, self.last(key)?) {
            (Some(index), Some((place, _))) => Ok(Some((index, index.parts(place)?))),
            _ => Ok(None),
        }
    }
}
