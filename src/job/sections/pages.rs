//! `[request.pages]`: how an item's answer goes on.

use super::reader::{Field, Reader, Section, StandIn};
use crate::job::diagnostic::Diagnostic;
use crate::job::pages::{PageRecords, PageWay, Pages, selects_elements};
use serde_json_path::JsonPath;

pub(super) const KEYS: [&str; 13] = [
    "next",
    "cursor",
    "param",
    "offset",
    "limit",
    "page_size",
    "page",
    "first",
    "total",
    "items",
    "merge",
    "max_pages",
    "other_origins",
];

/// The keys that name a way; there must be exactly one.
const WAYS: [&str; 4] = ["next", "cursor", "offset", "page"];

const WAYS_HELP: &str = "one of: `next = \"$.next\"` (a URL in the body), `next = \"link\"` (the Link header), \
     `cursor = \"$.cursors.after\"` with `param`, `offset = \"offset\"`, `page = \"page\"`";

/// The names of the query parameters that the job sets itself are in `query`.
pub(super) fn read(reader: &mut Reader, field: &Field<'_>, query: &[&str]) -> Option<Pages> {
    let section = reader.subsection(field, "request.pages", &KEYS)?;
    let keys = Keys {
        table: field,
        section: &section,
        query,
    };
    let records = keys.records(reader);
    let way = keys.way(reader);
    let max_pages = match keys.get("max_pages") {
        Some(field) => reader.integer(field, 1, u32::MAX as usize).map(Some),
        None => Some(None),
    };
    let other_origins = match keys.get("other_origins") {
        Some(field) => reader.boolean(field),
        None => Some(false),
    };
    let (way, records) = (way?, records?);
    let counts = matches!(way, PageWay::Offset { .. } | PageWay::Page { .. });
    if counts && matches!(records, PageRecords::Bodies) {
        let message = "`items` or `merge` is missing in [request.pages]";
        let help = "it tells how many elements a page has, and so where the pages end: add `items = \"$.items\"` (`\"$\"` when the page itself is the array)";
        reader.push(Diagnostic::new(message).at(field.key.clone()).help(help));
        return None;
    }
    let links = matches!(way, PageWay::Next(_) | PageWay::Link);
    if let Some(field) = keys.get("other_origins").filter(|_| !links) {
        keys.only_with(reader, field, "next");
    }
    Some(Pages {
        way,
        records,
        max_pages: max_pages?.map(|most| most as u64),
        other_origins: other_origins?,
    })
}

/// The keys of the table.
struct Keys<'a, 't> {
    table: &'a Field<'t>,
    section: &'a Section<'t>,
    query: &'a [&'a str],
}

impl<'a, 't> Keys<'a, 't> {
    fn get(&self, name: &str) -> Option<&'a Field<'t>> {
        self.section.get(name)
    }

    fn records(&self, reader: &mut Reader) -> Option<PageRecords> {
        match (self.get("items"), self.get("merge")) {
            (None, None) => Some(PageRecords::Bodies),
            (Some(_), Some(merge)) => {
                let message = "`items` and `merge` are both there";
                let help = "`items` makes each element a record, `merge` makes one record of all pages: leave one out";
                reader.push(Diagnostic::new(message).at(merge.key.clone()).help(help));
                None
            }
            (Some(items), None) => reader.json_path(items).map(PageRecords::Items),
            (None, Some(merge)) => {
                let path = reader.json_path(merge)?;
                if selects_elements(&path) {
                    let help = "name the array itself: `merge = \"$.items\"`";
                    reader.impossible(merge, "`merge` must select one array", help);
                    return None;
                }
                Some(PageRecords::Merge(path))
            }
        }
    }

