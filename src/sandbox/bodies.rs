//! Recorded bodies: a folder of `{id}.json` files that answer for their IDs.
//!
//! Owns the folder, and the choice between a recorded body and a made one. Must
//! never open a file whose name it did not find in the folder at the start, so
//! no ID can name a file elsewhere.

use super::track::{self, is_track_id};
use bytes::Bytes;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

/// The bodies of one server.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    folder: PathBuf,
    recorded: HashSet<String>,
}

impl Bodies {
    /// Learns which IDs have a recorded body.
    pub(super) fn open(folder: Option<&Path>) -> io::Result<Self> {
        let Some(folder) = folder else {
            return Ok(Self::default());
        };
        let mut recorded = HashSet::new();
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
            recorded.extend(id.filter(|id| is_track_id(id)).map(str::to_owned));
        }
        Ok(Self {
            folder: folder.to_owned(),
            recorded,
        })
    }

    /// Whether there is a file for this ID.
    pub(super) fn is_recorded(&self, id: &str) -> bool {
        self.recorded.contains(id)
    }

    /// The body for this ID.
    pub(super) fn body(&self, id: &str) -> io::Result<Bytes> {
        if self.is_recorded(id) {
            // Read anew each time: a folder of bodies may be larger than memory.
            return std::fs::read(self.folder.join(format!("{id}.json"))).map(Bytes::from);
        }
        track::body(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_bodies_are_served_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let id = "11dFghVXANMlKmJXsNCbNl";
        let file = folder.path().join(format!("{id}.json"));
        std::fs::write(&file, " {} \n").unwrap();
        std::fs::write(folder.path().join("notes.json"), "{}").unwrap();
        let bodies = Bodies::open(Some(folder.path())).unwrap();
        assert_eq!(bodies.body(id).unwrap(), " {} \n");
        assert!(!bodies.is_recorded("notes"));
        let other = "21dFghVXANMlKmJXsNCbNl";
        assert_eq!(bodies.body(other).unwrap(), track::body(other).unwrap());
        std::fs::remove_file(&file).unwrap();
        assert!(bodies.body(id).is_err());
    }
}
