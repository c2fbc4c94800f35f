//! Items of several variables: their combination is what an item is, in the
//! request, in the checkpoint, in every file.

use crate::child;
use crate::raw::{Raw, answer, ok};
use crate::support::{Api, Place, assert_exit, harvest, told};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often each combination is in the output (an envelope) and in the failures file.
fn fates(place: &Place) -> BTreeMap<String, (u32, u32)> {
    let mut fates: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for record in place.json_lines("out.ndjson") {
        assert!(record["id"].is_object(), "{record}");
        fates.entry(record["id"].to_string()).or_default().0 += 1;
    }
    for failure in place.json_lines("out.ndjson.failed.ndjson") {
        assert!(failure["id"].is_object(), "{failure}");
        fates.entry(failure["id"].to_string()).or_default().1 += 1;
    }
    fates
}

fn run(job: &Path) -> Output {
    harvest().arg(job).output().unwrap()
}

fn job(place: &Place, base: &str, ids: &str, more: &str) -> PathBuf {
    place.write(
        "job.toml",
        &format!(
            "[ids]\n{ids}\n[request]\nurl = \"{base}/repos/{{owner}}/{{repo}}\"\n\
             [output]\npath = \"out.ndjson\"\nrecord = \"envelope\"\n{more}\n"
        ),
    )
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
    let place = Place::new();
    let api = Api::start(&[]);
    place.write("list.csv", &csv());
    let limits = "[limits]\nrate = \"200/s\"\n[checkpoint]\nevery = \"100ms\"";
    let job = job(&place, &api.base, "file = \"list.csv\"", limits);

    let mut killed = child::spawn(harvest(), &job);
    let checkpoint = place.path("out.ndjson.checkpoint");
    child::until(|| {
        let committed = std::fs::metadata(&checkpoint).map_or(0, |m| m.len());
        committed > 1_000 && api.seen().len() > 80
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
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
    let resumed = run(&job);
    assert_exit(&resumed, 3);

    let fates = fates(&place);
    assert_eq!(fates.len(), 400);
    for (id, (records, failures)) in &fates {
        assert_eq!(records + failures, 1, "{id}");
        let id: Value = serde_json::from_str(id).unwrap();
        let gone = id["repo"].as_str().unwrap().ends_with("404");
        assert_eq!(*failures == 1, gone, "{id}");
    }
    for record in place.json_lines("out.ndjson") {
        let owner = record["id"]["owner"].as_str().unwrap();
        let full = format!("{owner}/{}", record["id"]["repo"].as_str().unwrap());
        assert_eq!(record["body"]["full_name"], full);
    }
    // What the kill cost is what was sent since the last commit.
    assert!(api.seen().len() < 400 + 200, "{}", api.seen().len());
    let again = run(&job);
    assert_exit(&again, 3);
    assert!(told(&again).contains("400"), "{}", told(&again));
}

#[test]
fn retry_reads_the_combinations_back() {
    let healed = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&healed);
    let server = Raw::start(move |request, _| {
        match request.last() == "bad%20one" && !flag.load(Ordering::SeqCst) {
            true => answer("400 Bad Request", "", "{\"message\":\"no\"}"),
            false => ok(format!("{{\"path\":\"{}\"}}", request.target)),
        }
    });
    let place = Place::new();
    let lines = [
        json!({"org": {"login": "a\"b"}, "repo": "bad one"}),
        json!({"org": {"login": "c"}, "repo": "bad one"}),
        json!({"org": {"login": "c"}, "repo": 7}),
    ];
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    place.write("list.ndjson", &lines.join("\n"));
    let ids = "file = \"list.ndjson\"\nvariables = { owner = \"$.org.login\" }";
    let job = job(&place, &server.base(), ids, "[limits]\nrate = \"100/s\"");

    assert_exit(&run(&job), 3);
    let failed = place.json_lines("out.ndjson.failed.ndjson");
    assert_eq!(failed.len(), 2);
    let quoted = failed.iter().find(|line| line["id"]["owner"] == "a\"b");
    assert_eq!(quoted.unwrap()["id"]["repo"], "bad one");

    healed.store(true, Ordering::SeqCst);
    let retried = harvest().arg("retry").arg(&job).output().unwrap();
    assert_exit(&retried, 0);
    assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
    let fates = fates(&place);
    assert_eq!(fates.len(), 3);
    assert!(fates.values().all(|fate| *fate == (1, 0)), "{fates:?}");
    let paths: Vec<String> = server.seen().iter().map(|r| r.target.clone()).collect();
    for path in ["/repos/a%22b/bad%20one", "/repos/c/bad%20one"] {
        assert_eq!(paths.iter().filter(|p| *p == path).count(), 2, "{paths:?}");
    }
}

#[test]
fn repeats_and_inline_items_are_combinations() {
    let server = Raw::start(|request, _| ok(format!("{{\"path\":\"{}\"}}", request.target)));
    let place = Place::new();
    place.write("list.csv", "owner,repo\nx,y\ny,x\nx,y\n");
    let ids = "list = [{ owner = \"x\", repo = \"y\" }, { repo = \"z\", owner = \"x\" }]\n\
               file = \"list.csv\"";
    let job = job(&place, &server.base(), ids, "[limits]\nrate = \"100/s\"");
    let checked = harvest().arg("check").arg(&job).output().unwrap();
    assert_exit(&checked, 0);
    assert!(
        told(&checked).contains("3 (2 repeats left out)"),
        "{}",
        told(&checked)
    );
    assert!(told(&checked).contains("owner, repo"), "{}", told(&checked));
    assert_exit(&run(&job), 0);
    let ids: Vec<String> = fates(&place).into_keys().collect();
    assert_eq!(
        ids,
        [
            r#"{"owner":"x","repo":"y"}"#,
            r#"{"owner":"x","repo":"z"}"#,
            r#"{"owner":"y","repo":"x"}"#
        ]
    );
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_csv_envelope_has_the_combination_as_json_text() {
    let server = Raw::start(|_, _| ok("{\"n\":1}"));
    let place = Place::new();
    let job = job(
        &place,
        &server.base(),
        "list = [{ owner = \"a,b\", repo = \"c\" }]",
        "",
    );
    let text = std::fs::read_to_string(&job).unwrap();
    std::fs::write(&job, text.replace("out.ndjson", "out.csv")).unwrap();
    assert_exit(&run(&job), 0);
    let lines = place.lines("out.csv");
    assert_eq!(lines[0], "id,status,fetched_at,body.n");
    let wanted = r#""{""owner"":""a,b"",""repo"":""c""}",200,"#;
    assert!(lines[1].starts_with(wanted), "{}", lines[1]);
}

#[test]
fn a_plain_listing_is_one_item() {
    let server = Raw::start(|_, _| ok("[1, 2]"));
    let place = Place::new();
    let job = place.write(
        "job.toml",
        &format!(
            "[request]\nurl = \"{}/all\"\n[output]\npath = \"out.ndjson\"\nrecord = \"envelope\"\n",
            server.base()
        ),
    );
    for _ in 0..2 {
        assert_exit(&run(&job), 0);
        let records = place.json_lines("out.ndjson");
        assert_eq!(records.len(), 1);
        assert_eq!(records[0]["id"], "listing");
        assert_eq!(records[0]["body"], json!([1, 2]));
    }
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_list_that_fills_too_little_is_told_with_file_line_and_variable() {
    let server = Raw::start(|_, _| ok("{}"));
    let place = Place::new();
    let ids = "file = \"list.csv\"";
    let job = job(&place, &server.base(), ids, "");
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
        place.write("list.csv", list);
        let output = run(&job);
        assert_exit(&output, code);
        let checked = harvest().arg("check").arg(&job).output().unwrap();
        assert_exit(&checked, 2);
        for part in parts {
            assert!(told(&output).contains(part), "{part}: {}", told(&output));
            assert!(told(&checked).contains(part), "{part}: {}", told(&checked));
        }
    }
    place.write("list.txt", "a\n");
    let text = std::fs::read_to_string(&job).unwrap();
    std::fs::write(&job, text.replace("list.csv", "list.txt")).unwrap();
    let output = run(&job);
    assert_exit(&output, 2);
    assert!(
        told(&output).contains("plain lines cannot fill"),
        "{}",
        told(&output)
    );
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
