//! The names of an output's files.
//!
//! Owns how an output path is spelled: every spelling of one file (relative,
//! through a symbolic link) leads to the same names, so that two runs on one
//! output always meet the same lock. Must never create or change a file.

use super::error::CheckpointError;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Symbolic links that are followed before a path counts as circular.
const LINKS: usize = 40;

/// An output and the files beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The output, with its folder's canonical path and its own links followed.
    pub output: PathBuf,
    /// `<output>.checkpoint`: what is done.
    pub checkpoint: PathBuf,
    /// `<output>.failed.ndjson`: one line a failed item.
    pub failures: PathBuf,
    /// `<output>.versions`: where each record is, and what to ask with for a newer one.
    pub versions: PathBuf,
    /// `<output>.lock`: there while a run works on the output.
    pub lock: PathBuf,
}

/// What is put after an output's name, once or several times.
const ENDINGS: [&str; 7] = [
    ".checkpoint",
    ".failed.ndjson",
    ".versions",
    ".lock",
    ".updating",
    ".next",
    ".tmp",
];

impl Files {
    /// The files of the output at `output`; none of them has to exist, but the folder has to.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] when the folder does not exist or can't be read,
    /// or when the path does not end in a file name.
    pub fn of(output: &Path) -> Result<Files, CheckpointError> {
        let output =
            resolve(output).map_err(CheckpointError::io(output, "find the output's folder"))?;
        Ok(Files::named(output))
    }

    pub(super) fn named(output: PathBuf) -> Files {
        Files {
            checkpoint: beside(&output, ".checkpoint"),
            failures: beside(&output, ".failed.ndjson"),
            versions: beside(&output, ".versions"),
            lock: beside(&output, ".lock"),
            output,
        }
    }

    /// `<output>.updating` and its own files: what an update has brought so far.
    pub(crate) fn updating(&self) -> Files {
        Files::named(beside(&self.output, ".updating"))
    }

    /// `<output>.next` and its own files: what is to take these files' place.
    pub(crate) fn next(&self) -> Files {
        Files::named(beside(&self.output, ".next"))
    }

    /// Every file that may be made beside the output, but for the lock.
    pub(crate) fn sides(&self) -> Vec<PathBuf> {
        let own = [&self.checkpoint, &self.failures, &self.versions];
        let mut sides: Vec<PathBuf> = own.into_iter().cloned().collect();
        sides.extend(own.map(|path| Files::temporary(path)));
        for files in [self.updating(), self.next()] {
            sides.extend(files.all());
        }
        sides
    }

    /// The output, the files beside it, and their drafts; the checkpoint last.
    pub(crate) fn all(&self) -> Vec<PathBuf> {
        let Files {
            output,
            checkpoint,
            failures,
            versions,
            lock: _,
        } = self;
        let mut all: Vec<PathBuf> = [output, failures, versions].map(PathBuf::clone).into();
        let drafts = [output, failures, versions, checkpoint];
        all.extend(drafts.map(|path| Files::temporary(path)));
        all.push(checkpoint.clone());
        all
    }

    /// The outputs, if they are any, beside which this output would be one of those files.
    pub(super) fn bases(&self) -> Vec<Files> {
        let mut bases = Vec::new();
        let mut name = self.output.to_string_lossy().into_owned();
        while let Some(base) = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)) {
            bases.push(Files::named(PathBuf::from(base)));
            name = base.to_owned();
        }
        bases
    }

    /// Where a checkpoint is written before it gets its name.
    pub(crate) fn temporary(checkpoint: &Path) -> PathBuf {
        beside(checkpoint, ".tmp")
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// Follows the last component's links, also dangling ones, and canonicalizes its folder.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = fs::canonicalize(folder)?;
        let resolved = folder.join(name);
        match fs::read_link(&resolved) {
            Ok(target) => path = folder.join(target),
            Err(_) => return Ok(resolved),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Makes the creation, renaming and removal of `file` durable: an fsync of its folder.
///
/// # Errors
/// Whatever the operating system says.
pub(crate) fn sync_folder(file: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(()); // a folder can't be opened for this elsewhere
    }
    let folder = file.parent().ok_or(io::ErrorKind::InvalidInput)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_stand_beside_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(&folder.path().join("a.ndjson")).unwrap();
        let folder = fs::canonicalize(folder.path()).unwrap();
        assert_eq!(files.output, folder.join("a.ndjson"));
        assert_eq!(files.checkpoint, folder.join("a.ndjson.checkpoint"));
        assert_eq!(files.failures, folder.join("a.ndjson.failed.ndjson"));
        assert_eq!(files.lock, folder.join("a.ndjson.lock"));
        assert_eq!(files.versions, folder.join("a.ndjson.versions"));
        let update = files.updating();
        assert_eq!(update.output, folder.join("a.ndjson.updating"));
        let checkpoint = folder.join("a.ndjson.updating.checkpoint");
        assert_eq!(update.checkpoint, checkpoint);
    }

    #[cfg(unix)]
    #[test]
    fn every_spelling_leads_to_the_same_files() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, folder.path().join("alias")).unwrap();
        std::os::unix::fs::symlink("real/a", folder.path().join("dangling")).unwrap();
        let files = Files::of(&real.join("a")).unwrap();
        assert_eq!(files, Files::of(&folder.path().join("alias/a")).unwrap());
        assert_eq!(
            files,
            Files::of(&folder.path().join("real/../alias/./a")).unwrap()
        );
        assert_eq!(files, Files::of(&folder.path().join("dangling")).unwrap());
        std::os::unix::fs::symlink("round", folder.path().join("round")).unwrap();
        assert!(Files::of(&folder.path().join("round")).is_err());
        assert!(Files::of(&folder.path().join("none/a")).is_err());
        assert!(Files::of(Path::new("..")).is_err());
    }
}
