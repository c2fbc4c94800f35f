//! Whose matter a Retry-After is: the server's, or one item's.
//!
//! A server that asks to be left alone speaks of itself, and waiting as it
//! says must not use up an item's tries; but an item that is refused again and
//! again while the others get through has to fail at last. Owns that judgement.
//! How long to wait is the pacer's matter.

/// With nothing else left to ask for, so many waits in a row were in vain.
const PATIENCE: u32 = 20;

/// What an item remembers of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waits {
    /// How things stood when it was last told to wait.
    last: Option<i64>,
    /// How often it was.
    times: u32,
}

/// What has been answered so far: good answers less those with a Retry-After.
#[derive(Debug, Default)]
pub(super) struct Storm {
    balance: i64,
}

impl Storm {
    /// Some item was answered, and that was that.
    pub(super) fn fine(&mut self) {
        self.balance += 1;
    }

    /// An item was told to wait. True when that counts against it: since the
    /// time before, more of the others were answered well than were told to
    /// wait; or there are no others left to show whose matter it is, and it
    /// has waited often enough.
    pub(super) fn told_to_wait(&mut self, item: &mut Waits, alone: bool) -> bool {
        let stands_out = item.last.is_some_and(|then| self.balance > then);
        self.balance -= 1;
        item.last = Some(self.balance);
        item.times += 1;
        stands_out || (alone && item.times > PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_storm_nobody_stands_out() {
        let mut storm = Storm::default();
        let mut items = [Waits::default(); 8];
        for round in 0..100 {
            for item in &mut items {
                assert!(!storm.told_to_wait(item, false));
            }
            // One in eight gets through.
            if round % 2 == 0 {
                storm.fine();
            }
        }
        // And alone, at the end of the list, not for a long while.
        let mut last = Waits::default();
        assert!((0..PATIENCE).all(|_| !storm.told_to_wait(&mut last, true)));
        assert!(storm.told_to_wait(&mut last, true));
    }

    #[test]
    fn items_that_are_refused_while_others_get_through_stand_out() {
        let mut storm = Storm::default();
        let (mut one, mut other) = (Waits::default(), Waits::default());
        assert!(!storm.told_to_wait(&mut one, false));
        assert!(!storm.told_to_wait(&mut other, false));
        for _ in 0..5 {
            for _ in 0..3 {
                storm.fine();
            }
            assert!(storm.told_to_wait(&mut one, false));
            assert!(storm.told_to_wait(&mut other, false));
        }
    }
}
