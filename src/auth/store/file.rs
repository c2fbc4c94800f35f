//! Tokens in the user's state folder: one file a login.
//!
//! Owns the folder (0700), the files in it (0600), and their replacement:
//! written beside, synced, renamed, the folder synced, so that a rotated
//! refresh token is on the disk whole or not at all. Who changes a file holds
//! its lock: a second process that wants to refresh at the same time waits,
//! reads again, and finds what the first one got. Must never show a token.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use xxhash_rust::xxh3::xxh3_128;

/// Longer than any token request takes: who holds a lock for so long hangs.
const PATIENCE: Duration = Duration::from_secs(150);
/// Between two looks at a lock.
const PAUSE: Duration = Duration::from_millis(20);
/// A file of tokens is a few kB.
const MAX_FILE: u64 = 1024 * 1024;
/// The files' form; another one is not guessed at.
const FORMAT: &str = "harvest login 1";

/// Why a saved login can't be read, changed or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no place for it.
    #[error(
        "there is no state folder to keep logins in: neither XDG_STATE_HOME nor a home folder is known"
    )]
    NoFolder,
    /// The operating system refused.
    #[error("the saved login {}: cannot {what}: {cause}", .path.display())]
    Io {
        /// The file or the folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file is not what was written.
    #[error(
        "the saved login {} is damaged ({why}); `harvest login JOB` makes a new one, `harvest logout JOB` removes it",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, without any of its text.
        why: &'static str,
    },
    /// Another process does not let go.
    #[error(
        "another process has held the saved login {} for over {}; is one of them hanging?",
        .path.display(),
        humantime::format_duration(PATIENCE)
    )]
    Busy {
        /// The file.
        path: PathBuf,
    },
}

/// Whose tokens: what makes two logins different ones, whatever job asks.
#[derive(Debug, Clone)]
pub struct LoginId {
    /// The issuer, or the token endpoint where no issuer is named.
    pub server: String,
    /// The client, `""` for none.
    pub client_id: SecretString,
    /// Space-separated, in the job file's order.
    pub scope: String,
    /// The refresh token that the job file began with, where there is one.
    pub seed: Option<SecretString>,
}

impl LoginId {
    /// `accounts.example.com-1f0c…`: the host for people, the rest for uniqueness.
    fn file_name(&self) -> String {
        let host = reqwest::Url::parse(&self.server).ok();
        let host = host.as_ref().and_then(|url| url.host_str());
        let readable: String = host
            .unwrap_or("login")
            .chars()
            .map(|c| match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
                _ => '_',
            })
            .take(80)
            .collect();
        let seed = self.seed.as_ref().map_or("", |s| s.expose_secret());
        let parts = [
            self.server.as_str(),
            self.client_id.expose_secret(),
            &self.scope,
            seed,
        ];
        // Lengths go along, so that no two lists of parts look the same.
        let mut all = Vec::new();
        for part in parts {
            all.extend_from_slice(&(part.len() as u64).to_le_bytes());
            all.extend_from_slice(part.as_bytes());
        }
        format!("{readable}-{:016x}", xxh3_128(&all) as u64)
    }
}

/// The tokens of one login.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The access token.
    pub access_token: SecretString,
    /// When it expires, by this machine's clock; `None` when nobody knows.
    pub expires: Option<SystemTime>,
    /// What gets the next one; `None` when the server gave none.
    pub refresh_token: Option<SecretString>,
    /// When the server gave them.
    pub obtained: SystemTime,
}

/// [`Saved`] as the file has it.
#[derive(Serialize, Deserialize)]
struct Written {
    format: String,
    /// For people: which server, client and scope this is.
    server: String,
    client_id: String,
    scope: String,
    /// RFC 3339.
    obtained: String,
    expires: Option<String>,
    access_token: String,
    refresh_token: Option<String>,
}

/// The folder of all logins.
#[derive(Debug, Clone)]
pub struct FileStore {
    folder: PathBuf,
}

impl FileStore {
    /// The user's: `$XDG_STATE_HOME/harvest/logins`, `~/.local/state/harvest/logins`
    /// when that is not set, and the local application data on Windows. Nothing is made yet.
    ///
    /// # Errors
    /// [`StoreError::NoFolder`] for a user without a home.
    pub fn of_user() -> Result<FileStore, StoreError> {
        use etcetera::BaseStrategy;
        let strategy = etcetera::choose_base_strategy().map_err(|_| StoreError::NoFolder)?;
        let state = strategy.state_dir().unwrap_or_else(|| strategy.cache_dir());
        Ok(FileStore::at(state.join("harvest").join("logins")))
    }

