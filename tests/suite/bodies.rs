//! POST bodies, byte for byte as a server gets them, and errors in answers of success.

use crate::raw::{Raw, Req, answer, ok};
use crate::support::{Api, Place, assert_exit, harvest, told};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;

fn run(job: &Path) -> Output {
    harvest()
        .env("SECRET", "hunter2hunter2")
        .arg(job)
        .output()
        .unwrap()
}

fn job(place: &Place, base: &str, ids: &str, request: &str, more: &str) -> PathBuf {
    place.write(
        "job.toml",
        &format!(
            "[ids]\n{ids}\n[limits]\nrate = \"100/s\"\n[retry]\nbackoff = \"1ms..5ms\"\n\
             [output]\npath = \"out.ndjson\"\n{more}\n\
             [request]\nurl = \"{base}\"\nmethod = \"POST\"\n{request}\n"
        ),
    )
}

/// The only request that the job makes.
fn sent(ids: &str, request: &str) -> Req {
    let server = Raw::start(|_, _| ok("{}"));
    let place = Place::new();
    let job = job(&place, &format!("{}/x", server.base()), ids, request, "");
    assert_exit(&run(&job), 0);
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, "POST");
    seen[0].clone()
}

#[test]
fn bodies_are_sent_byte_for_byte() {
    let odd = "list = ['a\"b\\c é&=']";
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
        "list = ['x']",
        &format!("body = {{ query = \"{query}\", variables = {{ id = \"{{id}}\" }} }}"),
    );
    let body: Value = serde_json::from_str(&graphql.body).unwrap();
    assert_eq!(body, json!({"query": query, "variables": {"id": "x"}}));

    let secret = sent(
        "list = ['x']",
        "body = { id = \"{id}\", key = \"${SECRET}\" }",
    );
    assert_eq!(secret.body, r#"{"id":"x","key":"hunter2hunter2"}"#);
}

#[test]
fn every_try_sends_the_same_body() {
    let server = Raw::start(|request, _| match request.body.contains("\"a\"") {
        true => answer("503 Service Unavailable", "", "{}"),
        false => ok("{\"id\":1}"),
    });
    let place = Place::new();
    let job = job(
        &place,
        &format!("{}/x", server.base()),
        "list = [\"a\", \"b\"]",
        "body = { id = \"{id}\", at = \"{id}{id}\" }",
        "",
    );
    let text = std::fs::read_to_string(&job).unwrap();
    std::fs::write(&job, text.replace("[retry]\n", "[retry]\nattempts = 3\n")).unwrap();
    assert_exit(&run(&job), 3);
    let bodies: Vec<String> = server.seen().into_iter().map(|r| r.body).collect();
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
        let place = Place::new();
        let before = server.seen().len();
        let url = format!("{}/{status}", server.base());
        let job = job(
            &place,
            &url,
            "list = [\"a\"]",
            "form = { id = \"{id}\" }",
            "",
        );
        assert_exit(&run(&job), 0);
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
        let place = Place::new();
        let job = job(&place, &server.base(), "list = [\"a\"]", request, "");
        let output = run(&job);
        assert_exit(&output, if reaches { 0 } else { 3 });
        assert_eq!(elsewhere.seen().len() > before, reaches, "{request}");
        assert!(!told(&output).contains("hunter2"), "{}", told(&output));
        for file in std::fs::read_dir(place.path("")).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"));
        }
    }
}

#[test]
fn another_body_makes_another_kind_of_record() {
    let server = Raw::start(|_, _| ok("{}"));
    let place = Place::new();
    let (url, ids) = (server.base(), "list = [\"a\"]");
    let with = |request: &str| job(&place, &url, ids, request, "");
    assert_exit(
        &run(&with("body = { id = \"{id}\", typed = \"hunter2\" }")),
        0,
    );
    let checkpoint = std::fs::read(place.path("out.ndjson.checkpoint")).unwrap();
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
        let output = run(&with(request));
        assert_exit(&output, 1);
        assert!(told(&output).contains(field), "{}", told(&output));
    }
    assert_exit(
        &run(&with("body = { id = \"{id}\", typed = \"hunter2\" }")),
        0,
    );
    assert_eq!(server.seen().len(), 1);
}

const GRAPHQL: &str = "body = { query = \"query($id: ID!) { node(id: $id) { id } }\", \
                       variables = { id = \"{id}\" } }\nfail_when = \"$.errors\"\n\
                       retry_when = \"$.errors[?@.type == 'RATE_LIMITED']\"";

