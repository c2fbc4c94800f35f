//! Promise 1 for items that come in pages: exactly once, whole items, and long
//! ones from the middle on, wherever a run was killed.

use crate::child::until;
use crate::paged::{Asked, SIZE, elements_of, listing, page_of, run, run_with};
use crate::raw::{Raw, answer, ok};
use crate::support;
use crate::support::{Place, assert_exit, harvest, told};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn job(place: &Place, base: &str, ids: &str, pages: &str, more: &str) -> PathBuf {
    place.write(
        "job.toml",
        &format!(
            "[ids]\nlist = {ids}\n[request]\nurl = \"{base}/items/{{id}}\"\n[request.pages]\n{pages}\n\
             [limits]\nrate = \"unlimited\"\n[retry]\nattempts = 3\nbackoff = \"5ms..20ms\"\n\
             [output]\npath = \"out.ndjson\"\n[checkpoint]\nevery = \"100ms\"\n{more}"
        ),
    )
}

const BY_NEXT: &str = "next = \"$.next\"\nitems = \"$.items\"";

/// Kills a run once `enough` holds, if it has not ended by itself.
fn kill_when(job: &Path, environment: &[(&str, &str)], enough: impl Fn() -> bool) {
    let mut child = harvest()
        .arg(job)
        .envs(environment.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !enough() && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it did not come so far");
        sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().unwrap();
}

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
        let place = Place::new();
        let job = job(&place, &api.base(), "[\"a\"]", pages, "");
        kill_when(&job, &[], || {
            let output = std::fs::metadata(place.path("out.ndjson"));
            output.is_ok_and(|output| output.len() > 0) && api.seen().len() > 1_150
        });
        let before = api.seen().len();
        assert!(before < PAGES as usize, "it was not killed");
        let status = harvest().arg("status").arg(&job).output().unwrap();
        let said = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(said.contains("in part    1 items, with 5,"), "{said}");
        assert_exit(&run(&job), 0);
        let first = Asked::of(&api.seen()[before]).page;
        assert!(first >= 1_000, "it began again at page {first}");
        assert_eq!(place.lines("out.ndjson"), elements_of("a", 0..PAGES * SIZE));
        // And then it is done.
        let seen = api.seen().len();
        assert_exit(&run(&job), 0);
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
    let place = Place::new();
    let job = job(&place, &api.base(), "[]", BY_NEXT, "");
    let text = std::fs::read_to_string(&job).unwrap();
    std::fs::write(&job, text.replace("list = []", "file = \"ids.txt\"")).unwrap();
    place.write("ids.txt", "a\nb\n");
    kill_when(&job, &[("HARVEST_LIMIT_PAGES", "3")], || {
        // Committed, not only written.
        let status = harvest().arg("status").arg(&job).output().unwrap();
        String::from_utf8_lossy(&status.stdout).contains("in part    1 items")
    });
    place.write("ids.txt", "b\nc\n");
    let told_of = |output: &std::process::Output| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.contains("1 item is in the output in part and not in the list any more")
    };
    for _ in 0..2 {
        let output = run(&job);
        assert_exit(&output, 0);
        assert!(told_of(&output), "{}", told(&output));
    }
    assert_eq!(Asked::of(api.seen().last().unwrap()).id, "c");
}

#[test]
fn an_item_that_fails_in_its_midst_says_what_is_there_and_retry_goes_on() {
    let api = Raw::start(|request, times| match (Asked::of(request).page, times) {
        (7, 1..=3) => answer("500 Internal Server Error", "", "{}"),
        (12, 1) => answer("404 Not Found", "", "{}"),
        _ => listing(&Asked::of(request), "next", 80),
    });
    let place = Place::new();
    let job = job(&place, &api.base(), "[\"a\"]", BY_NEXT, "");
    let short = [("HARVEST_LIMIT_PAGES", "3")];
    assert_exit(&run_with(&job, &[], &short), 3);
    for (pages, next) in [(7u64, 7), (12, 12)] {
        assert_eq!(place.lines("out.ndjson"), elements_of("a", 0..pages * SIZE));
        let failures = place.json_lines("out.ndjson.failed.ndjson");
        assert_eq!(failures.len(), 1);
        let said = failures[0]["message"].as_str().unwrap();
        let told = format!(
            "the {} records of the item's first {pages} pages are in the output",
            pages * SIZE
        );
        assert!(said.contains(&told), "{said}");
        // A run of the job leaves it alone.
        let seen = api.seen().len();
        assert_exit(&run_with(&job, &[], &short), 3);
        assert_eq!(api.seen().len(), seen);
        let output = run_with(&job, &["retry"], &short);
        assert_eq!(
            Asked::of(&api.seen()[seen]).page,
            next,
            "{}",
            support::told(&output)
        );
    }
    assert_eq!(place.lines("out.ndjson"), elements_of("a", 0..80));
    assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
    assert_exit(&run(&job), 0);
}

