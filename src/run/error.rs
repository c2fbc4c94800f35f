//! Why a run could not go on (exit 1), or should be resumed later (exit 75).

use super::options::Stop;
use super::triage::StopReason;
use crate::auth::{AuthError, CredentialError};
use crate::fetch::FetchSetupError;
use crate::ids::IdsError;
use crate::pace::GiveUp;
use crate::report::span;
use crate::transport::ClientError;
use crate::write::WriteError;
use std::io;
use std::time::Duration;

/// A run that ended before its list did. What was committed is safe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The output or its checkpoint.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The list of IDs.
    #[error(transparent)]
    Ids(#[from] IdsError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A header that can't be sent.
    #[error(transparent)]
    Setup(#[from] FetchSetupError),
    /// A credential that can't be sent.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// `retry` of a job that keeps no checkpoint.
    #[error("this job writes to stdout and keeps no checkpoint, so there is nothing to retry")]
    NothingKept,
    /// `--update` of a job that keeps no checkpoint.
    #[error("this job writes to stdout and keeps no checkpoint, so there is nothing to update")]
    NothingToUpdate,
    /// A thread could not be started.
    #[error(
        "a thread could not be started: {0}; the system is out of processes or memory, perhaps"
    )]
    Thread(#[source] io::Error),
    /// The grant was refused.
    #[error(
        "{0}\n  {advice}; nothing was recorded as failed, so the same command goes on from here",
        advice = .0.advice()
    )]
    Auth(#[source] AuthError),
    /// What the API answers.
    #[error(transparent)]
    Answers(#[from] StopReason),
    /// To be resumed later: exit 75.
    #[error("{0}")]
    Paused(String),
    /// Stopped by a signal before anything was begun: exit 130 or 143.
    #[error("stopped by {}; nothing was begun", .0.name())]
    Stopped(Stop),
    /// A stage is gone without a word.
    #[error("the {0} stage ended unexpectedly; please report this")]
    StageGone(&'static str),
}

impl RunError {
    /// The pacer won't wait as long as the server asks or is down.
    pub(super) fn gave_up(why: GiveUp, max_wait: Duration, last_trouble: &str) -> RunError {
        let max_wait = humantime::format_duration(max_wait);
        let until = |until| humantime::format_rfc3339_seconds(until);
        RunError::Paused(match why {
            GiveUp::RetryAfter(end) => format!(
                "the server asked to be left alone until {}, longer than max_wait ({max_wait}); run the same command again after that",
                until(end),
            ),
            GiveUp::UsedUp(end) => format!(
                "the quota that the server announces is used up until {}, longer than max_wait ({max_wait}); run the same command again after that",
                until(end),
            ),
            GiveUp::Outage(down) => format!(
                "the server could not be used for {} ({last_trouble}), and max_wait is {max_wait}; run the same command again later",
                span(down),
            ),
        })
    }

    /// Whether this is a pause (exit 75) and no error.
    pub fn is_pause(&self) -> bool {
        matches!(self, RunError::Paused(_))
    }
}

/// Why nothing new is begun.
#[derive(Debug)]
pub(super) enum Cause {
    /// A signal.
    Signal(Stop),
    /// The run can't go on, or is to be resumed later.
    Broken(RunError),
}
