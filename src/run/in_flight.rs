//! The requests in flight.

use super::item::{Attempt, Request};
use crate::auth::Presented;
use crate::fetch::{Ask, Fetcher};
use crate::pace::Permit;
use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use std::sync::Arc;

/// Those that are under way, and what sends them.
#[derive(Debug)]
pub(super) struct InFlight {
    fetcher: Arc<Fetcher>,
    requests: FuturesUnordered<LocalBoxFuture<'static, Attempt>>,
}

impl InFlight {
    pub(super) fn new(fetcher: Fetcher) -> InFlight {
        InFlight {
            fetcher: Arc::new(fetcher),
            requests: FuturesUnordered::new(),
        }
    }

    /// Whether this ID can be one of a batch.
    pub(super) fn takes(&self, id: &str) -> bool {
        self.fetcher.takes(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Sends a request.
    pub(super) fn send(&mut self, request: Request, presented: Presented, permit: Permit) {
        let fetcher = Arc::clone(&self.fetcher);
        self.requests.push(Box::pin(async move {
            let ids: Vec<&str>;
            let (ask, known) = match request.items.as_slice() {
                [item] if !request.batch => match item.place() {
                    Some(place) => (Ask::Page(&item.id, place), None),
                    None => (Ask::One(&item.id), item.known.as_deref()),
                },
                items => {
                    ids = items.iter().map(|item| item.id.as_str()).collect();
                    (Ask::Several(&ids), None)
                }
            };
            let answer = fetcher.attempt(ask, presented, known, &permit).await;
            Attempt {
                request,
                permit,
                answer,
            }
        }));
    }

    /// Waits for the next answer; forever when nothing is in flight.
    pub(super) async fn next(&mut self) -> Attempt {
        match self.requests.next().await {
            Some(attempt) => attempt,
            None => std::future::pending().await,
        }
    }
}
