//! Items that come in pages: together, or part by part, and kills in their midst.

use super::*;
use crate::outcome::{Page, Pages, ResumePoint};

/// Elements `from..to` of an item, in one page; `more`: it is not done with them.
fn part(id: &str, from: u64, to: u64, more: bool) -> Outcome {
    let list: Vec<String> = (from..to).map(|n| format!("{{\"id\":\"{n}\"}}")).collect();
    let body = format!("[{}]", list.join(","));
    let mut at = 1;
    let elements = list.iter().map(|element| {
        let range = at..at + element.len();
        at = range.end + 1;
        range
    });
    let page = Page {
        status: 200,
        fetched_at: UNIX_EPOCH,
        elements: Some(elements.collect()),
        body: body.clone().into(),
    };
    let resume_point = more.then(|| ResumePoint {
        pages: to,
        elements: to,
        records: to,
        marker: 0,
        next: format!("number:{to}"),
    });
    Outcome {
        id: id.to_owned(),
        occurrence: 0,
        fate: Ok(Record {
            status: 200,
            fetched_at: UNIX_EPOCH,
            body: body.into(),
            validators: crate::outcome::Validators::default(),
        }),
        pages: Some(Box::new(Pages {
            pages: vec![page],
            resume_point,
        })),
    }
}

fn resume_point(opened: &Opened, id: &str) -> Option<ResumePoint> {
    let resume_points = opened
        .resumed
        .as_ref()
        .map(|resumed| &resumed.resume_points);
    resume_points.and_then(|resume_points| resume_points.get(&ItemKey::of(id, 0)).cloned())
}

#[test]
fn an_item_s_elements_are_lines_and_it_is_done_once() {
    let folder = quick_folder();
    let output = folder.path().join("out.ndjson");
    let mut writer = open(options(&output)).unwrap().writer;
    writer.append(&part("a", 0, 3, false)).unwrap();
    writer.append(&part("empty", 0, 0, false)).unwrap();
    writer.commit(note(1), None, Closing::Finished).unwrap();
    assert_eq!(writer.counts().records, 3);
    drop(writer);
    let opened = open(options(&output)).unwrap();
    let resumed = opened.resumed.unwrap();
    assert_eq!((resumed.records, resumed.done), (3, 2));
    assert!(resumed.resume_points.is_empty());
    assert_eq!(written(&output), (0..3).collect());
}

/// A kill after any byte that reached the disk: the item goes on exactly after
/// its last record, and is done when its last part is.
#[test]
fn a_part_and_its_trail_are_one() {
    let folder = quick_folder();
    let output = folder.path().join("out.ndjson");
    let mut opened = open(options(&output)).unwrap();
    let files = Files::of(&output).unwrap();
    let mut states = Vec::new();
    for n in 0..6 {
        opened
            .writer
            .append(&part("a", n * 2, n * 2 + 2, n < 5))
            .unwrap();
        opened.writer.append(&outcome(100 + n as u32)).unwrap();
        opened.writer.commit(note(n), None, Closing::No).unwrap();
        states.push(fs::metadata(&files.checkpoint).unwrap().len());
    }
    drop(opened);
    let all: [Vec<u8>; 3] =
        [&files.output, &files.failures, &files.checkpoint].map(|path| fs::read(path).unwrap());
    for cut in (states[0] as usize..=all[2].len())
        .step_by(3)
        .chain([all[2].len()])
    {
        for (path, bytes) in [&files.output, &files.failures].into_iter().zip(&all) {
            fs::write(path, bytes).unwrap();
        }
        fs::write(&files.checkpoint, &all[2][..cut]).unwrap();
        let commits = states.iter().filter(|end| **end <= cut as u64).count() as u64;
        let mut opened = open(options(&output)).unwrap();
        let found = resume_point(&opened, "a");
        assert_eq!(
            found.as_ref().map(|t| t.records),
            (commits < 6).then_some(commits * 2)
        );
        assert_eq!(opened.done.contains(ItemKey::of("a", 0)), commits == 6);
        if let Some(resume_point) = found {
            opened
                .writer
                .append(&part("a", resume_point.records, 12, false))
                .unwrap();
        }
        opened
            .writer
            .commit(note(9), None, Closing::Finished)
            .unwrap();
        drop(opened);
        let opened = open(options(&output)).unwrap();
        assert_eq!(resume_point(&opened, "a"), None);
        let ids: BTreeSet<u32> = written(&output).into_iter().filter(|n| *n < 100).collect();
        assert_eq!(ids, (0..12).collect());
    }
}

