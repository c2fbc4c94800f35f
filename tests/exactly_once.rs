//! Promises 1 and 2: exactly once, whatever was killed and when; and "done"
//! belongs to an ID, not to its place in the list.
#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod support;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::{Api, Place, assert_exit, harvest, told, track_id};

const KILLS: usize = 20;
const RATE: f64 = 400.0;
const EVERY: f64 = 0.2;
const CONCURRENCY: f64 = 8.0;
/// A commit takes time too, on a busy machine most of all.
const SLACK: f64 = 2.0;

fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// `HARVEST_TEST_SEED` repeats an earlier run.
fn seed() -> u64 {
    let seed = std::env::var("HARVEST_TEST_SEED").map_or_else(
        |_| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .subsec_nanos()
                .into()
        },
        |text| text.parse().unwrap(),
    );
    println!("seed: HARVEST_TEST_SEED={seed}");
    seed
}

/// An ID that the API answers with a 404.
fn missing_id(number: usize) -> String {
    format!("{number:019}404")
}

fn ids_with_some_missing(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| {
            if n % 50 == 7 {
                missing_id(n)
            } else {
                track_id(n)
            }
        })
        .collect()
}

fn write_ids(place: &Place, ids: &[String]) {
    place.write("ids.txt", &(ids.join("\n") + "\n"));
}

