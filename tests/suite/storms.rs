//! A server that is busy or down, and says so: 429 and 503, with every kind of
//! Retry-After. It is left alone, and no item pays for it (promises 4 and 8).

use crate::child::{end, requests, spawn};
use crate::raw::{Raw, Reply, Req, Then, answer, ok};
use crate::support::{Api, Place, assert_exit, harvest, told, track_id};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn job(place: &Place, base: &str, ids: &[String], limits: &str, retry: &str) -> PathBuf {
    place.write("ids.txt", &(ids.join("\n") + "\n"));
    place.write(
        "job.toml",
        &format!(
            "[ids]\nfile = \"ids.txt\"\n[request]\nurl = \"{base}/items/{{id}}\"\ntimeout = \"5s\"\n\
             [limits]\nrate = \"100/s\"\n{limits}\n[retry]\n{retry}\n[output]\npath = \"out.ndjson\"\n"
        ),
    )
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("i{n}")).collect()
}

fn good(request: &Req) -> Reply {
    ok(format!("{{\"id\":\"{}\"}}", request.last()))
}

fn busy(retry_after: &str) -> Reply {
    answer(
        "429 Too Many Requests",
        &format!("Retry-After: {retry_after}\r\n"),
        "{}",
    )
}

#[track_caller]
fn assert_all_recorded(place: &Place, ids: &[String]) {
    assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
}

/// A server that allows a twentieth of the job's rate, and two tries an item.
#[test]
fn a_storm_of_429_with_a_short_retry_after_fails_no_item() {
    let ids: Vec<String> = (0..80).map(track_id).collect();
    let place = Place::new();
    place.write("ids.txt", &(ids.join("\n") + "\n"));
    let api = Api::start(&["--rate", "5", "--latency", "300ms"]);
    let job = place.write(
        "job.toml",
        &api.job(
            "file = \"ids.txt\"",
            "rate = \"200/s\"\nconcurrency = 40",
            "path = \"out.ndjson\"",
            "[retry]\nattempts = 2\nbackoff = \"10ms..100ms\"",
        ),
    );

    let output = end(spawn(harvest(), &job));

    assert_exit(&output, 0);
    assert_all_recorded(&place, &ids);
    let refused = api.items().iter().filter(|s| s.status == Some(429)).count();
    println!("{refused} of {} answers were 429", api.items().len());
    assert!(refused >= 10, "no storm: {refused}");
}

/// The last few items of a list, or a list of one: nobody else can tell whose fault it is.
#[test]
fn the_last_items_are_not_failed_by_a_server_that_asks_for_patience() {
    for (items, storm) in [(1, 12), (3, 16), (6, 20)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let api = {
            let asked = Arc::clone(&asked);
            Raw::start(move |request, _| {
                if asked.fetch_add(1, Ordering::SeqCst) < storm {
                    answer("503 Service Unavailable", "Retry-After: 0.2\r\n", "{}")
                } else {
                    good(request)
                }
            })
        };
        let place = Place::new();
        let ids = names(items);
        let retry = "attempts = 2\nbackoff = \"10ms..100ms\"";
        let job = job(&place, &api.base(), &ids, "concurrency = 8", retry);

        let output = end(spawn(harvest(), &job));

        assert_exit(&output, 0);
        assert_all_recorded(&place, &ids);
        assert_eq!(api.seen().len(), storm + items);
        // Nobody asks during a pause; what was in flight at its start may still arrive.
        let seen = api.seen();
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
    let place = Place::new();
    let ids = names(400);
    let retry = "attempts = 3\nbackoff = \"10ms..100ms\"";
    let job = job(&place, &api.base(), &ids, "concurrency = 2", retry);

    let output = end(spawn(harvest(), &job));

    assert_exit(&output, 3);
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
    let failures = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failures.len(), 2, "{failures:?}");
    for failure in &failures {
        assert_eq!(failure["reason"], "rate_limited");
        assert_eq!(failure["attempts"], 3);
        assert!(api.count(failure["id"].as_str().unwrap()) <= 12);
    }
}

