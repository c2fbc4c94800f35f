//! The token endpoint and the tokens fail while workers are busy: they go on
//! with the old token, wait for the next one, and no item pays (promise 5).
#![cfg(unix)]

use crate::child::{end, signal, spawn, until};
use crate::raw::{Raw, Reply, Req, Then, answer, bytes, ok};
use crate::support::{Api, Place, assert_exit, harvest, most_in_window, told, track_id};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An API with its token endpoint. `grant(n-th request)` answers that one;
/// `None` grants the token `t<n>`, that is said to live for `life`.
struct Guarded {
    api: Raw,
    /// The tokens that are refused, whatever was said of them.
    revoked: Arc<Mutex<BTreeSet<String>>>,
    /// How long a refusal takes.
    thinks: Arc<Mutex<Duration>>,
}

impl Guarded {
    fn start(
        life: &'static str,
        grant: impl Fn(usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Guarded {
        let revoked: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let thinks: Arc<Mutex<Duration>> = Arc::default();
        let api = {
            let (revoked, thinks) = (Arc::clone(&revoked), Arc::clone(&thinks));
            Raw::start(move |request, times| {
                if request.method == "POST" {
                    return grant(times).unwrap_or_else(|| granted(times, life));
                }
                let token = request.header("authorization").unwrap_or("none");
                let token = token.trim_start_matches("Bearer ");
                if token.starts_with('t') && !revoked.lock().unwrap().contains(token) {
                    ok(format!("{{\"id\":\"{}\"}}", request.last()))
                } else {
                    let refusal = "{\"error\":{\"message\":\"expired\"}}";
                    let mut refusal = answer("401 Unauthorized", "", refusal);
                    refusal.parts[0].0 = *thinks.lock().unwrap();
                    refusal
                }
            })
        };
        Guarded {
            api,
            revoked,
            thinks,
        }
    }

    fn revoke(&self, token: &str) {
        self.revoked.lock().unwrap().insert(token.to_owned());
    }

    fn job(&self, place: &Place, ids: &[String], limits: &str) -> PathBuf {
        place.write("ids.txt", &(ids.join("\n") + "\n"));
        place.write(
            "job.toml",
            &format!(
                "[ids]\nfile = \"ids.txt\"\n[request]\nurl = \"{base}/items/{{id}}\"\ntimeout = \"1s\"\n\
                 [auth]\ntype = \"client_credentials\"\ntoken_url = \"{base}/token\"\n\
                 client_id = \"test-client\"\nclient_secret = \"s3cr3t-of-the-test\"\n\
                 [limits]\n{limits}\n[retry]\nattempts = 2\n[output]\npath = \"out.ndjson\"\n",
                base = self.api.base()
            ),
        )
    }

    /// The token requests, and the item requests with the token of each.
    fn seen(&self) -> (Vec<Req>, Vec<(Req, String)>) {
        let (tokens, items): (Vec<Req>, Vec<Req>) = self
            .api
            .seen()
            .into_iter()
            .partition(|r| r.method == "POST");
        let with = |r: Req| {
            let token = r
                .header("authorization")
                .unwrap_or("")
                .replace("Bearer ", "");
            (r, token)
        };
        (tokens, items.into_iter().map(with).collect())
    }
}

fn granted(times: usize, life: &str) -> Reply {
    ok(format!(
        "{{\"access_token\":\"t{times}\",\"token_type\":\"bearer\"{life}}}"
    ))
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("i{n}")).collect()
}

#[track_caller]
fn assert_all_recorded(place: &Place, ids: &[String], output: &Output) {
    assert_exit(output, 0);
    assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
}

/// A token that lives 10 s is renewed after 9. The second and third request fail.
#[test]
fn a_token_endpoint_that_fails_while_workers_are_busy_costs_nobody_anything() {
    let silence = Reply {
        parts: vec![(Duration::from_secs(30), Vec::new())],
        then: Then::Close,
    };
    let page = "<!doctype html><title>Log in</title>";
    let kinds: Vec<(&str, Reply)> = vec![
        ("503", answer("503 Service Unavailable", "", page)),
        (
            "429",
            answer("429 Too Many Requests", "Retry-After: 0.3\r\n", "{}"),
        ),
        (
            "429 with nonsense",
            answer("429 No", "Retry-After: -5\r\n", "{}"),
        ),
        ("a reset", bytes("", Then::Reset)),
        ("a close", bytes("", Then::Close)),
        ("no answer", silence),
        (
            "half an answer",
            bytes(
                "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"acc",
                Then::Close,
            ),
        ),
        ("garbage JSON", ok("{\"access_token\":")),
        ("another JSON", ok("[1,2]")),
        ("an empty body", ok("")),
        (
            "a page",
            answer("200 OK", "Content-Type: text/html\r\n", page),
        ),
        (
            "a passing error with 200",
            ok("{\"error\":\"temporarily_unavailable\"}"),
        ),
        (
            "an unknown error with 200",
            ok("{\"error\":\"maintenance\"}"),
        ),
        (
            "a page with 404",
            answer("404 Not Found", "Content-Type: text/html\r\n", page),
        ),
        ("403 of a gateway", answer("403 Forbidden", "", "")),
        ("400 without words", answer("400 Bad Request", "", "")),
        (
            "a redirect",
            answer("302 Found", "Location: http://127.0.0.1:1/login\r\n", ""),
        ),
        (
            "another token type",
            ok("{\"access_token\":\"x\",\"token_type\":\"mac\",\"expires_in\":9}"),
        ),
        (
            "an empty token",
            ok("{\"access_token\":\"\",\"token_type\":\"bearer\",\"expires_in\":9}"),
        ),
        (
            "a token with a newline",
            ok("{\"access_token\":\"a\\nb\",\"token_type\":\"bearer\"}"),
        ),
    ];
    std::thread::scope(|scope| {
        for (name, reply) in &kinds {
            scope.spawn(move || endpoint_fails_twice(name, reply));
        }
    });
}

fn endpoint_fails_twice(name: &str, reply: &Reply) {
    let reply = reply.clone();
    let server = Guarded::start(",\"expires_in\":10", move |times| match times {
        2 | 3 => Some(reply.clone()),
        _ => None,
    });
    let place = Place::new();
    let ids = names(130);
    let job = server.job(&place, &ids, "rate = \"10/s\"\nmax_wait = \"2s\"");

    let output = end(spawn(harvest(), &job));

    assert_eq!(output.status.code(), Some(0), "{name}: {}", told(&output));
    assert_all_recorded(&place, &ids, &output);
    let (tokens, items) = server.seen();
    assert!(
        (4..=5).contains(&tokens.len()),
        "{name}: {} token requests",
        tokens.len()
    );
    assert!(
        items.iter().all(|(_, token)| token.starts_with('t')),
        "{name}"
    );
    // The old one was used on after the endpoint had failed, and never beyond its life.
    let life = |at: &Req| (at.at - tokens[0].at).as_secs_f64();
    let failed = life(&tokens[1]);
    assert!(
        (8.0..10.0).contains(&failed),
        "{name}: renewed after {failed:.1} s"
    );
    let old: Vec<f64> = items
        .iter()
        .filter(|(_, t)| t == "t1")
        .map(|(r, _)| life(r))
        .collect();
    // When the answer was quick, nobody waited at all.
    let last = old.iter().fold(0.0, |a, &b| f64::max(a, b));
    assert!(
        last > failed + 0.2 || life(&tokens[3]) < failed + 0.5,
        "{name}: {last:.1} s"
    );
    assert!(last < 10.5, "{name}: {last:.1} s");
}

#[test]
fn an_expires_in_that_is_missing_negative_or_absurd_is_borne() {
    for life in [
        "",
        ",\"expires_in\":null",
        ",\"expires_in\":-3600",
        ",\"expires_in\":0",
        ",\"expires_in\":\"soon\"",
        ",\"expires_in\":1e300",
        ",\"expires_in\":18446744073709551615",
        ",\"expires_in\":9223372036854775807",
        ",\"expires_in\":{\"seconds\":5}",
        ",\"expires_in\":\"3600\"",
        ",\"expires_in\":4102444800",
    ] {
        let server = Guarded::start(life, |_| None);
        let place = Place::new();
        let ids = names(40);
        let job = server.job(&place, &ids, "rate = \"100/s\"");
        let output = end(spawn(harvest(), &job));
        assert_all_recorded(&place, &ids, &output);
        let tokens = server.seen().0.len();
        assert_eq!(tokens, 1, "{life}: {tokens} token requests");
    }
}

/// A life of nearly nothing must not make a request of its own of every item.
#[test]
fn tokens_that_live_a_moment_are_not_asked_for_without_end() {
    let server = Guarded::start(",\"expires_in\":0.05", |_| None);
    let place = Place::new();
    let ids = names(20);
    let job = server.job(&place, &ids, "rate = \"100/s\"\nconcurrency = 4");
    let output = end(spawn(harvest(), &job));
    assert_all_recorded(&place, &ids, &output);
    let (tokens, _) = server.seen();
    for pair in tokens.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart >= Duration::from_millis(400), "{apart:?} apart");
    }
}

