//! `harvest retry`: only the failed items run again, and what succeeds leaves
//! the failures file in the commit that covers its record.

use crate::child::{end, kill, signal, until};
use crate::raw::{Raw, answer, ok};
use crate::support::{self, assert_exit, assert_says, track_id};
use std::collections::BTreeSet;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

#[derive(Default)]
struct Healed(AtomicBool);

/// A server on which every third item fails until it is healed, and every
/// thirtieth for good.
type Bench = support::Bench<Raw<Healed>>;

fn number(id: &str) -> usize {
    id.trim_end_matches('x').parse().unwrap()
}

fn fails(id: &str) -> bool {
    number(id).is_multiple_of(3)
}

fn fails_for_good(id: &str) -> bool {
    number(id).is_multiple_of(30)
}

impl Bench {
    fn new(count: usize, output: &'static str) -> Bench {
        let server = Raw::sharing(Healed::default(), |healed, request, _| {
            let id = request.last();
            match (
                fails_for_good(id),
                fails(id) && !healed.0.load(Ordering::SeqCst),
            ) {
                (true, _) => answer("404 Not Found", "", "{}"),
                (_, true) => answer("500 Internal Server Error", "", "{}"),
                _ => ok(format!("{{\"id\":\"{id}\",\"name\":\"item {id}\"}}")),
            }
        });
        Bench::of(server, "/items/{id}")
            .ids((0..count).map(track_id))
            .output(output)
            .with("limits", "rate = \"unlimited\"\nconcurrency = 4")
            .with("retry", "attempts = 1")
            .with("checkpoint", "every = \"100ms\"")
    }

    #[track_caller]
    fn retry(&self, options: &[&str], code: i32) -> Output {
        self.run(&[&["retry"], options].concat(), code)
    }

    fn heal(&self) {
        self.server.state.0.store(true, Ordering::SeqCst);
    }

    fn failed(&self) -> BTreeSet<String> {
        let text = |line: &serde_json::Value| line["id"].as_str().unwrap().to_owned();
        self.failures().iter().map(text).collect()
    }
}

#[test]
fn what_succeeds_leaves_the_failures_file() {
    let bench = Bench::new(90, "out.ndjson");
    let first = bench.run(&[], 3);
    assert_says(&first, &["to try what failed again: harvest retry "]);
    assert_eq!(bench.failed().len(), 30);

    bench.heal();
    let asked = bench.server.seen().len();
    let retried = bench.retry(&[], 3);
    assert_says(
        &retried,
        &["trying again what failed: 30 items", "some still fail"],
    );
    assert_eq!(
        bench.server.seen().len() - asked,
        30,
        "only the failed items"
    );
    bench.assert_exactly_once();
    let for_good: BTreeSet<String> = bench
        .ids
        .iter()
        .filter(|id| fails_for_good(id))
        .cloned()
        .collect();
    assert_eq!(bench.failed(), for_good);

    // What it left is as a run leaves it: finished, and nothing more to send.
    let status = bench.run(&["status"], 0);
    assert_says(&status, &["finished", "3 (not_found 3)"]);
    let asked = bench.server.seen().len();
    bench.run(&[], 3);
    assert_eq!(bench.server.seen().len(), asked);
}

#[test]
fn the_failures_file_goes_with_its_last_line() {
    let bench = Bench::new(30, "out.ndjson");
    // Item 0 fails for good: without it.
    bench.list(&bench.ids[1..]);
    bench.run(&[], 3);
    bench.heal();
    let retried = bench.retry(&[], 0);
    assert_says(&retried, &["every failed item has its record now"]);
    assert!(!bench.place.path("out.ndjson.failed.ndjson").exists());
    assert!(!bench.place.path("out.ndjson.failed.ndjson.tmp").exists());
    bench
        .place
        .assert_exactly_once("out.ndjson", &bench.ids[1..]);

    // Once more: nothing to do, said and done.
    let asked = bench.server.seen().len();
    let again = bench.retry(&[], 0);
    assert_says(&again, &["nothing to retry"]);
    bench.run(&[], 0);
    assert_eq!(bench.server.seen().len(), asked);
}

#[test]
fn a_reason_chooses_among_the_failed() {
    let bench = Bench::new(90, "out.ndjson");
    bench.run(&[], 3);
    bench.heal();
    let asked = bench.server.seen().len();
    // All that failed for this reason have their records now.
    bench.retry(&["--reason", "server_error"], 0);
    assert_eq!(bench.server.seen().len() - asked, 27);
    assert!(bench.failed().iter().all(|id| fails_for_good(id)));
    bench.retry(&["--reason", "not_found"], 3);
    bench.retry(&["--reason", "timeout"], 0);
    bench.assert_exactly_once();
}

/// A failure that only the writer sees, of a record that has no row, is one like any other.
#[test]
fn a_record_without_a_row_is_a_failure_of_the_run() {
    let server = Raw::start(|_, _| ok("{\"a\":\"\\ud800\"}"));
    let bench = support::Bench::of(server, "/{id}")
        .output("out.csv")
        .ids(["1", "2"]);
    let run = |arguments: &[&str]| {
        let output = bench.run(arguments, 3);
        assert_says(&output, &["0 records, 1 failed", "1 malformed_body"]);
        assert_eq!(bench.failures().len(), 1);
    };
    run(&["run", "--limit", "1"]);
    run(&["retry", "--reason", "malformed_body"]);
}

