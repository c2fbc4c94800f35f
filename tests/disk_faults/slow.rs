//! A disk that takes longer for an fdatasync than a lease of starts lasts.

use crate::bench::{Bench, tracer};
use crate::support::{assert_exit, most_in_window};

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
