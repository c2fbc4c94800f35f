//! Signals: a run that is stopped is committed, says so, and goes on later.
#![cfg(unix)]

use crate::raw;
use crate::raw::{Raw, Reply, Then, ok};
use crate::support::{Api, Place, assert_exit, harvest, told, track_id};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn spawn(job: &Path) -> Child {
    harvest()
        .arg(job)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Waits for the end, with the time it took; kills what does not end.
fn end(mut child: Child) -> (Output, Duration) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        if child.try_wait().unwrap().is_some() {
            let took = began.elapsed();
            return (child.wait_with_output().unwrap(), took);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("never ended: {}", told(&child.wait_with_output().unwrap()));
}

/// Until `true`, for half a minute at most.
#[track_caller]
fn until(mut what: impl FnMut() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct Stopped {
    api: Api,
    place: Place,
    ids: Vec<String>,
    job: PathBuf,
}

fn begin() -> (Stopped, Child) {
    let ids: Vec<String> = (0..60).map(track_id).collect();
    let place = Place::new();
    place.write("ids.txt", &(ids.join("\n") + "\n"));
    let api = Api::start(&["--latency", "300ms"]);
    // Without a signal, nothing would be committed for a long time.
    let job = place.write(
        "job.toml",
        &api.job(
            "file = \"ids.txt\"",
            "rate = \"20/s\"\nconcurrency = 8",
            "path = \"out.ndjson\"",
            "[checkpoint]\nevery = \"1h\"",
        ),
    );
    let child = spawn(&job);
    until(|| api.items().len() >= 15);
    let stopped = Stopped {
        api,
        place,
        ids,
        job,
    };
    (stopped, child)
}

impl Stopped {
    fn assert_goes_on(&self) {
        let output = harvest().arg(&self.job).output().unwrap();
        assert_exit(&output, 0);
        let ids = self.ids.iter().map(String::as_str);
        self.place.assert_exactly_once("out.ndjson", ids);
    }
}

fn stops_and_goes_on(name: &str, code: i32) {
    let (run, child) = begin();
    signal(&child, name);
    let (output, took) = end(child);

    assert_exit(&output, code);
    assert!(took < Duration::from_secs(5), "{took:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("to go on: harvest"), "{stderr}");
    // What was asked for was waited for and committed: nothing is asked twice.
    let asked = run.api.items().len();
    assert!(asked < run.ids.len(), "it was not stopped in the middle");
    assert_eq!(run.place.lines("out.ndjson").len(), asked);
    let status = harvest().arg("status").arg(&run.job).output().unwrap();
    assert_exit(&status, 0);
    assert!(told(&status).contains("stopped"), "{}", told(&status));

    run.assert_goes_on();
    assert_eq!(run.api.items().len(), run.ids.len());
}

#[test]
fn ctrl_c_is_130_and_resumable() {
    stops_and_goes_on("-INT", 130);
}

#[test]
fn sigterm_is_143_and_resumable() {
    stops_and_goes_on("-TERM", 143);
}

/// An answer that takes longer than the grace is given up, and asked for again.
#[test]
fn a_hanging_answer_does_not_hold_up_the_end() {
    let api = Raw::start(|request, times| match (request.last(), times) {
        ("slow", 1) => Reply {
            parts: vec![(Duration::from_secs(60), Vec::new())],
            then: Then::Close,
        },
        _ => ok(format!("{{\"id\":\"{}\"}}", request.last())),
    });
    let place = Place::new();
    let job = place.write(
        "job.toml",
        &format!(
            "[ids]\nlist = [\"a\", \"slow\", \"b\"]\n[request]\nurl = \"{}/{{id}}\"\n\
             [output]\npath = \"out.ndjson\"\n",
            api.base()
        ),
    );
    let child = spawn(&job);
    until(|| api.seen().len() == 3);
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-INT");
    let (output, took) = end(child);

    assert_exit(&output, 130);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(place.lines("out.ndjson").len(), 2);
    assert!(place.lines("out.ndjson.failed.ndjson").is_empty());

    assert_exit(&harvest().arg(&job).output().unwrap(), 0);
    place.assert_exactly_once("out.ndjson", ["a", "slow", "b"]);
    assert_eq!(api.seen().len(), 4);
}

/// Nor does a pause that the server asked for, nor a server that is not there.
#[test]
fn a_pause_does_not_hold_up_the_end() {
    let busy =
        Raw::start(|_, _| raw::answer("429 Too Many Requests", "Retry-After: 600\r\n", "{}"));
    let bases = [
        (busy.base(), true),
        ("http://127.0.0.1:1".to_owned(), false),
    ];
    for (base, asks) in &bases {
        let place = Place::new();
        let job = place.write(
            "job.toml",
            &format!(
                "[ids]\nlist = [\"a\", \"b\"]\n[request]\nurl = \"{base}/{{id}}\"\n[output]\npath = \"out.ndjson\"\n"
            ),
        );
        let child = spawn(&job);
        if *asks {
            until(|| !busy.seen().is_empty());
        }
        std::thread::sleep(Duration::from_secs(1));
        signal(&child, "-TERM");
        let (output, took) = end(child);

        assert_exit(&output, 143);
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert!(place.lines("out.ndjson").is_empty());
        assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
    }
}

#[test]
fn a_second_ctrl_c_stops_at_once() {
    let (run, child) = begin();
    signal(&child, "-INT");
    std::thread::sleep(Duration::from_millis(50));
    signal(&child, "-INT");
    let (output, took) = end(child);

    assert_exit(&output, 130);
    // The rest of what is in flight would take longer only with a slower server; see below.
    assert!(took < Duration::from_secs(2), "{took:?}");
    run.assert_goes_on();
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_what_is_in_flight() {
    let api = Raw::start(|request, times| match (request.last(), times) {
        ("a", _) => ok("{\"id\":\"a\"}"),
        (_, 1) => Reply {
            parts: vec![(Duration::from_secs(30), Vec::new())],
            then: Then::Close,
        },
        (last, _) => ok(format!("{{\"id\":\"{last}\"}}")),
    });
    let place = Place::new();
    let job = place.write(
        "job.toml",
        &format!(
            "[ids]\nlist = [\"a\", \"b\", \"c\"]\n[request]\nurl = \"{}/{{id}}\"\n[output]\npath = \"out.ndjson\"\n",
            api.base()
        ),
    );
    let child = spawn(&job);
    until(|| api.seen().len() == 3);
    std::thread::sleep(Duration::from_millis(200));
    signal(&child, "-INT");
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-INT");
    let (output, took) = end(child);
    assert_exit(&output, 130);
    assert!(took < Duration::from_secs(2), "{took:?}");
    // The lock is free, and nothing is lost.
    assert_exit(&harvest().arg(&job).output().unwrap(), 0);
    place.assert_exactly_once("out.ndjson", ["a", "b", "c"]);
}

/// A second signal ends it at once, whatever it stands still for.
fn assert_hears(mut child: Child) {
    signal(&child, "-INT");
    let began = Instant::now();
    let mut again = false;
    while began.elapsed() < Duration::from_secs(6) {
        if let Some(status) = child.try_wait().unwrap() {
            return assert_eq!(status.code(), Some(130));
        }
        if !again && began.elapsed() > Duration::from_millis(500) {
            signal(&child, "-INT");
            again = true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("it does not hear");
}

fn job_of_many(api: &Api, place: &Place, path: &str, rate: &str) -> PathBuf {
    let ids: Vec<String> = (0..4_000).map(track_id).collect();
    place.write("ids.txt", &(ids.join("\n") + "\n"));
    let limits = &format!("rate = \"{rate}\"\nconcurrency = 8");
    let output = format!("path = \"{path}\"");
    let text = api.job("file = \"ids.txt\"", limits, &output, "");
    place.write("job.toml", &text)
}

#[test]
fn a_run_whose_records_nobody_reads_hears_signals() {
    let api = Api::start(&[]);
    let place = Place::new();
    let child = spawn(&job_of_many(&api, &place, "-", "unlimited"));
    // The pipe is full after 64 KiB, and then no more is asked for.
    let mut asked = (0, Instant::now());
    until(|| {
        let now = api.log_bytes();
        if now != asked.0 {
            asked = (now, Instant::now());
        }
        now > 0 && asked.1.elapsed() > Duration::from_millis(700)
    });
    assert_hears(child);
}

/// As after Ctrl-S, or at the end of an ssh connection that sleeps.
#[test]
fn a_run_whose_terminal_stands_still_goes_on_and_hears_signals() {
    let api = Api::start(&[]);
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    std::thread::spawn(move || filler.write_all(&[b' '; 1 << 20]));
    std::thread::sleep(Duration::from_millis(300));
    let job = job_of_many(&api, &place, "out.ndjson", "50/s");
    let start = |options: &[&str]| {
        let mut command = harvest();
        command.arg(&job).args(options).stdout(Stdio::null());
        command.stderr(writer.try_clone().unwrap()).spawn().unwrap()
    };
    let mut child = start(&["--limit", "40", "--rate", "unlimited"]);
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        // At the end it waits ten seconds for somebody to read.
        if began.elapsed() > Duration::from_secs(40) {
            child.kill().unwrap();
            panic!("it stands still, too");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(place.lines("out.ndjson").len(), 40);
    let child = start(&[]);
    until(|| api.items().len() > 60);
    assert_hears(child);
    drop(reader);
}

/// A signal during the second of several jobs leaves the third alone.
#[test]
fn a_signal_ends_all_jobs() {
    let api = Raw::start(|request, _| Reply {
        parts: ok(format!("{{\"id\":\"{}\"}}", request.last()))
            .parts
            .into_iter()
            .map(|(_, bytes)| (Duration::from_millis(300), bytes))
            .collect(),
        then: Then::Keep,
    });
    let place = Place::new();
    let job = |name: &str| {
        let ids: Vec<String> = (0..10).map(|n| format!("{name}{n}")).collect();
        place.write(
            &format!("{name}.toml"),
            &format!(
                "[ids]\nlist = {ids:?}\n[request]\nurl = \"{}/{{id}}\"\n\
                 [limits]\nconcurrency = 1\n[output]\npath = \"{name}.ndjson\"\n",
                api.base()
            ),
        )
    };
    let (first, second) = (job("first"), job("second"));
    let child = harvest()
        .arg("run")
        .args([&first, &second])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until(|| api.seen().len() >= 2);
    signal(&child, "-TERM");
    let (output, took) = end(child);

    assert_exit(&output, 143);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!place.path("second.ndjson").exists());
}

/// Opening a pipe waits for its writer, and so does reading its header.
#[test]
fn a_list_that_never_comes_can_be_stopped() {
    for (name, writer) in [("none.txt", false), ("headless.csv", true)] {
        let place = Place::new();
        let pipe = place.path(name);
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let column = if writer { "column = \"id\"" } else { "" };
        let job = place.write(
            "job.toml",
            &format!(
                "[ids]\nfile = \"{name}\"\n{column}\n[request]\nurl = \"http://127.0.0.1:9/{{id}}\"\n\
                 [output]\npath = \"out.ndjson\"\n"
            ),
        );
        let child = spawn(&job);
        // Held open, and nothing is written.
        let _held = writer.then(|| {
            let mut options = std::fs::OpenOptions::new();
            // To read, too: it does not wait for the other end then.
            options.read(true).write(true).open(&pipe).unwrap()
        });
        std::thread::sleep(Duration::from_millis(500));
        signal(&child, "-INT");
        let (output, took) = end(child);
        assert_exit(&output, 130);
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert!(!place.path("out.ndjson").exists());
    }
}
