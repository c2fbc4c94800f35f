//! A server that is busy or down, and says so: 429 and 503, with every kind of
//! Retry-After. It is left alone, and no item pays for it ("Good manners", "Every item has a fate").

use crate::child::requests;
use crate::raw::{Raw, Reply, Then, answer, good};
use crate::support::{Bench, assert_says, names, told, track_id};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn bench<T>(api: Raw<T>, items: usize, limits: &str, retry: &str) -> Bench<Raw<T>> {
    Bench::of(api, "/items/{id}")
        .ids(names(items))
        .with("request", "timeout = \"5s\"")
        .with("limits", &format!("rate = \"100/s\"\n{limits}"))
        .with("retry", retry)
}

fn busy(retry_after: &str) -> Reply {
    answer(
        "429 Too Many Requests",
        &format!("Retry-After: {retry_after}\r\n"),
        "{}",
    )
}

/// A server that allows a twentieth of the job's rate, and two tries an item.
#[test]
fn a_storm_of_429_with_a_short_retry_after_fails_no_item() {
    let bench = Bench::sandbox(&["--rate", "5", "--latency", "300ms"])
        .ids((0..80).map(track_id))
        .with("limits", "rate = \"200/s\"\nconcurrency = 40")
        .with("retry", "attempts = 2\nbackoff = \"10ms..100ms\"");

    bench.run(&[], 0);

    bench.assert_all_recorded();
    let items = bench.server.items();
    let refused = items.iter().filter(|s| s.status == Some(429)).count();
    println!("{refused} of {} answers were 429", items.len());
    assert!(refused >= 10, "no storm: {refused}");
}

/// The last few items of a list, or a list of one: nobody else can tell whose fault it is.
#[test]
fn the_last_items_are_not_failed_by_a_server_that_asks_for_patience() {
    for (items, storm) in [(1, 12), (3, 16), (6, 20)] {
        let api = Raw::sharing(AtomicUsize::new(0), move |asked, request, _| {
            match asked.fetch_add(1, Ordering::SeqCst) < storm {
                true => answer("503 Service Unavailable", "Retry-After: 0.2\r\n", "{}"),
                false => good(request),
            }
        });
        let retry = "attempts = 2\nbackoff = \"10ms..100ms\"";
        let bench = bench(api, items, "concurrency = 8", retry);

        bench.run(&[], 0);

        bench.assert_all_recorded();
        let seen = bench.server.seen();
        assert_eq!(seen.len(), storm + items);
        // Nobody asks during a pause; what was in flight at its start may still arrive.
        for pair in seen[items.min(8)..storm].windows(2) {
            let apart = pair[1].at - pair[0].at;
            assert!(apart >= Duration::from_millis(200), "{apart:?} apart");
        }
    }
}

/// But one item that is refused while the others get through fails at last.
#[test]
fn an_item_that_alone_is_told_to_wait_again_and_again_fails() {
    let api = Raw::start(|request, _| match request.last() {
        "i3" | "i7" => busy("0.2"),
        _ => good(request),
    });
    let retry = "attempts = 3\nbackoff = \"10ms..100ms\"";
    let bench = bench(api, 400, "concurrency = 2", retry);

    bench.run(&[], 3);

    bench.assert_exactly_once();
    let failures = bench.failures();
    assert_eq!(failures.len(), 2, "{failures:?}");
    for failure in &failures {
        assert_eq!(failure["reason"], "rate_limited");
        assert_eq!(failure["attempts"], 3);
        assert!(bench.server.count(failure["id"].as_str().unwrap()) <= 12);
    }
}

#[test]
fn a_retry_after_longer_than_max_wait_ends_the_run_and_the_next_one_asks_nothing() {
    let api = Raw::start(|_, _| busy("3600"));
    let bench = bench(api, 100, "max_wait = \"1m\"", "");

    let output = bench.run(&[], 75);
    assert_eq!(bench.counts().1, 0);
    assert_says(&output, &["asked to be left alone until"]);
    let asked = bench.server.seen().len();
    assert!(asked <= 8, "{asked} requests");

    bench.run(&[], 75);
    assert_eq!(bench.server.seen().len(), asked, "asked during the penalty");
}

/// What a Retry-After may say, and for how long nobody asks then.
#[test]
fn negative_huge_garbage_empty_repeated_and_past_retry_afters_are_borne() {
    // One request is in flight; the second is the first one's next try.
    let short = 0.0..3.0;
    let cases: Vec<(&str, Option<std::ops::Range<f64>>)> = vec![
        ("Retry-After: -1\r\n", Some(short.clone())),
        ("Retry-After: -0\r\n", Some(short.clone())),
        ("Retry-After: 0\r\n", Some(short.clone())),
        ("Retry-After:\r\n", Some(short.clone())),
        ("Retry-After: soon\r\n", Some(short.clone())),
        ("Retry-After: NaN\r\n", Some(short.clone())),
        ("Retry-After: inf\r\n", Some(short.clone())),
        ("Retry-After: \u{e9}\r\n", Some(short.clone())),
        (
            "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
            Some(short.clone()),
        ),
        (
            "Retry-After: Fri, 31 Feb 2027 00:00:00 GMT\r\n",
            Some(short.clone()),
        ),
        ("Retry-After: 1.5\r\n", Some(1.5..5.0)),
        ("Retry-After: 1, 2\r\n", Some(2.0..6.0)),
        ("Retry-After: 2\r\nRetry-After: 1\r\n", Some(2.0..6.0)),
        ("Retry-After: soon\r\nRetry-After: 2\r\n", Some(2.0..6.0)),
        (
            "Date: Tue, 24 Nov 2020 10:00:00 GMT\r\nRetry-After: Tue, 24 Nov 2020 10:00:02 GMT\r\n",
            Some(2.0..6.0),
        ),
        ("Retry-After: 1000000000000000000000000000000\r\n", None),
        ("Retry-After: 1e30\r\n", None),
        ("Retry-After: 31622400\r\n", None),
        ("Retry-After: 18446744073709551615\r\n", None),
        ("Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n", None),
    ];
    std::thread::scope(|scope| {
        for (header, expected) in &cases {
            scope.spawn(move || retry_after_is_borne(header, expected.clone()));
        }
    });
}

