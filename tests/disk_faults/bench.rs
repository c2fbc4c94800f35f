//! A job whose list grows between its runs, and what must hold after each run.

use crate::support::{self, Api, Server, assert_exit, told, track_id};
use crate::tools::tool;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// In the job file, and nowhere else.
pub const SECRET: &str = "s3cr3t-of-the-test";
/// Seconds between two commits.
const EVERY: f64 = 0.1;
const CONCURRENCY: usize = 8;
/// A commit takes time too, under a tracer on a busy machine most of all.
const SLACK: f64 = 10.0;

/// Stands for the list where an ending of the output's name is asked for.
pub const LIST: &str = "the list";

/// Pace may change between runs.
pub const FAST: &[&str] = &["--rate", "unlimited"];

/// Every word of advice that an error may end with.
const NEXT_STEPS: &[&str] = &[
    "run the same command again",
    "choose another output",
    "make it writable",
    "start over with --fresh",
];

pub fn nightly() -> bool {
    std::env::var("HARVEST_DISK_FAULTS").is_ok_and(|size| size == "nightly")
}

/// `HARVEST_TEST_SEED` repeats an earlier run.
pub fn seed() -> u64 {
    let seed = std::env::var("HARVEST_TEST_SEED").map_or_else(
        |_| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            since.subsec_nanos().into()
        },
        |text| text.parse().unwrap(),
    );
    println!("seed: HARVEST_TEST_SEED={seed}");
    seed
}

/// Item `n`: some the API does not have.
pub fn id(n: usize) -> String {
    if n % 17 == 5 {
        format!("{n:019}404")
    } else {
        track_id(n)
    }
}

/// Waits for a condition.
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        sleep(Duration::from_millis(2));
    }
}

/// The embedded API, and how many of its answers faults may have cost, in all.
pub struct Counted {
    api: Api,
    worth: usize,
}

impl Server for Counted {
    fn base(&self) -> String {
        self.api.base()
    }
}

pub type Bench = support::Bench<Counted>;

impl Bench {
    /// A job for `output` (`.ndjson`, `.csv`), with `listed` items.
    pub fn new(output: &'static str, listed: usize, rate: &str) -> Bench {
        let api = Api::start(&[]);
        let auth = api.auth();
        let bench = Bench::of(Counted { api, worth: 0 }, "/v1/tracks/{id}")
            .with("auth", &auth)
            .ids((0..listed).map(id))
            .output(output)
            .with(
                "limits",
                &format!("rate = \"{rate}\"\nconcurrency = {CONCURRENCY}"),
            )
            .with("checkpoint", &format!("every = \"{}ms\"", EVERY * 1e3));
        match output.ends_with(".csv") {
            true => bench.with(
                "output.columns",
                "id = \"$.id\"\nartists = \"$.artists[*].name\"",
            ),
            false => bench,
        }
    }

    /// Lists so many items more.
    pub fn more(&mut self, more: usize) {
        let listed = self.ids.len();
        self.ids.extend((listed..listed + more).map(id));
        self.list(&self.ids);
    }

    /// What the API has seen so far.
    pub fn seen(&self) -> Vec<support::Seen> {
        self.server.api.seen()
    }

    /// The output's path with `ending` behind it, or its folder for `/`.
    pub fn file(&self, ending: &str) -> PathBuf {
        let folder = fs::canonicalize(self.place.path(".")).unwrap();
        match ending {
            "/" => folder,
            LIST => folder.join("ids.txt"),
            _ => folder.join(format!("{}{ending}", self.output)),
        }
    }

    /// Runs the command behind another one, to its end, a minute at most.
    pub fn behind<S: AsRef<OsStr>>(&self, prefix: impl IntoIterator<Item = S>) -> Output {
        limited(prefix, &self.command(&[]))
    }

    /// Runs it with these arguments, to its end, a minute at most.
    pub fn limited(&self, arguments: &[&str]) -> Output {
        limited(None::<&str>, &self.command(arguments))
    }

    /// Runs under a tracer that injects a fault; tells how often it did.
    pub fn injected(&self, file: &str, calls: &str, what: &str) -> (Output, usize) {
        self.injected_with(&[], file, calls, what)
    }

    /// The same, with more arguments.
    pub fn injected_with(
        &self,
        arguments: &[&str],
        file: &str,
        calls: &str,
        what: &str,
    ) -> (Output, usize) {
        let trace = self.place.path("trace");
        let command = self.command(arguments);
        let words = ["strace", "-f", "-qqq", "-e", &format!("trace={calls}")];
        let mut strace: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        strace.extend([
            "-e".into(),
            format!("inject={calls}:{what}").into(),
            "-o".into(),
            trace.clone().into(),
            "-P".into(),
            self.file(file).into(),
        ]);
        let output = limited(strace, &command);
        let trace = fs::read_to_string(trace).unwrap();
        let hits = trace
            .lines()
            .filter(|line| line.ends_with("(INJECTED)") || line.ends_with("(DELAYED)"))
            .count();
        (output, hits)
    }