/// Loops do not hide behind a restart.
#[test]
fn a_loop_in_a_long_item_ends_also_across_kills() {
    let api = Raw::start(|request, _| {
        let asked = Asked::of(request);
        let next = if asked.page == 29 { 10 } else { asked.page + 1 };
        ok(page_of(&asked, 1_000, &format!(",\"next\":\"?at={next}\"")))
    });
    let place = Place::new();
    let job = job(&place, &api.base(), "[\"a\"]", BY_NEXT, "");
    let short = [("HARVEST_LIMIT_PAGES", "3")];
    for _ in 0..3 {
        let seen = api.seen().len();
        kill_when(&job, &short, || api.seen().len() >= seen + 12);
    }
    let output = run_with(&job, &[], &short);
    assert_exit(&output, 3);
    let failure = &place.json_lines("out.ndjson.failed.ndjson")[0];
    assert_eq!(failure["reason"], "page_loop", "{}", told(&output));
}

/// Signals, as they come: what is written of a long item is gone on from.
#[test]
fn a_long_item_that_is_stopped_goes_on() {
    let api = Raw::start(|request, _| {
        sleep(Duration::from_millis(5));
        listing(&Asked::of(request), "next", 200)
    });
    let place = Place::new();
    let job = job(&place, &api.base(), "[\"a\"]", BY_NEXT, "");
    let short = [("HARVEST_LIMIT_PAGES", "3")];
    let mut child = harvest()
        .arg(&job)
        .envs(short)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until(|| api.seen().len() >= 15);
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let before = api.seen().len();
    assert!(before < 40);
    assert_exit(&run_with(&job, &[], &short), 0);
    // Nothing was lost: what was answered was written.
    assert_eq!(Asked::of(&api.seen()[before]).page, before as u64);
    assert_eq!(place.lines("out.ndjson"), elements_of("a", 0..200));
}

/// A server that gives 500 for all later pages is down: the items that were
/// held back as failed go on from the parts that are written.
#[test]
fn what_quarantine_gives_back_goes_on_from_its_trail() {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let api = Raw::start(move |request, _| {
        let asked = Asked::of(request);
        if asked.page >= 3 && count.fetch_add(1, Ordering::SeqCst) < 95 {
            return answer("500 Internal Server Error", "", "{}");
        }
        listing(&asked, "next", 25)
    });
    let place = Place::new();
    let ids: Vec<String> = (0..97).map(|n| format!("i{n}")).collect();
    let list: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    let job = job(
        &place,
        &api.base(),
        &format!("[{}]", list.join(",")),
        BY_NEXT,
        "",
    );
    let text = std::fs::read_to_string(&job).unwrap();
    std::fs::write(&job, text.replace("attempts = 3", "attempts = 1")).unwrap();
    let output = run_with(&job, &[], &[("HARVEST_LIMIT_PAGES", "2")]);
    // Neither the one that showed it has failed, nor the 94 before it.
    assert_exit(&output, 0);
    assert!(refused.load(Ordering::SeqCst) > 95);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the server is down"), "{said}");
    let lines = place.lines("out.ndjson");
    assert_eq!(lines.len(), 97 * 25);
    for id in &ids {
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
        let place = Place::new();
        let ids: Vec<String> = (0..40).map(|n| format!("i{n}")).collect();
        let list: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
        let job = job(
            &place,
            &api.base(),
            &format!("[{}]", list.join(",")),
            BY_NEXT,
            "",
        );
        // At most eight pages together: of 300 elements, parts are written.
        let environment = [
            ("HARVEST_LIMIT_PAGES", "8"),
            ("HARVEST_LIMIT_BUFFER", "700"),
        ];
        for _ in 0..7 {
            let seen = api.seen().len() + rng.usize(1..150);
            let more = Duration::from_millis(rng.u64(0..60));
            kill_when(&job, &environment, || {
                let enough = api.seen().len() >= seen;
                if enough {
                    sleep(more);
                }
                enough
            });
            let status = harvest().arg("status").arg(&job).output().unwrap();
            let said = String::from_utf8_lossy(&status.stdout).into_owned();
            parts += u32::from(said.contains("in part"));
        }
        let output = run_with(&job, &["run", "--concurrency", "3"], &environment);
        assert_exit(&output, 0);
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let (mut last, mut runs): (String, BTreeMap<String, u32>) = Default::default();
        for line in place.lines("out.ndjson") {
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            let (id, _) = value["id"].as_str().unwrap().split_once('-').unwrap();
            if id != last {
                *runs.entry(id.to_owned()).or_default() += 1;
                last = id.to_owned();
            }
            found.entry(id.to_owned()).or_default().push(line);
        }
        for id in &ids {
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
