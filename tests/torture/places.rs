//! The chosen instants: at each of the program's fail points, in the run that
//! comes by there.
//!
//! Owns the list, and what has to happen before a place can be reached. A place
//! that is never reached fails the test.

/// In which run a place is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The first one of a harvest.
    First,
    /// The first one that has a failure.
    FirstFailure,
    /// Any that fetches.
    Work,
    /// Any after the first.
    Later,
    /// One that finds bytes which no commit covers.
    AfterTail,
    /// One that finds half a block.
    AfterTornBlock,
    /// One that goes on after a closing commit.
    AfterClosing,
    /// One that comes to its end.
    Closing,
    /// One that finds a checkpoint that counts as long.
    Compaction,
    /// `--fresh`.
    Fresh,
}

/// A fail point in a certain run.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub name: &'static str,
    pub when: When,
}

impl Place {
    /// As the summary calls it.
    pub fn title(&self) -> String {
        match self.when {
            When::First => format!("{} (new)", self.name),
            When::Compaction => format!("{} (compaction)", self.name),
            When::Fresh => format!("{} (--fresh)", self.name),
            _ => self.name.to_owned(),
        }
    }
}

const fn place(name: &'static str, when: When) -> Place {
    Place { name, when }
}

/// All of them.
pub const PLACES: &[Place] = &[
    // A run's beginning, with nothing there yet.
    place("lock: taken", When::First),
    place("open: output created", When::First),
    place("draft: written", When::First),
    place("draft: durable", When::First),
    place("draft: renamed", When::First),
    place("draft: in place", When::First),
    place("checkpoint: part written", When::First),
    // With something there.
    place("lock: taken", When::Later),
    place("open: nothing changed yet", When::Later),
    place("cut: shortened", When::AfterTail),
    place("open: output cut", When::AfterTail),
    place("open: failures cut", When::AfterTail),
    place("open: versions cut", When::AfterTail),
    place("checkpoint: torn end cut", When::AfterTornBlock),
    place("open: journal ready", When::AfterTail),
    // The first failure.
    place("failures: created", When::FirstFailure),
    place("failures: named", When::FirstFailure),
    // A commit.
    place("commit: begun", When::Work),
    place("outputs: part written", When::Work),
    place("commit: output flushed", When::Work),
    place("commit: failures flushed", When::Work),
    place("commit: versions durable", When::Work),
    place("commit: output durable", When::Work),
    place("commit: failures durable", When::Work),
    place("checkpoint: part written", When::Work),
    place("checkpoint: block written", When::Work),
    place("checkpoint: block durable", When::Work),
    // The last one, and the first one after it.
    place("checkpoint: closing block written", When::Closing),
    place("checkpoint: closing block durable", When::Closing),
    place("lock: about to be removed", When::Closing),
    place("checkpoint: opened block written", When::AfterClosing),
    place("checkpoint: opened block durable", When::AfterClosing),
    // The checkpoint written anew.
    place("compaction: begun", When::Compaction),
    place("checkpoint: part written", When::Compaction),
    place("compaction: written", When::Compaction),
    place("draft: written", When::Compaction),
    place("draft: durable", When::Compaction),
    place("draft: renamed", When::Compaction),
    place("draft: in place", When::Compaction),
    // Everything anew.
    place("draft: durable", When::Fresh),
    place("draft: renamed", When::Fresh),
    place("fresh: checkpoint renewed", When::Fresh),
    place("fresh: failures removed", When::Fresh),
    place("fresh: output emptied", When::Fresh),
    place("cut: shortened", When::Fresh),
];
