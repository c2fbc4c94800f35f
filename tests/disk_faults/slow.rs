//! A disk that takes longer to make something durable than what it is for lasts.

use crate::bench::{Bench, limited, tracer};
use crate::support::{Api, Place, assert_exit, harvest, most_in_window, told, track_id};

#[test]
fn a_disk_that_takes_five_seconds_for_a_commit_does_not_stop_the_run() {
    if !tracer() {
        return;
    }
    let bench = Bench::new("out.ndjson", 40, "20/s");
    let (run, commits) = bench.injected(".checkpoint", "fdatasync", "delay_enter=5000000");
    assert_exit(&run, 3);
    bench.assert_exactly_once();
    println!("{commits} commits of 5 s each");
    // Promise 3 holds on a slow disk too: items, and the token's from the same host.
    let mut times: Vec<f64> = bench.api.seen().iter().map(|seen| seen.t).collect();
    assert!(most_in_window(&mut times, 1.0) <= 20);
}

#[test]
fn a_disk_that_takes_longer_to_keep_a_token_than_it_lives_pauses_the_run() {
    if !tracer() {
        return;
    }
    let place = Place::new();
    let api = Api::start(&["--token-lifetime", "1s"]);
    let ids: Vec<String> = (0..5).map(track_id).collect();
    let job = place.write(
        "job.toml",
        &format!(
            "[ids]\nlist = {ids:?}\n[request]\nurl = \"{base}/v1/tracks/{{id}}\"\n\
             [auth]\ntype = \"refresh_token\"\ntoken_url = \"{base}/api/token\"\nclient_id = \"c\"\n\
             refresh_token = \"from-the-provider\"\n\
             [limits]\nmax_wait = \"5s\"\n[output]\npath = \"out.ndjson\"\n",
            base = api.base
        ),
    );
    let mut run = harvest();
    run.arg(&job).env("XDG_STATE_HOME", place.path("state"));
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
    let asked = api.seen().len();
    assert!((2..12).contains(&asked), "{asked} token requests");
    assert!(api.items().is_empty(), "nothing could be sent");
    assert_exit(&run.output().unwrap(), 0);
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
}
