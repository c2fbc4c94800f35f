//! A disk that takes longer to make something durable than what it is for lasts.

use crate::bench::{Bench, limited, tracer};
use crate::support::{self, assert_exit, most_in_window, told, track_id};

#[test]
fn a_disk_that_takes_five_seconds_for_a_commit_does_not_stop_the_run() {
    if !tracer() {
        return;
    }
    let bench = Bench::new("out.ndjson", 40, "20/s");
    let (run, commits) = bench.injected(".checkpoint", "fdatasync", "delay_enter=5000000");
    assert_exit(&run, 3);
    bench.assert_few_twice();
    println!("{commits} commits of 5 s each");
    // Promise 3 holds on a slow disk too: items, and the token's from the same host.
    let mut times: Vec<f64> = bench.seen().iter().map(|seen| seen.t).collect();
    assert!(most_in_window(&mut times, 1.0) <= 20);
}

#[test]
fn a_disk_that_takes_longer_to_keep_a_token_than_it_lives_pauses_the_run() {
    if !tracer() {
        return;
    }
    let bench = support::Bench::sandbox(&["--token-lifetime", "1s"])
        .ids((0..5).map(track_id))
        .with("limits", "max_wait = \"5s\"");
    bench.edit("client_credentials", "refresh_token");
    bench.edit("client_secret", "refresh_token");
    let mut run = bench.command(&[]);
    run.env("XDG_STATE_HOME", bench.place.path("state"));
    // The file's own and its folder's.
    let slow = "inject=fsync:delay_enter=700000";
    let strace = [
        "strace",
        "-f",
        "-qqq",
        "-e",
        "trace=fsync",
        "-e",
        slow,
        "-o",
        "/dev/null",
    ];
    let output = limited(strace, &run);
    assert_exit(&output, 75);
    let said = told(&output);
    assert!(said.contains("an access token lives 1.0s"), "{said}");
    let asked = bench.server.seen().len();
    assert!((2..12).contains(&asked), "{asked} token requests");
    assert!(bench.server.items().is_empty(), "nothing could be sent");
    assert_exit(&run.output().unwrap(), 0);
    bench.assert_exactly_once();
}
