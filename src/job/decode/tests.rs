//! Whole files: all mistakes at once, overrides, secrets, and noise.

use super::*;
use crate::job::{Auth, OutputFormat, OutputTarget, SCHEMA, Starter, starter};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;

const JOB: &str = "[ids]\nlist = [\"a\"]\n[request]\nurl = \"https://h.example/{id}\"\n\
                   [output]\npath = \"out.csv\"\n[output.columns]\nid = \"$.id\"\n";

fn options() -> LoadOptions {
    LoadOptions {
        environment: Environment::of([("SECRET", "hunter2")]),
        ..LoadOptions::default()
    }
}

fn parse(text: &str) -> Result<Job, JobError> {
    decode(Path::new("x.toml"), text, &options())
}

#[test]
fn all_mistakes_are_told_at_once_in_the_files_order() {
    let text = "[limits]\nrate = \"0/s\"\nconncurrency = 8\n[request]\nurl = \"nope\"\n[ids]\n";
    let error = parse(text).unwrap_err();
    let lines: Vec<Option<usize>> = error
        .diagnostics()
        .iter()
        .map(|d| {
            d.span
                .clone()
                .map(|span| 1 + text[..span.start].matches('\n').count())
        })
        .collect();
    assert_eq!(lines, [Some(2), Some(3), Some(5), Some(6), None]);
}

#[test]
fn syntax_errors_are_told_alone() {
    let error = parse("[limits]\nrate = \n[request\nurl = 5\nconcurrency = 8 9\n").unwrap_err();
    assert!(error.diagnostics().len() >= 2, "{error}");
    for diagnostic in error.diagnostics() {
        assert!(
            diagnostic.message.starts_with("this is not TOML"),
            "{diagnostic:?}"
        );
    }
    assert!(error.to_string().contains("x.toml:2:"), "{error}");
}

#[test]
fn a_syntax_error_shows_no_secret() {
    for text in [
        "[auth]\ntoken = hunter2",
        "[auth]\ntoken = \"hunter2\n",
        "[auth]\nhunter2\n",
        "[auth]\ntoken = \"a\" hunter2\n",
        "[auth]\ntoken = \"\"\"\nhunter2\n",
        "[request]\nheaders = { a = \"hunter2\" b }\n",
        "[request.headers]\nAuthorization = Bearer hunter2\n",
        "auth = { token = \"hunter2\" ",
        "[auth]\ntoken = 'hunter2'\ntoken = 'hunter2'\n",
        "[auth]\nparams = [\n\"hunter2\",\nhunter2\n",
    ] {
        let error = parse(text).unwrap_err();
        let all = format!("{error} {error:?} {}", error.render(true));
        assert!(!all.contains("hunter2"), "{all}");
    }
}

#[test]
fn neither_errors_nor_jobs_show_secrets() {
    let secrets = "[auth]\ntype = \"client_credentials\"\ntoken_url = \"https://a.example/\"\n\
                   client_id = \"hunter2\"\nclient_secret = \"${SECRET}\"\nparams = { a = \"hunter2\" }\n\
                   [request]\nurl = \"https://h.example/{id}\"\nheaders = { X-Key = \"hunter2\" }\n\
                   query = { k = \"${SECRET}\" }\n[ids]\nlist = [1]\n[output]\npath = \"-\"\n";
    let job = parse(secrets).unwrap();
    assert!(!format!("{job:?}").contains("hunter2"));
    let broken = secrets
        .replace(
            "token_url",
            "password = \"hunter2\"\ntokken = \"hunter2\"\ntoken_url",
        )
        .replace("X-Key", "\"X Key\"");
    let error = parse(&broken).unwrap_err();
    assert!(error.diagnostics().len() >= 3);
    let all = format!("{error} {error:?}");
    assert!(!all.contains("hunter2"), "{all}");
}

#[test]
fn the_command_line_wins() {
    let options = LoadOptions {
        rates: Some(Vec::new()),
        concurrency: Some(Concurrency::AtMost(3)),
        output: Some("here/out.tsv".to_owned()),
        ..options()
    };
    let job = decode(Path::new("jobs/x.toml"), JOB, &options).unwrap();
    assert_eq!(job.limits.rates, []);
    assert_eq!(job.limits.concurrency, 3);
    let target = OutputTarget::File(PathBuf::from("here/out.tsv"));
    assert_eq!(
        job.output.target, target,
        "relative to the working directory"
    );
    assert_eq!(
        job.output.format,
        OutputFormat::Delimited { delimiter: b'\t' }
    );
}

