//! Items whose answers come in pages: every way from page to page, what fails
//! on the way, and what may not be followed. Kills: `pages_resumed.rs`.

use crate::paged::{Asked, elements_of, listing, page_of};
use crate::raw::{Raw, answer, ok};
use crate::support::{Bench, Place, Server, assert_exit, assert_says, harvest, names, told};
use std::path::Path;

fn bench<S: Server>(api: S, ids: &[&str], pages: &str) -> Bench<S> {
    Bench::of(api, "/items/{id}")
        .ids(ids.iter().copied())
        .with("request.pages", pages)
        .with("limits", "rate = \"unlimited\"")
        .with("retry", "attempts = 3\nbackoff = \"5ms..20ms\"")
}

const BY_NEXT: &str = "next = \"$.next\"\nitems = \"$.items\"";

#[test]
fn every_way_gives_every_element_once_byte_for_byte() {
    let ways = [
        ("next", BY_NEXT),
        ("relative", BY_NEXT),
        ("link", "next = \"link\"\nitems = \"$.items\""),
        (
            "cursor",
            "cursor = \"$.after\"\nparam = \"after\"\nitems = \"$.items\"",
        ),
        (
            "offset",
            "offset = \"from\"\nlimit = \"count\"\npage_size = 5\ntotal = \"$.total\"\nitems = \"$.items\"",
        ),
        (
            "offset",
            "offset = \"from\"\nlimit = \"count\"\npage_size = 5\nitems = \"$.items\"",
        ),
        ("page", "page = \"page\"\nitems = \"$.items\""),
        (
            "page",
            "page = \"page\"\nfirst = 1\ntotal = \"$.total\"\nitems = \"$.items[*]\"",
        ),
    ];
    for (kind, pages) in ways {
        let api = Raw::start(move |request, _| listing(&Asked::of(request), kind, 12));
        let bench = bench(api, &["a", "b"], pages);
        let output = bench.run(&[], 0);
        let mut lines = bench.lines();
        // Of one item in order, and together.
        assert!(
            lines.chunk_by(|a, b| a[..8] == b[..8]).count() == 2,
            "{pages}: {lines:#?}"
        );
        lines.sort_by_key(|line| line.contains("\"id\":\"b"));
        let expected: Vec<String> = ["a", "b"]
            .iter()
            .flat_map(|id| elements_of(id, 0..12))
            .collect();
        assert_eq!(lines, expected, "{pages}");
        assert_says(&output, &["24 records of 2 items"]);
        // A total spares the last, empty page.
        let seen = bench.server.seen().len();
        let pages_each = seen / 2;
        let until_empty = matches!(kind, "offset" | "page") && !pages.contains("total");
        assert_eq!(pages_each, 3 + usize::from(until_empty), "{pages}");
        // Run again, it sends nothing.
        bench.run(&[], 0);
        assert_eq!(bench.server.seen().len(), seen);
    }
}

#[test]
fn a_page_is_a_record_or_all_are_one() {
    let api = Raw::start(|request, _| listing(&Asked::of(request), "next", 12));
    let of = |pages: &str| {
        let bench = bench(&api, &["a"], pages);
        bench.run(&[], 0);
        bench.lines()
    };
    let lines = of("next = \"$.next\"");
    assert_eq!(lines.len(), 3);
    for (line, range) in lines.iter().zip([0..5, 5..10, 10..12]) {
        assert!(line.contains(&elements_of("a", range).join(",")), "{line}");
    }
    let lines = of("next = \"$.next\"\nmerge = \"$.items\"");
    let all = elements_of("a", 0..12).join(",");
    assert_eq!(lines.len(), 1);
    let merged = format!("\"items\":[{all}]");
    assert!(lines[0].contains(&merged), "{}", lines[0]);
    // max_pages is all that is asked for.
    let most = format!("{BY_NEXT}\nmax_pages = 2");
    assert_eq!(of(&most), elements_of("a", 0..10));
}

