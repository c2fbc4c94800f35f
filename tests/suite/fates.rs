//! "Every item has a fate": every item has a fate, each class of answer against real sockets.

use crate::raw::{Raw, Reply, Req, Then, answer, bytes, ok};
use crate::refusing::{listen, refusing};
use crate::support::{Place, assert_exit, harvest, told};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

const MAX_BODY: usize = 4096;

fn job(base: &str, ids: &[&str], timeout: &str, limits: &str) -> String {
    format!(
        "[ids]\nlist = {ids:?}\n[request]\nurl = \"{base}/items/{{id}}\"\ntimeout = \"{timeout}\"\n\
         max_body = \"4 KiB\"\n[limits]\n{limits}\n[retry]\nattempts = 2\nbackoff = \"10ms..20ms\"\n\
         [output]\npath = \"out.ndjson\"\n"
    )
}

fn good(request: &Req) -> Reply {
    ok(format!("{{\"id\":\"{}\"}}", request.last()))
}

struct Run {
    output: Output,
    place: Place,
    api: Raw,
}

impl Run {
    /// The record of the item in question; both good ones must be there.
    #[track_caller]
    fn record(&self) -> String {
        assert_exit(&self.output, 0);
        let mut lines = self.place.lines("out.ndjson");
        assert_eq!(lines.len(), 3, "{lines:?}");
        for good in ["{\"id\":\"good-1\"}", "{\"id\":\"good-2\"}"] {
            let at = lines.iter().position(|l| l == good);
            lines.remove(at.unwrap_or_else(|| panic!("no {good} in {lines:?}")));
        }
        assert!(self.place.lines("out.ndjson.failed.ndjson").is_empty());
        lines.remove(0)
    }

    #[track_caller]
    fn failure(&self, reason: &str, status: Option<u64>, attempts: u64) -> Value {
        assert_exit(&self.output, 3);
        let mut records = self.place.lines("out.ndjson");
        records.sort();
        assert_eq!(records, ["{\"id\":\"good-1\"}", "{\"id\":\"good-2\"}"]);
        let failures = self.place.json_lines("out.ndjson.failed.ndjson");
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert_failure(&failures[0], "bad", reason, status, attempts);
        assert_eq!(self.api.count("bad") as u64, attempts, "requests");
        assert_eq!(
            self.api.seen().len() as u64,
            attempts + 2,
            "requests in all"
        );
        failures[0].clone()
    }
}

#[track_caller]
fn assert_failure(line: &Value, id: &str, reason: &str, status: Option<u64>, attempts: u64) {
    assert_eq!(line["id"], id, "{line}");
    assert_eq!(line["reason"], reason, "{line}");
    assert_eq!(line["status"].as_u64(), status, "{line}");
    assert_eq!(line["attempts"], attempts, "{line}");
    assert!(!line["message"].as_str().unwrap().is_empty(), "{line}");
    let at = line["at"].as_str().unwrap();
    assert!(humantime::parse_rfc3339(at).is_ok(), "{line}");
}

