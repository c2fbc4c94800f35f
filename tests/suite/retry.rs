//! `harvest retry`: only the failed items run again, and what succeeds leaves
//! the failures file in the commit that covers its record.

use crate::child;
use crate::raw::{Raw, Reply, answer, ok};
use crate::support::{Place, assert_exit, harvest, told, track_id};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A server on which every third item fails until it is healed, and every
/// thirtieth for good.
struct Bench {
    place: Place,
    server: Raw,
    healed: Arc<AtomicBool>,
    job: PathBuf,
    ids: Vec<String>,
}

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
    fn new(count: usize, output: &str) -> Bench {
        let healed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&healed);
        let server = Raw::start(move |request, _| {
            let id = request.last();
            match (
                fails_for_good(id),
                fails(id) && !flag.load(Ordering::SeqCst),
            ) {
                (true, _) => answer("404 Not Found", "", "{}"),
                (_, true) => answer("500 Internal Server Error", "", "{}"),
                _ => good(id),
            }
        });
        let place = Place::new();
        let ids: Vec<String> = (0..count).map(track_id).collect();
        place.write("ids.txt", &(ids.join("\n") + "\n"));
        let job = place.write(
            "job.toml",
            &format!(
                "[ids]\nfile = \"ids.txt\"\n[request]\nurl = \"{}/items/{{id}}\"\n\
                 [limits]\nrate = \"unlimited\"\nconcurrency = 4\n[retry]\nattempts = 1\n\
                 [output]\npath = \"{output}\"\n[checkpoint]\nevery = \"100ms\"\n",
                server.base()
            ),
        );
        Bench {
            place,
            server,
            healed,
            job,
            ids,
        }
    }

    fn run(&self) -> Output {
        harvest().arg(&self.job).output().unwrap()
    }

    fn retry(&self, arguments: &[&str]) -> Output {
        harvest()
            .arg("retry")
            .arg(&self.job)
            .args(arguments)
            .output()
            .unwrap()
    }

    fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    fn failed(&self) -> BTreeSet<String> {
        let lines = self.place.json_lines("out.ndjson.failed.ndjson");
        lines
            .iter()
            .map(|line| line["id"].as_str().unwrap().to_owned())
            .collect()
    }

    fn assert_exactly_once(&self) {
        self.place
            .assert_exactly_once("out.ndjson", self.ids.iter().map(String::as_str));
    }
}

fn good(id: &str) -> Reply {
    ok(format!("{{\"id\":\"{id}\",\"name\":\"item {id}\"}}"))
}

#[track_caller]
fn assert_says(output: &Output, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in:\n{}", told(output));
    }
}

#[test]
fn what_succeeds_leaves_the_failures_file() {
    let bench = Bench::new(90, "out.ndjson");
    let first = bench.run();
    assert_exit(&first, 3);
    assert_says(&first, &["to try what failed again: harvest retry "]);
    assert_eq!(bench.failed().len(), 30);

    bench.heal();
    let asked = bench.server.seen().len();
    let retried = bench.retry(&[]);
    assert_exit(&retried, 3);
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
    let status = harvest().arg("status").arg(&bench.job).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(
        status.contains("finished") && status.contains("3 (not_found 3)"),
        "{status}"
    );
    let asked = bench.server.seen().len();
    assert_exit(&bench.run(), 3);
    assert_eq!(bench.server.seen().len(), asked);
}

#[test]
fn the_failures_file_goes_with_its_last_line() {
    let bench = Bench::new(30, "out.ndjson");
    // Item 0 fails for good: without it.
    let ids = bench.ids[1..].join("\n");
    bench.place.write("ids.txt", &ids);
    assert_exit(&bench.run(), 3);
    bench.heal();
    let retried = bench.retry(&[]);
    assert_exit(&retried, 0);
    assert_says(&retried, &["every failed item has its record now"]);
    assert!(!bench.place.path("out.ndjson.failed.ndjson").exists());
    assert!(!bench.place.path("out.ndjson.failed.ndjson.tmp").exists());
    bench
        .place
        .assert_exactly_once("out.ndjson", bench.ids[1..].iter().map(String::as_str));

    // Once more: nothing to do, said and done.
    let asked = bench.server.seen().len();
    let again = bench.retry(&[]);
    assert_exit(&again, 0);
    assert_says(&again, &["nothing to retry"]);
    assert_exit(&bench.run(), 0);
    assert_eq!(bench.server.seen().len(), asked);
}

