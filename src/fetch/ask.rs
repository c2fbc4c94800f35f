//! What one request asks for, and where.

use super::attempt::FetchSetupError;
use super::pages::Place;
use crate::job::{Request, Template, UrlTemplate};

/// What one request asks for.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// One item.
    One(&'a str),
    /// A page of an item, but the first: that is asked for as the item.
    Page(&'a str, &'a Place),
    /// The items of a batch.
    Several(&'a [&'a str]),
}

impl<'a> Ask<'a> {
    /// The first item's ID.
    pub(super) fn first(self) -> &'a str {
        match self {
            Ask::One(id) | Ask::Page(id, _) => id,
            Ask::Several(ids) => ids.first().copied().unwrap_or_default(),
        }
    }

    /// The page, when it is not the first.
    pub(super) fn place(self) -> Option<&'a Place> {
        match self {
            Ask::Page(_, place) => Some(place),
            Ask::One(_) | Ask::Several(_) => None,
        }
    }
}

/// A URL and its query, as templates.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: UrlTemplate,
    pub(super) query: Vec<(String, Template)>,
}

impl Target {
    /// Where the job's items are asked for one by one: in a job with batches,
    /// at `single`, without the parameters that are the batch's.
    pub(super) fn of_one(request: &Request, base: Option<&str>) -> Result<Target, FetchSetupError> {
        let single = request.batch.as_ref().and_then(|b| b.single.as_ref());
        let mut query = request.query.clone();
        if single.is_some() {
            query.retain(|(_, value)| !value.has_ids());
        }
        Target::at(single.unwrap_or(&request.url), query, base)
    }

    /// Where several are asked for at once.
    pub(super) fn of_several(
        request: &Request,
        base: Option<&str>,
    ) -> Result<Target, FetchSetupError> {
        Target::at(&request.url, request.query.clone(), base)
    }

    fn at(
        url: &UrlTemplate,
        query: Vec<(String, Template)>,
        base: Option<&str>,
    ) -> Result<Target, FetchSetupError> {
        let url = match base {
            Some(base) => url.clone().at(base).map_err(FetchSetupError::Base)?,
            None => url.clone(),
        };
        Ok(Target { url, query })
    }
}