/// Runs good-1, bad, good-2; `bad` is answered by `answers(n-th time)`.
fn run(answers: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Run {
    run_with("20s", answers)
}

fn run_with(timeout: &str, answers: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Run {
    let api = Raw::start(move |request, times| match request.last() {
        "bad" => answers(times),
        _ => good(request),
    });
    let place = Place::new();
    let ids = ["good-1", "bad", "good-2"];
    let limits = "rate = \"100/s\"\nconcurrency = 1";
    let job = place.write("job.toml", &job(&api.base(), &ids, timeout, limits));
    let output = harvest().arg(job).output().unwrap();
    Run { output, place, api }
}

#[track_caller]
fn fails(reply: Reply, reason: &str, status: Option<u64>, attempts: u64) -> Value {
    run(move |_| reply.clone()).failure(reason, status, attempts)
}

#[track_caller]
fn recorded(reply: Reply) -> String {
    run(move |_| reply.clone()).record()
}

fn status(status: &str) -> Reply {
    answer(status, "", "{\"message\":\"no\"}")
}

fn chunked(chunks: &[&[u8]]) -> Reply {
    let mut all = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in chunks {
        all.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        all.extend_from_slice(chunk);
        all.extend_from_slice(b"\r\n");
    }
    all.extend_from_slice(b"0\r\n\r\n");
    bytes(all, Then::Keep)
}

fn encoded(coding: &str, body: &[u8]) -> Reply {
    answer("200 OK", &format!("Content-Encoding: {coding}\r\n"), body)
}

/// gzip with stored blocks (RFC 1952, RFC 1951 section 3.2.4).
fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks = data.chunks(60_000).count();
    for (i, block) in data.chunks(60_000).enumerate() {
        let length = u16::try_from(block.len()).unwrap();
        out.push(u8::from(i + 1 == blocks));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
    out.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
    out
}

/// brotli with one uncompressed meta-block (RFC 7932 section 9.2).
fn brotli(data: &[u8]) -> Vec<u8> {
    let head = ((u32::try_from(data.len()).unwrap() - 1) << 4) | (1 << 20);
    let mut out = head.to_le_bytes()[..3].to_vec();
    out.extend_from_slice(data);
    out.push(3);
    out
}

/// zstd with one raw block (RFC 8878 section 3.1.1).
fn zstd(data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len()).unwrap();
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, length];
    out.extend_from_slice(&((u32::from(length) << 3) | 1).to_le_bytes()[..3]);
    out.extend_from_slice(data);
    out
}

fn reset_in_body() -> Reply {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\":\"bad\"";
    bytes(half, Then::Reset)
}

fn cut_body() -> Reply {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\":\"bad\"}";
    bytes(half, Then::Close)
}

fn drip() -> Reply {
    let mut reply = bytes("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n", Then::Keep);
    reply
        .parts
        .extend((0..60).map(|_| (Duration::from_millis(100), b"1".to_vec())));
    reply
}

#[test]
fn a_reset_in_the_middle_of_the_body() {
    fails(reset_in_body(), "connection_lost", Some(200), 2);
}

#[test]
fn a_reset_or_a_close_before_the_answer() {
    fails(bytes("", Then::Reset), "connection_lost", None, 2);
    fails(bytes("", Then::Close), "connection_lost", None, 2);
    fails(
        bytes("HTTP/1.1 20", Then::Close),
        "connection_lost",
        None,
        2,
    );
}

#[test]
fn what_is_no_http() {
    fails(
        bytes("220 smtp.example.com ready\r\n\r\n", Then::Close),
        "connection_lost",
        None,
        2,
    );
}