#[test]
fn a_reason_chooses_among_the_failed() {
    let bench = Bench::new(90, "out.ndjson");
    assert_exit(&bench.run(), 3);
    bench.heal();
    let asked = bench.server.seen().len();
    // All that failed for this reason have their records now.
    assert_exit(&bench.retry(&["--reason", "server_error"]), 0);
    assert_eq!(bench.server.seen().len() - asked, 27);
    assert!(bench.failed().iter().all(|id| fails_for_good(id)));
    assert_exit(&bench.retry(&["--reason", "not_found"]), 3);
    assert_exit(&bench.retry(&["--reason", "timeout"]), 0);
    bench.assert_exactly_once();
}

/// A failure that only the writer sees, of a record that has no row, is one like any other.
#[test]
fn a_record_without_a_row_is_a_failure_of_the_run() {
    let server = Raw::start(|_, _| ok("{\"a\":\"\\ud800\"}"));
    let place = Place::new();
    let job = place.write(
        "job.toml",
        &format!(
            "[ids]\nlist = [\"1\", \"2\"]\n[request]\nurl = \"{}/{{id}}\"\n[output]\npath = \"out.csv\"\n",
            server.base()
        ),
    );
    let run = |arguments: &[&str]| {
        let output = harvest().args(arguments).arg(&job).output().unwrap();
        assert_exit(&output, 3);
        assert_says(&output, &["0 records, 1 failed", "1 malformed_body"]);
        assert_eq!(place.lines("out.csv.failed.ndjson").len(), 1);
    };
    run(&["run", "--limit", "1"]);
    run(&["retry", "--reason", "malformed_body"]);
}

#[test]
fn a_list_that_is_not_at_its_end_goes_on_afterwards() {
    let bench = Bench::new(90, "out.ndjson");
    assert_exit(
        &harvest()
            .arg(&bench.job)
            .args(["--limit", "60"])
            .output()
            .unwrap(),
        3,
    );
    bench.heal();
    let retried = bench.retry(&["--limit", "10"]);
    assert_says(
        &retried,
        &["stopped at --limit", "to go on: harvest retry "],
    );
    let retried = bench.retry(&[]);
    assert_exit(&retried, 3);
    assert_says(&retried, &["to go on with the list: harvest "]);
    assert_eq!(
        bench.place.lines("out.ndjson").len() + bench.failed().len(),
        60
    );
    assert_exit(&bench.run(), 3);
    bench.assert_exactly_once();
}

#[test]
fn csv_rows_are_appended_under_the_same_header() {
    let bench = Bench::new(60, "out.csv");
    assert_exit(&bench.run(), 3);
    bench.heal();
    assert_exit(&bench.retry(&[]), 3);
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
    let job = fs::read_to_string(&bench.job).unwrap();
    fs::write(
        &bench.job,
        job.replace("[request]", "repeats = \"each\"\n[request]"),
    )
    .unwrap();
    let id = track_id(3);
    bench.place.write("ids.txt", &format!("{id}\n{id}\n{id}\n"));
    assert_exit(&bench.run(), 3);
    assert_eq!(bench.place.lines("out.ndjson.failed.ndjson").len(), 3);
    bench.heal();
    assert_exit(&bench.retry(&["--limit", "2"]), 0);
    assert_eq!(bench.place.lines("out.ndjson.failed.ndjson").len(), 1);
    assert_exit(&bench.retry(&[]), 0);
    assert_eq!(bench.place.lines("out.ndjson").len(), 3);
    assert_exit(&bench.run(), 0);
}

