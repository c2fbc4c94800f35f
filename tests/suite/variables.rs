//! Items of several variables: their combination is what an item is, in the
//! request, in the checkpoint, in every file.

use crate::child::{kill, until};
use crate::raw::{Raw, answer, ok};
use crate::support::{Api, Bench, Place, Server, assert_exit, assert_says, harvest};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often each combination is in the output (an envelope) and in the failures file.
fn fates<S>(bench: &Bench<S>) -> BTreeMap<String, (u32, u32)> {
    let mut fates: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for record in bench.records() {
        assert!(record["id"].is_object(), "{record}");
        fates.entry(record["id"].to_string()).or_default().0 += 1;
    }
    for failure in bench.failures() {
        assert!(failure["id"].is_object(), "{failure}");
        fates.entry(failure["id"].to_string()).or_default().1 += 1;
    }
    fates
}

/// A job whose list is this file, or what `[ids]` says besides.
fn bench<S: Server>(api: S, list: &str, more: &str) -> Bench<S> {
    let bench = Bench::of(api, "/repos/{owner}/{repo}").with("output", "record = \"envelope\"");
    bench.edit("ids.txt", list);
    bench.edit("[request]", &format!("{more}\n[request]"));
    bench
}

/// 20 owners with 20 repositories each; every name comes 20 times.
fn csv() -> String {
    let mut text = "repo,note,owner\n".to_owned();
    for (owner, repo) in (0..20).flat_map(|o| (0..20).map(move |r| (o, r))) {
        let end = if (owner + repo) % 40 == 7 { "404" } else { "" };
        text.push_str(&format!("r/{repo}{end},x,owner {owner}\n"));
    }
    text
}

#[test]
fn every_combination_once_over_a_kill_and_a_changed_list() {
    let bench = bench(Api::start(&[]), "list.csv", "")
        .with("limits", "rate = \"200/s\"")
        .with("checkpoint", "every = \"100ms\"");
    let (place, api) = (&bench.place, &bench.server);
    place.write("list.csv", &csv());

    let killed = bench.start(&[]);
    let checkpoint = place.path("out.ndjson.checkpoint");
    until(|| {
        let committed = std::fs::metadata(&checkpoint).map_or(0, |m| m.len());
        committed > 1_000 && api.seen().len() > 80
    });
    kill(killed);
    assert!(api.seen().len() < 400);
    // Other columns, another order: the combinations are the same.
    let mut lines: Vec<String> = csv()
        .lines()
        .skip(1)
        .map(|line| {
            let (repo, owner) = line.split_once(",x,").unwrap();
            format!("{owner},{repo}")
        })
        .collect();
    lines.reverse();
    place.write("list.csv", &format!("owner,repo\n{}\n", lines.join("\n")));
    bench.run(&[], 3);

    let fates = fates(&bench);
    assert_eq!(fates.len(), 400);
    for (id, (records, failures)) in &fates {
        assert_eq!(records + failures, 1, "{id}");
        let id: Value = serde_json::from_str(id).unwrap();
        let gone = id["repo"].as_str().unwrap().ends_with("404");
        assert_eq!(*failures == 1, gone, "{id}");
    }
    for record in bench.records() {
        let owner = record["id"]["owner"].as_str().unwrap();
        let full = format!("{owner}/{}", record["id"]["repo"].as_str().unwrap());
        assert_eq!(record["body"]["full_name"], full);
    }
    // What the kill cost is what was sent since the last commit.
    assert!(api.seen().len() < 400 + 200, "{}", api.seen().len());
    assert_says(&bench.run(&[], 3), &["400"]);
}

#[test]
fn retry_reads_the_combinations_back() {
    let server = Raw::sharing(AtomicBool::new(false), |healed, request, _| {
        match request.last() == "bad%20one" && !healed.load(Ordering::SeqCst) {
            true => answer("400 Bad Request", "", "{\"message\":\"no\"}"),
            false => ok(format!("{{\"path\":\"{}\"}}", request.target)),
        }
    });
    let variables = "variables = { owner = \"$.org.login\" }";
    let bench = bench(server, "list.ndjson", variables).with("limits", "rate = \"100/s\"");
    let lines = [
        json!({"org": {"login": "a\"b"}, "repo": "bad one"}),
        json!({"org": {"login": "c"}, "repo": "bad one"}),
        json!({"org": {"login": "c"}, "repo": 7}),
    ];
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    bench.place.write("list.ndjson", &lines.join("\n"));

    bench.run(&[], 3);
    let failed = bench.failures();
    assert_eq!(failed.len(), 2);
    let quoted = failed.iter().find(|line| line["id"]["owner"] == "a\"b");
    assert_eq!(quoted.unwrap()["id"]["repo"], "bad one");

    bench.server.state.store(true, Ordering::SeqCst);
    bench.run(&["retry"], 0);
    assert_eq!(bench.counts().1, 0);
    let fates = fates(&bench);
    assert_eq!(fates.len(), 3);
    assert!(fates.values().all(|fate| *fate == (1, 0)), "{fates:?}");
    let seen = bench.server.seen();
    let paths: Vec<&str> = seen.iter().map(|r| r.target.as_str()).collect();
    for path in ["/repos/a%22b/bad%20one", "/repos/c/bad%20one"] {
        assert_eq!(paths.iter().filter(|p| **p == path).count(), 2, "{paths:?}");
    }
}

