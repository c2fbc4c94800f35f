//! System calls that fail: for each, exit 1 and a message with the next step;
//! with the cause gone, the same command ends the job with nothing lost and
//! nothing twice.

use crate::bench::{Bench, assert_clean, assert_told, nightly, seed, tracer};
use crate::support::assert_exit;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;

/// When a fault can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before there is a checkpoint.
    Fresh,
    /// While work is committed.
    Work,
    /// When a run finds what an earlier one left.
    Resume,
}

struct Fault {
    at: At,
    calls: &'static str,
    errors: &'static [&'static str],
    /// What the calls touch: an ending of the output's name, `/` for its folder.
    file: &'static str,
    /// The file that the message names.
    named: &'static str,
    /// The fault strikes the first, or the second … or this call.
    most: u64,
}

const fn fault(
    at: At,
    calls: &'static str,
    errors: &'static [&'static str],
    file: &'static str,
    named: &'static str,
    most: u64,
) -> Fault {
    Fault {
        at,
        calls,
        errors,
        file,
        named,
        most,
    }
}

const FULL: &[&str] = &["ENOSPC", "EIO", "EDQUOT"];
const ANY: &[&str] = &["ENOSPC", "EIO", "EDQUOT", "EROFS"];
const OPEN: &[&str] = &["ENOSPC", "EIO", "EDQUOT", "EROFS", "EACCES", "EMFILE"];
const RENAME: &str = "?rename,?renameat,?renameat2";
const UNLINK: &str = "?unlink,unlinkat";

const FAULTS: &[Fault] = &[
    fault(At::Fresh, "openat", OPEN, ".lock", ".lock", 1),
    fault(At::Fresh, "flock", &["ENOLCK", "EIO"], ".lock", ".lock", 1),
    fault(At::Fresh, "write", ANY, ".lock", ".lock", 1),
    fault(At::Fresh, "openat", OPEN, "", "", 1),
    fault(
        At::Fresh,
        "openat",
        OPEN,
        ".checkpoint.tmp",
        ".checkpoint.tmp",
        1,
    ),
    fault(
        At::Fresh,
        "write",
        ANY,
        ".checkpoint.tmp",
        ".checkpoint.tmp",
        2,
    ),
    fault(
        At::Fresh,
        "fsync",
        FULL,
        ".checkpoint.tmp",
        ".checkpoint.tmp",
        1,
    ),
    fault(At::Fresh, RENAME, ANY, ".checkpoint.tmp", ".checkpoint", 1),
    fault(
        At::Fresh,
        UNLINK,
        &["EIO", "EROFS"],
        ".checkpoint.tmp",
        ".checkpoint.tmp",
        1,
    ),
    fault(At::Fresh, "fsync", FULL, "/", ".checkpoint", 1),
    fault(At::Work, "write", ANY, "", "", 4),
    fault(At::Work, "write", ANY, "", "", 4),
    fault(At::Work, "fdatasync", FULL, "", "", 4),
    fault(At::Work, "fdatasync", FULL, "", "", 4),
    fault(At::Work, "statx", &["EIO"], "", "", 5),
    fault(At::Work, "write", ANY, ".checkpoint", ".checkpoint", 6),
    fault(At::Work, "write", ANY, ".checkpoint", ".checkpoint", 6),
    fault(At::Work, "fdatasync", FULL, ".checkpoint", ".checkpoint", 6),
    fault(At::Work, "fdatasync", FULL, ".checkpoint", ".checkpoint", 6),
    fault(
        At::Work,
        "write",
        ANY,
        ".failed.ndjson",
        ".failed.ndjson",
        3,
    ),
    fault(
        At::Work,
        "fdatasync",
        FULL,
        ".failed.ndjson",
        ".failed.ndjson",
        3,
    ),
    fault(
        At::Work,
        "openat",
        OPEN,
        ".failed.ndjson",
        ".failed.ndjson",
        1,
    ),
    fault(At::Work, "write", ANY, ".versions", ".versions", 3),
    fault(At::Work, "fdatasync", FULL, ".versions", ".versions", 3),
    fault(At::Resume, "openat", OPEN, ".checkpoint", ".checkpoint", 2),
    fault(
        At::Resume,
        "read",
        &["EIO"],
        ".checkpoint",
        ".checkpoint",
        1,
    ),
    fault(At::Resume, "read", &["EIO"], "", "", 1),
    fault(At::Resume, "openat", OPEN, "", "", 2),
    fault(At::Resume, "ftruncate", ANY, "", "", 1),
    fault(At::Resume, "fsync", FULL, "", "", 1),
    fault(
        At::Resume,
        "ftruncate",
        ANY,
        ".failed.ndjson",
        ".failed.ndjson",
        1,
    ),
    fault(
        At::Resume,
        "ftruncate",
        ANY,
        ".checkpoint",
        ".checkpoint",
        1,
    ),
    fault(At::Resume, "fsync", FULL, ".checkpoint", ".checkpoint", 1),
    fault(At::Resume, "fsync", FULL, "/", "", 1),
];

