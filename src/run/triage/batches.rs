//! How many items go together in a request, and whether the batch endpoint is there.
//!
//! Both are learnt: an item never fails by an answer that was about others,
//! too. A batch that is refused is asked for again in halves, until what is
//! wrong stands alone and is judged like any other item.

use crate::fetch::Verdict;
use crate::job::Batch;
use crate::outcome::Reason;
use crate::run::item::Item;

/// So many more items than a bad one's halves bring that only the URL for one
/// item knew: the batch endpoint is gone.
const MORE_RESCUED: u32 = 2;

/// So many full batches, one after another, that were too long: a smaller size is learnt.
const TOO_LONG: u32 = 2;

/// What is known of the batch endpoint.
#[derive(Debug)]
pub(in crate::run) struct Batches {
    /// Items of one request; `None` without batches.
    size: Option<usize>,
    /// There is a URL for one item.
    has_single: bool,
    /// Items, one after another, that the batch endpoint refused and the URL for one has.
    rescued: u32,
    /// Full batches, one after another, that were refused for their length.
    too_long: u32,
}

impl Batches {
    pub(super) fn new(batch: Option<&Batch>) -> Batches {
        Batches {
            size: batch.map(|batch| batch.size),
            has_single: batch.is_some_and(|batch| batch.single.is_some()),
            rescued: 0,
            too_long: 0,
        }
    }

    /// Items of one request at most; `None`: there is no batch endpoint, or it is gone.
    pub(in crate::run) fn size(&self) -> Option<usize> {
        self.size
    }

    /// Whether there is a URL for one item beside the batch endpoint.
    pub(in crate::run) fn has_single(&self) -> bool {
        self.has_single
    }

    /// Whether this answer to a batch is how an endpoint answers that was taken
    /// away: then the URL for one item is asked.
    pub(super) fn may_be_gone(&self, verdict: &Verdict) -> bool {
        let (Verdict::Failed(trouble) | Verdict::Forbidden(trouble)) = verdict else {
            return false;
        };
        self.has_single && matches!(trouble.status, Some(403 | 404 | 410))
    }

    /// A batch of so many items was answered.
    pub(super) fn answered(&mut self, items: usize) {
        self.rescued = 0;
        if self.size.is_some_and(|size| items >= size) {
            self.too_long = 0;
        }
    }

    /// A batch of so many items was refused in this way. One item can be the
    /// reason that one full batch is too long, and hardly that the next one is, too.
    pub(super) fn refused(&mut self, items: usize, reason: Reason, status: Option<u16>) {
        let for_length = reason == Reason::InvalidId || matches!(status, Some(413 | 414));
        if !for_length || self.size.is_none_or(|size| items < size) {
            return;
        }
        self.too_long += 1;
        if self.too_long >= TOO_LONG {
            self.too_long = 0;
            let half = items.div_ceil(2);
            tracing::warn!("batches of {items} are too long for this API; going on with {half}");
            self.size = Some(half);
        }
    }

    /// The URL for one item had an item that the batch endpoint had refused as
    /// if it were gone. With one bad item in a batch, as many are rescued as it
    /// has halves, and then one of those is answered; more are no accident.
    pub(super) fn rescued(&mut self) {
        let Some(size) = self.size else { return };
        self.rescued += 1;
        if self.rescued > usize::ilog2(size.max(1)) + MORE_RESCUED {
            tracing::warn!(
                "the batch endpoint is gone; going on with `single`, one item a request"
            );
            self.size = None;
        }
    }
}

/// Lets these items go together in halves of their batch at most.
pub(super) fn halve(items: &mut [Item]) {
    let most = items.len().div_ceil(2);
    for item in items {
        item.most = most;
    }
}
