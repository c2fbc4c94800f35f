//! Failed items that get a new fate, and kills in the midst of it.

use super::*;

/// Bytes of an "opened" block: its head, and when.
const OPENED: usize = 17 + 8;

fn retrying(output: &Path) -> OpenOptions {
    OpenOptions {
        retry: true,
        ..options(output)
    }
}

/// Item `n`'s record, whatever [`outcome`] says.
fn record(n: u32) -> Outcome {
    let body = format!("{{\"id\":\"{n}\"}}").into_bytes().into();
    Outcome {
        fate: Ok(Record {
            status: 200,
            fetched_at: UNIX_EPOCH,
            body,
            validators: Default::default(),
        }),
        ..outcome(n)
    }
}

fn draft(output: &Path) -> PathBuf {
    Files::temporary(&Files::of(output).unwrap().failures)
}

/// A finished run (2, 5, 8 and 11 failed) and a retry of it that was killed
/// right after its commit: 2 and 8 have records now, 5 failed again.
fn retried(folder: &Path, closing: Closing) -> (PathBuf, [Vec<u8>; 3], [Vec<u8>; 3]) {
    let (output, before) = sample(folder, Closing::Finished);
    let mut opened = open(retrying(&output)).unwrap();
    let failed: Vec<String> = opened
        .failed
        .take()
        .unwrap()
        .map(|i| i.unwrap().id)
        .collect();
    assert_eq!(failed, ["2", "5", "8", "11"]);
    for outcome in [record(2), record(8), outcome(5)] {
        opened.writer.append(&outcome).unwrap();
    }
    opened.writer.commit(note(5), None, closing).unwrap();
    let files = Files::of(&output).unwrap();
    let after =
        [&files.output, &files.failures, &files.checkpoint].map(|path| fs::read(path).unwrap());
    (output, before, after)
}

#[test]
fn a_new_fate_leaves_the_failures_file_in_its_commit() {
    let folder = quick_folder();
    let (output, ..) = retried(folder.path(), Closing::Paused);
    let opened = open(options(&output)).unwrap();
    assert_eq!(assert_consistent(&output, &opened.done), (0..12).collect());
    let resumed = opened.resumed.unwrap();
    assert_eq!((resumed.records, resumed.done), (10, 12));
    assert_eq!(resumed.failures, [("not_found".to_owned(), 2)].into());
    let lines = fs::read_to_string(Files::of(&output).unwrap().failures).unwrap();
    let ids: Vec<_> = lines.lines().map(|line| &line[..9]).collect();
    assert_eq!(ids, ["{\"id\":\"11", "{\"id\":\"5\""]);
}

#[test]
fn a_kill_at_any_byte_of_the_commit_undoes_or_finishes_it() {
    let folder = quick_folder();
    for closing in [Closing::No, Closing::Finished] {
        let (output, before, after) = retried(folder.path(), closing);
        let files = Files::of(&output).unwrap();
        for cut in before[2].len()..=after[2].len() {
            // The new file is durable, and has not its name yet.
            let torn = after[2][..cut].to_vec();
            restore(&output, &[after[0].clone(), before[1].clone(), torn]);
            fs::write(draft(&output), &after[1]).unwrap();
            // Nothing is appended to an output before the "opened" block is durable.
            if cut < before[2].len() + OPENED {
                fs::write(&files.output, &before[0]).unwrap();
            }
            let opened = open(retrying(&output)).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
            assert_eq!(assert_consistent(&output, &opened.done), (0..12).collect());
            let whole = cut == after[2].len();
            let want = if whole { &after[1] } else { &before[1] };
            assert!(&fs::read(&files.failures).unwrap() == want, "cut at {cut}");
            assert!(!draft(&output).exists(), "cut at {cut}");
            assert_eq!(opened.failed.unwrap().count(), if whole { 2 } else { 4 });
        }
        // The new file has its name, and the run was killed before anything else.
        restore(&output, &after);
        let opened = open(options(&output)).unwrap();
        assert_eq!(assert_consistent(&output, &opened.done), (0..12).collect());
        for path in [&files.output, &files.failures, &files.checkpoint] {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_new_file_that_is_not_the_committed_one_is_refused() {
    let folder = quick_folder();
    let (output, before, after) = retried(folder.path(), Closing::No);
    for at in 0..after[1].len() {
        let mut changed = after[1].clone();
        changed[at] ^= 1;
        restore(
            &output,
            &[after[0].clone(), before[1].clone(), after[2].clone()],
        );
        fs::write(draft(&output), &changed).unwrap();
        let refused = open(options(&output)).unwrap_err().to_string();
        assert!(refused.contains("out.ndjson.failed.ndjson"), "{refused}");
        assert!(fs::read(draft(&output)).unwrap() == changed);
    }
}

#[test]
fn many_commits_in_a_row_end_exactly_once_wherever_they_are_killed() {
    let folder = quick_folder();
    let output = folder.path().join("out.ndjson");
    finish(&output, 90);
    let mut opened = open(retrying(&output)).unwrap();
    let mut failed: Vec<u32> = (0..90).filter(|n| n % 3 == 2).collect();
    for round in 0..30 {
        // Some of these commits write no new file: it is too soon after the last.
        for n in failed.drain(..failed.len().min(2)) {
            opened.writer.append(&record(n)).unwrap();
        }
        opened
            .writer
            .commit(note(100 + round), None, Closing::No)
            .unwrap();
        if round % 4 == 3 {
            drop(opened);
            opened = open(retrying(&output)).unwrap();
            let all = assert_consistent(&output, &opened.done);
            assert_eq!(all, (0..90).collect());
            failed = match opened.failed.take() {
                Some(items) => items
                    .map(|item| item.unwrap().id.parse().unwrap())
                    .collect(),
                None => Vec::new(),
            };
        }
    }
    for n in failed {
        opened.writer.append(&record(n)).unwrap();
    }
    opened
        .writer
        .commit(note(999), None, Closing::Finished)
        .unwrap();
    assert!(!Files::of(&output).unwrap().failures.exists());
    drop(opened);
    let opened = open(options(&output)).unwrap();
    assert_eq!(opened.resumed.unwrap().records, 90);
    assert_eq!(assert_consistent(&output, &opened.done), (0..90).collect());
}
