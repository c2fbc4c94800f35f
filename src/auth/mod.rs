//! Whose credentials go along with a request, and the token that all share.
//!
//! [`Credentials`] is what a request needs; [`TokenKeeper`] is the one owner
//! of the access token (promise 5): at most one token request is in flight, it
//! is made ahead of the expiry, and a refused token is dropped once. It asks a
//! [`Source`], which hides how tokens are come by: [`token_request`] for every
//! OAuth2 grant, an API's own log-in, and the [`TokenStore`] for what a refresh
//! token turns into. Must never show a secret: what leaves this module is a
//! sensitive header value.

mod assertion;
mod client_auth;
pub mod consent;
mod credentials;
mod discovery;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod grant;
mod keeper;
mod lifetime;
mod login;
mod of_job;
mod permits;
mod refresh;
mod send;
mod shared;
mod source;
mod store;
mod token_request;

pub use credentials::{CredentialError, Credentials, Presented};
pub use discovery::{Need, Resolved, endpoints};
pub use grant::{Asked, GrantError, Granted};
pub use keeper::TokenKeeper;
pub use permits::{ApiGate, SidePermitRequests, SidePermits};
pub use shared::{AuthError, SharedToken, Token, TokenState, TokenTrouble};
pub use source::Source;
pub use store::{
    FileStore, LockedTokens, LoginId, MemoryStore, StoreError, StoredTokens, TokenStore, open_store,
};
pub use token_request::{Exchange, token_request};
