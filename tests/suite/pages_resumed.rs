//! "Exactly once" for items that come in pages: exactly once, whole items, and long
//! ones from the middle on, wherever a run was killed.

use crate::child::{end, kill_when, piped, signal, until};
use crate::paged::{Asked, SIZE, elements_of, listing, page_of};
use crate::raw::{Raw, answer, ok};
use crate::support::{Bench, assert_exit, assert_says, names, told};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

fn bench<T>(api: Raw<T>, ids: &[&str], pages: &str) -> Bench<Raw<T>> {
    Bench::of(api, "/items/{id}")
        .ids(ids.iter().copied())
        .with("request.pages", pages)
        .with("limits", "rate = \"unlimited\"")
        .with("retry", "attempts = 3\nbackoff = \"5ms..20ms\"")
        .with("checkpoint", "every = \"100ms\"")
}

const BY_NEXT: &str = "next = \"$.next\"\nitems = \"$.items\"";

/// More than 1,000 pages: killed in the midst, the item goes on where the last commit was.
#[test]
fn a_long_item_resumes_in_the_middle() {
    const PAGES: u64 = 1_400;
    for (way, pages) in [
        ("next", BY_NEXT),
        (
            "offset",
            "offset = \"from\"\nlimit = \"count\"\npage_size = 5\ntotal = \"$.total\"\nitems = \"$.items\"",
        ),
    ] {
        let api = Raw::start(move |request, _| {
            let asked = Asked::of(request);
            // So that the kill comes before the end, also on a busy machine.
            if asked.page > 1_100 {
                sleep(Duration::from_millis(2));
            }
            listing(&asked, way, PAGES * SIZE)
        });
        let bench = bench(api, &["a"], pages);
        let api = &bench.server;
        kill_when(bench.start(&[]), || {
            let output = std::fs::metadata(bench.place.path("out.ndjson"));
            output.is_ok_and(|output| output.len() > 0) && api.seen().len() > 1_150
        });
        let before = api.seen().len();
        assert!(before < PAGES as usize, "it was not killed");
        let status = bench.run(&["status"], 0);
        assert_says(&status, &["in part    1 items, with 5,"]);
        bench.run(&[], 0);
        let first = Asked::of(&api.seen()[before]).page;
        assert!(first >= 1_000, "it began again at page {first}");
        assert_eq!(bench.lines(), elements_of("a", 0..PAGES * SIZE));
        // And then it is done.
        let seen = api.seen().len();
        bench.run(&[], 0);
        assert_eq!(api.seen().len(), seen);
    }
}

/// What is left of an item that is not in the list any more is told, each time.
#[test]
fn an_item_that_left_the_list_half_fetched_is_told() {
    let api = Raw::start(|request, _| {
        let asked = Asked::of(request);
        match asked.id.as_str() {
            "a" => listing(&asked, "next", 50_000 * SIZE),
            _ => listing(&asked, "next", 8),
        }
    });
    let bench = bench(api, &["a", "b"], BY_NEXT);
    let mut in_parts = bench.command(&[]);
    in_parts.env("HARVEST_LIMIT_PAGES", "3");
    kill_when(piped(in_parts), || {
        // Committed, not only written.
        told(&bench.run(&["status"], 0)).contains("in part    1 items")
    });
    bench.list(["b", "c"]);
    for _ in 0..2 {
        let words = ["1 item is in the output in part and not in the list any more"];
        assert_says(&bench.run(&[], 0), &words);
    }
    assert_eq!(Asked::of(bench.server.seen().last().unwrap()).id, "c");
}

#[test]
fn an_item_that_fails_in_its_midst_says_what_is_there_and_retry_goes_on() {
    let api = Raw::start(|request, times| match (Asked::of(request).page, times) {
        (7, 1..=3) => answer("500 Internal Server Error", "", "{}"),
        (12, 1) => answer("404 Not Found", "", "{}"),
        _ => listing(&Asked::of(request), "next", 80),
    });
    let bench = bench(api, &["a"], BY_NEXT).env("HARVEST_LIMIT_PAGES", "3");
    let api = &bench.server;
    bench.run(&[], 3);
    for (pages, next) in [(7u64, 7), (12, 12)] {
        assert_eq!(bench.lines(), elements_of("a", 0..pages * SIZE));
        let failures = bench.failures();
        assert_eq!(failures.len(), 1);
        let said = failures[0]["message"].as_str().unwrap();
        let words = format!(
            "the {} records of the item's first {pages} pages are in the output",
            pages * SIZE
        );
        assert!(said.contains(&words), "{said}");
        // A run of the job leaves it alone.
        let seen = api.seen().len();
        bench.run(&[], 3);
        assert_eq!(api.seen().len(), seen);
        let output = bench.command(&["retry"]).output().unwrap();
        assert_eq!(Asked::of(&api.seen()[seen]).page, next, "{}", told(&output));
    }
    assert_eq!(bench.lines(), elements_of("a", 0..80));
    assert_eq!(bench.counts().1, 0);
    bench.run(&[], 0);
}

