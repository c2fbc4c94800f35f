//! Items that are bad for good cost themselves, and nothing else: not the rest
//! of the list, not the run, not a credential.

use crate::raw::{Raw, answer, ok};
use crate::support::{Place, assert_exit, harvest, told};
use std::process::Output;

fn job(place: &Place, api: &Raw, list: &[String], more: &str) -> std::path::PathBuf {
    place.write(
        "job.toml",
        &format!(
            "[ids]\nlist = {list:?}\n[request]\nurl = \"{}/items/{{id}}\"\n\
             [output]\npath = \"out.ndjson\"\n[retry]\nattempts = 3\nbackoff = \"10ms..50ms\"\n\
             [limits]\nrate = \"200/s\"\nmax_wait = \"3s\"\n{more}\n",
            api.base()
        ),
    )
}

fn run(job: &std::path::Path) -> Output {
    harvest().arg(job).output().unwrap()
}

fn names(from: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{from}{n}")).collect()
}

/// A server that answers `bad…` with this status, and everything else well.
fn picky(status: &'static str) -> Raw {
    Raw::start(move |request, _| {
        let id = request.last();
        if id.starts_with("bad") {
            answer(status, "", "{}")
        } else {
            ok(format!("{{\"id\":\"{id}\"}}"))
        }
    })
}

#[test]
fn a_cluster_of_bad_items_does_not_block_the_rest() {
    for status in ["503 Service Unavailable", "504 Gateway Timeout", "500 Oops"] {
        let api = picky(status);
        let place = Place::new();
        let list = [names("bad", 12), names("good", 40)].concat();
        let output = run(&job(&place, &api, &list, ""));
        assert_exit(&output, 3);
        place.assert_exactly_once("out.ndjson", list.iter().map(String::as_str));
        assert_eq!(place.lines("out.ndjson").len(), 40);
    }
}

#[test]
fn bad_items_that_are_all_that_is_left_fail() {
    let api = picky("502 Bad Gateway");
    let place = Place::new();
    let list = names("bad", 6);
    assert_exit(&run(&job(&place, &api, &list, "")), 3);
    assert_eq!(place.lines("out.ndjson.failed.ndjson").len(), 6);
}

#[test]
fn a_redirect_to_a_dead_host_is_the_items_trouble() {
    // A port that was free a moment ago, and that nobody listens on.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place_of_the_dead = format!("Location: http://{}/\r\n", dead.local_addr().unwrap());
    drop(dead);
    let api = Raw::start(move |request, _| match request.last() {
        "moved" => answer("302 Found", &place_of_the_dead, ""),
        id => ok(format!("{{\"id\":\"{id}\"}}")),
    });
    let place = Place::new();
    let list = [names("a", 5), vec!["moved".to_owned()], names("b", 5)].concat();
    assert_exit(&run(&job(&place, &api, &list, "")), 3);
    let failures = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["reason"], "connect");
    assert_eq!(failures[0]["attempts"], 3);
    assert_eq!(place.lines("out.ndjson").len(), 10);
}

#[test]
fn a_redirect_that_would_carry_the_key_is_not_followed() {
    let elsewhere = Raw::start(|_, _| ok("{}"));
    let there = elsewhere.base();
    let api = Raw::start(move |request, _| {
        let location = format!("Location: {there}{}\r\n", request.target);
        answer("301 Moved Permanently", &location, "")
    });
    let place = Place::new();
    let auth =
        "[auth]\ntype = \"api_key\"\nin = \"query\"\nname = \"key\"\nvalue = \"k3y/of+the.test\"";
    let output = run(&job(&place, &api, &names("a", 1), auth));
    assert_exit(&output, 3);
    assert_eq!(elsewhere.seen().len(), 0, "{}", told(&output));
    let failures = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failures[0]["reason"], "redirect");
    assert!(!failures[0]["message"].as_str().unwrap().contains("k3y"));
}

#[test]
fn a_resumed_run_can_end_with_an_item_that_is_forbidden() {
    let api = Raw::start(|request, _| match request.last() {
        "secret" => answer("403 Forbidden", "", "{}"),
        id => ok(format!("{{\"id\":\"{id}\"}}")),
    });
    let place = Place::new();
    assert_exit(&run(&job(&place, &api, &names("a", 3), "")), 0);
    let more = [names("a", 3), vec!["secret".to_owned()]].concat();
    assert_exit(&run(&job(&place, &api, &more, "")), 3);
    place.assert_exactly_once("out.ndjson", more.iter().map(String::as_str));
}

