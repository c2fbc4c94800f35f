//! Files of others: what harvest did not write keeps its bytes, whatever its name.

use crate::raw::{Raw, answer, ok};
use crate::support::{Place, assert_exit, harvest, told};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Every name that harvest may use beside an output.
const BESIDE: [&str; 21] = [
    ".lock",
    ".checkpoint",
    ".checkpoint.tmp",
    ".failed.ndjson",
    ".failed.ndjson.tmp",
    ".versions",
    ".updating",
    ".updating.tmp",
    ".updating.checkpoint",
    ".updating.checkpoint.tmp",
    ".updating.failed.ndjson",
    ".updating.failed.ndjson.tmp",
    ".updating.versions",
    ".updating.versions.tmp",
    ".next",
    ".next.tmp",
    ".next.checkpoint",
    ".next.checkpoint.tmp",
    ".next.failed.ndjson",
    ".next.failed.ndjson.tmp",
    ".next.versions",
];

/// What a person may keep in a file.
const NOTES: [&str; 2] = ["my notes\n", "{\"id\":\"mine\",\"title\":\"a record\"}\n"];

fn api() -> Raw {
    Raw::start(|request, _| match request.last() {
        "none" => answer("404 Not Found", "", ""),
        id => ok(format!("{{\"id\":\"{id}\"}}")),
    })
}

fn job(place: &Place, name: &str, api: &Raw, output: &str) -> PathBuf {
    place.write(
        name,
        &format!(
            "[ids]\nlist = [\"a\", \"none\", \"b\"]\n[request]\nurl = \"{}/items/{{id}}\"\n\
             [limits]\nrate = \"unlimited\"\n[output]\npath = \"{output}\"\n",
            api.base()
        ),
    )
}

fn run(words: &[&str], job: &Path) -> Output {
    harvest().args(words).arg(job).output().unwrap()
}

/// Everything that a person may type, on an output that is new and on one that is finished.
const COMMANDS: [(&[&str], bool); 5] = [
    (&["run"], false),
    (&["run"], true),
    (&["run", "--update"], true),
    (&["retry"], true),
    (&["run", "--fresh", "--yes"], true),
];

#[track_caller]
fn assert_refused(output: &Output, path: &Path) {
    assert_exit(output, 1);
    let told = told(output);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(told.contains(name), "{name} is not named: {told}");
    assert!(told.contains("move it away"), "no next step: {told}");
}

#[test]
fn no_file_of_another_s_is_changed_or_removed() {
    let api = api();
    for ending in BESIDE {
        for (words, begun) in COMMANDS {
            for notes in NOTES {
                let place = Place::new();
                let job = job(&place, "job.toml", &api, "out.ndjson");
                if begun {
                    assert_exit(&run(&["run"], &job), 3);
                }
                let path = place.path(&format!("out.ndjson{ending}"));
                if path.exists() {
                    continue;
                }
                fs::write(&path, notes).unwrap();
                let (asked, output) = (api.seen().len(), place.lines("out.ndjson"));
                let refused = run(words, &job);
                println!("{words:?} with {ending}");
                assert_eq!(
                    fs::read_to_string(&path).unwrap(),
                    notes,
                    "{}",
                    told(&refused)
                );
                assert_refused(&refused, &path);
                assert_eq!(api.seen().len(), asked, "it sent something");
                assert_eq!(place.lines("out.ndjson"), output);
                // Moved away, it is in nobody's way.
                fs::remove_file(&path).unwrap();
                assert_exit(&run(words, &job), 3);
            }
        }
    }
}

#[test]
fn no_link_is_followed() {
    let api = api();
    for ending in BESIDE {
        for (words, begun) in COMMANDS {
            let place = Place::new();
            let job = job(&place, "job.toml", &api, "out.ndjson");
            if begun {
                assert_exit(&run(&["run"], &job), 3);
            }
            let path = place.path(&format!("out.ndjson{ending}"));
            let kept = place.path("kept");
            if path.exists() {
                continue;
            }
            for notes in ["", "my notes\n"] {
                fs::write(&kept, notes).unwrap();
                symlink(&kept, &path).unwrap();
                let asked = api.seen().len();
                let refused = run(words, &job);
                println!("{words:?} with a link at {ending}");
                assert_eq!(
                    fs::read_to_string(&kept).unwrap(),
                    notes,
                    "{}",
                    told(&refused)
                );
                assert_eq!(fs::read_link(&path).unwrap(), kept);
                assert_refused(&refused, &path);
                assert_eq!(api.seen().len(), asked, "it sent something");
                fs::remove_file(&path).unwrap();
            }
        }
    }
}

/// What is empty is nobody's.
#[test]
fn an_empty_file_is_in_nobody_s_way() {
    let api = api();
    for ending in BESIDE {
        let place = Place::new();
        let job = job(&place, "job.toml", &api, "out.ndjson");
        place.write(&format!("out.ndjson{ending}"), "");
        let output = run(&["run"], &job);
        // A checkpoint is made in one step: an empty one is none of ours.
        if ending == ".checkpoint" {
            assert_exit(&output, 1);
            continue;
        }
        println!("{ending}");
        assert_exit(&output, 3);
        for words in [&["run", "--update"][..], &["retry"]] {
            place.write(&format!("out.ndjson{ending}.x"), "");
            assert_exit(&run(words, &job), 3);
        }
    }
}

/// Of two jobs where one's output has the name of a file beside the other's.
#[test]
fn the_second_of_two_outputs_that_meet_is_refused() {
    let api = api();
    let sides = ["out.ndjson.failed.ndjson", "linked.ndjson"];
    for side in sides {
        for first_is_side in [false, true] {
            let place = Place::new();
            let link = place.path("linked.ndjson");
            symlink(place.path("out.ndjson.updating"), link).unwrap();
            let whole = job(&place, "job.toml", &api, "out.ndjson");
            let side = job(&place, "side.toml", &api, side);
            let (first, second) = match first_is_side {
                true => (&side, &whole),
                false => (&whole, &side),
            };
            assert_exit(&run(&["run"], first), 3);
            let read = || {
                let mut files: Vec<_> = fs::read_dir(place.path("."))
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .map(|path| (path.clone(), fs::read(path).ok()))
                    .collect();
                files.sort();
                files
            };
            let (before, asked) = (read(), api.seen().len());
            for words in [
                &["run"][..],
                &["retry"],
                &["run", "--update"],
                &["run", "--fresh", "--yes"],
            ] {
                let refused = run(words, second);
                assert_exit(&refused, 1);
                println!("{}", told(&refused));
                assert!(
                    told(&refused).contains("choose another output"),
                    "{words:?}: {}",
                    told(&refused)
                );
                assert_eq!(api.seen().len(), asked, "it sent something");
                assert!(read() == before, "{words:?} changed a file");
            }
            // The first one goes on as ever.
            assert_exit(&run(&["retry"], first), 3);
            assert_exit(&run(&["run", "--update"], first), 3);
        }
    }
}
