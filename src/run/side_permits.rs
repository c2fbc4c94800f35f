//! Requests that belong to another one and wait for a permit of their own: a
//! redirect's next hop, a token from the API's host.

use crate::auth::SidePermitRequests;
use crate::pace::Permit;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// So many may wait: more than can be in flight.
const MOST: usize = 16_384;

/// Those that wait, first come, first served.
#[derive(Debug)]
pub(super) struct SidePermitQueue {
    requests: SidePermitRequests,
    waiting: VecDeque<oneshot::Sender<Permit>>,
}

impl SidePermitQueue {
    pub(super) fn new(requests: SidePermitRequests) -> SidePermitQueue {
        SidePermitQueue {
            requests,
            waiting: VecDeque::new(),
        }
    }

    /// Waits for the next one; forever when nobody asks any more, or too many wait.
    pub(super) async fn next(&mut self) -> oneshot::Sender<Permit> {
        if self.waiting.len() < MOST
            && let Some(request) = self.requests.recv().await
        {
            return request;
        }
        std::future::pending().await
    }

    pub(super) fn push(&mut self, request: oneshot::Sender<Permit>) {
        self.waiting.push_back(request);
    }

    /// Whether one waits; those that have given up don't.
    pub(super) fn is_wanted(&mut self) -> bool {
        while self.waiting.front().is_some_and(oneshot::Sender::is_closed) {
            self.waiting.pop_front();
        }
        !self.waiting.is_empty()
    }

    /// Gives the first one its permit. If it has given up meanwhile, the permit
    /// counts as used.
    pub(super) fn serve(&mut self, permit: Permit) {
        if let Some(waiting) = self.waiting.pop_front() {
            let _ = waiting.send(permit);
        }
    }

    /// Nobody gets a permit any more.
    pub(super) fn close(&mut self) {
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
        self.waiting.clear();
    }
}
