//! Files that do not fit: refused, or undone to a good start.

use super::*;

#[test]
fn any_flipped_bit_is_refused_or_undone() {
    for last in [Closing::No, Closing::Finished] {
        let folder = quick_folder();
        let (output, bytes) = sample(folder.path(), last);
        let mut undone = 0;
        for bit in 0..bytes[2].len() * 8 {
            let mut flipped = bytes.clone();
            flipped[2][bit / 8] ^= 1 << (bit % 8);
            restore(&output, &flipped);
            match open(options(&output)) {
                Ok(opened) => {
                    assert_eq!(assert_consistent(&output, &opened.done), (0..9).collect());
                    undone += 1;
                }
                // Refused: nothing was touched.
                Err(_) => assert_eq!(written(&output), (0..12).collect()),
            }
        }
        assert!(undone > 0);
        finish(&output, 12);
    }
}

#[test]
fn any_cut_of_the_checkpoint_is_resumed_from_a_good_start() {
    let folder = quick_folder();
    let (output, bytes) = sample(folder.path(), Closing::No);
    let (mut starts, mut refused) = (BTreeSet::new(), 0);
    for cut in 0..bytes[2].len() {
        let mut short = bytes.clone();
        short[2].truncate(cut);
        restore(&output, &short);
        match open(options(&output)) {
            Ok(opened) => {
                starts.insert(assert_consistent(&output, &opened.done).len());
                drop(opened);
                if cut % 10 == 0 {
                    finish(&output, 15);
                }
            }
            // Cut within the header, or back to the pause, after which nothing may follow.
            Err(WriteError::Checkpoint(
                CheckpointError::Damaged { .. } | CheckpointError::Mismatch { .. },
            )) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(starts, [0, 4, 6, 9].into());
    assert!(refused < bytes[2].len() / 2);
}

#[test]
fn an_edited_output_is_refused() {
    let folder = quick_folder();
    for last in [Closing::No, Closing::Finished] {
        let folder = folder.path().join(format!("{last:?}"));
        fs::create_dir(&folder).unwrap();
        let (output, bytes) = sample(&folder, last);
        for file in [0, 1] {
            for at in 0..bytes[file].len() {
                let mut edited = bytes.clone();
                edited[file][at] ^= 1;
                restore(&output, &edited);
                let error = open(options(&output)).unwrap_err();
                assert!(
                    matches!(
                        error,
                        WriteError::Checkpoint(CheckpointError::Changed { .. })
                    ),
                    "{error}"
                );
            }
            let mut edited = bytes.clone();
            edited[file].pop();
            restore(&output, &edited);
            let error = open(options(&output)).unwrap_err();
            assert!(
                matches!(
                    error,
                    WriteError::Checkpoint(CheckpointError::Mismatch { .. })
                ),
                "{error}"
            );
            edited[file].extend(b"xyz!");
            restore(&output, &edited);
            assert!(open(options(&output)).is_err());
            let mut longer = bytes.clone();
            longer[file].extend(b"{\"id\":\"7");
            restore(&output, &longer);
            match (last, open(options(&output))) {
                (Closing::No, Ok(opened)) => assert_eq!(opened.resumed.unwrap().dropped_bytes, 8),
                (_, Err(WriteError::Checkpoint(CheckpointError::Mismatch { .. }))) => {}
                (_, other) => panic!("{other:?}"),
            }
        }
        restore(&output, &bytes);
        fs::remove_file(&output).unwrap();
        let error = open(options(&output)).unwrap_err();
        assert!(
            matches!(
                error,
                WriteError::Checkpoint(CheckpointError::Missing { .. })
            ),
            "{error}"
        );
    }
}

#[test]
fn another_job_s_or_nobody_s_output_is_refused_unless_fresh() {
    let folder = quick_folder();
    let (output, _) = sample(folder.path(), Closing::Finished);
    let mut other = options(&output);
    other.shape.fields[0].1 = "http://y/{id}".to_owned();
    other.record = RecordForm::Envelope;
    let error = open(other.clone()).unwrap_err().to_string();
    assert!(
        error.contains("request.url: http://x/{id} -> http://y/{id}"),
        "{error}"
    );
    assert!(error.contains("output.record: body -> envelope"), "{error}");
    fs::remove_file(Files::of(&output).unwrap().checkpoint).unwrap();
    assert!(matches!(
        open(options(&output)).unwrap_err(),
        WriteError::OutputExists { .. }
    ));
    assert_eq!(written(&output).len(), 12);
    other.fresh = true;
    let opened = open(other).unwrap();
    assert!(opened.done.is_empty());
    let left = opened.resumed.unwrap_or_default();
    assert_eq!(left, Resumed::default());
    drop(opened.writer);
    assert_eq!(written(&output).len(), 0);
    assert!(matches!(
        open(options(&folder.path().join("."))).unwrap_err(),
        WriteError::NotAFile { .. } | WriteError::Checkpoint(_)
    ));
}

#[test]
fn starting_over_keeps_what_the_pacer_noted_of_the_same_server_and_nothing_else() {
    for (source, kept) in [("http://x", true), ("http://y", false)] {
        let folder = quick_folder();
        let output = folder.path().join("out.ndjson");
        let options = |source: &str| {
            let mut options = options(&output);
            options
                .shape
                .fields
                .push(("source".to_owned(), source.to_owned()));
            options
        };
        let mut writer = open(options("http://x")).unwrap().writer;
        for n in 0..6 {
            writer.append(&outcome(n)).unwrap();
            writer
                .commit(note(u64::from(n)), None, Closing::No)
                .unwrap();
        }
        drop(writer);
        let mut fresh = options(source);
        fresh.fresh = true;
        let opened = open(fresh).unwrap();
        assert!(opened.done.is_empty());
        drop(opened);
        // Kept by the file, not only by the run that started over.
        let opened = open(options(source)).unwrap();
        assert!(opened.done.is_empty() && written(&output).is_empty());
        let resumed = opened.resumed.unwrap();
        let notes: Vec<_> = (0..6).filter(|_| kept).map(note).collect();
        assert_eq!((resumed.notes, resumed.records), (notes, 0));
    }
}
