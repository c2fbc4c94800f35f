//! Whether the items fail, or something that they have in common.
//!
//! Owns the outcomes that are under suspicion: a row of failures of one kind, or
//! of records that are errors, is held back until the row is broken (then the
//! items were at fault) or is so long that the run should stop (then none of
//! them is recorded, and the same command tries them again). It holds at most
//! `items` outcomes of a row, and beside them failures of its kind whose item
//! was weighed before the row began.
//!
//! The test is sequential: a row begins with a failure, counts the items that
//! fail in the same way (same reason, same status), and is broken by more
//! others than `items` − `failures`; so it is decided after `items` items.

use crate::fetch::Trouble;
use crate::job::Quarantine as Threshold;
use crate::outcome::{Outcome, Reason};
use crate::run::item::Item;

/// What failures have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FailureKind {
    pub(super) reason: Reason,
    pub(super) status: Option<u16>,
}

impl FailureKind {
    /// What a trouble has in common with others.
    pub(super) fn of(trouble: &Trouble) -> FailureKind {
        FailureKind {
            reason: trouble.reason,
            status: trouble.status,
        }
    }
}

/// A fate under suspicion.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) outcome: Outcome,
    /// How the item begins again, when the server turns out to be at fault.
    pub(super) anew: Item,
}

/// What an item's first trouble shows.
#[derive(Debug)]
pub(super) enum Weighed {
    /// Nothing of the others.
    Own,
    /// The server is down: those that were held begin again.
    ServerDown(Vec<Suspect>),
    /// So many of so many items in a row fail in this way: the run should stop.
    Row(u32, u32),
}

/// The judgement, from one item to the next.
#[derive(Debug)]
pub(super) struct Quarantine {
    threshold: Option<Threshold>,
    row: Option<Row>,
}

#[derive(Debug)]
struct Row {
    kind: FailureKind,
    failures: u32,
    others: u32,
    held: Vec<Suspect>,
}

impl Quarantine {
    /// `None` is off: nothing is ever held.
    pub(super) fn new(threshold: Option<Threshold>) -> Quarantine {
        Quarantine {
            threshold,
            row: None,
        }
    }

    /// Weighs an item's first trouble. `own`: it is the item's own in any case.
    /// Returns what need not be held any longer, and what the trouble shows.
    pub(super) fn weigh(&mut self, kind: FailureKind, own: bool) -> (Vec<Outcome>, Weighed) {
        let released = self.other((!own).then_some(kind));
        let weighed = if own || !self.failure(kind) {
            Weighed::Own
        } else if kind.reason == Reason::ServerError {
            Weighed::ServerDown(self.release())
        } else {
            let (failures, items) = self.row().unwrap_or_default();
            Weighed::Row(failures, items)
        };
        (released, weighed)
    }

    /// One more item failed in this way. True when so many did that the items are not at fault.
    fn failure(&mut self, kind: FailureKind) -> bool {
        let Some(threshold) = self.threshold else {
            return false;
        };
        let row = self.row.get_or_insert(Row {
            kind,
            failures: 0,
            others: 0,
            held: Vec::new(),
        });
        if row.kind != kind {
            return false;
        }
        row.failures += 1;
        row.failures >= threshold.failures
    }

    /// One more item had another fate: a record, or a failure that is its own
    /// or of another `kind`. Returns what need not be held any longer.
    pub(super) fn other(&mut self, kind: Option<FailureKind>) -> Vec<Outcome> {
        let (Some(threshold), Some(row)) = (self.threshold, &mut self.row) else {
            return Vec::new();
        };
        if kind == Some(row.kind) {
            return Vec::new();
        }
        row.others += 1;
        if row.others <= threshold.items - threshold.failures {
            return Vec::new();
        }
        self.acquit()
    }

    /// Holds a failure that belongs to the row; gives back one that does not.
    pub(super) fn hold(
        &mut self,
        kind: FailureKind,
        outcome: Outcome,
        anew: Item,
    ) -> Option<Outcome> {
        match &mut self.row {
            Some(row) if row.kind == kind => {
                row.held.push(Suspect { outcome, anew });
                None
            }
            _ => Some(outcome),
        }
    }

    /// Gives up the suspicion, and everything that was held.
    fn release(&mut self) -> Vec<Suspect> {
        self.row.take().map_or_else(Vec::new, |row| row.held)
    }

