//! An update's items: which of the list are to be asked again, and what with.
//!
//! Owns the sieve between the list and the driver, on a thread of its own,
//! since it looks into a file for each item. An item without a record (new,
//! failed before, or there in part) is always asked; one with a record when that is
//! old enough, and whole where it comes in pages.
//! Must never send or write anything.

use super::error::RunError;
use super::ids_stage::{AHEAD, Batch, IdStream, spawn};
use super::state::Driver;
use super::work::Work;
use super::{Ends, RunOptions};
use crate::checkpoint::{Claim, DoneSet};
use crate::ids::IdBatch;
use crate::job::{Job, Method, OutputTarget, Repeats};
use crate::outcome::Validators;
use crate::report::count;
use crate::write::{self, KnownRecords, OpenOptions, Opened, Resumed, Update, Updated, inspect};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// What is left of some of the list's items.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    /// To be asked.
    pub(super) asked: Vec<Asked>,
    /// Those that this update has asked already, and those that are fresh enough.
    pub(super) done: u64,
    /// Listed again.
    pub(super) repeats: u64,
}

/// One item to ask.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) occurrence: u32,
    /// It has a record; with nothing in it, there is nothing to ask with.
    pub(super) known: Option<Validators>,
}

/// Lets through what is to be asked.
#[derive(Debug)]
pub(super) struct Sieve {
    known: KnownRecords,
    /// What this update has asked already.
    done: DoneSet,
    each: bool,
    /// Validators are for GET alone: a POST is not asked for news. Nor is a first
    /// page, which says nothing of the others.
    conditional: bool,
    /// Of an item, a part may be there.
    pages: bool,
    older_than: Duration,
}

impl Sieve {
    pub(super) fn new(job: &Job, known: KnownRecords, done: DoneSet) -> Sieve {
        Sieve {
            known,
            done,
            each: job.ids.repeats == Repeats::Each,
            pages: job.request.pages.is_some(),
            conditional: job.request.method == Method::Get && job.request.pages.is_none(),
            older_than: older_than(job),
        }
    }

    fn sift(&mut self, ids: &IdBatch) -> Result<Sifted, RunError> {
        let now = SystemTime::now();
        let mut sifted = Sifted::default();
        let claims = self.done.claim_all(ids.iter(), self.each);
        for (id, claim) in ids.iter().zip(claims) {
            let occurrence = match claim {
                Claim::New { occurrence } => occurrence,
                Claim::Done { .. } => {
                    sifted.done += 1;
                    continue;
                }
                Claim::Repeat => {
                    sifted.repeats += 1;
                    continue;
                }
            };
            let known = self.known.find(id, occurrence)?;
            // A record from the future was written by a clock that was wrong: who knows how old it is.
            let age = known.as_ref().map(|known| now.duration_since(known.at));
            if matches!(age, Some(Ok(age)) if age < self.older_than) {
                sifted.done += 1;
                continue;
            }
            let known = match known {
                Some(known) if self.conditional => Some(known.validators),
                Some(_) => Some(Validators::default()),
                // A part of it: enough to know that it is, or was, there.
                None if self.pages && self.known.has_any(id, occurrence)? => {
                    Some(Validators::default())
                }
                None => None,
            };
            sifted.asked.push(Asked {
                id: id.to_owned(),
                occurrence,
                known,
            });
        }
        Ok(sifted)
    }
}

/// From which age on the job's records are asked for again; zero without `[update]`: all.
pub(super) fn older_than(job: &Job) -> Duration {
    job.update
        .map_or(Duration::ZERO, |update| update.older_than)
}

/// Puts the sieve behind the list's reader.
pub(super) fn start(list: IdStream, mut sieve: Sieve) -> Result<IdStream, RunError> {
    let IdStream {
        batches: mut listed,
        total,
    } = list;
    let (tx, batches) = mpsc::channel(AHEAD);
    spawn("sieve", move || {
        while let Some(batch) = listed.blocking_recv() {
            let batch = match batch {
                Ok(Batch::Listed(ids)) => sieve.sift(&ids).map(Batch::Sifted),
                other => other,
            };
            let is_last = batch.is_err();
            if tx.blocking_send(batch).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(IdStream { batches, total })
}

/// Whether this run is an update, if anything is there: it was asked for, or
/// the job keeps itself fresh and has nothing else to do.
pub(super) fn is_due(job: &Job, options: &RunOptions) -> bool {
    let OutputTarget::File(output) = &job.output.target else {
        return false;
    };
    // What is wrong with a checkpoint, whoever opens it tells.
    let finished = || matches!(inspect(output), Ok(Some(state)) if state.finished);
    !options.fresh && (options.update || (job.update.is_some() && finished()))
}

/// Opens the update of what is `opened`.
pub(super) fn open(
    job: &Job,
    options: &OpenOptions,
    list: IdStream,
    opened: Opened,
) -> Result<Ends, RunError> {
    let (mut opened, update) = write::open_update(options, opened, older_than(job))?;
    let sieve = Sieve::new(job, update.known(), std::mem::take(&mut opened.done));
    Ok(Ends {
        ids: start(list, sieve)?,
        opened,
        update: Some(update),
    })
}

/// What people should know of updates before the run goes on.
pub(super) fn notice(
    job: &Job,
    options: &RunOptions,
    update: Option<&Update>,
    resumed: &Resumed,
) -> Option<String> {
    let OutputTarget::File(output) = &job.output.target else {
        return None;
    };
    if update.is_some() {
        return None;
    }
    if options.update {
        return Some("nothing was fetched before, so this is a first run and no update".to_owned());
    }
    // `--fresh` has swept it away.
    let asked = write::under_way(output)?;
    (resumed.done > 0).then(|| {
        format!(
            "an update of this output is under way ({} items asked); to go on with it: {} --update",
            count(asked),
            options.commands.run
        )
    })
}

impl Driver<'_> {
    /// Puts what the update has brought in the old output's place.
    pub(super) async fn finish_update(&mut self) -> Result<Option<Updated>, RunError> {
        let Some(update) = self.update.take() else {
            return Ok(None);
        };
        // Signals are heard meanwhile; a second one stops at once, and the next run finishes it.
        let finishing = tokio::task::spawn_blocking(move || update.finish());
        let finished = finishing.await.map_err(|_| RunError::StageGone("update"))?;
        Ok(finished?)
    }

    /// Takes in what the sieve let through.
    pub(super) fn take_sifted(&mut self, sifted: Sifted) {
        self.stats.done_before += sifted.done;
        self.stats.repeats += sifted.repeats;
        for item in sifted.asked {
            if self.at_limit() {
                return self.limit_reached();
            }
            self.taken += 1;
            let mut work = Work::new(item.id, item.occurrence);
            work.known = item.known.map(Box::new);
            if work.known.is_some() {
                self.remember_good(&work.id);
            }
            let work = self.on_its_trail(work);
            self.queue.push(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The sieve over a real output: `tests/suite/update.rs`.
    #[test]
    fn without_an_update_section_everything_is_old_enough() {
        let text = "[ids]\nlist = [\"a\"]\n[request]\nurl = \"http://127.0.0.1:1/{id}\"\n\
                    [output]\npath = \"out.ndjson\"\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        std::fs::write(&path, text).unwrap();
        let job = crate::job::load(&path, &Default::default()).unwrap();
        assert_eq!(older_than(&job), Duration::ZERO);
        std::fs::write(&path, format!("{text}[update]\nolder_than = \"7d\"\n")).unwrap();
        let job = crate::job::load(&path, &Default::default()).unwrap();
        assert_eq!(older_than(&job), Duration::from_secs(7 * 86_400));
    }
}
