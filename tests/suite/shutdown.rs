//! Signals: a run that is stopped is committed, says so, and goes on later.
#![cfg(unix)]

use crate::child::{piped, signal, until};
use crate::raw::{self, Raw, Reply, Then, good, ok};
use crate::support::{Api, Bench, assert_exit, assert_says, harvest, names, told, track_id};
use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

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

/// A run in its midst. Without a signal, nothing would be committed for a long time.
fn begin() -> (Bench<Api>, Child) {
    let bench = Bench::sandbox(&["--latency", "300ms"])
        .ids((0..60).map(track_id))
        .with("limits", "rate = \"20/s\"\nconcurrency = 8")
        .with("checkpoint", "every = \"1h\"");
    let child = bench.start(&[]);
    until(|| bench.server.items().len() >= 15);
    (bench, child)
}

fn assert_goes_on(bench: &Bench<Api>) {
    bench.run(&[], 0);
    bench.assert_exactly_once();
}

fn stops_and_goes_on(name: &str, code: i32) {
    let (bench, child) = begin();
    signal(child.id(), name);
    let (output, took) = end(child);

    assert_exit(&output, code);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_says(&output, &["to go on: harvest"]);
    // What was asked for was waited for and committed: nothing is asked twice.
    let asked = bench.server.items().len();
    assert!(asked < bench.ids.len(), "it was not stopped in the middle");
    assert_eq!(bench.lines().len(), asked);
    assert_says(&bench.run(&["status"], 0), &["stopped"]);

    assert_goes_on(&bench);
    assert_eq!(bench.server.items().len(), bench.ids.len());
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
        _ => good(request),
    });
    let bench = Bench::of(api, "/{id}").ids(["a", "slow", "b"]);
    let child = bench.start(&[]);
    until(|| bench.server.seen().len() == 3);
    std::thread::sleep(Duration::from_millis(300));
    signal(child.id(), "-INT");
    let (output, took) = end(child);

    assert_exit(&output, 130);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(bench.counts(), (2, 0));

    bench.run(&[], 0);
    bench.assert_exactly_once();
    assert_eq!(bench.server.seen().len(), 4);
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
        let bench = Bench::of(base.as_str(), "/{id}").ids(["a", "b"]);
        let child = bench.start(&[]);
        if *asks {
            until(|| !busy.seen().is_empty());
        }
        std::thread::sleep(Duration::from_secs(1));
        signal(child.id(), "-TERM");
        let (output, took) = end(child);

        assert_exit(&output, 143);
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(bench.counts(), (0, 0));
    }
}

#[test]
fn a_second_ctrl_c_stops_at_once() {
    let (bench, child) = begin();
    signal(child.id(), "-INT");
    std::thread::sleep(Duration::from_millis(50));
    signal(child.id(), "-INT");
    let (output, took) = end(child);

    assert_exit(&output, 130);
    // The rest of what is in flight would take longer only with a slower server; see below.
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_goes_on(&bench);
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_what_is_in_flight() {
    let api = Raw::start(|request, times| match (request.last(), times) {
        ("a", _) => ok("{\"id\":\"a\"}"),
        (_, 1) => Reply {
            parts: vec![(Duration::from_secs(30), Vec::new())],
            then: Then::Close,
        },
        _ => good(request),
    });
    let bench = Bench::of(api, "/{id}").ids(["a", "b", "c"]);
    let child = bench.start(&[]);
    until(|| bench.server.seen().len() == 3);
    std::thread::sleep(Duration::from_millis(200));
    signal(child.id(), "-INT");
    std::thread::sleep(Duration::from_millis(300));
    signal(child.id(), "-INT");
    let (output, took) = end(child);
    assert_exit(&output, 130);
    assert!(took < Duration::from_secs(2), "{took:?}");
    // The lock is free, and nothing is lost.
    bench.run(&[], 0);
    bench.assert_exactly_once();
}

/// A second signal ends it at once, whatever it stands still for.
fn assert_hears(mut child: Child) {
    signal(child.id(), "-INT");
    let began = Instant::now();
    let mut again = false;
    while began.elapsed() < Duration::from_secs(6) {
        if let Some(status) = child.try_wait().unwrap() {
            return assert_eq!(status.code(), Some(130));
        }
        if !again && began.elapsed() > Duration::from_millis(500) {
            signal(child.id(), "-INT");
            again = true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("it does not hear");
}

fn many(output: &'static str, rate: &str) -> Bench<Api> {
    Bench::sandbox(&[])
        .ids((0..4_000).map(track_id))
        .output(output)
        .with("limits", &format!("rate = \"{rate}\"\nconcurrency = 8"))
}

#[test]
fn a_run_whose_records_nobody_reads_hears_signals() {
    let bench = many("-", "unlimited");
    let child = bench.start(&[]);
    // The pipe is full after 64 KiB, and then no more is asked for.
    let mut asked = (0, Instant::now());
    until(|| {
        let now = bench.server.log_bytes();
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
    let bench = many("out.ndjson", "50/s");
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    std::thread::spawn(move || filler.write_all(&[b' '; 1 << 20]));
    std::thread::sleep(Duration::from_millis(300));
    let start = |options: &[&str]| {
        let mut command = bench.command(options);
        command.stdout(Stdio::null());
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
    assert_eq!(bench.lines().len(), 40);
    let child = start(&[]);
    until(|| bench.server.items().len() > 60);
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
    let job = |output: &'static str| {
        Bench::of(&api, "/{id}")
            .ids(names(10))
            .output(output)
            .with("limits", "concurrency = 1")
    };
    let (first, second) = (job("first.ndjson"), job("second.ndjson"));
    let mut both = harvest();
    both.arg("run").args([&first.job, &second.job]);
    let child = piped(both);
    until(|| api.seen().len() >= 2);
    signal(child.id(), "-TERM");
    let (output, took) = end(child);

    assert_exit(&output, 143);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!second.place.path("second.ndjson").exists());
}

/// Opening a pipe waits for its writer, and so does reading its header.
#[test]
fn a_list_that_never_comes_can_be_stopped() {
    for (name, writer) in [("none.txt", false), ("headless.csv", true)] {
        let bench = Bench::of("http://127.0.0.1:9", "/{id}");
        bench.edit("ids.txt", name);
        let pipe = bench.place.path(name);
        let made = Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        if writer {
            bench.edit("[request]", "column = \"id\"\n[request]");
        }
        let child = bench.start(&[]);
        // Held open, and nothing is written.
        let _held = writer.then(|| {
            let mut options = std::fs::OpenOptions::new();
            // To read, too: it does not wait for the other end then.
            options.read(true).write(true).open(&pipe).unwrap()
        });
        std::thread::sleep(Duration::from_millis(500));
        signal(child.id(), "-INT");
        let (output, took) = end(child);
        assert_exit(&output, 130);
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert!(!bench.place.path("out.ndjson").exists());
    }
}
