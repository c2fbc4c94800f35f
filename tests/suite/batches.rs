//! Batch endpoints: several items in one request, each with a fate of its own.

use crate::raw::{Raw, Reply, Req, answer, ok};
use crate::support::{Api, Place, assert_exit, harvest, most_in_window, told, track_id};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// A job for the embedded API, in batches of 50.
fn tracks(api: &Api, limits: &str, output: &str, more: &str) -> String {
    let single = api.job("file = \"ids.txt\"", limits, output, more);
    let batch = format!(
        "url = \"{base}/v1/tracks?ids={{ids}}\"\n[request.batch]\nsize = 50\nitems = \"$.tracks\"\nkey = \"$.id\"\n",
        base = api.base
    );
    single.replace(
        &format!("url = \"{}/v1/tracks/{{id}}\"\n", api.base),
        &batch,
    )
}

fn run(job: &PathBuf) -> Output {
    harvest().arg(job).output().unwrap()
}

fn sorted(place: &Place, name: &str) -> Vec<String> {
    let mut lines = place.lines(name);
    lines.sort();
    lines
}

/// The IDs that a batch's request asks for.
fn asked(request: &Req) -> Vec<String> {
    let (_, ids) = request.target.split_once("ids=").unwrap_or_default();
    let ids = ids.split('&').next().unwrap_or_default();
    ids.split(',').map(str::to_owned).collect()
}

fn element(id: &str) -> String {
    format!("{{\"id\":\"{id}\",\"n\":1.50}}")
}

fn whole(ids: &[String]) -> Reply {
    let elements: Vec<String> = ids.iter().map(|id| element(id)).collect();
    ok(format!("{{\"items\":[{}]}}", elements.join(" , ")))
}

/// A job for a scripted server; `batch` has the section's lines.
fn scripted(api: &Raw, ids: &[&str], batch: &str) -> String {
    format!(
        "[ids]\nlist = {ids:?}\n[request]\nurl = \"{base}/many?ids={{ids}}\"\n\
         [request.batch]\n{batch}\n[limits]\nrate = \"unlimited\"\nconcurrency = 1\n\
         [retry]\nattempts = 6\nbackoff = \"5ms..10ms\"\n[output]\npath = \"out.ndjson\"\n",
        base = api.base()
    )
}

const BY_KEY: &str = "size = 4\nitems = \"$.items\"\nkey = \"$.id\"";

#[test]
fn fifty_a_request_gives_the_records_of_single_fetches_byte_for_byte() {
    let place = Place::new();
    let api = Api::start(&[]);
    let ids: Vec<String> = (0..5_000).map(track_id).collect();
    place.write("ids.txt", &ids.join("\n"));
    let batch = tracks(&api, "rate = \"10/s\"", "path = \"batch.ndjson\"", "");
    assert_exit(&run(&place.write("batch.toml", &batch)), 0);
    let mut times: Vec<f64> = api.items().iter().map(|seen| seen.t).collect();
    assert_eq!(times.len(), 100, "requests");
    // Within the promise's tolerance of a tenth of a second for a busy machine.
    assert!(most_in_window(&mut times, 0.9) <= 10);

    let single = api.job(
        "file = \"ids.txt\"",
        "rate = \"unlimited\"\nconcurrency = 32",
        "path = \"single.ndjson\"",
        "",
    );
    assert_exit(&run(&place.write("single.toml", &single)), 0);
    let lines = sorted(&place, "batch.ndjson");
    assert_eq!(lines.len(), 5_000);
    assert!(
        lines == sorted(&place, "single.ndjson"),
        "the records differ"
    );
}

