//! An item whose answer comes in pages: where each page is, and what is in it.
//!
//! Owns the ways from one page to the next. Keeps nothing: where an item stands
//! is told to it ([`PageCursor`]). Must never let a credential into a [`Next`]: it
//! may end in the checkpoint; nor follow a link to another origin unless the
//! job says so, nor from https to plain http ("Secrets stay secret").

mod kept;
mod link;
mod paging;
mod ways;

use super::classify::{Answer, Trouble, Verdict};
use crate::job::{self, PageRecords, PageWay};
use crate::json::{Query, elements, is_null};
use crate::outcome::{Reason, Record};
use crate::pace::Signal;
use crate::transport::holds;
use kept::Slots;
pub(super) use paging::{Ended, Paging};
use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};
use serde_json_path::JsonPath;
use std::ops::Range;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// A shorter secret can't be told from a word of a link.
const SHORTEST: usize = 8;

/// Where an item stands.
#[derive(Debug, Clone, Default)]
pub struct PageCursor {
    /// What to ask for; `None` is the first page.
    pub next: Option<Next>,
    /// Pages before that.
    pub pages: u64,
    /// Elements in them.
    pub elements: u64,
}

/// What a page is asked for by. Holds no credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A URL, marks in the place of credentials.
    Url {
        /// As `Slots::mask` spells it.
        text: String,
        /// It, or one before it, led away from the job's origin: nothing of the
        /// job's goes along.
        away: bool,
    },
    /// A cursor.
    Cursor(String),
    /// An offset or the number of a page.
    Number(u64),
}

impl Next {
    /// As the checkpoint keeps it.
    pub fn kept(&self) -> String {
        match self {
            Next::Url { text, away: false } => format!("url:{text}"),
            Next::Url { text, away: true } => format!("away:{text}"),
            Next::Cursor(text) => format!("cursor:{text}"),
            Next::Number(number) => format!("number:{number}"),
        }
    }

    /// From the checkpoint; `None` when it is not ours.
    pub fn from_kept(kept: &str) -> Option<Next> {
        let (kind, text) = kept.split_once(':')?;
        let text = text.to_owned();
        match kind {
            "url" => Some(Next::Url { text, away: false }),
            "away" => Some(Next::Url { text, away: true }),
            "cursor" => Some(Next::Cursor(text)),
            "number" => text.parse().ok().map(Next::Number),
            _ => None,
        }
    }

    /// Tells places apart.
    pub fn hash(&self) -> u64 {
        xxh3_64(self.kept().as_bytes())
    }
}

/// One page.
#[derive(Debug)]
pub struct PageAnswer {
    /// The whole body.
    pub record: Record,
    /// Where the records or the elements to be merged are in it; `None`: the body is the record.
    pub elements: Option<Vec<Range<usize>>>,
    /// Where the array is that is merged.
    pub array: Option<Range<usize>>,
    /// Tells this page's place apart, as [`Next::hash`] does.
    pub here: u64,
    /// Tells the elements of this page from those of another one.
    pub content: u64,
    /// What to ask for next; `None`: it is the last.
    pub next: Option<Next>,
}

/// What one request was about, beside its answer.
pub(super) struct PageRequest<'a> {
    pub(super) place: &'a PageCursor,
    /// The item's own URL, the first page's.
    pub(super) home: &'a Url,
    /// What was asked for at last, redirects followed.
    pub(super) url: &'a Url,
    /// Credentials went along.
    pub(super) trusted: bool,
    pub(super) slots: &'a Slots,
    /// What must not be kept.
    pub(super) secrets: &'a [Vec<u8>],
}

/// How a job's pages are asked for and read.
#[derive(Debug)]
pub(super) struct Pages {
    way: Way,
    /// Where the elements are.
    elements: Option<Elements>,
    merge: bool,
    max_pages: Option<u64>,
    other_origins: bool,
}

#[derive(Debug)]
enum Way {
    Next(Query),
    Link,
    Cursor { at: Query, param: String },
    Offset(Numbers),
    Page { numbers: Numbers, first: u64 },
}

/// Parameters that count.
#[derive(Debug)]
struct Numbers {
    param: String,
    /// The parameter for a page's length, and the length.
    limit: Option<(String, u64)>,
    total: Option<Query>,
}

#[derive(Debug)]
struct Elements {
    query: Query,
    /// The path selects the elements, not arrays of them.
    each: bool,
}

/// Why a page is none, or the next one can't be had.
struct Bad(Reason, String);

