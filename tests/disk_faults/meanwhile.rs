//! Files that someone moves, removes or writes to while a run has them open:
//! the run stops, and never says that it finished.

use crate::bench::{Bench, FAST, assert_told, wait_for};
use crate::support::{assert_exit, told};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Child;

/// A run that has committed something, and has work left.
fn under_way() -> (Bench, Child) {
    let bench = Bench::new("out.ndjson", 200, "50/s");
    let run = bench.start(&[]);
    let length = |ending: &str| fs::metadata(bench.file(ending)).map_or(0, |m| m.len());
    wait_for("a failure", || length(".failed.ndjson") > 0);
    // A commit may be under way: the one after the next covers the failure.
    for _ in 0..2 {
        let before = length(".checkpoint");
        wait_for("a commit", || length(".checkpoint") > before);
    }
    (bench, run)
}

#[track_caller]
fn stopped(run: Child, named: &Path) {
    let output = run.wait_with_output().unwrap();
    assert_told(&output, named);
    assert!(!told(&output).contains("finished"), "{}", told(&output));
}

#[test]
fn a_file_that_is_moved_away_stops_the_run_and_moved_back_it_goes_on() {
    for ending in ["", ".failed.ndjson", ".checkpoint"] {
        let (mut bench, run) = under_way();
        let (path, away) = (bench.file(ending), bench.file(".away"));
        fs::rename(&path, &away).unwrap();
        stopped(run, &path);
        bench.broken(0);
        fs::rename(&away, &path).unwrap();
        bench.finish_fast();
    }
}

#[test]
fn a_file_that_is_removed_or_replaced_stops_the_run_and_the_next_one_refuses() {
    for ending in ["", ".failed.ndjson", ".checkpoint"] {
        for replaced in [false, true] {
            println!("{ending:?}, replaced: {replaced}");
            let (bench, run) = under_way();
            let path = bench.file(ending);
            if replaced {
                let copy = bench.file(".copy");
                fs::copy(&path, &copy).unwrap();
                fs::rename(&copy, &path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            stopped(run, &path);
            if replaced {
                // The copy may be an earlier state of the file: taken as it is, or refused.
                let next = bench.limited(FAST);
                match next.status.code() {
                    Some(3) => bench.assert_each_once(),
                    _ => assert_told(&next, &bench.file("")),
                }
            } else {
                // What is gone can't be made up for: nothing passes for done.
                assert_told(&bench.limited(&[]), &bench.file(""));
                assert_exit(
                    &bench.limited(&["--fresh", "--yes", "--rate", "unlimited"]),
                    3,
                );
                bench.assert_each_once();
            }
        }
    }
}

#[test]
fn a_file_that_another_program_writes_to_or_empties_stops_the_run() {
    for ending in ["", ".failed.ndjson", ".checkpoint"] {
        for emptied in [false, true] {
            println!("{ending:?}, emptied: {emptied}");
            let (mut bench, run) = under_way();
            let path = bench.file(ending);
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            if emptied {
                file.set_len(0).unwrap();
            } else {
                file.write_all(b"x").unwrap();
            }
            stopped(run, &path);
            bench.broken(0);
            if emptied {
                assert_told(&bench.limited(&[]), &bench.file(""));
            } else {
                // No commit covers it: cut off.
                bench.finish_fast();
            }
        }
    }
}

/// People remove lock files that they take for left-overs.
#[test]
fn two_runs_never_write_one_output_even_when_the_lock_file_was_removed() {
    let (bench, first) = under_way();
    fs::remove_file(bench.file(".lock")).unwrap();
    let second = bench.limited(&[]);
    assert_exit(&second, 1);
    assert!(told(&second).contains("another run"), "{}", told(&second));
    // The first was not disturbed: it fetched each item once.
    assert_exit(&first.wait_with_output().unwrap(), 3);
    bench.finish_fast();
}

/// The list, the token and the API go on; only the disk's files are looked at.
#[test]
fn a_folder_that_is_moved_away_stops_the_run() {
    let bench = Bench::new("out.ndjson", 400, "100/s");
    bench.edit("\"out.ndjson\"", "\"here/out.ndjson\"");
    let (here, there) = (bench.file("/").join("here"), bench.file("/").join("there"));
    fs::create_dir(&here).unwrap();
    let run = bench.start(&[]);
    wait_for("a commit", || {
        fs::metadata(here.join("out.ndjson")).is_ok_and(|m| m.len() > 0)
    });
    fs::rename(&here, &there).unwrap();
    stopped(run, &here.join("out.ndjson"));
    fs::rename(&there, &here).unwrap();
    assert_exit(&bench.limited(FAST), 3);
    for ending in ["", ".failed.ndjson"] {
        let name = format!("out.ndjson{ending}");
        fs::copy(here.join(&name), bench.file(ending)).unwrap();
    }
    bench.assert_each_once();
}
