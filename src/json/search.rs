//! One pass over compact JSON text, looking in several places at once.
//!
//! Owns which of a text's values are at the end of which path. Recurses once for
//! each step of a path, never as deep as the text.

use super::parts::string;
use super::paths::{Node, Paths};
use super::scan::{Cursor, Odd, Quoted};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

/// More names than these in one object are looked for with a table.
const MANY: usize = 64;

/// A value at the end of a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'t> {
    /// The path's number.
    pub(super) path: usize,
    pub(super) raw: &'t [u8],
}

/// The values at the ends of the paths, those of one path in the text's order.
pub(super) fn search<'t>(text: &'t [u8], paths: &Paths<'_>) -> Result<Vec<Found<'t>>, Odd> {
    match Search::new(text, paths, false).run() {
        Ok(found) => Ok(found),
        Err(Stop::Odd(odd)) => Err(odd),
        // What was found under the first of two members with one name does not
        // count. It happens in no API known, so all of it is done again.
        Err(Stop::Twice) => match Search::new(text, paths, true).run() {
            Ok(found) => Ok(found),
            Err(Stop::Odd(odd)) => Err(odd),
            Err(Stop::Twice) => Err(Odd(0)),
        },
    }
}

enum Stop {
    Odd(Odd),
    /// An object has two members with one name that is looked for.
    Twice,
}

impl From<Odd> for Stop {
    fn from(odd: Odd) -> Stop {
        Stop::Odd(odd)
    }
}

struct Search<'t, 'p> {
    cursor: Cursor<'t>,
    paths: &'p Paths<'p>,
    /// The nodes that lead to the current value; under them those of what it is in.
    active: Vec<usize>,
    /// The nodes of the members already found in the current object; under them
    /// those of what it is in.
    seen: Vec<usize>,
    /// Every object is read twice: first which of its members count.
    careful: bool,
    found: Vec<Found<'t>>,
}

impl<'t, 'p> Search<'t, 'p> {
    fn new(text: &'t [u8], paths: &'p Paths<'p>, careful: bool) -> Search<'t, 'p> {
        Search {
            cursor: Cursor::new(text),
            paths,
            active: vec![0],
            seen: Vec::new(),
            careful,
            found: Vec::new(),
        }
    }