/// A key that works for the others is good; of three items in a row it is the key.
#[test]
fn an_item_that_takes_no_key_is_the_items_trouble() {
    let revoked = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = std::sync::Arc::clone(&revoked);
    let api = Raw::start(move |request, _| {
        let is_revoked = flag.load(std::sync::atomic::Ordering::SeqCst);
        match request.last() {
            "secret" => answer("401 Unauthorized", "", "{}"),
            _ if is_revoked => answer("401 Unauthorized", "", "{\"message\":\"revoked\"}"),
            id => ok(format!("{{\"id\":\"{id}\"}}")),
        }
    });
    let place = Place::new();
    let auth = "[auth]\ntype = \"bearer\"\ntoken = \"k3y\"";
    let list = [names("a", 9), vec!["secret".to_owned()], names("b", 9)].concat();
    assert_exit(&run(&job(&place, &api, &list, auth)), 3);
    place.assert_exactly_once("out.ndjson", list.iter().map(String::as_str));
    assert_eq!(place.lines("out.ndjson").len(), 18);

    revoked.store(true, std::sync::atomic::Ordering::SeqCst);
    let asked = api.seen().len();
    let more = [list.clone(), names("c", 90)].concat();
    let output = run(&job(&place, &api, &more, auth));
    assert_exit(&output, 1);
    assert!(told(&output).contains("revoked"), "{}", told(&output));
    assert!(api.seen().len() - asked <= 3 + 8);
    // None of it was recorded as failed.
    assert_eq!(place.lines("out.ndjson.failed.ndjson").len(), 1);
}

#[test]
fn check_finds_nothing_wrong_with_a_run_of_the_same_job() {
    let api = picky("404 Not Found");
    let place = Place::new();
    let job = job(&place, &api, &names("a", 3), "");
    assert_exit(&run(&job), 0);
    let checked = harvest().arg("check").arg(&job).output().unwrap();
    assert_exit(&checked, 0);
    assert!(!told(&checked).contains("warning"), "{}", told(&checked));
}

/// Nobody is left to show whether it is the server or the item: it has its fate all the same.
#[test]
fn an_item_that_is_told_to_wait_for_ever_fails_at_last() {
    let api = Raw::start(|request, _| match request.last() {
        "waits" => answer("429 Too Many Requests", "Retry-After: 0\r\n", "{}"),
        id => ok(format!("{{\"id\":\"{id}\"}}")),
    });
    let place = Place::new();
    let list = ["a", "waits", "b"].map(str::to_owned);
    let job = job(&place, &api, &list, "");
    assert_exit(&harvest().arg(job).output().unwrap(), 3);
    let failed = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["reason"], "rate_limited");
}

/// One body of a night is large enough to make a tree of it a gigabyte.
#[test]
fn a_body_that_is_too_much_for_a_path_is_its_items_failure_and_check_says_so_before() {
    let api = Raw::start(|request, _| match request.last() {
        "bad" => ok(format!("[{}1]", "{\"b\":1},".repeat(400_000))),
        _ => ok("[{\"b\":2}]"),
    });
    let place = Place::new();
    let list = ["a".to_owned(), "bad".to_owned(), "c".to_owned()];
    let job = job(
        &place,
        &api,
        &list,
        "[output.columns]\nb = \"$..b\"\nwhole = \"$\"",
    );
    let text = place.read("job.toml").replace("out.ndjson", "out.csv");
    place.write("job.toml", &text);
    let output = harvest().arg("check").arg(&job).output().unwrap();
    assert_exit(&output, 0);
    let words = ["b = $..b", "needs a tree"];
    assert!(
        words.iter().all(|word| told(&output).contains(word)),
        "{}",
        told(&output)
    );
    assert!(!told(&output).contains("whole"), "{}", told(&output));

    assert_exit(&run(&job), 3);
    assert_eq!(place.lines("out.csv").len(), 3);
    let failures = place.json_lines("out.csv.failed.ndjson");
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["id"], "bad");
    let message = failures[0]["message"].as_str().unwrap();
    assert!(message.contains("$..b"), "{message}");
}
