//! The lines of an item whose answer comes in pages.
//!
//! Owns what a page leaves behind, and the resume point: where an item stands of
//! which a part is written already. Must never hold a credential: a resume point ends
//! in the checkpoint.

use super::{Record, Validators};
use bytes::Bytes;
use std::ops::Range;
use std::time::SystemTime;

/// Pages of one item, to be written together.
#[derive(Debug, Clone, Default)]
pub struct Pages {
    /// In their order.
    pub pages: Vec<Page>,
    /// Where the item goes on, when it is not done with these.
    pub resume_point: Option<ResumePoint>,
}

/// What one page has to be written of.
#[derive(Debug, Clone)]
pub struct Page {
    /// HTTP status, 200 to 299.
    pub status: u16,
    /// When the body was complete.
    pub fetched_at: SystemTime,
    /// Valid JSON in UTF-8 without insignificant white space.
    pub body: Bytes,
    /// The places of the records in the body; `None`: the body is the record.
    pub elements: Option<Vec<Range<usize>>>,
}

/// Where an item stands of which the first pages are in the output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResumePoint {
    /// Pages so far.
    pub pages: u64,
    /// Elements in them.
    pub elements: u64,
    /// Records of them in the output.
    pub records: u64,
    /// The hash of an earlier page's place, to know a loop by (Brent's algorithm).
    pub marker: u64,
    /// What to ask for next, as [`crate::fetch`] spells it; without credentials.
    pub next: String,
}

impl Pages {
    /// Every record, in order. Their bodies share the pages' bytes.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.pages.iter().flat_map(Page::records)
    }

    /// How many records there are.
    pub fn count(&self) -> u64 {
        self.pages.iter().map(|page| page.len() as u64).sum()
    }

    /// Bytes of all bodies.
    pub fn bytes(&self) -> usize {
        self.pages.iter().map(|page| page.body.len()).sum()
    }
}

impl Page {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.elements.as_ref().map_or(1, Vec::len)
    }

    /// Whether there is no record at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn records(&self) -> impl Iterator<Item = Record> + '_ {
        (0..self.len()).filter_map(|at| {
            let body = match &self.elements {
                None => self.body.clone(),
                // A range that does not fit is no line: fetch made it from this body.
                Some(elements) => {
                    let range = elements.get(at)?.clone();
                    self.body.get(range.clone())?;
                    self.body.slice(range)
                }
            };
            Some(Record {
                status: self.status,
                fetched_at: self.fetched_at,
                body,
                validators: Validators::default(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn records_are_the_elements_or_else_the_bodies() {
        let page = |body: &'static str, elements| Page {
            status: 200,
            fetched_at: UNIX_EPOCH,
            body: Bytes::from_static(body.as_bytes()),
            elements,
        };
        let pages = Pages {
            pages: vec![
                page("[1,{\"a\":2}]", Some(vec![1..2, 3..10])),
                page("[]", Some(vec![])),
                page("{\"b\":[]}", None),
                page("[3]", Some(vec![1..2, 1..9])),
            ],
            resume_point: None,
        };
        let bodies: Vec<_> = pages.records().map(|record| record.body).collect();
        assert_eq!(bodies, ["1", "{\"a\":2}", "{\"b\":[]}", "3"]);
        assert_eq!(pages.bytes(), 11 + 2 + 8 + 3);
    }
}