#[test]
fn a_bad_id_fails_alone_and_takes_nobody_with_it() {
    let place = Place::new();
    let api = Api::start(&[]);
    let bad: Vec<String> = (0..7).map(|n| format!("not-a-track-{n}")).collect();
    let mut ids: Vec<String> = (0..5_000).map(track_id).collect();
    for (n, id) in bad.iter().enumerate() {
        ids.insert(n * 700 + 11, id.clone());
    }
    let missing = format!("{:019}404", 5);
    ids.push(missing.clone());
    place.write("ids.txt", &ids.join("\n"));
    let job = tracks(&api, "rate = \"unlimited\"", "path = \"out.ndjson\"", "");
    let job = place.write("job.toml", &job);
    assert_exit(&run(&job), 3);
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
    let failures = place.json_lines("out.ndjson.failed.ndjson");
    let failed: BTreeSet<(&str, &str)> = failures
        .iter()
        .map(|f| (f["id"].as_str().unwrap(), f["reason"].as_str().unwrap()))
        .collect();
    let mut expected: BTreeSet<(&str, &str)> =
        bad.iter().map(|id| (id.as_str(), "client_error")).collect();
    expected.insert((&missing, "not_found"));
    assert_eq!(failed, expected);
    // 101 batches, and about two requests for each halving of seven of them.
    let requests = api.items().len();
    assert!(requests <= 102 + 7 * 12, "{requests} requests");
    // Done is done.
    assert_exit(&run(&job), 3);
    assert_eq!(api.items().len(), requests);
}

#[test]
fn an_answer_is_shared_out_by_key_whatever_its_order() {
    let api = Raw::start(|request, _| {
        let mut ids = asked(request);
        ids.retain(|id| id != "absent");
        ids.reverse();
        whole(&ids)
    });
    let place = Place::new();
    let ids = ["a", "b", "absent", "c"];
    let output = run(&place.write("job.toml", &scripted(&api, &ids, BY_KEY)));
    assert_exit(&output, 3);
    assert_eq!(
        sorted(&place, "out.ndjson"),
        ["a", "b", "c"].map(element),
        "as they came"
    );
    let failed = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["id"], "absent");
    assert_eq!(failed[0]["reason"], "not_found");
    assert_eq!(api.seen().len(), 1);
}

/// Each record's ID and the key that its element has, sorted.
fn ids_and_keys(place: &Place) -> Vec<(String, String)> {
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    let mut seen: Vec<(String, String)> = place
        .json_lines("out.ndjson")
        .iter()
        .map(|r| (text(&r["id"]), text(&r["body"]["id"])))
        .collect();
    seen.sort();
    seen
}

#[test]
fn a_relinked_element_belongs_to_the_item_that_asked_for_it() {
    // `b` is known by another key.
    let api = Raw::start(|request, _| {
        let elements: Vec<String> = asked(request)
            .iter()
            .map(|id| match id.as_str() {
                "b" => element("relinked"),
                id => element(id),
            })
            .collect();
        ok(format!("{{\"items\":[{}]}}", elements.join(",")))
    });
    let place = Place::new();
    let job = scripted(&api, &["a", "b", "c"], BY_KEY)
        .replace("[output]\n", "[output]\nrecord = \"envelope\"\n");
    assert_exit(&run(&place.write("job.toml", &job)), 0);
    let seen = ids_and_keys(&place);
    let expected = [("a", "a"), ("b", "relinked"), ("c", "c")];
    assert_eq!(seen, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(api.seen().len(), 1);
}

/// The same element for both; both by other keys, in another order.
#[test]
fn keys_that_come_twice_or_are_all_foreign_give_nobody_anothers_element() {
    for (many, records, requests) in [
        (["a", "a"], [("a", "a"), ("b", "rb")], 2),
        (["rb", "ra"], [("a", "ra"), ("b", "rb")], 3),
    ] {
        let api = Raw::start(move |request, _| {
            let keys = match asked(request).as_slice() {
                [_, _] => many.map(str::to_owned).to_vec(),
                [id] if many.contains(&id.as_str()) => vec![id.clone()],
                [id] => vec![format!("r{id}")],
                other => panic!("{other:?}"),
            };
            whole(&keys)
        });
        let place = Place::new();
        let job = scripted(&api, &["a", "b"], BY_KEY)
            .replace("[output]\n", "[output]\nrecord = \"envelope\"\n");
        let output = run(&place.write("job.toml", &job));
        assert_exit(&output, 0);
        let all_foreign = told(&output).contains("no element has one of the IDs at $.id");
        assert_eq!(all_foreign, many[0] == "rb", "{}", told(&output));
        let expected = records.map(|(id, key)| (id.to_owned(), key.to_owned()));
        assert_eq!(ids_and_keys(&place), expected, "{many:?}");
        assert_eq!(api.seen().len(), requests, "{many:?}");
    }
}

#[test]
fn an_element_that_may_be_anybodys_is_asked_for_alone() {
    // One is missing and one is relinked: nobody can tell which.
    let api = Raw::start(|request, _| {
        let ids = asked(request);
        let elements: Vec<String> = ids
            .iter()
            .filter(|id| *id != "gone")
            .map(|id| element(if id == "b" { "relinked" } else { id }))
            .collect();
        ok(format!("{{\"items\":[{}]}}", elements.join(",")))
    });
    let place = Place::new();
    let job = scripted(&api, &["a", "b", "gone", "c"], BY_KEY)
        .replace("[output]\n", "[output]\nrecord = \"envelope\"\n");
    assert_exit(&run(&place.write("job.toml", &job)), 3);
    let records = place.json_lines("out.ndjson");
    let b = records.iter().find(|r| r["id"] == "b").unwrap();
    assert_eq!(b["body"]["id"], "relinked");
    assert_eq!(records.len(), 3);
    let failed = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failed[0]["id"], "gone");
    assert_eq!(api.seen().len(), 3, "the batch, and the two in doubt");
}

