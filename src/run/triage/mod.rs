//! What an answer means: for its items, for the credentials, for the server,
//! and for the run.
//!
//! [`Triage`] is a state machine like [`crate::pace`]: an answer and the facts
//! of the moment go in, decisions come out, and the engine acts on them. It has
//! no clock, task, channel or I/O of its own, so every rule can be tested with
//! made-up answers (`tests.rs` feeds it random ones). Its parts, one file each,
//! do not know each other; `settle.rs` asks them and puts their words together:
//!
//! | part | its question |
//! | --- | --- |
//! | `tries` | does this attempt count against its item, and when is the next? |
//! | `fairness` | is a Retry-After the server's, or one item's? |
//! | `refusals` | is a 401 or 403 the item's, or the credentials'? |
//! | `known_good` | what does an item that was answered well say now? |
//! | `doubted` | which items wait for that word? |
//! | `quarantine` | do the items fail, or something that they have in common? |
//! | `batches` | how many items go together, and is the batch endpoint there? |
//! | `error_body` | is this record an error? |
//! | `memory` | what was seen of each item that had trouble? |
//!
//! Keeps the promise "Every item has a fate": each item that goes in comes out
//! as one outcome, or is asked for again, or the run stops and says why.

mod batches;
mod credentials;
mod decision;
mod doubted;
mod error_body;
mod fairness;
mod known_good;
mod memory;
mod quarantine;
mod refusals;
mod settle;
mod state;
#[cfg(test)]
mod tests;
mod tries;
mod troubles;

pub(super) use batches::Batches;
pub use decision::StopReason;
pub(super) use decision::{Decision, Facts};
pub(super) use state::Triage;