#[test]
fn envelopes_and_rows_are_per_element() {
    let api = Raw::start(|request, _| listing(&Asked::of(request), "next", 7));
    let envelopes = bench(&api, &["a", "b"], BY_NEXT).with("output", "record = \"envelope\"");
    envelopes.run(&[], 0);
    let records = envelopes.records();
    assert_eq!(records.len(), 14);
    for record in &records {
        let id = record["id"].as_str().unwrap();
        assert!(
            record["body"]["id"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{id}-"))
        );
        assert_eq!(record["status"], 200);
    }
    let table = bench(&api, &["a"], BY_NEXT)
        .output("out.csv")
        .with("output.columns", "id = \"$.id\"\nn = \"$.n\"");
    table.run(&[], 0);
    let rows: Vec<String> = (0..7).map(|n| format!("a-{n},{n}.00")).collect();
    assert_eq!(table.lines()[0], "id,n");
    assert_eq!(table.lines()[1..], rows);
}

/// An element that has no row ends its item: nothing more is asked, and the run says so.
#[test]
fn an_element_without_a_row_ends_its_item() {
    let api = Raw::start(|request, _| {
        let asked = Asked::of(request);
        match (asked.id.as_str(), asked.page) {
            ("a", 4) => ok("{\"items\":[{\"id\":\"\\ud800\",\"n\":1}],\"next\":\"?at=5\"}"),
            ("a", _) => listing(&asked, "next", 5_000),
            _ => listing(&asked, "next", 12),
        }
    });
    let bench = bench(api, &["a", "b"], BY_NEXT)
        .output("out.csv")
        .with("output.columns", "id = \"$.id\"")
        .with("checkpoint", "every = \"100ms\"")
        .env("HARVEST_LIMIT_PAGES", "2");
    let output = bench.run(&[], 3);
    let seen = bench.server.seen();
    let of_a = seen.iter().filter(|r| Asked::of(r).id == "a").count();
    assert!((5..1_000).contains(&of_a), "{of_a} pages");
    let rows = bench.lines();
    let of = |id: &str| rows.iter().filter(|row| row.starts_with(id)).count();
    // What was handed on before; `b` is whole.
    assert_eq!((of("a-"), of("b-")), (20, 12), "{}", told(&output));
    let failures = bench.failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["reason"], "malformed_body");
    let words = ["32 records of 1 items", "1 failed", "1 malformed_body"];
    assert_says(&output, &words);
}

/// Every second page fails, as often as a page may: none uses up another's tries.
#[test]
fn a_failing_page_is_tried_alone() {
    let api = Raw::start(
        |request, times| match (Asked::of(request).page % 2, times) {
            (1, 1) => answer("500 Internal Server Error", "", "{}"),
            (1, 2) => ok("{\"items\":[{\"id\":\"cu"),
            _ => listing(&Asked::of(request), "next", 50),
        },
    );
    let bench = bench(api, &["a"], BY_NEXT);
    bench.run(&[], 0);
    assert_eq!(bench.lines(), elements_of("a", 0..50));
    for page in 0..10 {
        let asked = bench
            .server
            .seen()
            .iter()
            .filter(|r| Asked::of(r).page == page)
            .count();
        assert_eq!(asked, if page % 2 == 1 { 3 } else { 1 }, "page {page}");
    }
}

