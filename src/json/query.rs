//! JSONPath (RFC 9535) on a body's text.
//!
//! Owns how a path is answered: simple ones by a pass over the text, the others
//! on a tree, whose nodes are then found in the text. Must never give a value
//! that is not a slice of the body.

use super::cost::{MOST, PathShape, Size};
use super::path::shown;
use super::paths::{Paths, Step, simple};
use super::scan::Odd;
use super::search::{Found, search};
use serde_json::Value;
use serde_json_path::{JsonPath, PathElement};
use std::borrow::Cow;

/// Why a body can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Not JSON, or not in its compact form.
    #[error("byte {at} of it is not compact JSON")]
    NotCompact {
        /// From 0 on.
        at: usize,
    },
    /// Paths with more than names, indices and wildcards are answered on a
    /// tree, which has limits: 127 levels, numbers within 64-bit floats.
    #[error("{0} (a JSONPath with more than names, indices and `*` needs a tree of it)")]
    Tree(#[source] serde_json::Error),
    /// … and takes memory and time that no path may have.
    #[error(
        "`{path}` needs a tree of it, and it is too large for that ({} MiB of memory, or about a \
         second); a path of names, indices and `*` alone has no such bound",
        MOST >> 20
    )]
    TooLarge {
        /// The path.
        path: String,
    },
}

impl From<Odd> for QueryError {
    fn from(Odd(at): Odd) -> QueryError {
        QueryError::NotCompact { at }
    }
}

/// Whether a path is answered on a tree of the body, with a tree's limits.
pub fn needs_tree(path: &JsonPath) -> bool {
    simple(path).is_none()
}

/// One JSONPath, ready to be asked of many bodies.
#[derive(Debug, Clone)]
pub struct Query {
    path: JsonPath,
    queries: Queries,
}

impl Query {
    /// A path's query.
    pub fn new(path: &JsonPath) -> Query {
        Query {
            path: path.clone(),
            queries: Queries::new([path]),
        }
    }

    /// The path.
    pub fn path(&self) -> &JsonPath {
        &self.path
    }

    /// The values that the path selects, each a slice of `body`, which is JSON
    /// in its compact form. Names, indices and wildcards select in the order of
    /// the text; other paths in the order of RFC 9535, which leaves that of an
    /// object's members open: there they come sorted by name.
    pub fn select<'b>(&self, body: &'b [u8]) -> Result<Vec<&'b [u8]>, QueryError> {
        let mut all = Vec::new();
        self.queries.each(body, |_, raw| all.push(raw))?;
        Ok(all)
    }

    /// The first of them.
    pub fn first<'b>(&self, body: &'b [u8]) -> Result<Option<&'b [u8]>, QueryError> {
        let mut first = None;
        self.queries.each(body, |_, raw| {
            first.get_or_insert(raw);
        })?;
        Ok(first)
    }
}

/// Several JSONPaths, answered together.
#[derive(Debug, Clone)]
pub struct Queries {
    count: usize,
    simple: Paths<'static>,
    /// The paths that need a tree.
    others: Vec<OnTree>,
}

/// A path that needs a tree.
#[derive(Debug, Clone)]
struct OnTree {
    number: usize,
    path: JsonPath,
    shape: PathShape,
}

impl OnTree {
    fn new(number: usize, path: &JsonPath) -> OnTree {
        OnTree {
            number,
            path: path.clone(),
            shape: PathShape::of(path),
        }
    }
}

impl Queries {
    /// The queries of these paths, numbered from 0 on.
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p JsonPath>) -> Queries {
        let (mut steps, mut others, mut count) = (Vec::new(), Vec::new(), 0);
        for path in paths {
            match simple(path) {
                Some(simple) => steps.push((simple, count)),
                None => others.push(OnTree::new(count, path)),
            }
            count += 1;
        }
        Queries {
            count,
            simple: Paths::new(steps),
            others,
        }
    }

    /// The same answers, all of them by way of a tree: a second opinion.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn on_trees<'p>(paths: impl IntoIterator<Item = &'p JsonPath>) -> Queries {
        let paths = paths.into_iter().enumerate();
        let others: Vec<_> = paths
            .map(|(number, path)| OnTree::new(number, path))
            .collect();
        Queries {
            count: others.len(),
            simple: Paths::new(Vec::new()),
            others,
        }
    }

    /// How many paths there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// For each path in turn the values that it selects, as
    /// [`Query::select`] has them.
    pub fn select_all<'b>(&self, body: &'b [u8]) -> Result<Vec<Vec<&'b [u8]>>, QueryError> {
        let mut all = vec![Vec::new(); self.count];
        self.each(body, |path, raw| {
            if let Some(values) = all.get_mut(path) {
                values.push(raw);
            }
        })?;
        Ok(all)
    }

    /// Calls `found` with a path's number and a value that it selects. Those of
    /// one path come in their order; the paths come mixed. Nothing is found when
    /// there is an error.
    pub fn each<'b>(
        &self,
        body: &'b [u8],
        mut found: impl FnMut(usize, &'b [u8]),
    ) -> Result<(), QueryError> {
        // Without simple paths too: the pass sees whether it is JSON at all.
        let simple = search(body, &self.simple)?;
        let others = self.on_a_tree(body)?;
        for Found { path, raw } in simple.into_iter().chain(others) {
            found(path, raw);
        }
        Ok(())
    }

    fn on_a_tree<'b>(&self, body: &'b [u8]) -> Result<Vec<Found<'b>>, QueryError> {
        if self.others.is_empty() {
            return Ok(Vec::new());
        }
        let size = Size::of(body);
        let mut left = MOST;
        for OnTree { path, shape, .. } in &self.others {
            let Some(rest) = left.checked_sub(shape.cost(size)) else {
                let path = shown(path);
                return Err(QueryError::TooLarge { path });
            };
            left = rest;
        }
        let tree: Value = serde_json::from_slice(body).map_err(QueryError::Tree)?;
        // Every node of every path has a place in what is found, and is looked
        // for by its own path.
        let (mut owners, mut paths) = (Vec::new(), Vec::new());
        for OnTree { number, path, .. } in &self.others {
            for node in path.query_located(&tree).iter() {
                let steps = node.location().iter().map(|element| match element {
                    PathElement::Name(name) => Step::Name(Cow::Borrowed(name)),
                    PathElement::Index(index) => Step::Index(*index),
                });
                paths.push((steps.collect(), owners.len()));
                owners.push(*number);
            }
        }
        let mut found = search(body, &Paths::new(paths))?;
        found.sort_by_key(|found| found.path);
        for found in &mut found {
            if let Some(owner) = owners.get(found.path) {
                found.path = *owner;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
