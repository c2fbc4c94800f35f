//! Items that are bad for good cost themselves, and nothing else: not the rest
//! of the list, not the run, not a credential.

use crate::raw::{Raw, answer, good, ok};
use crate::support::{Bench, assert_says, told};
use std::sync::atomic::{AtomicBool, Ordering};

fn bench<T>(api: Raw<T>, list: &[String]) -> Bench<Raw<T>> {
    Bench::of(api, "/items/{id}")
        .ids(list)
        .with("limits", "rate = \"200/s\"\nmax_wait = \"3s\"")
        .with("retry", "attempts = 3\nbackoff = \"10ms..50ms\"")
}

fn names(from: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{from}{n}")).collect()
}

/// A server that answers `bad…` with this status, and everything else well.
fn picky(status: &'static str) -> Raw {
    Raw::start(move |request, _| match request.last() {
        id if id.starts_with("bad") => answer(status, "", "{}"),
        _ => good(request),
    })
}

#[test]
fn a_cluster_of_bad_items_does_not_block_the_rest() {
    for status in ["503 Service Unavailable", "504 Gateway Timeout", "500 Oops"] {
        let api = picky(status);
        let bench = bench(api, &[names("bad", 12), names("good", 40)].concat());
        bench.run(&[], 3);
        bench.assert_exactly_once();
        assert_eq!(bench.lines().len(), 40);
    }
}

#[test]
fn bad_items_that_are_all_that_is_left_fail() {
    let bench = bench(picky("502 Bad Gateway"), &names("bad", 6));
    bench.run(&[], 3);
    assert_eq!(bench.counts(), (0, 6));
}

#[test]
fn a_redirect_to_a_dead_host_is_the_items_trouble() {
    // A port that was free a moment ago, and that nobody listens on.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place_of_the_dead = format!("Location: http://{}/\r\n", dead.local_addr().unwrap());
    drop(dead);
    let api = Raw::start(move |request, _| match request.last() {
        "moved" => answer("302 Found", &place_of_the_dead, ""),
        _ => good(request),
    });
    let list = [names("a", 5), vec!["moved".to_owned()], names("b", 5)].concat();
    let bench = bench(api, &list);
    bench.run(&[], 3);
    let failures = bench.failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["reason"], "connect");
    assert_eq!(failures[0]["attempts"], 3);
    assert_eq!(bench.lines().len(), 10);
}

#[test]
fn a_redirect_that_would_carry_the_key_is_not_followed() {
    let elsewhere = Raw::start(|_, _| ok("{}"));
    let there = elsewhere.base();
    let api = Raw::start(move |request, _| {
        let location = format!("Location: {there}{}\r\n", request.target);
        answer("301 Moved Permanently", &location, "")
    });
    let auth = "type = \"api_key\"\nin = \"query\"\nname = \"key\"\nvalue = \"k3y/of+the.test\"";
    let bench = bench(api, &names("a", 1)).with("auth", auth);
    let output = bench.run(&[], 3);
    assert_eq!(elsewhere.seen().len(), 0, "{}", told(&output));
    let failures = bench.failures();
    assert_eq!(failures[0]["reason"], "redirect");
    assert!(!failures[0]["message"].as_str().unwrap().contains("k3y"));
}

#[test]
fn a_resumed_run_can_end_with_an_item_that_is_forbidden() {
    let api = Raw::start(|request, _| match request.last() {
        "secret" => answer("403 Forbidden", "", "{}"),
        _ => good(request),
    });
    let bench = bench(api, &names("a", 3));
    bench.run(&[], 0);
    let bench = bench.ids([names("a", 3), vec!["secret".to_owned()]].concat());
    bench.run(&[], 3);
    bench.assert_exactly_once();
}

/// A key that works for the others is good; of three items in a row it is the key.
#[test]
fn an_item_that_takes_no_key_is_the_items_trouble() {
    let api = Raw::sharing(AtomicBool::new(false), |revoked, request, _| {
        let is_revoked = revoked.load(Ordering::SeqCst);
        match request.last() {
            "secret" => answer("401 Unauthorized", "", "{}"),
            _ if is_revoked => answer("401 Unauthorized", "", "{\"message\":\"revoked\"}"),
            _ => good(request),
        }
    });
    let list = [names("a", 9), vec!["secret".to_owned()], names("b", 9)].concat();
    let bench = bench(api, &list).with("auth", "type = \"bearer\"\ntoken = \"k3y\"");
    bench.run(&[], 3);
    bench.assert_exactly_once();
    assert_eq!(bench.lines().len(), 18);

    bench.server.state.store(true, Ordering::SeqCst);
    let asked = bench.server.seen().len();
    let bench = bench.ids([list, names("c", 90)].concat());
    let output = bench.run(&[], 1);
    assert_says(&output, &["revoked"]);
    assert!(bench.server.seen().len() - asked <= 3 + 8);
    // None of it was recorded as failed.
    assert_eq!(bench.failures().len(), 1);
}

#[test]
fn check_finds_nothing_wrong_with_a_run_of_the_same_job() {
    let bench = bench(picky("404 Not Found"), &names("a", 3));
    bench.run(&[], 0);
    let checked = bench.run(&["check"], 0);
    assert!(!told(&checked).contains("warning"), "{}", told(&checked));
}

/// Nobody is left to show whether it is the server or the item: it has its fate all the same.
#[test]
fn an_item_that_is_told_to_wait_for_ever_fails_at_last() {
    let api = Raw::start(|request, _| match request.last() {
        "waits" => answer("429 Too Many Requests", "Retry-After: 0\r\n", "{}"),
        _ => good(request),
    });
    let bench = bench(api, &["a", "waits", "b"].map(str::to_owned));
    bench.run(&[], 3);
    let failed = bench.failures();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["reason"], "rate_limited");
}

/// One body of a night is large enough to make a tree of it a gigabyte.
#[test]
fn a_body_that_is_too_much_for_a_path_is_its_items_failure_and_check_says_so_before() {
    let api = Raw::start(|request, _| match request.last() {
        "bad" => ok(format!("[{}1]", "{\"b\":1},".repeat(400_000))),
        _ => ok("[{\"b\":2}]"),
    });
    let bench = bench(api, &["a", "bad", "c"].map(str::to_owned))
        .output("out.csv")
        .with("output.columns", "b = \"$..b\"\nwhole = \"$\"");
    let checked = bench.run(&["check"], 0);
    assert_says(&checked, &["b = $..b", "needs a tree"]);
    assert!(!told(&checked).contains("whole"), "{}", told(&checked));

    bench.run(&[], 3);
    assert_eq!(bench.lines().len(), 3);
    let failures = bench.failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["id"], "bad");
    let message = failures[0]["message"].as_str().unwrap();
    assert!(message.contains("$..b"), "{message}");
}
