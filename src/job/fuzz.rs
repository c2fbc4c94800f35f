//! What must hold for any job file, any `.env`, and any ID in any URL.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a body fails by panicking"
)]

use super::decode::decode;
use super::interpolate::{Piece, Text, parse_dot_env};
use super::{Environment, Job, JobError, LoadOptions, Rate, Template, UrlTemplate};
use crate::fuzzing::first_line;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// What `${SECRET}` brings: text that must be neither shown nor read as a template.
const SECRET: &str = "hunter2 {id} ${SECRET} \"\n[auth]";

/// The bytes of a job file: a mistake is told with its place and without a
/// secret; an accepted job is what the file says.
pub fn job_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return; // refused before it gets to the parser
    };
    if text.contains("file:") || text.contains("key_file") {
        return; // the files of this machine are not to be read
    }
    let read = |sandbox| {
        let options = LoadOptions {
            sandbox,
            environment: Environment::of([("SECRET", SECRET), ("EMPTY", "")]),
            ..LoadOptions::default()
        };
        decode(Path::new("nowhere/x.toml"), text, &options)
    };
    let (job, tried) = (read(false), read(true));
    for result in [&job, &tried] {
        match result {
            Ok(job) => accepted(text, job),
            Err(error) => refused(text, error),
        }
    }
    // The sandbox asks for less, never for more.
    assert!(job.is_err() || tried.is_ok(), "{tried:?}");
}

fn refused(text: &str, error: &JobError) {
    assert!(!error.diagnostics().is_empty());
    for color in [false, true] {
        let shown = error.render(color);
        assert!(shown.contains("x.toml"), "{shown}");
        let known = text.contains("hunter2");
        assert!(known || !shown.contains("hunter2"), "{shown}");
    }
    for mistake in error.diagnostics() {
        assert!(!mistake.message.is_empty());
    }
}

fn accepted(text: &str, job: &Job) {
    let known = text.contains("hunter2");
    assert!(known || !format!("{job:?}").contains("hunter2"));
    let root = DeTable::parse(text).unwrap();
    let said = |section: &str, key: &str| match root.get_ref().get(section)?.get_ref() {
        DeValue::Table(table) => table.get(key).map(|value| value.get_ref().clone()),
        _ => None,
    };
    let url = said("request", "url").unwrap();
    assert_eq!(url.as_str(), Some(job.request.url.raw()));
    if let Some(DeValue::Array(list)) = said("ids", "list") {
        assert_eq!(list.len(), job.ids.list.len());
    }
    if let Some(DeValue::Integer(number)) = said("limits", "concurrency") {
        let number = usize::from_str_radix(number.as_str(), number.radix());
        assert_eq!(number, Ok(job.limits.concurrency));
    }
    if let Some(DeValue::Table(columns)) = said("output", "columns") {
        let mut names: Vec<&str> = job.output.columns.iter().map(|(n, _)| n.as_str()).collect();
        names.sort_unstable();
        let said: Vec<&str> = columns.keys().map(|key| key.get_ref().as_ref()).collect();
        assert_eq!(names, said);
    }
    assert!((1..=10_000).contains(&job.limits.concurrency));
    for rate in &job.limits.rates {
        assert!(rate.count > 0 && !rate.window.is_zero());
        assert_eq!(rate.to_string().parse::<Rate>().as_ref(), Ok(rate));
    }
    let retry = job.retry;
    assert!(retry.attempts > 0 && !retry.backoff_first.is_zero());
    assert!(retry.backoff_first <= retry.backoff_last);
    assert!(!job.checkpoint.every.is_zero() && !job.request.timeout.is_zero());
    if let Ok(url) = job.request.url.build("a", &job.request.query) {
        let origin = url.origin().ascii_serialization();
        assert_eq!(origin, job.request.url.origin());
    }
}

/// A `.env` file: a bad line is told by its number and never shown.
pub fn dot_env(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return; // refused before it gets to the parser
    };
    if text.matches('$').count() > 8 {
        return; // values that double each other: the user's own bomb, in the user's own file
    }
    let Err(reason) = parse_dot_env(text) else {
        return;
    };
    let number = reason
        .strip_prefix(", line ")
        .and_then(|rest| rest.strip_suffix(": not `NAME=value`"));
    match number {
        Some(number) => {
            let number: usize = number.parse().unwrap();
            assert!(number >= 1 && number <= 1 + text.matches('\n').count());
        }
        None => assert_eq!(reason, ": not lines of `NAME=value`"),
    }
}

/// A URL template, then an ID: the ID ends up in its hole and nowhere else.
pub fn item_url(bytes: &[u8]) {
    let Some((template, id)) = first_line(bytes) else {
        return;
    };
    if template.contains("{+") {
        return; // asks for the characters that make segments and pairs
    }
    let Ok(id) = std::str::from_utf8(id) else {
        return;
    };
    let typed = |text: &str| Text {
        raw: text.to_owned(),
        pieces: vec![Piece::Typed(text.to_owned())],
    };
    let Ok(template) = UrlTemplate::new(&typed(template)) else {
        return;
    };
    let Ok(plain) = template.build("a", &[]) else {
        return;
    };
    assert_eq!(plain.origin().ascii_serialization(), template.origin());
    let Ok(url) = template.build(id, &[]) else {
        return;
    };
    assert_eq!(url.origin(), plain.origin());
    assert_eq!(reqwest::Url::parse(url.as_str()).as_ref(), Ok(&url));
    assert!(url.fragment().is_none() && url.username().is_empty());
    let segments = |url: &reqwest::Url| url.path_segments().map(Iterator::count);
    assert_eq!(segments(&url), segments(&plain), "{url}");
    assert_eq!(
        url.query_pairs().count(),
        plain.query_pairs().count(),
        "{url}"
    );
    let value = Template::new(&typed("x{id}&")).unwrap_or_else(|_| panic!("a good template"));
    let Ok(url) = template.build(id, &[("k".to_owned(), value)]) else {
        return; // too long by that
    };
    let (name, value) = url.query_pairs().last().unwrap();
    assert_eq!((&*name, &*value), ("k", &*format!("x{id}&")));
}
