//! What a person types and reads: commands, options, exit codes, diagnostics,
//! the forms of the output.

use crate::raw::{Raw, answer, ok};
use crate::support::{Place, assert_exit, harvest, told};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in:\n{text}");
    }
}

/// The names in a folder.
fn names(place: &Place) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(place.path("."))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// An API that gives `{"id":…}`; an ID that begins with `no` is a 404.
fn api() -> Raw {
    Raw::start(|request, _| match request.last() {
        id if id.starts_with("no") => answer("404 Not Found", "", "{}"),
        id => ok(format!("{{\"id\":\"{id}\"}}")),
    })
}

fn job(api: &Raw, ids: &str, output: &str, more: &str) -> String {
    format!(
        "[ids]\n{ids}\n[request]\nurl = \"{}/items/{{id}}\"\n[output]\n{output}\n[retry]\nattempts = 2\nbackoff = \"10ms..20ms\"\n{more}\n",
        api.base()
    )
}

const OUT: &str = "path = \"out.ndjson\"";
const FAST: &str = "[limits]\nrate = \"200/s\"";

fn run(job: &Path, arguments: &[&str]) -> Output {
    harvest().arg(job).args(arguments).output().unwrap()
}

fn ids(lines: &[Value]) -> Vec<&str> {
    let mut ids: Vec<&str> = lines.iter().map(|l| l["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

// Diagnostics.

#[test]
fn three_mistakes_are_three_diagnostics() {
    let api = api();
    let place = Place::new();
    let text = format!(
        "[ids]\nlist = [\"a\"]\n[request]\nurl = \"{}/{{id}}\"\ntimeout = \"soon\"\n\
         [limits]\nconncurrency = 3\nrate = \"10/x\"\n[output]\npath = \"out.ndjson\"\n",
        api.base()
    );
    let job = place.write("job.toml", &text);

    for arguments in [vec!["check"], vec!["run"], vec![]] {
        let output = harvest().args(&arguments).arg(&job).output().unwrap();
        assert_exit(&output, 2);
        let shown = stderr(&output);
        assert_eq!(shown.matches("error: ").count(), 3, "{shown}");
        says(
            &shown,
            &[
                "job.toml:5:11",
                "timeout = \"soon\"",
                "^^^^^^",
                "job.toml:7:1",
                "unknown key `conncurrency`",
                "^^^^^^^^^^^^",
                "did you mean `concurrency`?",
                "job.toml:8:8",
                "rate = \"10/x\"",
            ],
        );
        assert!(!shown.contains('\u{1b}'), "colours on a pipe: {shown}");
        assert!(output.stdout.is_empty());
        assert_eq!(names(&place), ["job.toml"]);
        assert!(api.seen().is_empty());
    }
}

#[test]
fn mistakes_of_every_kind_name_their_place() {
    let place = Place::new();
    let head = "[ids]\nlist = [\"a\"]\n[request]\nurl = \"https://x.invalid/{id}\"\n";
    let out = "[output]\npath = \"out.ndjson\"\n";
    let cases = [
        (
            format!("{head}[outptu]\npath = \"x.ndjson\"\n"),
            "did you mean [output]",
        ),
        (format!("{head}{out}record = \"boddy\"\n"), "body"),
        (
            format!("{head}[output]\npath = \"out.xlsx\"\n"),
            "job.toml:6",
        ),
        (
            format!("{head}{out}[limits]\nconcurrency = 0\n"),
            "job.toml:8",
        ),
        (
            format!("{head}{out}[limits]\nconcurrency = \"8\"\n"),
            "job.toml:8",
        ),
        (
            format!("{head}{out}[output.columns]\nid = \"$.[\"\n"),
            "job.toml:8",
        ),
        (format!("{head}{out}[retry\n"), "job.toml:7"),
        (
            format!("[request]\nurl = \"https://x.invalid/{{id}}\"\n{out}"),
            "[ids]",
        ),
        (
            format!("[ids]\nlist = [\"a\"]\n[request]\nurl = \"https://x.invalid/a\"\n{out}"),
            "{id}",
        ),
        (
            format!("[ids]\nlist = [\"a\"]\n[request]\nurl = \"ftp://x.invalid/{{id}}\"\n{out}"),
            "job.toml:4",
        ),
    ];
    for (text, word) in cases {
        let job = place.write("job.toml", &text);
        let output = run(&job, &[]);
        assert_exit(&output, 2);
        says(&stderr(&output), &["error: ", word]);
        assert_eq!(names(&place), ["job.toml"]);
    }
}

#[test]
fn a_wrong_command_line_is_2() {
    let place = Place::new();
    let api = api();
    let job = place.write("job.toml", &job(&api, "list = [\"a\"]", OUT, ""));
    for wrong in [
        &["--rate", "fast"][..],
        &["--concurrency", "0"],
        &["--limit", "many"],
        &["--progress", "loud"],
        &["--nonsense"],
    ] {
        let output = run(&job, wrong);
        assert_exit(&output, 2);
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
    }
    assert_exit(&run(&place.path("missing.toml"), &[]), 2);
    assert_exit(&harvest().output().unwrap(), 2);
    assert!(api.seen().is_empty());
    for fine in ["--help", "--version"] {
        let output = harvest().arg(fine).output().unwrap();
        assert_exit(&output, 0);
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn a_missing_variable_names_the_key() {
    let api = api();
    let place = Place::new();
    let auth = "[auth]\ntype = \"bearer\"\ntoken = \"${HARVEST_TEST_UNSET}\"";
    let job = place.write("job.toml", &job(&api, "list = [\"a\"]", OUT, auth));
    let output = run(&job, &[]);
    assert_exit(&output, 2);
    says(
        &stderr(&output),
        &["HARVEST_TEST_UNSET", "`token`", "job.toml:"],
    );
    assert!(api.seen().is_empty());
    assert_eq!(names(&place), ["job.toml"]);

    // The environment, and a .env beside the job file.
    place.write(".env", "HARVEST_TEST_UNSET=from-dot-env\n");
    assert_exit(&run(&job, &[]), 0);
    assert_eq!(
        api.seen()[0].header("authorization"),
        Some("Bearer from-dot-env")
    );
    let output = harvest()
        .arg(&job)
        .args(["--fresh", "--yes"])
        .env("HARVEST_TEST_UNSET", "from-environment")
        .output()
        .unwrap();
    assert_exit(&output, 0);
    assert_eq!(
        api.seen()[1].header("authorization"),
        Some("Bearer from-environment")
    );
}

// Commands.

#[test]
fn check_and_status_send_nothing() {
    let api = api();
    let place = Place::new();
    let text = job(&api, "list = [\"a\", \"b\", \"a\", \"no1\"]", OUT, FAST);
    let job = place.write("job.toml", &text);
    let of = |command: &str| {
        let output = harvest().arg(command).arg(&job).output().unwrap();
        assert_exit(&output, 0);
        assert!(output.stderr.is_empty());
        stdout(&output)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };

    says(
        &of("check"),
        &["valid", "items 3", "done 0", "left 3", "200/s", "1 repeats"],
    );
    says(&of("status"), &["not begun"]);
    assert_eq!(names(&place), ["job.toml"]);
    assert!(api.seen().is_empty());

    assert_exit(&run(&job, &["--limit", "2"]), 0);
    says(&of("check"), &["items 3", "done 2", "left 1"]);
    says(&of("status"), &["stopped", "records 2"]);
    assert_exit(&run(&job, &[]), 3);
    says(&of("check"), &["items 3", "done 3", "left 0"]);
    says(
        &of("status"),
        &["finished", "records 2", "failed 1 (not_found 1)"],
    );
    assert_eq!(api.seen().len(), 3);
}

#[test]
fn status_while_another_process_runs_it() {
    let api = Raw::start(|_, _| {
        std::thread::sleep(Duration::from_secs(1));
        ok("{}")
    });
    let place = Place::new();
    let job = place.write(
        "job.toml",
        &job(
            &api,
            "list = [\"a\", \"b\", \"c\"]",
            OUT,
            "[limits]\nconcurrency = 1",
        ),
    );
    let mut child = harvest().arg(&job).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while api.seen().len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = harvest().arg("status").arg(&job).output().unwrap();
    // A second run stops, and names the first.
    let second = run(&job, &[]);
    let pid = child.id().to_string();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_exit(&status, 0);
    says(&stdout(&status), &["running", &pid]);
    assert_exit(&second, 1);
    says(&stderr(&second), &[&pid]);
    assert_eq!(place.lines("out.ndjson").len(), 3);
    assert_eq!(api.seen().len(), 3);
}

#[test]
fn a_starter_is_a_valid_job() {
    for kind in ["generic", "spotify", "github", "api-key"] {
        let place = Place::new();
        let output = harvest()
            .args(["init", kind])
            .current_dir(place.path("."))
            .output()
            .unwrap();
        assert_exit(&output, 0);
        let written = names(&place);
        assert_eq!(written.len(), 1, "{written:?}");
        let text = place.read(&written[0]);
        says(&text, &["[ids]", "[request]", "[output]", "# "]);
        // Every kind runs against the embedded API, without credentials.
        let output = harvest()
            .args([&written[0], "--sandbox"])
            .current_dir(place.path("."))
            .output()
            .unwrap();
        assert!(
            matches!(output.status.code(), Some(0 | 2)),
            "{}",
            told(&output)
        );
        if output.status.code() == Some(2) {
            // It may name a list that the person has yet to make.
            says(&stderr(&output), &["ids"]);
        }
        // What is there is left as it is.
        let again = harvest()
            .args(["init", kind])
            .current_dir(place.path("."))
            .output()
            .unwrap();
        assert_exit(&again, 2);
        assert_eq!(place.read(&written[0]), text);
        let shown = harvest().args(["init", kind, "-o", "-"]).output().unwrap();
        assert_exit(&shown, 0);
        assert_eq!(stdout(&shown), text);
    }
}

#[test]
fn the_schema_is_json() {
    let output = harvest().arg("schema").output().unwrap();
    assert_exit(&output, 0);
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    for section in [
        "ids",
        "request",
        "auth",
        "limits",
        "retry",
        "output",
        "checkpoint",
    ] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}

// Options of a run.

#[test]
fn a_finished_job_sends_nothing_and_exits_as_before() {
    for (list, code) in [("list = [\"a\", \"b\"]", 0), ("list = [\"a\", \"no\"]", 3)] {
        let api = api();
        let place = Place::new();
        let job = place.write("job.toml", &job(&api, list, OUT, FAST));
        assert_exit(&run(&job, &[]), code);
        let files: Vec<_> = names(&place)
            .iter()
            .map(|n| fs::read(place.path(n)).unwrap())
            .collect();
        let again = run(&job, &[]);
        assert_exit(&again, code);
        says(&stderr(&again), &["nothing"]);
        assert_eq!(api.seen().len(), 2);
        let after: Vec<_> = names(&place)
            .iter()
            .map(|n| fs::read(place.path(n)).unwrap())
            .collect();
        assert_eq!(files[..2], after[..2]);
    }
}

#[test]
fn a_limit_is_of_what_is_left() {
    let api = api();
    let place = Place::new();
    let list = "list = [\"a\", \"b\", \"no1\", \"c\", \"d\", \"e\"]";
    let job = place.write("job.toml", &job(&api, list, OUT, FAST));

    let first = run(&job, &["--limit", "2"]);
    assert_exit(&first, 0);
    says(&stderr(&first), &["--limit", "to go on: harvest"]);
    assert_eq!(ids(&place.json_lines("out.ndjson")), ["a", "b"]);
    // The exit code speaks of these two: one failed.
    assert_exit(&run(&job, &["--limit", "2"]), 3);
    assert_eq!(ids(&place.json_lines("out.ndjson")), ["a", "b", "c"]);
    // … and of this one, which did not.
    assert_exit(&run(&job, &["--limit", "1"]), 0);
    assert_exit(&run(&job, &["--limit", "0"]), 0);
    assert_eq!(api.seen().len(), 5);
    assert_exit(&run(&job, &[]), 3);
    place.assert_exactly_once("out.ndjson", ["a", "b", "no1", "c", "d", "e"]);
    assert_eq!(api.seen().len(), 6);
}

#[test]
fn output_is_relative_to_the_working_directory() {
    let api = api();
    let place = Place::new();
    fs::create_dir(place.path("jobs")).unwrap();
    fs::create_dir(place.path("here")).unwrap();
    place.write("jobs/ids.txt", "a\nb\n");
    let job = place.write(
        "jobs/job.toml",
        &job(&api, "file = \"ids.txt\"", "path = \"in-job.ndjson\"", FAST),
    );
    let output = harvest()
        .arg(&job)
        .args(["--output", "given.ndjson"])
        .current_dir(place.path("here"))
        .output()
        .unwrap();
    assert_exit(&output, 0);
    assert_eq!(ids(&place.json_lines("here/given.ndjson")), ["a", "b"]);
    assert!(!place.path("jobs/in-job.ndjson").exists());
    // The job's own, relative to the job file.
    let output = harvest()
        .arg(&job)
        .current_dir(place.path("here"))
        .output()
        .unwrap();
    assert_exit(&output, 0);
    assert_eq!(ids(&place.json_lines("jobs/in-job.ndjson")), ["a", "b"]);
}

#[test]
fn stdout_gets_the_records_and_nothing_else() {
    let api = api();
    let place = Place::new();
    let list = "list = [\"a\", \"no1\", \"b\"]";
    let text = job(&api, list, "path = \"-\"", FAST);
    let job_file = place.write("job.toml", &text);
    let output = run(&job_file, &["--log-level", "trace"]);
    assert_exit(&output, 3);
    let text = stdout(&output);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["{\"id\":\"a\"}", "{\"id\":\"b\"}"]);
    assert!(text.ends_with('\n'));
    // Nothing else is written, but a failure has to be told.
    says(&stderr(&output), &["not_found"]);
    assert_eq!(names(&place), ["job.toml"]);
    // --output - does the same for another job.
    let other = place.write("other.toml", &job(&api, list, OUT, FAST));
    let output = run(&other, &["--output", "-"]);
    assert_exit(&output, 3);
    assert_eq!(stdout(&output).lines().count(), 2);
    assert_eq!(names(&place), ["job.toml", "other.toml"]);
}

/// Nobody reads on: the run ends, and does not panic.
#[test]
fn a_closed_stdout_ends_the_run() {
    let api = api();
    let place = Place::new();
    let list: Vec<String> = (0..400).map(|n| format!("i{n}")).collect();
    let text = job(&api, &format!("list = {list:?}"), "path = \"-\"", FAST);
    let job = place.write("job.toml", &text);
    let mut child = harvest()
        .arg(&job)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 1);
    assert!(!stderr(&output).contains("panicked"), "{}", told(&output));
    assert!(api.seen().len() < 400);
}

/// Closed before it began: nothing is sent for records that would go nowhere.
#[cfg(target_os = "linux")]
#[test]
fn a_stdout_that_was_closed_is_told_before_anything_is_sent() {
    let api = api();
    let place = Place::new();
    let list = "list = [\"a\", \"b\"]";
    let job_file = place.write("job.toml", &job(&api, list, "path = \"-\"", FAST));
    let shell = |line: &str| {
        let harvest = harvest();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", line, "sh"]).arg(harvest.get_program());
        shell.arg(&job_file);
        shell.output().unwrap()
    };
    for line in ["\"$1\" \"$2\" >&-", "\"$1\" \"$2\" <&- >&-"] {
        let output = shell(line);
        assert_exit(&output, 1);
        says(&stderr(&output), &["stdout", "closed"]);
        assert_eq!(api.seen().len(), 0, "{line}");
    }
    // Who throws the records away does so.
    for line in [
        "\"$1\" \"$2\" >/dev/null",
        "\"$1\" \"$2\" 1<>/dev/null",
        "\"$1\" \"$2\" | cat",
    ] {
        assert_exit(&shell(line), 0);
    }
    assert_eq!(api.seen().len(), 6);
    // A file does not need it.
    let to_file = place.write("file.toml", &job(&api, list, OUT, FAST));
    let line = format!("\"$1\" '{}' >&-", to_file.display());
    assert_exit(&shell(&line), 0);
}

#[test]
fn ids_come_from_stdin() {
    let api = api();
    let place = Place::new();
    let job = place.write("job.toml", &job(&api, "file = \"-\"", OUT, FAST));
    let mut child = harvest()
        .arg(&job)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all("\u{feff}a\r\n\n  b  \n# no item\na\nc".as_bytes())
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 0);
    assert_eq!(ids(&place.json_lines("out.ndjson")), ["a", "b", "c"]);
    says(&stderr(&output), &["1 listed again"]);
}

/// Whoever writes into the pipe need not write 256 lines before one is fetched.
#[test]
fn each_line_of_a_pipe_is_fetched_as_it_comes() {
    let api = api();
    let place = Place::new();
    let job = place.write("job.toml", &job(&api, "file = \"-\"", OUT, FAST));
    let mut child = harvest()
        .arg(&job)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for n in 1..=3 {
        writeln!(stdin, "line{n}").unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while api.count(&format!("line{n}")) == 0 {
            assert!(Instant::now() < deadline, "line {n} is not fetched");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn ids_come_from_each_kind_of_file() {
    let api = api();
    let cases = [
        ("l.txt", "# list\r\na\r\n\r\n b \r\n", ""),
        (
            "l.csv",
            "name,\"the id\"\n\"x, y\",a\n,b\n",
            "column = \"the id\"",
        ),
        ("l.tsv", "\u{feff}id\tname\na\tx\nb\ty\n", "column = \"id\""),
        (
            "l.ndjson",
            "{\"t\":{\"id\":\"a\"}}\n\n{\"t\":{\"id\":\"b\"}}\n",
            "field = \"$.t.id\"",
        ),
    ];
    for (name, content, more) in cases {
        let place = Place::new();
        place.write(name, content);
        let job = place.write(
            "job.toml",
            &job(&api, &format!("file = \"{name}\"\n{more}"), OUT, FAST),
        );
        let output = run(&job, &[]);
        assert_exit(&output, 0);
        assert_eq!(ids(&place.json_lines("out.ndjson")), ["a", "b"], "{name}");
    }
    // A wrong column names those that are there; bad UTF-8 names its line.
    let place = Place::new();
    place.write("l.csv", "track_id,name\na,b\n");
    let text = job(&api, "file = \"l.csv\"\ncolumn = \"trackid\"", OUT, FAST);
    let output = run(&place.write("job.toml", &text), &[]);
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "{}",
        told(&output)
    );
    says(&stderr(&output), &["trackid", "track_id"]);
    fs::write(place.path("l.txt"), b"a\nb\n\xff\n").unwrap();
    let text = job(&api, "file = \"l.txt\"", OUT, FAST);
    let output = run(&place.write("job2.toml", &text), &["--output", "-"]);
    assert_exit(&output, 1);
    says(&stderr(&output), &["l.txt", "line 3"]);
}

#[test]
fn fresh_asks_first() {
    let api = api();
    let place = Place::new();
    let job = place.write("job.toml", &job(&api, "list = [\"a\", \"no1\"]", OUT, FAST));
    // Nothing to lose: nothing to ask.
    assert_exit(&run(&job, &["--fresh"]), 3);
    let before = place.read("out.ndjson");

    let output = run(&job, &["--fresh"]);
    assert_exit(&output, 2);
    says(&stderr(&output), &["--yes"]);
    assert_eq!(api.seen().len(), 2);
    assert_eq!(place.read("out.ndjson"), before);
    assert_eq!(place.lines("out.ndjson.failed.ndjson").len(), 1);

    assert_exit(&run(&job, &["--fresh", "--yes"]), 3);
    assert_eq!(api.seen().len(), 4);
    place.assert_exactly_once("out.ndjson", ["a", "no1"]);
}

#[test]
fn rate_and_concurrency_override_the_job() {
    let names: Vec<String> = (0..12).map(|n| format!("i{n}")).collect();
    let slow = Raw::start(|_, _| {
        std::thread::sleep(Duration::from_millis(100));
        ok("{}")
    });
    let place = Place::new();
    let text = job(
        &slow,
        &format!("list = {names:?}"),
        OUT,
        "[limits]\nrate = \"1/h\"\nconcurrency = 8",
    );
    let job = place.write("job.toml", &text);
    let output = run(&job, &["--rate", "unlimited", "--concurrency", "1"]);
    assert_exit(&output, 0);
    let seen = slow.seen();
    // One at a time: each begins after the last was answered.
    for pair in seen.windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_millis(95));
    }
    // Two quotas: 3/s among them holds.
    let before = seen.len();
    let output = harvest()
        .arg(&job)
        .args(["--rate", "100/s", "--rate", "3/s", "--concurrency", "4"])
        .args(["--limit", "7", "--output", "b.ndjson"])
        .current_dir(place.path("."))
        .output()
        .unwrap();
    assert_exit(&output, 0);
    let seen = slow.seen();
    assert_eq!(seen.len() - before, 7);
    let took = seen[seen.len() - 1].at - seen[before].at;
    assert!(
        took >= Duration::from_millis(1900),
        "7 requests at 3/s took {took:?}"
    );
}

#[test]
fn several_jobs_run_one_after_another() {
    let api = api();
    let place = Place::new();
    let one = place.write(
        "one.toml",
        &job(&api, "list = [\"a\", \"b\"]", "path = \"one.ndjson\"", FAST),
    );
    let two = place.write(
        "two.toml",
        &job(&api, "list = [\"no1\"]", "path = \"two.ndjson\"", FAST),
    );
    let three = place.write(
        "three.toml",
        &job(&api, "list = [\"c\"]", "path = \"three.ndjson\"", FAST),
    );
    let output = harvest()
        .arg("run")
        .args([&one, &two, &three])
        .output()
        .unwrap();
    assert_exit(&output, 3);
    let asked: Vec<String> = api.seen().iter().map(|r| r.last().to_owned()).collect();
    assert_eq!(asked[2..], ["no1", "c"]);
    assert_eq!(ids(&place.json_lines("three.ndjson")), ["c"]);

    // A mistake in one of them: nothing is sent for any.
    let wrong = place.write("wrong.toml", "[ids]\n");
    let four = place.write(
        "four.toml",
        &job(&api, "list = [\"d\"]", "path = \"four.ndjson\"", FAST),
    );
    let output = harvest().arg("run").args([&four, &wrong]).output().unwrap();
    assert_exit(&output, 2);
    assert_eq!(api.seen().len(), 4);
    assert!(!place.path("four.ndjson").exists());
}

#[test]
fn quiet_is_quiet() {
    let api = api();
    let place = Place::new();
    let job = place.write("job.toml", &job(&api, "list = [\"a\", \"no1\"]", OUT, FAST));
    let output = run(&job, &["--quiet"]);
    assert_exit(&output, 3);
    assert_eq!(told(&output), "exit Some(3)\n--- stdout\n\n--- stderr\n");
    // Errors are told all the same.
    let output = run(&place.path("missing.toml"), &["--quiet"]);
    assert_exit(&output, 2);
    assert!(!output.stderr.is_empty());
}

#[test]
fn nothing_on_a_pipe_is_for_a_terminal() {
    let slow = Raw::start(|_, _| {
        std::thread::sleep(Duration::from_millis(300));
        ok("{}")
    });
    for mode in ["auto", "plain", "off"] {
        let place = Place::new();
        let job = place.write(
            "job.toml",
            &job(
                &slow,
                "list = [\"a\", \"b\", \"c\", \"d\"]",
                OUT,
                "[limits]\nconcurrency = 1",
            ),
        );
        let output = run(&job, &["--progress", mode, "--log-level", "trace"]);
        assert_exit(&output, 0);
        let shown = stderr(&output);
        assert!(
            !shown.contains('\u{1b}') && !shown.contains('\r'),
            "{mode}: {shown:?}"
        );
        assert!(!shown.contains('█') && !shown.contains('━'), "{shown}");
        says(&shown, &["finished"]);
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn log_lines_can_be_json() {
    let api = api();
    let place = Place::new();
    let job = place.write("job.toml", &job(&api, "list = [\"no1\"]", OUT, FAST));
    let output = run(
        &job,
        &[
            "--log-level",
            "info",
            "--log-format",
            "json",
            "--progress",
            "off",
        ],
    );
    assert_exit(&output, 3);
    let shown = stderr(&output);
    let logged: Vec<Value> = shown
        .lines()
        .filter(|l| l.starts_with('{'))
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert!(logged.iter().any(|l| l["level"] == "INFO"), "{shown}");
}

// What the API refuses.

#[test]
fn all_forbidden_is_the_credentials_fault() {
    for items in [3, 60] {
        let api = Raw::start(|_, _| {
            answer(
                "403 Forbidden",
                "",
                "{\"error\":{\"message\":\"no scope\"}}",
            )
        });
        let place = Place::new();
        let list: Vec<String> = (0..items).map(|n| format!("i{n}")).collect();
        let job = place.write(
            "job.toml",
            &job(&api, &format!("list = {list:?}"), OUT, FAST),
        );
        let output = run(&job, &[]);
        assert_exit(&output, 1);
        says(&stderr(&output), &["403", "no scope"]);
        assert!(place.lines("out.ndjson").is_empty());
        assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
        assert!(api.seen().len() < 60, "{} requests", api.seen().len());
        // Corrected, it goes on.
        let good = self::api();
        let text = place.read("job.toml").replace(&api.base(), &good.base());
        let job = place.write("job.toml", &text);
        let output = run(&job, &["--fresh", "--yes"]);
        assert_exit(&output, 0);
        place.assert_exactly_once("out.ndjson", list.iter().map(String::as_str));
    }
}

#[test]
fn some_forbidden_are_failures() {
    let api = Raw::start(|request, _| match request.last() {
        "i7" => ok("{\"id\":\"i7\"}"),
        _ => answer("403 Forbidden", "", "{}"),
    });
    let place = Place::new();
    let list: Vec<String> = (0..12).map(|n| format!("i{n}")).collect();
    let job = place.write(
        "job.toml",
        &job(&api, &format!("list = {list:?}"), OUT, FAST),
    );
    assert_exit(&run(&job, &[]), 3);
    place.assert_exactly_once("out.ndjson", list.iter().map(String::as_str));
    let failures = place.json_lines("out.ndjson.failed.ndjson");
    assert!(
        failures
            .iter()
            .all(|f| f["reason"] == "forbidden" && f["status"] == 403)
    );
}

// The forms of the output.

fn records() -> Raw {
    Raw::start(|request, _| {
        ok(match request.last() {
            "a" => "{\"id\":\"a\",\"n\":1.50,\"o\":{\"x\":true,\"y\":null},\"l\":[1, \"z\"]}",
            "b" => "{\"o\":{\"x\":false},\"n\":2,\"id\":\"b\",\"late\":1,\"o2\":{\"deep\":2}}",
            _ => "{\"id\":\"c, \\\"q\\\"\\nnew\\tline\",\"late\":2}",
        })
    })
}

fn table(path: &Path, delimiter: u8) -> Vec<Vec<String>> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .from_path(path)
        .unwrap()
        .records()
        .map(|row| row.unwrap().iter().map(str::to_owned).collect())
        .collect()
}

#[test]
fn csv_without_columns_takes_them_from_the_first_record() {
    let api = records();
    for (name, delimiter) in [("out.csv", b','), ("out.tsv", b'\t')] {
        let place = Place::new();
        let limits = "[limits]\nrate = \"100/s\"\nconcurrency = 1";
        let job = place.write(
            "job.toml",
            &job(
                &api,
                "list = [\"a\", \"b\", \"c\"]",
                &format!("path = \"{name}\""),
                limits,
            ),
        );
        // The columns are kept in the checkpoint: a resumed run has them too.
        assert_exit(&run(&job, &["--limit", "1"]), 0);
        let output = run(&job, &[]);
        assert_exit(&output, 0);
        let rows = table(&place.path(name), delimiter);
        assert_eq!(
            rows,
            [
                ["id", "n", "o.x", "o.y", "l"],
                ["a", "1.50", "true", "", "[1,\"z\"]"],
                ["b", "2", "false", "", ""],
                ["c, \"q\"\nnew\tline", "", "", "", ""],
            ]
        );
        says(
            &stderr(&output),
            &["not in the columns", "late (2)", "o2.deep (1)"],
        );
    }
}

#[test]
fn csv_columns_are_json_paths() {
    let api = records();
    let place = Place::new();
    let columns = "path = \"out.csv\"\n[output.columns]\nlist = \"$.l[*]\"\nx = \"$.o.x\"\nid = \"$.id\"\nobject = \"$.o\"";
    let limits = "[limits]\nrate = \"100/s\"\nconcurrency = 1";
    let job = place.write(
        "job.toml",
        &job(&api, "list = [\"a\", \"b\"]", columns, limits),
    );
    let output = run(&job, &[]);
    assert_exit(&output, 0);
    let rows = table(&place.path("out.csv"), b',');
    assert_eq!(
        rows,
        [
            ["list", "x", "id", "object"],
            ["1; z", "true", "a", "{\"x\":true,\"y\":null}"],
            ["", "false", "b", "{\"x\":false}"],
        ]
    );
}

#[test]
fn the_envelope_holds_the_body_as_it_came() {
    let api = Raw::start(|_, _| answer("201 Created", "", "{ \"n\": 1.50, \"n\": 1e400 }"));
    let place = Place::new();
    let out = "path = \"out.ndjson\"\nrecord = \"envelope\"";
    let job = place.write(
        "job.toml",
        &job(&api, "list = [\"a \\\"b\\\" é\"]", out, FAST),
    );
    assert_exit(&run(&job, &[]), 0);
    let line = place.read("out.ndjson");
    assert!(
        line.starts_with("{\"id\":\"a \\\"b\\\" é\",\"status\":201,\"fetched_at\":\""),
        "{line}"
    );
    assert!(
        line.ends_with(",\"body\":{\"n\":1.50,\"n\":1e400}}\n"),
        "{line}"
    );
    let at = line.split("\"fetched_at\":\"").nth(1).unwrap();
    let at = at.split('"').next().unwrap();
    assert!(humantime::parse_rfc3339(at).is_ok(), "{at}");
}

#[test]
fn repeats_can_be_fetched_each_time() {
    let api = api();
    let place = Place::new();
    let list = "list = [\"a\", \"b\", \"a\", \"a\"]\nrepeats = \"each\"";
    let job = place.write("job.toml", &job(&api, list, OUT, FAST));
    assert_exit(&run(&job, &["--limit", "3"]), 0);
    assert_exit(&run(&job, &[]), 0);
    assert_eq!(ids(&place.json_lines("out.ndjson")), ["a", "a", "a", "b"]);
    assert_eq!(api.seen().len(), 4);
    // Finished: nothing more is sent.
    assert_exit(&run(&job, &[]), 0);
    assert_eq!(api.seen().len(), 4);
}

#[test]
fn a_checkpoint_that_does_not_fit_is_refused() {
    let api = api();
    let place = Place::new();
    let text = job(&api, "list = [\"a\", \"b\"]", OUT, FAST);
    let job = place.write("job.toml", &text);
    assert_exit(&run(&job, &["--limit", "1"]), 0);
    let before = place.read("out.ndjson");
    // Other records are asked for.
    place.write(
        "job.toml",
        &text.replace("[output]", "query = { market = \"US\" }\n[output]"),
    );
    let output = run(&job, &[]);
    assert_exit(&output, 1);
    says(&stderr(&output), &["query", "--fresh"]);
    assert_eq!(place.read("out.ndjson"), before);
    assert_eq!(api.seen().len(), 1);
    // Pace, retries and the list may change.
    let other = text
        .replace("200/s", "100/s")
        .replace("\"b\"", "\"c\", \"b\"");
    place.write("job.toml", &other.replace("attempts = 2", "attempts = 3"));
    assert_exit(&run(&job, &[]), 0);
    place.assert_exactly_once("out.ndjson", ["a", "b", "c"]);
    assert_eq!(api.seen().len(), 3);
}

#[test]
fn the_embedded_api_needs_no_credentials() {
    let place = Place::new();
    let job = place.write(
        "job.toml",
        "[ids]\nlist = [\"11dFghVXANMlKmJXsNCbNl\"]\n[request]\nurl = \"https://api.spotify.com/v1/tracks/{id}\"\n\
         [auth]\ntype = \"client_credentials\"\ntoken_url = \"https://accounts.spotify.com/api/token\"\n\
         client_id = \"${SPOTIFY_CLIENT_ID}\"\nclient_secret = \"${SPOTIFY_CLIENT_SECRET}\"\n\
         [output]\npath = \"out.ndjson\"\n",
    );
    assert_exit(&run(&job, &[]), 2);
    let output = run(&job, &["--sandbox"]);
    assert_exit(&output, 0);
    says(&stderr(&output), &["embedded API", "127.0.0.1"]);
    assert_eq!(
        ids(&place.json_lines("out.ndjson")),
        ["11dFghVXANMlKmJXsNCbNl"]
    );
}
