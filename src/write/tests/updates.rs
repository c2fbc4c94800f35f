//! Updates with random fates, reopened at random, against a model of lines.

use super::*;
use crate::outcome::Validators;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What becomes of an item in the update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    NotAsked,
    Unchanged,
    Body,
    Gone,
    Down,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        Just(Turn::NotAsked),
        Just(Turn::Unchanged),
        Just(Turn::Body),
        Just(Turn::Gone),
        Just(Turn::Down),
    ]
}

fn failure(n: u32, reason: Reason) -> Outcome {
    Outcome {
        id: n.to_string(),
        occurrence: 0,
        fate: Err(Failure {
            status: None,
            reason,
            message: String::new(),
            attempts: 1,
            at: UNIX_EPOCH,
            is_there: false,
        }),
        pages: None,
    }
}

fn answered(n: u32, turn: Turn) -> Option<Outcome> {
    let record = match turn {
        Turn::NotAsked => return None,
        Turn::Gone => return Some(failure(n, Reason::NotFound)),
        Turn::Down => return Some(failure(n, Reason::Timeout)),
        Turn::Unchanged => Record::unchanged(UNIX_EPOCH, Validators::default()),
        Turn::Body => Record {
            status: 200,
            fetched_at: UNIX_EPOCH,
            body: format!("{{\"id\":\"{n}\",\"new\":true}}")
                .into_bytes()
                .into(),
            validators: Validators::default(),
        },
    };
    Some(Outcome {
        id: n.to_string(),
        occurrence: 0,
        fate: Ok(record),
        pages: None,
    })
}

fn update(output: &Path) -> (Opened, Update) {
    let base = open(options(output)).unwrap();
    open_update(&options(output), base, Duration::ZERO).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]
    #[test]
    fn every_line_is_the_old_one_or_the_new_one_in_its_place(
        size in 0u32..14,
        turns in proptest::collection::vec((turn(), 0u8..6), 1..20),
    ) {
        let folder = quick_folder();
        let output = folder.path().join("out.ndjson");
        let files = Files::of(&output).unwrap();
        let mut writer = open(options(&output)).unwrap().writer;
        for n in 0..size {
            writer.append(&outcome(n)).unwrap(); // every third fails
        }
        writer.commit(note(1), None, Closing::Finished).unwrap();
        drop(writer);
        let before = fs::read(&files.output).unwrap();

        let mut model: Vec<(u32, String)> = (0..size)
            .filter(|n| n % 3 != 2)
            .map(|n| (n, format!("{{\"id\":\"{n}\"}}")))
            .collect();
        let mut failed: BTreeSet<u32> = (0..size).filter(|n| n % 3 == 2).collect();
        let mut expected = Updated::default();
        let mut asked = BTreeMap::new();

        let (mut opened, mut under_way) = update(&output);
        for (n, (turn, event)) in (0u32..).zip(turns) {
            // What a conditional request can't be answered with.
            let known = model.iter().any(|(id, _)| *id == n);
            let turn = if turn == Turn::Unchanged && !known { Turn::Body } else { turn };
            if let Some(outcome) = answered(n, turn) {
                opened.writer.append(&outcome).unwrap();
                asked.insert(n, turn);
            }
            match event {
                0 => opened.writer.commit(note(2), None, Closing::No).unwrap(),
                1 => {
                    opened.writer.commit(note(2), None, Closing::Paused).unwrap();
                    drop(opened);
                    drop(under_way);
                    prop_assert_eq!(&fs::read(&files.output).unwrap(), &before);
                    (opened, under_way) = update(&output);
                    prop_assert_eq!(opened.done.len(), asked.len());
                }
                _ => {}
            }
        }
        opened.writer.commit(note(3), None, Closing::Finished).unwrap();
        drop(opened);
        let updated = under_way.finish().unwrap();

        for (&n, &turn) in &asked {
            let place = model.iter().position(|(id, _)| *id == n);
            match (turn, place) {
                (Turn::Unchanged, _) => expected.unchanged += 1,
                (Turn::Body, Some(place)) => {
                    model[place].1 = format!("{{\"id\":\"{n}\",\"new\":true}}");
                    expected.changed += 1;
                }
                (Turn::Body, None) => {
                    model.push((n, format!("{{\"id\":\"{n}\",\"new\":true}}")));
                    failed.remove(&n);
                    expected.added += 1;
                }
                (Turn::Gone, Some(place)) => {
                    model.remove(place);
                    failed.insert(n);
                    expected.gone += 1;
                }
                (Turn::Down, Some(_)) => expected.kept += 1,
                (Turn::Gone | Turn::Down, None) => {
                    failed.insert(n);
                }
                (Turn::NotAsked, _) => {}
            }
        }
        expected.records = model.len() as u64;
        expected.failed = failed.len() as u64;
        prop_assert_eq!(updated, (!asked.is_empty()).then_some(expected));
        let lines: String = model.iter().map(|(_, line)| format!("{line}\n")).collect();
        prop_assert_eq!(fs::read_to_string(&files.output).unwrap(), lines);
        let left = fs::read_dir(folder.path()).unwrap().count();
        prop_assert!(left <= 4, "something is left over");

        // The output goes on as if one run had written it.
        let opened = open(options(&output)).unwrap();
        let all = assert_consistent(&output, &opened.done);
        prop_assert_eq!(all.len(), model.len() + failed.len());
        prop_assert!(opened.resumed.as_ref().unwrap().finished);
        let (opened, under_way) = {
            let base = opened;
            open_update(&options(&output), base, Duration::ZERO).unwrap()
        };
        prop_assert!(opened.done.is_empty());
        let known = under_way.known();
        for n in 0..30 {
            let has = model.iter().any(|(id, _)| *id == n);
            prop_assert_eq!(known.find(&n.to_string(), 0).unwrap().is_some(), has);
        }
    }
}

