//! The oracle bites: what a broken program could leave is found out.

use crate::committed::Committed;
use crate::oracle::{Form, Truth};
use std::collections::HashMap;
use std::rc::Rc;

const COLUMNS: &[(&str, &str)] = &[("id", "id"), ("name", "name")];
const FORMS: [Form; 4] = [
    Form::Body,
    Form::Envelope,
    Form::Delimited(b',', COLUMNS),
    Form::Delimited(b'\t', &[]),
];

/// A server that has `a` to `e`, sent all but `e`, and has no `x404`.
struct Told;

impl Truth for Told {
    fn body(&self, id: &str) -> Result<Rc<[u8]>, String> {
        match id {
            "a" | "b" | "c" | "d" => Ok(body(id).as_bytes().into()),
            _ => Err("never sent".to_owned()),
        }
    }

    fn missing(&self, id: &str) -> bool {
        id == "x404"
    }

    fn span(&self) -> (f64, f64) {
        (1_000.0, 2_000.0)
    }
}

fn body(id: &str) -> String {
    format!(r#"{{"id":"{id}","name":"{id}, \"ü\"","n":1.50}}"#)
}

const FAILURE: &str = r#"{"id":"x404","status":404,"reason":"not_found","message":"HTTP 404","attempts":1,"at":"1970-01-01T00:20:00.000Z"}"#;

/// The lines of a good output, the header row first.
fn lines(form: Form, ids: &[&str]) -> Vec<String> {
    let record = |id: &&str| match form {
        Form::Body => body(id),
        Form::Envelope => format!(
            r#"{{"id":"{id}","status":200,"fetched_at":"1970-01-01T00:20:00.000Z","body":{}}}"#,
            body(id)
        ),
        Form::Delimited(b',', _) => format!("{id},\"{id}, \"\"ü\"\"\""),
        Form::Delimited(..) => format!("{id}\t\"{id}, \"\"ü\"\"\"\t1.50"),
    };
    let header = match form {
        Form::Delimited(b',', _) => Some("id,name"),
        Form::Delimited(..) => Some("id\tname\tn"),
        _ => None,
    };
    header
        .map(str::to_owned)
        .into_iter()
        .chain(ids.iter().map(record))
        .collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The judgement of a finished harvest of `a`, `b`, `c`, `e` and `x404`, of
/// which `status` says so many records and failures.
fn judge(form: Form, counts: (usize, usize), output: &str, failures: &str) -> Result<(), String> {
    let wanted = ["a", "b", "c", "x404"].map(|id| (id.to_owned(), 1));
    let wanted: HashMap<String, u32> = wanted.into_iter().collect();
    let files = (output.as_bytes(), failures.as_bytes());
    let mut committed = Committed::new(form);
    committed.advance(counts, files, &wanted, &Told)?;
    committed.complete(files, &wanted)
}

#[track_caller]
fn assert_found(problem: &str, judged: Result<(), String>) {
    let found = judged.expect_err(problem);
    assert!(found.contains(problem), "{found}, and not: {problem}");
}

fn failure() -> String {
    format!("{FAILURE}\n")
}

#[test]
fn a_good_harvest_passes() {
    for form in FORMS {
        let output = text(&lines(form, &["b", "a", "c"]));
        judge(form, (3, 1), &output, &failure()).unwrap();
    }
}

#[test]
fn a_lost_item_is_found() {
    for form in FORMS {
        let output = text(&lines(form, &["a", "c"]));
        assert_found("has 0 fates", judge(form, (2, 1), &output, &failure()));
        assert_found(
            "are said to be there",
            judge(form, (3, 1), &output, &failure()),
        );
        let all = text(&lines(form, &["a", "b", "c"]));
        assert_found("has 0 fates", judge(form, (3, 0), &all, ""));
    }
}

#[test]
fn an_item_twice_is_found() {
    for form in FORMS {
        let output = text(&lines(form, &["a", "b", "c", "b"]));
        assert_found("has 2 fates", judge(form, (4, 1), &output, &failure()));
        let all = text(&lines(form, &["a", "b", "c"]));
        assert_found(
            "has 2 fates",
            judge(form, (3, 2), &all, &failure().repeat(2)),
        );
        // More in the files than the checkpoint knows of.
        assert_found("has", judge(form, (3, 1), &output, &failure()));
        assert_found("has more", judge(form, (3, 1), &all, &failure().repeat(2)));
    }
}

#[test]
fn a_torn_line_is_found() {
    for form in FORMS {
        let mut good = lines(form, &["a", "b", "c"]);
        let whole = text(&good);
        for cut in [1, 3, 9] {
            let torn = &whole[..whole.len() - cut];
            judge(form, (3, 1), torn, &failure()).unwrap_err();
            judge(form, (2, 1), torn, &failure()).unwrap_err();
        }
        assert_found(
            "torn",
            judge(form, (3, 1), &whole[..whole.len() - 1], &failure()),
        );
        assert_found("torn", judge(form, (3, 1), &whole, FAILURE));
        // In the midst: the rest of a line that was overtaken by the next one.
        let at = good.len() - 2;
        good[at].truncate(5);
        judge(form, (3, 1), &text(&good), &failure()).unwrap_err();
        let merged = text(&good).replacen(&format!("{}\n", good[at]), &good[at], 1);
        judge(form, (3, 1), &merged, &failure()).unwrap_err();
        judge(form, (2, 1), &merged, &failure()).unwrap_err();
        // Zeros, as after a power loss.
        good[at] = "\0".repeat(40);
        judge(form, (3, 1), &text(&good), &failure()).unwrap_err();
    }
}

#[test]
fn an_item_that_nobody_asked_for_is_found() {
    for form in FORMS {
        let output = text(&lines(form, &["a", "b", "c", "d"]));
        assert_found("never asked for", judge(form, (4, 1), &output, &failure()));
        let invented = text(&lines(form, &["a", "b", "c", "e"]));
        assert_found("never sent", judge(form, (4, 1), &invented, &failure()));
    }
}

#[test]
fn another_body_than_the_server_sent_is_found() {
    for form in FORMS {
        let good = text(&lines(form, &["a", "b", "c"]));
        let other = good.replace("b, ", "b,  ");
        assert_ne!(other, good);
        assert!(judge(form, (3, 1), &other, &failure()).is_err());
        // The body of one under the name of another.
        if form != Form::Body {
            let mut swapped = lines(form, &["a", "b", "c"]);
            let last = swapped.len() - 1;
            swapped[last] = swapped[last].replacen('c', "b", 1);
            swapped[last - 1] = swapped[last - 1].replacen('b', "c", 1);
            judge(form, (3, 1), &text(&swapped), &failure()).unwrap_err();
        }
    }
    // Rounded, or with white space.
    for (from, to) in [("1.50", "1.5"), ("\"n\":", "\"n\": ")] {
        let other = text(&lines(Form::Body, &["a", "b", "c"])).replacen(from, to, 1);
        assert_found(
            "not what the server sent",
            judge(Form::Body, (3, 1), &other, &failure()),
        );
    }
}

#[test]
fn a_wrong_failure_or_envelope_is_found() {
    let output = text(&lines(Form::Body, &["a", "b", "c"]));
    for (from, to) in [
        ("404,", "500,"),
        ("not_found", "timeout"),
        ("\"HTTP 404\"", "\"\""),
        ("00:20", "00:40"),
    ] {
        let other = failure().replacen(from, to, 1);
        assert_ne!(other, failure());
        judge(Form::Body, (3, 1), &output, &other).unwrap_err();
    }
    // Failed, though the server has it.
    let failed = failure() + &failure().replace("x404", "c");
    let output = text(&lines(Form::Body, &["a", "b"]));
    assert_found(
        "no answer of the server",
        judge(Form::Body, (2, 2), &output, &failed),
    );
    let output = text(&lines(Form::Envelope, &["a", "b", "c"]));
    for (from, to) in [("200", "201"), ("00:20", "00:40"), ("status", "state")] {
        judge(
            Form::Envelope,
            (3, 1),
            &output.replacen(from, to, 1),
            &failure(),
        )
        .unwrap_err();
    }
}

#[test]
fn a_change_to_what_was_committed_is_found() {
    for form in FORMS {
        let wanted = ["a", "b", "c"].map(|id| (id.to_owned(), 1));
        let wanted: HashMap<String, u32> = wanted.into_iter().collect();
        let first = text(&lines(form, &["a", "b"]));
        let begin = || {
            let mut committed = Committed::new(form);
            committed
                .advance((2, 0), (first.as_bytes(), b""), &wanted, &Told)
                .unwrap();
            committed
        };
        let go_on = |counts, output: String| {
            begin().advance(counts, (output.as_bytes(), b""), &wanted, &Told)
        };
        go_on((3, 0), text(&lines(form, &["a", "b", "c"]))).unwrap();
        assert_found(
            "has changed",
            go_on((3, 0), text(&lines(form, &["b", "a", "c"]))),
        );
        assert_found("has changed", go_on((2, 0), text(&lines(form, &["a"]))));
        assert_found("there were 2", go_on((1, 0), text(&lines(form, &["a"]))));
        assert!(begin().has("a", &wanted) && !begin().has("c", &wanted));
    }
}
