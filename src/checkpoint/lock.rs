//! One run an output.
//!
//! Owns `<output>.lock`, and the lock of the open checkpoint behind it. What locks is `flock` on the open file, so a killed
//! run leaves no lock, only a file without meaning; what the file holds is for
//! people. Must never wait for long, never remove a lock that another
//! process holds, and never change a file that is no lock file.

use super::beside::{foreign, no_link, refuse_strange};
use super::clock::rfc3339;
use super::error::CheckpointError;
use super::files::Files;
use crate::fail_point::fail_point;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Tries before a lock counts as held: a process that only looks holds it for some microseconds.
const TRIES: u32 = 5;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// An output that is this process's alone, until this value is dropped.
#[derive(Debug)]
pub struct OutputLock {
    file: File,
    path: PathBuf,
}

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    /// RFC 3339.
    started: String,
}

impl OutputLock {
    /// Locks the output at `output`, however its path is spelled. Waits a tenth of a second at most.
    ///
    /// # Errors
    /// [`CheckpointError::Locked`] when another process holds it;
    /// [`CheckpointError::Foreign`] when what is there is no lock file;
    /// [`CheckpointError::Io`] when the lock file can't be made or locked.
    pub fn acquire(output: &Path) -> Result<OutputLock, CheckpointError> {
        let path = Files::of(output)?.lock;
        let io = |cause| CheckpointError::io(&path, "lock the output")(cause);
        let mut tries = 0;
        loop {
            refuse_strange(&path)?;
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = no_link(&mut options).open(&path).map_err(io)?;
            match file.try_lock() {
                // The holder before may have removed the file after it was opened here.
                Ok(()) if !is_at(&file, &path).map_err(io)? => {}
                Ok(()) if !is_lock_file(&file).map_err(io)? => {
                    return Err(foreign(&path, "a file that harvest did not write"));
                }
                Ok(()) => {
                    let mut lock = OutputLock {
                        file,
                        path: path.clone(),
                    };
                    fail_point!("lock: taken");
                    lock.sign().map_err(io)?;
                    return Ok(lock);
                }
                Err(TryLockError::WouldBlock) if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let by = read(&file);
                    return Err(CheckpointError::Locked {
                        output: output.to_path_buf(),
                        by,
                    });
                }
                Err(TryLockError::Error(cause)) => return Err(io(cause)),
            }
        }
    }

    /// Writes who holds it.
    fn sign(&mut self) -> io::Result<()> {
        let holder = Holder {
            pid: std::process::id(),
            host: host(),
            started: rfc3339(SystemTime::now()),
        };
        let mut line = serde_json::to_vec(&holder)?;
        line.push(b'\n');
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(&line)
    }
}

impl Drop for OutputLock {
    fn drop(&mut self) {
        fail_point!("lock: about to be removed");
        // Somebody removed ours: what is there now is another run's.
        if !is_at(&self.file, &self.path).unwrap_or(true) {
            return;
        }
        // Removed while it is still locked: whoever opened it before will see that it has no name.
        if let Err(cause) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %cause, "lock file not removed");
        }
    }
}

/// Locks an open checkpoint for as long as it is open, so that a lock file that
/// someone took for a left-over and removed lets no second run in. Where files
/// can't be locked, or a lock keeps readers out, the lock file has to do.
///
/// # Errors
/// [`CheckpointError::Locked`] when another process has it open.
pub(super) fn hold(checkpoint: &File, path: &Path) -> Result<(), CheckpointError> {
    if !cfg!(unix) {
        return Ok(());
    }
    for _ in 0..TRIES {
        if !matches!(checkpoint.try_lock(), Err(TryLockError::WouldBlock)) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(CheckpointError::Locked {
        output: path.to_path_buf(),
        by: "whose lock file was removed".to_owned(),
    })
}

/// Who holds the lock at `path`, for people; `None` when nobody does.
pub(super) fn holder(path: &Path) -> Option<String> {
    // Opening a FIFO would wait for whoever writes to it.
    refuse_strange(path).ok()?;
    let file = no_link(OpenOptions::new().read(true)).open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(read(&file)),
        _ => None,
    }
}

/// Whether the file is a lock file: a new one, or one that a killed run left.
fn is_lock_file(file: &File) -> io::Result<bool> {
    let mut head = Vec::new();
    file.take(16).read_to_end(&mut head)?;
    Ok(head.is_empty() || head.starts_with(b"{\"pid\":"))
}

/// What the lock file says, for people.
fn read(file: &File) -> String {
    let mut file = file;
    let mut text = String::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(4096).read_to_string(&mut text));
    match read
        .ok()
        .and_then(|_| serde_json::from_str::<Holder>(&text).ok())
    {
        Some(Holder { pid, host, started }) => format!("process {pid} on {host}, since {started}"),
        None => "a process that has not said who it is".to_owned(),
    }
}

/// Whether the open file still has this name.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(there.dev() == ours.dev() && there.ino() == ours.ino()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Whether the open file still has this name.
#[cfg(not(unix))]
pub(crate) fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

/// This machine's name, for people.
fn host() -> String {
    let named = fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| fs::read_to_string("/etc/hostname"))
        .ok()
        .or_else(|| {
            std::env::var("HOSTNAME")
                .or_else(|_| std::env::var("COMPUTERNAME"))
                .ok()
        });
    match named.as_deref().map(str::trim) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => "this machine".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_was_first() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out");
        let lock = OutputLock::acquire(&output).unwrap();
        let error = OutputLock::acquire(&folder.path().join("./out"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        let path = Files::of(&output).unwrap().lock;
        assert!(holder(&path).unwrap().starts_with("process "));
        drop(lock);
        assert!(!path.exists());
        assert_eq!(holder(&path), None);
        // What a killed run left behind locks nobody out, and names nobody.
        fs::write(&path, r#"{"pid":1,"host":"x","started":"then"}"#).unwrap();
        assert_eq!(holder(&path), None);
        drop(OutputLock::acquire(&output).unwrap());
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_that_was_removed_takes_no_other_run_s_along() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out");
        let first = OutputLock::acquire(&output).unwrap();
        let path = Files::of(&output).unwrap().lock;
        fs::remove_file(&path).unwrap();
        let second = OutputLock::acquire(&output).unwrap();
        drop(first);
        assert!(holder(&path).is_some());
        drop(second);
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_lock_file_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out");
        let path = Files::of(&output).unwrap().lock;
        let kept = folder.path().join("kept");
        for notes in ["my notes\n", ""] {
            fs::write(&kept, notes).unwrap();
            std::os::unix::fs::symlink(&kept, &path).unwrap();
            let error = OutputLock::acquire(&output).unwrap_err().to_string();
            assert!(error.contains("a symbolic link"), "{error}");
            assert_eq!(holder(&path), None);
            assert_eq!(fs::read_to_string(&kept).unwrap(), notes);
            assert_eq!(fs::read_link(&path).unwrap(), kept);
            fs::remove_file(&path).unwrap();
        }
        fs::write(&path, "my notes\n").unwrap();
        let error = OutputLock::acquire(&output).unwrap_err().to_string();
        assert!(error.contains("move it away"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "my notes\n");
    }

    #[test]
    fn only_one_at_a_time_whatever_the_race() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out");
        let (inside, taken) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if let Ok(lock) = OutputLock::acquire(&output) {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            taken.fetch_add(1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(lock);
                        }
                    }
                });
            }
        });
        assert!(taken.load(Ordering::SeqCst) > 0);
    }
}
