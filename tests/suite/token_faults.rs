//! The token endpoint and the tokens fail while workers are busy: they go on
//! with the old token, wait for the next one, and no item pays ("One token").
#![cfg(unix)]

use crate::child::{end, signal, until};
use crate::raw::{Raw, Reply, Req, Then, answer, bytes, good, ok};
use crate::support::{self, assert_exit, assert_says, most_in_window, names, told, track_id};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

#[derive(Default)]
struct Tokens {
    /// Refused, whatever was said of them.
    revoked: Mutex<BTreeSet<String>>,
    /// How long a refusal takes.
    thinks: Mutex<Duration>,
}

type Bench = support::Bench<Raw<Tokens>>;

/// An API with its token endpoint. `grant(n-th request)` answers that one;
/// `None` grants the token `t<n>`, that is said to live for `life`.
fn bench(
    life: &'static str,
    items: usize,
    limits: &str,
    grant: impl Fn(usize) -> Option<Reply> + Send + Sync + 'static,
) -> Bench {
    let api = Raw::sharing(Tokens::default(), move |tokens, request, times| {
        if request.method == "POST" {
            return grant(times).unwrap_or_else(|| granted(times, life));
        }
        let token = request.header("authorization").unwrap_or("none");
        let token = token.trim_start_matches("Bearer ");
        if token.starts_with('t') && !tokens.revoked.lock().unwrap().contains(token) {
            return good(request);
        }
        let refusal = "{\"error\":{\"message\":\"expired\"}}";
        let mut refusal = answer("401 Unauthorized", "", refusal);
        refusal.parts[0].0 = *tokens.thinks.lock().unwrap();
        refusal
    });
    let auth = format!(
        "type = \"client_credentials\"\ntoken_url = \"{}/token\"\n\
         client_id = \"test-client\"\nclient_secret = \"s3cr3t-of-the-test\"",
        api.base()
    );
    Bench::of(api, "/items/{id}")
        .ids(names(items))
        .with("request", "timeout = \"1s\"")
        .with("auth", &auth)
        .with("limits", limits)
        .with("retry", "attempts = 2")
}

impl Bench {
    fn revoke(&self, token: &str) {
        let mut revoked = self.server.state.revoked.lock().unwrap();
        revoked.insert(token.to_owned());
    }

    /// The token requests, and the item requests with the token of each.
    fn seen(&self) -> (Vec<Req>, Vec<(Req, String)>) {
        let seen = self.server.seen().into_iter();
        let (tokens, items): (Vec<Req>, Vec<Req>) = seen.partition(|r| r.method == "POST");
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
    let limits = "rate = \"10/s\"\nmax_wait = \"2s\"";
    let bench = bench(
        ",\"expires_in\":10",
        130,
        limits,
        move |times| match times {
            2 | 3 => Some(reply.clone()),
            _ => None,
        },
    );

    let output = end(bench.start(&[]));

    assert_eq!(output.status.code(), Some(0), "{name}: {}", told(&output));
    bench.assert_all_recorded();
    let (tokens, items) = bench.seen();
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
        let bench = bench(life, 40, "rate = \"100/s\"", |_| None);
        bench.run(&[], 0);
        bench.assert_all_recorded();
        let tokens = bench.seen().0.len();
        assert_eq!(tokens, 1, "{life}: {tokens} token requests");
    }
}

/// A life of nearly nothing must not make a request of its own of every item.
#[test]
fn tokens_that_live_a_moment_are_not_asked_for_without_end() {
    let bench = bench(
        ",\"expires_in\":0.05",
        20,
        "rate = \"100/s\"\nconcurrency = 4",
        |_| None,
    );
    bench.run(&[], 0);
    bench.assert_all_recorded();
    let (tokens, _) = bench.seen();
    for pair in tokens.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart >= Duration::from_millis(400), "{apart:?} apart");
    }
}

#[test]
fn a_token_that_is_revoked_early_is_renewed_once() {
    let bench = bench(
        ",\"expires_in\":3600",
        200,
        "rate = \"100/s\"\nconcurrency = 8",
        |_| None,
    );
    let run = bench.start(&[]);
    until(|| bench.server.seen().len() > 60);
    bench.revoke("t1");
    until(|| bench.server.seen().len() > 140);
    bench.revoke("t2");

    let output = end(run);

    assert_exit(&output, 0);
    bench.assert_all_recorded();
    let (tokens, items) = bench.seen();
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
        items.len() <= bench.ids.len() + 2 * 8,
        "{} item requests",
        items.len()
    );
}

/// No third is asked in vain: two in a row are an accident, and the third gets through.
#[test]
fn two_different_tokens_that_are_refused_in_a_row_fail_no_item() {
    let bench = bench(
        ",\"expires_in\":3600",
        50,
        "rate = \"100/s\"\nconcurrency = 8",
        |_| None,
    );
    bench.revoke("t1");
    bench.revoke("t2");

    bench.run(&[], 0);
    bench.assert_all_recorded();
    let (tokens, items) = bench.seen();
    assert_eq!(tokens.len(), 3);
    assert!(
        items.len() <= bench.ids.len() + 2 * 8,
        "{} item requests",
        items.len()
    );
}

