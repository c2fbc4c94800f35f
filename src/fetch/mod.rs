//! One item → one attempt's verdict ("Every item has a fate").
//!
//! [`Fetcher::attempt`] sends one attempt and classifies its answer; it keeps
//! nothing between attempts. Whether and when to try again is the run's
//! decision, and sending needs a permit of the pacer's. Must never send
//! credentials to another origin ("Secrets stay secret"), nor show a URL in a message.

mod api_error;
mod ask;
mod attempt;
mod batch;
mod body;
mod classify;
mod conditional;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod head;
mod pages;
mod redirect;
mod sent;

pub use ask::Ask;
pub use attempt::{FetchSetupError, Fetcher};
pub use classify::{Answer, Refused, Share, Trouble, Verdict};
pub use pages::{Next, PageAnswer, PageCursor};
