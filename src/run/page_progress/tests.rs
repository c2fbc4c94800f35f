//! An item's progress, page by page.

use super::*;
use crate::outcome::Record;
use std::time::UNIX_EPOCH;

fn url(n: u64) -> Next {
    Next::Url {
        text: format!("https://x/{n}"),
        away: false,
    }
}

/// A page with these elements of its array.
fn page(here: u64, elements: &[&str], next: Option<Next>) -> PageAnswer {
    let list = elements.join(",");
    let body = format!("{{\"items\":[{list}],\"n\":{here}}}");
    let mut from = "{\"items\":[".len();
    let ranges = elements.iter().map(|element| {
        let range = from..from + element.len();
        from = range.end + 1;
        range
    });
    PageAnswer {
        elements: Some(ranges.collect()),
        array: Some("{\"items\":".len().."{\"items\":[]".len() + list.len()),
        here: url(here).hash(),
        content: xxhash_rust::xxh3::xxh3_64(list.as_bytes()),
        next,
        record: Record {
            status: 200,
            fetched_at: UNIX_EPOCH,
            body: Bytes::from(body),
            validators: crate::outcome::Validators::default(),
        },
    }
}

fn lines(pages: &Pages) -> Vec<String> {
    let text = |record: Record| String::from_utf8(record.body.to_vec()).unwrap();
    pages.records().map(text).collect()
}

#[test]
fn a_short_item_is_handed_on_together() {
    let mut progress = PageProgress::default();
    let first = progress.take(page(0, &["1", "2"], Some(url(1))), None);
    assert!(matches!(first, Ok(Step::GoOn(None))));
    assert_eq!((progress.place.pages, progress.place.elements), (1, 2));
    let Ok(Step::Done(pages)) = progress.take(page(1, &["{\"a\":3}"], None), None) else {
        panic!("not done");
    };
    assert_eq!(lines(&pages), ["1", "2", "{\"a\":3}"]);
    assert!(pages.trail.is_none());
}

