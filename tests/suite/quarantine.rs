//! When nearly every item fails in the same way, it is not the items: the run
//! stops, records none of it as failed, and goes on when the cause is gone.

use crate::raw::{Raw, Reply, Req, answer, ok};
use crate::support::{Place, assert_exit, harvest, told, track_id};
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LOGIN: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head></html>";

/// A server that answers well until it is told to be sick, and a job of many items.
struct Bench {
    place: Place,
    server: Raw,
    sick: Arc<AtomicBool>,
    job: PathBuf,
    ids: Vec<String>,
}

impl Bench {
    /// `disease` is what a sick server answers; `well_for` items are answered well before.
    fn new(
        count: usize,
        well_for: usize,
        limits: &str,
        disease: impl Fn(&Req) -> Reply + Send + Sync + 'static,
    ) -> Bench {
        let sick = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&sick);
        let served = std::sync::atomic::AtomicUsize::new(0);
        let server = Raw::start(move |request, _| {
            if flag.load(Ordering::SeqCst) && served.load(Ordering::SeqCst) >= well_for {
                return disease(request);
            }
            served.fetch_add(1, Ordering::SeqCst);
            ok(format!("{{\"id\":\"{}\"}}", request.last()))
        });
        let place = Place::new();
        let ids: Vec<String> = (0..count).map(track_id).collect();
        place.write("ids.txt", &(ids.join("\n") + "\n"));
        let job = place.write(
            "job.toml",
            &format!(
                "[ids]\nfile = \"ids.txt\"\n[request]\nurl = \"{}/items/{{id}}\"\n\
                 [limits]\nrate = \"unlimited\"\nconcurrency = 4\n{limits}\n\
                 [retry]\nattempts = 3\nbackoff = \"1ms..20ms\"\n\
                 [output]\npath = \"out.ndjson\"\n",
                server.base()
            ),
        );
        Bench {
            place,
            server,
            sick,
            job,
            ids,
        }
    }

    fn run(&self) -> Output {
        harvest().arg(&self.job).output().unwrap()
    }

    fn records(&self) -> usize {
        self.place.lines("out.ndjson").len()
    }

    fn failures(&self) -> usize {
        self.place.lines("out.ndjson.failed.ndjson").len()
    }

    /// The cause is gone: the same command completes, with nothing lost and nothing twice.
    fn assert_heals(&self) {
        self.sick.store(false, Ordering::SeqCst);
        assert_exit(&self.run(), 0);
        self.place
            .assert_exactly_once("out.ndjson", self.ids.iter().map(String::as_str));
        assert_eq!(self.records(), self.ids.len());
    }
}

/// Exit 1, the words are said, nothing is recorded as failed, and little was asked.
#[track_caller]
fn assert_stopped(bench: &Bench, output: &Output, most_requests: usize, words: &[&str]) {
    assert_exit(output, 1);
    let stderr = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in:\n{}", told(output));
    }
    assert_eq!(bench.failures(), 0, "{}", told(output));
    let requests = bench.server.seen().len();
    assert!(requests <= most_requests, "{requests} requests");
}

#[test]
fn a_server_that_forbids_everything_in_mid_run_burns_no_item() {
    let bench = Bench::new(2_000, 300, "", |_| {
        answer("403 Forbidden", "", "{\"message\":\"plan expired\"}")
    });
    let output = bench.run();
    let words = [
        "95 of the last",
        "forbidden: HTTP 403: plan expired",
        "quarantine = \"off\"",
        "to go on: ",
    ];
    assert_stopped(&bench, &output, 300 + 100 + 8, &words);
    assert_eq!(bench.records(), 300);
    bench.assert_heals();
}

#[test]
fn a_login_page_with_status_200_burns_no_item() {
    let bench = Bench::new(2_000, 50, "", |_| {
        answer("200 OK", "Content-Type: text/html\r\n", LOGIN)
    });
    let output = bench.run();
    // The first items have had their three attempts by then.
    let words = ["of the last", "malformed_body", "HTML"];
    assert_stopped(&bench, &output, 50 + 3 * 100 + 8, &words);
    bench.assert_heals();
}

#[test]
fn an_api_that_takes_no_request_any_more_burns_no_item() {
    let bench = Bench::new(500, 0, "quarantine = \"20/25\"", |_| {
        answer(
            "422 Unprocessable",
            "",
            "{\"message\":\"version 1 is gone\"}",
        )
    });
    let output = bench.run();
    let words = [
        "20 of the last 20 items",
        "client_error: HTTP 422",
        "is gone",
    ];
    assert_stopped(&bench, &output, 20 + 4, &words);
    bench.assert_heals();
}

#[test]
fn a_url_that_finds_nothing_is_seen_before_the_list_is_burnt() {
    let bench = Bench::new(1_000, 0, "", |_| answer("404 Not Found", "", "{}"));
    let output = bench.run();
    assert_stopped(
        &bench,
        &output,
        95 + 4,
        &["not_found: HTTP 404", "is [request] url right?"],
    );
    bench.assert_heals();
}

