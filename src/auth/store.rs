//! What a grant keeps between runs: its newest refresh token, and the access
//! token that came with it.
//!
//! Owns the interface; where the tokens lie is the implementation's. A store
//! belongs to one grant of one client. Must never show a token.

mod file;
mod login_id;

pub use file::FileStore;
pub use login_id::LoginId;

use crate::job::{Grant, GrantKind};
use secrecy::SecretString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The tokens of one grant, as they are kept.
#[derive(Debug, Clone)]
pub struct StoredTokens {
    /// The newest refresh token; `None` when the server gave none.
    pub refresh_token: Option<SecretString>,
    /// The access token that came last.
    pub access_token: SecretString,
    /// When the access token expires, by this machine's clock; `None` when nobody knows.
    pub expires: Option<SystemTime>,
    /// The fingerprint of the job file's `refresh_token` that this goes back
    /// to: with another one there, what is kept is not used. `None` after `harvest login`.
    pub seed: Option<String>,
}

/// Why a store could not be used. Names the file, never what is in it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the token cache {path}: {reason}", path = path.display())]
pub struct StoreError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Where one grant's tokens are kept. Everything here may block on a disk, and
/// [`lock`](TokenStore::lock) on another process: call it off the event loop.
pub trait TokenStore: fmt::Debug + Send + Sync {
    /// Waits for the process that renews these tokens now, if there is one,
    /// and keeps others out until the guard is dropped. A process that dies
    /// gives its lock up.
    fn lock(&self) -> Result<Box<dyn LockedTokens>, StoreError>;
}

/// A store that nobody else reads or changes meanwhile.
pub trait LockedTokens: Send {
    /// What is kept; `None` when nothing is.
    fn load(&self) -> Result<Option<StoredTokens>, StoreError>;

    /// Keeps these instead. They are durable when this returns, and whoever
    /// reads sees the old ones or the new ones, never a mixture.
    fn save(&mut self, tokens: &StoredTokens) -> Result<(), StoreError>;

    /// Keeps nothing any more.
    fn forget(&mut self) -> Result<(), StoreError>;
}

/// A store for the life of the process: `--sandbox` and tests.
/// One refresher asks at a time, so its lock keeps nobody out.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Option<StoredTokens>>>);

impl TokenStore for MemoryStore {
    fn lock(&self) -> Result<Box<dyn LockedTokens>, StoreError> {
        Ok(Box::new(self.clone()))
    }
}

impl LockedTokens for MemoryStore {
    fn load(&self) -> Result<Option<StoredTokens>, StoreError> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tokens.clone())
    }

    fn save(&mut self, tokens: &StoredTokens) -> Result<(), StoreError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokens.clone());
        Ok(())
    }

    fn forget(&mut self) -> Result<(), StoreError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

/// Where the tokens of a job's grant are kept: in the user's state folder, or,
/// when anybody with the job file can get new ones, for the life of the process.
///
/// # Errors
/// For a user without a home.
pub fn open_store(grant: &Grant) -> Result<Arc<dyn TokenStore>, StoreError> {
    Ok(match grant.kind {
        GrantKind::ClientCredentials | GrantKind::JwtBearer(_) => Arc::new(MemoryStore::default()),
        GrantKind::RefreshToken { .. }
        | GrantKind::AuthorizationCode { .. }
        | GrantKind::DeviceCode { .. } => Arc::new(FileStore::of_user(LoginId::of(grant))?),
    })
}