#[test]
fn a_page_that_fails_for_good_fails_the_whole_item() {
    let api = Raw::start(|request, times| {
        let asked = Asked::of(request);
        match (asked.id.as_str(), asked.page) {
            ("a", 2) if times <= 3 => answer("500 Internal Server Error", "", "{}"),
            _ => listing(&asked, "next", 20),
        }
    });
    let bench = bench(api, &["a", "b"], BY_NEXT);
    bench.run(&[], 3);
    assert_eq!(bench.lines(), elements_of("b", 0..20));
    let failures = bench.failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(
        (&failures[0]["id"], &failures[0]["reason"]),
        (&"a".into(), &"server_error".into())
    );
    let said = failures[0]["message"].as_str().unwrap();
    assert!(!said.contains("in the output"), "{said}");
    // From its beginning, for none of it is there.
    bench.run(&["retry"], 0);
    let mut lines = bench.lines();
    lines.sort_by_key(|line| line.contains("\"id\":\"b"));
    let expected: Vec<String> = ["a", "b"]
        .iter()
        .flat_map(|id| elements_of(id, 0..20))
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn loops_are_failures() {
    for (pages, word) in [
        (BY_NEXT, "was there before"),
        (
            "page = \"page\"\nitems = \"$.items\"",
            "the same as the one before",
        ),
    ] {
        let api = Raw::start(|request, _| {
            let mut asked = Asked::of(request);
            // Page 3 leads back to page 1; and the `page` parameter is not known.
            let id = asked.id.clone();
            let next = if asked.page == 3 { 1 } else { asked.page + 1 };
            if request.target.contains("page=") {
                asked.page = 0;
            }
            ok(page_of(
                &asked,
                100,
                &format!(",\"next\":\"/items/{id}?at={next}\""),
            ))
        });
        let bench = bench(api, &["a", "b"], pages);
        bench.run(&[], 3);
        assert!(bench.lines().is_empty());
        for failure in bench.failures() {
            assert_eq!(failure["reason"], "page_loop");
            let said = failure["message"].as_str().unwrap();
            assert!(said.contains(word), "{said}");
        }
        let asked = bench.server.seen().len();
        assert!(asked <= 10, "{asked}");
    }
}

const BEARER: &str = "type = \"bearer\"\ntoken = \"s3cr3t-bearer\"";

#[test]
fn another_origin_gets_no_credentials_and_is_asked_only_if_allowed() {
    let other = Raw::start(|request, _| ok(page_of(&Asked::of(request), 10, "")));
    let there = other.base();
    let api = Raw::start(move |request, _| {
        let asked = Asked::of(request);
        let next = format!(",\"next\":\"{there}/items/{}?at=1\"", asked.id);
        ok(page_of(&asked, 10, &next))
    });
    let refused = bench(&api, &["a", "b"], BY_NEXT).with("auth", BEARER);
    refused.run(&[], 3);
    assert!(other.seen().is_empty() && refused.lines().is_empty());
    for failure in refused.failures() {
        assert_eq!(failure["reason"], "next_page");
        assert!(
            failure["message"]
                .as_str()
                .unwrap()
                .contains("other_origins")
        );
    }
    let pages = format!("{BY_NEXT}\nother_origins = true");
    let allowed = bench(&api, &["a", "b"], &pages).with("auth", BEARER);
    allowed.run(&[], 0);
    assert_eq!(allowed.lines().len(), 20);
    assert_eq!(other.seen().len(), 2);
    for request in other.seen() {
        assert!(!request.head.contains("s3cr3t"), "{}", request.head);
    }
    assert!(
        api.seen()
            .iter()
            .all(|request| request.header("authorization").is_some())
    );
}

/// A server gives the key back in its links: it is sent on each page, once, and stands in no file.
#[test]
fn an_api_key_in_the_links_is_sent_on_and_never_kept() {
    for auth in [
        (
            "",
            "",
            "type = \"api_key\"\nin = \"query\"\nname = \"key\"\nvalue = \"s3cr3t-k3y/+\"",
        ),
        ("", "query = { key = \"${THE_KEY}\" }", ""),
        ("?at=0&key=${THE_KEY}&z=1&fields=a-rather-long-list", "", ""),
    ] {
        let api = Raw::start(|request, _| {
            let asked = Asked::of(request);
            if request.target.matches("key=").count() != 1
                || !["key=s3cr3t-k3y%2F%2B", "key=s3cr3t-k3y/%2B"]
                    .iter()
                    .any(|key| request.target.contains(key))
            {
                return answer("401 Unauthorized", "", "{}");
            }
            // In the middle, the run is stopped by a failure.
            if asked.page == 4 && !request.head.contains("go-on") {
                return answer("404 Not Found", "", "{}");
            }
            let next = format!(
                ",\"next\":\"/items/{}?at={}&key=s3cr3t-k3y%2f%2B&z=1&fields=a-rather-long-list\"",
                asked.id,
                asked.page + 1
            );
            ok(page_of(&asked, 40, if asked.page < 7 { &next } else { "" }))
        });
        let value = match auth.0 {
            "" => "s3cr3t-k3y/+",
            _ => "s3cr3t-k3y/%2B",
        };
        let mut bench = Bench::of(api, &format!("/items/{{id}}{}", auth.0))
            .ids(["a"])
            .with("request", "headers = { X-Note = \"${NOTE}\" }")
            .with("request", auth.1)
            .with("request.pages", BY_NEXT)
            .with("limits", "rate = \"unlimited\"")
            .env("HARVEST_LIMIT_PAGES", "2")
            .env("THE_KEY", value)
            .env("NOTE", "stop");
        if !auth.2.is_empty() {
            bench = bench.with("auth", auth.2);
        }
        bench.run(&[], 3);
        assert_eq!(bench.lines(), elements_of("a", 0..20));
        let failure = &bench.failures()[0];
        let said = failure["message"].as_str().unwrap();
        assert!(
            said.contains("the 20 records of the item's first 4 pages are in the output"),
            "{said}"
        );
        assert_no_secret(&bench.place, "s3cr3t");
        // `retry` goes on after them.
        let before = bench.server.seen().len();
        bench = bench.env("NOTE", "go-on");
        let output = bench.run(&["retry"], 0);
        assert_eq!(bench.lines(), elements_of("a", 0..40));
        let first = Asked::of(&bench.server.seen()[before]).page;
        assert_eq!(first, 4, "{}", told(&output));
        assert_no_secret(&bench.place, "s3cr3t");
        assert_eq!(bench.counts().1, 0);
    }
}

fn assert_no_secret(place: &Place, secret: &str) {
    for entry in std::fs::read_dir(place.path("")).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with(Path::new("job.toml")) {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!found, "{} holds {secret}", path.display());
    }
}

