//! What the tests share: the built binary, the embedded API as a process of
//! its own with its request log, job files in a temporary folder.
#![allow(
    dead_code,
    unused_imports,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tempfile::TempDir;

mod bench;
pub mod child;
mod watchdog;

pub use bench::{Bench, Server};
pub use watchdog::watched;

/// The binary under test, with no credentials and no proxies in its environment.
pub fn harvest() -> Command {
    watched();
    let mut command = Command::new(env!("CARGO_BIN_EXE_harvest"));
    for name in [
        "SPOTIFY_CLIENT_ID",
        "SPOTIFY_CLIENT_SECRET",
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ] {
        command.env_remove(name);
    }
    // Not the user's own: tests leave no log-in there, and find none.
    let state = format!("state-of-{}", std::process::id());
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(state);
    command.env("XDG_STATE_HOME", state);
    command.stdin(Stdio::null());
    // A test that failed leaves no run behind, which would wait for its server for an hour.
    command.env("HARVEST_DIES_WITH_PARENT", "1");
    command
}

/// The real data that lies beside the checkout. Where CI runs it must be there.
pub fn real_data() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/spotify");
    if place.join("track_ids.csv").exists() {
        return Some(place);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "CI must have the real test data in ../shared/data/spotify"
    );
    eprintln!("skipped: no real test data in ../shared/data/spotify");
    None
}

/// A folder, in memory where there is room: thousands of fsyncs are not to wait for a slow
/// disk, and a kill of a process loses nothing of either. `HARVEST_TESTS_ON_DISK=1`: on the disk.
pub fn scratch() -> TempDir {
    const ROOM_KIB: u64 = 2 << 20;
    static IN_MEMORY: LazyLock<bool> = LazyLock::new(|| {
        let mut df = Command::new("df");
        let free = df.args(["-k", "--output=avail", "/dev/shm"]).output();
        let free = free.ok().and_then(|output| {
            let text = String::from_utf8(output.stdout).ok()?;
            text.lines().nth(1)?.trim().parse::<u64>().ok()
        });
        std::env::var_os("HARVEST_TESTS_ON_DISK").is_none() && free >= Some(ROOM_KIB)
    });
    let scratch = match *IN_MEMORY {
        true => tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()),
        false => tempfile::tempdir(),
    };
    scratch.unwrap()
}

/// A folder for one test.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        watched();
        Place(scratch())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The lines of a file, none if it is not there; the last must be whole.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let Ok(text) = fs::read_to_string(self.path(name)) else {
            return Vec::new();
        };
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "{name} ends in half a line"
        );
        text.lines().map(str::to_owned).collect()
    }

    pub fn json_lines(&self, name: &str) -> Vec<Value> {
        self.lines(name)
            .iter()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}: {e}: {line}"))
            })
            .collect()
    }

    /// How often each `id` is in the output and in the failures file.
    pub fn fates(&self, output: &str) -> BTreeMap<String, (u32, u32)> {
        let mut fates: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        for record in self.json_lines(output) {
            fates
                .entry(record["id"].as_str().unwrap().to_owned())
                .or_default()
                .0 += 1;
        }
        for failure in self.json_lines(&format!("{output}.failed.ndjson")) {
            fates
                .entry(failure["id"].as_str().unwrap().to_owned())
                .or_default()
                .1 += 1;
        }
        fates
    }

    /// Every one of `ids` exactly once, in the output or in the failures file, and nothing else.
    #[track_caller]
    pub fn assert_exactly_once(
        &self,
        output: &str,
        ids: impl IntoIterator<Item = impl AsRef<str>>,
    ) {
        let mut fates = self.fates(output);
        for id in ids {
            let id = id.as_ref();
            let (records, failures) = fates.remove(id).unwrap_or_default();
            assert_eq!(
                records + failures,
                1,
                "{id}: {records} records, {failures} failures"
            );
        }
        assert!(fates.is_empty(), "not asked for: {fates:?}");
    }
}

/// `harvest sandbox` as a process.
pub struct Api {
    child: Child,
    pub base: String,
    log: PathBuf,
    _place: TempDir,
}

