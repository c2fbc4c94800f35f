//! The reader of IDs, on a thread of its own: a slow disk or a pipe must not
//! hold up what is in flight.

use super::error::RunError;
use super::update::Sifted;
use crate::ids::{self, IdBatch, ItemReader};
use crate::job::{IdSource, Ids};
use crate::outcome::Reason;
use crate::write::{FailedItem, FailedItems, WriteError};
use tokio::sync::{mpsc, oneshot};

/// Items handed over at once.
const BATCH: usize = 512;
/// Batches read ahead.
pub(super) const AHEAD: usize = 4;

/// Items, handed over together.
#[derive(Debug)]
pub(super) enum Batch {
    /// From the job's list: done before, perhaps, or listed twice.
    Listed(IdBatch),
    /// From the failures file: each is to be tried again.
    Failed(Vec<FailedItem>),
    /// From the job's list, in an update: what is to be asked.
    Sifted(Sifted),
    /// The list's end.
    End,
}

/// The run's end of the stage.
#[derive(Debug)]
pub(super) struct IdStream {
    /// Batches in the list's order. [`Batch::End`] is the last; an error ends it too.
    pub(super) batches: mpsc::Receiver<Result<Batch, RunError>>,
    pub(super) total: Total,
}

/// The number of listings, for people.
#[derive(Debug)]
pub(super) struct Total {
    /// The list, and who is told, until the count is begun.
    uncounted: Option<(Ids, oneshot::Sender<u64>)>,
    counted: oneshot::Receiver<u64>,
}

impl Total {
    /// Begins to count the list, on a thread of its own, unless that is done.
    /// To be called when the first item is on its way: until then the reader
    /// looks for it in the same file, and has the cores for itself.
    pub(super) fn count(&mut self) {
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
    pub(super) async fn known(&mut self) -> Option<u64> {
        (&mut self.counted).await.ok()
    }
}

pub(super) fn start(ids: &Ids) -> Result<IdStream, RunError> {
    let reader = ids::open(ids)?;
    let (tx, batches) = mpsc::channel(AHEAD);
    // Whoever writes into a pipe line by line is to see each line fetched.
    let batch = if is_piped(ids) { 1 } else { BATCH };
    spawn("ids", move || hand_over_list(reader, batch, &tx))?;
    let (tell, counted) = oneshot::channel();
    let total = Total {
        uncounted: Some((ids.clone(), tell)),
        counted,
    };
    Ok(IdStream { batches, total })
}

/// Whether the list comes from a pipe or a terminal.
pub(super) fn is_piped(ids: &Ids) -> bool {
    match ids.file.as_ref().map(|file| &file.source) {
        None => false,
        Some(IdSource::Stdin) => true,
        Some(IdSource::Path(path)) => std::fs::metadata(path).is_ok_and(|m| !m.is_file()),
    }
}

/// The items that failed, for these reasons; none named is all. `None`: no item failed.
pub(super) fn start_failed(
    failed: Option<FailedItems>,
    reasons: Vec<Reason>,
) -> Result<IdStream, RunError> {
    let (tx, batches) = mpsc::channel(AHEAD);
    let (tell, counted) = oneshot::channel();
    spawn("ids", move || {
        let wanted = |item: &FailedItem| {
            reasons.is_empty() || reasons.iter().any(|reason| reason.as_str() == item.reason)
        };
        let items = failed.into_iter().flatten();
        let items = items.filter(|item| !matches!(item, Ok(item) if !wanted(item)));
        let sent = hand_over_failed(items, &tx);
        let _ = tell.send(sent);
    })?;
    let total = Total {
        uncounted: None,
        counted,
    };
    Ok(IdStream { batches, total })
}

/// Hands the list over, so many at once.
fn hand_over_list(mut reader: ItemReader, size: usize, to: &mpsc::Sender<Result<Batch, RunError>>) {
    loop {
        let mut batch = IdBatch::with_room(size);
        let read = reader.read(&mut batch, size);
        let last = batch.len() < size;
        if !batch.is_empty() && to.blocking_send(Ok(Batch::Listed(batch))).is_err() {
            return;
        }
        match read {
            Ok(()) if !last => {}
            Ok(()) => return drop(to.blocking_send(Ok(Batch::End))),
            Err(error) => return drop(to.blocking_send(Err(error.into()))),
        }
    }
}

/// Hands all items over; returns how many.
fn hand_over_failed(
    items: impl Iterator<Item = Result<FailedItem, WriteError>>,
    to: &mpsc::Sender<Result<Batch, RunError>>,
) -> u64 {
    let mut sent = 0;
    let mut batch = Vec::with_capacity(BATCH);
    for item in items {
        match item {
            Ok(item) => batch.push(item),
            Err(error) => {
                if !batch.is_empty() {
                    let _ = to.blocking_send(Ok(Batch::Failed(batch)));
                }
                let _ = to.blocking_send(Err(error.into()));
                return sent;
            }
        }
        sent += 1;
        if batch.len() == BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            if to.blocking_send(Ok(Batch::Failed(full))).is_err() {
                return sent;
            }
        }
    }
    if !batch.is_empty() {
        let _ = to.blocking_send(Ok(Batch::Failed(batch)));
    }
    let _ = to.blocking_send(Ok(Batch::End));
    sent
}

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
