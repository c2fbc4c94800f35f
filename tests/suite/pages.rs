//! Items whose answers come in pages: every way from page to page, what fails
//! on the way, and what may not be followed. Kills: `pages_resumed.rs`.

use crate::paged::{Asked, elements_of, listing, page_of, run, run_with};
use crate::raw::{Raw, answer, ok};
use crate::support::{Place, assert_exit, harvest, told};
use std::path::Path;

/// A job over `base`: two items unless `ids` says otherwise.
fn job(place: &Place, base: &str, ids: &str, pages: &str, output: &str) -> std::path::PathBuf {
    place.write(
        "job.toml",
        &format!(
            "{ids}\n[request]\nurl = \"{base}/items/{{id}}\"\n[request.pages]\n{pages}\n\
             [limits]\nrate = \"unlimited\"\n[retry]\nattempts = 3\nbackoff = \"5ms..20ms\"\n\
             [output]\n{output}\n"
        ),
    )
}

const TWO: &str = "[ids]\nlist = [\"a\", \"b\"]";
const BODY: &str = "path = \"out.ndjson\"";

#[test]
fn every_way_gives_every_element_once_byte_for_byte() {
    let ways = [
        ("next", "next = \"$.next\"\nitems = \"$.items\""),
        ("relative", "next = \"$.next\"\nitems = \"$.items\""),
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
        let place = Place::new();
        let job = job(&place, &api.base(), TWO, pages, BODY);
        let output = run(&job);
        assert_exit(&output, 0);
        let mut lines = place.lines("out.ndjson");
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
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("24 records of 2 items"), "{said}");
        // A total spares the last, empty page.
        let pages_each = api.seen().len() / 2;
        let until_empty = matches!(kind, "offset" | "page") && !pages.contains("total");
        assert_eq!(pages_each, 3 + usize::from(until_empty), "{pages}");
        // Run again, it sends nothing.
        let seen = api.seen().len();
        assert_exit(&run(&job), 0);
        assert_eq!(api.seen().len(), seen);
    }
}

#[test]
fn a_page_is_a_record_or_all_are_one() {
    let api = Raw::start(|request, _| listing(&Asked::of(request), "next", 12));
    let place = Place::new();
    let job_of = |pages: &str, output: &str| {
        job(&place, &api.base(), "[ids]\nlist = [\"a\"]", pages, output)
    };
    assert_exit(
        &run(&job_of("next = \"$.next\"", "path = \"pages.ndjson\"")),
        0,
    );
    let lines = place.lines("pages.ndjson");
    assert_eq!(lines.len(), 3);
    for (line, range) in lines.iter().zip([0..5, 5..10, 10..12]) {
        assert!(line.contains(&elements_of("a", range).join(",")), "{line}");
    }
    let merge = "next = \"$.next\"\nmerge = \"$.items\"";
    assert_exit(&run(&job_of(merge, "path = \"merged.ndjson\"")), 0);
    let lines = place.lines("merged.ndjson");
    let all = elements_of("a", 0..12).join(",");
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains(&format!("\"items\":[{all}]")),
        "{}",
        lines[0]
    );
    // max_pages is all that is asked for.
    let most = "next = \"$.next\"\nitems = \"$.items\"\nmax_pages = 2";
    assert_exit(&run(&job_of(most, "path = \"most.ndjson\"")), 0);
    assert_eq!(place.lines("most.ndjson"), elements_of("a", 0..10));
}

