//! The process's table of open files, made long enough before anything runs.
//!
//! Owns the limit on it: raised as far as the jobs' connections need, or an
//! error before anything is sent, for a connection that the limit forbids looks
//! like a server that is down. And its length: Linux lengthens the table when it
//! is full, and with threads running every `socket()` waits for that, 4 to 14 ms
//! at 1,000 connections; that is enough to squeeze a fast quota's first second.

use crate::job::Job;
use std::fmt;

/// Open files beside the connections: outputs, list, lock, and what the runtime needs.
const OTHERS: u64 = 64;

/// The limit does not suffice, and it may not be raised.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooFew {
    /// What the jobs ask for.
    concurrency: u64,
    needed: u64,
    limit: u64,
    /// The connections of an item need so many each.
    each: u64,
}

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooFew {
            concurrency,
            needed,
            limit,
            each,
        } = self;
        write!(
            f,
            "concurrency = {concurrency} needs {needed} open files, and this process may have {limit}\n  help: "
        )?;
        match limit.saturating_sub(OTHERS) / each {
            0 => {}
            fits => write!(f, "--concurrency {fits} fits; or ")?,
        }
        write!(f, "raise the limit: `ulimit -Hn {needed}`, by root")
    }
}

/// How many files the jobs need at least, and how many they may have open at times.
fn demand(jobs: &[Job], sandbox: bool) -> (u64, u64, u64) {
    let concurrency = jobs.iter().map(|job| job.limits.concurrency).max();
    let concurrency = concurrency.unwrap_or(0) as u64;
    // The embedded API holds the other end of each connection.
    let each = if sandbox { 2 } else { 1 };
    let needed = concurrency * each + OTHERS;
    // A connection that was begun when none was free may be idle beside those in use.
    (each, needed, 2 * concurrency * each + OTHERS)
}

/// Makes room for all connections that the jobs may have at once.
///
/// # Errors
/// [`TooFew`]: the hard limit is lower than what they need.
pub(super) fn make_room(jobs: &[Job], sandbox: bool) -> Result<(), TooFew> {
    let (each, needed, wanted) = demand(jobs, sandbox);
    let Some(limit) = raise(wanted) else {
        return Ok(());
    };
    if limit < needed {
        return Err(TooFew {
            concurrency: (needed - OTHERS) / each,
            needed,
            limit,
            each,
        });
    }
    lengthen(wanted.min(limit));
    Ok(())
}

/// Raises the limit to `wanted` or as near as it may go; returns it, `None` when there is none.
#[cfg(unix)]
fn raise(wanted: u64) -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let found = getrlimit(Resource::Nofile);
    let current = found.current?;
    if current >= wanted {
        return Some(current);
    }
    let raised = found.maximum.map_or(wanted, |most| most.min(wanted));
    let limit = Rlimit {
        current: Some(raised),
        maximum: found.maximum,
    };
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => Some(raised.max(current)),
        // Some systems have a lower limit than they say.
        Err(_) => Some(current),
    }
}

#[cfg(not(unix))]
fn raise(_: u64) -> Option<u64> {
    None
}

/// Takes the last of `files` numbers once: the table is as long from then on.
#[cfg(unix)]
fn lengthen(files: u64) {
    let last = i32::try_from(files.saturating_sub(1)).unwrap_or(0);
    let opened = std::fs::File::open("/dev/null");
    // Without it, the table grows in time.
    let _ = opened.map(|file| rustix::io::fcntl_dupfd_cloexec(&file, last));
}

#[cfg(not(unix))]
fn lengthen(_: u64) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_what_fits() {
        let mut error = TooFew {
            concurrency: 1_000,
            needed: 1_064,
            limit: 256,
            each: 1,
        };
        assert_eq!(
            error.to_string(),
            "concurrency = 1000 needs 1064 open files, and this process may have 256\n  \
             help: --concurrency 192 fits; or raise the limit: `ulimit -Hn 1064`, by root"
        );
        error.limit = 40;
        assert!(error.to_string().contains("help: raise the limit"));
    }
}