    fn way(&self, reader: &mut Reader) -> Option<PageWay> {
        let ways: Vec<&Field<'t>> = WAYS.iter().filter_map(|way| self.get(way)).collect();
        let (way, more) = match ways.as_slice() {
            [] => {
                let message = "[request.pages] does not say how the pages go on";
                let at = self.table.key.clone();
                reader.push(Diagnostic::new(message).at(at).help(WAYS_HELP));
                return None;
            }
            [way, more @ ..] => (*way, more),
        };
        if let Some(second) = more.first() {
            let message = format!("`{}` and `{}` are two ways to go on", way.name, second.name);
            let mistake = Diagnostic::new(message).at(second.key.clone());
            reader.push(mistake.help("leave one of them out"));
            return None;
        }
        let helpers: [(&str, &[&str]); 5] = [
            ("param", &["cursor"]),
            ("first", &["page"]),
            ("limit", &["offset", "page"]),
            ("page_size", &["offset", "page"]),
            ("total", &["offset", "page"]),
        ];
        for (helper, of) in helpers {
            if let Some(field) = self.get(helper).filter(|_| !of.contains(&way.name)) {
                self.only_with(reader, field, &of.join("` and `"));
            }
        }
        match way.name {
            "next" => self.next(reader, way),
            "cursor" => {
                let at = reader.json_path(way);
                let Some(param) = self.get("param") else {
                    let message = "`param` is missing in [request.pages]";
                    let help =
                        "`param = \"after\"` names the query parameter that takes the cursor";
                    reader.push(Diagnostic::new(message).at(way.key.clone()).help(help));
                    return None;
                };
                let param = self.parameter(reader, param);
                Some(PageWay::Cursor {
                    at: at?,
                    param: param?,
                })
            }
            "offset" => {
                let (param, numbers) = (self.parameter(reader, way), self.numbers(reader));
                let (limit, total) = numbers?;
                Some(PageWay::Offset {
                    param: param?,
                    limit,
                    total,
                })
            }
            _ => {
                let (param, numbers) = (self.parameter(reader, way), self.numbers(reader));
                let first = match self.get("first") {
                    Some(field) => reader.integer(field, 0, u32::MAX as usize)?,
                    None => 1,
                };
                let (limit, total) = numbers?;
                Some(PageWay::Page {
                    param: param?,
                    first: first as u64,
                    limit,
                    total,
                })
            }
        }
    }

    fn next(&self, reader: &mut Reader, field: &Field<'_>) -> Option<PageWay> {
        let text = reader.text(field, StandIn::Never)?.value();
        if text.eq_ignore_ascii_case("link") {
            return Some(PageWay::Link);
        }
        if !text.starts_with('$') {
            let help =
                "`\"$.next\"` is the JSONPath of a URL in the body, `\"link\"` is the Link header";
            reader.impossible(field, "`next` must be a JSONPath or \"link\"", help);
            return None;
        }
        reader.json_path(field).map(PageWay::Next)
    }

    /// `limit` with `page_size`, and `total`.
    #[expect(clippy::type_complexity, reason = "two keys that may be absent")]
    fn numbers(&self, reader: &mut Reader) -> Option<(Option<(String, u64)>, Option<JsonPath>)> {
        let size = match self.get("page_size") {
            Some(field) => Some(reader.integer(field, 1, u32::MAX as usize)?),
            None => None,
        };
        let limit = match (self.get("limit"), size) {
            (Some(field), size) => {
                let param = self.parameter(reader, field)?;
                Some((param, size.unwrap_or(DEFAULT_SIZE) as u64))
            }
            (None, None) => None,
            (None, Some(_)) => {
                let message = "`limit` is missing in [request.pages]";
                let help = "`limit = \"limit\"` names the query parameter that takes `page_size`";
                let at = self.get("page_size").map(|field| field.key.clone());
                let mut mistake = Diagnostic::new(message).help(help);
                mistake.span = at;
                reader.push(mistake);
                return None;
            }
        };
        let total = match self.get("total") {
            Some(field) => Some(reader.json_path(field)?),
            None => None,
        };
        Some((limit, total))
    }

    /// The name of a query parameter.
    fn parameter(&self, reader: &mut Reader, field: &Field<'_>) -> Option<String> {
        let name = reader.full_text(field, StandIn::Never)?.value();
        if name.starts_with('$') {
            let help = "a query parameter's name, such as \"offset\", \"page\" or \"after\"";
            reader.impossible(
                field,
                &format!("`{}` is no JSONPath here", field.name),
                help,
            );
            return None;
        }
        if self.query.contains(&name.as_str()) {
            let message = format!("the query parameter `{name}` is set in [request] `query`, too");
            reader.impossible(field, &message, "leave it out there: the pages set it");
            return None;
        }
        Some(name)
    }

    fn only_with(&self, reader: &mut Reader, field: &Field<'_>, ways: &str) {
        let message = format!("`{}` goes with `{ways}` only", field.name);
        reader.push(Diagnostic::new(message).at(field.key.clone()));
    }
}

/// Elements a page, when `page_size` is absent.
const DEFAULT_SIZE: usize = 50;
