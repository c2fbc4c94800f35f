//! What the reader of the list, the failures file and the filter of an update
//! hand over, each on a thread of its own.

use crate::ids::{self, IdBatch};
use crate::job::Ids;
use crate::run::error::RunError;
use crate::run::item::Item;
use tokio::sync::{mpsc, oneshot};

/// Batches read ahead.
pub(super) const AHEAD: usize = 4;

/// Items, handed over together.
#[derive(Debug)]
pub(in crate::run) enum Batch {
    /// From the job's list: done before, perhaps, or listed twice.
    Listed(IdBatch),
    /// From the failures file, or what an update's filter has left of the list.
    Chosen(Chosen),
    /// The list's end.
    End,
}

/// Items of which each is to be asked for.
#[derive(Debug, Default)]
pub(in crate::run) struct Chosen {
    pub(in crate::run) items: Vec<Item>,
    /// Items of the list beside them that are done, and fresh enough.
    pub(in crate::run) done: u64,
    /// Entries of the list beside them that are repeats.
    pub(in crate::run) repeats: u64,
}

/// The run's end of the stage.
#[derive(Debug)]
pub(in crate::run) struct IdStream {
    /// Batches in the list's order. [`Batch::End`] is the last; an error ends it too.
    pub(in crate::run) batches: mpsc::Receiver<Result<Batch, RunError>>,
    pub(in crate::run) total: Total,
}

/// The number of listings, for people.
#[derive(Debug)]
pub(in crate::run) struct Total {
    /// The list, and who is told, until the count is begun.
    uncounted: Option<(Ids, oneshot::Sender<u64>)>,
    counted: oneshot::Receiver<u64>,
}

impl Total {
    pub(super) fn new(
        uncounted: Option<(Ids, oneshot::Sender<u64>)>,
        counted: oneshot::Receiver<u64>,
    ) -> Total {
        Total { uncounted, counted }
    }

    /// Begins to count the list, on a thread of its own, unless that is done.
    /// To be called when the first item is on its way: until then the reader
    /// looks for it in the same file, and has the cores for itself.
    pub(in crate::run) fn count(&mut self) {
        if let Some((ids, tell)) = self.uncounted.take() {
            // Without a thread it is not known, and nothing else is amiss.
            let _ = spawn("count", move || {
                // The same errors come, better placed, from the reader.
                if let Ok(Some(total)) = ids::count(&ids) {
                    let _ = tell.send(total);
                }
            });
        }
    }

    /// The count, when it is ready; `None` when nobody can know. Pending before [`Total::count`].
    pub(in crate::run) async fn known(&mut self) -> Option<u64> {
        (&mut self.counted).await.ok()
    }
}

/// Runs it on a thread of its own.
pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(), RunError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
        .map_err(RunError::Thread)
}
