//! Where tokens outlive a run.

mod file;

pub use file::{FileStore, LockedLogin, LoginId, Saved, StoreError};