    /// This folder; it is made when the first login is saved.
    pub fn at(folder: PathBuf) -> FileStore {
        FileStore { folder }
    }

    /// Where the tokens of this login are, or would be.
    pub fn path(&self, id: &LoginId) -> PathBuf {
        self.folder.join(format!("{}.json", id.file_name()))
    }

    /// The tokens as they are now; `None` when there is no login. Makes nothing.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Io`].
    pub fn load(&self, id: &LoginId) -> Result<Option<Saved>, StoreError> {
        load(&self.path(id), id)
    }

    /// The right to change this login's tokens; waits for who has it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] after two and a half minutes, [`StoreError::Io`].
    pub async fn lock(&self, id: &LoginId) -> Result<LockedLogin, StoreError> {
        let path = self.path(id);
        make_private(&self.folder).map_err(io(&self.folder, "make its folder"))?;
        let lock_path = self.folder.join(format!("{}.lock", id.file_name()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        private(&mut options);
        let lock = options
            .open(&lock_path)
            .map_err(io(&lock_path, "open its lock"))?;
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(TryLockError::WouldBlock) => return Err(StoreError::Busy { path }),
                Err(TryLockError::Error(cause)) => {
                    return Err(io(&lock_path, "lock it")(cause));
                }
            }
        }
        Ok(LockedLogin {
            _lock: lock,
            path,
            id: id.clone(),
        })
    }
}

/// One login that nobody else changes until this value is dropped. The lock
/// file stays: one that is removed could be locked twice.
#[derive(Debug)]
pub struct LockedLogin {
    _lock: File,
    path: PathBuf,
    id: LoginId,
}

impl LockedLogin {
    /// The tokens as they are now.
    ///
    /// # Errors
    /// As [`FileStore::load`].
    pub fn load(&self) -> Result<Option<Saved>, StoreError> {
        load(&self.path, &self.id)
    }

    /// Puts these in the place of what is there. Whatever happens, the old ones
    /// or the new ones are there, whole.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn save(&self, saved: &Saved) -> Result<(), StoreError> {
        let written = Written {
            format: FORMAT.into(),
            server: self.id.server.clone(),
            client_id: self.id.client_id.expose_secret().into(),
            scope: self.id.scope.clone(),
            obtained: rfc3339(saved.obtained),
            expires: saved.expires.map(rfc3339),
            access_token: saved.access_token.expose_secret().into(),
            refresh_token: saved
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

    /// Forgets the tokens. True when there were any.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn forget(&self) -> Result<bool, StoreError> {
        match fs::remove_file(&self.path).and_then(|()| sync_folder(&self.path)) {
            Ok(()) => Ok(true),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(io(&self.path, "remove it")(cause)),
        }
    }
}

fn load(path: &Path, id: &LoginId) -> Result<Option<Saved>, StoreError> {
    let damaged = |why| StoreError::Damaged {
        path: path.to_owned(),
        why,
    };
    let read = || {
        if fs::metadata(path)?.len() > MAX_FILE {
            return Ok(None);
        }
        fs::read(path).map(Some)
    };
    let bytes = match read() {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(damaged("it is far too long")),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(io(path, "read it")(cause)),
    };
    if bytes.is_empty() {
        return Err(damaged("it is empty"));
    }
    let written: Written =
        serde_json::from_slice(&bytes).map_err(|_| damaged("it is not what was written"))?;
    if written.format != FORMAT {
        return Err(damaged("another version of harvest wrote it"));
    }
    let same = written.server == id.server
        && written.client_id == id.client_id.expose_secret()
        && written.scope == id.scope;
    if !same {
        return Err(damaged("it is another login's"));
    }
    let time = |text: &str| humantime::parse_rfc3339(text).map_err(|_| damaged("a time is none"));
    Ok(Some(Saved {
        obtained: time(&written.obtained)?,
        expires: written.expires.as_deref().map(time).transpose()?,
        access_token: written.access_token.into(),
        refresh_token: written.refresh_token.map(Into::into),
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
    move |cause| StoreError::Io { path, what, cause }
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
