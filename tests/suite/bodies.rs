//! POST bodies, byte for byte as a server gets them, and errors in answers of success.

use crate::raw::{Raw, Req, answer, ok};
use crate::support::{Api, Bench, Server, assert_says, told};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

/// A POST of each ID to `path`.
fn bench<S: Server>(server: S, path: &str, ids: &[&str], request: &str) -> Bench<S> {
    Bench::of(server, path)
        .ids(ids.iter().copied())
        .with("limits", "rate = \"100/s\"")
        .with("retry", "backoff = \"1ms..5ms\"")
        .with("request", &format!("method = \"POST\"\n{request}"))
        .env("SECRET", "hunter2hunter2")
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// The only request that the job makes.
fn sent(id: &str, request: &str) -> Req {
    let bench = bench(Raw::start(|_, _| ok("{}")), "/x", &[id], request);
    bench.run(&[], 0);
    let seen = bench.server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, "POST");
    seen[0].clone()
}

#[test]
fn bodies_are_sent_byte_for_byte() {
    let odd = "a\"b\\c é&=";
    let json = sent(
        odd,
        "body = { z = 1, id = \"{id}\", deep = { l = [\"<{id}>\", 2.50, true] } }",
    );
    assert_eq!(
        json.body,
        r#"{"z":1,"id":"a\"b\\c é&=","deep":{"l":["<a\"b\\c é&=>",2.50,true]}}"#
    );
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(
        json.header("content-length"),
        Some(json.body.len().to_string().as_str())
    );

    let form = sent(odd, "form = { \"a b\" = \"{id}\", c = \"d e\" }");
    assert_eq!(form.body, "a+b=a%22b%5Cc+%C3%A9%26%3D&c=d+e");
    assert_eq!(
        form.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );

    let text = sent(odd, "body = '<q>{id}</q>{ }'");
    assert_eq!(text.body, "<q>a\"b\\c é&=</q>{ }");
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; charset=utf-8")
    );

    let typed = sent(
        odd,
        "headers = { content-type = \"text/xml\" }\nbody = '<q>{id}</q>'",
    );
    assert_eq!(typed.header("content-type"), Some("text/xml"));
    assert_eq!(
        typed.head.matches("content-type").count(),
        1,
        "{}",
        typed.head
    );

    let raw_json = sent(odd, "body = '{ \"id\": \"{id}\", \"o\": {\"p\": {}}}'");
    assert_eq!(raw_json.body, r#"{ "id": "a\"b\\c é&=", "o": {"p": {}}}"#);
    assert_eq!(raw_json.header("content-type"), Some("application/json"));

    let query = "query($id: ID!){node(id:$id){id ...on User{login}}}";
    let graphql = sent(
        "x",
        &format!("body = {{ query = \"{query}\", variables = {{ id = \"{{id}}\" }} }}"),
    );
    let body: Value = serde_json::from_str(&graphql.body).unwrap();
    assert_eq!(body, json!({"query": query, "variables": {"id": "x"}}));

    let secret = sent("x", "body = { id = \"{id}\", key = \"${SECRET}\" }");
    assert_eq!(secret.body, r#"{"id":"x","key":"hunter2hunter2"}"#);
}

#[test]
fn every_try_sends_the_same_body() {
    let server = Raw::start(|request, _| match request.body.contains("\"a\"") {
        true => answer("503 Service Unavailable", "", "{}"),
        false => ok("{\"id\":1}"),
    });
    let request = "body = { id = \"{id}\", at = \"{id}{id}\" }";
    let bench = bench(server, "/x", &["a", "b"], request).with("retry", "attempts = 3");
    bench.run(&[], 3);
    let seen = bench.server.seen();
    let bodies: Vec<String> = seen.into_iter().map(|r| r.body).collect();
    let of = |id: &str| {
        let wanted = format!("{{\"id\":\"{id}\",\"at\":\"{id}{id}\"}}");
        bodies.iter().filter(|body| **body == wanted).count()
    };
    assert!(of("a") >= 3, "{bodies:?}");
    assert!(of("b") >= 1, "{bodies:?}");
    assert_eq!(of("a") + of("b"), bodies.len(), "{bodies:?}");
}

#[test]
fn redirects_keep_the_body_or_make_a_get_without_it() {
    let server = Raw::start(|request, _| match request.last() {
        "there" => ok("{}"),
        status => answer(&format!("{status} Moved"), "Location: /there\r\n", ""),
    });
    for status in [301, 302, 303, 307, 308] {
        let before = server.seen().len();
        let path = format!("/{status}");
        bench(&server, &path, &["a"], "form = { id = \"{id}\" }").run(&[], 0);
        let seen = server.seen();
        let [first, second] = &seen[before..] else {
            panic!("{status}: {} requests", seen.len() - before);
        };
        assert_eq!(
            (first.method.as_str(), first.body.as_str()),
            ("POST", "id=a")
        );
        assert_eq!(second.target, "/there");
        let form = Some("application/x-www-form-urlencoded");
        match status {
            307 | 308 => {
                assert_eq!(
                    (second.method.as_str(), second.body.as_str()),
                    ("POST", "id=a")
                );
                assert_eq!(second.header("content-type"), form, "{status}");
            }
            _ => {
                assert_eq!((second.method.as_str(), second.body.as_str()), ("GET", ""));
                assert_eq!(second.header("content-type"), None, "{status}");
            }
        }
    }
}

#[test]
fn a_secret_in_a_body_goes_to_no_other_origin_and_into_no_file() {
    let elsewhere = Raw::start(|_, _| ok("{}"));
    let base = elsewhere.base();
    let server = Raw::start(move |request, _| match request.body.contains("echo") {
        true => answer(
            "400 Bad Request",
            "",
            format!(
                "{{\"message\":\"bad: {}\"}}",
                request.body.replace('"', "'")
            ),
        ),
        false => answer("307 Away", &format!("Location: {base}/x\r\n"), ""),
    });
    for (request, reaches) in [
        ("body = { id = \"{id}\", key = \"${SECRET}\" }", false),
        ("body = { id = \"{id}\" }", true),
        ("body = { id = \"echo{id}\", key = \"${SECRET}\" }", false),
    ] {
        let before = elsewhere.seen().len();
        let bench = bench(&server, "", &["a"], request);
        let output = bench.run(&[], if reaches { 0 } else { 3 });
        assert_eq!(elsewhere.seen().len() > before, reaches, "{request}");
        assert!(!told(&output).contains("hunter2"), "{}", told(&output));
        for file in std::fs::read_dir(bench.place.path("")).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"));
        }
    }
}

