//! Where the items go on that the next output has in part.
//!
//! Owns which trail goes with the lines that stay or come. Must never write.

use super::next::Next;
use crate::checkpoint::ItemKey;
use crate::outcome::Trail;
use crate::write::error::WriteError;
use crate::write::versions::Fate;
use std::collections::BTreeMap;

impl Next<'_> {
    /// Each such item's trail.
    pub(super) fn trails(&self) -> Result<BTreeMap<ItemKey, Trail>, WriteError> {
        let mut trails = BTreeMap::new();
        for (key, trail) in &self.old.trails {
            let stays = match self.news(*key)? {
                None => true,
                Some((_, news)) => match news.fate {
                    Fate::Record | Fate::Gone => false,
                    _ => self.only_parts(*key, &news)?.is_none(),
                },
            };
            if stays {
                trails.insert(*key, trail.clone());
            }
        }
        for (key, trail) in &self.new.trails {
            if let Some((_, news)) = self.news(*key)?
                && self.only_parts(*key, &news)?.is_some()
            {
                trails.insert(*key, trail.clone());
            }
        }
        Ok(trails)
    }
}
