//! An item in its midst: its pages so far, and what the next one changes.
//!
//! Its pages are kept in memory and written together at its end; an item that
//! is too long for that is written in parts, each with the point where to
//! resume after it. A state machine: it sends and writes nothing.

use crate::fail_point::limit;
use crate::fetch::{Next, PageAnswer, Place, Trouble};
use crate::outcome::{Page, Pages, Reason, Trail};
use bytes::Bytes;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An item with more pages than this is handed on page by page …
const PAGES: usize = 1_000;
/// … and one whose bodies are longer than this together.
pub(super) const BYTES: usize = 32 << 20;
/// When the items of the run together have more in memory than this, each is handed on so.
const ALL_BYTES: usize = 256 << 20;
/// So often may a page that tells no element from another be the same as the one before.
const SAME: u32 = 8;

/// An item that goes on.
#[derive(Debug, Default)]
pub(super) struct PageProgress {
    pub(super) place: Place,
    /// Not handed on yet.
    pages: Vec<Page>,
    /// Of those, where the arrays are that are merged.
    arrays: Vec<Option<Range<usize>>>,
    bytes: Held,
    /// Records that were handed on, in this run and before.
    records: u64,
    /// Pages that were handed on.
    handed_on: u64,
    /// The places so far.
    seen: HashSet<u64>,
    marker: u64,
    /// The last page's elements, and how often the pages before it had the same.
    last: (u64, u32),
}

/// The bytes of pages that all items of the run hold together.
#[derive(Debug, Clone, Default)]
pub(super) struct PageMemory(Arc<AtomicUsize>);

/// One item's share of it; given back when the item is dropped.
#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    all: PageMemory,
}

impl Held {
    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.all.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What a page means for its item.
pub(super) enum Step {
    /// It goes on; what is to be handed on before that.
    GoOn(Option<Pages>),
    /// That was the last page.
    Done(Pages),
}

impl PageProgress {
    pub(super) fn new(all: &PageMemory) -> PageProgress {
        let mut progress = PageProgress::default();
        progress.bytes.all = all.clone();
        progress
    }

    /// Goes on after what is in the output.
    pub(super) fn resume(trail: &Trail, all: &PageMemory) -> PageProgress {
        PageProgress {
            place: Place {
                // What is not ours fits no way of asking, and is told there.
                next: Next::from_kept(&trail.next).or(Some(Next::Cursor(String::new()))),
                pages: trail.pages,
                elements: trail.elements,
            },
            records: trail.records,
            handed_on: trail.pages,
            marker: trail.marker,
            ..PageProgress::new(all)
        }
    }

    /// What a failure has to say of the part that is in the output.
    pub(super) fn note(&self) -> Option<String> {
        (self.handed_on > 0).then(|| crate::write::in_the_output(self.records, self.handed_on))
    }

    /// Takes a page in; `merge`: the longest record that may come of them.
    pub(super) fn take(&mut self, page: PageAnswer, merge: Option<usize>) -> Result<Step, Trouble> {
        let status = Some(page.record.status);
        let trouble = |reason, message: String| Trouble {
            status,
            reason,
            message,
        };
        if let Some(looped) = self.looped(&page) {
            return Err(trouble(Reason::PageLoop, looped));
        }
        self.place.pages += 1;
        self.place.elements += page.elements.as_ref().map_or(0, Vec::len) as u64;
        self.bytes.add(page.record.body.len());
        if let Some(most) = merge.filter(|most| self.bytes.bytes > *most) {
            let message = format!(
                "the merged pages are longer than {most} bytes; `items` in [request.pages] records element by element"
            );
            return Err(trouble(Reason::BodyTooLarge, message));
        }
        self.arrays.push(page.array);
        self.pages.push(Page {
            status: page.record.status,
            fetched_at: page.record.fetched_at,
            body: page.record.body,
            elements: page.elements,
        });
        self.place.next = page.next;
        let Some(next) = &self.place.next else {
            return Ok(Step::Done(self.last_part(merge.is_some())));
        };
        let long = self.handed_on > 0
            || self.pages.len() >= limit!("PAGES", PAGES)
            || self.bytes.bytes >= BYTES
            || self.bytes.all.0.load(Ordering::Relaxed) >= ALL_BYTES;
        if merge.is_some() || !long {
            return Ok(Step::GoOn(None));
        }
        let next = next.kept();
        let pages = self.part();
        let trail = Trail {
            pages: self.place.pages,
            elements: self.place.elements,
            records: self.records,
            marker: self.marker,
            next,
        };
        Ok(Step::GoOn(Some(Pages {
            pages,
            trail: Some(trail),
        })))
    }

    /// What is in memory, to be handed on.
    fn part(&mut self) -> Vec<Page> {
        self.bytes.give_back();
        self.arrays.clear();
        self.handed_on = self.place.pages;
        let pages = std::mem::take(&mut self.pages);
        self.records += pages.iter().map(|page| page.len() as u64).sum::<u64>();
        pages
    }

    fn last_part(&mut self, merge: bool) -> Pages {
        let arrays = std::mem::take(&mut self.arrays);
        let mut pages = self.part();
        if merge {
            pages = merged(pages, &arrays).into_iter().collect();
        }
        Pages { pages, trail: None }
    }

    /// Whether the pages go round and round, in words.
    fn looped(&mut self, page: &PageAnswer) -> Option<String> {
        let there = "the pages never end:";
        let next = page.next.as_ref()?;
        let hash = next.hash();
        if self.seen.is_empty() {
            self.seen.insert(page.here);
        }
        if hash == self.marker || !self.seen.insert(hash) {
            return Some(format!("{there} the next page was there before"));
        }
        // Brent: the mark moves on at each power of two, so it is behind every
        // loop at last, also when the rest is forgotten between two runs.
        if (self.place.pages + 1).is_power_of_two() {
            self.marker = hash;
        }
        let (Next::Number(_), Some(elements)) = (next, &page.elements) else {
            return None;
        };
        let (last, times) = self.last;
        self.last = match (elements.first(), last == page.content) {
            (None, _) => return None,
            (Some(_), false) => (page.content, 0),
            (Some(_), true) => (last, times + 1),
        };
        // Records that are the same again, or numbers that may well be.
        let object = elements
            .first()
            .and_then(|first| page.record.body.get(first.start));
        let most = if object == Some(&b'{') { 0 } else { SAME };
        (self.last.1 > most).then(|| {
            format!("{there} this one is the same as the one before; does the API know the parameter that counts?")
        })
    }
}

/// The first page, with the elements of all in its array.
fn merged(pages: Vec<Page>, arrays: &[Option<Range<usize>>]) -> Option<Page> {
    let last = pages.last()?.fetched_at;
    let inside = |page: &Page, array: &Option<Range<usize>>| {
        let array = page.body.get(array.clone()?)?;
        let inside = array.strip_prefix(b"[")?.strip_suffix(b"]")?;
        (!inside.is_empty()).then(|| inside.to_vec())
    };
    let parts: Vec<Vec<u8>> = pages
        .iter()
        .zip(arrays)
        .filter_map(|(page, array)| inside(page, array))
        .collect();
    let mut first = pages.into_iter().next()?;
    let place = arrays.first().cloned().flatten();
    if let Some((before, after)) =
        place.and_then(|place| Some((first.body.get(..place.start)?, first.body.get(place.end..)?)))
    {
        let all = [before, b"[", &parts.join(&b','), b"]", after].concat();
        first.body = Bytes::from(all);
    }
    first.elements = None;
    first.fetched_at = last;
    Some(first)
}

#[cfg(test)]
mod tests;
