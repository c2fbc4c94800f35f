//! Random runs that are killed at random moments.

use super::*;
use proptest::prelude::*;

/// What happens to a run.
#[derive(Debug, Clone)]
enum Event {
    Append(u8),
    Commit(Closing),
    /// Killed between commits, with some bytes of each file on the disk.
    Kill(Vec<u8>, Vec<u8>),
    /// Killed while the block of a commit was written: this part of it is there (of 256).
    Tear(u8),
    Reopen,
}

fn event() -> impl Strategy<Value = Event> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        4 => (1u8..5).prop_map(Event::Append),
        3 => Just(Event::Commit(Closing::No)),
        1 => prop_oneof![Just(Closing::Paused), Just(Closing::Finished)].prop_map(Event::Commit),
        2 => (bytes(), bytes()).prop_map(|(output, failures)| Event::Kill(output, failures)),
        2 => any::<u8>().prop_map(Event::Tear),
        1 => Just(Event::Reopen),
    ]
}

fn smear(path: &Path, tail: &[u8]) {
    if !tail.is_empty() {
        fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap()
            .write_all(tail)
            .unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn exactly_the_committed_items_survive(events in proptest::collection::vec(event(), 1..30)) {
        let folder = quick_folder();
        let output = folder.path().join("out.ndjson");
        let files = Files::of(&output).unwrap();
        let (mut committed, mut pending) = (BTreeSet::new(), BTreeSet::new());
        let mut next = 0;
        let mut writer = open(options(&output)).unwrap().writer;
        for event in events {
            match event {
                Event::Append(n) => {
                    for _ in 0..n {
                        writer.append(&outcome(next)).unwrap();
                        pending.insert(next);
                        next += 1;
                    }
                    continue;
                }
                Event::Commit(closing) => {
                    writer.commit(note(1), None, closing).unwrap();
                    committed.append(&mut pending);
                    continue;
                }
                Event::Kill(output_tail, failures_tail) => {
                    writer.append(&outcome(u32::MAX)).unwrap(); // opens it again
                    smear(&files.output, &output_tail);
                    smear(&files.failures, &failures_tail);
                }
                Event::Tear(part) => {
                    writer.append(&outcome(u32::MAX)).unwrap();
                    let before = fs::metadata(&files.checkpoint).unwrap().len();
                    writer.commit(note(1), None, Closing::Paused).unwrap();
                    let after = fs::metadata(&files.checkpoint).unwrap().len();
                    let kept = before + (after - before) * u64::from(part) / 256;
                    let file = fs::OpenOptions::new().write(true).open(&files.checkpoint).unwrap();
                    file.set_len(kept).unwrap();
                }
                Event::Reopen => {}
            }
            pending.clear();
            drop(writer);
            let opened = open(options(&output)).unwrap();
            prop_assert_eq!(&assert_consistent(&output, &opened.done), &committed);
            prop_assert_eq!(opened.resumed.unwrap().done, committed.len() as u64);
            writer = opened.writer;
        }
        drop(writer);
        let opened = open(options(&output)).unwrap();
        prop_assert_eq!(&assert_consistent(&output, &opened.done), &committed);
    }
}