#[test]
fn repeats_and_inline_items_are_combinations() {
    let server = Raw::start(|request, _| ok(format!("{{\"path\":\"{}\"}}", request.target)));
    let more = "list = [{ owner = \"x\", repo = \"y\" }, { repo = \"z\", owner = \"x\" }]";
    let bench = bench(server, "list.csv", more).with("limits", "rate = \"100/s\"");
    bench.place.write("list.csv", "owner,repo\nx,y\ny,x\nx,y\n");
    let checked = bench.run(&["check"], 0);
    assert_says(&checked, &["3 (2 repeats left out)", "owner, repo"]);
    bench.run(&[], 0);
    let ids: Vec<String> = fates(&bench).into_keys().collect();
    assert_eq!(
        ids,
        [
            r#"{"owner":"x","repo":"y"}"#,
            r#"{"owner":"x","repo":"z"}"#,
            r#"{"owner":"y","repo":"x"}"#
        ]
    );
    assert_eq!(bench.server.seen().len(), 3);
}

#[test]
fn a_csv_envelope_has_the_combination_as_json_text() {
    let server = Raw::start(|_, _| ok("{\"n\":1}"));
    let bench = bench(server, "list.csv", "").output("out.csv");
    bench.place.write("list.csv", "owner,repo\n\"a,b\",c\n");
    bench.run(&[], 0);
    let lines = bench.lines();
    assert_eq!(lines[0], "id,status,fetched_at,body.n");
    let wanted = r#""{""owner"":""a,b"",""repo"":""c""}",200,"#;
    assert!(lines[1].starts_with(wanted), "{}", lines[1]);
}

#[test]
fn a_plain_listing_is_one_item() {
    let server = Raw::start(|_, _| ok("[1, 2]"));
    let bench = Bench::of(server, "/all").with("output", "record = \"envelope\"");
    bench.edit("[ids]\nfile = \"ids.txt\"\n", "");
    for _ in 0..2 {
        bench.run(&[], 0);
        let records = bench.records();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0]["id"], "listing");
        assert_eq!(records[0]["body"], json!([1, 2]));
    }
    assert_eq!(bench.server.seen().len(), 1);
}

#[test]
fn a_list_that_fills_too_little_is_told_with_file_line_and_variable() {
    let server = Raw::start(|_, _| ok("{}"));
    let bench = bench(server, "list.csv", "");
    for (list, code, parts) in [
        (
            "owner,repos\na,b\n",
            1,
            ["list.csv", "no column `repo`", "[ids.variables]"],
        ),
        (
            "owner,repo\na,b\nc,\n",
            1,
            ["list.csv", "line 3", "`{repo}`"],
        ),
    ] {
        bench.place.write("list.csv", list);
        assert_says(&bench.run(&[], code), &parts);
        assert_says(&bench.run(&["check"], 2), &parts);
    }
    bench.place.write("list.txt", "a\n");
    bench.edit("list.csv", "list.txt");
    assert_says(&bench.run(&[], 2), &["plain lines cannot fill"]);
}

/// The examples of jobs/ that have several variables, against the embedded API.
#[test]
fn the_examples_run_against_the_embedded_api() {
    let place = Place::new();
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs");
    for (name, output) in [
        ("github_repos", "repos.ndjson"),
        ("github_graphql", "graphql.csv"),
    ] {
        let ended = harvest()
            .arg(jobs.join(format!("{name}.toml")))
            .args(["--sandbox", "--rate", "100/s", "--output"])
            .arg(place.path(output))
            .output()
            .unwrap();
        assert_exit(&ended, 0);
    }
    let rest = place.json_lines("repos.ndjson");
    assert_eq!(rest.len(), 10);
    let mut names: Vec<&str> = rest
        .iter()
        .map(|r| r["body"]["full_name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names[..2], ["BurntSushi/rust-csv", "clap-rs/clap"]);
    let rows = place.lines("graphql.csv");
    assert_eq!(rows.len(), 11);
    assert_eq!(rows[0], "id,repository,stars,language");
    // The same repositories, by another way.
    for record in rest {
        let row = format!(
            "{},{},{},{}",
            record["body"]["node_id"].as_str().unwrap(),
            record["body"]["full_name"].as_str().unwrap(),
            record["body"]["stargazers_count"],
            record["body"]["language"].as_str().unwrap(),
        );
        assert!(rows.contains(&row), "{row} in {rows:#?}");
    }
}