#[test]
fn a_retry_after_longer_than_max_wait_ends_the_run_and_the_next_one_asks_nothing() {
    let api = Raw::start(|_, _| busy("3600"));
    let place = Place::new();
    let ids = names(100);
    let job = job(&place, &api.base(), &ids, "max_wait = \"1m\"", "");

    let output = end(spawn(harvest(), &job));
    assert_exit(&output, 75);
    assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
    assert!(
        told(&output).contains("asked to be left alone until"),
        "{}",
        told(&output)
    );
    let asked = api.seen().len();
    assert!(asked <= 8, "{asked} requests");

    let again = end(spawn(harvest(), &job));
    assert_exit(&again, 75);
    assert_eq!(api.seen().len(), asked, "asked during the penalty");
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
    let header = header.to_owned();
    let api = {
        let header = header.clone();
        Raw::start(move |request, times| match (request.last(), times) {
            ("i0", 1) => answer("429 Too Many Requests", &header, "{}"),
            _ => good(request),
        })
    };
    let place = Place::new();
    let ids = names(3);
    let limits = "concurrency = 1\nmax_wait = \"30s\"";
    let retry = "attempts = 3\nbackoff = \"10ms..100ms\"";
    let job = job(&place, &api.base(), &ids, limits, retry);

    let output = end(spawn(harvest(), &job));

    let Some(expected) = expected else {
        assert_eq!(
            output.status.code(),
            Some(75),
            "{header}: {}",
            told(&output)
        );
        assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
        assert_eq!(api.seen().len(), 1, "{header}");
        return;
    };
    assert_eq!(output.status.code(), Some(0), "{header}: {}", told(&output));
    assert_all_recorded(&place, &ids);
    let seen = api.seen();
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
            let place = Place::new();
            let limits = "concurrency = 1\nmax_wait = \"1m\"";
            let job = job(&place, &api.base(), &names(5), limits, "attempts = 2");
            let text = std::fs::read_to_string(&job).unwrap();
            std::fs::write(&job, text.replace("\"5s\"", &format!("\"{timeout}\""))).unwrap();
            let began = Instant::now();
            let output = end(spawn(harvest(), &job));
            assert_exit(&output, 75);
            assert!(
                told(&output).contains("asked to be left alone until"),
                "{}",
                told(&output)
            );
            assert_eq!(api.seen().len(), 1);
            assert!(began.elapsed() < Duration::from_secs(25));
        }
    }
    // And a 404 is a 404.
    let reply = stalled("404 Not Found", "");
    let api = Raw::start(move |request, _| match request.last() {
        "i1" => reply.clone(),
        _ => good(request),
    });
    let place = Place::new();
    let job = job(&place, &api.base(), &names(4), "", "attempts = 3");
    assert_exit(&end(spawn(harvest(), &job)), 3);
    let failures = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["reason"], "not_found");
    assert_eq!(api.count("i1"), 1);
}

/// "503 for an hour", with a `max_wait` that is shorter than the outage.
#[test]
fn a_503_that_outlasts_max_wait_ends_the_run_resumable_and_the_next_run_finishes() {
    for header in ["", "Retry-After: 1\r\n"] {
        let down = Arc::new(AtomicBool::new(false));
        let mended = Arc::new(AtomicBool::new(false));
        let api = {
            let (down, mended) = (Arc::clone(&down), Arc::clone(&mended));
            Raw::start(move |request, _| {
                if request.last() == "i20" {
                    down.store(true, Ordering::SeqCst);
                }
                if down.load(Ordering::SeqCst) && !mended.load(Ordering::SeqCst) {
                    let why = "{\"error\":\"maintenance until six\"}";
                    answer("503 Service Unavailable", header, why)
                } else {
                    good(request)
                }
            })
        };
        let place = Place::new();
        let ids = names(100);
        let limits = "concurrency = 4\nmax_wait = \"4s\"";
        let retry = "attempts = 3\nbackoff = \"50ms..500ms\"";
        let job = job(&place, &api.base(), &ids, limits, retry);

        let output = end(spawn(harvest(), &job));

        assert_exit(&output, 75);
        assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
        let records = place.lines("out.ndjson").len();
        assert!((10..=30).contains(&records), "{records} records");
        let said = told(&output);
        assert!(said.contains("HTTP 503: maintenance until six"), "{said}");
        assert!(said.contains("max_wait is 4s"), "{said}");
        let cost = requests(&output) - records;
        println!("{cost} requests in {header:?}");
        // In flight, until known, four first steps, and one in 250 ms or more.
        assert!(cost <= 4 + 8 + 4 + 17, "{cost} requests in 4 s");

        mended.store(true, Ordering::SeqCst);
        let asked = api.seen().len();
        assert_exit(&end(spawn(harvest(), &job)), 0);
        assert_all_recorded(&place, &ids);
        assert_eq!(
            api.seen().len() - asked,
            ids.len() - records,
            "only what was left"
        );
    }
}