#[test]
fn an_update_of_another_output_is_not_gone_on_with() {
    let folder = quick_folder();
    let output = folder.path().join("out.ndjson");
    finish(&output, 5);
    let (mut opened, _) = update(&output);
    opened
        .writer
        .append(&answered(0, Turn::Body).unwrap())
        .unwrap();
    opened
        .writer
        .commit(note(1), None, Closing::Paused)
        .unwrap();
    drop(opened);
    assert_eq!(under_way(&output), Some(1));
    // Someone removes the output and its checkpoint, and fetches everything anew.
    let files = Files::of(&output).unwrap();
    for path in [&files.output, &files.checkpoint, &files.failures] {
        fs::remove_file(path).unwrap();
    }
    std::thread::sleep(Duration::from_millis(2)); // made at another moment
    finish(&output, 5);
    let (opened, _) = update(&output);
    assert!(opened.done.is_empty());
}

#[test]
fn starting_over_forgets_an_update() {
    let folder = quick_folder();
    let output = folder.path().join("out.ndjson");
    finish(&output, 5);
    let (mut opened, _) = update(&output);
    opened
        .writer
        .append(&answered(0, Turn::Body).unwrap())
        .unwrap();
    opened
        .writer
        .commit(note(7), None, Closing::Paused)
        .unwrap();
    drop(opened);
    let fresh = open(OpenOptions {
        fresh: true,
        ..options(&output)
    })
    .unwrap();
    // The requests of the update count for the quotas still.
    let notes = fresh.resumed.unwrap().notes;
    assert!(notes.iter().any(|note| note.at_ms == 7), "{notes:?}");
    assert_eq!(under_way(&output), None);
}

#[test]
fn without_versions_there_is_no_update() {
    let folder = quick_folder();
    let output = folder.path().join("out.ndjson");
    finish(&output, 5);
    fs::remove_file(Files::of(&output).unwrap().versions).unwrap();
    let base = open(options(&output)).unwrap();
    let error = open_update(&options(&output), base, Duration::ZERO).unwrap_err();
    assert!(matches!(error, WriteError::NoVersions { .. }), "{error}");
    // Nothing but updates needs them.
    finish(&output, 9);
}

#[test]
fn an_output_that_was_edited_during_the_update_is_refused() {
    let folder = quick_folder();
    let output = folder.path().join("out.ndjson");
    finish(&output, 5);
    let (mut opened, under_way) = update(&output);
    opened
        .writer
        .append(&answered(0, Turn::Body).unwrap())
        .unwrap();
    opened
        .writer
        .commit(note(1), None, Closing::Finished)
        .unwrap();
    drop(opened);
    let text = fs::read_to_string(&output).unwrap();
    std::thread::sleep(Duration::from_millis(20)); // another modification time
    fs::write(&output, text.replacen("\"1\"", "\"9\"", 1)).unwrap();
    let error = under_way.finish().unwrap_err();
    assert!(
        matches!(
            error,
            WriteError::Checkpoint(CheckpointError::Changed { .. })
        ),
        "{error}"
    );
}