#[test]
fn items_that_are_gone_are_their_own_matter_once_others_were_there() {
    let bench = Bench::new(400, 5, "", |_| answer("404 Not Found", "", "{}"));
    assert_exit(&bench.run(), 3);
    assert_eq!((bench.records(), bench.failures()), (5, 395));
}

#[test]
fn failures_among_records_are_the_items_own() {
    // Every third item is well.
    let bench = Bench::new(600, 0, "", |request| {
        let number: usize = request.last().trim_end_matches('x').parse().unwrap();
        match number % 3 {
            0 => ok(format!("{{\"id\":\"{}\"}}", request.last())),
            _ => answer("403 Forbidden", "", "{}"),
        }
    });
    assert_exit(&bench.run(), 3);
    assert_eq!((bench.records(), bench.failures()), (200, 400));
    bench
        .place
        .assert_exactly_once("out.ndjson", bench.ids.iter().map(String::as_str));
}

#[test]
fn off_records_every_failure() {
    let bench = Bench::new(300, 1, "quarantine = \"off\"", |_| {
        answer("403 Forbidden", "", "{}")
    });
    assert_exit(&bench.run(), 3);
    assert_eq!((bench.records(), bench.failures()), (1, 299));
}

#[test]
fn a_short_list_of_failures_fails() {
    let bench = Bench::new(60, 1, "", |_| answer("400 Bad Request", "", "{}"));
    assert_exit(&bench.run(), 3);
    assert_eq!((bench.records(), bench.failures()), (1, 59));
}

/// What is held back when a signal comes is tried again: neither lost nor twice.
#[test]
fn a_signal_during_suspicion_loses_nothing() {
    let bench = Bench::new(300, 10, "rate = \"100/s\"", |_| {
        answer("403 Forbidden", "", "{}")
    });
    let job = std::fs::read_to_string(&bench.job).unwrap();
    std::fs::write(&bench.job, job.replace("rate = \"unlimited\"\n", "")).unwrap();
    let child = harvest()
        .arg(&bench.job)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while bench.server.seen().len() < 40 {
        assert!(Instant::now() < deadline, "it sends nothing");
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .unwrap();
    assert_exit(&child.wait_with_output().unwrap(), 130);
    assert_eq!((bench.records(), bench.failures()), (10, 0));
    bench.assert_heals();
}

/// A 500 for everything is a server that is down: it is waited for.
#[test]
fn a_server_that_answers_500_to_everything_is_waited_for() {
    let bench = Bench::new(1_000, 100, "", |_| {
        answer("500 Internal Server Error", "", "{}")
    });
    let job = std::fs::read_to_string(&bench.job).unwrap();
    // Six tries of nearly a second each: none of them is used up by the outage.
    std::fs::write(
        &bench.job,
        job.replace("3\nbackoff = \"1ms..20ms\"", "6\nbackoff = \"50ms..1s\""),
    )
    .unwrap();
    let child = harvest()
        .arg(&bench.job)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while bench.server.seen().len() < 195 {
        assert!(Instant::now() < deadline, "it sends nothing");
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_secs(3));
    let asked = bench.server.seen().len();
    assert!(
        asked <= 100 + 6 * 100,
        "{asked} requests to a server that is down"
    );
    bench.sick.store(false, Ordering::SeqCst);
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 0);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("the server is down"), "{}", told(&output));
    bench
        .place
        .assert_exactly_once("out.ndjson", bench.ids.iter().map(String::as_str));
    assert_eq!(bench.failures(), 0);
}

/// An API that is out of order and says so with status 200 gives no records.
#[test]
fn an_error_object_with_status_200_for_everything_is_no_record() {
    let sick = |_: &Req| ok("{ \"error\": { \"message\": \"session expired\" } }");
    let bench = Bench::new(300, 50, "", sick);
    let output = bench.run();
    assert_exit(&output, 1);
    let said = told(&output);
    assert!(
        said.contains("an object that begins with `error`"),
        "{said}"
    );
    assert_eq!(bench.records(), 50);

    bench.sick.store(false, Ordering::SeqCst);
    assert_exit(&bench.run(), 0);
    let ids = bench.ids.iter().map(String::as_str);
    bench.place.assert_exactly_once("out.ndjson", ids);
}

/// A few of them are what the API says of these items.
#[test]
fn a_few_error_objects_are_records_like_others() {
    let bench = Bench::new(300, 290, "", |_: &Req| ok("{\"error\":\"no such thing\"}"));
    assert_exit(&bench.run(), 0);
    assert_eq!(bench.records(), 300);
    // Without a quarantine, all of them.
    let bench = Bench::new(300, 50, "quarantine = \"off\"", |_: &Req| {
        ok("{\"error\":\"no such thing\"}")
    });
    assert_exit(&bench.run(), 0);
    assert_eq!(bench.records(), 300);
}
