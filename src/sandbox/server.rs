//! The connections: accepting them, and carrying answers and faults out.
//!
//! Owns the event loop and everything HTTP. Must never decide what a request
//! gets, and never stop over one connection, nor over a lack of files.

use super::answer::Answer;
use super::faults::Fault;
use super::github::GRAPHQL;
use super::log::{Arrival, Log};
use super::routes::Routes;
use super::token::presented;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::oneshot::Receiver;

/// The largest form a token request may send.
const MAX_FORM: usize = 64 * 1024;

/// How long to leave the listener alone when it cannot accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A server, before and while it runs.
#[derive(Debug)]
pub(super) struct Server {
    routes: Routes,
    log: Log,
    latency: Duration,
    /// A place for each request that is worked on; `None` has room for all.
    workers: Option<Semaphore>,
}

/// The service's way to say: no answer, reset the connection.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox resets this connection")]
struct Reset;

impl Server {
    /// A server that is not running yet.
    pub(super) fn new(routes: Routes, log: Log, latency: Duration, workers: Option<usize>) -> Self {
        Self {
            routes,
            log,
            latency,
            workers: workers.map(|n| Semaphore::new(n.clamp(1, Semaphore::MAX_PERMITS))),
        }
    }

    /// Serves on this thread until it is told to stop, or forgotten by its
    /// owner. Reports once whether it could start.
    pub(super) fn run(
        self,
        listener: std::net::TcpListener,
        stopped: Receiver<()>,
        ready: &Sender<io::Result<()>>,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                // Nobody to tell when the owner is gone; then nobody minds.
                let _ = ready.send(Err(error));
                return;
            }
        };
        runtime.block_on(async {
            let listener = match TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            tokio::select! {
                () = Arc::new(self).accept(listener) => {}
                _ = stopped => {}
            }
        });
        // The event loop ends here, and the connections it still held with it.
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(Arc::clone(&self).serve(stream));
                }
                // Out of files, or a client that left while it waited. The
                // pause lets others close theirs instead of spinning.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        // An answer is one small write: waiting for more would only delay it.
        // A stream that refuses is about to fail anyway.
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| self.answer(request));
        let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // Other errors are a client that left, or a body cut on purpose.
        if let Err(error) = (&mut connection).await
            && error.source().is_some_and(|cause| cause.is::<Reset>())
        {
            // Without lingering, closing sends RST instead of FIN.
            let stream = connection.into_parts().io.into_inner();
            let _ = stream.set_zero_linger();
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Payload>, Reset> {
        let at = Arrival::now();
        let (head, body) = request.into_parts();
        let answer = match head.method {
            Method::GET => self.routes.item(&head),
            Method::POST => match Limited::new(body, MAX_FORM).collect().await {
                Ok(body) if head.uri.path() == GRAPHQL => {
                    self.routes.graphql(&head, &body.to_bytes())
                }
                Ok(body) => self.routes.token(&head, &body.to_bytes()),
                Err(_) => Answer::error(StatusCode::BAD_REQUEST, "The form cannot be read"),
            },
            _ => Answer::not_allowed(),
        };
        let path = head.uri.path_and_query().map_or("*", |path| path.as_str());
        // Before the wait: a client that is gone by its end has asked all the same.
        self.log.write(
            at,
            head.method.as_str(),
            path,
            presented(&head.headers),
            &answer,
        );
        // Fair: who came first is first. Closed it never is.
        let _turn = match &self.workers {
            Some(places) => places.acquire().await.ok(),
            None => None,
        };
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        respond(answer)
    }
}

fn respond(answer: Answer) -> Result<Response<Payload>, Reset> {
    let promised = answer.body.len();
    let (kept, end) = match answer.fault {
        Some(Fault::Reset) => return Err(Reset),
        Some(Fault::Cut) => (promised / 2, End::Flush),
        Some(Fault::Status(_)) | None => (promised, End::Proper),
    };
    let mut response = Response::new(Payload {
        data: answer.body.slice(..kept),
        promised,
        end,
    });
    *response.status_mut() = answer.status;
    response.headers_mut().extend(answer.headers);
    Ok(response)
}

/// A body that may end before its time.
struct Payload {
    data: Bytes,
    promised: usize,
    end: End,
}

/// What comes after the data.
enum End {
    /// The end of the body.
    Proper,
    /// A break, once the data is on its way.
    Flush,
    /// A break, now.
    Break,
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.data.is_empty() {
            let data = std::mem::take(&mut self.data);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.end {
            End::Proper => Poll::Ready(None),
            End::Flush => {
                // An error drops what was not sent yet, and a body that waits
                // makes the server send: so first one wait, then the error.
                self.end = End::Break;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Break => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.end, End::Proper) && self.data.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.promised as u64)
    }
}