#[test]
fn envelopes_and_rows_are_per_element() {
    let api = Raw::start(|request, _| listing(&Asked::of(request), "next", 7));
    let place = Place::new();
    let pages = "next = \"$.next\"\nitems = \"$.items\"";
    let envelope = "path = \"out.ndjson\"\nrecord = \"envelope\"";
    assert_exit(&run(&job(&place, &api.base(), TWO, pages, envelope)), 0);
    let records = place.json_lines("out.ndjson");
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
    let csv = "path = \"out.csv\"\n[output.columns]\nid = \"$.id\"\nn = \"$.n\"";
    assert_exit(
        &run(&job(
            &place,
            &api.base(),
            "[ids]\nlist = [\"a\"]",
            pages,
            csv,
        )),
        0,
    );
    let rows: Vec<String> = (0..7).map(|n| format!("a-{n},{n}.00")).collect();
    assert_eq!(place.lines("out.csv")[0], "id,n");
    assert_eq!(place.lines("out.csv")[1..], rows);
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
    let place = Place::new();
    let csv =
        "path = \"out.csv\"\n[output.columns]\nid = \"$.id\"\n[checkpoint]\nevery = \"100ms\"";
    let pages = "next = \"$.next\"\nitems = \"$.items\"";
    let job = job(&place, &api.base(), TWO, pages, csv);
    let output = run_with(&job, &[], &[("HARVEST_LIMIT_PAGES", "2")]);
    assert_exit(&output, 3);
    let of_a = api.seen().iter().filter(|r| Asked::of(r).id == "a").count();
    assert!((5..1_000).contains(&of_a), "{of_a} pages");
    let rows = place.lines("out.csv");
    let of = |id: &str| rows.iter().filter(|row| row.starts_with(id)).count();
    // What was handed on before; `b` is whole.
    assert_eq!((of("a-"), of("b-")), (20, 12), "{}", told(&output));
    let failures = place.json_lines("out.csv.failed.ndjson");
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["reason"], "malformed_body");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("32 records of 1 items"), "{said}");
    assert!(said.contains("1 failed"), "{said}");
    assert!(said.contains("1 malformed_body"), "{said}");
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
    let place = Place::new();
    let pages = "next = \"$.next\"\nitems = \"$.items\"";
    let job = job(&place, &api.base(), "[ids]\nlist = [\"a\"]", pages, BODY);
    assert_exit(&run(&job), 0);
    assert_eq!(place.lines("out.ndjson"), elements_of("a", 0..50));
    for page in 0..10 {
        let asked = api
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
    let place = Place::new();
    let job = job(
        &place,
        &api.base(),
        TWO,
        "next = \"$.next\"\nitems = \"$.items\"",
        BODY,
    );
    let output = run(&job);
    assert_exit(&output, 3);
    assert_eq!(place.lines("out.ndjson"), elements_of("b", 0..20));
    let failures = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failures.len(), 1);
    assert_eq!(
        (&failures[0]["id"], &failures[0]["reason"]),
        (&"a".into(), &"server_error".into())
    );
    let said = failures[0]["message"].as_str().unwrap();
    assert!(!said.contains("in the output"), "{said}");
    // From its beginning, for none of it is there.
    let output = harvest().arg("retry").arg(&job).output().unwrap();
    assert_exit(&output, 0);
    let mut lines = place.lines("out.ndjson");
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
        ("next = \"$.next\"\nitems = \"$.items\"", "was there before"),
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
        let place = Place::new();
        let job = job(&place, &api.base(), TWO, pages, BODY);
        assert_exit(&run(&job), 3);
        assert!(place.lines("out.ndjson").is_empty());
        for failure in place.json_lines("out.ndjson.failed.ndjson") {
            assert_eq!(failure["reason"], "page_loop");
            let said = failure["message"].as_str().unwrap();
            assert!(said.contains(word), "{said}");
        }
        assert!(api.seen().len() <= 10, "{}", api.seen().len());
    }
}

const BEARER: &str = "[auth]\ntype = \"bearer\"\ntoken = \"s3cr3t-bearer\"\n";

