//! When nearly every item fails in the same way, it is not the items: the run
//! stops, records none of it as failed, and goes on when the cause is gone.

use crate::child::{end, signal, until};
use crate::raw::{Raw, Reply, Req, answer, good, ok};
use crate::support::{self, assert_exit, assert_says, told, track_id};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const LOGIN: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head></html>";

struct Health {
    sick: AtomicBool,
    served: AtomicUsize,
}

/// A server that answers well until it is told to be sick, and a job of many items.
type Bench = support::Bench<Raw<Health>>;

impl Bench {
    /// `disease` is what a sick server answers; `well_for` items are answered well before.
    fn new(
        count: usize,
        well_for: usize,
        limits: &str,
        disease: impl Fn(&Req) -> Reply + Send + Sync + 'static,
    ) -> Bench {
        let health = Health {
            sick: AtomicBool::new(true),
            served: AtomicUsize::new(0),
        };
        let server = Raw::sharing(health, move |health, request, _| {
            let served = &health.served;
            if health.sick.load(Ordering::SeqCst) && served.load(Ordering::SeqCst) >= well_for {
                return disease(request);
            }
            served.fetch_add(1, Ordering::SeqCst);
            good(request)
        });
        Bench::of(server, "/items/{id}")
            .ids((0..count).map(track_id))
            .with("limits", "rate = \"unlimited\"\nconcurrency = 4")
            .with("limits", limits)
            .with("retry", "attempts = 3\nbackoff = \"1ms..20ms\"")
    }

    fn heal(&self) {
        self.server.state.sick.store(false, Ordering::SeqCst);
    }

    /// The cause is gone: the same command completes, with nothing lost and nothing twice.
    fn assert_heals(&self) {
        self.heal();
        self.run(&[], 0);
        self.assert_all_recorded();
    }
}

/// Exit 1, the words are said, nothing is recorded as failed, and little was asked.
#[track_caller]
fn assert_stopped(bench: &Bench, most_requests: usize, words: &[&str]) {
    let output = bench.run(&[], 1);
    assert_says(&output, words);
    assert_eq!(bench.counts().1, 0, "{}", told(&output));
    let requests = bench.server.seen().len();
    assert!(requests <= most_requests, "{requests} requests");
}

#[test]
fn a_server_that_forbids_everything_in_mid_run_burns_no_item() {
    let bench = Bench::new(2_000, 300, "", |_| {
        answer("403 Forbidden", "", "{\"message\":\"plan expired\"}")
    });
    let words = [
        "95 of the last",
        "forbidden: HTTP 403: plan expired",
        "quarantine = \"off\"",
        "to go on: ",
    ];
    assert_stopped(&bench, 300 + 100 + 8, &words);
    assert_eq!(bench.lines().len(), 300);
    bench.assert_heals();
}

#[test]
fn a_login_page_with_status_200_burns_no_item() {
    let bench = Bench::new(2_000, 50, "", |_| {
        answer("200 OK", "Content-Type: text/html\r\n", LOGIN)
    });
    // The first items have had their three attempts by then.
    let words = ["of the last", "malformed_body", "HTML"];
    assert_stopped(&bench, 50 + 3 * 100 + 8, &words);
    bench.assert_heals();
}

#[test]
fn an_api_that_takes_no_request_any_more_burns_no_item() {
    let bench = Bench::new(500, 0, "quarantine = \"20/25\"", |_| {
        answer(
            "422 Unprocessable",
            "",
            "{\"message\":\"version 1 is gone\"}",
        )
    });
    let words = [
        "20 of the last 20 items",
        "client_error: HTTP 422",
        "is gone",
    ];
    assert_stopped(&bench, 20 + 4, &words);
    bench.assert_heals();
}

#[test]
fn a_url_that_finds_nothing_is_seen_before_the_list_is_burnt() {
    let bench = Bench::new(1_000, 0, "", |_| answer("404 Not Found", "", "{}"));
    let words = ["not_found: HTTP 404", "is [request] url right?"];
    assert_stopped(&bench, 95 + 4, &words);
    bench.assert_heals();
}