#[test]
fn a_plain_listing_is_one_item() {
    let api = Raw::start(|request, _| listing(&Asked::of(request), "next", 12));
    let bench = bench(api, &[], BY_NEXT).with("output", "record = \"envelope\"");
    let list = "[ids]\nfile = \"ids.txt\"\n";
    bench.edit(list, "");
    bench.edit("{id}", "all");
    let check = bench.run(&["check"], 0);
    let words = "next = $.next; each element of $.items is a record";
    assert_says(&check, &[words]);
    bench.run(&[], 0);
    let records = bench.records();
    assert_eq!(records.len(), 12);
    assert!(records.iter().all(|record| record["id"] == "listing"));
    let status = bench.run(&["status"], 0);
    assert_says(&status, &["records    12", "items      1 have"]);
    let seen = bench.server.seen().len();
    bench.run(&[], 0);
    assert_eq!(bench.server.seen().len(), seen);
    // With a list, the hole is missed.
    bench.edit("[request]\n", &format!("{list}[request]\n"));
    assert_says(&bench.run(&[], 2), &["leave [ids] out"]);
}

/// The item's own first page tells that the server is up: a later page that
/// never comes is the item's failure, and no outage without an end.
#[test]
fn a_listing_with_a_bad_page_ends() {
    for status in ["500 Internal Server Error", "503 Service Unavailable"] {
        let api = Raw::start(move |request, _| match Asked::of(request).page {
            3 => answer(status, "", "{}"),
            _ => listing(&Asked::of(request), "next", 40),
        });
        let bench = bench(api, &["a"], BY_NEXT);
        bench.run(&[], 3);
        assert_eq!(bench.failures()[0]["reason"], "server_error");
        assert!(bench.lines().is_empty());
    }
}

