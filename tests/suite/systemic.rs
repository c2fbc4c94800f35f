//! Items that fail for a reason that they share (credentials, a server, a URL)
//! are not burnt by it, and items that fail for reasons of their own can't stop
//! a job for ever.

use crate::raw::{Raw, Reply, answer, ok};
use crate::support::{Bench, assert_says, told, track_id};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Rule = dyn Fn(usize) -> Reply + Send + Sync;

/// A server that answers by a rule, which can be changed, and a job of many items.
type Scene = Bench<Raw<Mutex<Arc<Rule>>>>;

const BEARER: &str = "type = \"bearer\"\ntoken = \"k3y\"";

impl Scene {
    fn new(count: usize, limits: &str) -> Scene {
        let rule: Arc<Rule> = Arc::new(good);
        let server = Raw::sharing(Mutex::new(rule), |rule, request, _| {
            let rule = Arc::clone(&rule.lock().unwrap());
            rule(number(request.last()))
        });
        Bench::of(server, "/items/{id}")
            .ids((0..count).map(track_id))
            .with("limits", &format!("rate = \"unlimited\"\n{limits}"))
            .with("retry", "attempts = 3\nbackoff = \"1ms..20ms\"")
    }

    /// Another list, of the first so many.
    fn lists(self, count: usize) -> Scene {
        self.ids((0..count).map(track_id))
    }

    fn answers(&self, rule: impl Fn(usize) -> Reply + Send + Sync + 'static) {
        *self.server.state.lock().unwrap() = Arc::new(rule);
    }

    fn asked(&self) -> usize {
        self.server.seen().len()
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

/// What was let through before the key was revoked says nothing about it afterwards.
#[test]
fn answers_that_were_on_their_way_release_no_refusals() {
    let scene = Scene::new(100, "concurrency = 8").with("auth", BEARER);
    let revoked = AtomicBool::new(false);
    scene.answers(move |n| {
        revoked.fetch_or(n >= 50, Ordering::SeqCst);
        match n {
            43..50 => late(good(n), 200 * (n as u64 - 42)),
            _ if revoked.load(Ordering::SeqCst) => no("401 Unauthorized"),
            _ => good(n),
        }
    });
    let output = scene.run(&[], 1);
    assert_says(
        &output,
        &["the API refused the credentials", "correct [auth]"],
    );
    assert_eq!(scene.counts(), (50, 0), "{}", told(&output));
    scene.answers(good);
    scene.run(&[], 0);
    scene.assert_exactly_once();
}

/// What failed before for reasons of its own may fail so again: the healed ones behind it have their turn.
#[test]
fn a_retry_is_not_stopped_by_the_items_own_old_failures() {
    for (status, limits) in [
        ("403 Forbidden", "quarantine = \"off\""),
        ("422 Unprocessable", "quarantine = \"off\""),
        ("401 Unauthorized", "quarantine = \"off\""),
    ] {
        let scene = Scene::new(160, limits).with("auth", BEARER);
        // One that is well comes now and then, so that none of it is the key's fault.
        scene.answers(move |n| if n % 2 == 0 { good(n) } else { no(status) });
        let first = scene.run(&["--concurrency", "1"], 3);
        assert_eq!(scene.counts(), (80, 80), "{}", told(&first));
        // From here on with a quarantine, which is not part of what the records depend on.
        scene.edit("\"off\"", "\"20/22\"");
        scene.answers(move |n| match n {
            0..100 if n % 2 == 1 => no(status),
            _ => good(n),
        });
        let asked = scene.asked();
        let output = scene.run(&["retry"], 3);
        assert_eq!(scene.counts(), (110, 50), "{}", told(&output));
        assert_eq!(scene.asked() - asked, 80);
        scene.assert_exactly_once();
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
        let scene = Scene::new(50, limits)
            .with("auth", BEARER)
            .with("request", &format!("method = \"{method}\""));
        scene.answers(rule);
        scene.run(&[], 0);
        let scene = scene.lists(150);
        let asked = scene.asked();
        let output = scene.run(&[], 3);
        assert_eq!(scene.counts(), (90, 60), "{}", told(&output));
        assert!(scene.asked() - asked <= 100 + 1);
        scene.assert_exactly_once();
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
        let scene = Scene::new(100 - left, "")
            .with("auth", BEARER)
            .with("request", &format!("method = \"{method}\""));
        scene.run(&[], 0);
        let scene = scene.lists(100);
        scene.answers(move |_| no(status));
        let output = scene.run(&[], 1);
        let code = status.split(' ').next().unwrap();
        assert_says(&output, &["the API refused the credentials", code]);
        assert_eq!(scene.counts(), (100 - left, 0), "{}", told(&output));
        scene.answers(good);
        scene.run(&[], 0);
        scene.assert_exactly_once();
    }
}

/// That an item failed in an earlier run does not hide the others that are known to be good.
#[test]
fn an_outage_at_the_end_burns_nothing_though_an_item_failed_before() {
    let sick = |n: usize| match n {
        7 => no("404 Not Found"),
        _ => good(n),
    };
    let scene = Scene::new(100, "max_wait = \"2s\"");
    scene.answers(sick);
    scene.run(&["--limit", "95"], 3);
    scene.answers(|_| no("503 Service Unavailable"));
    let output = scene.run(&[], 75);
    assert_eq!(scene.counts(), (94, 1), "{}", told(&output));
    // And what failed before is not burnt anew by a retry, when it gets what all get.
    let lines = scene.place.read("out.ndjson.failed.ndjson");
    scene.run(&["retry"], 75);
    assert_eq!(scene.place.read("out.ndjson.failed.ndjson"), lines);
    scene.answers(sick);
    scene.run(&[], 3);
    scene.assert_exactly_once();
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
        let scene = Scene::new(95, "max_wait = \"2s\"").with("auth", BEARER);
        scene.answers(sick);
        scene.run(&[], 3);
        scene.list((95..100).map(track_id));
        scene.answers(move |_| no(status));
        let asked = scene.asked();
        let output = scene.run(&[], code);
        assert_eq!(scene.counts(), (94, 1), "{}", told(&output));
        // One of those that have their record, and always the same.
        let old: HashSet<usize> = scene.server.seen()[asked..]
            .iter()
            .map(|request| number(request.last()))
            .filter(|&id| id < 95)
            .collect();
        assert_eq!(old.len(), 1, "{old:?}");
        assert!(!old.contains(&7));
        scene.answers(sick);
        scene.run(&[], 3);
        scene.lists(100).assert_exactly_once();
    }
}
