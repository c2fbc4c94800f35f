//! The embedded API: a real HTTP/1.1 server on the loopback interface that
//! behaves as Spotify's API does, so that a harvest can be tried, tested and
//! measured without credentials and without a network.
//!
//! Owns the server, its thread, and what it answers. Knows nobody but itself:
//! no other part of the program is used here, so that a mistake there cannot be
//! hidden by the same mistake here. Must never listen beyond 127.0.0.1, send a
//! request, or print.
//!
//! # The rules
//!
//! A request is judged the moment its head was read (a POST: its body), its
//! line is written to the log, then the answer waits for
//! [`latency`](SandboxOptions::latency) (with fewer
//! [`workers`](SandboxOptions::workers) than requests, for its turn first) and
//! goes out. So a client that hangs up
//! or is killed while it waits is in the log all the same, and a token's
//! lifetime starts before the client has it.
//!
//! **POST** to `/login` logs in with a JSON object or a form in which no value
//! is `wrong`: the token is `token` in the body, the header `X-Auth-Token` and
//! the cookie `session`.
//!
//! **POST**, on any other path but `/graphql`, asks for a token (Spotify's path is `/api/token`).
//! 1. `grant_type` is missing: 400 `invalid_request`; it is none of
//!    `client_credentials`, `refresh_token` and RFC 7523's `jwt-bearer`: 400
//!    `unsupported_grant_type`.
//! 2. The client names itself by RFC 6749 2.3.1, with a Basic header or with
//!    `client_id` and `client_secret` in the form; with both secrets: 400
//!    `invalid_request`; with neither, or with the secret `wrong`: 400
//!    `invalid_client`. Any other ID and secret that are not empty will do, and
//!    so will an assertion (RFC 7523 2.2) that is well made and not seen before;
//!    its signature is not checked. Only client credentials need either: with a
//!    refresh token the ID is enough, and an assertion needs no client.
//!    A refresh token is good once, and a new one comes with the answer; one
//!    that was used, or is `wrong`, is a 400 `invalid_grant`, as is an assertion
//!    that is not well made, out of date, or not new.
//! 3. The answer is `{"access_token":"sbx-…","token_type":"Bearer",
//!    "expires_in":SECONDS}`. Seconds are whole, rounded down, at least 1; the
//!    token dies after exactly [`token_lifetime`](SandboxOptions::token_lifetime),
//!    which may be shorter. Tokens follow from the seed and a counter.
//! 4. Neither the rate nor the faults touch it.
//!
//! **GET**, on any path, asks for an item: its ID is the last segment of the
//! path, percent-decoded. The first rule that fits answers:
//! 1. Over the [`rate`](SandboxOptions::rate), or the one that it has
//!    [changed to](SandboxOptions::rate_changes): 429 with `Retry-After` in
//!    whole seconds.
//! 2. The [`fault_rate`](SandboxOptions::fault_rate) strikes: 500, 502, 503
//!    (without `Retry-After`), a connection reset (RST), or the answer of the
//!    rules below cut in the middle of its body (an answer without a body is
//!    reset instead).
//! 3. `/v1/tracks/{id}` without a live token of this server: 401 with
//!    `WWW-Authenticate: Bearer`. On other paths a token is optional, but one
//!    that starts with `sbx-` has to be live.
//! 4. `/v1/tracks?ids=…`, up to 50 IDs with commas between them, like
//!    `/v1/tracks/{id}` without a live token a 401: `{"tracks": […]}` with what
//!    rules 6 and 7 have for each ID, `null` for a 404; an ID of any other
//!    status is the whole answer's, and so is one ID too many (400).
//! 5. Listings, in pages: `/v1/albums/{id}/tracks` (`offset`, `limit`; `next`
//!    and `total` in the body) needs a token as tracks do;
//!    `/v1/me/following` (`after`, `limit`) has a cursor in the body, and
//!    `/repos/{owner}/{repo}/issues` (`page`, `per_page`) a Link header. What
//!    ends in `404` is a 404.
//! 6. Special IDs: `redirect-ID` is a 302 to the same path with `ID`;
//!    `status-NNN` (200 to 599) is that status with a small JSON error (429 and
//!    503 with `Retry-After: 1`); `204` is a 204; `empty` is a 200 without a
//!    body, `html` one with a web page, `malformed` one with half a JSON value,
//!    `huge` one with a JSON string of 1 MiB.
//! 7. `/v1/tracks/{id}`: an ID that is not 22 base-62 characters is a 400; one
//!    with a file in [`bodies`](SandboxOptions::bodies) is that file; one that
//!    ends in `404` is a 404; any other is a track of about 3 KB, always the
//!    same bytes for the same ID, whatever the seed. A 200 has an `ETag`; with it
//!    in `If-None-Match`, the answer is 304 without a body.
//! 8. Other paths: an ID that ends in `404` is a 404; any other is a small
//!    record `{"id", "path", "query", "name"}`.
//!
//! GitHub is played by two of its paths:
//! - GET `/repos/{owner}/{repo}` is a repository, as rule 6 has others (a name
//!   that ends in `404` is a 404).
//! - POST `/graphql` with `{"query", "variables"}` knows `repository(owner:,
//!   name:)` and `node(id:)`, their arguments by variables, and answers with
//!   `data`, or with `errors` in a 200; over the rate, too (`RATE_LIMITED`, with
//!   `Retry-After`). A token is optional, and the faults strike.
//!
//! **Any other method** is a 405.

mod answer;
mod batch;
mod bodies;
mod etag;
mod faults;
mod github;
mod grants;
mod limit;
mod listings;
mod log;
mod routes;
mod server;
mod special;
#[cfg(test)]
mod testing;
mod token;
mod track;
mod wire;