#[test]
fn nothing_can_be_retried_where_nothing_ran() {
    let bench = Bench::new(5, "out.ndjson");
    let output = bench.retry(&[]);
    assert_exit(&output, 1);
    assert_says(&output, &["out.ndjson", "run the job first"]);
    assert!(!bench.place.path("out.ndjson").exists());
    let output = bench.retry(&["--output", "-"]);
    assert_exit(&output, 1);
    assert_says(&output, &["stdout"]);
}

#[test]
fn kills_during_retries_lose_nothing_and_double_nothing() {
    let bench = Bench::new(1_500, "out.ndjson");
    assert_exit(&bench.run(), 3);
    bench.heal();
    let mut random = fastrand::Rng::with_seed(41);
    for kill in 0..12 {
        let asked = bench.server.seen().len();
        let mut child = harvest()
            .arg("retry")
            .arg(&bench.job)
            .args(["--rate", "200/s"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while kill % 4 != 0 && bench.server.seen().len() < asked + 5 {
            assert!(Instant::now() < deadline, "retry {kill} sends nothing");
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_micros(random.u64(0..300_000)));
        assert!(
            child.try_wait().unwrap().is_none(),
            "retry {kill} ended before it was killed"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        // Any command that opens the output finishes or undoes what was under way.
        if kill % 3 == 2 {
            assert_exit(&bench.run(), 3);
            bench.assert_exactly_once();
        }
    }
    assert_exit(&bench.retry(&[]), 3);
    bench.assert_exactly_once();
    assert!(bench.failed().iter().all(|id| fails_for_good(id)));
    assert_eq!(bench.failed().len(), 50);
}

/// A retry that is stopped at a fail point and killed there. False when it never came by.
fn killed_at(bench: &Bench, name: &str, passes: u32) -> bool {
    let mut command = harvest();
    command
        .arg("retry")
        .arg(&bench.job)
        .args(["--rate", "200/s"]);
    child::killed_at(command, name, passes, &bench.place.path("sign"))
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
        assert_exit(&bench.run(), 3);
        bench.heal();
        for passes in [0, 1, 2] {
            if !killed_at(&bench, step, passes) {
                // On a busy machine a retry writes the failures file anew less often.
                assert!(passes > 0, "{step} is never reached");
                break;
            }
            // A run or another retry finds the files as the kill left them.
            if (n + passes as usize).is_multiple_of(2) {
                assert_exit(&bench.run(), 3);
                bench.assert_exactly_once();
            }
        }
        assert_exit(&bench.retry(&[]), 3);
        bench.assert_exactly_once();
        assert!(bench.failed().iter().all(|id| fails_for_good(id)), "{step}");
        let litter = bench.place.path("out.ndjson.failed.ndjson.tmp");
        assert!(!litter.exists(), "{step}");
    }
}

#[test]
fn a_kill_after_the_last_line_left_the_failures_file_leaves_a_finished_job() {
    let bench = Bench::new(30, "out.ndjson");
    bench.place.write("ids.txt", &bench.ids[1..].join("\n"));
    assert_exit(&bench.run(), 3);
    bench.heal();
    assert!(killed_at(&bench, "retry: empty failures removed", 0));
    assert_exit(&bench.run(), 0);
    bench
        .place
        .assert_exactly_once("out.ndjson", bench.ids[1..].iter().map(String::as_str));
    assert_exit(&bench.retry(&[]), 0);
}

#[test]
fn a_signal_during_a_retry_keeps_what_was_not_yet_tried() {
    let bench = Bench::new(900, "out.ndjson");
    assert_exit(&bench.run(), 3);
    bench.heal();
    let asked = bench.server.seen().len();
    let child = harvest()
        .arg("retry")
        .arg(&bench.job)
        .args(["--rate", "100/s"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while bench.server.seen().len() < asked + 50 {
        assert!(Instant::now() < deadline, "it sends nothing");
        sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 130);
    assert_says(&output, &["to go on: harvest retry "]);
    bench.assert_exactly_once();
    assert!(bench.failed().len() > 100);
    assert_exit(&bench.retry(&[]), 3);
    bench.assert_exactly_once();
}
