//! The reader of IDs, on a thread of its own: a slow disk or a pipe must not
//! hold up what is in flight.

use super::error::RunError;
use crate::ids::{self, IdsError, Item};
use crate::job::Ids;
use tokio::sync::{mpsc, oneshot};

/// Items handed over at once.
const BATCH: usize = 256;
/// Batches read ahead.
const AHEAD: usize = 4;

/// The run's end of the stage.
#[derive(Debug)]
pub(super) struct IdStream {
    /// Batches in the list's order. An empty one is the list's end; an error ends it too.
    pub(super) batches: mpsc::Receiver<Result<Vec<Item>, IdsError>>,
    /// The number of listings, when the count is ready; closed when nobody can know.
    pub(super) total: oneshot::Receiver<u64>,
}

pub(super) fn start(ids: &Ids) -> Result<IdStream, RunError> {
    let reader = ids::open(ids)?;
    let (tx, batches) = mpsc::channel(AHEAD);
    spawn("ids", move || {
        let mut batch = Vec::with_capacity(BATCH);
        for item in reader {
            match item {
                Ok(item) => batch.push(item),
                Err(error) => {
                    if !batch.is_empty() {
                        let _ = tx.blocking_send(Ok(batch));
                    }
                    let _ = tx.blocking_send(Err(error));
                    return;
                }
            }
            if batch.len() == BATCH {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                if tx.blocking_send(Ok(full)).is_err() {
                    return;
                }
            }
        }
        if !batch.is_empty() {
            let _ = tx.blocking_send(Ok(batch));
        }
        let _ = tx.blocking_send(Ok(Vec::new()));
    })?;
    let (total_tx, total) = oneshot::channel();
    let counted = ids.clone();
    spawn("count", move || {
        // The same errors come, better placed, from the reader.
        if let Ok(Some(total)) = ids::count(&counted) {
            let _ = total_tx.send(total);
        }
    })?;
    Ok(IdStream { batches, total })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), RunError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
        .map_err(RunError::Thread)
}
