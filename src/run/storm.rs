//! Whose matter a Retry-After is: the server's, or one item's.
//!
//! A server that asks to be left alone speaks of itself, and waiting as it
//! says must not use up an item's tries; but an item that is refused again and
//! again while the others get through has to fail at last. Owns that judgement.
//! How long to wait is the pacer's matter.

use std::collections::VecDeque;

/// So many answers with a Retry-After are looked back on …
const LAST: usize = 16;
/// … and an item that got so many of them is not one of many.
const OWN: usize = 4;

/// What has been answered so far.
#[derive(Debug, Default)]
pub(super) struct Storm {
    /// Good answers, less those with a Retry-After.
    balance: i64,
    /// Who got the last of those.
    last: VecDeque<u64>,
}

impl Storm {
    /// Some item was answered, and that was that.
    pub(super) fn fine(&mut self) {
        self.balance += 1;
    }

    /// An item was told to wait. `then` is its own memory of the time before.
    /// True when that counts against it: since then, more of the others were
    /// answered well than were told to wait, and few but itself are told so.
    pub(super) fn told_to_wait(&mut self, item: u64, then: &mut Option<i64>) -> bool {
        if self.last.len() >= LAST {
            self.last.pop_front();
        }
        self.last.push_back(item);
        let own = self.last.iter().filter(|&&other| other == item).count();
        let passed_by = then.is_some_and(|then| self.balance > then);
        self.balance -= 1;
        *then = Some(self.balance);
        passed_by && own >= OWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever share gets through: as long as many wait, it is nobody's own matter.
    #[test]
    fn in_a_storm_nobody_stands_out() {
        for through in [0, 1, 8, 40] {
            let mut storm = Storm::default();
            let mut items = [None; 8];
            for _ in 0..100 {
                for (item, then) in items.iter_mut().enumerate() {
                    assert!(!storm.told_to_wait(item as u64, then));
                }
                (0..through).for_each(|_| storm.fine());
            }
        }
        // And alone, at the end of the list.
        let (mut storm, mut then) = (Storm::default(), None);
        assert!((0..100).all(|_| !storm.told_to_wait(1, &mut then)));
    }

    #[test]
    fn items_that_are_refused_while_others_get_through_stand_out() {
        let mut storm = Storm::default();
        let (mut one, mut other) = (None, None);
        let mut counted = 0;
        for _ in 0..9 {
            counted += u32::from(storm.told_to_wait(1, &mut one));
            counted += u32::from(storm.told_to_wait(2, &mut other));
            (0..3).for_each(|_| storm.fine());
        }
        assert_eq!(counted, 2 * 6);
    }
}
