//! Tokens in the user's state folder: one file a login.
//!
//! Owns the folder (0700), the files in it (0600), and their replacement:
//! written beside, synced, renamed, the folder synced, so that a rotated
//! refresh token is on the disk whole or not at all. Who changes a file holds
//! its lock: a second process that wants to refresh at the same time waits,
//! reads again, and finds what the first one got. Must never show a token.

use super::{LockedTokens, LoginId, StoreError, StoredTokens, TokenStore};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer than any token request takes: who holds a lock for so long hangs.
const PATIENCE: Duration = Duration::from_secs(150);
/// Between two looks at a lock.
const PAUSE: Duration = Duration::from_millis(20);
/// A file of tokens is a few kB.
const MAX_FILE: u64 = 1024 * 1024;
/// The files' form; another one is not guessed at.
const FORMAT: &str = "harvest login 1";

/// [`StoredTokens`] as the file has them.
#[derive(Serialize, Deserialize)]
struct Written {
    format: String,
    /// For people: which server, client and scope this is.
    server: String,
    client_id: String,
    scope: String,
    seed: Option<String>,
    /// RFC 3339.
    expires: Option<String>,
    access_token: String,
    refresh_token: Option<String>,
}

/// One login's tokens in a file.
#[derive(Debug, Clone)]
pub struct FileStore {
    folder: PathBuf,
    id: LoginId,
    patience: Duration,
}

impl FileStore {
    /// In the user's state folder: `$XDG_STATE_HOME/harvest/logins`,
    /// `~/.local/state/harvest/logins` when that is not set, and the local
    /// application data on Windows. Nothing is made yet.
    ///
    /// # Errors
    /// For a user without a home.
    pub fn of_user(id: LoginId) -> Result<FileStore, StoreError> {
        use etcetera::BaseStrategy;
        let strategy = etcetera::choose_base_strategy().map_err(|_| StoreError {
            path: PathBuf::from("~/.local/state/harvest/logins"),
            reason: "neither XDG_STATE_HOME nor a home folder is known".to_owned(),
        })?;
        let state = strategy.state_dir().unwrap_or_else(|| strategy.cache_dir());
        Ok(FileStore::at(state.join("harvest").join("logins"), id))
    }

    /// In this folder; it is made when the first login is saved.
    pub fn at(folder: PathBuf, id: LoginId) -> FileStore {
        FileStore {
            folder,
            id,
            patience: PATIENCE,
        }
    }

    /// Where the tokens are, or would be.
    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.id.file_name()))
    }

    /// The tokens as they are now, without waiting for anybody; `None` when
    /// there is no login. Makes nothing.
    ///
    /// # Errors
    /// A file that can't be read, or is damaged.
    pub fn look(&self) -> Result<Option<StoredTokens>, StoreError> {
        load(&self.path(), &self.id)
    }

    /// As [`TokenStore::lock`].
    ///
    /// # Errors
    /// A lock that can't be made, or that another process does not let go.
    pub fn hold(&self) -> Result<LockedFile, StoreError> {
        let path = self.path();
        make_private(&self.folder).map_err(|cause| StoreError {
            path: self.folder.clone(),
            reason: format!(
                "cannot make the folder: {cause}; XDG_STATE_HOME can name another place"
            ),
        })?;
        let lock_path = path.with_extension("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        private(&mut options);
        let lock = options
            .open(&lock_path)
            .map_err(io(&lock_path, "open the lock"))?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() < self.patience => {
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let waited = humantime::format_duration(self.patience);
                    let reason = format!(
                        "another process has held it for over {waited}; is one of them hanging?"
                    );
                    return Err(StoreError { path, reason });
                }
                Err(TryLockError::Error(cause)) => return Err(io(&lock_path, "lock it")(cause)),
            }
        }
        Ok(LockedFile {
            _lock: lock,
            path,
            id: self.id.clone(),
        })
    }
}

