//! Whole runs: opened, killed, opened again.

use super::sink::{Sink, Target};
use super::*;
use crate::checkpoint::{
    CheckpointError, Claim, DoneSet, ItemKey, Journal, OutputLock, Shape, State,
};
use crate::job::{IdForm, OutputFormat, RecordForm};
use crate::outcome::{Failure, Outcome, Reason, Record};
use crate::pace::Note;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

mod kills;
mod known_good;
mod paged_updates;
mod pages;
mod refusals;
mod retries;
mod updates;

/// In memory where that exists: these tests fsync thousands of times.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn options(output: &Path) -> OpenOptions {
    OpenOptions {
        output: output.to_path_buf(),
        format: OutputFormat::Ndjson,
        id_form: IdForm::Text,
        record: RecordForm::Body,
        columns: vec![],
        shape: Shape {
            fields: vec![("request.url".to_owned(), "http://x/{id}".to_owned())],
        },
        fresh: false,
        retry: false,
    }
}

fn note(n: u64) -> Note {
    Note {
        at_ms: n,
        starts: 1,
        ..Note::default()
    }
}

/// Item `n`: every third fails.
fn outcome(n: u32) -> Outcome {
    let fate = if n % 3 == 2 {
        let message = "gone".to_owned();
        Err(Failure {
            status: Some(404),
            reason: Reason::NotFound,
            message,
            attempts: 1,
            at: UNIX_EPOCH,
            is_there: false,
        })
    } else {
        let body = format!("{{\"id\":\"{n}\"}}").into_bytes().into();
        Ok(Record {
            status: 200,
            fetched_at: UNIX_EPOCH,
            body,
            validators: Default::default(),
        })
    };
    Outcome {
        id: n.to_string(),
        occurrence: 0,
        fate,
        pages: None,
    }
}

/// The IDs in both files, each line parsed. Panics when one is there twice.
fn written(output: &Path) -> BTreeSet<u32> {
    let files = Files::of(output).unwrap();
    let mut ids = BTreeSet::new();
    for path in [&files.output, &files.failures] {
        let text = fs::read_to_string(path).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'));
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(ids.insert(line["id"].as_str().unwrap().parse().unwrap()));
        }
    }
    ids
}

/// Exactly the written items are done.
fn assert_consistent(output: &Path, done: &DoneSet) -> BTreeSet<u32> {
    let ids = written(output);
    assert_eq!(ids.len(), done.len());
    assert!(
        ids.iter()
            .all(|id| done.contains(ItemKey::of(&id.to_string(), 0)))
    );
    ids
}

/// Fetches whatever of 0..n is not done, and finishes.
fn finish(output: &Path, n: u32) {
    let Opened {
        mut writer,
        mut done,
        ..
    } = open(options(output)).unwrap();
    for n in 0..n {
        if let Claim::New { .. } = done.claim(&n.to_string(), false) {
            writer.append(&outcome(n)).unwrap();
        }
    }
    writer.commit(note(99), None, Closing::Finished).unwrap();
    drop(writer);
    let opened = open(options(output)).unwrap();
    assert!(opened.resumed.unwrap().finished);
    assert_eq!(assert_consistent(output, &opened.done), (0..n).collect());
}

/// A folder with a run of several commits, with a pause in it; the files' bytes.
fn sample(folder: &Path, last: Closing) -> (PathBuf, [Vec<u8>; 3]) {
    let output = folder.join("out.ndjson");
    let mut writer = open(options(&output)).unwrap().writer;
    for n in 0..12 {
        writer.append(&outcome(n)).unwrap();
        if n == 3 {
            writer.commit(note(1), None, Closing::No).unwrap();
        } else if n == 5 {
            writer.commit(note(2), None, Closing::Paused).unwrap();
            drop(writer);
            writer = open(options(&output)).unwrap().writer;
        } else if n == 8 {
            writer.commit(note(3), None, Closing::No).unwrap();
        }
    }
    writer.commit(note(4), None, last).unwrap();
    let files = Files::of(&output).unwrap();
    let bytes =
        [&files.output, &files.failures, &files.checkpoint].map(|path| fs::read(path).unwrap());
    (output, bytes)
}

