//! "Never over the quota" and "Good manners": never over the quota, by the server's own log; the quota
//! is used; a 429 pauses everyone.

use crate::child::{kill, until};
use crate::late::Late;
use crate::support::{Api, Bench, assert_exit, most_in_window, track_id};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The log's times are the server's. One test at a time, so that the server
/// sees a request soon after it was sent.
fn alone() -> Alone {
    static ALONE: Mutex<()> = Mutex::new(());
    let turn = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Alone {
        _turn: turn,
        late: Late::start(),
    }
}

struct Alone {
    _turn: MutexGuard<'static, ()>,
    late: Late,
}

/// When each request came, the token's too.
fn times(api: &Api) -> Vec<f64> {
    let mut times: Vec<f64> = api.seen().iter().map(|s| s.t).collect();
    times.sort_by(f64::total_cmp);
    times
}

#[track_caller]
fn assert_never_over(alone: &Alone, api: &Api, quotas: &[(usize, f64)]) {
    let mut times = times(api);
    let late = alone.late.seconds();
    for &(count, window) in quotas {
        // A request that was read late may stand too near to the one after it.
        let window = window - late;
        let most = most_in_window(&mut times, window);
        println!("most in {window} s: {most} of {count}");
        assert!(
            most <= count,
            "{most} requests in {window} s, {count} are allowed"
        );
    }
}

fn bench(arguments: &[&str], items: usize, limits: &str) -> Bench<Api> {
    Bench::sandbox(arguments)
        .ids((0..items).map(track_id))
        .with("limits", limits)
}

#[test]
fn two_quotas_hold_and_are_used() {
    let alone = alone();
    let limits = "rate = [\"50/s\", \"600/20s\"]\nconcurrency = 16";
    let bench = bench(&[], 1_500, limits);
    let api = &bench.server;

    bench.run(&[], 0);

    bench.assert_exactly_once();
    assert_never_over(&alone, api, &[(50, 1.0), (600, 20.0)]);

    // While work is left, any 20 seconds use 98 % of the 600.
    let times = times(api);
    let last = *times.last().unwrap();
    let (mut least, mut windows) = (usize::MAX, 0);
    for (place, &from) in times.iter().enumerate() {
        if from + 20.0 > last {
            break;
        }
        let in_window = times[place..].partition_point(|&t| t < from + 20.0);
        least = least.min(in_window);
        windows += 1;
    }
    println!("least in 20 s: {least} of 600 ({windows} windows)");
    assert!(windows > 0);
    assert!(
        least >= 588,
        "only {least} of 600 requests in 20 s while work was left"
    );
}

#[test]
fn one_quota_holds_and_is_used() {
    let alone = alone();
    let limits = "rate = \"100/s\"\nconcurrency = 16";
    let bench = bench(&["--latency", "20ms"], 1_000, limits);
    let api = &bench.server;

    bench.run(&[], 0);

    bench.assert_exactly_once();
    assert_never_over(&alone, api, &[(100, 1.0)]);
    let times = times(api);
    let took = times.last().unwrap() - times[0];
    let used = (times.len() - 1) as f64 / took / 100.0;
    println!("used: {:.1} %", used * 100.0);
    assert!(used >= 0.98, "{:.1} % of the quota was used", used * 100.0);
}

/// Retries, redirects and tokens count too.
#[test]
fn the_quota_holds_with_retries_redirects_and_short_tokens() {
    let alone = alone();
    let tracks: Vec<String> = (0..300).map(track_id).collect();
    let ids: Vec<String> = tracks
        .iter()
        .enumerate()
        .map(|(n, id)| {
            if n % 2 == 0 {
                format!("redirect-{id}")
            } else {
                id.clone()
            }
        })
        .collect();
    let troubles = [
        "--fault-rate",
        "0.01",
        "--seed",
        "11",
        "--token-lifetime",
        "1s",
    ];
    let limits = "rate = [\"40/s\", \"100/5s\"]\nconcurrency = 16";
    let bench = bench(&troubles, 0, limits)
        .ids(ids)
        .with("retry", "attempts = 12\nbackoff = \"50ms..300ms\"");
    let api = &bench.server;

    let output = bench.command(&[]).output().unwrap();

    assert_never_over(&alone, api, &[(40, 1.0), (100, 5.0)]);
    // A redirect waits for its permit longer than a token lives: that fails no item.
    assert_exit(&output, 0);
    bench.place.assert_exactly_once("out.ndjson", &tracks);
    let items = api.items();
    let redirects = items.iter().filter(|s| s.status == Some(302)).count();
    assert!(redirects >= 150, "{redirects} redirects");
    assert!(
        items.len() > 450,
        "no retries: {} item requests",
        items.len()
    );
}

#[test]
fn the_quota_holds_across_kills() {
    let alone = alone();
    let limits = "rate = \"100/10s\"\nconcurrency = 8";
    let bench = bench(&[], 250, limits).with("checkpoint", "every = \"1s\"");
    let api = &bench.server;

    // Killed in the middle, and again soon after; at once run again.
    for (nth, after) in [60, 5, 20].into_iter().enumerate() {
        let before = api.seen().len();
        let run = bench.start(&[]);
        let began = Instant::now();
        until(|| api.seen().len() >= before + after);
        println!("run {nth} had sent {after} after {:.1?}", began.elapsed());
        kill(run);
    }
    bench.run(&[], 0);

    bench.assert_exactly_once();
    assert_never_over(&alone, api, &[(100, 10.0)]);
}

#[test]
fn a_429_pauses_everyone_for_as_long_as_it_says() {
    let _alone = alone();
    let limits = "rate = \"40/s\"\nconcurrency = 8";
    let bench = bench(&["--rate", "20"], 200, limits);
    let api = &bench.server;

    bench.run(&[], 0);

    bench.assert_all_recorded();
    let items = api.items();
    let refused: Vec<f64> = items
        .iter()
        .filter(|s| s.status == Some(429))
        .map(|s| s.t)
        .collect();
    println!(
        "{} requests, {} of them answered 429",
        items.len(),
        refused.len()
    );
    assert!(!refused.is_empty(), "the API refused nothing");
    for at in refused {
        // Whatever was on its way when the 429 came may still arrive.
        let early = items.iter().find(|s| s.t > at + 0.05 && s.t < at + 0.9);
        assert!(
            early.is_none(),
            "a request {:.3} s after a 429 with Retry-After: 1",
            early.unwrap().t - at
        );
    }
}

/// What `--fresh` removes is records, not what the server has counted.
#[test]
fn starting_over_counts_what_was_sent_before() {
    let alone = alone();
    let limits = "rate = \"5/4s\"";
    let bench = bench(&[], 9, limits);
    let api = &bench.server;

    bench.run(&["--limit", "4"], 0);
    for _ in 0..3 {
        bench.run(&["--fresh", "--yes", "--limit", "1"], 0);
        assert_eq!(bench.lines().len(), 1);
    }

    assert_never_over(&alone, api, &[(5, 4.0)]);
}
