//! A run's end: what is still held, the last commit, the update, the summary.

use super::engine::{Engine, RunPlan};
use super::error::{Cause, RunError};
use super::options::{Ended, Stop};
use super::stages::writer::Commit;
use super::triage::Decision;
use super::{update, uptime};
use crate::job::OutputTarget;
use crate::pace::Now;
use crate::report::{End, Event, Reporter, Summary, UpdateNews};
use crate::write::{Closing, Files, Updated};
use std::path::{Path, PathBuf};

/// The account of what an update's base holds, should the update not come to its end.
type Base = (u64, u64, u64);

impl Engine<'_> {
    /// Ends the run. `broken`: the engine could not go on, so nothing may be
    /// committed any more.
    pub(super) async fn finish(
        mut self,
        mut broken: Option<RunError>,
        reporter: &mut Reporter,
    ) -> Result<Ended, RunError> {
        let mut cause = self.stopping.take().map(|(cause, _)| cause);
        if broken.is_none() && cause.is_none() {
            cause = self.release();
        }
        let complete = broken.is_none() && cause.is_none() && !self.intake.limited;
        let idle = self.tally.starts == 0;
        let retry = self.plan.options.retry.is_some();
        let update = self.plan.update.take();
        let base: Option<Base> = update
            .as_ref()
            .map(|u| (u.records, u.failed, u.left_in_part));
        // A finished job that is run again changes nothing on disk.
        let unchanged = idle && (self.plan.finished_before || !complete || retry);
        if broken.is_none() && !unchanged {
            // What failed before may be tried again while the list is not at its end.
            let at_end = !retry || self.plan.finished_before;
            let closing = match complete && at_end {
                true => Closing::Finished,
                false => Closing::Paused,
            };
            broken = self.last_commit(closing).await.err();
        }
        let mut updated = None;
        if complete && broken.is_none() {
            match update::finish(update).await {
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
            (None, None) if idle && complete && retry => End::NothingToRetry,
            (None, None) if updated.is_some() => End::Updated,
            (None, None) if base.is_some() && complete => End::UpToDate,
            (None, None) if idle && complete => End::NothingToDo,
            (None, None) if self.intake.limited => End::Limit,
            (None, None) if retry => End::Retried,
            (None, None) => End::Finished,
        };
        let ended = self.account(end, complete, stopped, base, updated)?;
        reporter.on(&Event::Ended(Box::new(ended.summary.clone())));
        match broken {
            Some(error) => Err(error),
            None => Ok(ended),
        }
    }

    /// At the list's end, what is still held gets its fate; or the run stops, and why.
    fn release(&mut self) -> Option<Cause> {
        let facts = self.facts(Now::read());
        let mut cause = None;
        for decision in self.triage.end(facts) {
            match decision {
                Decision::Write(outcome) => self.writer.push(outcome),
                Decision::Stop(reason) => cause = Some(Cause::Broken(reason.into())),
                // Nothing is asked for any more.
                _ => {}
            }
        }
        cause
    }

    async fn last_commit(&mut self, closing: Closing) -> Result<(), RunError> {
        if self.commits.under_way {
            self.committed().await?;
            self.pacer.committed(Now::read());
        }
        self.writer.push_commit(Commit {
            note: self.pacer.note(Now::read(), uptime::read(), true),
            known_good: self.triage.known_good().map(str::to_owned),
            closing,
        });
        self.writer.flush(true).await?;
        self.committed().await
    }

    /// Waits until a commit is durable.
    async fn committed(&mut self) -> Result<(), RunError> {
        while let Some(news) = self.writer.reply().await? {
            self.tally.written.add(news.written);
        }
        Ok(())
    }

    /// The account of the run.
    fn account(
        self,
        end: End,
        complete: bool,
        stopped: Option<Stop>,
        base: Option<Base>,
        updated: Option<Updated>,
    ) -> Result<Ended, RunError> {
        let RunPlan { job, options, .. } = self.plan;
        let limited = self.intake.limited;
        let at_end = self.plan.finished_before || (complete && options.retry.is_none());
        let (output, failures) = match &job.output.target {
            OutputTarget::Stdout => (None, None),
            OutputTarget::File(path) => (Some(path.clone()), Some(failures_of(path))),
        };
        let elapsed = self.tally.began.elapsed();
        let left = self.writer.end()?;
        let written = self.tally.written;
        let failed_here = written.failures();
        let mut summary = Summary {
            end,
            at_end,
            output,
            failures,
            records: written.records,
            items: written.items,
            pages: self.tally.pages,
            unchanged: written.unchanged,
            update: updated.map(|u| UpdateNews {
                changed: u.changed,
                added: u.added,
                unchanged: u.unchanged,
                gone: u.gone,
                kept: u.kept,
            }),
            records_in_all: left.counts.records,
            failed: written.failed,
            failed_in_all: left.counts.failed,
            left_in_part: match complete && at_end {
                true => self.intake.left_in_part(),
                false => 0,
            },
            repeats: self.intake.repeats,
            retries: self.tally.retries,
            starts: self.tally.starts,
            token_requests: self.tokens.requests(),
            bytes: self.tally.bytes,
            allowed: self.pacer.allowed_per_second(),
            found: self.pacer.found(),
            unexpected_fields: left.unexpected_fields,
            elapsed,
            commands: options.commands,
        };
        // An update that is not at its end has not touched the old output.
        if let Some((records, failed, left_in_part)) = base {
            summary.records_in_all = updated.map_or(records, |u| u.records);
            summary.failed_in_all = updated.map_or(failed, |u| u.failed);
            summary.left_in_part = match complete {
                true => updated.map_or(left_in_part, |u| u.left_in_part),
                false => 0,
            };
        }
        // Of those that were to be tried again, and still fail.
        let some_kinds = options.retry.is_some_and(|reasons| !reasons.is_empty());
        Ok(Ended {
            complete: stopped.is_none(),
            failed: match limited || some_kinds {
                true => failed_here,
                false => summary.failed_in_all + updated.map_or(0, |u| u.kept),
            },
            stopped,
            summary,
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
