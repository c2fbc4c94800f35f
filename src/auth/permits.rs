//! Permits for requests that belong to another one, and which requests for
//! tokens take one.
//!
//! Owns the rule that whatever goes to the API's host counts against its quota
//! ("Good manners"), wherever its address came from: the job file or an issuer's
//! metadata. Must never hold a token, nor ask for one.

use crate::pace::Permit;
use reqwest::Url;
use tokio::sync::{mpsc, oneshot};

/// Where a request that belongs to another one (a token's, a redirect's next
/// hop) asks the run for its permit.
#[derive(Debug, Clone)]
pub struct SidePermits(mpsc::Sender<oneshot::Sender<Permit>>);

/// The run's end of [`SidePermits`].
pub type SidePermitRequests = mpsc::Receiver<oneshot::Sender<Permit>>;

impl SidePermits {
    /// A pair of ends; the run answers each sender with a permit.
    pub fn channel() -> (SidePermits, SidePermitRequests) {
        let (tx, rx) = mpsc::channel(64);
        (SidePermits(tx), rx)
    }

    /// Waits for leave to send. `None` when the run is over.
    pub async fn permit(&self) -> Option<Permit> {
        let (tx, rx) = oneshot::channel();
        self.0.send(tx).await.ok()?;
        rx.await.ok()
    }
}

/// What lets a request for a token through: at once, but for those to the API's host.
#[derive(Debug, Clone, Default)]
pub struct ApiGate(Option<(String, SidePermits)>);

impl ApiGate {
    /// A gate before the API on this host.
    pub fn before(api_host: &str, permits: SidePermits) -> ApiGate {
        ApiGate(Some((api_host.to_owned(), permits)))
    }

    /// Waits for leave to send one request to `url`; false when the run is over.
    pub(super) async fn pass(&self, url: &Url) -> bool {
        match &self.0 {
            Some((api_host, permits)) if url.host_str() == Some(api_host) => {
                permits.permit().await.is_some()
            }
            _ => true,
        }
    }
}
