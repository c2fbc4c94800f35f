//! A TCP server that answers with scripted bytes: what no well-behaved HTTP
//! server can be made to send.
#![allow(dead_code, missing_docs, unreachable_pub)]

use crate::support::Server;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Req {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// Everything up to the empty line, for searching.
    pub head: String,
    pub body: String,
    pub at: Instant,
    pub connection: u64,
}

impl Req {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// The last path segment, as it came.
    pub fn last(&self) -> &str {
        let path = self.target.split('?').next().unwrap();
        path.rsplit('/').next().unwrap()
    }
}

/// What comes after the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Keep,
    Close,
    Reset,
}

/// The bytes, each part after a wait.
#[derive(Debug, Clone)]
pub struct Reply {
    pub parts: Vec<(Duration, Vec<u8>)>,
    pub then: Then,
}

/// These bytes at once.
pub fn bytes(bytes: impl Into<Vec<u8>>, then: Then) -> Reply {
    Reply {
        parts: vec![(Duration::ZERO, bytes.into())],
        then,
    }
}

/// An answer with a right Content-Length. `headers` are whole lines with CRLF.
pub fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let mut all = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    all.extend_from_slice(body);
    bytes(all, Then::Keep)
}

/// The record of the item that is asked for.
pub fn good(request: &Req) -> Reply {
    ok(format!("{{\"id\":\"{}\"}}", request.last()))
}

/// A 200 with a JSON body.
pub fn ok(body: impl AsRef<[u8]>) -> Reply {
    answer("200 OK", "Content-Type: application/json\r\n", body)
}

type Handler = dyn Fn(&Req, usize) -> Reply + Send + Sync;

pub struct Raw<T = ()> {
    /// What a test changes of the server while it serves.
    pub state: Arc<T>,
    address: SocketAddr,
    log: Arc<Mutex<Vec<Req>>>,
    ended: Arc<AtomicBool>,
}

impl Raw {
    /// Serves on a free loopback port. The handler is told how often its
    /// target was asked for, this time included.
    pub fn start(handler: impl Fn(&Req, usize) -> Reply + Send + Sync + 'static) -> Raw {
        Raw::on(TcpListener::bind("127.0.0.1:0").unwrap(), handler)
    }

    pub fn on(
        listener: TcpListener,
        handler: impl Fn(&Req, usize) -> Reply + Send + Sync + 'static,
    ) -> Raw {
        Raw::serving(listener, Arc::new(()), handler)
    }
}

impl<T: Send + Sync + 'static> Raw<T> {
    /// The same, with a state that the handler sees.
    pub fn sharing(
        state: T,
        handler: impl Fn(&T, &Req, usize) -> Reply + Send + Sync + 'static,
    ) -> Raw<T> {
        let (state, listener) = (Arc::new(state), TcpListener::bind("127.0.0.1:0").unwrap());
        let shared = Arc::clone(&state);
        Raw::serving(listener, state, move |request, times| {
            handler(&shared, request, times)
        })
    }
}

impl<T> Raw<T> {
    fn serving(
        listener: TcpListener,
        state: Arc<T>,
        handler: impl Fn(&Req, usize) -> Reply + Send + Sync + 'static,
    ) -> Raw<T> {
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let handler: Arc<Handler> = Arc::new(handler);
        let connections = AtomicU64::new(0);
        {
            let (log, ended) = (Arc::clone(&log), Arc::clone(&ended));
            thread::spawn(move || {
                for stream in listener.incoming() {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let (log, handler) = (Arc::clone(&log), Arc::clone(&handler));
                    let number = connections.fetch_add(1, Ordering::SeqCst);
                    thread::spawn(move || serve(stream, number, &log, &*handler));
                }
            });
        }
        Raw {
            state,
            address,
            log,
            ended,
        }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Req> {
        self.log.lock().unwrap().clone()
    }

    /// How often the item was asked for.
    pub fn count(&self, last: &str) -> usize {
        self.seen().iter().filter(|r| r.last() == last).count()
    }
}

impl<T> Server for Raw<T> {
    fn base(&self) -> String {
        Raw::base(self)
    }
}

impl<T> Drop for Raw<T> {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, connection: u64, log: &Mutex<Vec<Req>>, handler: &Handler) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer, connection) {
        let times = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.iter().filter(|r| r.target == request.target).count()
        };
        let reply = handler(&request, times);
        for (wait, part) in &reply.parts {
            thread::sleep(*wait);
            if stream.write_all(part).is_err() {
                return;
            }
        }
        match reply.then {
            Then::Keep => {}
            Then::Close => {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Then::Reset => {
                // What was sent is to be read before the reset overtakes it.
                thread::sleep(Duration::from_millis(100));
                return reset(stream);
            }
        }
    }
}

fn reset(stream: TcpStream) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        stream.set_zero_linger().unwrap();
        drop(stream);
    });
}

fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: u64) -> Option<Req> {
    let mut chunk = [0; 4096];
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => buffer.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    };
    let at = Instant::now();
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length: usize = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.parse().unwrap());
    while buffer.len() < length {
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => buffer.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    }
    let body = String::from_utf8_lossy(&buffer[..length]).into_owned();
    buffer.drain(..length);
    Some(Req {
        method,
        target,
        headers,
        head,
        body,
        at,
        connection,
    })
}