#[test]
fn a_cut_body() {
    fails(cut_body(), "cut_body", Some(200), 2);
    // A chunked one that lacks its end, though the JSON in it is whole.
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{\"id\":\"bad\"}\r\n";
    fails(bytes(half, Then::Close), "cut_body", Some(200), 2);
}

#[test]
fn a_body_longer_than_announced_leaves_the_next_answer_alone() {
    let api = Raw::start(|request, _| match request.last() {
        "half" => bytes(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{\"id\":\"half\"}",
            Then::Keep,
        ),
        // Its first bytes are JSON by themselves, and the rest looks like the next answer.
        "smuggle" => bytes(
            "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"id\":\"smuggle\"}\
             HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"id\":\"evil\"}",
            Then::Keep,
        ),
        _ => good(request),
    });
    let place = Place::new();
    let ids = ["a", "smuggle", "b", "half", "c", "d"];
    let limits = "rate = \"100/s\"\nconcurrency = 1";
    let job = place.write("job.toml", &job(&api.base(), &ids, "20s", limits));

    let output = harvest().arg(job).output().unwrap();

    assert_exit(&output, 3);
    place.assert_exactly_once("out.ndjson", ids);
    let failures = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_failure(&failures[0], "half", "malformed_body", Some(200), 2);
    let seen = api.seen();
    for pair in seen.windows(2) {
        if ["smuggle", "half"].contains(&pair[0].last()) {
            assert_ne!(
                pair[0].connection, pair[1].connection,
                "the connection that had too many bytes was used again"
            );
        }
    }
}

#[test]
fn a_web_page_with_status_200() {
    let page = "<!doctype html><html><head><title>Sign in</title></head></html>";
    let failure = fails(
        answer("200 OK", "Content-Type: text/html\r\n", page),
        "malformed_body",
        Some(200),
        2,
    );
    assert!(failure["message"].as_str().unwrap().contains("Sign in"));
}

#[test]
fn malformed_json() {
    fails(ok("{\"id\":\"bad\""), "malformed_body", Some(200), 2);
    fails(ok("{\"id\":\"bad\"} x"), "malformed_body", Some(200), 2);
    fails(ok(b"{\"id\":\"\xff\"}"), "malformed_body", Some(200), 2);
    fails(
        ok("{\"id\":\"bad\"}\n{\"id\":\"bad\"}"),
        "malformed_body",
        Some(200),
        2,
    );
}

#[test]
fn an_empty_body() {
    fails(ok(""), "empty_body", Some(200), 2);
    fails(chunked(&[]), "empty_body", Some(200), 2);
}

#[test]
fn a_body_over_the_limit() {
    let value = format!("\"{}\"", "x".repeat(MAX_BODY - 1));
    fails(ok(&value), "body_too_large", Some(200), 1);
    fails(chunked(&[value.as_bytes()]), "body_too_large", Some(200), 1);
    // It counts as decoded.
    let big = format!("\"{}\"", "x".repeat(200_000));
    fails(
        encoded("gzip", &gzip(big.as_bytes())),
        "body_too_large",
        Some(200),
        1,
    );
    let fits = format!("\"{}\"", "x".repeat(MAX_BODY - 2));
    assert_eq!(recorded(ok(&fits)), fits);
}

/// An endless body is not read on, and does not hold the run up.
#[test]
fn an_endless_body() {
    let mut reply = bytes("HTTP/1.1 200 OK\r\n\r\n\"", Then::Close);
    reply
        .parts
        .extend((0..10_000).map(|_| (Duration::from_millis(5), vec![b'x'; 512])));
    fails(reply, "body_too_large", Some(200), 1);
}

#[test]
fn a_slow_drip() {
    let run = run_with("1s", |_| drip());
    run.failure("timeout", None, 2);
}

#[test]
fn no_answer_at_all() {
    let run = run_with("1s", |_| Reply {
        parts: vec![(Duration::from_secs(5), Vec::new())],
        then: Then::Close,
    });
    run.failure("timeout", None, 2);
}

#[test]
fn statuses_that_fail_at_once() {
    let bare = |line: &str| bytes(format!("HTTP/1.1 {line}\r\n\r\n"), Then::Keep);
    fails(bare("304 Not Modified"), "unexpected_status", Some(304), 1);
    fails(bare("204 No Content"), "no_content", Some(204), 1);
    fails(status("404 Not Found"), "not_found", Some(404), 1);
    fails(status("410 Gone"), "gone", Some(410), 1);
    let failure = fails(status("400 Bad Request"), "client_error", Some(400), 1);
    assert_eq!(failure["message"], "HTTP 400: no");
    fails(status("418 I'm a teapot"), "client_error", Some(418), 1);
    fails(status("403 Forbidden"), "forbidden", Some(403), 1);
    fails(status("302 Found"), "redirect", None, 1);
}

#[test]
fn statuses_that_are_tried_again() {
    fails(
        status("500 Internal Server Error"),
        "server_error",
        Some(500),
        2,
    );
    fails(
        status("503 Service Unavailable"),
        "server_error",
        Some(503),
        2,
    );
    fails(
        status("429 Too Many Requests"),
        "rate_limited",
        Some(429),
        2,
    );
    fails(status("408 Request Timeout"), "server_busy", Some(408), 2);
    fails(status("425 Too Early"), "server_busy", Some(425), 2);
}

#[test]
fn trouble_that_passes_leaves_a_record() {
    let first: [fn() -> Reply; 5] = [
        || status("500 Internal Server Error"),
        reset_in_body,
        cut_body,
        || ok("<html>"),
        || ok(""),
    ];
    for first in first {
        let run = run(move |times| match times {
            1 => first(),
            _ => ok("{\"id\":\"bad\"}"),
        });
        assert_eq!(run.record(), "{\"id\":\"bad\"}");
        assert_eq!(run.api.count("bad"), 2);
    }
}

#[test]
fn other_good_answers() {
    assert_eq!(
        recorded(chunked(&[b"{\"id\":", b"\"ba", b"d\"}"])),
        "{\"id\":\"bad\"}"
    );
    assert_eq!(recorded(answer("201 Created", "", "[]")), "[]");
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
                 HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull";
    assert_eq!(recorded(bytes(early, Then::Keep)), "null");
    // HTTP/1.0: the end of the connection is the end of the body.
    assert_eq!(
        recorded(bytes("HTTP/1.0 200 OK\r\n\r\n{}", Then::Close)),
        "{}"
    );
}

#[test]
fn compressed_bodies() {
    let body = b"{\"id\":\"bad\",\"n\":1.00}";
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(recorded(encoded("gzip", &gzip(body))), text);
    assert_eq!(recorded(encoded("br", &brotli(body))), text);
    assert_eq!(recorded(encoded("zstd", &zstd(body))), text);
}

#[test]
fn a_truncated_compressed_body() {
    let body = b"{\"id\":\"bad\",\"n\":1.00}";
    let whole = gzip(body);
    // Within the data, and within the checksum behind it.
    fails(encoded("gzip", &whole[..20]), "cut_body", Some(200), 2);
    fails(
        encoded("gzip", &whole[..whole.len() - 5]),
        "cut_body",
        Some(200),
        2,
    );
    let whole = zstd(body);
    fails(encoded("zstd", &whole[..15]), "cut_body", Some(200), 2);
    let whole = brotli(body);
    fails(encoded("br", &whole[..15]), "cut_body", Some(200), 2);
}

#[test]
fn json_arrives_token_for_token() {
    let pretty = "{\r\n  \"b\" : 1.00,\n\t\"a\": [ 1e400, -0, 12345678901234567890123 ],\n  \
                  \"a\": \"\\u00e9 \\\" \\n é  \\/ \\ud83d\\ude00\",\n  \"\": { }\n}\n\n";
    let line = "{\"b\":1.00,\"a\":[1e400,-0,12345678901234567890123],\
                \"a\":\"\\u00e9 \\\" \\n é  \\/ \\ud83d\\ude00\",\"\":{}}";
    assert_eq!(recorded(ok(pretty)), line);
    assert_eq!(recorded(ok(format!("\u{feff}{pretty}"))), line);
}

#[test]
fn a_retry_after_pauses_everyone() {
    let api = Raw::start(|request, times| match (request.last(), times) {
        ("i10", 1) => answer("429 Too Many Requests", "Retry-After: 1\r\n", "{}"),
        _ => good(request),
    });
    let names: Vec<String> = (0..60).map(|n| format!("i{n}")).collect();
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = Place::new();
    let limits = "rate = \"40/s\"\nconcurrency = 4";
    let job = place.write("job.toml", &job(&api.base(), &ids, "20s", limits));

    let output = harvest().arg(job).output().unwrap();

    assert_exit(&output, 0);
    place.assert_exactly_once("out.ndjson", ids);
    let seen = api.seen();
    let refused = seen.iter().find(|r| r.last() == "i10").unwrap().at;
    let asked: Vec<f64> = seen
        .iter()
        .filter(|r| r.at > refused)
        .map(|r| (r.at - refused).as_secs_f64())
        .collect();
    // What was on its way already comes in the first moments.
    let during = asked.iter().filter(|t| (0.3..1.0).contains(*t)).count();
    assert_eq!(during, 0, "{asked:?}");
    assert!(asked.iter().filter(|t| **t < 0.3).count() <= 4, "{asked:?}");
    assert_eq!(api.count("i10"), 2);
}

/// All classes in one run, several in flight: each item has its own fate.
#[test]
fn all_kinds_at_once() {
    let classes: BTreeMap<&str, (Reply, &str, Option<u64>, u64)> = [
        ("reset", (reset_in_body(), "connection_lost", Some(200), 2)),
        ("cut", (cut_body(), "cut_body", Some(200), 2)),
        (
            "html",
            (ok("<html></html>"), "malformed_body", Some(200), 2),
        ),
        ("half", (ok("{\"id\":"), "malformed_body", Some(200), 2)),
        ("empty", (ok(""), "empty_body", Some(200), 2)),
        (
            "huge",
            (
                ok(format!("\"{}\"", "x".repeat(9000))),
                "body_too_large",
                Some(200),
                1,
            ),
        ),
        ("drip", (drip(), "timeout", None, 2)),
        (
            "304",
            (
                bytes("HTTP/1.1 304 Not Modified\r\n\r\n", Then::Keep),
                "unexpected_status",
                Some(304),
                1,
            ),
        ),
        (
            "204",
            (
                bytes("HTTP/1.1 204 No Content\r\n\r\n", Then::Keep),
                "no_content",
                Some(204),
                1,
            ),
        ),
        ("404", (status("404 Not Found"), "not_found", Some(404), 1)),
        ("410", (status("410 Gone"), "gone", Some(410), 1)),
        (
            "400",
            (status("400 Bad Request"), "client_error", Some(400), 1),
        ),
        ("500", (status("500 Oh"), "server_error", Some(500), 2)),
        (
            "429",
            (
                answer("429 Slow", "Retry-After: 1\r\n", "{}"),
                "rate_limited",
                Some(429),
                2,
            ),
        ),
        (
            "gzip",
            (
                encoded("gzip", &gzip(b"{\"id\":\"gzip\"}")[..16]),
                "cut_body",
                Some(200),
                2,
            ),
        ),
    ]
    .into();
    let mut ids = Vec::new();
    let goods: Vec<String> = (0..classes.len() * 4)
        .map(|n| format!("good-{n}"))
        .collect();
    for (class, goods) in classes.keys().zip(goods.chunks(4)) {
        ids.push(*class);
        ids.extend(goods.iter().map(String::as_str));
    }
    let api = {
        let classes = classes.clone();
        Raw::start(move |request, _| match classes.get(request.last()) {
            Some(class) => class.0.clone(),
            None => good(request),
        })
    };
    let place = Place::new();
    let limits = "rate = \"200/s\"\nconcurrency = 4";
    let job = place.write("job.toml", &job(&api.base(), &ids, "2s", limits));

    let output = harvest().arg(job).output().unwrap();

    assert_exit(&output, 3);
    place.assert_exactly_once("out.ndjson", ids.iter().copied());
    let failures = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failures.len(), classes.len(), "{}", told(&output));
    for failure in &failures {
        let id = failure["id"].as_str().unwrap();
        let (_, reason, status, attempts) = &classes[id];
        assert_failure(failure, id, reason, *status, *attempts);
        // Not more exactly: while the server is taken to be down, a try does not count.
        assert!(api.count(id) as u64 >= *attempts);
    }
}

#[test]
fn a_server_that_is_not_there_costs_no_item() {
    let (socket, base) = refusing();
    let place = Place::new();
    let names: Vec<String> = (0..20).map(|n| format!("i{n}")).collect();
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    let limits = "rate = \"100/s\"\nconcurrency = 4\nmax_wait = \"2s\"";
    let job = place.write("job.toml", &job(&base, &ids, "20s", limits));

    let output = harvest().arg(&job).output().unwrap();

    assert_exit(&output, 75);
    assert!(place.lines("out.ndjson").is_empty());
    assert!(place.lines("out.ndjson.failed.ndjson").is_empty());

    let api = Raw::on(listen(socket), |request, _| good(request));
    let output = harvest().arg(&job).output().unwrap();
    assert_exit(&output, 0);
    place.assert_exactly_once("out.ndjson", ids.iter().copied());
    assert_eq!(api.seen().len(), ids.len());
}

#[test]
fn a_server_that_comes_back_is_waited_for() {
    let (socket, base) = refusing();
    let place = Place::new();
    let ids = ["a", "b", "c", "d", "e"];
    let limits = "rate = \"100/s\"\nconcurrency = 4\nmax_wait = \"60s\"";
    let job = place.write("job.toml", &job(&base, &ids, "20s", limits));
    let child = harvest()
        .arg(&job)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let _api = Raw::on(listen(socket), |request, _| good(request));

    let output = child.wait_with_output().unwrap();

    assert_exit(&output, 0);
    place.assert_exactly_once("out.ndjson", ids);
}

#[test]
fn an_id_is_one_path_segment() {
    let api = Raw::start(|_, _| ok("{}"));
    let place = Place::new();
    let ids = [
        ("../../x?y#z", "/items/..%2F..%2Fx%3Fy%23z"),
        ("é b", "/items/%C3%A9%20b"),
        ("a/b%2e", "/items/a%2Fb%252e"),
        ("%2e%2e", "/items/%252e%252e"),
        ("\\..\\", "/items/%5C..%5C"),
        ("a;b=c&d", "/items/a%3Bb%3Dc%26d"),
    ];
    let mut list: Vec<&str> = ids.iter().map(|(id, _)| *id).collect();
    list.extend(["..", "."]);
    let limits = "rate = \"100/s\"\nconcurrency = 2";
    let job = place.write("job.toml", &job(&api.base(), &list, "20s", limits));

    let output = harvest().arg(job).output().unwrap();

    assert_exit(&output, 3);
    let mut targets: Vec<String> = api.seen().into_iter().map(|r| r.target).collect();
    targets.sort();
    let mut expected: Vec<&str> = ids.iter().map(|(_, target)| *target).collect();
    expected.sort_unstable();
    assert_eq!(targets, expected);
    assert_eq!(place.lines("out.ndjson").len(), ids.len());
    let mut failures = place.json_lines("out.ndjson.failed.ndjson");
    failures.sort_by_key(|f| f["id"].to_string());
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert_failure(&failures[0], ".", "invalid_id", None, 0);
    assert_failure(&failures[1], "..", "invalid_id", None, 0);
}

/// The same in a query and in a header; a header's value can't hold a newline.
#[test]
fn an_id_is_one_query_value() {
    let api = Raw::start(|_, _| ok("{}"));
    let place = Place::new();
    let job = format!(
        "[ids]\nlist = [\"a&b=c\", \"é +%26\", \"..\"]\n[request]\nurl = \"{}/q?x=1&id={{id}}\"\n\
         query = {{ again = \"<{{id}}>\" }}\n[output]\npath = \"out.ndjson\"\n",
        api.base()
    );
    let job = place.write("job.toml", &job);

    let output = harvest().arg(job).output().unwrap();

    assert_exit(&output, 0);
    let mut targets: Vec<String> = api.seen().into_iter().map(|r| r.target).collect();
    targets.sort();
    assert_eq!(
        targets,
        [
            "/q?x=1&id=%C3%A9%20%2B%2526&again=%3C%C3%A9%20%2B%2526%3E",
            "/q?x=1&id=..&again=%3C..%3E",
            "/q?x=1&id=a%26b%3Dc&again=%3Ca%26b%3Dc%3E",
        ]
    );
}
