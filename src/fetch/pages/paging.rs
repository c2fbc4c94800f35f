//! One request for a page, from its URL to its judgement.

use super::kept::Slots;
use super::{Asked, Pages, Place};
use crate::auth::Presented;
use crate::fetch::ask::Target;
use crate::fetch::classify::{Answer, Trouble, Verdict};
use crate::outcome::Reason;
use crate::pace::Signal;
use reqwest::Url;

/// A request for a page, under way.
pub(in crate::fetch) struct Paging<'a> {
    pages: &'a Pages,
    place: Place,
    slots: Slots,
}

/// Where a page's request ended.
pub(in crate::fetch) struct Ended<'a> {
    /// The item's own URL.
    pub(in crate::fetch) home: &'a Url,
    /// What was asked for at last.
    pub(in crate::fetch) url: &'a Url,
    /// Credentials went along.
    pub(in crate::fetch) trusted: bool,
    /// What must not be kept.
    pub(in crate::fetch) secrets: Vec<Vec<u8>>,
    /// The Link header fields.
    pub(in crate::fetch) links: &'a [Vec<u8>],
}

impl<'a> Paging<'a> {
    /// Where to ask, and whether credentials go along.
    pub(in crate::fetch) fn begin(
        pages: &'a Pages,
        target: &Target,
        home: &Url,
        place: Option<&Place>,
        presented: &Presented,
    ) -> Result<(Paging<'a>, Url, bool), Answer> {
        let slots = Slots::new(home, &target.url, &target.query, presented);
        let place = place.cloned().unwrap_or_default();
        let (url, trusted) = pages.url(home, &place, &slots).map_err(|message| {
            let trouble = Trouble::new(None, Reason::NextPage, message);
            Answer::new(Signal::NotSent, Verdict::Failed(trouble))
        })?;
        let paging = Paging {
            pages,
            place,
            slots,
        };
        Ok((paging, url, trusted))
    }

    /// What the answer means.
    pub(in crate::fetch) fn judge(&self, answer: Answer, ended: &Ended<'_>) -> Answer {
        let asked = Asked {
            place: &self.place,
            home: ended.home,
            url: ended.url,
            trusted: ended.trusted,
            slots: &self.slots,
            secrets: &ended.secrets,
        };
        self.pages.judge(answer, &asked, ended.links)
    }
}
