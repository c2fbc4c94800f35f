//! What one request asks for, where, and with what body.

use super::attempt::FetchSetupError;
use super::head::Payload;
use super::pages::PageCursor;
use crate::job::{Body, Filling, Method, Request, Template, UrlTemplate};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

/// What one request asks for.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// One item.
    One(&'a str),
    /// A page of an item, but the first: that is asked for as the item.
    Page(&'a str, &'a PageCursor),
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
    pub(super) fn place(self) -> Option<&'a PageCursor> {
        match self {
            Ask::Page(_, place) => Some(place),
            Ask::One(_) | Ask::Several(_) => None,
        }
    }
}

/// A URL, its query and its body, as templates.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: UrlTemplate,
    pub(super) query: Vec<(String, Template)>,
    pub(super) method: reqwest::Method,
    pub(super) body: Option<Body>,
}

impl Target {
    /// Where the job's items are asked for one by one: in a job with batches,
    /// at `single`, without the parameters and the body that are the batch's.
    pub(super) fn of_one(request: &Request, base: Option<&str>) -> Result<Target, FetchSetupError> {
        let single = request.batch.as_ref().and_then(|b| b.single.as_ref());
        let mut query = request.query.clone();
        if single.is_some() {
            query.retain(|(_, value)| !value.has_ids());
        }
        let mut target = Target::at(request, single.unwrap_or(&request.url), query, base)?;
        if single.is_some() && target.body.as_ref().is_some_and(Body::has_ids) {
            (target.body, target.method) = (None, reqwest::Method::GET);
        }
        Ok(target)
    }

    /// Where several are asked for at once.
    pub(super) fn of_several(
        request: &Request,
        base: Option<&str>,
    ) -> Result<Target, FetchSetupError> {
        Target::at(request, &request.url, request.query.clone(), base)
    }

    fn at(
        request: &Request,
        url: &UrlTemplate,
        query: Vec<(String, Template)>,
        base: Option<&str>,
    ) -> Result<Target, FetchSetupError> {
        let url = match base {
            Some(base) => url.clone().at(base).map_err(FetchSetupError::Base)?,
            None => url.clone(),
        };
        Ok(Target {
            url,
            query,
            method: match request.method {
                Method::Get => reqwest::Method::GET,
                Method::Post => reqwest::Method::POST,
            },
            body: request.body.clone(),
        })
    }

    /// The body for one request; the job's own Content-Type wins.
    pub(super) fn payload(&self, filling: &Filling<'_>, headers: &HeaderMap) -> Option<Payload> {
        let body = self.body.as_ref()?;
        let named = headers.get(CONTENT_TYPE).cloned();
        Some(Payload {
            bytes: body.expand(filling).into(),
            content_type: named.unwrap_or_else(|| HeaderValue::from_static(body.content_type())),
        })
    }
}
