//! `[request.pages]` as validated values.

use serde_json_path::JsonPath;

/// `[request.pages]`: how an item's answer goes on, page after page.
#[derive(Debug, Clone)]
pub struct Pages {
    /// From one page to the next.
    pub way: PageWay,
    /// What becomes a record.
    pub records: PageRecords,
    /// `max_pages`: of one item; what comes after them is not asked for.
    pub max_pages: Option<u64>,
    /// `other_origins`: a link to another origin is followed, without credentials.
    pub other_origins: bool,
}

/// From one page to the next.
#[derive(Debug, Clone)]
pub enum PageWay {
    /// `next`: the URL at this path, absolute or relative.
    Next(JsonPath),
    /// `next = "link"`: the Link header's `rel="next"` (RFC 8288).
    Link,
    /// `cursor` and `param`: the value at this path goes into the parameter.
    Cursor {
        /// Where it is.
        at: JsonPath,
        /// The query parameter it is sent in.
        param: String,
    },
    /// `offset`: the number of elements so far goes into the parameter.
    Offset {
        /// The query parameter.
        param: String,
        /// `limit` and `page_size`: the parameter for a page's length, and the length.
        limit: Option<(String, u64)>,
        /// `total`: where the number of all elements is.
        total: Option<JsonPath>,
    },
    /// `page`: the page's number goes into the parameter.
    Page {
        /// The query parameter.
        param: String,
        /// `first`: the first page's number.
        first: u64,
        /// `limit` and `page_size`, as with an offset.
        limit: Option<(String, u64)>,
        /// `total`, as with an offset.
        total: Option<JsonPath>,
    },
}

/// What becomes a record.
#[derive(Debug, Clone)]
pub enum PageRecords {
    /// Each page.
    Bodies,
    /// `items`: each element of the arrays at this path.
    Items(JsonPath),
    /// `merge`: one record, the first page with the elements of all in its array at this path.
    Merge(JsonPath),
}

impl PageWay {
    /// The way in a few words, with the names that the job gives.
    pub fn told(&self) -> String {
        match self {
            PageWay::Next(path) => format!("next = {path}"),
            PageWay::Link => "next = link".to_owned(),
            PageWay::Cursor { at, param } => format!("cursor = {at}, param = {param}"),
            PageWay::Offset {
                param,
                limit,
                total,
            } => format!("offset = {param}{}", numbers(limit, total)),
            PageWay::Page {
                param,
                first,
                limit,
                total,
            } => format!("page = {param}, first = {first}{}", numbers(limit, total)),
        }
    }
}

impl PageRecords {
    /// What becomes a record, in a few words.
    pub fn told(&self) -> String {
        match self {
            PageRecords::Bodies => "each page".to_owned(),
            PageRecords::Items(path) => format!("items = {path}"),
            PageRecords::Merge(path) => format!("merge = {path}"),
        }
    }
}

fn numbers(limit: &Option<(String, u64)>, total: &Option<JsonPath>) -> String {
    let limit = limit
        .as_ref()
        .map(|(param, size)| format!(", limit = {param}, page_size = {size}"));
    let total = total.as_ref().map(|path| format!(", total = {path}"));
    [limit, total].into_iter().flatten().collect()
}

/// Whether the path selects elements (`$.items[*]`) and not an array of them (`$.items`).
pub(crate) fn selects_elements(path: &JsonPath) -> bool {
    let path = path.to_string();
    path.ends_with("*]") || path.ends_with(".*")
}