/// Faults that strike one run after the other, until `goal` did.
fn series(output: &'static str, goal: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut struck: BTreeMap<String, usize> = BTreeMap::new();
    let mut total = 0;
    while total < goal {
        let mut bench = Bench::new(output, 40, "200/s");
        for run in 0..14 {
            let begun = bench.file(".checkpoint").exists();
            let at = match (begun, random.u32(..3)) {
                (false, _) if run < 3 => At::Fresh,
                (true, 0) => At::Resume,
                _ => At::Work,
            };
            let fitting: Vec<&Fault> = FAULTS.iter().filter(|fault| fault.at == at).collect();
            let fault = fitting[random.usize(..fitting.len())];
            if fault.at == At::Resume {
                smear(&bench);
            }
            let error = fault.errors[random.usize(..fault.errors.len())];
            let when = random.u64(1..=fault.most);
            let from = bench.answered().len();
            let (run, hits) = bench.injected(
                fault.file,
                fault.calls,
                &format!("error={error}:when={when}"),
            );
            let call = fault
                .calls
                .trim_start_matches('?')
                .split(',')
                .next()
                .unwrap();
            let name = format!("{call} of out{}: {error}", fault.file);
            if hits == 0 {
                // The run was over before.
                assert!(
                    matches!(run.status.code(), Some(0 | 3)),
                    "{name}, call {when}, did not strike, seed {seed}: {run:?}"
                );
                bench.assert_few_twice();
            } else {
                println!("{name}, call {when}");
                assert_told(&run, &bench.file(fault.named));
                bench.broken(from);
                *struck.entry(name).or_default() += 1;
                total += 1;
            }
            if bench.file(".checkpoint").exists() {
                bench.more(40);
            }
        }
        bench.finish();
    }
    println!("{output}: {total} faults struck: {struck:#?}");
}

/// What a power loss leaves: bytes that no commit covers. After a closing
/// commit there can be none in the outputs.
fn smear(bench: &Bench) {
    let status = bench.run(&["status"], 0);
    let endings = match String::from_utf8_lossy(&status.stdout).contains("interrupted") {
        true => &["", ".failed.ndjson", ".versions", ".checkpoint"][..],
        false => &[".versions", ".checkpoint"],
    };
    for ending in endings {
        let path = bench.file(ending);
        // Nothing is left in a file that nothing was written to.
        if fs::metadata(&path).is_ok_and(|there| there.len() > 0) {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"{\"id\":\"ha").unwrap();
        }
    }
}

fn goal() -> usize {
    if nightly() { 300 } else { 55 }
}

#[test]
fn an_ndjson_job_goes_on_after_any_failing_system_call() {
    if tracer() {
        series("out.ndjson", goal(), seed());
    }
}

