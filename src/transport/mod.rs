//! The one HTTP client, and how its errors and the server's wishes are read.
//!
//! Owns TLS, connection reuse, the way through proxies, and the reading of
//! `Retry-After` and of what servers announce of their quotas. Must never
//! follow a redirect or try again by itself: both cost a permit, and the pacer
//! alone gives those. No message from here holds a URL: it may carry a key.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod proxies;
mod rate_headers;
mod redact;
mod retry_after;
mod server_time;

pub use proxies::{Exposed, Proxies, refuse_exposed};
pub use rate_headers::budget;
pub use redact::{holds, redact, spellings};
pub use retry_after::retry_after;

use crate::outcome::Reason;
use std::error::Error;
use std::io;
use std::time::Duration;

/// Who we say we are, unless the job says otherwise.
pub const USER_AGENT: &str = concat!("harvest/", env!("CARGO_PKG_VERSION"));

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be made: {}", .0)]
pub struct ClientError(String);

/// Makes the client.
pub fn client(concurrency: usize, proxies: &Proxies) -> Result<reqwest::Client, ClientError> {
    // A second call finds the provider that the first one installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(USER_AGENT)
        .connect_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(concurrency.saturating_add(1))
        .pool_idle_timeout(Duration::from_secs(50))
        .tcp_nodelay(true);
    proxies
        .install(builder)
        .build()
        .map_err(|e| ClientError(chain(&e.without_url())))
}

/// Why the server's certificate is not trusted, when that is what failed.
/// Unlike other connection errors, waiting does not mend it.
pub fn certificate_problem(error: &reqwest::Error) -> Option<String> {
    let problem = causes(error).find_map(|cause| match cause.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(problem)) => Some(problem.to_string()),
        _ => None,
    })?;
    Some(format!("its TLS certificate is not trusted: {problem}"))
}

/// What became of a request that got no whole answer, and in what words.
pub fn connection_failure(error: &reqwest::Error, in_body: bool) -> (Reason, String) {
    if error.is_timeout() {
        return (
            if error.is_connect() {
                Reason::Connect
            } else {
                Reason::Timeout
            },
            "timed out".into(),
        );
    }
    if error.is_connect() {
        return (Reason::Connect, connection_message(error));
    }
    if let Some(io) = io_cause(error)
        && matches!(
            io.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected
        )
    {
        return (Reason::ConnectionLost, "the connection was reset".into());
    }
    if in_body {
        return (
            Reason::CutBody,
            format!("the body ended early or is broken ({})", innermost(error)),
        );
    }
    (Reason::ConnectionLost, connection_message(error))
}

/// An error of the HTTP client in a line, without the URL.
pub fn connection_message(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "could not connect"
    } else {
        "the connection failed"
    };
    format!("{what}: {}", innermost(error))
}

fn innermost(error: &reqwest::Error) -> String {
    let mut last: Option<&dyn Error> = error.source();
    while let Some(next) = last.and_then(Error::source) {
        last = Some(next);
    }
    last.map_or_else(|| "no details".into(), ToString::to_string)
}

fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn io_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    causes(error).find_map(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .filter(|io| io.get_ref().is_none())
    })
}

/// The error and all that is behind it. An `io::Error` hides its inner error from `source`.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(
        Some(error),
        |&cause: &&'a (dyn Error + 'static)| match cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => cause.source(),
        },
    )
}