#[test]
fn impossible_options_are_told_too() {
    let zero = crate::job::Rate {
        count: 0,
        window: std::time::Duration::ZERO,
    };
    for (change, part) in [
        (
            LoadOptions {
                concurrency: Some(Concurrency::AtMost(0)),
                ..options()
            },
            "--concurrency must be from 1",
        ),
        (
            LoadOptions {
                rates: Some(vec![Pace::Quota(zero)]),
                ..options()
            },
            "--rate must be over 0",
        ),
        (
            LoadOptions {
                output: Some("x.gz".to_owned()),
                ..options()
            },
            ".gz files yet",
        ),
        (
            LoadOptions {
                output: Some("-".to_owned()),
                ..options()
            },
            "--output names an NDJSON file",
        ),
    ] {
        let error = decode(Path::new("x.toml"), JOB, &change).unwrap_err();
        assert_eq!(error.diagnostics().len(), 1, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = load(&folder.path().join("absent.toml"), &options()).unwrap_err();
    assert!(error.to_string().contains("absent.toml"), "{error}");
    assert!(error.diagnostics().is_empty());
    let path = folder.path().join("binary.toml");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(load(&path, &options()).is_err());
}

#[test]
fn variables_come_from_a_dot_env_beside_the_job() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".env"), "TOKEN_FOR_THIS_TEST=abc\n").unwrap();
    let path = folder.path().join("x.toml");
    let auth = "[auth]\ntype = \"bearer\"\ntoken = \"${TOKEN_FOR_THIS_TEST}\"\n";
    fs::write(&path, format!("{JOB}{auth}")).unwrap();
    assert!(matches!(
        load(&path, &options()).unwrap().auth,
        Auth::Bearer { .. }
    ));
    fs::write(
        folder.path().join(".env"),
        "ok=1\nnot an assignment hunter2\n",
    )
    .unwrap();
    let headers = "[request.headers]\na = \"${B}\"\n";
    fs::write(&path, format!("{JOB}{auth}{headers}")).unwrap();
    let error = load(&path, &options()).unwrap_err();
    assert_eq!(error.diagnostics().len(), 1, "told once: {error}");
    let shown = error.to_string();
    assert!(
        shown.contains(".env`, line 2") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_not_matter() {
    let text = format!("\u{feff}{}", JOB.replace('\n', "\r\n"));
    parse(&text).unwrap();
    let error = parse(&text.replace("list", "lisst")).unwrap_err();
    assert!(error.to_string().contains("x.toml:2:1"), "{error}");
}

#[test]
fn an_empty_file_is_told_what_is_missing() {
    let shown = parse("").unwrap_err().to_string();
    for part in [
        "[ids] names no items",
        "`url` is missing",
        "`path` is missing",
        "x.toml",
    ] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
}

/// Words that job files are made of, and words that break them.
fn fragment() -> impl Strategy<Value = String> {
    let keys = [
        "ids",
        "request",
        "auth",
        "limits",
        "retry",
        "output",
        "columns",
        "checkpoint",
    ];
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let mut words: Vec<String> = keys.iter().map(|key| format!("\n[{key}]\n")).collect();
    for key in keys {
        if let Some(properties) = schema["properties"][key]["properties"].as_object() {
            words.extend(properties.keys().map(|name| format!("\n{name} = ")));
        }
    }
    let values = [
        "\"10/s\"",
        "\"0s\"",
        "0",
        "-1",
        "99999999999999999999",
        "1.5",
        "true",
        "[]",
        "[1, \"a\"]",
        "{ a = \"${SECRET}\" }",
        "{}",
        "\"bearer\"",
        "\"api_key\"",
        "\"basic\"",
        "\"client_credentials\"",
        "\"https://h/{id}\"",
        "\"http://{id}\"",
        "\"$.a\"",
        "\"a.csv\"",
        "\"a.ndjson\"",
        "\"-\"",
        "\"${\"",
        "\"${NOPE}\"",
        "\"$${x}\"",
        "\"{\"",
        "\"é\"",
        "\"\"\"",
        "'''",
        "\"",
        "=",
        ".",
        ",",
        "{",
        "[",
        "]",
        "\u{feff}",
        "\0",
        "\r",
        "#",
        "1979-05-27",
        "inf",
        "\"1s..\"",
        "\"..\"",
    ];
    words.extend(values.map(str::to_owned));
    prop_oneof![4 => prop::sample::select(words), 1 => "\\PC{0,4}"]
}

proptest! {
    #[test]
    fn no_text_makes_load_panic(fragments in prop::collection::vec(fragment(), 0..24), sandbox: bool) {
        let options = LoadOptions { sandbox, ..options() };
        if let Err(error) = decode(Path::new("x.toml"), &fragments.concat(), &options) {
            prop_assert!(!error.diagnostics().is_empty());
            prop_assert!(!error.render(true).contains("hunter2"));
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn no_change_to_a_job_makes_load_panic(
        kind in prop::sample::select(Starter::ALL.to_vec()),
        at in any::<prop::sample::Index>(),
        cut in 0usize..20,
        added in fragment(),
    ) {
        let mut text: Vec<char> = starter(kind).chars().collect();
        let at = at.index(text.len());
        text.splice(at..(at + cut).min(starter(kind).chars().count()), added.chars());
        let text: String = text.into_iter().collect();
        if let Err(error) = parse(&text) {
            prop_assert!(!error.diagnostics().is_empty());
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
