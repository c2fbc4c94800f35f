//! Whose matter a Retry-After is: the server's, or one item's.
//!
//! A server that asks to be left alone speaks of itself, and waiting as it
//! says must not use up an item's tries; but an item that is refused again and
//! again while the others get through has to fail at last. Owns that judgement.
//! How long to wait is the pacer's matter.

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

    /// An item was told to wait. `last` is its own memory of the time before.
    /// True when that counts against it: since then, more of the others were
    /// answered well than were told to wait.
    pub(super) fn told_to_wait(&mut self, last: &mut Option<i64>) -> bool {
        let stands_out = last.is_some_and(|then| self.balance > then);
        self.balance -= 1;
        *last = Some(self.balance);
        stands_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_storm_nobody_stands_out() {
        let mut storm = Storm::default();
        let mut items = [None; 8];
        for round in 0..100 {
            for item in &mut items {
                assert!(!storm.told_to_wait(item));
            }
            // One in eight gets through.
            if round % 2 == 0 {
                storm.fine();
            }
        }
        // And alone, at the end of the list.
        let mut last = None;
        assert!((0..100).all(|_| !storm.told_to_wait(&mut last)));
    }

    #[test]
    fn items_that_are_refused_while_others_get_through_stand_out() {
        let mut storm = Storm::default();
        let (mut one, mut other) = (None, None);
        assert!(!storm.told_to_wait(&mut one));
        assert!(!storm.told_to_wait(&mut other));
        for _ in 0..5 {
            for _ in 0..3 {
                storm.fine();
            }
            assert!(storm.told_to_wait(&mut one));
            assert!(storm.told_to_wait(&mut other));
        }
    }
}