/// Loops do not hide behind a restart.
#[test]
fn a_loop_in_a_long_item_ends_also_across_kills() {
    let api = Raw::start(|request, _| {
        let asked = Asked::of(request);
        let next = if asked.page == 29 { 10 } else { asked.page + 1 };
        ok(page_of(&asked, 1_000, &format!(",\"next\":\"?at={next}\"")))
    });
    let bench = bench(api, &["a"], BY_NEXT).env("HARVEST_LIMIT_PAGES", "3");
    let api = &bench.server;
    for _ in 0..3 {
        let seen = api.seen().len();
        kill_when(bench.start(&[]), || api.seen().len() >= seen + 12);
    }
    let output = bench.run(&[], 3);
    let failure = &bench.failures()[0];
    assert_eq!(failure["reason"], "page_loop", "{}", told(&output));
}

/// Signals, as they come: what is written of a long item is gone on from.
#[test]
fn a_long_item_that_is_stopped_goes_on() {
    let api = Raw::start(|request, _| {
        sleep(Duration::from_millis(5));
        listing(&Asked::of(request), "next", 200)
    });
    let bench = bench(api, &["a"], BY_NEXT).env("HARVEST_LIMIT_PAGES", "3");
    let api = &bench.server;
    let run = bench.start(&[]);
    until(|| api.seen().len() >= 15);
    signal(run.id(), "-TERM");
    assert_exit(&end(run), 143);
    let before = api.seen().len();
    assert!(before < 40);
    bench.run(&[], 0);
    // Nothing was lost: what was answered was written.
    assert_eq!(Asked::of(&api.seen()[before]).page, before as u64);
    assert_eq!(bench.lines(), elements_of("a", 0..200));
}

/// A server that gives 500 for all later pages is down: the items that were
/// held back as failed go on from the parts that are written.
#[test]
fn what_quarantine_gives_back_goes_on_from_its_trail() {
    let api = Raw::sharing(AtomicUsize::new(0), |refused, request, _| {
        let asked = Asked::of(request);
        if asked.page >= 3 && refused.fetch_add(1, Ordering::SeqCst) < 95 {
            return answer("500 Internal Server Error", "", "{}");
        }
        listing(&asked, "next", 25)
    });
    let bench = bench(api, &[], BY_NEXT)
        .ids(names(97))
        .env("HARVEST_LIMIT_PAGES", "2");
    bench.edit("attempts = 3", "attempts = 1");
    // Neither the one that showed it has failed, nor the 94 before it.
    let output = bench.run(&[], 0);
    assert!(bench.server.state.load(Ordering::SeqCst) > 95);
    assert_says(&output, &["the server is down"]);
    let lines = bench.lines();
    assert_eq!(lines.len(), 97 * 25);
    for id in &bench.ids {
        let of_it: Vec<&String> = lines
            .iter()
            .filter(|line| line.starts_with(&format!("{{\"id\":\"{id}-")))
            .collect();
        assert!(
            of_it.iter().copied().eq(&elements_of(id, 0..25)),
            "{id}: {of_it:#?}"
        );
    }
}

/// How many elements each item has: none, some, and too many for one commit.
fn length_of(id: &str) -> u64 {
    let n: u64 = id.trim_start_matches('i').parse().unwrap();
    [0, 3, 11, 38, 300][n as usize % 5]
}

/// Killed again and again at any moment: each element exactly once, an item's
/// in order, and no part of an item that was short enough to be written whole.
#[test]
fn kills_at_random_leave_each_element_once_and_short_items_whole() {
    let mut parts = 0;
    for seed in 0..5u64 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let api = Raw::start(move |request, times| {
            let asked = Asked::of(request);
            sleep(Duration::from_millis(3));
            // Some pages fail the first time.
            if times == 1 && (asked.page + asked.id.len() as u64 + seed).is_multiple_of(9) {
                return answer("500 Internal Server Error", "", "{}");
            }
            listing(&asked, "next", length_of(&asked.id))
        });
        // At most eight pages together: of 300 elements, parts are written.
        let bench = bench(api, &[], BY_NEXT)
            .ids(names(40))
            .env("HARVEST_LIMIT_PAGES", "8")
            .env("HARVEST_LIMIT_BUFFER", "700");
        let api = &bench.server;
        for _ in 0..7 {
            let seen = api.seen().len() + rng.usize(1..150);
            let more = Duration::from_millis(rng.u64(0..60));
            kill_when(bench.start(&[]), || {
                let enough = api.seen().len() >= seen;
                if enough {
                    sleep(more);
                }
                enough
            });
            let status = told(&bench.run(&["status"], 0));
            parts += u32::from(status.contains("in part"));
        }
        bench.run(&["--concurrency", "3"], 0);
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let (mut last, mut runs): (String, BTreeMap<String, u32>) = Default::default();
        for line in bench.lines() {
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            let (id, _) = value["id"].as_str().unwrap().split_once('-').unwrap();
            if id != last {
                *runs.entry(id.to_owned()).or_default() += 1;
                last = id.to_owned();
            }
            found.entry(id.to_owned()).or_default().push(line);
        }
        for id in &bench.ids {
            let lines = found.remove(id).unwrap_or_default();
            assert_eq!(
                lines,
                elements_of(id, 0..length_of(id)),
                "seed {seed}: {id}"
            );
            let whole = length_of(id) <= 8 * SIZE;
            assert!(
                !whole || runs.get(id).copied().unwrap_or(0) <= 1,
                "seed {seed}: {id} is torn"
            );
        }
        assert!(found.is_empty(), "{found:?}");
    }
    assert!(
        parts > 5,
        "only {parts} kills were in the midst of a long item"
    );
}