#[test]
fn a_token_that_is_revoked_early_is_renewed_once() {
    let server = Guarded::start(",\"expires_in\":3600", |_| None);
    let place = Place::new();
    let ids = names(200);
    let job = server.job(&place, &ids, "rate = \"100/s\"\nconcurrency = 8");
    let run = spawn(harvest(), &job);
    until(|| server.api.seen().len() > 60);
    server.revoke("t1");
    until(|| server.api.seen().len() > 140);
    server.revoke("t2");

    let output = end(run);

    assert_all_recorded(&place, &ids, &output);
    let (tokens, items) = server.seen();
    assert_eq!(
        tokens.len(),
        3,
        "one for the start, one for each that was revoked"
    );
    for revoked in ["t1", "t2"] {
        // What was in flight when it was revoked, and nothing after its renewal.
        let renewed = tokens[if revoked == "t1" { 1 } else { 2 }].at;
        let late = items.iter().filter(|(r, t)| t == revoked && r.at > renewed);
        assert_eq!(late.count(), 0, "{revoked} was sent after it was refused");
    }
    assert!(
        items.len() <= ids.len() + 2 * 8,
        "{} item requests",
        items.len()
    );
}

/// No third is asked in vain: two in a row are an accident, and the third gets through.
#[test]
fn two_different_tokens_that_are_refused_in_a_row_fail_no_item() {
    let server = Guarded::start(",\"expires_in\":3600", |_| None);
    server.revoke("t1");
    server.revoke("t2");
    let place = Place::new();
    let ids = names(50);
    let job = server.job(&place, &ids, "rate = \"100/s\"\nconcurrency = 8");

    let output = end(spawn(harvest(), &job));

    assert_all_recorded(&place, &ids, &output);
    let (tokens, items) = server.seen();
    assert_eq!(tokens.len(), 3);
    assert!(
        items.len() <= ids.len() + 2 * 8,
        "{} item requests",
        items.len()
    );
}

