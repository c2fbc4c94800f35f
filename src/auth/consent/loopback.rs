//! Where the browser comes back to: a listener on 127.0.0.1 for the length of
//! one log-in (RFC 8252 section 7.3).
//!
//! Owns the listener and its pages. It hands out what the browser brought and
//! shows the browser what came of it; must never judge that itself, and never
//! be held up by a connection that says nothing (browsers open some in advance).

use super::page::Page;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use reqwest::Url;
use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// The path that the browser is sent back to.
const PATH: &str = "/callback";
/// How long a connection may take to send its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last page may take to reach the browser.
const LAST_PAGE: Duration = Duration::from_secs(3);
/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(50);

/// What the browser brought back.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The query's parameters, decoded, in their order. They hold secrets.
    pub(super) params: Vec<(String, String)>,
    answer: oneshot::Sender<Page>,
}

impl Arrival {
    /// Shows the browser what came of it.
    pub(super) fn show(self, page: Page) {
        // A browser that has left misses the page; the terminal says it too.
        let _ = self.answer.send(page);
    }
}

/// The listener.
#[derive(Debug)]
pub(super) struct Loopback {
    listener: TcpListener,
    redirect_uri: Url,
    arrivals: mpsc::Receiver<Arrival>,
    tell: mpsc::Sender<Arrival>,
    connections: JoinSet<bool>,
}

impl Loopback {
    /// Listens on this port, or on any free one.
    pub(super) async fn listen(port: Option<u16>) -> io::Result<Loopback> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await?;
        let port = listener.local_addr()?.port();
        let redirect_uri = format!("http://127.0.0.1:{port}{PATH}");
        let redirect_uri = Url::parse(&redirect_uri).map_err(io::Error::other)?;
        let (tell, arrivals) = mpsc::channel(1);
        Ok(Loopback {
            listener,
            redirect_uri,
            arrivals,
            tell,
            connections: JoinSet::new(),
        })
    }

    /// What the authorization request names as its `redirect_uri`.
    pub(super) fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    /// The next browser that comes back.
    pub(super) async fn next(&mut self) -> Arrival {
        loop {
            tokio::select! {
                Some(arrival) = self.arrivals.recv() => return arrival,
                Some(_) = self.connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        self.connections.spawn(serve(stream, self.tell.clone()));
                    }
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
            }
        }
    }

    /// Waits until the page that was shown last is with the browser.
    pub(super) async fn close(mut self) {
        let shown = async {
            while let Some(served) = self.connections.join_next().await {
                if served.unwrap_or(false) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LAST_PAGE, shown).await;
    }
}

/// Serves one connection one answer; true when it was a redirect's.
async fn serve(stream: TcpStream, tell: mpsc::Sender<Arrival>) -> bool {
    let _ = stream.set_nodelay(true);
    let arrived = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request: Request<Incoming>| {
        let (tell, arrived) = (tell.clone(), Arc::clone(&arrived));
        async move { Ok::<_, Infallible>(answer(&request, &tell, &arrived).await) }
    });
    // One that left, or that never said anything: the next one counts.
    let _ = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    arrived.load(Ordering::SeqCst)
}

async fn answer(
    request: &Request<Incoming>,
    tell: &mpsc::Sender<Arrival>,
    arrived: &AtomicBool,
) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return respond(StatusCode::NOT_FOUND, &Page::nothing_here());
    }
    if request.method() != Method::GET {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, &Page::nothing_here());
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    let query = request.uri().query().unwrap_or_default();
    let (answer, page) = oneshot::channel();
    let arrival = Arrival {
        params: oauth2::url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        answer,
    };
    if tell.send(arrival).await.is_err() {
        return respond(StatusCode::GONE, &Page::over());
    }
    match page.await {
        Ok(page) => {
            arrived.store(true, Ordering::SeqCst);
            respond(page.status(), &page)
        }
        Err(_) => respond(StatusCode::GONE, &Page::over()),
    }
}

fn respond(status: StatusCode, page: &Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page.html())));
    *response.status_mut() = status;
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        // The address has the code in it: it goes nowhere from here.
        (REFERRER_POLICY, "no-referrer"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn ask(port: u16, head: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let head = format!("{head} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        all
    }

    #[tokio::test]
    async fn the_browser_is_told_what_came_of_what_it_brought() {
        let mut loopback = Loopback::listen(None).await.unwrap();
        let port = loopback.redirect_uri().port().unwrap();
        // Opened in advance by the browser, and silent.
        let _silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let browser = tokio::spawn(async move {
            let icon = ask(port, "GET /favicon.ico").await;
            let post = ask(port, "POST /callback").await;
            let page = ask(port, "GET /callback?code=a%2Bb&state=x&code=c").await;
            (icon, post, page)
        });
        let arrival = loopback.next().await;
        let param = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(
            arrival.params,
            [
                param("code", "a+b"),
                param("state", "x"),
                param("code", "c")
            ]
        );
        arrival.show(Page::refused("<b>no</b>"));
        let began = std::time::Instant::now();
        loopback.close().await;
        assert!(began.elapsed() < LAST_PAGE);
        let (icon, post, page) = browser.await.unwrap();
        assert!(icon.starts_with("HTTP/1.1 404 "), "{icon}");
        assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
        assert!(page.starts_with("HTTP/1.1 400 "), "{page}");
        assert!(page.contains("&lt;b&gt;no&lt;/b&gt;"), "{page}");
        assert!(page.contains("referrer-policy: no-referrer"), "{page}");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_an_error() {
        let first = Loopback::listen(None).await.unwrap();
        let port = first.redirect_uri().port();
        let error = Loopback::listen(port).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