#[test]
fn a_csv_job_goes_on_after_any_failing_system_call() {
    if tracer() {
        series("out.csv", goal(), seed());
    }
}

/// After an fdatasync that failed, Linux keeps the pages and calls them clean:
/// the next run reads a block that may never reach the disk. It is written
/// again, durably, before anything follows it.
#[test]
fn a_block_whose_fdatasync_failed_is_made_durable_before_anything_follows_it() {
    if !tracer() {
        return;
    }
    let mut bench = Bench::new("out.ndjson", 60, "200/s");
    let (run, hits) = bench.injected(".checkpoint", "fdatasync", "error=EIO:when=3");
    assert_eq!(hits, 1);
    assert_told(&run, &bench.file(".checkpoint"));
    bench.broken(0);
    let before = fs::metadata(bench.file(".checkpoint")).unwrap().len();

    // Only watched: a microsecond's delay is no fault.
    let (run, _) = bench.injected(
        ".checkpoint",
        "lseek,write,fdatasync,ftruncate",
        "delay_enter=1:when=1",
    );
    assert_exit(&run, 3);
    let trace = bench.place.read("trace");
    let calls: Vec<&str> = trace
        .lines()
        .map(|line| line.split_once(' ').unwrap().1.trim_start())
        .filter(|call| !call.starts_with("lseek") || call.contains("SEEK_SET"))
        .collect();
    let number = |text: &str| -> u64 {
        let digits = text.trim_end_matches(" (DELAYED)");
        digits.rsplit(' ').next().unwrap().parse().unwrap()
    };
    // Back to the block's start, the block, durable; then the next block, durable.
    let [.., back, again, durable, next, durable_too] = &calls[..6.min(calls.len())] else {
        panic!("{trace}");
    };
    let handle = |call: &str| call.split(['(', ',', ')']).nth(1).unwrap().to_owned();
    assert!(
        back.starts_with("lseek") && again.starts_with("write"),
        "{trace}"
    );
    assert_eq!(number(back) + number(again), before, "{trace}");
    assert_eq!(handle(back), handle(again), "{trace}");
    assert!(
        durable.starts_with("fdatasync") && handle(durable) == handle(again),
        "{trace}"
    );
    assert!(
        next.starts_with("write") && durable_too.starts_with("fdatasync"),
        "{trace}"
    );
    assert_eq!(handle(next), handle(durable_too), "{trace}");
    bench.finish();
}

/// A call that a signal interrupted is no fault.
#[test]
fn interrupted_calls_are_tried_again() {
    if !tracer() {
        return;
    }
    for (file, calls) in [
        ("", "write"),
        ("", "fdatasync"),
        (".checkpoint", "write"),
        (".checkpoint", "fdatasync"),
        (".failed.ndjson", "write,openat"),
        (".versions", "write,openat,fdatasync"),
        ("", "ftruncate,openat"),
        (".checkpoint", "read,openat,ftruncate"),
    ] {
        let mut bench = Bench::new("out.ndjson", 60, "200/s");
        let (mut run, mut hits) = bench.injected(file, calls, "error=EINTR:when=1+2");
        if calls.contains("ftruncate") {
            bench.more(20);
            (run, hits) = bench.injected(file, calls, "error=EINTR:when=1+2");
        }
        assert!(hits > 0, "{calls} of {file}: never interrupted");
        assert_exit(&run, 3);
        assert_clean(&run);
        bench.finish();
    }
}

/// A disk that says it wrote and did not.
#[test]
fn a_write_that_lies_is_found_out() {
    if !tracer() {
        return;
    }
    for file in ["", ".failed.ndjson", ".checkpoint", ".versions"] {
        let mut bench = Bench::new("out.ndjson", 60, "200/s");
        let (run, hits) = bench.injected(file, "write", "retval=7:when=2");
        assert_eq!(hits, 1);
        assert_told(&run, &bench.file(file));
        bench.broken(0);
        bench.finish();
    }
}