/// Tokens that live less long than the server says, on a slow network: each may
/// be dead when it arrives, and that says nothing about credentials or items.
#[test]
fn tokens_that_are_dead_on_arrival_again_and_again_fail_no_item() {
    let server = Guarded::start(",\"expires_in\":3600", |_| None);
    *server.thinks.lock().unwrap() = Duration::from_millis(400);
    for token in 1..=6 {
        server.revoke(&format!("t{token}"));
    }
    let place = Place::new();
    let ids = names(50);
    let job = server.job(&place, &ids, "rate = \"100/s\"\nconcurrency = 8");

    let output = end(spawn(harvest(), &job));

    assert_all_recorded(&place, &ids, &output);
    assert_eq!(server.seen().0.len(), 7);
}

/// In the middle of a run, too; three in a row are the credentials.
#[test]
fn tokens_that_are_refused_in_a_row_stop_the_run_at_the_third_and_fail_no_item() {
    for (bad, code) in [(2, 0), (9, 1)] {
        let server = Guarded::start(",\"expires_in\":3600", |_| None);
        let place = Place::new();
        let ids = names(200);
        let job = server.job(&place, &ids, "rate = \"100/s\"\nconcurrency = 8");
        let run = spawn(harvest(), &job);
        until(|| server.api.seen().len() > 60);
        for token in 1..=bad {
            server.revoke(&format!("t{token}"));
        }

        let output = end(run);

        assert_exit(&output, code);
        assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
        if code == 1 {
            // Three different items have to see it, too, and one of them may see several.
            let tokens = server.seen().0.len();
            assert!((3..=8).contains(&tokens), "{tokens} token requests");
            let said = told(&output);
            assert!(
                said.contains("fresh access tokens in a row were refused"),
                "{said}"
            );
            // The same command goes on, when the API has come to its senses.
            server.revoked.lock().unwrap().clear();
            assert_exit(&end(spawn(harvest(), &job)), 0);
        }
        place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
    }
}

