//! Promise 7: memory does not grow with the list.
#![cfg(target_os = "linux")]

use crate::support::{Api, Place, harvest, track_id};
use ::harvest::checkpoint::Shape;
use ::harvest::job::{LoadOptions, OutputTarget, load};
use ::harvest::outcome::{Outcome, Record, Validators};
use ::harvest::pace::Note;
use ::harvest::write::{self, Closing, OpenOptions};
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

const LINES: usize = 1_000_000;
const MOST_KB: u64 = 100_000;

/// Runs it to its end; the most memory that it held, in kB, and how it ended.
fn peak(command: &mut Command) -> (u64, ExitStatus) {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        // The kernel keeps the high-water mark, so only the last moments can be missed.
        let seen = fs::read_to_string(&status_file).unwrap_or_default();
        let now = seen.lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        });
        peak = peak.max(now.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            return (peak, status);
        }
        sleep(Duration::from_millis(5));
    }
}

fn write_million(path: &Path) {
    let mut file = BufWriter::new(fs::File::create(path).unwrap());
    for number in 0..LINES {
        writeln!(file, "{}", track_id(number)).unwrap();
    }
    file.flush().unwrap();
}

#[test]
fn a_million_ids_stay_under_100_mb() {
    let place = Place::new();
    let api = Api::start(&[]);
    write_million(&place.path("ids.txt"));
    let job = place.write(
        "job.toml",
        &api.job(
            "file = \"ids.txt\"",
            "rate = \"unlimited\"",
            "path = \"out.ndjson\"",
            "",
        ),
    );

    let (run, status) = peak(harvest().arg(&job).args(["--limit", "1000"]));
    assert_eq!(status.code(), Some(0));
    let ids: Vec<String> = (0..1_000).map(track_id).collect();
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));

    // The next thousand: what is done is found again in the same list.
    let (resumed, status) = peak(harvest().arg(&job).args(["--limit", "1000"]));
    assert_eq!(status.code(), Some(0));
    let ids: Vec<String> = (0..2_000).map(track_id).collect();
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));

    // Reads the whole list, to count it.
    let (check, status) = peak(harvest().arg("check").arg(&job));
    assert_eq!(status.code(), Some(0));

    println!("peak kB: run {run}, resumed {resumed}, check {check}");
    for (what, kb) in [("run", run), ("resumed run", resumed), ("check", check)] {
        assert!(kb > 1_000, "{what}: nothing was measured ({kb} kB)");
        assert!(kb < MOST_KB, "{what}: {kb} kB at its peak");
    }
}

/// An output of so many records, as a run that made so many commits would leave it.
fn write_records(job: &Path, count: usize, commits: usize, closing: Closing) {
    let job = load(job, &LoadOptions::default()).unwrap();
    let OutputTarget::File(output) = &job.output.target else {
        panic!("the output is a file");
    };
    let mut writer = write::open(OpenOptions {
        id_form: harvest::job::IdForm::default(),
        output: output.clone(),
        format: job.output.format,
        record: job.output.record,
        columns: job.output.columns.clone(),
        shape: Shape::of(&job),
        fresh: false,
        retry: false,
    })
    .unwrap()
    .writer;
    for number in 0..count {
        if number > 0 && number % (count / commits) == 0 {
            writer.commit(Note::default(), None, Closing::No).unwrap();
        }
        let id = track_id(number);
        let etag = format!("\"{number}\"").into_bytes().into();
        writer
            .append(&Outcome {
                pages: None,
                fate: Ok(Record {
                    status: 200,
                    fetched_at: SystemTime::now(),
                    body: format!("{{\"id\":\"{id}\"}}").into_bytes().into(),
                    validators: Validators {
                        etag: Some(etag),
                        last_modified: None,
                    },
                }),
                id,
                occurrence: 0,
            })
            .unwrap();
    }
    writer.commit(Note::default(), None, closing).unwrap();
}

#[test]
fn an_update_of_a_million_records_stays_under_100_mb() {
    let place = Place::new();
    let api = Api::start(&[]);
    write_million(&place.path("ids.txt"));
    let job = place.write(
        "job.toml",
        &api.job(
            "file = \"ids.txt\"",
            "rate = \"unlimited\"",
            "path = \"out.ndjson\"",
            "[update]\nolder_than = \"1h\"",
        ),
    );
    write_records(&job, LINES, 1, Closing::Finished);

    // Every record is looked at, and none is old enough.
    let (fresh, status) = peak(harvest().arg(&job));
    assert_eq!(status.code(), Some(0));
    assert!(api.items().is_empty());
    // A thousand new items, and the whole output is written anew.
    let more: Vec<String> = (LINES..LINES + 1_000).map(track_id).collect();
    let list = fs::read_to_string(place.path("ids.txt")).unwrap();
    place.write("ids.txt", &(list + &more.join("\n")));
    let (updated, status) = peak(harvest().arg(&job));
    assert_eq!(status.code(), Some(0));
    assert_eq!(place.lines("out.ndjson").len(), LINES + 1_000);

    println!("peak kB: nothing to update {fresh}, updated {updated}");
    for (what, kb) in [("nothing to update", fresh), ("updated", updated)] {
        assert!(kb > 1_000, "{what}: nothing was measured ({kb} kB)");
        assert!(kb < MOST_KB, "{what}: {kb} kB at its peak");
    }
}

/// As few as one commit, whose keys come in one piece, and so many that the checkpoint is made short.
#[test]
fn what_is_done_takes_at_most_40_bytes_an_id_when_a_run_goes_on() {
    const DONE: usize = 990_000;
    const MOST_FOR_IDS_KB: u64 = 40 * DONE as u64 / 1_000;
    const MOST_RESUMED_KB: u64 = 40_000 + MOST_FOR_IDS_KB;
    let place = Place::new();
    let api = Api::start(&[]);
    write_million(&place.path("ids.txt"));
    let job = |name: &str| {
        let output = format!("path = \"{name}.ndjson\"");
        let text = api.job("file = \"ids.txt\"", "rate = \"unlimited\"", &output, "");
        place.write(&format!("{name}.toml"), &text)
    };
    let (from_nothing, status) = peak(harvest().arg(job("none")).args(["--limit", "1000"]));
    assert_eq!(status.code(), Some(0));
    for commits in [1, 12_000] {
        let job = job(&format!("after_{commits}"));
        write_records(&job, DONE, commits, Closing::Paused);
        let (resumed, status) = peak(harvest().arg(&job).args(["--limit", "1000"]));
        assert_eq!(status.code(), Some(0));
        println!("peak kB: from nothing {from_nothing}, resumed after {commits} commits {resumed}");
        let for_ids = resumed.saturating_sub(from_nothing);
        assert!(for_ids > 10_000, "nothing was measured ({for_ids} kB)");
        assert!(for_ids < MOST_FOR_IDS_KB, "{commits} commits: {for_ids} kB");
        assert!(resumed < MOST_RESUMED_KB, "{commits} commits: {resumed} kB");
    }
}
