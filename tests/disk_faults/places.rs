//! Files that are not what they should be when a run begins: refused with a
//! message, at once, and nothing is touched.

use crate::bench::{Bench, assert_told};
use crate::support::{assert_exit, told};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => fs::remove_dir(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// What it is, and how it is made.
type Stranger = (&'static str, fn(&Path));

/// What may stand where a file should be.
const STRANGERS: &[Stranger] = &[
    ("a folder", |path| fs::create_dir(path).unwrap()),
    ("a FIFO", fifo),
    ("a link to a folder", |path| symlink("/tmp", path).unwrap()),
    ("a link to a device", |path| {
        symlink("/dev/full", path).unwrap()
    }),
    ("a link to itself", |path| symlink(path, path).unwrap()),
];

#[test]
fn what_is_no_file_is_refused_at_once() {
    for (stranger, make) in STRANGERS {
        let mut bench = Bench::new("out.ndjson", 20, "unlimited");
        for begun in [false, true] {
            for ending in ["", ".checkpoint", ".failed.ndjson", ".versions", ".lock"] {
                let path = bench.file(ending);
                let kept = path.with_extension("kept");
                let there = path.exists();
                if there {
                    fs::rename(&path, &kept).unwrap();
                }
                make(&path);
                bench.more(5);
                let lines = bench.answered().len();
                println!("{stranger} at {ending:?}, begun: {begun}");
                // An output is named as what it leads to.
                let leads_to = match ending {
                    "" => fs::read_link(&path).unwrap_or(path.clone()),
                    _ => bench.file(""),
                };
                assert_told(&bench.limited(&[]), &leads_to);
                assert_eq!(bench.answered().len(), lines, "it sent something");
                // Whoever only looks does not wait either.
                for word in ["status", "check"] {
                    let look = bench.command(&[word]);
                    let told_so = crate::bench::limited(None::<&str>, &look);
                    assert!(
                        matches!(told_so.status.code(), Some(0 | 1)),
                        "{}",
                        told(&told_so)
                    );
                }
                remove(&path);
                if there {
                    fs::rename(&kept, &path).unwrap();
                }
            }
            bench.finish();
        }
    }
}

#[test]
fn a_draft_that_is_no_file_is_refused_and_left() {
    for (stranger, make) in STRANGERS {
        println!("{stranger}");
        let bench = Bench::new("out.ndjson", 20, "unlimited");
        let draft = bench.file(".checkpoint.tmp");
        make(&draft);
        assert_told(&bench.limited(&[]), &draft);
        assert!(bench.answered().is_empty(), "it sent something");
        assert!(fs::symlink_metadata(&draft).is_ok(), "it was removed");
        remove(&draft);
        bench.finish();
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let bench = Bench::new("out.ndjson", 20, "unlimited");
    let mut there = "out.ndjson";
    for path in [
        "none/out.ndjson",
        "none/deeper/out.ndjson",
        "ids.txt/out.ndjson",
    ] {
        bench.edit(there, path);
        there = path;
        let run = bench.limited(&[]);
        assert_told(&run, Path::new(path));
        assert!(bench.answered().is_empty());
    }
    bench.edit(there, "none/out.ndjson");
    fs::create_dir(bench.file("/").join("none")).unwrap();
    assert_exit(&bench.limited(&[]), 3);
}

/// An output behind a link is written where the link leads.
#[test]
fn a_link_to_another_disk_is_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let bench = Bench::new("out.ndjson", 20, "unlimited");
    let real = elsewhere.path().join("real.ndjson");
    symlink(&real, bench.file("")).unwrap();
    assert_exit(&bench.limited(&[]), 3);
    assert!(fs::symlink_metadata(bench.file("")).unwrap().is_symlink());
    for ending in [".checkpoint", ".failed.ndjson"] {
        let name = format!("real.ndjson{ending}");
        assert!(elsewhere.path().join(&name).exists(), "{name}");
        fs::copy(elsewhere.path().join(&name), bench.file(ending)).unwrap();
    }
    bench.assert_few_twice();
}

/// The failures file and the output: shortened, lengthened, replaced, missing.
#[test]
fn a_failures_file_or_an_output_that_was_changed_is_refused_until_it_is_restored() {
    let mut bench = Bench::new("out.ndjson", 60, "unlimited");
    assert_exit(&bench.limited(&[]), 3);
    bench.more(20);
    for ending in ["", ".failed.ndjson"] {
        let path = bench.file(ending);
        let good = fs::read(&path).unwrap();
        let mut other = good.clone();
        other.reverse();
        let longer = [&good[..], b"{}\n"].concat();
        for changed in [&good[..good.len() - 1], &good[..0], &other, &longer] {
            fs::write(&path, changed).unwrap();
            let lines = bench.answered().len();
            assert_told(&bench.limited(&[]), &path);
            assert_eq!(bench.answered().len(), lines, "it sent something");
            assert_eq!(fs::read(&path).unwrap(), changed, "it was touched");
        }
        fs::remove_file(&path).unwrap();
        assert_told(&bench.limited(&[]), &path);
        assert!(!path.exists());
        fs::write(&path, good).unwrap();
    }
    // Without its checkpoint an output is nobody's.
    let kept = fs::read(bench.file(".checkpoint")).unwrap();
    fs::remove_file(bench.file(".checkpoint")).unwrap();
    let output = fs::read(bench.file("")).unwrap();
    assert_told(&bench.limited(&[]), &bench.file(""));
    assert_eq!(fs::read(bench.file("")).unwrap(), output);
    fs::write(bench.file(".checkpoint"), kept).unwrap();
    bench.finish();
}
