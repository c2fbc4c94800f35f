//! When the next request may go: quotas, pauses, back-off, the in-flight limit.
//!
//! [`Pacer`] is the one owner of that decision ("Never over the quota", "Good manners"). It is a
//! state machine without clock, timer or task of its own: the run tells it the
//! time and hands its [`Permit`]s on. Nobody else may decide to send, and no
//! worker ever queues on a limiter. Must never do I/O.

mod auto;
mod budget;
mod concurrency;
mod health;
mod latency;
mod ledger;
mod note;
mod pacer;
mod past;
mod quota;
mod strain;
mod throttle;
mod turn;

pub use budget::Budget;
pub use health::Signal;
pub use note::{Learnt, Note, Uptime};
pub use pacer::Pacer;
pub use quota::QuotaGate;
pub use throttle::{backoff_delay, full_jitter};
pub use turn::{Found, GiveUp, Now, PauseReason, PauseView, Permit, Turn, Why};

/// Nanoseconds since the pacer was made; negative before that.
///
/// Signed, because a resumed run knows of requests from before its own start.
pub type Tick = i64;

pub(crate) fn nanos(duration: std::time::Duration) -> Tick {
    Tick::try_from(duration.as_nanos()).unwrap_or(Tick::MAX / 4)
}