#[test]
fn a_token_endpoint_that_is_down_at_first_is_waited_for() {
    let server = Guarded::start(",\"expires_in\":3600", |times| {
        (times <= 4).then(|| answer("503 Service Unavailable", "", ""))
    });
    let place = Place::new();
    let ids = names(20);
    let job = server.job(&place, &ids, "rate = \"100/s\"");
    let output = end(spawn(harvest(), &job));
    assert_all_recorded(&place, &ids, &output);
    let (tokens, items) = server.seen();
    assert_eq!((tokens.len(), items.len()), (5, 20));
    assert!(
        told(&output).contains("the token endpoint answered 503"),
        "{}",
        told(&output)
    );
}

#[test]
fn a_token_endpoint_that_asks_for_more_patience_than_max_wait_ends_the_run_resumable() {
    let server = Guarded::start(",\"expires_in\":3600", |times| {
        (times == 1).then(|| answer("429 Too Many Requests", "Retry-After: 7200\r\n", "{}"))
    });
    let place = Place::new();
    let ids = names(10);
    let job = server.job(&place, &ids, "rate = \"100/s\"\nmax_wait = \"10m\"");
    let output = end(spawn(harvest(), &job));
    assert_exit(&output, 75);
    assert!(
        told(&output).contains("the token endpoint asked to wait until"),
        "{}",
        told(&output)
    );
    assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
    assert_eq!(server.api.seen().len(), 1);
}

/// A process that slept through its token's life, and its answers' time-outs.
#[test]
fn a_run_that_was_stopped_for_longer_than_a_tokens_life_fails_no_item_and_makes_no_burst() {
    const PER_SECOND: usize = 40;
    let ids: Vec<String> = (0..300).map(track_id).collect();
    let place = Place::new();
    place.write("ids.txt", &(ids.join("\n") + "\n"));
    let api = Api::start(&["--token-lifetime", "2s", "--latency", "100ms"]);
    let text = api
        .job(
            "file = \"ids.txt\"",
            &format!("rate = [\"{PER_SECOND}/s\", \"300/10s\"]\nconcurrency = 16"),
            "path = \"out.ndjson\"",
            "[retry]\nattempts = 2",
        )
        .replace("[auth]", "timeout = \"2s\"\n[auth]");
    let job = place.write("job.toml", &text);
    let run = spawn(harvest(), &job);
    for stop in 1..=2 {
        until(|| api.items().len() >= 80 * stop);
        signal(run.id(), "-STOP");
        std::thread::sleep(Duration::from_secs(5));
        signal(run.id(), "-CONT");
    }

    let output = end(run);

    assert_all_recorded(&place, &ids, &output);
    let mut times: Vec<f64> = api.seen().iter().map(|s| s.t).collect();
    let most = most_in_window(&mut times, 1.0);
    println!("at most {most} requests in a second, {PER_SECOND} are allowed");
    // A tenth more for a server that reads its clock late on a busy machine
    // (tests/paced/quotas.rs holds the number itself): a burst would be hundreds.
    assert!(most <= PER_SECOND * 11 / 10, "{most} requests in a second");
    // Nothing that was known to be dead was sent: at most what was in flight was refused.
    let refused = api.items().iter().filter(|s| s.status == Some(401)).count();
    assert!(refused <= 2, "{refused} refused");
}
