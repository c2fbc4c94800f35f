//! `[request]`: how one item is asked for.

use super::batch;
use super::body;
use super::pages;
use super::reader::{Field, Reader, Section, StandIn};
use crate::job::diagnostic::Diagnostic;
use crate::job::template::{IDS, Template, UrlMistake};
use crate::job::units::{LONGEST, parse_size};
use crate::job::{Body, Method, Request, UrlTemplate};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json_path::JsonPath;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;
use toml::de::DeTable;

const URL_EXAMPLE: &str = "url = \"https://api.example.com/items/{id}\"";

/// The request, and where its parts stand in the file.
pub(super) struct RequestPart {
    pub(super) value: Request,
    pub(super) url: Range<usize>,
    /// The key of each of the request's headers, in their order.
    pub(super) headers: Vec<Range<usize>>,
}

pub(super) fn read(reader: &mut Reader, root: &DeTable<'_>) -> Option<RequestPart> {
    let section = reader.section(root, "request");
    let url_field = reader.required(&section, "url", URL_EXAMPLE);
    let url = url_field.and_then(|field| read_url(reader, field));
    let words = [("GET", Method::Get), ("POST", Method::Post)];
    let method = section.optional("method", Method::Get, |field| reader.choice(field, &words));
    let query = section.optional("query", Vec::new(), |field| {
        pairs(reader, field, |reader, pair| {
            if pair.name.is_empty() {
                let mistake = Diagnostic::new("a query parameter needs a name");
                reader.push(mistake.at(pair.key.clone()));
            }
            reader.template(pair)
        })
    });
    let headers = section.optional("headers", Vec::new(), |field| {
        pairs(reader, field, read_header)
    });
    let over_zero = Duration::from_nanos(1)..=LONGEST;
    let timeout = section.optional("timeout", Duration::from_secs(30), |field| {
        reader.duration(field, over_zero, "over 0")
    });
    let max_body = section.optional("max_body", 16 << 20, |field| {
        let size = reader.unit(field, parse_size)?;
        if size == 0 {
            reader.impossible(field, "`max_body` must be over 0", "16 MiB is the default");
        }
        Some(size)
    });
    let batch = section.optional("batch", None, |field| batch::read(reader, field).map(Some));
    let body = body::read(reader, &section, method);
    let fail_when = read_condition(reader, &section, "fail_when");
    let retry_when = read_condition(reader, &section, "retry_when");
    let (url, query, headers, body) = (url?, query?, headers?, body?);
    let asked = url.names().chain(values(&query)).map(str::to_owned);
    let asked = asked.chain(body.iter().flat_map(Body::names).map(str::to_owned));
    let mut variables: BTreeSet<String> = asked.collect();
    let holes = Holes {
        id: variables.iter().any(|name| name != IDS),
        ids: variables.contains(IDS),
        body: body.is_some(),
    };
    // Without a list, the job is one item: a plain listing.
    let has_items = root.get("ids").is_some() || values(&headers).next().is_some();
    if let Some(field) = url_field
        && (has_items || holes.ids || section.get("batch").is_some())
    {
        check_holes(reader, field, &holes, section.get("batch").is_some());
    }
    if let (Some(field), Some(Some(batch))) = (section.get("batch"), &batch) {
        batch::check_single(reader, field, &url, batch);
    }
    let pages = section.optional("pages", None, |field| {
        let names: Vec<&str> = query.iter().map(|pair| pair.name.as_str()).collect();
        pages::read(reader, field, &names).map(Some)
    });
    if let (Some(field), Some(_)) = (section.get("pages"), section.get("batch")) {
        let message = "[request.batch] and [request.pages] can't go together";
        let help = "leave one of them out: the answer to a batch is one page";
        reader.push(Diagnostic::new(message).at(field.key.clone()).help(help));
    }
    variables.extend(values(&headers).map(str::to_owned));
    // Each of a batch's items is called by its ID.
    if variables.remove(IDS) {
        variables.insert("id".to_owned());
    }
    for (index, header) in headers.iter().enumerate() {
        let same = |other: &Pair| other.name.eq_ignore_ascii_case(&header.name);
        if headers.iter().take(index).any(same) {
            let message = format!("header `{}` is there twice", header.name);
            reader.push(Diagnostic::new(message).at(header.key.clone()));
        }
    }
    Some(RequestPart {
        url: url_field?.span(),
        headers: headers.iter().map(|pair| pair.key.clone()).collect(),
        value: Request {
            url,
            method: method?,
            query: query.into_iter().map(Pair::into_value).collect(),
            headers: headers.into_iter().map(Pair::into_value).collect(),
            body,
            variables: variables.into_iter().collect(),
            fail_when: fail_when?,
            retry_when: retry_when?,
            timeout: timeout?,
            max_body: max_body?,
            batch: batch?,
            pages: pages?,
        },
    })
}

/// The holes in the values of pairs.
fn values(pairs: &[Pair]) -> impl Iterator<Item = &str> {
    pairs.iter().flat_map(|pair| pair.value.names())
}