#[test]
fn another_origin_gets_no_credentials_and_is_asked_only_if_allowed() {
    let other = Raw::start(|request, _| ok(page_of(&Asked::of(request), 10, "")));
    let there = other.base();
    let api = Raw::start(move |request, _| {
        let asked = Asked::of(request);
        let next = format!(",\"next\":\"{there}/items/{}?at=1\"", asked.id);
        ok(page_of(&asked, 10, &next))
    });
    let place = Place::new();
    let pages = "next = \"$.next\"\nitems = \"$.items\"";
    let refused = job(
        &place,
        &api.base(),
        TWO,
        pages,
        &format!("{BODY}\n{BEARER}"),
    );
    assert_exit(&run(&refused), 3);
    assert!(other.seen().is_empty() && place.lines("out.ndjson").is_empty());
    for failure in place.json_lines("out.ndjson.failed.ndjson") {
        assert_eq!(failure["reason"], "next_page");
        assert!(
            failure["message"]
                .as_str()
                .unwrap()
                .contains("other_origins")
        );
    }
    let allowed = job(
        &place,
        &api.base(),
        TWO,
        &format!("{pages}\nother_origins = true"),
        &format!("path = \"allowed.ndjson\"\n{BEARER}"),
    );
    assert_exit(&run(&allowed), 0);
    assert_eq!(place.lines("allowed.ndjson").len(), 20);
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
            "[auth]\ntype = \"api_key\"\nin = \"query\"\nname = \"key\"\nvalue = \"s3cr3t-k3y/+\"",
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
        let place = Place::new();
        let text = format!(
            "[ids]\nlist = [\"a\"]\n[request]\nurl = \"{}/items/{{id}}{}\"\n{}\nheaders = {{ X-Note = \"${{NOTE}}\" }}\n\
             [request.pages]\nnext = \"$.next\"\nitems = \"$.items\"\n{}\n[limits]\nrate = \"unlimited\"\n\
             [output]\npath = \"out.ndjson\"\n",
            api.base(),
            auth.0,
            auth.1,
            auth.2
        );
        let job = place.write("job.toml", &text);
        let env = |note: &'static str| {
            [
                ("HARVEST_LIMIT_PAGES", "2"),
                (
                    "THE_KEY",
                    if auth.0.is_empty() {
                        "s3cr3t-k3y/+"
                    } else {
                        "s3cr3t-k3y/%2B"
                    },
                ),
                ("NOTE", note),
            ]
        };
        assert_exit(&run_with(&job, &[], &env("stop")), 3);
        assert_eq!(place.lines("out.ndjson"), elements_of("a", 0..20));
        let failure = &place.json_lines("out.ndjson.failed.ndjson")[0];
        let said = failure["message"].as_str().unwrap();
        assert!(
            said.contains("the 20 records of the item's first 4 pages are in the output"),
            "{said}"
        );
        assert_no_secret(&place, "s3cr3t");
        // `retry` goes on after them.
        let before = api.seen().len();
        let output = run_with(&job, &["retry"], &env("go-on"));
        assert_exit(&output, 0);
        assert_eq!(place.lines("out.ndjson"), elements_of("a", 0..40));
        let first = Asked::of(&api.seen()[before]).page;
        assert_eq!(first, 4, "{}", told(&output));
        assert_no_secret(&place, "s3cr3t");
        assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
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
    let place = Place::new();
    let text = format!(
        "[request]\nurl = \"{}/items/all\"\n[request.pages]\nnext = \"$.next\"\nitems = \"$.items\"\n\
         [limits]\nrate = \"unlimited\"\n[output]\npath = \"out.ndjson\"\nrecord = \"envelope\"\n",
        api.base()
    );
    let job = place.write("job.toml", &text);
    let output = harvest().arg("check").arg(&job).output().unwrap();
    assert_exit(&output, 0);
    let plan = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        plan.contains("next = $.next; each element of $.items is a record"),
        "{plan}"
    );
    assert_exit(&run(&job), 0);
    let records = place.json_lines("out.ndjson");
    assert_eq!(records.len(), 12);
    assert!(records.iter().all(|record| record["id"] == "listing"));
    let status = harvest().arg("status").arg(&job).output().unwrap();
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        said.contains("records    12") && said.contains("items      1 have"),
        "{said}"
    );
    let (seen, again) = (api.seen().len(), run(&job));
    assert_exit(&again, 0);
    assert_eq!(api.seen().len(), seen);
    // With a list, the hole is missed.
    let listed = place.write("listed.toml", &format!("[ids]\nlist = [\"a\"]\n{text}"));
    let output = run(&listed);
    assert_exit(&output, 2);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("leave [ids] out"),
        "{}",
        told(&output)
    );
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
        let place = Place::new();
        let pages = "next = \"$.next\"\nitems = \"$.items\"";
        let job = job(&place, &api.base(), "[ids]\nlist = [\"a\"]", pages, BODY);
        assert_exit(&run(&job), 3);
        assert_eq!(
            place.json_lines("out.ndjson.failed.ndjson")[0]["reason"],
            "server_error"
        );
        assert!(place.lines("out.ndjson").is_empty());
    }
}

#[test]
fn a_page_told_to_wait_is_asked_again_and_no_other() {
    let api = Raw::start(|request, times| match (Asked::of(request).page, times) {
        (2, 1) => answer("429 Too Many Requests", "Retry-After: 1\r\n", "{}"),
        _ => listing(&Asked::of(request), "next", 20),
    });
    let place = Place::new();
    let pages = "next = \"$.next\"\nitems = \"$.items\"";
    let job = job(&place, &api.base(), "[ids]\nlist = [\"a\"]", pages, BODY);
    assert_exit(&run(&job), 0);
    assert_eq!(place.lines("out.ndjson"), elements_of("a", 0..20));
    assert_eq!(api.seen().len(), 5);
}

/// An error with status 200 in the place of a page: every item gets it, so it
/// is not the items, and nothing is recorded; on a later page it is no end.
#[test]
fn errors_in_the_place_of_pages_are_no_pages() {
    let api = Raw::start(|_, _| ok("{\"error\":\"log in, please\"}"));
    let place = Place::new();
    let ids: Vec<String> = (0..150).map(|n| format!("\"i{n}\"")).collect();
    let ids = format!("[ids]\nlist = [{}]", ids.join(","));
    for pages in [
        "next = \"$.next\"\nitems = \"$.items\"",
        "next = \"$.next\"",
    ] {
        let job = job(&place, &api.base(), &ids, pages, BODY);
        let output = run_with(&job, &["run", "--fresh", "--yes"], &[]);
        assert_exit(&output, 1);
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("failed in the same way"),
            "{}",
            told(&output)
        );
        assert!(place.lines("out.ndjson").is_empty());
        assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
    }
    let api = Raw::start(|request, times| match (Asked::of(request).page, times) {
        (2, 1) => ok("{\"error\":\"busy\"}"),
        _ => listing(&Asked::of(request), "next", 20),
    });
    for (pages, lines) in [
        ("next = \"$.next\"\nitems = \"$.items[*]\"", 20),
        ("next = \"$.next\"", 4),
    ] {
        let ids = "[ids]\nlist = [\"a\"]";
        let job = job(&place, &api.base(), ids, pages, "path = \"later.ndjson\"");
        assert_exit(&run_with(&job, &["run", "--fresh", "--yes"], &[]), 0);
        assert_eq!(place.lines("later.ndjson").len(), lines);
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