#[test]
fn elements_can_be_matched_by_position() {
    let api = Raw::start(|request, _| {
        let elements: Vec<String> = asked(request)
            .iter()
            .map(|id| match id.as_str() {
                "none" => "null".to_owned(),
                id => format!("[\"{id}\"]"),
            })
            .collect();
        ok(format!("[{}]", elements.join(",")))
    });
    let place = Place::new();
    let ids = ["a", "none", "b", "c", "d"];
    let job = scripted(&api, &ids, "size = 3\nmatch = \"position\"");
    assert_exit(&run(&place.write("job.toml", &job)), 3);
    let expected = ["a", "b", "c", "d"].map(|id| format!("[\"{id}\"]"));
    assert_eq!(sorted(&place, "out.ndjson"), expected);
    assert_eq!(api.seen().len(), 2);
}

#[test]
fn a_batch_endpoint_that_is_gone_gives_way_to_single() {
    for status in ["403 Forbidden", "404 Not Found", "410 Gone"] {
        let api = Raw::start(move |request, _| match request.target.contains("/many") {
            true => answer(status, "", "{}"),
            false => ok(element(request.last())),
        });
        let place = Place::new();
        let batch = format!("{BY_KEY}\nsingle = \"{}/one/{{id}}\"", api.base());
        let ids = ["a", "b", "c", "d", "e", "f"];
        let output = run(&place.write("job.toml", &scripted(&api, &ids, &batch)));
        assert_exit(&output, 0);
        assert_eq!(sorted(&place, "out.ndjson"), ids.map(element));
        let many = api
            .seen()
            .iter()
            .filter(|r| r.target.contains("/many"))
            .count();
        // A batch of four, its halves, and as many as are no accident.
        assert!((1..=5).contains(&many), "{status}: {many}");
        assert!(
            told(&output).contains("the batch endpoint is gone"),
            "{}",
            told(&output)
        );
    }
}

