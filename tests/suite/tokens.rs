//! "One token": one token. By the log of an API whose tokens live two seconds,
//! and with credentials or a token endpoint that are no good.

use crate::support::{Bench, assert_says, track_id};
use std::collections::{BTreeMap, HashSet};
use std::net::TcpListener;
use std::time::{Duration, Instant};

#[test]
fn two_second_tokens_are_renewed_once_a_life_and_fail_no_item() {
    let bench = Bench::sandbox(&["--token-lifetime", "2s"])
        .ids((0..5_000).map(track_id))
        .with("limits", "rate = \"200/s\"\nconcurrency = 8");

    bench.run(&[], 0);

    bench.assert_all_recorded();
    let mut seen = bench.server.seen();
    seen.sort_by(|a, b| a.t.total_cmp(&b.t));
    let duration = seen.last().unwrap().t - seen[0].t;
    let issued: Vec<f64> = seen
        .iter()
        .filter(|s| s.method == "POST")
        .map(|s| s.t)
        .collect();
    let count = issued.len() as f64;
    assert!(
        count <= duration / 1.6 + 2.0 && count >= duration / 2.0 - 1.0,
        "{count} token requests in {duration:.1} s: {issued:?}"
    );
    for pair in issued.windows(2) {
        assert!(
            pair[1] - pair[0] > 0.5,
            "two token requests {:.3} s apart",
            pair[1] - pair[0]
        );
    }

    let tokens: HashSet<&str> = seen.iter().filter_map(|s| s.issued.as_deref()).collect();
    let mut refused: BTreeMap<&str, u32> = BTreeMap::new();
    for request in seen.iter().filter(|s| s.method == "GET") {
        let token = request
            .token
            .as_deref()
            .expect("an item request without a token");
        assert!(
            tokens.contains(token),
            "a token that was never issued: {token}"
        );
        if request.status == Some(401) {
            *refused.entry(token).or_default() += 1;
        }
    }
    assert!(
        refused.values().all(|&times| times <= 1),
        "401s per token: {refused:?}"
    );
}

/// The harder form: answers take so long that a token dies while several
/// requests with it are on their way. They may all be refused; nothing else.
#[test]
fn a_token_that_dies_under_way_fails_no_item() {
    let bench = Bench::sandbox(&["--token-lifetime", "1s", "--latency", "300ms"])
        .ids((0..400).map(track_id))
        .with("limits", "rate = \"60/s\"\nconcurrency = 32");

    bench.run(&[], 0);

    bench.assert_all_recorded();
    let mut issued: Vec<f64> = bench
        .server
        .seen()
        .iter()
        .filter(|s| s.method == "POST")
        .map(|s| s.t)
        .collect();
    issued.sort_by(f64::total_cmp);
    // An answer takes 0.3 s, so two token requests closer than that were in flight at once.
    for pair in issued.windows(2) {
        assert!(
            pair[1] - pair[0] >= 0.29,
            "two token requests {:.3} s apart",
            pair[1] - pair[0]
        );
    }
}

#[test]
fn a_wrong_secret_stops_the_run_and_fails_no_item() {
    let bench = Bench::sandbox(&[])
        .ids([track_id(1), track_id(2)])
        .with("limits", "rate = \"50/s\"");
    bench.edit("s3cr3t-of-the-test", "wrong");
    let api = &bench.server;

    let output = bench.run(&[], 1);

    assert_says(&output, &["invalid_client"]);
    assert_eq!(bench.counts(), (0, 0));
    assert!(
        api.items().is_empty(),
        "an item was asked for without a token"
    );
    assert_eq!(
        api.seen().len(),
        1,
        "refused credentials are not tried again"
    );

    // Corrected, the same command goes on from there.
    bench.edit("\"wrong\"", "\"right\"");
    bench.run(&[], 0);
    bench.assert_exactly_once();
}

#[test]
fn a_token_endpoint_that_stays_down_pauses_the_run() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let bench = Bench::sandbox(&[])
        .ids([track_id(1)])
        .with("limits", "rate = \"50/s\"\nmax_wait = \"2s\"");
    let token_url = format!("{}/api/token", bench.server.base);
    bench.edit(&token_url, &format!("http://127.0.0.1:{port}/api/token"));

    let began = Instant::now();
    bench.run(&[], 75);
    let took = began.elapsed();

    assert_eq!(bench.counts().1, 0);
    assert!(bench.server.seen().is_empty());
    assert!(
        took >= Duration::from_millis(1_500),
        "gave up after {took:?}, before max_wait"
    );
    assert!(
        took < Duration::from_secs(30),
        "max_wait is 2 s, and it took {took:?}"
    );
}
