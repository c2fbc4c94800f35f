//! Faults beside the commit: starting over, reading the list, looking.

use crate::bench::{Bench, LIST, assert_clean, assert_told, limited, tracer};
use crate::support::{assert_exit, told};
use std::fs;

/// `--fresh` that is stopped half-way does not leave a checkpoint that fits nothing.
#[test]
fn starting_over_can_be_started_over() {
    if !tracer() {
        return;
    }
    let over = ["--fresh", "--yes"];
    for (file, calls, error, named) in [
        (
            ".failed.ndjson",
            "?unlink,unlinkat",
            "EROFS",
            ".failed.ndjson",
        ),
        ("/", "fsync", "EIO", ".checkpoint"),
        ("", "ftruncate", "EIO", ""),
        ("", "fsync", "ENOSPC", ""),
        ("", "openat", "EACCES", ""),
        (".checkpoint.tmp", "openat", "ENOSPC", ".checkpoint.tmp"),
        (
            ".checkpoint.tmp",
            "?rename,?renameat,?renameat2",
            "EIO",
            ".checkpoint",
        ),
        (".checkpoint", "fdatasync", "EIO", ".checkpoint"),
    ] {
        let bench = Bench::new("out.ndjson", 30, "unlimited");
        assert_exit(&bench.limited(&[]), 3);
        println!("{calls} of {file:?}: {error}");
        let (run, hits) = bench.injected_with(&over, file, calls, &format!("error={error}:when=1"));
        assert_eq!(hits, 1, "{}", told(&run));
        assert_told(&run, &bench.file(named));
        // Without --fresh, what is there is gone on from, or refused: never mixed.
        let plain = bench.limited(&[]);
        match plain.status.code() {
            Some(3) => bench.assert_each_once(),
            _ => assert_told(&plain, &bench.file("")),
        }
        assert_exit(&bench.limited(&over), 3);
        bench.assert_each_once();
    }
}

/// A list that can't be read to its end does not pass for a shorter one.
#[test]
fn a_list_on_a_failing_disk_stops_the_run() {
    if !tracer() {
        return;
    }
    // Both readers of the list fail: the one that counts, and the run's own.
    let mut bench = Bench::new("out.ndjson", 2_000, "unlimited");
    let list = bench.place.path("ids.txt");
    let (run, hits) = bench.injected(LIST, "read", "error=EIO:when=2+");
    assert!(hits > 0);
    assert_told_of_list(&run, &list);
    let again = bench.injected(LIST, "openat", "error=EIO:when=1+").0;
    assert_told_of_list(&again, &list);
    bench.broken(0);
    bench.finish();
}

#[track_caller]
fn assert_told_of_list(run: &std::process::Output, list: &std::path::Path) {
    assert_exit(run, 1);
    assert_clean(run);
    let name = list.file_name().unwrap().to_str().unwrap();
    assert!(told(run).contains(name), "{}", told(run));
    assert!(told(run).contains("the ID list"), "{}", told(run));
}

/// Whoever only looks is told of a failing disk, and changes nothing.
#[test]
fn looking_at_a_failing_disk_is_an_error_and_changes_nothing() {
    if !tracer() {
        return;
    }
    let bench = Bench::new("out.ndjson", 30, "unlimited");
    assert_exit(&bench.limited(&[]), 3);
    let files = || ["", ".failed.ndjson", ".checkpoint"].map(|e| fs::read(bench.file(e)).unwrap());
    let before = files();
    for word in ["status", "check"] {
        for calls in ["openat", "read"] {
            let look = bench.command(&[word]);
            let checkpoint = bench.file(".checkpoint");
            let run = limited(
                [
                    "strace",
                    "-f",
                    "-qqq",
                    "-o",
                    "/dev/null",
                    "-P",
                    checkpoint.to_str().unwrap(),
                    "-e",
                    &format!("inject={calls}:error=EIO"),
                ],
                &look,
            );
            assert_told(&run, &checkpoint);
            assert!(files() == before, "it changed something");
        }
    }
}