use bodies::Bodies;
use log::Log;
use routes::Routes;
use server::Server;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;

/// How the embedded API behaves.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// How long every answer waits before it goes out.
    pub latency: Duration,
    /// How long an issued token is good for.
    pub token_lifetime: Duration,
    /// Item requests allowed per second, and in one burst; `None` and 0 allow
    /// any number.
    pub rate: Option<u32>,
    /// Other rates, each from so long after the start on.
    pub rate_changes: Vec<(Duration, u32)>,
    /// Requests worked on at a time: each takes the `latency`, and those that
    /// come meanwhile wait for their turn. `None` is any number.
    pub workers: Option<usize>,
    /// The share of item requests that fail, from 0 to 1.
    pub fault_rate: f64,
    /// What the faults and the tokens are drawn from.
    pub seed: u64,
    /// The request log, NDJSON, appended to: `{"t": unix seconds, "m": seconds
    /// since the start, "method", "path", "status", "token", "issued",
    /// "fault", "body"}`, a line a request. The status is null when the connection
    /// was reset; `body` is the XXH3-64 of the answer's whole body. It holds the sandbox's tokens and whatever bearer token came
    /// along, so only its owner may read it.
    pub log: Option<PathBuf>,
    /// A folder of recorded bodies, `{id}.json`, served as they are. Its names
    /// are read once, at the start.
    pub bodies: Option<PathBuf>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            port: 0,
            latency: Duration::ZERO,
            token_lifetime: Duration::from_secs(3600),
            rate: None,
            rate_changes: Vec::new(),
            workers: None,
            fault_rate: 0.0,
            seed: 0,
            log: None,
            bodies: None,
        }
    }
}

/// Why the embedded API could not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The port is taken, or not ours to take.
    #[error("the sandbox cannot listen on {address}: choose another port, or 0 for any free one")]
    Bind {
        /// Where it tried to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The request log cannot be opened for appending.
    #[error(
        "the sandbox cannot write its log {}: check that its folder exists and is writable",
        path.display()
    )]
    Log {
        /// The log file, as it was named.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder of recorded bodies cannot be listed.
    #[error(
        "the sandbox cannot read the folder of bodies {}: name a folder of {{id}}.json files",
        path.display()
    )]
    Bodies {
        /// The folder, as it was named.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No thread, or no event loop on it.
    #[error(
        "the sandbox cannot start its thread: \
         check the limits on processes and open files, then try again"
    )]
    Runtime(#[source] io::Error),
}

/// A running embedded API, on a thread and an event loop of its own, so that it
/// goes on serving while its owner blocks. Dropping it stops it.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts it; when this returns, it takes requests.
    pub fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let bind = |source| SandboxError::Bind {
            address: wanted,
            source,
        };
        let bodies = Bodies::open(options.bodies.as_deref()).map_err(|source| {
            let path = options.bodies.clone().unwrap_or_default();
            SandboxError::Bodies { path, source }
        })?;
        let log = Log::open(options.log.as_deref()).map_err(|source| {
            let path = options.log.clone().unwrap_or_default();
            SandboxError::Log { path, source }
        })?;
        let listener = std::net::TcpListener::bind(wanted).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;

        let routes = Routes::new(&options, bodies);
        let server = Server::new(routes, log, options.latency, options.workers);
        let (stop, stopped) = oneshot::channel();
        let (report, ready) = mpsc::channel();
        // The event loop is made on its thread, and so ends there: an event
        // loop must not be dropped on the thread of another one, and the owner
        // of a sandbox may well run on one.
        let thread = thread::Builder::new()
            .name("sandbox".to_owned())
            .spawn(move || server.run(listener, stopped, &report))
            .map_err(SandboxError::Runtime)?;
        let sandbox = Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        };
        match ready.recv() {
            Ok(Ok(())) => Ok(sandbox),
            Ok(Err(source)) => Err(SandboxError::Runtime(source)),
            Err(gone) => Err(SandboxError::Runtime(io::Error::other(gone))),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a URL of it starts with, such as `http://127.0.0.1:8080`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it: open connections are closed, answers that still wait are not
    /// sent, and the port is free again when this returns.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The other end is gone when the thread has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic over there was reported over there.
            let _ = thread.join();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_frees_the_port() {
        let sandbox = Sandbox::start(SandboxOptions::default()).unwrap();
        let address = sandbox.address();
        assert!(address.ip().is_loopback());
        assert_eq!(sandbox.base_url(), format!("http://{address}"));
        sandbox.stop();
        let options = SandboxOptions {
            port: address.port(),
            ..SandboxOptions::default()
        };
        drop(Sandbox::start(options).unwrap());
    }

    #[test]
    fn what_cannot_start_says_why() {
        let first = Sandbox::start(SandboxOptions::default()).unwrap();
        let taken = SandboxOptions {
            port: first.address().port(),
            ..SandboxOptions::default()
        };
        let error = Sandbox::start(taken).unwrap_err();
        assert!(matches!(error, SandboxError::Bind { .. }), "{error}");

        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent");
        let log = SandboxOptions {
            log: Some(absent.join("log")),
            ..SandboxOptions::default()
        };
        let error = Sandbox::start(log).unwrap_err();
        assert!(matches!(error, SandboxError::Log { .. }), "{error}");
        let bodies = SandboxOptions {
            bodies: Some(absent),
            ..SandboxOptions::default()
        };
        let error = Sandbox::start(bodies).unwrap_err();
        assert!(error.to_string().contains("{id}.json"), "{error}");
    }
}
