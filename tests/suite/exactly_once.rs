//! Promises 1 and 2: exactly once, also when the list changes between runs: "done"
//! belongs to an ID, not to its place in the list. Kills are tests/torture's.

use crate::child::until;
use crate::support::{Api, Place, assert_exit, harvest, told, track_id};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// An ID that the API answers with a 404.
fn missing_id(number: usize) -> String {
    format!("{number:019}404")
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
    until(|| bench.api.log_bytes() >= 200 * 180);
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

/// Written over in place, in mid-run: length and name are what they were.
#[test]
fn an_output_that_was_written_over_during_the_run_is_not_finished() {
    let ids: Vec<String> = (0..60).map(track_id).collect();
    let bench = Bench::new(&ids, "rate = \"40/s\"");
    let path = bench.place.path("out.ndjson");
    let mut child = start(&bench.job);
    until(|| fs::metadata(&path).is_ok_and(|there| there.len() > 20_000));
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let mut was = [0];
    file.read_exact_at(&mut was, 10_000).unwrap();
    file.write_all_at(&[was[0] ^ 1], 10_000).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let output = bench.run();
    assert_exit(&output, 1);
    assert!(told(&output).contains("out.ndjson"), "{}", told(&output));
    // As it was: the same command finishes it, and asks for nothing again.
    file.write_all_at(&was, 10_000).unwrap();
    let asked = bench.api.items().len();
    assert_exit(&bench.run(), 0);
    assert_eq!(bench.api.items().len(), asked);
    bench
        .place
        .assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
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
