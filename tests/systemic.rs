//! Items that fail for a reason that they share (credentials, a server, a URL)
//! are not burnt by it, and items that fail for reasons of their own can't stop
//! a job for ever.
#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[path = "support/raw.rs"]
mod raw;
mod support;

use raw::{Raw, Reply, answer, ok};
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Place, assert_exit, harvest, told, track_id};

type Rule = dyn Fn(usize) -> Reply + Send + Sync;

/// A server that answers by a rule, which can be changed, and a job of many items.
struct Scene {
    place: Place,
    server: Raw,
    rule: Arc<Mutex<Arc<Rule>>>,
    job: PathBuf,
}

const BEARER: &str = "[auth]\ntype = \"bearer\"\ntoken = \"k3y\"";

impl Scene {
    fn new(count: usize, limits: &str, more: &str) -> Scene {
        let rule: Arc<Mutex<Arc<Rule>>> = Arc::new(Mutex::new(Arc::new(good)));
        let ruled = Arc::clone(&rule);
        let server = Raw::start(move |request, _| {
            let rule = Arc::clone(&ruled.lock().unwrap());
            rule(number(request.last()))
        });
        let place = Place::new();
        let retry = if more.contains("[retry]") {
            ""
        } else {
            "[retry]\nattempts = 3\nbackoff = \"1ms..20ms\"\n"
        };
        let job = place.write(
            "job.toml",
            &format!(
                "[ids]\nfile = \"ids.txt\"\n[request]\nurl = \"{}/items/{{id}}\"\n\
                 [limits]\nrate = \"unlimited\"\n{limits}\n{more}\n{retry}\
                 [output]\npath = \"out.ndjson\"\n",
                server.base()
            ),
        );
        let scene = Scene {
            place,
            server,
            rule,
            job,
        };
        scene.list(count);
        scene
    }

    fn list(&self, count: usize) {
        let ids: Vec<String> = (0..count).map(track_id).collect();
        self.place.write("ids.txt", &(ids.join("\n") + "\n"));
    }

    fn answers(&self, rule: impl Fn(usize) -> Reply + Send + Sync + 'static) {
        *self.rule.lock().unwrap() = Arc::new(rule);
    }

    fn run(&self, arguments: &[&str]) -> Output {
        harvest().arg(&self.job).args(arguments).output().unwrap()
    }

    fn retry(&self, arguments: &[&str]) -> Output {
        harvest()
            .arg("retry")
            .arg(&self.job)
            .args(arguments)
            .output()
            .unwrap()
    }

    fn asked(&self) -> usize {
        self.server.seen().len()
    }

    /// Lines of the output, and of the failures file.
    fn fates(&self) -> (usize, usize) {
        (
            self.place.lines("out.ndjson").len(),
            self.place.lines("out.ndjson.failed.ndjson").len(),
        )
    }

    fn assert_exactly_once(&self, count: usize) {
        let ids: Vec<String> = (0..count).map(track_id).collect();
        self.place
            .assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
    }
}

fn number(id: &str) -> usize {
    id.trim_end_matches('x').parse().unwrap()
}

fn good(number: usize) -> Reply {
    ok(format!("{{\"id\":\"{}\"}}", track_id(number)))
}

fn no(status: &str) -> Reply {
    answer(status, "", "{}")
}

fn late(mut reply: Reply, millis: u64) -> Reply {
    if let Some(first) = reply.parts.first_mut() {
        first.0 = Duration::from_millis(millis);
    }
    reply
}

#[track_caller]
fn assert_says(output: &Output, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in:\n{}", told(output));
    }
}

/// What was let through before the key was revoked says nothing about it afterwards.
#[test]
fn answers_that_were_on_their_way_release_no_refusals() {
    let scene = Scene::new(100, "concurrency = 8", BEARER);
    scene.answers(|n| match n {
        0..43 => good(n),
        43..50 => late(good(n), 200 * (n as u64 - 42)),
        _ => no("401 Unauthorized"),
    });
    let output = scene.run(&[]);
    assert_exit(&output, 1);
    assert_says(
        &output,
        &["the API refused the credentials", "correct [auth]"],
    );
    assert_eq!(scene.fates(), (50, 0), "{}", told(&output));
    scene.answers(good);
    assert_exit(&scene.run(&[]), 0);
    scene.assert_exactly_once(100);
}

/// What failed before for reasons of its own may fail so again: the healed ones behind it have their turn.
#[test]
fn a_retry_is_not_stopped_by_the_items_own_old_failures() {
    for (status, limits) in [
        ("403 Forbidden", "quarantine = \"off\""),
        ("422 Unprocessable", "quarantine = \"off\""),
        ("401 Unauthorized", "quarantine = \"off\""),
    ] {
        let scene = Scene::new(160, limits, BEARER);
        // One that is well comes now and then, so that none of it is the key's fault.
        scene.answers(move |n| if n % 2 == 0 { good(n) } else { no(status) });
        let first = scene.run(&["--concurrency", "1"]);
        assert_exit(&first, 3);
        assert_eq!(scene.fates(), (80, 80), "{}", told(&first));
        // From here on with a quarantine, which is not part of what the records depend on.
        let job = std::fs::read_to_string(&scene.job).unwrap();
        std::fs::write(&scene.job, job.replace("\"off\"", "\"20/22\"")).unwrap();
        scene.answers(move |n| match n {
            0..100 if n % 2 == 1 => no(status),
            _ => good(n),
        });
        let asked = scene.asked();
        let output = scene.retry(&[]);
        assert_exit(&output, 3);
        assert_eq!(scene.fates(), (110, 50), "{}", told(&output));
        assert_eq!(scene.asked() - asked, 80);
        scene.assert_exactly_once(160);
    }
}