#[test]
fn errors_in_a_200_are_failures_and_some_are_tried_again() {
    let tries = std::sync::atomic::AtomicU32::new(0);
    let server = Raw::start(move |request, _| {
        let id = serde_json::from_str::<Value>(&request.body).unwrap()["variables"]["id"].clone();
        let error = |kind: &str, message: &str| {
            ok(json!({"data": null, "errors": [{"type": kind, "message": message}]}).to_string())
        };
        match id.as_str().unwrap() {
            "gone" => error("NOT_FOUND", "No such node"),
            "bad" => error("INTERNAL", "boom"),
            "busy" if tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 => {
                error("RATE_LIMITED", "slow down")
            }
            id => ok(json!({"data": {"node": {"id": id}}, "errors": []}).to_string()),
        }
    });
    let place = Place::new();
    let ids = "list = [\"a\", \"gone\", \"bad\", \"busy\", \"b\"]";
    let job = job(
        &place,
        &format!("{}/graphql", server.base()),
        ids,
        GRAPHQL,
        "",
    );
    let output = run(&job);
    assert_exit(&output, 3);
    let mut records: Vec<String> = place
        .json_lines("out.ndjson")
        .iter()
        .map(|r| r["data"]["node"]["id"].as_str().unwrap().to_owned())
        .collect();
    records.sort_unstable();
    assert_eq!(records, ["a", "b", "busy"]);
    let failed = place.json_lines("out.ndjson.failed.ndjson");
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
    assert!(told(&output).contains("api_error"), "{}", told(&output));
}

#[test]
fn errors_for_everything_stop_the_run_and_record_nothing() {
    let server = Raw::start(|_, _| ok("{\"errors\":[{\"message\":\"Bad credentials\"}]}"));
    let place = Place::new();
    let ids: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    place.write("ids.txt", &ids.join("\n"));
    let job = job(&place, &server.base(), "file = \"ids.txt\"", GRAPHQL, "");
    let text = std::fs::read_to_string(&job).unwrap();
    std::fs::write(&job, text.replace("100/s", "unlimited")).unwrap();
    let output = run(&job);
    assert_exit(&output, 1);
    assert!(
        told(&output).contains("api_error: HTTP 200: Bad credentials"),
        "{}",
        told(&output)
    );
    assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
    assert!(server.seen().len() < 200);
}

/// The job says what an error is: a record that only looks like one is a record.
#[test]
fn with_fail_when_nothing_is_guessed() {
    let server = Raw::start(|_, _| ok("{\"error\":{\"margin\":0.5}}"));
    let place = Place::new();
    let ids: Vec<String> = (0..150).map(|n| n.to_string()).collect();
    place.write("ids.txt", &ids.join("\n"));
    let request = "form = { id = \"{id}\" }\nfail_when = \"$.error.code\"";
    let job = job(&place, &server.base(), "file = \"ids.txt\"", request, "");
    let text = std::fs::read_to_string(&job).unwrap();
    std::fs::write(&job, text.replace("100/s", "unlimited")).unwrap();
    assert_exit(&run(&job), 0);
    assert_eq!(place.lines("out.ndjson").len(), 150);
}

/// The embedded API is stricter than the job: its limit is met with patience.
#[test]
fn a_graphql_rate_limit_is_waited_for() {
    let api = Api::start(&["--rate", "20"]);
    let place = Place::new();
    let ids: Vec<String> = (0..60).map(|n| format!("R_owner_repo{n}")).collect();
    place.write("ids.txt", &ids.join("\n"));
    let job = job(
        &place,
        &format!("{}/graphql", api.base),
        "file = \"ids.txt\"",
        GRAPHQL,
        "",
    );
    let output = run(&job);
    assert_exit(&output, 0);
    assert_eq!(place.lines("out.ndjson").len(), 60);
    assert!(api.seen().len() > 60, "nothing was refused");
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
    let place = Place::new();
    let request = format!(
        "body = {{ ids = \"{{ids}}\" }}\nfail_when = \"$.errors\"\n[request.batch]\nsize = 4\n\
         items = \"$.found\"\nkey = \"$.id\"\nsingle = \"{}/one/{{id}}\"",
        server.base()
    );
    let ids = "list = [\"a\", \"b\\\"\", \"bad\", \"c,d\", \"e\"]";
    let job = job(
        &place,
        &format!("{}/many", server.base()),
        ids,
        &request,
        "",
    );
    assert_exit(&run(&job), 0);
    let mut records: Vec<String> = place
        .json_lines("out.ndjson")
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
    for request in server.seen() {
        match request.method.as_str() {
            "POST" => assert_eq!(request.header("content-type"), Some("application/json")),
            _ => assert_eq!(
                (request.body.as_str(), request.header("content-type")),
                ("", None)
            ),
        }
    }
}