#[test]
fn a_long_item_is_handed_on_page_by_page_and_goes_on_from_its_trail() {
    let mut progress = PageProgress::default();
    let total = PAGES as u64 + 5;
    let mut written = Vec::new();
    let mut trail = None;
    let mut at = 0;
    while at < total {
        let next = (at + 1 < total).then(|| url(at + 1));
        let element = at.to_string();
        let step = progress.take(page(at, &[&element], next), None);
        at += 1;
        match step.unwrap_or_else(|t| panic!("{t:?}")) {
            Step::GoOn(None) => assert!((at as usize) < PAGES),
            Step::GoOn(Some(pages)) => {
                written.extend(lines(&pages));
                trail = pages.trail;
                // As after a kill.
                progress = PageProgress::resume(trail.as_ref().unwrap(), &PageMemory::default());
                assert_eq!(progress.place.next, Some(url(at)));
            }
            Step::Done(pages) => written.extend(lines(&pages)),
        }
    }
    assert_eq!(
        written,
        (0..total).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    let trail = trail.unwrap();
    assert_eq!(
        (trail.pages, trail.records, trail.elements),
        (total - 1, total - 1, total - 1)
    );
    let note = PageProgress::resume(&trail, &PageMemory::default())
        .note()
        .unwrap();
    assert!(
        note.contains("1004 records") && note.contains("1004 pages"),
        "{note}"
    );
}

#[test]
fn a_large_item_is_handed_on_before_it_fills_the_memory() {
    let big = format!("\"{}\"", "x".repeat(BYTES / 3));
    let mut progress = PageProgress::default();
    for n in 0..2 {
        let step = progress.take(page(n, &[&big], Some(url(n + 1))), None);
        assert!(matches!(step, Ok(Step::GoOn(None))));
    }
    let step = progress.take(page(2, &[&big], Some(url(3))), None);
    let Ok(Step::GoOn(Some(pages))) = step else {
        panic!("it is kept");
    };
    assert_eq!(pages.count(), 3);
}

/// Many items that wait for another try can't fill it together.
#[test]
fn the_items_of_a_run_have_one_memory() {
    let memory = PageMemory::default();
    let big = format!("\"{}\"", "x".repeat(BYTES - 1_000));
    let mut held = Vec::new();
    while held.len() < 20 {
        let mut progress = PageProgress::new(&memory);
        match progress.take(page(0, &[&big], Some(url(1))), None) {
            Ok(Step::GoOn(None)) => held.push(progress),
            Ok(Step::GoOn(Some(pages))) => {
                assert_eq!(pages.count(), 1);
                break;
            }
            _ => panic!("it did not go on"),
        }
    }
    assert_eq!(held.len(), ALL_BYTES / BYTES);
    drop(held);
    assert_eq!(memory.0.load(Ordering::Relaxed), 0);
}

#[test]
fn pages_are_merged_byte_for_byte() {
    let merge = |parts: &[&[&str]]| {
        let mut progress = PageProgress::default();
        for (n, elements) in (0..).zip(parts) {
            let next = (n + 1 < parts.len() as u64).then(|| url(n + 1));
            match progress
                .take(page(n, elements, next), Some(1 << 20))
                .ok()
                .unwrap()
            {
                Step::GoOn(None) => {}
                Step::GoOn(Some(_)) => panic!("a part"),
                Step::Done(pages) => return lines(&pages),
            }
        }
        panic!("not done");
    };
    assert_eq!(
        merge(&[&["1.00", "{\"a\":[]}"], &[], &["3"], &["4e0", "\"]\""]]),
        ["{\"items\":[1.00,{\"a\":[]},3,4e0,\"]\"],\"n\":0}"]
    );
    assert_eq!(merge(&[&[], &["1"]]), ["{\"items\":[1],\"n\":0}"]);
    assert_eq!(merge(&[&[]]), ["{\"items\":[],\"n\":0}"]);
}

#[test]
fn what_is_merged_has_a_limit() {
    let mut progress = PageProgress::default();
    let trouble = progress
        .take(page(0, &["1"], Some(url(1))), Some(10))
        .err()
        .unwrap();
    assert_eq!(trouble.reason, Reason::BodyTooLarge);
    assert!(trouble.message.contains("`items`"), "{}", trouble.message);
}

#[test]
fn a_loop_is_seen_at_once() {
    for (back_to, pages) in [(0, 1), (0, 5), (3, 5)] {
        let mut progress = PageProgress::default();
        for n in 0..pages {
            let next = if n + 1 < pages { n + 1 } else { back_to };
            let taken = progress.take(page(n, &["1"], Some(url(next))), None);
            match n + 1 < pages {
                true => assert!(taken.is_ok()),
                false => assert_eq!(taken.err().unwrap().reason, Reason::PageLoop),
            }
        }
    }
}

/// Also when the run is killed after every page.
#[test]
fn a_long_loop_is_seen_across_restarts() {
    for length in [1u64, 2, 3, 7, 100] {
        let mut trail = Trail {
            pages: 2_000,
            ..Trail::default()
        };
        let mut at = 0;
        let found = (0..20_000).find(|_| {
            let mut progress = PageProgress::resume(&trail, &PageMemory::default());
            at = (at + 1) % length;
            match progress.take(page(at + 5, &["1"], Some(url(at))), None) {
                Err(trouble) => {
                    assert_eq!(trouble.reason, Reason::PageLoop);
                    true
                }
                Ok(Step::GoOn(Some(pages))) => {
                    trail = pages.trail.unwrap();
                    false
                }
                Ok(_) => panic!("it did not go on"),
            }
        });
        assert!(found.is_some(), "a loop of {length} was never seen");
    }
}

#[test]
fn a_server_that_ignores_the_number_is_found_out() {
    let mut progress = PageProgress::default();
    let same = |n| page(n, &["{\"id\":1}"], Some(Next::Number(n)));
    assert!(progress.take(same(1), None).is_ok());
    let trouble = progress.take(same(2), None).err().unwrap();
    assert_eq!(trouble.reason, Reason::PageLoop);
    assert!(
        trouble.message.contains("the same as"),
        "{}",
        trouble.message
    );
    // Numbers may well be the same again.
    let mut progress = PageProgress::default();
    for n in 1..=8 {
        assert!(
            progress
                .take(page(n, &["0"], Some(Next::Number(n))), None)
                .is_ok()
        );
    }
}
