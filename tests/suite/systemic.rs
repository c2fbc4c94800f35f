//! Items that fail for a reason that they share (credentials, a server, a URL)
//! are not burnt by it, and items that fail for reasons of their own can't stop
//! a job for ever.

use crate::raw::{Raw, Reply, answer, ok};
use crate::support::{Place, assert_exit, harvest, told, track_id};
use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
    let revoked = AtomicBool::new(false);
    scene.answers(move |n| {
        revoked.fetch_or(n >= 50, Ordering::SeqCst);
        match n {
            43..50 => late(good(n), 200 * (n as u64 - 42)),
            _ if revoked.load(Ordering::SeqCst) => no("401 Unauthorized"),
            _ => good(n),
        }
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

/// Twenty and more items that are forbidden for themselves, first in a run that goes on.
#[test]
fn a_resumed_run_passes_items_that_are_forbidden() {
    let rule = |n: usize| match n {
        50..110 => no("403 Forbidden"),
        _ => good(n),
    };
    // Once with an item that is known to be good, once without quarantine (and with POST: nothing to ask for).
    for (limits, method) in [("", "GET"), ("quarantine = \"off\"", "POST")] {
        let scene = Scene::new(50, limits, BEARER);
        let job = std::fs::read_to_string(&scene.job).unwrap();
        std::fs::write(
            &scene.job,
            job.replace("[limits]", &format!("method = \"{method}\"\n[limits]")),
        )
        .unwrap();
        scene.answers(rule);
        assert_exit(&scene.run(&[]), 0);
        scene.list(150);
        let asked = scene.asked();
        let output = scene.run(&[]);
        assert_exit(&output, 3);
        assert_eq!(scene.fates(), (90, 60), "{}", told(&output));
        assert!(scene.asked() - asked <= 100 + 1);
        scene.assert_exactly_once(150);
    }
}

/// Promise 8: when every request of a run is refused, it is the credentials.
#[test]
fn credentials_that_die_between_runs_burn_no_item() {
    for (status, left, method) in [
        ("401 Unauthorized", 2, "GET"),
        ("401 Unauthorized", 2, "POST"),
        ("403 Forbidden", 15, "GET"),
        ("403 Forbidden", 15, "POST"),
        ("403 Forbidden", 40, "GET"),
    ] {
        let scene = Scene::new(100 - left, "", BEARER);
        let job = std::fs::read_to_string(&scene.job).unwrap();
        std::fs::write(
            &scene.job,
            job.replace("[limits]", &format!("method = \"{method}\"\n[limits]")),
        )
        .unwrap();
        assert_exit(&scene.run(&[]), 0);
        scene.list(100);
        scene.answers(move |_| no(status));
        let output = scene.run(&[]);
        assert_exit(&output, 1);
        let code = status.split(' ').next().unwrap();
        assert_says(&output, &["the API refused the credentials", code]);
        assert_eq!(scene.fates(), (100 - left, 0), "{}", told(&output));
        scene.answers(good);
        assert_exit(&scene.run(&[]), 0);
        scene.assert_exactly_once(100);
    }
}

/// That an item failed in an earlier run does not hide the others that are known to be good.
#[test]
fn an_outage_at_the_end_burns_nothing_though_an_item_failed_before() {
    let sick = |n: usize| match n {
        7 => no("404 Not Found"),
        _ => good(n),
    };
    let scene = Scene::new(100, "max_wait = \"2s\"", "");
    scene.answers(sick);
    assert_exit(&scene.run(&["--limit", "95"]), 3);
    scene.answers(|_| no("503 Service Unavailable"));
    let output = scene.run(&[]);
    assert_exit(&output, 75);
    assert_eq!(scene.fates(), (94, 1), "{}", told(&output));
    // And what failed before is not burnt anew by a retry, when it gets what all get.
    let lines = scene.place.read("out.ndjson.failed.ndjson");
    let output = scene.retry(&[]);
    assert_exit(&output, 75);
    assert_eq!(scene.place.read("out.ndjson.failed.ndjson"), lines);
    scene.answers(sick);
    assert_exit(&scene.run(&[]), 3);
    scene.assert_exactly_once(100);
}

/// The item that is known to be good is kept with what is done, and no list has to have it: not one
/// that has grown new, nor one from a pipe, of which nobody knows what comes next.
#[test]
fn what_was_good_in_an_earlier_run_is_asked_whatever_is_listed_now() {
    let sick = |n: usize| match n {
        7 => no("404 Not Found"),
        _ => good(n),
    };
    for (status, code) in [("503 Service Unavailable", 75), ("403 Forbidden", 1)] {
        let scene = Scene::new(95, "max_wait = \"2s\"", BEARER);
        scene.answers(sick);
        assert_exit(&scene.run(&[]), 3);
        let new: Vec<String> = (95..100).map(track_id).collect();
        scene.place.write("ids.txt", &(new.join("\n") + "\n"));
        scene.answers(move |_| no(status));
        let asked = scene.asked();
        let output = scene.run(&[]);
        assert_exit(&output, code);
        assert_eq!(scene.fates(), (94, 1), "{}", told(&output));
        // One of those that have their record, and always the same.
        let old: HashSet<String> = scene.server.seen()[asked..]
            .iter()
            .map(|request| request.last().to_owned())
            .filter(|id| number(id) < 95)
            .collect();
        assert_eq!(old.len(), 1, "{old:?}");
        assert_ne!(number(old.iter().next().unwrap()), 7);
        scene.answers(sick);
        assert_exit(&scene.run(&[]), 3);
        scene.list(100);
        scene.assert_exactly_once(100);
    }
}
