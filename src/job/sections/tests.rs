//! Each section: what it accepts, and how it says no.

use super::SECTIONS;
use crate::job::decode::decode;
use crate::job::*;
use secrecy::ExposeSecret as _;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod auth;
mod grants;
mod ids;
mod request;

/// A whole job of the three sections that must be there.
const REQUEST: &str = "[request]\nurl = \"https://h.example/{id}\"\n";
const IDS: &str = "[ids]\nlist = [\"a\"]\n";
const OUTPUT: &str = "[output]\npath = \"out.ndjson\"\n";

fn options() -> LoadOptions {
    LoadOptions {
        environment: Environment::of([("SECRET", "hunter2"), ("EMPTY", ""), ("RATE", "hunter2")]),
        ..LoadOptions::default()
    }
}

fn job(text: &str) -> Result<Job, JobError> {
    decode(Path::new("jobs/x.toml"), text, &options())
}

/// The sections, with whatever must be there added.
fn with(text: &str) -> String {
    let mut whole = text.to_owned();
    for (header, section) in [("[ids]", IDS), ("[request]", REQUEST), ("[output]", OUTPUT)] {
        if !text.contains(header) {
            whole = format!("{whole}\n{section}");
        }
    }
    whole
}

fn good(text: &str) -> Job {
    job(&with(text)).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// The messages and helps of a job that must not be.
fn bad(text: &str) -> Vec<String> {
    let error = job(&with(text)).expect_err(text);
    let shown = error.to_string();
    assert!(!shown.contains("hunter2"), "a secret in\n{shown}");
    let words = |d: &Diagnostic| format!("{} | {}", d.message, d.help.clone().unwrap_or_default());
    error.diagnostics().iter().map(words).collect()
}

/// Exactly one mistake, and every part is in it.
fn expect(text: &str, parts: &[&str]) {
    let mistakes = bad(text);
    assert_eq!(mistakes.len(), 1, "{text}\n{mistakes:#?}");
    for part in parts {
        assert!(mistakes[0].contains(part), "`{part}` in {}", mistakes[0]);
    }
}

#[test]
fn the_smallest_job_has_the_documented_defaults() {
    let job = good("");
    assert_eq!(job.ids.list, ["a"]);
    assert_eq!(job.ids.repeats, Repeats::Once);
    assert_eq!(job.request.method, Method::Get);
    assert_eq!(job.request.timeout, Duration::from_secs(30));
    assert_eq!(job.request.max_body, 16 << 20);
    assert!(matches!(job.auth, Auth::None));
    assert_eq!(job.limits.rates, ["10/s".parse().unwrap()]);
    assert_eq!(job.limits.concurrency, 8);
    assert_eq!(job.limits.max_wait, Duration::from_secs(3600));
    assert_eq!(job.retry.attempts, 6);
    assert_eq!(job.retry.backoff_first, Duration::from_millis(500));
    assert_eq!(job.retry.backoff_last, Duration::from_secs(60));
    let target = OutputTarget::File(PathBuf::from("jobs/out.ndjson"));
    assert_eq!(job.output.target, target);
    assert_eq!(job.output.format, OutputFormat::Ndjson);
    assert_eq!(job.output.record, RecordForm::Body);
    assert_eq!(job.checkpoint.every, Duration::from_secs(1));
    assert!(!job.sandbox);
}

const CLIENT: &str = "[auth]\ntype = \"client_credentials\"\ntoken_url = \"https://a.example/t\"\n\
                      client_id = \"me\"\nclient_secret = \"${SECRET}\"\n";

#[test]
fn limits_retry_and_checkpoint() {
    let limits = |text: &str| good(&format!("[limits]\n{text}")).limits;
    assert_eq!(limits("rate = [\"10/s\", \"180/30s\"]").rates.len(), 2);
    assert_eq!(limits("rate = \"unlimited\"").rates, []);
    assert_eq!(limits("concurrency = 10000").concurrency, 10_000);
    let auto = limits("rate = \"auto\"\nconcurrency = \"auto\"");
    assert!(auto.rate_auto && auto.concurrency_auto && auto.rates.is_empty());
    assert_eq!(auto.concurrency, MOST_AUTO_CONCURRENCY);
    let below = limits("rate = [\"auto\", \"5000/h\"]");
    assert!(below.rate_auto && !below.concurrency_auto);
    assert_eq!(below.rates, ["5000/h".parse().unwrap()]);
    assert!(!limits("rate = \"5000/h\"").rate_auto);
    assert_eq!(limits("max_wait = \"0s\"").max_wait, Duration::ZERO);
    let bad_limits = |text: &str, part: &str| expect(&format!("[limits]\n{text}"), &[part]);
    bad_limits("rate = \"0/s\"", "a rate of 0 would never send anything");
    bad_limits("rate = \"${RATE}\"", "expected requests per window");
    bad_limits(
        "rate = 10",
        "must be a string such as \"10/s\", or an array of them, found an integer",
    );
    bad_limits("rate = []", "names no rate");
    bad_limits("rate = [\"unlimited\"]", "expected requests per window");
    bad_limits("rate = \"Auto\"", "or `auto`");
    bad_limits(
        "concurrency = \"fast\"",
        "an integer or \"auto\", found a string",
    );
    bad_limits("concurrency = [8]", "an integer or \"auto\"");
    bad_limits("concurrency = 0", "must be from 1 to 10000");
    bad_limits("concurrency = -1", "must be from 1 to 10000");
    bad_limits("concurrency = 10001", "must be from 1 to 10000");
    bad_limits(
        "concurrency = \"8\"",
        "`concurrency` must be an integer or \"auto\", found a string",
    );
    bad_limits("max_wait = \"soon\"", "expected a length of time");
    let quarantine = |text: &str| limits(text).quarantine.map(|q| (q.failures, q.items));
    assert_eq!(quarantine(""), Some((95, 100)));
    assert_eq!(quarantine("quarantine = \"9/10\""), Some((9, 10)));
    assert_eq!(quarantine("quarantine = \"off\""), None);
    bad_limits("quarantine = \"90%\"", "expected failures of items");
    bad_limits("quarantine = \"11/10\"", "more failures than items");
    bad_limits("quarantine = 95", "`quarantine` must be a string");
    let retry = |text: &str| good(&format!("[retry]\n{text}")).retry;
    assert_eq!(retry("attempts = 1").attempts, 1);
    assert_eq!(
        retry("backoff = \"2s\"").backoff_last,
        Duration::from_secs(2)
    );
    assert_eq!(
        retry("backoff = \"1s .. 1m\"").backoff_last,
        Duration::from_secs(60)
    );
    expect("[retry]\nattempts = 0", &["must be at least 1"]);
    expect("[retry]\nbackoff = \"60s..1s\"", &["ends before it begins"]);
    expect("[retry]\nbackoff = \"0s..1s\"", &["must be over 0"]);
    assert_eq!(
        good("[checkpoint]\nevery = \"100ms\"").checkpoint.every,
        Duration::from_millis(100)
    );
    expect("[checkpoint]\nevery = \"99ms\"", &["from `100ms` to `1h`"]);
    expect("[checkpoint]\nevery = \"2h\"", &["from `100ms` to `1h`"]);
}

#[test]
fn outputs_of_every_form() {
    let output = |text: &str| good(&format!("[output]\n{text}")).output;
    assert_eq!(output("path = \"-\"").target, OutputTarget::Stdout);
    assert_eq!(output("path = \"a.JSONL\"").format, OutputFormat::Ndjson);
    assert_eq!(
        output("path = \"a.tsv\"").format,
        OutputFormat::Delimited { delimiter: b'\t' }
    );
    assert_eq!(
        output("path = \"a.ndjson\"\nrecord = \"envelope\"\norder = \"completion\"").record,
        RecordForm::Envelope
    );
    let columns = output("path = \"a.csv\"\ncolumns = { z = \"$.id\", a = \"$.b[*].c\" }").columns;
    assert_eq!(columns[0].0, "z", "the file's order");
    assert_eq!(columns[1].1.to_string(), "$.b[*].c");
}

#[test]
fn impossible_outputs() {
    let output = |text: &str, parts: &[&str]| expect(&format!("[output]\n{text}"), parts);
    output("", &["`path` is missing in [output]"]);
    output("path = \"a.gz\"", &["does not write .gz files yet"]);
    output(
        "path = \"a.ndjson.zst\"",
        &["does not write .zst files yet", ".ndjson"],
    );
    output(
        "path = \"a.parquet\"",
        &["does not write .parquet files yet"],
    );
    output("path = \"a.json\"", &["does not say its format", ".ndjson"]);
    output("path = \"a.txt\"", &["does not say its format"]);
    output(
        "path = \"a.csv\"\norder = \"input\"",
        &["not supported by this version yet", "say \"completion\""],
    );
    output(
        "path = \"a.csv\"\norder = \"sorted\"",
        &["\"completion\" or \"input\""],
    );
    output("path = \"a.csv\"\n[output.columns]", &["names no columns"]);
    output(
        "path = \"a.ndjson\"\n[output.columns]\na = \"$.a\"",
        &["for .csv and .tsv outputs"],
    );
    output(
        "path = \"a.csv\"\n[output.columns]\na = \"b\"",
        &["`a` is not a JSONPath: at position"],
    );
    output(
        "path = \"a.csv\"\n[output.columns]\na = \"${RATE}\"",
        &["`a` is not a JSONPath |"],
    );
    output(
        "path = \"a.csv\"\n[output.columns]\na = 1",
        &["`a` must be a string"],
    );
    output(
        "path = \"a.csv\"\nrecord = \"envelope\"\n[output.columns]\nstatus = \"$.a\"",
        &["the envelope has a column `status` already"],
    );
}

#[test]
fn misspelled_and_misplaced_names() {
    expect(
        "[limits]\nconncurrency = 8",
        &[
            "unknown key `conncurrency` in [limits]",
            "did you mean `concurrency`?",
        ],
    );
    expect(
        "[limits]\nzzz = 8",
        &["[limits] knows `rate`, `concurrency`, `max_wait` and `quarantine`"],
    );
    expect(
        "[limits]\ntimeout = \"8s\"",
        &[
            "unknown key `timeout` in [limits]",
            "`timeout` belongs in [request]",
        ],
    );
    expect(
        "[limts]\nrate = \"8/s\"",
        &["unknown section `limts`", "did you mean [limits]?"],
    );
    expect(
        "[zzz]\ntoken = \"hunter2\"",
        &["the sections are `ids`, `request`"],
    );
    expect(
        "rate = \"8/s\"",
        &["unknown section `rate`", "`rate` belongs in [limits]"],
    );
    expect(
        "limits = 3",
        &["`limits` must be a section `[limits]`, found an integer"],
    );
    expect(
        "[[limits]]\nrate = \"8/s\"",
        &["must be a section `[limits]`, found an array"],
    );
}

#[test]
fn the_schema_and_the_reader_know_the_same_keys() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let keys = |value: &serde_json::Value| -> BTreeSet<String> {
        assert_eq!(value["additionalProperties"], false);
        value["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let owned =
        |names: &[&str]| -> BTreeSet<String> { names.iter().map(|n| (*n).to_owned()).collect() };
    assert_eq!(keys(&schema), owned(&SECTIONS.map(|(section, _)| section)));
    for (section, names) in SECTIONS {
        assert_eq!(
            keys(&schema["properties"][section]),
            owned(names),
            "[{section}]"
        );
    }
    let pages = &schema["properties"]["request"]["properties"]["pages"];
    assert_eq!(keys(pages), owned(&super::pages::KEYS));
}