impl TokenStore for FileStore {
    fn lock(&self) -> Result<Box<dyn LockedTokens>, StoreError> {
        Ok(Box::new(self.hold()?))
    }
}

/// A login that nobody else changes until this value is dropped. The lock file
/// stays: one that is removed could be locked twice.
#[derive(Debug)]
pub struct LockedFile {
    _lock: File,
    path: PathBuf,
    id: LoginId,
}

impl LockedTokens for LockedFile {
    fn load(&self) -> Result<Option<StoredTokens>, StoreError> {
        load(&self.path, &self.id)
    }

    fn save(&mut self, tokens: &StoredTokens) -> Result<(), StoreError> {
        let written = Written {
            format: FORMAT.into(),
            server: self.id.server.clone(),
            client_id: self.id.client_id.expose_secret().into(),
            scope: self.id.scope.clone(),
            seed: tokens.seed.clone(),
            expires: tokens.expires.map(rfc3339),
            access_token: tokens.access_token.expose_secret().into(),
            refresh_token: tokens
                .refresh_token
                .as_ref()
                .map(|t| t.expose_secret().into()),
        };
        let temporary = self.path.with_extension("tmp");
        let write = || {
            let mut bytes = serde_json::to_vec_pretty(&written)?;
            bytes.push(b'\n');
            // What a killed process left; whose name it was is not followed.
            match fs::remove_file(&temporary) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            private(&mut options);
            let mut file = options.open(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)?;
            sync_folder(&self.path)
        };
        write().map_err(io(&self.path, "write it"))
    }

    fn forget(&mut self) -> Result<(), StoreError> {
        match fs::remove_file(&self.path).and_then(|()| sync_folder(&self.path)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(io(&self.path, "remove it")(cause))
            }
            _ => Ok(()),
        }
    }
}

fn load(path: &Path, id: &LoginId) -> Result<Option<StoredTokens>, StoreError> {
    let damaged = |why: &str| StoreError {
        path: path.to_owned(),
        reason: format!(
            "it is damaged ({why}); `harvest login JOB` makes a new one, `harvest logout JOB` removes it"
        ),
    };
    let read = || {
        if fs::metadata(path)?.len() > MAX_FILE {
            return Ok(None);
        }
        fs::read(path).map(Some)
    };
    let bytes = match read() {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(damaged("far too long")),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(io(path, "read it")(cause)),
    };
    if bytes.is_empty() {
        return Err(damaged("empty"));
    }
    // Not serde's words: they may repeat a part of a token.
    let written: Written =
        serde_json::from_slice(&bytes).map_err(|_| damaged("not what was written"))?;
    if written.format != FORMAT {
        return Err(damaged("of another version of harvest"));
    }
    let same = written.server == id.server
        && written.client_id == id.client_id.expose_secret()
        && written.scope == id.scope;
    if !same {
        return Err(damaged("another login's"));
    }
    let time = |text: &str| humantime::parse_rfc3339(text).map_err(|_| damaged("a time is none"));
    Ok(Some(StoredTokens {
        expires: written.expires.as_deref().map(time).transpose()?,
        access_token: written.access_token.into(),
        refresh_token: written.refresh_token.map(Into::into),
        seed: written.seed,
    }))
}

/// Within the years that RFC 3339 has, whatever the clock says.
fn rfc3339(time: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(time.clamp(UNIX_EPOCH, last)).to_string()
}

/// Makes a renaming or removal in the folder durable.
fn sync_folder(file: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(()); // a folder can't be opened for this elsewhere
    }
    let folder = file.parent().ok_or(io::ErrorKind::InvalidInput)?;
    File::open(folder)?.sync_all()
}

fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |cause| StoreError {
        path,
        reason: format!("cannot {what}: {cause}"),
    }
}

/// For this user's eyes only.
fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options; // the profile's folder is the user's own
}

/// The folder, for this user's eyes only, also if it was there before.
fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        builder.mode(0o700).create(folder)?;
        if fs::metadata(folder)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    }
    #[cfg(not(unix))]
    builder.create(folder)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