    fn run(mut self) -> Result<Vec<Found<'t>>, Stop> {
        self.value(0..1)?;
        match self.cursor.peek() {
            None => Ok(self.found),
            Some(_) => Err(self.cursor.odd().into()),
        }
    }

    /// Steps over a value that the `active` nodes lead to.
    fn value(&mut self, active: Range<usize>) -> Result<(), Stop> {
        let from = self.cursor.at;
        match self.cursor.peek() {
            Some(b'{') => self.object(active.clone())?,
            Some(b'[') => self.array(active.clone())?,
            _ => self.cursor.skip()?,
        }
        let raw = self.cursor.since(from);
        for place in active {
            let ends = self.active_node(place).map_or(&[][..], |node| &node.ends);
            self.found
                .extend(ends.iter().map(|path| Found { path: *path, raw }));
        }
        Ok(())
    }

    fn object(&mut self, active: Range<usize>) -> Result<(), Stop> {
        let (mut names, mut all) = (0, false);
        for node in self.nodes(active.clone()) {
            names += node.names();
            all |= node.all.is_some();
        }
        if names == 0 && !all {
            return Ok(self.cursor.skip()?);
        }
        if all || self.careful || names > MANY {
            return self.object_of_last(active);
        }
        self.cursor.take(b'{')?;
        if self.cursor.eat(b'}') {
            return Ok(());
        }
        let (outer, below) = (self.seen.len(), self.active.len());
        loop {
            let name = self.cursor.name()?;
            self.member(active.clone(), name);
            if let Some(first) = self.active.get(below) {
                if self.seen.get(outer..).unwrap_or_default().contains(first) {
                    return Err(Stop::Twice);
                }
                self.seen.push(*first);
                self.value(below..self.active.len())?;
                self.active.truncate(below);
            } else {
                self.cursor.skip()?;
            }
            if !self.cursor.eat(b',') {
                break;
            }
        }
        self.seen.truncate(outer);
        Ok(self.cursor.take(b'}')?)
    }

    /// The same, for an object whose members may be many: the last of one name
    /// counts, at its place.
    fn object_of_last(&mut self, active: Range<usize>) -> Result<(), Stop> {
        self.cursor.take(b'{')?;
        let mut members = Vec::new();
        let mut places = HashMap::new();
        if !self.cursor.eat(b'}') {
            loop {
                let name = self.cursor.name()?;
                let before = places.insert(unescaped(name), members.len());
                if let Some(before) = before.and_then(|place: usize| members.get_mut(place)) {
                    *before = None;
                }
                members.push(Some((name, self.cursor.at)));
                self.cursor.skip()?;
                if !self.cursor.eat(b',') {
                    break;
                }
            }
            self.cursor.take(b'}')?;
        }
        let (end, below) = (self.cursor.at, self.active.len());
        for (name, at) in members.into_iter().flatten() {
            self.member(active.clone(), name);
            if self.active.len() > below {
                self.cursor.at = at;
                self.value(below..self.active.len())?;
                self.active.truncate(below);
            }
        }
        self.cursor.at = end;
        Ok(())
    }

    fn array(&mut self, active: Range<usize>) -> Result<(), Stop> {
        let (mut last, mut all) = (None, false);
        for node in self.nodes(active.clone()) {
            last = last.max(node.last_index());
            all |= node.all.is_some();
        }
        if last.is_none() && !all {
            return Ok(self.cursor.skip()?);
        }
        self.cursor.take(b'[')?;
        if self.cursor.eat(b']') {
            return Ok(());
        }
        let below = self.active.len();
        for index in 0.. {
            if !all && Some(index) > last {
                return Ok(self.cursor.close()?);
            }
            for place in active.clone() {
                let node = self.active_node(place);
                self.activate(node.and_then(|node| node.index(index)));
                self.activate(node.and_then(|node| node.all));
            }
            if self.active.len() > below {
                self.value(below..self.active.len())?;
                self.active.truncate(below);
            } else {
                self.cursor.skip()?;
            }
            if !self.cursor.eat(b',') {
                break;
            }
        }
        Ok(self.cursor.take(b']')?)
    }

    /// Makes the nodes active that lead to the member of this name.
    #[inline]
    fn member(&mut self, active: Range<usize>, name: Quoted<'t>) {
        let plain = match name.escaped {
            false => Cow::Borrowed(name.inside),
            true => unescaped(name),
        };
        for place in active {
            let node = self.active_node(place);
            self.activate(node.and_then(|node| node.name(&plain)));
            self.activate(node.and_then(|node| node.all));
        }
    }

    #[inline]
    fn activate(&mut self, node: Option<usize>) {
        if let Some(node) = node {
            self.active.push(node);
        }
    }

    #[inline]
    fn active_node(&self, place: usize) -> Option<&'p Node<'p>> {
        self.paths.node(*self.active.get(place)?)
    }

    fn nodes(&self, active: Range<usize>) -> impl Iterator<Item = &'p Node<'p>> {
        active.filter_map(|place| self.active_node(place))
    }
}

/// A name with its escapes resolved. One that no text can be (with a lone
/// surrogate) stays as it is, behind a byte that makes it nobody else's name.
fn unescaped(name: Quoted<'_>) -> Cow<'_, [u8]> {
    if !name.escaped {
        return Cow::Borrowed(name.inside);
    }
    let raw = [b"\"", name.inside, b"\""].concat();
    match string(&raw) {
        Some(text) => Cow::Owned(text.into_owned().into_bytes()),
        None => Cow::Owned([b"\xFF", name.inside].concat()),
    }
}
