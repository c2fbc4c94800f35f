//! An update's items: which of the list are to be asked for again, and what with.
//!
//! A filter between the list and the engine, on a thread of its own, since it
//! looks into a file for each item. An item without a record (new, failed before,
//! or there in part) is always asked for; one with a record when that is old
//! enough, and whole where it comes in pages.

use super::id_stream::{AHEAD, Batch, Chosen, IdStream, spawn};
use crate::checkpoint::{Claim, DoneSet};
use crate::ids::IdBatch;
use crate::job::{Job, Method, Repeats};
use crate::outcome::Validators;
use crate::run::error::RunError;
use crate::run::item::Item;
use crate::write::KnownRecords;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// Lets through what is to be asked.
#[derive(Debug)]
pub(in crate::run) struct UpdateFilter {
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

impl UpdateFilter {
    pub(in crate::run) fn new(job: &Job, known: KnownRecords, done: DoneSet) -> UpdateFilter {
        UpdateFilter {
            known,
            done,
            each: job.ids.repeats == Repeats::Each,
            pages: job.request.pages.is_some(),
            conditional: job.request.method == Method::Get && job.request.pages.is_none(),
            older_than: older_than(job),
        }
    }

    fn filter(&mut self, ids: &IdBatch) -> Result<Chosen, RunError> {
        let now = SystemTime::now();
        let mut chosen = Chosen::default();
        let claims = self.done.claim_all(ids.iter(), self.each);
        for (id, claim) in ids.iter().zip(claims) {
            let occurrence = match claim {
                Claim::New { occurrence } => occurrence,
                Claim::Done { .. } => {
                    chosen.done += 1;
                    continue;
                }
                Claim::Repeat => {
                    chosen.repeats += 1;
                    continue;
                }
            };
            let known = self.known.find(id, occurrence)?;
            // A record from the future was written by a clock that was wrong: who knows how old it is.
            let age = known.as_ref().map(|known| now.duration_since(known.at));
            if matches!(age, Some(Ok(age)) if age < self.older_than) {
                chosen.done += 1;
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
            chosen.items.push(Item {
                known: known.map(Box::new),
                ..Item::new(id.to_owned(), occurrence)
            });
        }
        Ok(chosen)
    }
}

/// From which age on the job's records are asked for again; zero without `[update]`: all.
pub(in crate::run) fn older_than(job: &Job) -> Duration {
    job.update
        .map_or(Duration::ZERO, |update| update.older_than)
}

/// Puts the filter behind the list's reader.
pub(in crate::run) fn start(
    list: IdStream,
    mut filter: UpdateFilter,
) -> Result<IdStream, RunError> {
    let IdStream {
        batches: mut listed,
        total,
    } = list;
    let (tx, batches) = mpsc::channel(AHEAD);
    spawn("update", move || {
        while let Some(batch) = listed.blocking_recv() {
            let batch = match batch {
                Ok(Batch::Listed(ids)) => filter.filter(&ids).map(Batch::Chosen),
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

#[cfg(test)]
mod tests {
    use super::*;

    // The filter over a real output: `tests/suite/update.rs`.
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
