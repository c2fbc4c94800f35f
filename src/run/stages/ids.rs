//! The reader of IDs, on a thread of its own: a slow disk or a pipe must not
//! hold up what is in flight.

use super::id_stream::{AHEAD, Batch, Chosen, IdStream, Total, spawn};
use crate::ids::{self, IdBatch, ItemReader};
use crate::job::{IdSource, Ids};
use crate::outcome::Reason;
use crate::run::error::RunError;
use crate::run::item::Item;
use crate::write::{FailedItem, FailedItems, WriteError};
use tokio::sync::{mpsc, oneshot};

/// Items handed over at once.
const BATCH: usize = 512;

/// Reads the job's list.
pub(in crate::run) fn start(ids: &Ids) -> Result<IdStream, RunError> {
    let reader = ids::open(ids)?;
    let (tx, batches) = mpsc::channel(AHEAD);
    // Whoever writes into a pipe line by line is to see each line fetched.
    let batch = if is_piped(ids) { 1 } else { BATCH };
    spawn("ids", move || hand_over_list(reader, batch, &tx))?;
    let (tell, counted) = oneshot::channel();
    let total = Total::new(Some((ids.clone(), tell)), counted);
    Ok(IdStream { batches, total })
}

/// Whether the list comes from a pipe or a terminal.
pub(in crate::run) fn is_piped(ids: &Ids) -> bool {
    match ids.file.as_ref().map(|file| &file.source) {
        None => false,
        Some(IdSource::Stdin) => true,
        Some(IdSource::Path(path)) => std::fs::metadata(path).is_ok_and(|m| !m.is_file()),
    }
}

/// The items that failed, for these reasons; none named is all. `None`: no item failed.
pub(in crate::run) fn start_failed(
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
        let mut items = items.filter(|item| !matches!(item, Ok(item) if !wanted(item)));
        let mut sent = 0;
        loop {
            let next = items
                .by_ref()
                .take(BATCH)
                .map(|item| item.map(tried_before));
            let batch = match next.collect::<Result<Vec<Item>, WriteError>>() {
                Ok(items) if items.is_empty() => Ok(Batch::End),
                Ok(items) => {
                    sent += items.len() as u64;
                    Ok(Batch::Chosen(Chosen {
                        items,
                        ..Chosen::default()
                    }))
                }
                Err(error) => Err(error.into()),
            };
            let is_last = !matches!(batch, Ok(Batch::Chosen(_)));
            if tx.blocking_send(batch).is_err() || is_last {
                break;
            }
        }
        let _ = tell.send(sent);
    })?;
    let total = Total::new(None, counted);
    Ok(IdStream { batches, total })
}

/// An item from the failures file.
fn tried_before(item: FailedItem) -> Item {
    let reason = Reason::ALL.iter().find(|r| r.as_str() == item.reason);
    Item {
        failed_before: reason.copied(),
        ..Item::new(item.id, item.occurrence)
    }
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