/// Tokens that live less long than the server says, on a slow network: each may
/// be dead when it arrives, and that says nothing about credentials or items.
#[test]
fn tokens_that_are_dead_on_arrival_again_and_again_fail_no_item() {
    let bench = bench(
        ",\"expires_in\":3600",
        50,
        "rate = \"100/s\"\nconcurrency = 8",
        |_| None,
    );
    *bench.server.state.thinks.lock().unwrap() = Duration::from_millis(400);
    for token in 1..=6 {
        bench.revoke(&format!("t{token}"));
    }

    bench.run(&[], 0);
    bench.assert_all_recorded();
    assert_eq!(bench.seen().0.len(), 7);
}

/// In the middle of a run, too; three in a row are the credentials.
#[test]
fn tokens_that_are_refused_in_a_row_stop_the_run_at_the_third_and_fail_no_item() {
    for (bad, code) in [(2, 0), (9, 1)] {
        let bench = bench(
            ",\"expires_in\":3600",
            200,
            "rate = \"100/s\"\nconcurrency = 8",
            |_| None,
        );
        let run = bench.start(&[]);
        until(|| bench.server.seen().len() > 60);
        for token in 1..=bad {
            bench.revoke(&format!("t{token}"));
        }

        let output = end(run);

        assert_exit(&output, code);
        assert_eq!(bench.counts().1, 0);
        if code == 1 {
            // Three different items have to see it, too, and one of them may see several.
            let tokens = bench.seen().0.len();
            assert!((3..=8).contains(&tokens), "{tokens} token requests");
            assert_says(&output, &["fresh access tokens in a row were refused"]);
            // The same command goes on, when the API has come to its senses.
            bench.server.state.revoked.lock().unwrap().clear();
            bench.run(&[], 0);
        }
        bench.assert_exactly_once();
    }
}

#[test]
fn a_token_endpoint_that_is_down_at_first_is_waited_for() {
    let bench = bench(",\"expires_in\":3600", 20, "rate = \"100/s\"", |times| {
        (times <= 4).then(|| answer("503 Service Unavailable", "", ""))
    });
    let output = bench.run(&[], 0);
    bench.assert_all_recorded();
    let (tokens, items) = bench.seen();
    assert_eq!((tokens.len(), items.len()), (5, 20));
    assert_says(&output, &["the token endpoint answered 503"]);
}

#[test]
fn a_token_endpoint_that_asks_for_more_patience_than_max_wait_ends_the_run_resumable() {
    let bench = bench(
        ",\"expires_in\":3600",
        10,
        "rate = \"100/s\"\nmax_wait = \"10m\"",
        |times| {
            (times == 1).then(|| answer("429 Too Many Requests", "Retry-After: 7200\r\n", "{}"))
        },
    );
    let output = bench.run(&[], 75);
    assert_says(&output, &["the token endpoint asked to wait until"]);
    assert_eq!(bench.counts().1, 0);
    assert_eq!(bench.server.seen().len(), 1);
}

/// A process that slept through its token's life, and its answers' time-outs.
#[test]
fn a_run_that_was_stopped_for_longer_than_a_tokens_life_fails_no_item_and_makes_no_burst() {
    const PER_SECOND: usize = 40;
    let rate = format!("rate = [\"{PER_SECOND}/s\", \"300/10s\"]\nconcurrency = 16");
    let bench = support::Bench::sandbox(&["--token-lifetime", "2s", "--latency", "100ms"])
        .ids((0..300).map(track_id))
        .with("request", "timeout = \"2s\"")
        .with("limits", &rate)
        .with("retry", "attempts = 2");
    let run = bench.start(&[]);
    for stop in 1..=2 {
        until(|| bench.server.items().len() >= 80 * stop);
        signal(run.id(), "-STOP");
        std::thread::sleep(Duration::from_secs(5));
        signal(run.id(), "-CONT");
    }

    let output = end(run);

    assert_exit(&output, 0);
    bench.assert_all_recorded();
    let mut times: Vec<f64> = bench.server.seen().iter().map(|s| s.t).collect();
    let most = most_in_window(&mut times, 1.0);
    println!("at most {most} requests in a second, {PER_SECOND} are allowed");
    // A tenth more for a server that reads its clock late on a busy machine
    // (tests/paced/quotas.rs holds the number itself): a burst would be hundreds.
    assert!(most <= PER_SECOND * 11 / 10, "{most} requests in a second");
    // Nothing that was known to be dead was sent: at most what was in flight was refused.
    let refused = bench
        .server
        .items()
        .iter()
        .filter(|s| s.status == Some(401))
        .count();
    assert!(refused <= 2, "{refused} refused");
}