/// The first line that a server prints; one that says nothing for a minute is killed.
#[track_caller]
pub fn said_first(child: &mut Child) -> String {
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (tx, rx) = sync_channel(1);
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = stdout.read_line(&mut line);
        let _ = tx.send((line, stdout));
    });
    match rx.recv_timeout(Duration::from_secs(60)) {
        Ok((line, stdout)) => {
            // Kept: with a closed one, the server's next line would kill it.
            child.stdout = Some(stdout.into_inner());
            line
        }
        Err(_) => {
            let _ = child.kill();
            panic!("the server does not begin");
        }
    }
}

/// One line of the API's request log.
#[derive(Debug, Clone)]
pub struct Seen {
    pub t: f64,
    pub method: String,
    pub path: String,
    pub status: Option<u64>,
    pub token: Option<String>,
    pub issued: Option<String>,
}

impl Api {
    pub fn start(arguments: &[&str]) -> Api {
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("requests.ndjson");
        let mut child = harvest()
            .args(["sandbox", "--port", "0", "--log"])
            .arg(&log)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let base = said_first(&mut child)
            .trim()
            .strip_prefix("listening on ")
            .expect("the address")
            .to_owned();
        Api {
            child,
            base,
            log,
            _place: place,
        }
    }

    /// The request log so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.raw()
            .iter()
            .map(|v| {
                let text = |name: &str| v[name].as_str().map(str::to_owned);
                Seen {
                    t: v["t"].as_f64().unwrap(),
                    method: text("method").unwrap(),
                    path: text("path").unwrap(),
                    status: v["status"].as_u64(),
                    token: text("token"),
                    issued: text("issued"),
                }
            })
            .collect()
    }

    /// Item requests (not the tokens').
    pub fn items(&self) -> Vec<Seen> {
        self.seen()
            .into_iter()
            .filter(|s| s.method == "GET")
            .collect()
    }

    /// A job file for this API: client credentials, tracks. `more` is appended.
    pub fn job(&self, ids: &str, limits: &str, output: &str, more: &str) -> String {
        format!(
            "[ids]\n{ids}\n[request]\nurl = \"{}/v1/tracks/{{id}}\"\n[auth]\n{}\n\
             [limits]\n{limits}\n[output]\n{output}\n{more}\n",
            self.base,
            self.auth()
        )
    }

    /// What a job says in `[auth]` for this API.
    pub fn auth(&self) -> String {
        format!(
            "type = \"client_credentials\"\ntoken_url = \"{}/api/token\"\n\
             client_id = \"test-client\"\nclient_secret = \"s3cr3t-of-the-test\"",
            self.base
        )
    }
}

impl Server for Api {
    fn base(&self) -> String {
        self.base.clone()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A made-up track ID: 22 base-62 characters, never ending in 404.
pub fn track_id(number: usize) -> String {
    format!("{number:021}x")
}

/// So many IDs for a scripted server: `i0`, `i1` …
pub fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("i{n}")).collect()
}

/// The output of a command, for people who read a failed test.
pub fn told(output: &Output) -> String {
    format!(
        "exit {:?}\n--- stdout\n{}\n--- stderr\n{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Fails unless the command ended with `code`.
#[track_caller]
pub fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", told(output));
}

/// Fails unless the command said all of these words.
#[track_caller]
pub fn assert_says(output: &Output, words: &[&str]) {
    let told = told(output);
    for word in words {
        assert!(told.contains(word), "no {word:?} in:\n{told}");
    }
}

/// The most events in any half-open window of `seconds`.
pub fn most_in_window(times: &mut [f64], seconds: f64) -> usize {
    times.sort_by(f64::total_cmp);
    let (mut from, mut most) = (0, 0);
    for to in 0..times.len() {
        while times[to] - times[from] >= seconds {
            from += 1;
        }
        most = most.max(to - from + 1);
    }
    most
}

impl Api {
    /// The request log so far, as it stands: with `fault`, which [`Seen`] has not.
    pub fn raw(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        // The last line may be on its way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Bytes of the request log: cheap to ask often.
    pub fn log_bytes(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |m| m.len())
    }
}

impl Api {
    /// The process's id, to send it signals.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}
