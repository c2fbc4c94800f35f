//! A paged API over scripted bytes: pages of five elements, by every way.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing
)]

use crate::raw::{Reply, Req, answer, ok};
use std::ops::Range;

/// Elements of a page.
pub const SIZE: u64 = 5;

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub base: String,
    pub id: String,
    /// From 0, by whatever parameter says so.
    pub page: u64,
}

impl Asked {
    pub fn of(request: &Req) -> Asked {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let mut page = 0;
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "at" | "after" => page = value.trim_start_matches("c%2F").parse().unwrap(),
                "page" => page = value.parse::<u64>().unwrap() - 1,
                "from" => {
                    // The last page is short, and what comes after it empty.
                    page = value.parse::<u64>().unwrap().div_ceil(SIZE);
                }
                _ => {}
            }
        }
        Asked {
            base: format!("http://{}", request.header("host").unwrap()),
            id: path.rsplit('/').next().unwrap().to_owned(),
            page,
        }
    }
}

/// The elements, as they are to be recorded: byte for byte, numbers too.
pub fn elements_of(id: &str, range: Range<u64>) -> Vec<String> {
    range
        .map(|n| format!("{{\"id\":\"{id}-{n}\",\"n\":{n}.00,\"é\":[\"\\u00e9]\",1.50E0]}}"))
        .collect()
}

/// The page that is asked for, of `total` elements; `more`: further members.
pub fn page_of(asked: &Asked, total: u64, more: &str) -> String {
    let from = (asked.page * SIZE).min(total);
    let elements = elements_of(&asked.id, from..(from + SIZE).min(total));
    // White space that no record keeps.
    format!(
        "{{ \"total\": {total},\n \"items\": [ {} ]{more} }}",
        elements.join(" ,\n ")
    )
}

/// The page, with the next one by the way of this name.
pub fn listing(asked: &Asked, way: &str, total: u64) -> Reply {
    let next = asked.page + 1;
    let last = next * SIZE >= total;
    let (base, id) = (&asked.base, &asked.id);
    let (more, header) = match way {
        _ if last => (",\"next\":null,\"after\":null".to_owned(), String::new()),
        "next" => (
            format!(",\"next\":\"{base}/items/{id}?at={next}\""),
            String::new(),
        ),
        "relative" => (format!(",\"next\":\"?at={next}#part\""), String::new()),
        "cursor" => (format!(",\"after\":\"c/{next}\""), String::new()),
        "link" => (
            String::new(),
            format!("Link: </items/{id}?at=0>; rel=\"first\", <?at={next}>; rel=\"next\"\r\n"),
        ),
        _ => (String::new(), String::new()),
    };
    let body = page_of(asked, total, &more);
    match header.is_empty() {
        true => ok(body),
        false => answer("200 OK", &header, body),
    }
}