fn start(job: &PathBuf) -> Child {
    harvest()
        .arg(job)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The ID of each item request that was answered with a whole body.
fn answered<'a>(log: impl IntoIterator<Item = &'a serde_json::Value>) -> Vec<String> {
    log.into_iter()
        .filter(|v| v["method"] == "GET" && v["status"] == 200 && v["fault"].is_null())
        .map(|v| {
            v["path"]
                .as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// A sleep until the moment of the next kill: mostly in the midst of the
/// fetching, every fourth time soon after the start of the process.
fn wait_for_kill(kill: usize, api: &Api, random: &mut fastrand::Rng) {
    if kill % 4 == 3 {
        sleep(Duration::from_micros(random.u64(0..400_000)));
        return;
    }
    let before = api.log_bytes();
    let deadline = Instant::now() + Duration::from_secs(30);
    while api.log_bytes() == before {
        assert!(Instant::now() < deadline, "run {kill} sends nothing");
        sleep(Duration::from_millis(1));
    }
    sleep(Duration::from_micros(random.u64(0..1_200_000)));
}

#[test]
fn twenty_kills_at_random_moments() {
    let seed = seed();
    let mut ids = ids_with_some_missing(3_000);
    let mut random = fastrand::Rng::with_seed(seed);
    let place = Place::new();
    let api = Api::start(&["--fault-rate", "0.02", "--seed", &seed.to_string()]);
    write_ids(&place, &ids);
    let job = place.write(
        "job.toml",
        &api.job(
            "file = \"ids.txt\"",
            &format!("rate = \"{RATE}/s\"\nconcurrency = {CONCURRENCY}"),
            "path = \"out.ndjson\"",
            &format!(
                "[checkpoint]\nevery = \"{}ms\"\n[retry]\nattempts = 10\nbackoff = \"50ms..500ms\"",
                EVERY * 1e3
            ),
        ),
    );

    // An interval's worth of requests, over all kills: what was answered in the last moments before each.
    let (mut worth, mut kills) = (0.0, Vec::new());
    for kill in 0..KILLS {
        let from = api.raw().len();
        // Never so little work that a run ends before it is killed.
        if ids.len() < from + 1_000 {
            ids = ids_with_some_missing(from + 1_000);
            write_ids(&place, &ids);
        }
        let began = unix_now();
        let mut run = start(&job);
        wait_for_kill(kill, &api, &mut random);
        assert!(
            run.try_wait().unwrap().is_none(),
            "seed {seed}: run {kill} ended before it was killed"
        );
        run.kill().unwrap();
        let killed = unix_now();
        run.wait().unwrap();
        // The API may be reading a last request.
        sleep(Duration::from_millis(50));
        let log = api.raw();
        let at_risk = log[from..]
            .iter()
            .filter(|v| v["t"].as_f64().unwrap() > killed - SLACK * EVERY);
        worth += answered(at_risk).len() as f64 + CONCURRENCY;
        let waited = log
            .get(from)
            .map(|first| first["t"].as_f64().unwrap() - began);
        kills.push((waited, answered(&log[from..]).len()));
    }
    println!("seconds to the first request, requests answered, by run: {kills:.2?}");
    let output = harvest().arg(&job).output().unwrap();

    assert_exit(&output, 3);
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
    for failure in place.json_lines("out.ndjson.failed.ndjson") {
        let id = failure["id"].as_str().unwrap();
        assert!(id.ends_with("404"), "failed, and no 404: {failure}");
        assert_eq!(failure["status"], 404, "{failure}");
    }
    for record in place.json_lines("out.ndjson") {
        assert!(!record["id"].as_str().unwrap().ends_with("404"));
    }

    let mut times: HashMap<String, usize> = HashMap::new();
    for id in answered(&api.raw()) {
        *times.entry(id).or_default() += 1;
    }
    let again: usize = times.values().map(|n| n - 1).sum();
    println!("{again} fetched again, an interval's worth per kill is {worth} in all");
    assert!(
        again as f64 <= worth,
        "seed {seed}: {again} fetched again after {KILLS} kills; an interval's worth per kill is {worth} in all"
    );
    let worst = times.values().max().unwrap();
    assert!(*worst <= KILLS + 1, "an ID was fetched {worst} times");

    // Finished: sends nothing, exits as it did.
    let lines = api.raw().len();
    assert_exit(&harvest().arg(&job).output().unwrap(), 3);
    assert_eq!(api.raw().len(), lines);
}

/// A place with an API, a list of IDs and a job, before its first run.
struct Bench {
    place: Place,
    api: Api,
    job: PathBuf,
}

impl Bench {
    fn new(ids: &[String], limits: &str) -> Bench {
        let place = Place::new();
        let api = Api::start(&[]);
        write_ids(&place, ids);
        let job = place.write(
            "job.toml",
            &api.job(
                "file = \"ids.txt\"",
                limits,
                "path = \"out.ndjson\"",
                "[checkpoint]\nevery = \"200ms\"",
            ),
        );
        Bench { place, api, job }
    }

    fn run(&self) -> std::process::Output {
        harvest().arg(&self.job).output().unwrap()
    }

    /// The output, the failures file and the checkpoint.
    fn files(&self) -> Vec<Option<Vec<u8>>> {
        ["", ".failed.ndjson", ".checkpoint"]
            .iter()
            .map(|ending| fs::read(self.place.path(&format!("out.ndjson{ending}"))).ok())
            .collect()
    }
}

fn some_ids(count: usize) -> Vec<String> {
    (0..count).map(track_id).collect()
}

#[test]
fn a_finished_job_sends_nothing_and_exits_as_before() {
    for (mut ids, code) in [(some_ids(50), 0), (some_ids(50), 3)] {
        if code == 3 {
            ids.push(missing_id(1));
        }
        let bench = Bench::new(&ids, "rate = \"unlimited\"");
        assert_exit(&bench.run(), code);
        let (lines, files) = (bench.api.seen().len(), bench.files());
        for _ in 0..2 {
            assert_exit(&bench.run(), code);
        }
        assert_eq!(bench.api.seen().len(), lines, "it sent something");
        assert_eq!(bench.files()[..2], files[..2], "the outputs changed");
    }
}

#[test]
fn appended_ids_are_fetched_and_only_they() {
    let bench = Bench::new(&some_ids(50), "rate = \"unlimited\"");
    assert_exit(&bench.run(), 0);
    let before = bench.api.items().len();
    let first = bench.place.read("out.ndjson");

    let mut longer = some_ids(60);
    longer.push(missing_id(1));
    write_ids(&bench.place, &longer);
    assert_exit(&bench.run(), 3);

    assert_eq!(bench.api.items().len() - before, 11);
    bench
        .place
        .assert_exactly_once("out.ndjson", longer.iter().map(String::as_str));
    assert!(bench.place.read("out.ndjson").starts_with(&first));
}

#[test]
fn removed_ids_stay_done_and_reordered_ones_are_not_fetched_again() {
    let all = some_ids(60);
    let bench = Bench::new(&all, "rate = \"unlimited\"");
    assert_exit(&bench.run(), 0);
    let (lines, output) = (bench.api.seen().len(), bench.place.read("out.ndjson"));

    // Removed from the front, the middle and the end.
    let fewer: Vec<String> = all[5..30].iter().chain(&all[35..55]).cloned().collect();
    write_ids(&bench.place, &fewer);
    assert_exit(&bench.run(), 0);
    // Reordered.
    let mut reordered = all.clone();
    fastrand::Rng::with_seed(7).shuffle(&mut reordered);
    write_ids(&bench.place, &reordered);
    assert_exit(&bench.run(), 0);

    assert_eq!(bench.api.seen().len(), lines, "it sent something");
    assert_eq!(bench.place.read("out.ndjson"), output);
    bench
        .place
        .assert_exactly_once("out.ndjson", all.iter().map(String::as_str));
}

/// The list changes while the run is interrupted, not only when it is finished.
#[test]
fn the_list_may_change_between_a_kill_and_the_next_run() {
    let ids = some_ids(400);
    let bench = Bench::new(&ids, "rate = \"200/s\"");
    let mut run = start(&bench.job);
    while bench.api.log_bytes() < 200 * 180 {
        sleep(Duration::from_millis(2));
    }
    run.kill().unwrap();
    run.wait().unwrap();

    // New ones first, the old ones backwards, and every tenth of them removed.
    let removed: HashSet<&String> = ids.iter().step_by(10).collect();
    let mut changed: Vec<String> = (1_000..1_050).map(track_id).collect();
    changed.extend(ids.iter().rev().filter(|id| !removed.contains(id)).cloned());
    write_ids(&bench.place, &changed);
    assert_exit(&bench.run(), 0);

    let mut fates = bench.place.fates("out.ndjson");
    for id in &changed {
        assert_eq!(fates.remove(id), Some((1, 0)), "{id}");
    }
    for (id, fate) in fates {
        assert!(
            removed.contains(&id) && fate == (1, 0),
            "{id}: {fate:?}, and not in the list"
        );
    }
}

/// The run refuses, names what is wrong, sends nothing and leaves all files as they are.
fn assert_refused(bench: &Bench, words: &[&str]) {
    let (lines, files) = (bench.api.seen().len(), bench.files());
    let output = bench.run();
    assert_exit(&output, 1);
    let stderr = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in:\n{}", told(&output));
    }
    assert_eq!(bench.api.seen().len(), lines, "it sent something");
    assert!(bench.files() == files, "a file was changed");
}

#[test]
fn an_edited_output_is_refused_and_left_alone() {
    let ids = some_ids(50);
    let bench = Bench::new(&ids, "rate = \"unlimited\"");
    assert_exit(&bench.run(), 0);
    let path = bench.place.path("out.ndjson");
    let good = fs::read(&path).unwrap();
    write_ids(&bench.place, &some_ids(60));

    // Of the same length, at the start, in the middle, at the end.
    for at in [2, good.len() / 2, good.len() - 3] {
        let mut edited = good.clone();
        edited[at] ^= 1;
        fs::write(&path, edited).unwrap();
        assert_refused(&bench, &["out.ndjson", "--fresh"]);
    }
    // Shortened, replaced by an empty one, gone.
    fs::write(&path, &good[..good.len() - 10]).unwrap();
    assert_refused(&bench, &["out.ndjson", "--fresh"]);
    fs::write(&path, "").unwrap();
    assert_refused(&bench, &["out.ndjson", "--fresh"]);
    fs::remove_file(&path).unwrap();
    assert_refused(&bench, &["out.ndjson", "--fresh"]);

    // Restored, as the message says, it goes on.
    fs::write(&path, good).unwrap();
    assert_exit(&bench.run(), 0);
    bench
        .place
        .assert_exactly_once("out.ndjson", some_ids(60).iter().map(String::as_str));
}

#[test]
fn the_checkpoint_of_another_job_is_refused() {
    let bench = Bench::new(&some_ids(20), "rate = \"unlimited\"");
    assert_exit(&bench.run(), 0);
    let job = fs::read_to_string(&bench.job).unwrap();
    fs::write(&bench.job, job.replace("/v1/tracks/", "/v1/albums/")).unwrap();
    assert_refused(&bench, &["request.url", "/v1/albums/", "--fresh"]);
    // Pace, retries and credentials may change.
    let other = job
        .replace("unlimited", "500/s")
        .replace("test-client", "other-client");
    fs::write(&bench.job, other).unwrap();
    assert_exit(&bench.run(), 0);
}

#[test]
fn a_second_run_on_the_same_output_stops_and_names_the_first() {
    let ids = some_ids(100);
    let bench = Bench::new(&ids, "rate = \"20/s\"");
    let mut first = start(&bench.job);
    let deadline = Instant::now() + Duration::from_secs(20);
    while bench.api.log_bytes() == 0 {
        assert!(Instant::now() < deadline, "the first run sends nothing");
        sleep(Duration::from_millis(5));
    }

    let second = bench.run();

    assert_exit(&second, 1);
    assert!(
        String::from_utf8_lossy(&second.stderr).contains(&first.id().to_string()),
        "the pid {} is not named: {}",
        first.id(),
        told(&second)
    );
    // A killed process leaves no lock behind.
    let pid = first.id().to_string();
    let killed = Command::new("kill").args(["-9", &pid]).status().unwrap();
    assert!(killed.success());
    first.wait().unwrap();
    assert_exit(
        &harvest()
            .arg(&bench.job)
            .args(["--rate", "unlimited"])
            .output()
            .unwrap(),
        0,
    );
    bench
        .place
        .assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
    assert!(
        bench.api.items().len() < 2 * ids.len(),
        "the second run fetched something"
    );
}
