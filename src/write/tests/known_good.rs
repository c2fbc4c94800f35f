//! The item that was answered well, from run to run.

use super::*;
use std::time::Duration;

fn retrying(output: &Path) -> OpenOptions {
    OpenOptions {
        retry: true,
        ..options(output)
    }
}

fn update(output: &Path) -> (Opened, Update) {
    let base = open(options(output)).unwrap();
    open_update(&options(output), base, Duration::ZERO).unwrap()
}

/// What the checkpoint knows to be good.
fn kept(options: OpenOptions) -> Option<String> {
    open(options).unwrap().resumed.unwrap().known_good
}

fn checkpoint_length(output: &Path) -> u64 {
    let path = Files::of(output).unwrap().checkpoint;
    fs::metadata(path).unwrap().len()
}

#[test]
fn it_is_kept_until_another_takes_its_place_or_none_does() {
    let folder = quick_folder();
    let output = folder.path().join("out.ndjson");
    let mut writer = open(options(&output)).unwrap().writer;
    writer.append(&outcome(0)).unwrap();
    writer.commit(note(1), Some("0"), Closing::No).unwrap();
    // It is written when it changes, and not again.
    let mut lengths = vec![checkpoint_length(&output)];
    for n in 2..4 {
        writer.commit(note(n), Some("0"), Closing::No).unwrap();
        lengths.push(checkpoint_length(&output));
    }
    writer.commit(note(4), Some("1"), Closing::No).unwrap();
    lengths.push(checkpoint_length(&output));
    let grown: Vec<u64> = lengths.windows(2).map(|l| l[1] - l[0]).collect();
    assert_eq!(grown, [grown[0], grown[0], grown[0] + 4 + 1]);
    drop(writer);
    assert_eq!(kept(options(&output)).as_deref(), Some("1"));
    // A run that never asked says the same of it.
    let mut writer = open(options(&output)).unwrap().writer;
    writer.commit(note(5), Some("1"), Closing::Paused).unwrap();
    drop(writer);
    assert_eq!(kept(options(&output)).as_deref(), Some("1"));
    // One that is too long for each commit that might change it, and none.
    for gone in [Some("x".repeat(4_097)), None] {
        let mut writer = open(options(&output)).unwrap().writer;
        let longest = "y".repeat(4_096);
        writer.commit(note(6), Some(&longest), Closing::No).unwrap();
        writer
            .commit(note(7), gone.as_deref(), Closing::Paused)
            .unwrap();
        drop(writer);
        assert_eq!(kept(options(&output)), None);
    }
}

#[test]
fn a_retry_and_an_update_keep_it_and_starting_over_does_not() {
    let folder = quick_folder();
    let output = folder.path().join("out.ndjson");
    finish(&output, 9); // 2, 5 and 8 fail
    let mut opened = open(retrying(&output)).unwrap();
    for (n, good) in [(2, "2"), (5, "2"), (8, "8")] {
        opened.writer.append(&outcome(n)).unwrap();
        opened
            .writer
            .commit(note(1), Some(good), Closing::No)
            .unwrap();
    }
    opened
        .writer
        .commit(note(2), Some("8"), Closing::Paused)
        .unwrap();
    drop(opened);
    assert_eq!(kept(retrying(&output)).as_deref(), Some("8"));

    // The update begins with the old output's, …
    let (mut opened, under_way) = update(&output);
    let before = opened.resumed.as_ref().unwrap();
    assert_eq!(before.known_good.as_deref(), Some("8"));
    opened.writer.append(&outcome(0)).unwrap();
    opened
        .writer
        .commit(note(3), Some("0"), Closing::Paused)
        .unwrap();
    drop((opened, under_way));
    // … goes on with its own, and hands it on to the next checkpoint.
    let (mut opened, under_way) = update(&output);
    let before = opened.resumed.as_ref().unwrap();
    assert_eq!(before.known_good.as_deref(), Some("0"));
    opened
        .writer
        .commit(note(4), Some("0"), Closing::Finished)
        .unwrap();
    drop(opened);
    under_way.finish().unwrap().unwrap();
    assert_eq!(kept(options(&output)).as_deref(), Some("0"));

    let fresh = OpenOptions {
        fresh: true,
        ..options(&output)
    };
    assert_eq!(kept(fresh), None);
}