    /// A run that a fault stopped: what it fetched after the last commit may
    /// be fetched again.
    pub fn broken(&mut self, from: usize) {
        let times: Vec<f64> = self.answered()[from..].iter().map(|(_, t)| *t).collect();
        let last = times.iter().copied().fold(0.0, f64::max);
        self.server.worth +=
            times.iter().filter(|t| **t > last - SLACK * EVERY).count() + CONCURRENCY;
    }

    /// Item requests that were answered in full so far: the ID and when.
    pub fn answered(&self) -> Vec<(String, f64)> {
        let whole = |v: &serde_json::Value| v["method"] == "GET" && v["fault"].is_null();
        let log = self.server.api.raw();
        log.iter()
            .filter(|v| whole(v))
            .map(|v| {
                let path = v["path"].as_str().unwrap();
                let id = path.rsplit('/').next().unwrap().to_owned();
                (id, v["t"].as_f64().unwrap())
            })
            .collect()
    }

    /// The cause is gone: the same command ends the job, each item once.
    #[track_caller]
    pub fn finish(&self) {
        self.finish_with(&[]);
    }

    /// The same, without waiting for the quota.
    #[track_caller]
    pub fn finish_fast(&self) {
        self.finish_with(FAST);
    }

    #[track_caller]
    fn finish_with(&self, arguments: &[&str]) {
        let output = self.limited(arguments);
        let code = match self.ids.iter().any(|id| id.ends_with("404")) {
            true => 3,
            false => 0,
        };
        assert_exit(&output, code);
        self.assert_few_twice();
        for ending in [".lock", ".checkpoint.tmp"] {
            assert!(!self.file(ending).exists(), "{ending} was left behind");
        }
    }

    /// Each listed item once, and nothing else; few were fetched twice.
    #[track_caller]
    pub fn assert_few_twice(&self) {
        self.assert_each_once();
        let again = self.answered().len() - self.ids.len();
        let worth = self.server.worth;
        assert!(
            again <= worth,
            "{again} were fetched again; {worth} may have been"
        );
    }

    /// Each listed item once, and nothing else.
    #[track_caller]
    pub fn assert_each_once(&self) {
        let mut fates: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        for id in self.recorded() {
            fates.entry(id).or_default().0 += 1;
        }
        for failure in self.failures() {
            let id = failure["id"].as_str().unwrap().to_owned();
            fates.entry(id).or_default().1 += 1;
        }
        for id in &self.ids {
            let expected = if id.ends_with("404") { (0, 1) } else { (1, 0) };
            assert_eq!(fates.remove(id), Some(expected), "{id}");
        }
        assert!(fates.is_empty(), "not asked for: {fates:?}");
    }

    /// The IDs in the output.
    pub fn recorded(&self) -> Vec<String> {
        if self.output.ends_with(".csv") {
            let text = self.place.read(self.output);
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            return reader
                .records()
                .map(|row| row.unwrap()[0].to_owned())
                .collect();
        }
        let lines = self.records();
        lines
            .iter()
            .map(|v| v["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Runs a command behind another one, to its end, a minute at most.
pub fn limited<S: AsRef<OsStr>>(prefix: impl IntoIterator<Item = S>, command: &Command) -> Output {
    let mut limited = Command::new("timeout");
    limited.args(["-k", "5", "60"]);
    limited.args(prefix);
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.stdin(Stdio::null()).output().unwrap()
}

/// The run stopped with exit 1, named the file, and said what to do next.
#[track_caller]
pub fn assert_told(output: &Output, file: &Path) {
    assert_exit(output, 1);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let error = stderr
        .lines()
        .find(|line| line.starts_with("error: "))
        .unwrap_or_else(|| panic!("no error:\n{}", told(output)));
    assert!(
        error.contains(&file.display().to_string()),
        "{} is not named:\n{}",
        file.display(),
        told(output)
    );
    assert!(
        NEXT_STEPS.iter().any(|step| error.contains(step)),
        "no next step:\n{}",
        told(output)
    );
    assert_clean(output);
}

/// No panic, no secret.
#[track_caller]
pub fn assert_clean(output: &Output) {
    let all = told(output);
    assert!(!all.contains("panicked") && !all.contains(SECRET), "{all}");
}

/// Whether faults can be injected here.
pub fn tracer() -> bool {
    if !tool("strace", "strace") || !tool("timeout", "coreutils") {
        return false;
    }
    let traced = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if !traced.status.success() {
        assert!(std::env::var_os("CI").is_none(), "CI must allow ptrace");
        eprintln!("skipped: ptrace is not allowed here");
    }
    traced.status.success()
}