fn retry_after_is_borne(header: &str, expected: Option<std::ops::Range<f64>>) {
    let api = Raw::sharing(header.to_owned(), |header, request, times| {
        match (request.last(), times) {
            ("i0", 1) => answer("429 Too Many Requests", header, "{}"),
            _ => good(request),
        }
    });
    let limits = "concurrency = 1\nmax_wait = \"30s\"";
    let retry = "attempts = 3\nbackoff = \"10ms..100ms\"";
    let bench = bench(api, 3, limits, retry);

    let output = bench.command(&[]).output().unwrap();

    let code = if expected.is_some() { 0 } else { 75 };
    assert_eq!(
        output.status.code(),
        Some(code),
        "{header}: {}",
        told(&output)
    );
    let seen = bench.server.seen();
    let Some(expected) = expected else {
        assert_eq!((bench.counts().1, seen.len()), (0, 1), "{header}");
        return;
    };
    bench.assert_all_recorded();
    let paused = (seen[1].at - seen[0].at).as_secs_f64();
    // The upper end is generous for a busy machine.
    assert!(
        paused >= expected.start && paused < expected.end + 20.0,
        "{header}: {paused:.1} s"
    );
}

/// An error answer whose body never ends: the status and its Retry-After count all the same.
#[test]
fn an_error_body_that_stalls_loses_no_retry_after() {
    let stalled = |line: &str, header: &str| Reply {
        parts: vec![
            (
                Duration::ZERO,
                format!("HTTP/1.1 {line}\r\n{header}Content-Length: 500\r\n\r\n{{\"mess")
                    .into_bytes(),
            ),
            (Duration::from_secs(30), Vec::new()),
        ],
        then: Then::Close,
    };
    for line in ["429 Too Many Requests", "503 Service Unavailable"] {
        // With a longer and with a shorter time-out than the body is waited for.
        for timeout in ["5s", "1s"] {
            let reply = stalled(line, "Retry-After: 3600\r\n");
            let api = Raw::start(move |_, _| reply.clone());
            let limits = "concurrency = 1\nmax_wait = \"1m\"";
            let bench = bench(api, 5, limits, "attempts = 2");
            bench.edit("\"5s\"", &format!("\"{timeout}\""));
            let began = Instant::now();
            let output = bench.run(&[], 75);
            assert_says(&output, &["asked to be left alone until"]);
            assert_eq!(bench.server.seen().len(), 1);
            assert!(began.elapsed() < Duration::from_secs(25));
        }
    }
    // And a 404 is a 404.
    let reply = stalled("404 Not Found", "");
    let api = Raw::start(move |request, _| match request.last() {
        "i1" => reply.clone(),
        _ => good(request),
    });
    let bench = bench(api, 4, "", "attempts = 3");
    bench.run(&[], 3);
    let failures = bench.failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["reason"], "not_found");
    assert_eq!(bench.server.count("i1"), 1);
}

/// "503 for an hour", with a `max_wait` that is shorter than the outage.
#[test]
fn a_503_that_outlasts_max_wait_ends_the_run_resumable_and_the_next_run_finishes() {
    for header in ["", "Retry-After: 1\r\n"] {
        let down = AtomicBool::new(false);
        let api = Raw::sharing(AtomicBool::new(false), move |mended, request, _| {
            if request.last() == "i20" {
                down.store(true, Ordering::SeqCst);
            }
            if down.load(Ordering::SeqCst) && !mended.load(Ordering::SeqCst) {
                let why = "{\"error\":\"maintenance until six\"}";
                answer("503 Service Unavailable", header, why)
            } else {
                good(request)
            }
        });
        let limits = "concurrency = 4\nmax_wait = \"4s\"";
        let retry = "attempts = 3\nbackoff = \"50ms..500ms\"";
        let bench = bench(api, 100, limits, retry);

        let output = bench.run(&[], 75);

        let (records, failures) = bench.counts();
        assert_eq!(failures, 0);
        assert!((10..=30).contains(&records), "{records} records");
        let words = ["HTTP 503: maintenance until six", "max_wait is 4s"];
        assert_says(&output, &words);
        let cost = requests(&output) - records;
        println!("{cost} requests in {header:?}");
        // In flight, until known, four first steps, and one in 250 ms or more.
        assert!(cost <= 4 + 8 + 4 + 17, "{cost} requests in 4 s");

        bench.server.state.store(true, Ordering::SeqCst);
        let asked = bench.server.seen().len();
        bench.run(&[], 0);
        bench.assert_all_recorded();
        let left = bench.server.seen().len() - asked;
        assert_eq!(left, 100 - records, "only what was left");
    }
}
