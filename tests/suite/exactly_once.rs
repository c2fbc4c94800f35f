//! "Exactly once" and "The list may change between runs": exactly once, also when the list changes between runs: "done"
//! belongs to an ID, not to its place in the list. Kills are tests/torture's.

use crate::child::{end, kill, signal, until};
use crate::raw::{Raw, ok};
use crate::support::{self, Api, Place, assert_exit, assert_says, harvest, told, track_id};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Once;

/// An ID that the API answers with a 404.
fn missing_id(number: usize) -> String {
    format!("{number:019}404")
}

/// A place with an API, a list of IDs and a job, before its first run.
type Bench = support::Bench<Api>;

fn bench(ids: &[String], rate: &str) -> Bench {
    Bench::sandbox(&[])
        .ids(ids)
        .with("limits", &format!("rate = \"{rate}\""))
        .with("checkpoint", "every = \"200ms\"")
}

/// The output, the failures file and the checkpoint.
fn files(bench: &Bench) -> Vec<Option<Vec<u8>>> {
    ["", ".failed.ndjson", ".checkpoint"]
        .iter()
        .map(|ending| fs::read(bench.place.path(&format!("out.ndjson{ending}"))).ok())
        .collect()
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
        let bench = bench(&ids, "unlimited");
        bench.run(&[], code);
        let (lines, before) = (bench.server.seen().len(), files(&bench));
        for _ in 0..2 {
            bench.run(&[], code);
        }
        assert_eq!(bench.server.seen().len(), lines, "it sent something");
        assert_eq!(files(&bench)[..2], before[..2], "the outputs changed");
    }
}

#[test]
fn appended_ids_are_fetched_and_only_they() {
    let bench = bench(&some_ids(50), "unlimited");
    bench.run(&[], 0);
    let before = bench.server.items().len();
    let first = bench.place.read("out.ndjson");

    let mut longer = some_ids(60);
    longer.push(missing_id(1));
    bench.list(&longer);
    bench.run(&[], 3);

    assert_eq!(bench.server.items().len() - before, 11);
    bench.place.assert_exactly_once("out.ndjson", &longer);
    assert!(bench.place.read("out.ndjson").starts_with(&first));
}

#[test]
fn removed_ids_stay_done_and_reordered_ones_are_not_fetched_again() {
    let all = some_ids(60);
    let bench = bench(&all, "unlimited");
    bench.run(&[], 0);
    let (lines, output) = (bench.server.seen().len(), bench.place.read("out.ndjson"));

    // Removed from the front, the middle and the end.
    let fewer: Vec<String> = all[5..30].iter().chain(&all[35..55]).cloned().collect();
    bench.list(&fewer);
    bench.run(&[], 0);
    // Reordered.
    let mut reordered = all.clone();
    fastrand::Rng::with_seed(7).shuffle(&mut reordered);
    bench.list(&reordered);
    bench.run(&[], 0);

    assert_eq!(bench.server.seen().len(), lines, "it sent something");
    assert_eq!(bench.place.read("out.ndjson"), output);
    bench.place.assert_exactly_once("out.ndjson", &all);
}

