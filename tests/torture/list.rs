//! The list of IDs, and how it changes between runs.
//!
//! Owns which IDs there are and how often each is listed. IDs are appended,
//! shuffled, taken out and put back; none is ever listed less often for good.

use fastrand::Rng;
use std::collections::HashMap;
use std::fmt::Write;

/// What an ID looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 22 base-62 characters, bodies of 3 KB, behind a token.
    Tracks,
    /// Anything that a line of a list can hold, small bodies.
    Things,
}

pub struct List {
    kind: Kind,
    /// Every listing, in the order of the file.
    listed: Vec<String>,
    /// Listings that are taken out for now.
    held_back: Vec<String>,
    /// How often each ID is to have its fate.
    pub wanted: HashMap<String, u32>,
    each: bool,
    random: Rng,
    next: usize,
}

impl List {
    pub fn new(kind: Kind, each: bool, random: Rng) -> List {
        List {
            kind,
            listed: Vec::new(),
            held_back: Vec::new(),
            wanted: HashMap::new(),
            each,
            random,
            next: 0,
        }
    }

    /// New IDs; some are listed twice, some do not exist. Of the first ones, one does not exist for sure.
    pub fn append(&mut self, count: usize) {
        for _ in 0..count {
            let missing = self.next == 7 || self.random.u32(0..40) == 0;
            let id = self.make(missing);
            self.next += 1;
            self.list(id);
            if self.random.u32(0..25) == 0 {
                let again = self.listed[self.random.usize(0..self.listed.len())].clone();
                self.list(again);
            }
        }
    }

    /// The same IDs in another order, a few of them left out until next time.
    pub fn shuffle(&mut self) {
        self.listed.append(&mut self.held_back);
        self.random.shuffle(&mut self.listed);
        if !self.each && self.random.bool() {
            // A repeat may stay in the list: that changes nothing.
            self.held_back = self
                .listed
                .split_off(self.listed.len() - self.listed.len() / 20);
        }
    }

    /// Nothing is left out any more.
    pub fn complete(&mut self) {
        self.listed.append(&mut self.held_back);
    }

    /// As a file with one ID a line.
    pub fn text(&self) -> String {
        let mut text = String::from("# a comment\n\n");
        for id in &self.listed {
            let _ = writeln!(text, "{id}");
        }
        text
    }

    /// Fates that there are to be.
    pub fn fates(&self) -> u64 {
        self.wanted.values().map(|&n| u64::from(n)).sum()
    }

    fn list(&mut self, id: String) {
        let wanted = self.wanted.entry(id.clone()).or_default();
        *wanted = if self.each { *wanted + 1 } else { 1 };
        self.listed.push(id);
    }

    fn make(&mut self, missing: bool) -> String {
        let n = self.next;
        match (self.kind, missing) {
            (Kind::Tracks, true) => format!("{n:019}404"),
            (Kind::Tracks, false) => format!("{n:021}x"),
            (Kind::Things, true) => format!("{n} gone, \"or\" not?404"),
            (Kind::Things, false) => {
                let ends = ["", "-a", " ü, \"ß\"", "/../%41?x=y&z#", "\\n日本;", "'|"];
                format!("{n}.{}x", ends[self.random.usize(0..ends.len())])
            }
        }
    }
}

/// Whether the API has no such ID.
pub fn is_missing(id: &str) -> bool {
    id.ends_with("404")
}
