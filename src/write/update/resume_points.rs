//! Where the items go on that the next output has in part.
//!
//! Owns which resume point goes with the lines that stay or come. Must never write.

use super::next::Next;
use crate::checkpoint::ItemKey;
use crate::outcome::ResumePoint;
use crate::write::error::WriteError;
use crate::write::versions::Fate;
use std::collections::BTreeMap;

impl Next<'_> {
    /// Each such item's resume point.
    pub(super) fn resume_points(&self) -> Result<BTreeMap<ItemKey, ResumePoint>, WriteError> {
        let mut resume_points = BTreeMap::new();
        for (key, resume_point) in &self.old.resume_points {
            let stays = match self.news(*key)? {
                None => true,
                Some((_, news)) => match news.fate {
                    Fate::Record | Fate::Gone => false,
                    _ => self.only_parts(*key, &news)?.is_none(),
                },
            };
            if stays {
                resume_points.insert(*key, resume_point.clone());
            }
        }
        for (key, resume_point) in &self.new.resume_points {
            if let Some((_, news)) = self.news(*key)?
                && self.only_parts(*key, &news)?.is_some()
            {
                resume_points.insert(*key, resume_point.clone());
            }
        }
        Ok(resume_points)
    }
}
