//! `[request.batch]`: how one request asks for several items.

use super::reader::{Field, Reader};
use super::request::read_url;
use crate::job::diagnostic::Diagnostic;
use crate::job::{Batch, Matching, UrlTemplate, json_path};
use serde_json_path::JsonPath;

const KEYS: &[&str] = &["size", "separator", "items", "key", "match", "single"];

/// More than any API takes.
const LARGEST: usize = 10_000;

pub(super) fn read(reader: &mut Reader, field: &Field<'_>) -> Option<Batch> {
    let section = reader.subsection(field, "request.batch", KEYS)?;
    let size = reader
        .required(&section, "size", "size = 50")
        .and_then(|field| reader.integer(field, 1, LARGEST));
    let separator = section.optional("separator", ",".to_owned(), |field| {
        let text = reader.string(field)?;
        if text.is_empty() {
            let help = "`separator = \",\"` is the default";
            reader.impossible(field, "`separator` is empty", help);
            return None;
        }
        Some(text)
    });
    let whole = json_path("$").ok()?;
    let items = section.optional("items", whole, |field| reader.json_path(field));
    let key = section.optional("key", None, |field| reader.json_path(field).map(Some));
    let words = [("key", false), ("position", true)];
    let position = section.optional("match", None, |field| {
        reader.choice(field, &words).map(Some)
    });
    let single = section.optional("single", None, |field| read_url(reader, field).map(Some));
    let matching = matching(reader, field, &key?, position?);
    Some(Batch {
        size: size?,
        separator: separator?,
        items: items?,
        matching: matching?,
        single: single?,
    })
}

fn matching(
    reader: &mut Reader,
    field: &Field<'_>,
    key: &Option<JsonPath>,
    position: Option<bool>,
) -> Option<Matching> {
    let (message, help) = match (key, position) {
        (Some(key), None | Some(false)) => return Some(Matching::Key(key.clone())),
        (None, Some(true)) => return Some(Matching::Position),
        (Some(_), Some(true)) => (
            "`key` and `match = \"position\"` are two ways to tell which element is whose",
            "leave one of them out",
        ),
        (None, _) => (
            "[request.batch] does not say which element is whose",
            "add `key = \"$.id\"`, or `match = \"position\"` where the answer keeps the order of the IDs",
        ),
    };
    reader.push(
        Diagnostic::new(message)
            .at(field.key.clone())
            .help(help.to_owned()),
    );
    None
}

/// What `single` must have in common with `url`.
pub(super) fn check_single(
    reader: &mut Reader,
    field: &Field<'_>,
    url: &UrlTemplate,
    batch: &Batch,
) {
    let Some(single) = &batch.single else {
        return;
    };
    let (message, help) = if !single.has_id() || single.has_ids() {
        (
            "`single` asks for one item, so it has `{id}` and no `{ids}`",
            "single = \"https://api.example.com/items/{id}\"",
        )
    } else if single.origin() != url.origin() {
        // The credentials are for `url`'s origin.
        (
            "`single` must have the scheme, host and port of `url`",
            "an API on another host wants a job of its own",
        )
    } else {
        return;
    };
    reader.push(
        Diagnostic::new(message)
            .at(field.key.clone())
            .help(help.to_owned()),
    );
}
