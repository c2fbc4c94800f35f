//! Where to look: the paths of a search, as one tree of steps.
//!
//! Owns what a simple JSONPath is: names, indices and wildcards only. Must
//! never know the text that is searched.

use serde_json_path::JsonPath;
use std::borrow::Cow;

/// Longer paths are not simple: a search recurses once for each step.
const MOST_STEPS: usize = 128;
/// So many are looked through one by one.
const FEW: usize = 8;

/// One step from a value to its children.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step<'p> {
    /// The member of this name.
    Name(Cow<'p, str>),
    /// The element at this place, from 0 on.
    Index(usize),
    /// All members or elements.
    All,
}

/// The steps of a path; `None` when it has others than simple ones.
pub(super) fn simple(path: &JsonPath) -> Option<Vec<Step<'static>>> {
    // The crate shows a path only as text, and names in it without escapes:
    // what we make of it counts when it reads as the same path.
    let text = path.to_string();
    let mut rest = text.strip_prefix('$')?;
    let mut steps = Vec::new();
    let mut again = String::from("$");
    while !rest.is_empty() {
        if steps.len() == MOST_STEPS {
            return None;
        }
        let (step, spelled, after) = one(rest)?;
        again.push_str(&spelled);
        steps.push(step);
        rest = after;
    }
    (JsonPath::parse(&again).ok()? == *path).then_some(steps)
}

/// The first step of a path's text, how it is spelled, and the text after it.
fn one(text: &str) -> Option<(Step<'static>, Cow<'_, str>, &str)> {
    let spelled_as = |after: &str| text.get(..text.len() - after.len()).map(Cow::Borrowed);
    for all in ["[*]", ".*"] {
        if let Some(after) = text.strip_prefix(all) {
            return Some((Step::All, spelled_as(after)?, after));
        }
    }
    if let Some(quoted) = text.strip_prefix("['") {
        let (name, after) = quoted.split_once("']")?;
        let spelled = format!("[{}]", serde_json::to_string(name).ok()?);
        return Some((Step::Name(name.to_owned().into()), spelled.into(), after));
    }
    if let Some(bracketed) = text.strip_prefix('[') {
        let (index, after) = bracketed.split_once(']')?;
        return Some((Step::Index(index.parse().ok()?), spelled_as(after)?, after));
    }
    let named = text.strip_prefix('.')?;
    let end = named.find(['.', '[']).unwrap_or(named.len());
    let (name, after) = named.split_at_checked(end)?;
    Some((
        Step::Name(name.to_owned().into()),
        spelled_as(after)?,
        after,
    ))
}

/// Several paths, what they have in common once. Node 0 is the root.
#[derive(Debug, Clone)]
pub(super) struct Paths<'p> {
    nodes: Vec<Node<'p>>,
}

/// A place that paths lead to.
#[derive(Debug, Clone, Default)]
pub(super) struct Node<'p> {
    /// The numbers of the paths that end here.
    pub(super) ends: Vec<usize>,
    /// Sorted by name.
    names: Vec<(Cow<'p, str>, usize)>,
    /// Sorted by index.
    indices: Vec<(usize, usize)>,
    /// What a wildcard leads to.
    pub(super) all: Option<usize>,
}

impl<'p> Paths<'p> {
    /// The tree of numbered paths.
    pub(super) fn new(mut paths: Vec<(Vec<Step<'p>>, usize)>) -> Paths<'p> {
        // So a node's children come in their order, and those that are the same
        // one after the other.
        paths.sort();
        let mut nodes = vec![Node::default()];
        for (steps, number) in paths {
            let mut place = 0;
            for step in steps {
                let new = nodes.len();
                let Some(node) = nodes.get_mut(place) else {
                    break;
                };
                place = node.last_child_is(&step).unwrap_or_else(|| {
                    match step {
                        Step::Name(name) => node.names.push((name, new)),
                        Step::Index(index) => node.indices.push((index, new)),
                        Step::All => node.all = Some(new),
                    }
                    new
                });
                if place == new {
                    nodes.push(Node::default());
                }
            }
            if let Some(node) = nodes.get_mut(place) {
                node.ends.push(number);
            }
        }
        Paths { nodes }
    }

    #[inline]
    pub(super) fn node(&self, number: usize) -> Option<&Node<'p>> {
        self.nodes.get(number)
    }
}

impl Node<'_> {
    fn last_child_is(&self, step: &Step<'_>) -> Option<usize> {
        match step {
            Step::Name(name) => self.names.last().filter(|(n, _)| n == name).map(|c| c.1),
            Step::Index(index) => self.indices.last().filter(|(i, _)| i == index).map(|c| c.1),
            Step::All => self.all,
        }
    }

