//! Whether a Retry-After is the server's, or one item's.
//!
//! A server that asks to be left alone speaks of itself, and waiting as it
//! says must not use up an item's tries. But an item that is told to wait again
//! and again while the others are answered has to fail at last. How long to
//! wait is for the pacer to say.

use std::collections::VecDeque;

/// So many answers with a Retry-After are looked back on …
const LAST: usize = 16;
/// … and an item that got so many of them is not one of many.
const OWN: usize = 4;

/// When only items are left that were asked for before, an item may be told to
/// wait so often.
const PATIENCE: u32 = 20;

/// What an item remembers of being told to wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waits {
    /// The balance when it was last told so.
    then: Option<i64>,
    times: u32,
}

/// What all items were answered so far.
#[derive(Debug, Default)]
pub(super) struct Fairness {
    /// Successful responses, less those with a Retry-After.
    balance: i64,
    /// The items that got the last of those.
    last: VecDeque<u64>,
    successes: u64,
}

impl Fairness {
    /// An item got a successful response.
    pub(super) fn success(&mut self) {
        self.balance += 1;
        self.successes += 1;
    }

    /// Successful responses so far, to any item.
    pub(super) fn successes(&self) -> u64 {
        self.successes
    }

    /// An item was told to wait. True when that counts against it: since it was
    /// told so before, more of the others were answered well than were told to
    /// wait, and few others are told so at all. Or only items are left that were
    /// asked for before (`alone`), so nothing can show who is at fault, and it
    /// has waited often enough: it must have a fate at last.
    pub(super) fn told_to_wait(&mut self, item: u64, waits: &mut Waits, alone: bool) -> bool {
        if self.last.len() >= LAST {
            self.last.pop_front();
        }
        self.last.push_back(item);
        let own = self.last.iter().filter(|&&other| other == item).count();
        let passed_by = waits.then.is_some_and(|then| self.balance > then);
        self.balance -= 1;
        waits.then = Some(self.balance);
        waits.times += 1;
        (passed_by && own >= OWN) || (alone && waits.times > PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever share gets through: as long as many wait, it is nobody's own matter.
    #[test]
    fn in_a_storm_nobody_stands_out() {
        for through in [0, 1, 8, 40] {
            let mut fairness = Fairness::default();
            let mut items = [Waits::default(); 8];
            for _ in 0..100 {
                for (item, then) in items.iter_mut().enumerate() {
                    assert!(!fairness.told_to_wait(item as u64, then, false));
                }
                (0..through).for_each(|_| fairness.success());
            }
        }
        // And alone, at the end of the list, not for a long while.
        let (mut fairness, mut waits) = (Fairness::default(), Waits::default());
        assert!((0..PATIENCE).all(|_| !fairness.told_to_wait(1, &mut waits, true)));
        assert!(fairness.told_to_wait(1, &mut waits, true));
    }

    #[test]
    fn items_that_are_refused_while_others_get_through_stand_out() {
        let mut fairness = Fairness::default();
        let (mut one, mut other) = (Waits::default(), Waits::default());
        let mut counted = 0;
        for _ in 0..9 {
            counted += u32::from(fairness.told_to_wait(1, &mut one, false));
            counted += u32::from(fairness.told_to_wait(2, &mut other, false));
            (0..3).for_each(|_| fairness.success());
        }
        assert_eq!(counted, 2 * 6);
    }
}
