//! The embedded API as a process, what it logged, and what it says to an
//! honest question.
//!
//! Owns the oracle's second source: which requests came and what was sent
//! ([`Server::news`]), and each body ([`Reference`]), asked for by a client of
//! a few lines from a server without faults. A body's hash ties the two.

use crate::support::harvest;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use xxhash_rust::xxh3::xxh3_64;

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    log: PathBuf,
    /// Bytes of the log that were read.
    read: u64,
}

/// What a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    /// The whole body of this hash was sent.
    Body(u64),
    /// 404.
    Missing,
    /// Something that is to be tried again.
    Fault,
}

/// A request for an item.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Unix seconds.
    pub at: f64,
    pub id: String,
    pub path: String,
    pub got: Got,
}

#[derive(Deserialize)]
struct Line {
    t: f64,
    method: String,
    path: String,
    status: Option<u16>,
    fault: Option<String>,
    body: String,
}

impl Server {
    pub fn start(log: PathBuf, arguments: &[String]) -> Server {
        let mut child = harvest()
            .args(["sandbox", "--port", "0", "--log"])
            .arg(&log)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut first)
            .unwrap();
        let address = first.trim().strip_prefix("listening on http://");
        let address = address.expect("the address").parse().unwrap();
        Server {
            child,
            address,
            log,
            read: 0,
        }
    }

    /// Bytes of the log: cheap to ask often.
    pub fn log_bytes(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |metadata| metadata.len())
    }

    /// The requests for items since the last question, and when each request
    /// came, those for tokens too.
    pub fn news(&mut self) -> (Vec<Asked>, Vec<f64>) {
        let mut file = File::open(&self.log).unwrap();
        file.seek(SeekFrom::Start(self.read)).unwrap();
        let mut text = Vec::new();
        file.read_to_end(&mut text).unwrap();
        let whole = text
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |at| at + 1);
        self.read += whole as u64;
        let (mut asked, mut times) = (Vec::new(), Vec::new());
        for line in text[..whole]
            .split(|&b| b == b'\n')
            .filter(|l| !l.is_empty())
        {
            let line: Line = serde_json::from_slice(line).unwrap();
            times.push(line.t);
            if line.method != "GET" {
                continue;
            }
            let got = match (line.status, &line.fault) {
                (Some(200), None) => Got::Body(u64::from_str_radix(&line.body, 16).unwrap()),
                // A 404 is one also when its words are cut off.
                (Some(404), None) => Got::Missing,
                (Some(404), Some(fault)) if fault == "cut" => Got::Missing,
                _ => Got::Fault,
            };
            let segment = line.path.rsplit('/').next().unwrap();
            let id = percent_decode_str(segment)
                .decode_utf8()
                .unwrap()
                .into_owned();
            asked.push(Asked {
                at: line.t,
                id,
                path: line.path.clone(),
                got,
            });
        }
        (asked, times)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the API says of each ID when nothing goes wrong.
pub struct Reference {
    server: Server,
    token: String,
    connection: RefCell<BufReader<TcpStream>>,
    bodies: RefCell<HashMap<String, Body>>,
}

/// A body as it was sent.
#[derive(Clone)]
pub struct Body {
    pub hash: u64,
    /// Without the white space between its tokens.
    pub line: std::rc::Rc<[u8]>,
}

impl Reference {
    pub fn start(folder: &Path) -> Reference {
        let server = Server::start(folder.join("reference.ndjson"), &[]);
        let mut connection = connect(server.address);
        let form = "grant_type=client_credentials&client_id=oracle&client_secret=oracle";
        let request = format!(
            "POST /api/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let (status, body) = exchange(&mut connection, &request);
        assert_eq!(status, 200);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        Reference {
            server,
            token: body["access_token"].as_str().unwrap().to_owned(),
            connection: RefCell::new(connection),
            bodies: RefCell::default(),
        }
    }

    /// The body of an ID that exists, asked for as the product did.
    pub fn body(&self, id: &str, path: &str) -> Body {
        if let Some(body) = self.bodies.borrow().get(id) {
            return body.clone();
        }
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
            self.server.address, self.token
        );
        let (status, body) = exchange(&mut self.connection.borrow_mut(), &request);
        assert_eq!(status, 200, "{id}");
        let body = Body {
            hash: xxh3_64(&body),
            line: squeezed(&body).into(),
        };
        self.bodies.borrow_mut().insert(id.to_owned(), body.clone());
        body
    }
}

fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::new(stream)
}

/// One request on a connection that stays open.
fn exchange(connection: &mut BufReader<TcpStream>, request: &str) -> (u16, Vec<u8>) {
    connection.get_mut().write_all(request.as_bytes()).unwrap();
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        assert!(connection.read_line(&mut line).unwrap() > 0, "hung up");
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        } else if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest[..3].parse().unwrap();
        } else if let Some(rest) = line.strip_prefix("content-length: ") {
            length = rest.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).unwrap();
    (status, body)
}

/// JSON without the white space outside its strings.
fn squeezed(json: &[u8]) -> Vec<u8> {
    let (mut inside, mut escaped) = (false, false);
    json.iter()
        .copied()
        .filter(|&byte| {
            let kept = inside || !byte.is_ascii_whitespace();
            if escaped {
                escaped = false;
            } else if inside && byte == b'\\' {
                escaped = true;
            } else if byte == b'"' {
                inside = !inside;
            }
            kept
        })
        .collect()
}