    /// The node of the member with this name (UTF-8), but for the wildcard's.
    #[inline]
    pub(super) fn name(&self, name: &[u8]) -> Option<usize> {
        if self.names.len() <= FEW {
            let mut few = self.names.iter();
            return few
                .find(|(n, _)| n.as_bytes() == name)
                .map(|(_, node)| *node);
        }
        let found = self.names.binary_search_by(|(n, _)| n.as_bytes().cmp(name));
        self.names.get(found.ok()?).map(|(_, node)| *node)
    }

    /// The node of the element at this place, but for the wildcard's.
    #[inline]
    pub(super) fn index(&self, index: usize) -> Option<usize> {
        if self.indices.len() <= FEW {
            let mut few = self.indices.iter();
            return few.find(|(i, _)| *i == index).map(|(_, node)| *node);
        }
        let found = self.indices.binary_search_by_key(&index, |(i, _)| *i);
        self.indices.get(found.ok()?).map(|(_, node)| *node)
    }

    /// The highest index that leads further; `None` without one.
    pub(super) fn last_index(&self) -> Option<usize> {
        self.indices.last().map(|(index, _)| *index)
    }

    /// How many names lead further.
    pub(super) fn names(&self) -> usize {
        self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_indices_and_wildcards_are_simple() {
        let name = |name: &str| Step::Name(name.to_owned().into());
        for (path, steps) in [
            ("$", vec![]),
            ("$.a._b9", vec![name("a"), name("_b9")]),
            (
                "$['a.b'][\"it's\"][3]",
                vec![name("a.b"), name("it's"), Step::Index(3)],
            ),
            ("$[*].*.\u{e9}", vec![Step::All, Step::All, name("\u{e9}")]),
            ("$['\\n\\\\\"[*]']", vec![name("\n\\\"[*]")]),
            ("$['']['\\u0001']", vec![name(""), name("\u{1}")]),
            // One name that the crate shows like two.
            ("$['a\\',\\'b']", vec![name("a','b")]),
            ("$ ['a'] [ 0 ]", vec![name("a"), Step::Index(0)]),
        ] {
            assert_eq!(
                simple(&JsonPath::parse(path).unwrap()),
                Some(steps),
                "{path}"
            );
        }
    }

    #[test]
    fn all_else_is_not() {
        for path in [
            "$..a",
            "$[-1]",
            "$[0:2]",
            "$[0,1]",
            "$['a','b']",
            "$[?@.a]",
            "$.a[?length(@)>1].b",
            // One name that is shown like two: not worth more looking.
            "$['a\\'][\\'b']",
        ] {
            assert_eq!(simple(&JsonPath::parse(path).unwrap()), None, "{path}");
        }
        let long = format!("${}", ".a".repeat(MOST_STEPS + 1));
        assert_eq!(simple(&JsonPath::parse(&long).unwrap()), None);
    }

    #[test]
    fn many_children_are_found_as_few_are() {
        for count in [1, FEW, FEW + 1, 100] {
            let mut paths = Vec::new();
            for n in (0..count).rev() {
                paths.push((vec![Step::Name(format!("n{n}").into())], n));
                paths.push((vec![Step::Index(n * 2)], count + n));
            }
            let paths = Paths::new(paths);
            let root = paths.node(0).unwrap();
            for n in 0..count {
                let named = root.name(format!("n{n}").as_bytes()).unwrap();
                assert_eq!(paths.node(named).unwrap().ends, [n]);
                let at = root.index(n * 2).unwrap();
                assert_eq!(paths.node(at).unwrap().ends, [count + n]);
                assert_eq!(root.index(n * 2 + 1), None);
            }
            assert_eq!(root.name(b"n"), None);
            assert_eq!(root.last_index(), Some(count * 2 - 2));
        }
    }
}