#[test]
fn another_body_makes_another_kind_of_record() {
    let server = Raw::start(|_, _| ok("{}"));
    let first = "body = { id = \"{id}\", typed = \"hunter2\" }";
    let bench = bench(server, "", &["a"], first);
    bench.run(&[], 0);
    let checkpoint = std::fs::read(bench.place.path("out.ndjson.checkpoint")).unwrap();
    assert!(!String::from_utf8_lossy(&checkpoint).contains("hunter2"));
    for (request, field) in [
        (
            "body = { id = \"{id}\", typed = \"other\" }",
            "request.body",
        ),
        (
            "form = { id = \"{id}\", typed = \"hunter2\" }",
            "request.body",
        ),
        (
            "body = { id = \"{id}\", typed = \"hunter2\" }\nfail_when = \"$.errors\"",
            "request.fail_when",
        ),
    ] {
        bench.edit(first, request);
        assert_says(&bench.run(&[], 1), &[field]);
        bench.edit(request, first);
    }
    bench.run(&[], 0);
    assert_eq!(bench.server.seen().len(), 1);
}

const GRAPHQL: &str = "body = { query = \"query($id: ID!) { node(id: $id) { id } }\", \
                       variables = { id = \"{id}\" } }\nfail_when = \"$.errors\"\n\
                       retry_when = \"$.errors[?@.type == 'RATE_LIMITED']\"";