#[test]
fn a_page_told_to_wait_is_asked_again_and_no_other() {
    let api = Raw::start(|request, times| match (Asked::of(request).page, times) {
        (2, 1) => answer("429 Too Many Requests", "Retry-After: 1\r\n", "{}"),
        _ => listing(&Asked::of(request), "next", 20),
    });
    let bench = bench(api, &["a"], BY_NEXT);
    bench.run(&[], 0);
    assert_eq!(bench.lines(), elements_of("a", 0..20));
    assert_eq!(bench.server.seen().len(), 5);
}

/// An error with status 200 in the place of a page: every item gets it, so it
/// is not the items, and nothing is recorded; on a later page it is no end.
#[test]
fn errors_in_the_place_of_pages_are_no_pages() {
    let api = Raw::start(|_, _| ok("{\"error\":\"log in, please\"}"));
    for pages in [BY_NEXT, "next = \"$.next\""] {
        let bench = bench(&api, &[], pages).ids(names(150));
        assert_says(&bench.run(&[], 1), &["failed in the same way"]);
        assert_eq!(bench.counts(), (0, 0));
    }
    for (pages, lines) in [
        ("next = \"$.next\"\nitems = \"$.items[*]\"", 20),
        ("next = \"$.next\"", 4),
    ] {
        let api = Raw::start(|request, times| match (Asked::of(request).page, times) {
            (2, 1) => ok("{\"error\":\"busy\"}"),
            _ => listing(&Asked::of(request), "next", 20),
        });
        let bench = bench(api, &["a"], pages);
        bench.run(&[], 0);
        assert_eq!(bench.lines().len(), lines);
    }
}

/// The examples, against the embedded API.
#[test]
fn the_examples_run_with_the_sandbox() {
    let place = Place::new();
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs");
    let run = |name: &str, output: &str| {
        let output = harvest()
            .arg(jobs.join(name))
            .args(["--sandbox", "--rate", "unlimited", "--output"])
            .arg(place.path(output))
            .output()
            .unwrap();
        assert_exit(&output, 0);
    };
    run("followed_artists.toml", "artists.ndjson");
    assert_eq!(place.lines("artists.ndjson").len(), 137);
    run("github_issues.toml", "issues.csv");
    let rows = place.lines("issues.csv");
    assert!(
        rows[0].starts_with("id,status,fetched_at,number,title"),
        "{}",
        rows[0]
    );
    let numbers: std::collections::BTreeSet<(String, u64)> = rows[1..]
        .iter()
        .map(|row| {
            let cells: Vec<&str> = row.split(',').collect();
            (cells[0].to_owned(), cells[3].parse().unwrap())
        })
        .collect();
    assert_eq!(numbers.len(), rows.len() - 1);
    assert!(rows.len() > 100, "{}", rows.len());
    // The tracks' job first: its output is the list of the albums' job.
    let data = place.path("data");
    let own = place.path("jobs");
    for folder in [&data, &own] {
        std::fs::create_dir(folder).unwrap();
    }
    for (from, to) in [
        ("jobs/tracks.toml", &own),
        ("jobs/album_tracks.toml", &own),
        ("data/track_ids.csv", &data),
    ] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(from);
        std::fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
    }
    for name in ["tracks.toml", "album_tracks.toml"] {
        let output = harvest()
            .arg(own.join(name))
            .args(["--sandbox", "--rate", "unlimited"])
            .output()
            .unwrap();
        assert_exit(&output, 0);
    }
    let tracks = place.json_lines("data/tracks.ndjson");
    let albums: std::collections::BTreeSet<&str> = tracks
        .iter()
        .map(|t| t["album"]["id"].as_str().unwrap())
        .collect();
    let records = place.json_lines("data/album_tracks.ndjson");
    for album in albums {
        let numbers: Vec<u64> = records
            .iter()
            .filter(|record| record["id"] == album)
            .map(|record| record["body"]["track_number"].as_u64().unwrap())
            .collect();
        assert_eq!(
            numbers,
            (1..=numbers.len() as u64).collect::<Vec<_>>(),
            "{album}"
        );
        assert!(!numbers.is_empty());
    }
}