#[test]
fn items_that_are_gone_are_their_own_matter_once_others_were_there() {
    let bench = Bench::new(400, 5, "", |_| answer("404 Not Found", "", "{}"));
    bench.run(&[], 3);
    assert_eq!(bench.counts(), (5, 395));
}

#[test]
fn failures_among_records_are_the_items_own() {
    // Every third item is well.
    let bench = Bench::new(600, 0, "", |request| {
        let number: usize = request.last().trim_end_matches('x').parse().unwrap();
        match number % 3 {
            0 => good(request),
            _ => answer("403 Forbidden", "", "{}"),
        }
    });
    bench.run(&[], 3);
    assert_eq!(bench.counts(), (200, 400));
    bench.assert_exactly_once();
}

#[test]
fn off_records_every_failure() {
    let bench = Bench::new(300, 1, "quarantine = \"off\"", |_| {
        answer("403 Forbidden", "", "{}")
    });
    bench.run(&[], 3);
    assert_eq!(bench.counts(), (1, 299));
}

#[test]
fn a_short_list_of_failures_fails() {
    let bench = Bench::new(60, 1, "", |_| answer("400 Bad Request", "", "{}"));
    bench.run(&[], 3);
    assert_eq!(bench.counts(), (1, 59));
}

/// What is held back when a signal comes is tried again: neither lost nor twice.
#[test]
fn a_signal_during_suspicion_loses_nothing() {
    let bench = Bench::new(300, 10, "rate = \"100/s\"", |_| {
        answer("403 Forbidden", "", "{}")
    });
    bench.edit("rate = \"unlimited\"\n", "");
    let run = bench.start(&[]);
    until(|| bench.server.seen().len() >= 40);
    signal(run.id(), "-INT");
    assert_exit(&end(run), 130);
    assert_eq!(bench.counts(), (10, 0));
    bench.assert_heals();
}

/// A 500 for everything is a server that is down: it is waited for.
#[test]
fn a_server_that_answers_500_to_everything_is_waited_for() {
    let bench = Bench::new(1_000, 100, "", |_| {
        answer("500 Internal Server Error", "", "{}")
    });
    // Six tries of nearly a second each: none of them is used up by the outage.
    let (from, to) = ("3\nbackoff = \"1ms..20ms\"", "6\nbackoff = \"50ms..1s\"");
    bench.edit(from, to);
    let run = bench.start(&[]);
    until(|| bench.server.seen().len() >= 195);
    std::thread::sleep(Duration::from_secs(3));
    let asked = bench.server.seen().len();
    assert!(
        asked <= 100 + 6 * 100,
        "{asked} requests to a server that is down"
    );
    bench.heal();
    let output = end(run);
    assert_exit(&output, 0);
    assert_says(&output, &["the server is down"]);
    bench.assert_all_recorded();
}

/// An API that is out of order and says so with status 200 gives no records.
#[test]
fn an_error_object_with_status_200_for_everything_is_no_record() {
    let sick = |_: &Req| ok("{ \"error\": { \"message\": \"session expired\" } }");
    let bench = Bench::new(300, 50, "", sick);
    let output = bench.run(&[], 1);
    assert_says(&output, &["an object that begins with `error`"]);
    assert_eq!(bench.lines().len(), 50);
    bench.assert_heals();
}

/// A few of them are what the API says of these items.
#[test]
fn a_few_error_objects_are_records_like_others() {
    let bench = Bench::new(300, 290, "", |_: &Req| ok("{\"error\":\"no such thing\"}"));
    bench.run(&[], 0);
    assert_eq!(bench.lines().len(), 300);
    // Without a quarantine, all of them.
    let bench = Bench::new(300, 50, "quarantine = \"off\"", |_: &Req| {
        ok("{\"error\":\"no such thing\"}")
    });
    bench.run(&[], 0);
    assert_eq!(bench.lines().len(), 300);
}