#[test]
fn errors_in_a_200_are_failures_and_some_are_tried_again() {
    let tries = AtomicU32::new(0);
    let server = Raw::start(move |request, _| {
        let id = serde_json::from_str::<Value>(&request.body).unwrap()["variables"]["id"].clone();
        let error = |kind: &str, message: &str| {
            ok(json!({"data": null, "errors": [{"type": kind, "message": message}]}).to_string())
        };
        match id.as_str().unwrap() {
            "gone" => error("NOT_FOUND", "No such node"),
            "bad" => error("INTERNAL", "boom"),
            "busy" if tries.fetch_add(1, Ordering::SeqCst) < 2 => {
                error("RATE_LIMITED", "slow down")
            }
            id => ok(json!({"data": {"node": {"id": id}}, "errors": []}).to_string()),
        }
    });
    let ids = ["a", "gone", "bad", "busy", "b"];
    let bench = bench(server, "/graphql", &ids, GRAPHQL);
    let output = bench.run(&[], 3);
    let mut records: Vec<String> = bench
        .records()
        .iter()
        .map(|r| r["data"]["node"]["id"].as_str().unwrap().to_owned())
        .collect();
    records.sort_unstable();
    assert_eq!(records, ["a", "b", "busy"]);
    let failed = bench.failures();
    let of = |id: &str| {
        let line = failed.iter().find(|line| line["id"] == id).unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        assert_eq!(
            (&line["status"], &line["attempts"]),
            (&json!(200), &json!(1))
        );
        (text("reason"), text("message"))
    };
    assert_eq!(
        of("gone"),
        (
            "not_found".into(),
            "HTTP 200: NOT_FOUND: No such node".into()
        )
    );
    assert_eq!(
        of("bad"),
        ("api_error".into(), "HTTP 200: INTERNAL: boom".into())
    );
    assert_says(&output, &["api_error"]);
}

#[test]
fn errors_for_everything_stop_the_run_and_record_nothing() {
    let server = Raw::start(|_, _| ok("{\"errors\":[{\"message\":\"Bad credentials\"}]}"));
    let bench = bench(server, "", &[], GRAPHQL).ids(numbers(300));
    bench.edit("100/s", "unlimited");
    let output = bench.run(&[], 1);
    assert_says(&output, &["api_error: HTTP 200: Bad credentials"]);
    assert_eq!(bench.counts().1, 0);
    assert!(bench.server.seen().len() < 200);
}

/// The job says what an error is: a record that only looks like one is a record.
#[test]
fn with_fail_when_nothing_is_guessed() {
    let server = Raw::start(|_, _| ok("{\"error\":{\"margin\":0.5}}"));
    let request = "form = { id = \"{id}\" }\nfail_when = \"$.error.code\"";
    let bench = bench(server, "", &[], request).ids(numbers(150));
    bench.edit("100/s", "unlimited");
    bench.run(&[], 0);
    assert_eq!(bench.lines().len(), 150);
}

/// The embedded API is stricter than the job: its limit is met with patience.
#[test]
fn a_graphql_rate_limit_is_waited_for() {
    let api = Api::start(&["--rate", "20"]);
    let ids = (0..60).map(|n| format!("R_owner_repo{n}"));
    let bench = bench(api, "/graphql", &[], GRAPHQL).ids(ids);
    bench.run(&[], 0);
    assert_eq!(bench.lines().len(), 60);
    assert!(bench.server.seen().len() > 60, "nothing was refused");
}

#[test]
fn a_batch_may_be_a_json_body_and_its_single_is_a_get() {
    let server = Raw::start(|request, _| {
        if request.method == "GET" {
            return ok(format!("{{\"id\":\"{}\"}}", request.last()));
        }
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let ids = body["ids"].as_array().unwrap();
        if ids.len() > 1 && ids.iter().any(|id| id == "bad") {
            return ok("{\"errors\":[{\"message\":\"one is bad\"}]}");
        }
        let found: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        ok(json!({ "found": found }).to_string())
    });
    let batch = format!(
        "size = 4\nitems = \"$.found\"\nkey = \"$.id\"\nsingle = \"{}/one/{{id}}\"",
        server.base()
    );
    let request = "body = { ids = \"{ids}\" }\nfail_when = \"$.errors\"";
    let ids = ["a", "b\"", "bad", "c,d", "e"];
    let bench = bench(server, "/many", &ids, request).with("request.batch", &batch);
    bench.run(&[], 0);
    let mut records: Vec<String> = bench
        .records()
        .iter()
        .map(|record| {
            record["id"]
                .as_str()
                .unwrap()
                .replace("%22", "\"")
                .replace("%2C", ",")
        })
        .collect();
    records.sort_unstable();
    assert_eq!(records, ["a", "b\"", "bad", "c,d", "e"]);
    for request in bench.server.seen() {
        match request.method.as_str() {
            "POST" => assert_eq!(request.header("content-type"), Some("application/json")),
            _ => assert_eq!(
                (request.body.as_str(), request.header("content-type")),
                ("", None)
            ),
        }
    }
}