impl Pages {
    pub(super) fn new(pages: &job::Pages) -> Pages {
        let numbers =
            |param: &String, limit: &Option<(String, u64)>, total: &Option<JsonPath>| Numbers {
                param: param.clone(),
                limit: limit.clone(),
                total: total.as_ref().map(Query::new),
            };
        let way = match &pages.way {
            PageWay::Next(path) => Way::Next(Query::new(path)),
            PageWay::Link => Way::Link,
            PageWay::Cursor { at, param } => Way::Cursor {
                at: Query::new(at),
                param: param.clone(),
            },
            PageWay::Offset {
                param,
                limit,
                total,
            } => Way::Offset(numbers(param, limit, total)),
            PageWay::Page {
                param,
                first,
                limit,
                total,
            } => Way::Page {
                numbers: numbers(param, limit, total),
                first: *first,
            },
        };
        let path = match &pages.records {
            PageRecords::Bodies => None,
            PageRecords::Items(path) | PageRecords::Merge(path) => Some(path),
        };
        Pages {
            way,
            elements: path.map(|path| Elements {
                query: Query::new(path),
                each: job::selects_elements(path),
            }),
            merge: matches!(pages.records, PageRecords::Merge(_)),
            max_pages: pages.max_pages,
            other_origins: pages.other_origins,
        }
    }

    /// The Link header fields, where the job goes by them.
    pub(super) fn links(&self, headers: &HeaderMap) -> Vec<Vec<u8>> {
        match self.way {
            Way::Link => headers
                .get_all(LINK)
                .iter()
                .map(|value| value.as_bytes().to_vec())
                .collect(),
            _ => Vec::new(),
        }
    }

    /// What an answer means, now that the pages are looked at.
    pub(super) fn judge(
        &self,
        answer: Answer,
        asked: &PageRequest<'_>,
        links: &[Vec<u8>],
    ) -> Answer {
        let Answer {
            verdict: Verdict::Record(record),
            mut signal,
            bytes,
        } = answer
        else {
            return answer;
        };
        let status = Some(record.status);
        let verdict = match self.read(record, asked, links) {
            Ok(page) => Verdict::Page(Box::new(page)),
            Err(Bad(reason, message)) => {
                let trouble = Trouble::new(status, reason, message);
                // Where pages were good before, this one may be better the next time.
                if reason == Reason::MalformedBody && asked.place.pages > 0 {
                    signal = Signal::Neutral;
                    Verdict::Again(trouble)
                } else {
                    Verdict::Failed(trouble)
                }
            }
        };
        Answer {
            signal,
            verdict,
            bytes,
        }
    }

    fn read(
        &self,
        record: Record,
        asked: &PageRequest<'_>,
        links: &[Vec<u8>],
    ) -> Result<PageAnswer, Bad> {
        let body = &record.body;
        let (mut ranges, mut array) = (None, None);
        let mut content = Xxh3::new();
        if let Some(at) = &self.elements {
            let (elements, only) = self.elements(at, body)?;
            array = only;
            let found = elements.into_iter().map(|element| {
                content.update(element);
                range_in(body, element)
            });
            ranges = Some(found.collect::<Vec<_>>());
        }
        let count = ranges.as_ref().map_or(0, Vec::len) as u64;
        let over = self
            .max_pages
            .is_some_and(|most| asked.place.pages + 1 >= most);
        let next = match over {
            true => None,
            false => self.next(body, asked, links, count)?,
        };
        Ok(PageAnswer {
            here: match &asked.place.next {
                Some(next) => next.hash(),
                None => Next::Url {
                    text: asked.slots.mask(asked.url),
                    away: false,
                }
                .hash(),
            },
            content: content.digest(),
            elements: ranges,
            array,
            next,
            record,
        })
    }

    /// The elements of a body, and the place of the array that is merged.
    #[expect(
        clippy::type_complexity,
        reason = "a list of slices, and perhaps a place"
    )]
    fn elements<'b>(
        &self,
        at: &Elements,
        body: &'b [u8],
    ) -> Result<(Vec<&'b [u8]>, Option<Range<usize>>), Bad> {
        let path = at.query.path();
        let bad = |message: String| Bad(Reason::MalformedBody, message);
        let found = at
            .query
            .select(body)
            .map_err(|error| bad(format!("the page can't be read: {error}")))?;
        if at.each {
            return Ok((found, None));
        }
        // An error in the place of a page would pass for an empty one.
        if found.is_empty() {
            return Err(bad(format!(
                "the page has nothing at `{path}`; if that is how the API says “none”, write `{path}[*]`"
            )));
        }
        if self.merge && found.len() > 1 {
            return Err(bad(format!(
                "the page has {} values at `{path}`, and one array can be merged",
                found.len()
            )));
        }
        let mut all = Vec::new();
        for array in &found {
            match elements(array) {
                Some(elements) => all.extend(elements),
                None if is_null(array) => {}
                None => return Err(bad(format!("what the page has at `{path}` is no array"))),
            }
        }
        let only = found.first().map(|array| range_in(body, array));
        Ok((all, only.filter(|_| self.merge)))
    }
}

/// The place of a part of the body.
fn range_in(body: &[u8], part: &[u8]) -> Range<usize> {
    let from = (part.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    from..from + part.len()
}

/// Whether a text that would be kept holds a credential.
fn holds_any(text: &str, secrets: &[Vec<u8>]) -> bool {
    let long = secrets.iter().filter(|secret| secret.len() >= SHORTEST);
    holds(text, long.map(Vec::as_slice))
}

#[cfg(test)]
mod tests;