#[test]
fn one_item_that_a_batch_is_404_for_does_not_end_batches() {
    let api = Raw::start(|request, _| match request.target.contains("/many") {
        true if asked(request).iter().any(|id| id == "i3") => answer("404 Not Found", "", "{}"),
        true => whole(&asked(request)),
        false if request.last() == "i3" => answer("404 Not Found", "", "{}"),
        false => ok(element(request.last())),
    });
    let place = Place::new();
    let batch = format!(
        "size = 50\nitems = \"$.items\"\nkey = \"$.id\"\nsingle = \"{}/one/{{id}}\"",
        api.base()
    );
    let ids: Vec<String> = (0..1_000).map(|n| format!("i{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let output = run(&place.write("job.toml", &scripted(&api, &ids, &batch)));
    assert_exit(&output, 3);
    assert_eq!(place.lines("out.ndjson").len(), 999);
    let failed = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failed[0]["id"], "i3");
    assert_eq!(failed[0]["reason"], "not_found");
    assert!(api.seen().len() <= 40, "{} requests", api.seen().len());
}

#[test]
fn credentials_that_may_not_ask_stop_the_run_soon() {
    for status in ["403 Forbidden", "404 Not Found"] {
        let api = Raw::start(move |_, _| answer(status, "", "{}"));
        let place = Place::new();
        let ids: Vec<String> = (0..2_000).map(|n| format!("i{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let batch = BY_KEY.replace("size = 4", "size = 50");
        let job = scripted(&api, &ids, &batch).replace("concurrency = 1", "concurrency = 8");
        let output = run(&place.write("job.toml", &job));
        assert_exit(&output, 1);
        assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
        let most = if status.starts_with("403") { 80 } else { 130 };
        let requests = api.seen().len();
        assert!(
            requests <= most,
            "{status}: {requests} requests; {}",
            told(&output)
        );
    }
}

#[test]
fn batches_that_are_too_long_teach_a_smaller_size() {
    let api = Raw::start(|request, _| match asked(request).len() {
        0..=30 => whole(&asked(request)),
        _ => answer("414 URI Too Long", "", "{}"),
    });
    let place = Place::new();
    let ids: Vec<String> = (0..1_000).map(|n| format!("i{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let batch = BY_KEY.replace("size = 4", "size = 50");
    let output = run(&place.write("job.toml", &scripted(&api, &ids, &batch)));
    assert_exit(&output, 0);
    assert_eq!(place.lines("out.ndjson").len(), 1_000);
    // Two are refused, and 25 a request from there on.
    assert!(api.seen().len() <= 44, "{} requests", api.seen().len());
}

#[test]
fn a_quota_that_is_used_up_by_the_last_item_pauses_nobody() {
    let used_up =
        "X-RateLimit-Limit: 100\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 7200\r\n";
    let api = Raw::start(move |request, _| match asked(request)[0].as_str() {
        "e" => answer("200 OK", used_up, "{\"items\":[{\"id\":\"e\"}]}"),
        _ => whole(&asked(request)),
    });
    let place = Place::new();
    let ids = ["a", "b", "c", "d", "e"];
    let job = place.write("job.toml", &scripted(&api, &ids, BY_KEY));
    assert_exit(&run(&job), 0);
    // One more is one too many for two hours, and max_wait is one.
    let longer = scripted(&api, &["a", "b", "c", "d", "e", "f"], BY_KEY);
    let output = run(&place.write("job.toml", &longer));
    assert_exit(&output, 75);
    assert_eq!(api.seen().len(), 2);
}

#[test]
fn a_limit_ends_a_run_whose_pipe_stays_open() {
    use std::io::Write;
    let api = Raw::start(|request, _| whole(&asked(request)));
    let place = Place::new();
    let job = scripted(&api, &[], BY_KEY).replace("list = []", "file = \"-\"");
    let mut child = harvest()
        .arg(place.write("job.toml", &job))
        .args(["--limit", "3"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(b"a\nb\nc\n").unwrap();
    // Waits until the run has ended, with the pipe open all the time.
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(pipe);
    assert_eq!(place.lines("out.ndjson").len(), 3);
}

#[test]
fn a_batch_endpoint_that_goes_in_the_middle_fails_nobody() {
    let api = Raw::start(|request, _| {
        let ids = asked(request);
        if !request.target.contains("/many") {
            ok(element(request.last()))
        } else if ids[0].as_str() < "c" {
            whole(&ids)
        } else {
            answer("403 Forbidden", "", "{}")
        }
    });
    let place = Place::new();
    let batch = format!("{BY_KEY}\nsingle = \"{}/one/{{id}}\"", api.base());
    let ids = [
        "a1", "a2", "a3", "a4", "c1", "c2", "c3", "c4", "d1", "d2", "d3", "d4", "e1",
    ];
    let output = run(&place.write("job.toml", &scripted(&api, &ids, &batch)));
    assert_exit(&output, 0);
    assert_eq!(sorted(&place, "out.ndjson"), ids.map(element));
    let last_batch = api.seen().iter().rposition(|r| r.target.contains("/many"));
    assert!(last_batch < Some(api.seen().len() - 1));
}

#[test]
fn an_item_that_breaks_the_server_fails_alone() {
    let api = Raw::start(|request, _| {
        let ids = asked(request);
        match ids.iter().any(|id| id == "poison") {
            true => answer("500 Internal Server Error", "", "{}"),
            false => whole(&ids),
        }
    });
    let place = Place::new();
    let ids = ["a", "b", "poison", "c", "d", "e"];
    let output = run(&place.write("job.toml", &scripted(&api, &ids, BY_KEY)));
    assert_exit(&output, 3);
    assert_eq!(
        sorted(&place, "out.ndjson"),
        ["a", "b", "c", "d", "e"].map(element)
    );
    let failed = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["id"], "poison");
    assert_eq!(failed[0]["reason"], "server_error");
}

#[test]
fn a_busy_server_gets_whole_batches_again() {
    let api = Raw::start(|request, times| match times {
        1 => answer("503 Service Unavailable", "", "{}"),
        2 => answer("429 Too Many Requests", "Retry-After: 0\r\n", "{}"),
        _ => whole(&asked(request)),
    });
    let place = Place::new();
    let ids = ["a", "b", "c", "d"];
    let output = run(&place.write("job.toml", &scripted(&api, &ids, BY_KEY)));
    assert_exit(&output, 0);
    assert_eq!(sorted(&place, "out.ndjson"), ids.map(element));
    assert_eq!(api.seen().len(), 3);
}

#[test]
fn an_id_with_the_separator_goes_by_single_or_fails_alone() {
    let api = Raw::start(|request, _| match request.target.contains("/many") {
        true => whole(&asked(request)),
        false => ok(element("x,y")),
    });
    let ids = ["a", "x,y", "b"];
    let place = Place::new();
    let output = run(&place.write("job.toml", &scripted(&api, &ids, BY_KEY)));
    assert_exit(&output, 3);
    let failed = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failed[0]["reason"], "invalid_id");
    assert_eq!(sorted(&place, "out.ndjson"), ["a", "b"].map(element));
    // It stands between the others, so they go apart.
    assert_eq!(api.seen().len(), 2);

    let place = Place::new();
    let batch = format!("{BY_KEY}\nsingle = \"{}/one/{{id}}\"", api.base());
    let output = run(&place.write("job.toml", &scripted(&api, &ids, &batch)));
    assert_exit(&output, 0);
    assert_eq!(sorted(&place, "out.ndjson"), ["a", "b", "x,y"].map(element));
    assert_eq!(api.count("x%2Cy"), 1);
}

#[test]
fn a_parameter_can_be_repeated() {
    let api = Raw::start(|request, _| {
        let query = request.target.split_once('?').unwrap().1;
        let ids: Vec<String> = query
            .split('&')
            .map(|pair| pair.strip_prefix("ids=").unwrap().to_owned())
            .collect();
        whole(&ids)
    });
    let place = Place::new();
    let batch = format!("{BY_KEY}\nseparator = \"&ids=\"");
    let output = run(&place.write("job.toml", &scripted(&api, &["a", "b"], &batch)));
    assert_exit(&output, 0);
    assert_eq!(api.seen()[0].target, "/many?ids=a&ids=b");
}

#[test]
fn a_path_without_elements_says_so_and_stops() {
    let api = Raw::start(|request, _| whole(&asked(request)));
    let place = Place::new();
    for (right, wrong) in [("$.items", "$.itmes"), ("$.id", "$.idd")] {
        let job = scripted(&api, &["a", "b"], BY_KEY)
            .replace(&format!("\"{right}\""), &format!("\"{wrong}\""));
        let output = harvest()
            .arg(place.write("job.toml", &job))
            .arg("--fresh")
            .arg("--yes")
            .output()
            .unwrap();
        assert_exit(&output, 3);
        assert!(told(&output).contains(wrong), "{}", told(&output));
    }
}

#[test]
fn mistakes_in_the_section_are_told() {
    let place = Place::new();
    let says = |url: &str, batch: &str, words: &[&str]| {
        let job = format!(
            "[ids]\nlist = [\"a\"]\n[request]\nurl = \"{url}\"\n{batch}\n[output]\npath = \"o.ndjson\"\n"
        );
        let output = harvest()
            .arg("check")
            .arg(place.write("job.toml", &job))
            .output()
            .unwrap();
        assert_exit(&output, 2);
        for word in words {
            assert!(told(&output).contains(word), "{word}: {}", told(&output));
        }
    };
    let good = "http://h/x?ids={ids}";
    says(good, "", &["[request.batch]", "`{id}`"]);
    says(
        "http://h/{id}",
        &format!("[request.batch]\n{BY_KEY}"),
        &["`{ids}` must be"],
    );
    says(
        good,
        "[request.batch]\nkey = \"$.id\"",
        &["`size` is missing in [request.batch]"],
    );
    says(
        good,
        "[request.batch]\nsize = 5",
        &["which element is whose", "match"],
    );
    says(
        good,
        "[request.batch]\nsize = 0\nkey = \"$.id\"",
        &["from 1 to 10000"],
    );
    says(
        good,
        "[request.batch]\nsize = 5\nkey = \"id\"",
        &["not a JSONPath"],
    );
    says(
        good,
        "[request.batch]\nsize = 5\nkeys = \"$.id\"",
        &["did you mean `key`?"],
    );
    says(
        good,
        "[request.batch]\nsize = 5\nkey = \"$.id\"\nsingle = \"http://other/{id}\"",
        &["scheme, host and port"],
    );
}

/// Kills at random moments, faults all along: each item exactly once all the same.
#[test]
fn kills_during_batches_lose_nothing_and_double_nothing() {
    let place = Place::new();
    let api = Api::start(&["--fault-rate", "0.05", "--seed", "11", "--latency", "15ms"]);
    let mut ids: Vec<String> = (0..6_000).map(track_id).collect();
    for n in 0..5 {
        ids.insert(n * 1_100 + 30, format!("bad-{n}"));
        ids.insert(n * 1_100 + 530, format!("{n:019}404"));
    }
    place.write("ids.txt", &ids.join("\n"));
    let job = tracks(
        &api,
        "rate = \"60/s\"\nconcurrency = 6",
        "path = \"out.ndjson\"",
        "[retry]\nattempts = 20\nbackoff = \"10ms..100ms\"\n[checkpoint]\nevery = \"100ms\"",
    );
    let job = place.write("job.toml", &job);
    let mut random = fastrand::Rng::with_seed(5);
    let mut kills = 0;
    let code = loop {
        let mut child = harvest()
            .arg(&job)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if kills == 12 {
            break child.wait().unwrap().code();
        }
        sleep(Duration::from_millis(random.u64(60..500)));
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    };
    assert_eq!(code, Some(3));
    println!("{kills} kills, {} requests", api.items().len());
    assert!(kills >= 3, "{kills} kills only");
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
    let failed = place.json_lines("out.ndjson.failed.ndjson").len();
    assert_eq!(failed, 10);
    let bytes = fs::read(place.path("out.ndjson")).unwrap();
    assert!(bytes.ends_with(b"}\n"));
}
