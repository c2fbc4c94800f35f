//! When to ask for a commit, and the last one.

use super::Ended;
use super::error::RunError;
use super::state::{Cause, Driver};
use super::uptime;
use crate::job::OutputTarget;
use crate::pace::{Now, PauseReason};
use crate::report::{End, Event, Reporter, Summary, UpdateNews};
use crate::write::{Closing, Files};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

impl Driver<'_> {
    /// Asks for a commit when it is time; returns when it will be.
    pub(super) async fn commit_if_due(&mut self, now: Now) -> Result<Option<Instant>, RunError> {
        if self.commits.under_way {
            return Ok(None);
        }
        // A pause should outlive the process from its beginning on.
        let pause = self
            .pacer
            .pause_view(now)
            .filter(|p| p.reason != PauseReason::Outage);
        let pause_news = pause.is_some_and(|p| {
            self.commits
                .pause_kept
                .is_none_or(|kept| p.ends > kept + Duration::from_secs(1))
        });
        let lease_low =
            self.pacer.lease_low(now) && !self.queue.is_empty() && self.stopping.is_none();
        let due = self.commits.last + self.commits.every;
        let by_time = self.commits.dirty && now.instant >= due;
        if !(self.commits.wanted || pause_news || lease_low || by_time) {
            return Ok(self.commits.dirty.then_some(due));
        }
        self.commits.pause_kept = pause.map(|p| p.ends);
        self.commits.wanted = false;
        self.commits.dirty = false;
        self.commits.last = now.instant;
        self.commits.under_way = true;
        let note = self.pacer.note(now, uptime::read(), false);
        let good = self.control.id.clone();
        self.writer.commit(note, good, Closing::No).await?;
        Ok(None)
    }

    pub(super) fn committed(&mut self) {
        self.commits.under_way = false;
        self.pacer.committed(Now::read());
    }

    /// The last commit, the summary, and the run's end.
    pub(super) async fn close(
        mut self,
        cycled: Result<(), RunError>,
        reporter: &mut Reporter,
    ) -> Result<Ended, RunError> {
        let mut cause = self.stopping.take().map(|s| s.0);
        if cause.is_none() && cycled.is_ok() {
            cause = match self.all_refused().await {
                Ok(refused) => refused.map(Cause::Broken),
                Err(error) => Some(Cause::Broken(error)),
            };
            if cause.is_none() {
                cause = self.release_suspects().await.err().map(Cause::Broken);
            }
        }
        let complete = cause.is_none() && cycled.is_ok() && !self.limited;
        let idle = self.stats.starts == 0 && self.stats.items + self.stats.failed_count == 0;
        let base = self
            .update
            .as_ref()
            .map(|update| (update.records, update.failed, update.left_in_part));
        let mut broken = match cycled {
            Err(error) => Some(error),
            Ok(()) => {
                // What failed before may be tried again while the list is not at its end.
                let at_end = self.options.retry.is_none() || self.resumed.finished;
                let closing = if complete && at_end {
                    Closing::Finished
                } else {
                    Closing::Paused
                };
                // A finished job that is run again changes nothing on disk.
                if idle && (self.resumed.finished || !complete || self.options.retry.is_some()) {
                    None
                } else {
                    self.last_commit(closing).await.err()
                }
            }
        };
        let mut updated = None;
        if complete && broken.is_none() {
            match self.finish_update().await {
                Ok(done) => updated = done,
                Err(error) => broken = Some(error),
            }
        }
        let stopped = match cause {
            Some(Cause::Signal(stop)) => Some(stop),
            Some(Cause::Broken(error)) => {
                broken = broken.or(Some(error));
                None
            }
            None => None,
        };
        let end = match (&broken, stopped) {
            (Some(RunError::Paused(why)), _) => End::Paused(why.clone()),
            (Some(_), _) => End::Error,
            (None, Some(stop)) => End::Stopped(stop.name()),
            (None, None) if idle && complete && self.options.retry.is_some() => End::NothingToRetry,
            (None, None) if updated.is_some() => End::Updated,
            (None, None) if base.is_some() && complete => End::UpToDate,
            (None, None) if idle && complete => End::NothingToDo,
            (None, None) if self.limited => End::Limit,
            (None, None) if self.options.retry.is_some() => End::Retried,
            (None, None) => End::Finished,
        };
        let limited = self.limited;
        let failed_here = self.stats.failed_count;
        // Of those that were to be tried again, and still fail.
        let failed_again = self.options.retry.as_ref().is_some_and(|of| !of.is_empty());
        let at_end = self.resumed.finished || (complete && self.options.retry.is_none());
        let left_in_part = match complete && at_end {
            true => self.left_in_part(),
            false => 0,
        };
        let mut summary = self.summary(end, at_end)?;
        summary.left_in_part = left_in_part;
        // An update that is not at its end has not touched the old output.
        if let Some((records, failed, left_in_part)) = base {
            summary.records_in_all = updated.map_or(records, |u| u.records);
            summary.failed_in_all = updated.map_or(failed, |u| u.failed);
            summary.left_in_part = match complete {
                true => updated.map_or(left_in_part, |u| u.left_in_part),
                false => 0,
            };
        }
        summary.update = updated.map(|u| UpdateNews {
            changed: u.changed,
            added: u.added,
            unchanged: u.unchanged,
            gone: u.gone,
            kept: u.kept,
        });
        reporter.on(&Event::Ended(Box::new(summary.clone())));
        match broken {
            Some(error) => Err(error),
            None => Ok(Ended {
                complete: stopped.is_none(),
                failed: if limited || failed_again {
                    failed_here
                } else {
                    summary.failed_in_all + updated.map_or(0, |u| u.kept)
                },
                stopped,
                summary,
            }),
        }
    }

    async fn last_commit(&mut self, closing: Closing) -> Result<(), RunError> {
        if self.commits.under_way {
            self.writer.reply().await?;
            self.committed();
        }
        let note = self.pacer.note(Now::read(), uptime::read(), true);
        let good = self.control.id.clone();
        self.writer.commit(note, good, closing).await?;
        let committed = self.writer.reply().await;
        let unwritten = self.writer.take_unwritten();
        self.unwritten(unwritten);
        committed
    }

    fn summary(self, end: End, at_end: bool) -> Result<Summary, RunError> {
        let token_requests = self.token_requests();
        let allowed = self.pacer.allowed_per_second();
        let found = self.pacer.found();
        let (output, failures) = match &self.job.output.target {
            OutputTarget::Stdout => (None, None),
            OutputTarget::File(path) => (Some(path.clone()), Some(failures_of(path))),
        };
        let elapsed = self.stats.began.elapsed();
        let left = self.writer.end()?;
        Ok(Summary {
            end,
            commands: self.options.commands,
            at_end,
            output,
            failures,
            records: self.stats.records,
            items: self.stats.items,
            pages: self.stats.pages,
            unchanged: self.stats.unchanged,
            update: None,
            records_in_all: left.counts.records,
            failed: self.stats.failed,
            failed_in_all: left.counts.failed,
            left_in_part: 0,
            repeats: self.stats.repeats,
            retries: self.stats.retries,
            starts: self.stats.starts,
            token_requests,
            bytes: self.stats.bytes,
            allowed,
            found,
            unexpected_fields: left.unexpected_fields,
            elapsed,
        })
    }
}

/// The failures file, spelled as the output is; behind a link, where the link leads.
fn failures_of(output: &Path) -> PathBuf {
    if output.is_symlink()
        && let Ok(files) = Files::of(output)
    {
        return files.failures;
    }
    let mut path = output.as_os_str().to_owned();
    path.push(".failed.ndjson");
    path.into()
}