fn restore(output: &Path, bytes: &[Vec<u8>; 3]) {
    let files = Files::of(output).unwrap();
    for (path, bytes) in [&files.output, &files.failures, &files.checkpoint]
        .into_iter()
        .zip(bytes)
    {
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_writer_can_have_its_own_thread() {
    fn send<T: Send>() {}
    send::<Opened>();
}

#[test]
fn a_run_is_resumed_with_all_that_it_knew() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = sample(folder.path(), Closing::Finished);
    let seen = inspect(&output).unwrap().unwrap();
    assert_eq!(
        (seen.done, seen.records, seen.finished, seen.running),
        (12, 8, true, None)
    );
    let opened = open(options(&output)).unwrap();
    assert_eq!(assert_consistent(&output, &opened.done), (0..12).collect());
    assert_eq!(opened.writer.counts().records, 8);
    assert_eq!(
        opened.writer.counts().bytes,
        fs::metadata(&output).unwrap().len()
    );
    let resumed = opened.resumed.unwrap();
    assert_eq!(
        (
            resumed.records,
            resumed.done,
            resumed.dropped_bytes,
            resumed.finished
        ),
        (8, 12, 0, true)
    );
    assert_eq!(resumed.failures.get("not_found"), Some(&4));
    assert_eq!(resumed.notes, [1, 2, 3, 4].map(note));
    drop(opened.writer);
    assert!(inspect(&folder.path().join("none")).unwrap().is_none());
    let lock = OutputLock::acquire(&output).unwrap();
    assert!(
        inspect(&output)
            .unwrap()
            .unwrap()
            .running
            .unwrap()
            .contains("process")
    );
    drop(lock);
    finish(&output, 20);
}

#[test]
fn csv_columns_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&folder.path().join("out.csv"));
    options.format = OutputFormat::Delimited { delimiter: b',' };
    for n in [0, 1, 3, 4] {
        let mut writer = open(options.clone()).unwrap().writer;
        writer.append(&outcome(n)).unwrap();
        writer.commit(note(1), None, Closing::No).unwrap();
        writer.append(&outcome(n + 100)).unwrap(); // lost
    }
    assert_eq!(
        fs::read_to_string(&options.output).unwrap(),
        "id\n0\n1\n3\n4\n"
    );
    // Too deep for the tree that this column needs.
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    options.output = folder.path().join("paths.csv");
    options.columns = vec![(
        "x".to_owned(),
        serde_json_path::JsonPath::parse("$..id").unwrap(),
    )];
    let mut writer = open(options.clone()).unwrap().writer;
    let record = Record {
        status: 200,
        fetched_at: UNIX_EPOCH,
        body: deep.into_bytes().into(),
        validators: Default::default(),
    };
    writer
        .append(&Outcome {
            id: "d".to_owned(),
            occurrence: 0,
            fate: Ok(record),
            pages: None,
        })
        .unwrap();
    writer.commit(note(1), None, Closing::Finished).unwrap();
    assert_eq!(writer.failures().get("malformed_body"), Some(&1));
    assert_eq!(fs::read_to_string(&options.output).unwrap(), "x\n");
    drop(writer);
    assert_eq!(open(options).unwrap().resumed.unwrap().done, 1);
}

/// A writer onto another file than its checkpoint's output.
fn onto(folder: &Path, file: fs::File) -> (Writer, PathBuf) {
    let path = folder.join("out.ndjson");
    let checkpoint = Files::of(&path).unwrap().checkpoint;
    let journal = Journal::create(&checkpoint, &Shape::default(), 0, vec![]).unwrap();
    let sink = Sink::new(Target::File(file), &path, 0);
    let (options, state) = (options(&path), State::default());
    (
        Writer::resume(
            &options,
            &state,
            sink,
            Err(folder.join("f")),
            (
                super::versions::Versions::later(folder.join("v"), 0),
                Default::default(),
            ),
            (journal, checkpoint),
        ),
        path,
    )
}

#[cfg(target_os = "linux")]
#[test]
fn after_an_error_nothing_is_written_any_more() {
    let folder = tempfile::tempdir().unwrap();
    // An fdatasync of a pipe fails; a write to /dev/full does.
    let (_reader, pipe) = std::io::pipe().unwrap();
    let pipe = fs::File::from(std::os::fd::OwnedFd::from(pipe));
    let full = fs::OpenOptions::new()
        .append(true)
        .open("/dev/full")
        .unwrap();
    for (file, told) in [
        (pipe, "durable"),
        (full, "free some space and run the same command again"),
    ] {
        let (mut writer, path) = onto(folder.path(), file);
        writer.append(&outcome(0)).unwrap();
        let error = writer
            .commit(note(1), None, Closing::No)
            .unwrap_err()
            .to_string();
        assert!(error.contains(told), "{error}");
        for result in [
            writer.append(&outcome(1)).map(drop),
            writer.commit(note(1), None, Closing::Paused),
        ] {
            match result.unwrap_err() {
                WriteError::Poisoned { first } => assert_eq!(first, error),
                other => panic!("{other}"),
            }
        }
        assert_eq!(inspect(&path).unwrap().unwrap().committed_at, None);
    }
}

#[cfg(unix)]
#[test]
fn an_output_that_is_moved_or_touched_meanwhile_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.ndjson");
    let mut writer = open(options(&output)).unwrap().writer;
    writer.append(&outcome(0)).unwrap();
    fs::rename(&output, folder.path().join("moved")).unwrap();
    assert!(matches!(
        writer.commit(note(1), None, Closing::No),
        Err(WriteError::Disturbed { .. })
    ));
    fs::rename(folder.path().join("moved"), &output).unwrap();
    drop(writer);
    let mut writer = open(options(&output)).unwrap().writer;
    writer.append(&outcome(0)).unwrap();
    fs::OpenOptions::new()
        .append(true)
        .open(&output)
        .unwrap()
        .write_all(b"x")
        .unwrap();
    assert!(matches!(
        writer.commit(note(1), None, Closing::No),
        Err(WriteError::Disturbed { .. })
    ));
    drop(writer);
    finish(&output, 3);
}