fn failed(id: &str) -> Outcome {
    Outcome {
        id: id.to_owned(),
        pages: None,
        ..outcome(2)
    }
}

#[test]
fn a_failed_item_s_trail_stays_for_retry_and_leaves_with_its_success() {
    let folder = quick_folder();
    let output = folder.path().join("out.ndjson");
    let mut opened = open(options(&output)).unwrap();
    opened.writer.append(&part("a", 0, 2, true)).unwrap();
    opened.writer.append(&failed("a")).unwrap();
    opened
        .writer
        .commit(note(1), None, Closing::Finished)
        .unwrap();
    drop(opened);
    let retrying = || OpenOptions {
        retry: true,
        ..options(&output)
    };
    // A part more, and it fails again.
    let mut opened = open(retrying()).unwrap();
    assert_eq!(resume_point(&opened, "a").unwrap().records, 2);
    opened.writer.append(&part("a", 2, 3, true)).unwrap();
    opened.writer.commit(note(2), None, Closing::No).unwrap();
    opened.writer.append(&failed("a")).unwrap();
    opened
        .writer
        .commit(note(3), None, Closing::Finished)
        .unwrap();
    drop(opened);
    // Now it comes through.
    let mut opened = open(retrying()).unwrap();
    assert_eq!(resume_point(&opened, "a").unwrap().records, 3);
    assert_eq!(opened.failed.take().unwrap().count(), 1);
    opened.writer.append(&part("a", 3, 5, false)).unwrap();
    opened
        .writer
        .commit(note(4), None, Closing::Finished)
        .unwrap();
    drop(opened);
    let opened = open(options(&output)).unwrap();
    assert_eq!(resume_point(&opened, "a"), None);
    let resumed = opened.resumed.unwrap();
    assert_eq!(
        (resumed.records, resumed.done, resumed.failures.len()),
        (5, 1, 0)
    );
    assert_eq!(written(&output), (0..5).collect());
}

/// In CSV an element may have no row: then none of its item's pages are written
/// that were not written before.
#[test]
fn an_element_without_a_row_fails_its_item() {
    let broken = |id: &str, more| {
        let mut outcome = part(id, 0, 1, more);
        if let Some(pages) = &mut outcome.pages {
            pages.pages[0].body = r#"[{"id":"7"},{"id":]"#.into();
            pages.pages[0].elements = Some(vec![1..11, 12..18]);
        }
        outcome
    };
    let paths = [
        vec![],
        vec![(
            "id".to_owned(),
            serde_json_path::JsonPath::parse("$..id").unwrap(),
        )],
    ];
    for columns in paths {
        let folder = quick_folder();
        let output = folder.path().join("out.csv");
        let csv = || OpenOptions {
            format: OutputFormat::Delimited { delimiter: b',' },
            columns: columns.clone(),
            ..options(&output)
        };
        let mut opened = open(csv()).unwrap();
        opened.writer.append(&broken("first", false)).unwrap();
        opened.writer.append(&part("a", 0, 2, true)).unwrap();
        let appended = opened.writer.append(&broken("a", true)).unwrap();
        assert!(
            matches!(&appended, Appended::Failed(failure) if failure.reason == Reason::MalformedBody)
        );
        // What still comes of it is not written.
        let appended = opened.writer.append(&part("a", 9, 11, true)).unwrap();
        assert!(matches!(appended, Appended::Left));
        opened.writer.append(&part("a", 11, 12, false)).unwrap();
        opened.writer.append(&part("b", 5, 6, false)).unwrap();
        opened
            .writer
            .commit(note(1), None, Closing::Finished)
            .unwrap();
        assert_eq!(opened.writer.failures().get("malformed_body"), Some(&2));
        drop(opened);
        assert_eq!(fs::read_to_string(&output).unwrap(), "id\n0\n1\n5\n");
        let failures = fs::read_to_string(Files::of(&output).unwrap().failures).unwrap();
        assert!(
            failures.contains("the 2 records of the item's first 2 pages"),
            "{failures}"
        );
        let opened = open(csv()).unwrap();
        assert_eq!(resume_point(&opened, "a").unwrap().records, 2);
    }
}