/// The list changes while the run is interrupted, not only when it is finished.
#[test]
fn the_list_may_change_between_a_kill_and_the_next_run() {
    let ids = some_ids(400);
    let bench = bench(&ids, "200/s");
    let run = bench.start(&[]);
    until(|| bench.server.log_bytes() >= 200 * 180);
    kill(run);

    // New ones first, the old ones backwards, and every tenth of them removed.
    let removed: HashSet<&String> = ids.iter().step_by(10).collect();
    let mut changed: Vec<String> = (1_000..1_050).map(track_id).collect();
    changed.extend(ids.iter().rev().filter(|id| !removed.contains(id)).cloned());
    bench.list(&changed);
    bench.run(&[], 0);

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

/// An ID that is cut in two is not asked for, and the next run has the whole list.
#[test]
fn a_list_that_is_cut_while_it_is_read_is_told_and_its_torn_line_is_not_asked_for() {
    let place = Place::new();
    let id = |n: usize| format!("{n:07}{}", "x".repeat(50));
    let whole: Vec<String> = (0..8_000).map(id).collect();
    let list = place.write("ids.txt", &(whole.join("\n") + "\n"));
    let kept = 7_500;
    let cut_at = kept * (id(0).len() + 1) + 20;
    let (path, once) = (list.clone(), Once::new());
    let api = Raw::start(move |request, _| {
        once.call_once(|| {
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_len(cut_at as u64).unwrap();
        });
        let (_, ids) = request.target.split_once("ids=").unwrap();
        let elements: Vec<String> = ids
            .split(',')
            .map(|id| format!("{{\"id\":\"{id}\"}}"))
            .collect();
        ok(format!("[{}]", elements.join(",")))
    });
    let job = place.write(
        "job.toml",
        &format!(
            "[ids]\nfile = \"ids.txt\"\n[request]\nurl = \"{}/many?ids={{ids}}\"\n\
             [request.batch]\nsize = 100\nitems = \"$\"\nkey = \"$.id\"\n\
             [limits]\nrate = \"unlimited\"\n[output]\npath = \"out.ndjson\"\n",
            api.base()
        ),
    );
    let output = harvest().arg(&job).output().unwrap();
    assert_exit(&output, 0);
    for word in [
        "ids.txt",
        "changed while it was read",
        "run the same command again",
    ] {
        assert!(told(&output).contains(word), "{word}: {}", told(&output));
    }
    place.assert_exactly_once("out.ndjson", whole[..kept].iter().map(String::as_str));

    place.write("ids.txt", &(whole.join("\n") + "\n"));
    let output = harvest().arg(&job).output().unwrap();
    assert_exit(&output, 0);
    assert!(
        !told(&output).contains("changed while"),
        "{}",
        told(&output)
    );
    place.assert_exactly_once("out.ndjson", whole.iter().map(String::as_str));
}

/// The run refuses, names what is wrong, sends nothing and leaves all files as they are.
fn assert_refused(bench: &Bench, words: &[&str]) {
    let (lines, before) = (bench.server.seen().len(), files(bench));
    assert_says(&bench.run(&[], 1), words);
    assert_eq!(bench.server.seen().len(), lines, "it sent something");
    assert!(files(bench) == before, "a file was changed");
}

/// Written over in place while the run is on: length and name are what they were.
#[test]
fn an_output_that_is_written_over_during_the_run_is_told_at_its_end() {
    for interrupted in [false, true] {
        let bench = bench(&some_ids(150), "50/s");
        let path = bench.place.path("out.ndjson");
        let run = bench.start(&[]);
        until(|| fs::metadata(&path).is_ok_and(|there| there.len() > 1_000));
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).open(&path).unwrap();
        let mut was = [0];
        file.read_exact_at(&mut was, 500).unwrap();
        file.write_all_at(&[was[0] ^ 1], 500).unwrap();
        if interrupted {
            signal(run.id(), "-INT");
        }
        let output = end(run);
        assert_exit(&output, 1);
        let words = ["out.ndjson", "bytes 0 to ", "restore", "--fresh"];
        assert_says(&output, &words);
        assert_refused(&bench, &words);
        // As it was: the same command finishes it.
        file.write_all_at(&was, 500).unwrap();
        bench.run(&[], 0);
        bench.assert_all_recorded();
    }
}

#[test]
fn an_edited_output_is_refused_and_left_alone() {
    let ids = some_ids(50);
    let bench = bench(&ids, "unlimited");
    bench.run(&[], 0);
    let path = bench.place.path("out.ndjson");
    let good = fs::read(&path).unwrap();
    bench.list(some_ids(60));

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
    bench.run(&[], 0);
    bench.place.assert_exactly_once("out.ndjson", some_ids(60));
}

#[test]
fn the_checkpoint_of_another_job_is_refused() {
    let bench = bench(&some_ids(20), "unlimited");
    bench.run(&[], 0);
    bench.edit("/v1/tracks/", "/v1/albums/");
    assert_refused(&bench, &["request.url", "/v1/albums/", "--fresh"]);
    bench.edit("/v1/albums/", "/v1/tracks/");
    // Pace, retries and credentials may change.
    bench.edit("unlimited", "500/s");
    bench.edit("test-client", "other-client");
    bench.run(&[], 0);
}

#[test]
fn a_second_run_on_the_same_output_stops_and_names_the_first() {
    let ids = some_ids(100);
    let bench = bench(&ids, "20/s");
    let first = bench.start(&[]);
    until(|| bench.server.log_bytes() > 0);

    let second = bench.run(&[], 1);

    assert_says(&second, &[&first.id().to_string()]);
    // A killed process leaves no lock behind.
    kill(first);
    bench.run(&["--rate", "unlimited"], 0);
    bench.assert_exactly_once();
    assert!(
        bench.server.items().len() < 2 * ids.len(),
        "the second run fetched something"
    );
}