#[test]
fn a_list_that_is_not_at_its_end_goes_on_afterwards() {
    let bench = Bench::new(90, "out.ndjson");
    bench.run(&["--limit", "60"], 3);
    bench.heal();
    let retried = bench.retry(&["--limit", "10"], 3);
    assert_says(
        &retried,
        &["stopped at --limit", "to go on: harvest retry "],
    );
    let retried = bench.retry(&[], 3);
    assert_says(&retried, &["to go on with the list: harvest "]);
    assert_eq!(bench.lines().len() + bench.failed().len(), 60);
    bench.run(&[], 3);
    bench.assert_exactly_once();
}

#[test]
fn csv_rows_are_appended_under_the_same_header() {
    let bench = Bench::new(60, "out.csv");
    bench.run(&[], 3);
    bench.heal();
    bench.retry(&[], 3);
    let mut rows = csv::Reader::from_path(bench.place.path("out.csv")).unwrap();
    assert_eq!(rows.headers().unwrap(), ["id", "name"].as_slice());
    let ids: BTreeSet<String> = rows
        .records()
        .map(|row| row.unwrap()[0].to_owned())
        .collect();
    assert_eq!(ids.len(), 58);
}

#[test]
fn listings_of_one_id_are_items_of_their_own() {
    let bench = Bench::new(5, "out.ndjson");
    bench.edit("[request]", "repeats = \"each\"\n[request]");
    bench.list([track_id(3), track_id(3), track_id(3)]);
    bench.run(&[], 3);
    assert_eq!(bench.failures().len(), 3);
    bench.heal();
    bench.retry(&["--limit", "2"], 0);
    assert_eq!(bench.failures().len(), 1);
    bench.retry(&[], 0);
    assert_eq!(bench.lines().len(), 3);
    bench.run(&[], 0);
}

#[test]
fn nothing_can_be_retried_where_nothing_ran() {
    let bench = Bench::new(5, "out.ndjson");
    let output = bench.retry(&[], 1);
    assert_says(&output, &["out.ndjson", "run the job first"]);
    assert!(!bench.place.path("out.ndjson").exists());
    let output = bench.retry(&["--output", "-"], 1);
    assert_says(&output, &["stdout"]);
}

#[test]
fn kills_during_retries_lose_nothing_and_double_nothing() {
    let bench = Bench::new(1_500, "out.ndjson");
    bench.run(&[], 3);
    bench.heal();
    let mut random = fastrand::Rng::with_seed(41);
    for nth in 0..12 {
        let asked = bench.server.seen().len();
        let mut child = bench.start(&["retry", "--rate", "200/s"]);
        until(|| nth % 4 == 0 || bench.server.seen().len() >= asked + 5);
        sleep(Duration::from_micros(random.u64(0..300_000)));
        assert!(
            child.try_wait().unwrap().is_none(),
            "retry {nth} ended before it was killed"
        );
        kill(child);
        // Any command that opens the output finishes or undoes what was under way.
        if nth % 3 == 2 {
            bench.run(&[], 3);
            bench.assert_exactly_once();
        }
    }
    bench.retry(&[], 3);
    bench.assert_exactly_once();
    assert!(bench.failed().iter().all(|id| fails_for_good(id)));
    assert_eq!(bench.failed().len(), 50);
}

/// A retry that is stopped at a fail point and killed there. False when it never came by.
fn killed_at(bench: &Bench, name: &str, passes: u32) -> bool {
    bench.killed_at(&["retry", "--rate", "200/s"], name, passes)
}

#[test]
fn kills_at_each_step_of_the_commit_lose_nothing_and_double_nothing() {
    let steps = [
        "commit: begun",
        "commit: output durable",
        "retry: new failures written",
        "retry: new failures durable",
        "checkpoint: part written",
        "checkpoint: block written",
        "checkpoint: block durable",
        "retry: block durable",
        "retry: new failures renamed",
        "retry: new failures in place",
    ];
    for (n, step) in steps.into_iter().enumerate() {
        let bench = Bench::new(300, "out.ndjson");
        bench.run(&[], 3);
        bench.heal();
        for passes in [0, 1, 2] {
            if !killed_at(&bench, step, passes) {
                // On a busy machine a retry writes the failures file anew less often.
                assert!(passes > 0, "{step} is never reached");
                break;
            }
            // A run or another retry finds the files as the kill left them.
            if (n + passes as usize).is_multiple_of(2) {
                bench.run(&[], 3);
                bench.assert_exactly_once();
            }
        }
        bench.retry(&[], 3);
        bench.assert_exactly_once();
        assert!(bench.failed().iter().all(|id| fails_for_good(id)), "{step}");
        let litter = bench.place.path("out.ndjson.failed.ndjson.tmp");
        assert!(!litter.exists(), "{step}");
    }
}

#[test]
fn a_kill_after_the_last_line_left_the_failures_file_leaves_a_finished_job() {
    let bench = Bench::new(30, "out.ndjson");
    bench.list(&bench.ids[1..]);
    bench.run(&[], 3);
    bench.heal();
    assert!(killed_at(&bench, "retry: empty failures removed", 0));
    bench.run(&[], 0);
    bench
        .place
        .assert_exactly_once("out.ndjson", &bench.ids[1..]);
    bench.retry(&[], 0);
}

#[test]
fn a_signal_during_a_retry_keeps_what_was_not_yet_tried() {
    let bench = Bench::new(900, "out.ndjson");
    bench.run(&[], 3);
    bench.heal();
    let asked = bench.server.seen().len();
    let child = bench.start(&["retry", "--rate", "100/s"]);
    until(|| bench.server.seen().len() >= asked + 50);
    signal(child.id(), "-INT");
    let output = end(child);
    assert_exit(&output, 130);
    assert_says(&output, &["to go on: harvest retry "]);
    bench.assert_exactly_once();
    assert!(bench.failed().len() > 100);
    bench.retry(&[], 3);
    bench.assert_exactly_once();
}