/// A JSONPath that finds something in a body that means failure.
fn read_condition(
    reader: &mut Reader,
    section: &Section<'_>,
    name: &str,
) -> Option<Option<JsonPath>> {
    let Some(field) = section.get(name) else {
        return Some(None);
    };
    let path = reader.json_path(field)?;
    if path.to_string() == "$" {
        let message = format!("`{name}` finds something in every body");
        reader.impossible(field, &message, "name what only an error has: `$.errors`");
        return None;
    }
    Some(Some(path))
}

/// Which holes the URL, the query and the body have.
struct Holes {
    /// Of a variable.
    id: bool,
    ids: bool,
    /// There is a body that may have some.
    body: bool,
}

fn check_holes(reader: &mut Reader, url: &Field<'_>, holes: &Holes, batch: bool) {
    let (message, help) = match (holes.id, holes.ids, batch) {
        (false, false, false) => (
            "there is no `{id}` in `url` or in the values of `query`",
            match holes.body {
                false => "put it in, or leave [ids] out: a plain listing is one item",
                true => "nor a hole in the body; a value's whole text may be one: `\"{id}\"`",
            },
        ),
        (_, true, false) => (
            "`{ids}` is for batches, and there is no [request.batch]",
            "write `{id}`, or add `[request.batch]` with `size`, `items` and `key`",
        ),
        (_, false, true) => (
            "with [request.batch], `{ids}` must be in `url`, in the values of `query` or in the body",
            "url = \"https://api.example.com/items?ids={ids}\"",
        ),
        (true, true, true) => (
            "`{id}` and `{ids}` are both there: a request is for one item or for several",
            "leave `{id}` to `single` in [request.batch]",
        ),
        (true, false, false) | (false, true, true) => return,
    };
    reader.impossible(url, message, help);
}

struct Pair {
    name: String,
    key: Range<usize>,
    value: Template,
}

impl Pair {
    fn into_value(self) -> (String, Template) {
        (self.name, self.value)
    }
}

/// A table of names and templates, in the file's order.
fn pairs(
    reader: &mut Reader,
    field: &Field<'_>,
    read: impl Fn(&mut Reader, &Field<'_>) -> Option<Template>,
) -> Option<Vec<Pair>> {
    let fields = reader.table(field)?;
    let values: Vec<Option<Pair>> = fields
        .iter()
        .map(|pair| {
            read(reader, pair).map(|value| Pair {
                name: pair.name.to_owned(),
                key: pair.key.clone(),
                value,
            })
        })
        .collect();
    values.into_iter().collect()
}

fn read_header(reader: &mut Reader, field: &Field<'_>) -> Option<Template> {
    if HeaderName::from_bytes(field.name.as_bytes()).is_err() {
        let mistake = Diagnostic::new("this is not a header's name");
        let help = "a name has letters, digits and `-`, such as `Accept-Language`";
        reader.push(mistake.at(field.key.clone()).help(help));
    }
    let value = reader.template(field)?;
    if HeaderValue::from_str(&value.expand_value("x")).is_err() {
        let message = format!("the value of header `{}` cannot be sent", field.name);
        let help = "a header's value is visible ASCII on one line";
        reader.impossible(field, &message, help);
        return None;
    }
    Some(value)
}

/// A URL with its holes.
pub(super) fn read_url(reader: &mut Reader, field: &Field<'_>) -> Option<UrlTemplate> {
    let text = reader.text(field, StandIn::Never)?;
    let mistake = match UrlTemplate::new(&text) {
        Ok(url) => return Some(url),
        Err(UrlMistake::Hole(error)) => {
            reader.bad_hole(field, &error);
            return None;
        }
        Err(mistake) => explain(&mistake),
    };
    let message = mistake.0.replace("`url`", &format!("`{}`", field.name));
    reader.impossible(field, &message, mistake.1);
    None
}

/// A mistake in a URL, in words: what, and what to do.
fn explain(mistake: &UrlMistake) -> (String, &'static str) {
    let (message, help) = match mistake {
        UrlMistake::Syntax(reason) => {
            return (format!("`url` is not a URL: {reason}"), URL_EXAMPLE);
        }
        UrlMistake::Hole(_) => ("`url` is not a URL", URL_EXAMPLE),
        UrlMistake::Scheme => (
            "`url` must begin with `https://` or `http://` and a host",
            URL_EXAMPLE,
        ),
        UrlMistake::Credentials => (
            "`url` holds a user or password",
            "credentials belong in [auth]: `type = \"basic\"`",
        ),
        UrlMistake::Characters => (
            "`url` holds a space, a control character or a backslash",
            "percent-encode it: a space is `%20`",
        ),
        UrlMistake::Fragment => (
            "`url` has a fragment (`#…`), which is never sent",
            "leave it out, or write `%23` for a literal `#`",
        ),
        UrlMistake::IdInOrigin => (
            "`{id}` cannot be in the scheme, host or port of `url`",
            "put it in the path or the query",
        ),
        UrlMistake::CutEscape => (
            "`{id}` stands just after a `%` in `url`",
            "write `%25` for a literal `%`",
        ),
        UrlMistake::IdFolded => (
            "`{id}` stands where `..` takes it away again",
            "write the path without `..`",
        ),
    };
    (message.to_owned(), help)
}