    /// The same, where the items were at fault.
    pub(super) fn acquit(&mut self) -> Vec<Outcome> {
        let held = self.release().into_iter();
        held.map(|suspect| suspect.outcome).collect()
    }

    /// Items of the row so far: those of its kind, and all.
    fn row(&self) -> Option<(u32, u32)> {
        self.row
            .as_ref()
            .map(|row| (row.failures, row.failures + row.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Failure;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    const FORBIDDEN: FailureKind = FailureKind {
        reason: Reason::Forbidden,
        status: Some(403),
    };
    const PAGE: FailureKind = FailureKind {
        reason: Reason::MalformedBody,
        status: Some(200),
    };

    fn quarantine(failures: u32, items: u32) -> Quarantine {
        Quarantine::new(Some(Threshold { failures, items }))
    }

    fn outcome(id: u32, kind: FailureKind) -> Outcome {
        Outcome {
            id: id.to_string(),
            occurrence: 0,
            fate: Err(Failure {
                status: kind.status,
                reason: kind.reason,
                message: String::new(),
                attempts: 1,
                at: UNIX_EPOCH,
                is_there: false,
            }),
            pages: None,
        }
    }

    #[test]
    fn a_long_row_is_not_the_items() {
        let mut quarantine = quarantine(3, 4);
        assert!(!quarantine.failure(FORBIDDEN));
        assert!(
            quarantine
                .hold(
                    FORBIDDEN,
                    outcome(1, FORBIDDEN),
                    Item::new(String::new(), 0)
                )
                .is_none()
        );
        assert!(quarantine.other(None).is_empty());
        assert!(!quarantine.failure(FORBIDDEN));
        assert!(quarantine.failure(FORBIDDEN));
        assert_eq!(quarantine.row(), Some((3, 4)));
    }

    #[test]
    fn a_broken_row_gives_back_what_it_held() {
        let mut quarantine = quarantine(3, 4);
        quarantine.failure(FORBIDDEN);
        quarantine.hold(
            FORBIDDEN,
            outcome(1, FORBIDDEN),
            Item::new(String::new(), 0),
        );
        // Another kind is not held, and counts against the row.
        assert!(!quarantine.failure(PAGE));
        assert!(
            quarantine
                .hold(PAGE, outcome(2, PAGE), Item::new(String::new(), 0))
                .is_some()
        );
        assert!(quarantine.other(Some(PAGE)).is_empty());
        let ids: Vec<_> = quarantine.other(None).into_iter().map(|o| o.id).collect();
        assert_eq!(ids, ["1"]);
        assert_eq!(quarantine.row(), None);
        assert!(!quarantine.failure(PAGE));
    }

    #[test]
    fn off_holds_nothing() {
        let mut quarantine = Quarantine::new(None);
        for id in 0..1_000 {
            assert!(!quarantine.failure(FORBIDDEN));
            assert!(
                quarantine
                    .hold(
                        FORBIDDEN,
                        outcome(id, FORBIDDEN),
                        Item::new(String::new(), 0)
                    )
                    .is_some()
            );
        }
    }

    proptest! {
        /// Whatever comes: never more held than the window, each failure given
        /// back once or still held, and a row of the full length always found.
        #[test]
        fn nothing_is_lost_and_a_full_row_is_found(
            fates in proptest::collection::vec(0u8..6, 0..200),
            failures in 2u32..12,
            spare in 0u32..4,
        ) {
            let mut quarantine = quarantine(failures, failures + spare);
            let (mut out, mut sent) = (0usize, 0usize);
            let mut row = 0;
            for (id, fate) in (0u32..).zip(fates) {
                if fate < 5 {
                    sent += 1;
                    row += 1;
                    let tripped = quarantine.failure(FORBIDDEN);
                    prop_assert!(tripped || row < failures as usize);
                    if tripped {
                        return Ok(());
                    }
                    out += usize::from(quarantine.hold(FORBIDDEN, outcome(id, FORBIDDEN), Item::new(String::new(), 0)).is_some());
                } else {
                    row = 0;
                    out += quarantine.other(None).len();
                }
                prop_assert!(sent - out <= (failures + spare) as usize);
            }
            out += quarantine.acquit().len();
            prop_assert_eq!(out, sent);
        }
    }
}
