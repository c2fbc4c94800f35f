//! What earlier runs' notes say about now.
//!
//! Owns the question how long ago something was. The wall clock may have been
//! set meanwhile, by a day or to 1970; so ages come from the boot's own clock
//! where both moments were on the same boot, and else from the distance between
//! two readings of the wall clock, a negative one counting as no time at all.
//! Any mistake is on the side of asking too late. Must never do I/O.

use super::note::{Note, Uptime};
use std::time::Duration;

/// The past, seen from now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Past {
    /// How long ago, and how many starts: oldest first.
    pub(super) starts: Vec<(Duration, u32)>,
    /// The last note's lease.
    pub(super) lease: u32,
    /// What is left of the pause.
    pub(super) pause: Duration,
}

/// Reads the notes of earlier runs, oldest first, at `wall_ms`.
pub(super) fn read(notes: &[Note], wall_ms: u64, up: Option<Uptime>) -> Past {
    let Some(last) = notes.last() else {
        return Past::default();
    };
    let mut age = apart(last.at_ms, last.up, wall_ms, up);
    let mut pause = 0;
    if last.pause_until_ms > last.at_ms {
        // What was left of it then: its end by the wall clock may be a day off by now.
        pause = (last.pause_until_ms - last.at_ms).saturating_sub(age);
    }
    // The lease may have been used up to its end.
    let leased = last.lease_until_ms.saturating_sub(last.at_ms);
    let mut starts = vec![(age.saturating_sub(leased), last.lease), (age, last.starts)];
    for pair in notes.windows(2).rev() {
        let [older, newer] = pair else { continue };
        age = age.saturating_add(apart(older.at_ms, older.up, newer.at_ms, newer.up));
        starts.push((age, older.starts));
    }
    starts.reverse();
    Past {
        starts: starts
            .into_iter()
            .map(|(age, count)| (Duration::from_millis(age), count))
            .collect(),
        lease: last.lease,
        pause: Duration::from_millis(pause),
    }
}

/// Milliseconds from one moment to a later one.
fn apart(from_ms: u64, from: Option<Uptime>, to_ms: u64, to: Option<Uptime>) -> u64 {
    match (from, to) {
        (Some(from), Some(to)) if from.boot == to.boot && from.ms <= to.ms => to.ms - from.ms,
        _ => to_ms.saturating_sub(from_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400_000;
    const T: u64 = 1_800_000_000_000;

    fn up(ms: u64) -> Option<Uptime> {
        Some(Uptime { boot: 7, ms })
    }

    fn note(at_ms: u64, starts: u32, ms: Option<u64>) -> Note {
        Note {
            at_ms,
            starts,
            up: ms.and_then(up),
            ..Note::default()
        }
    }

    fn ages(past: &Past) -> Vec<u64> {
        let ages = past.starts.iter().filter(|(_, count)| *count > 0);
        ages.map(|(age, _)| age.as_millis() as u64).collect()
    }

    #[test]
    fn a_steady_clock_gives_the_ages_that_it_shows() {
        let notes = [note(T, 1, None), note(T + 500, 2, None)];
        assert_eq!(ages(&read(&notes, T + 2_000, None)), [2_000, 1_500]);
        assert_eq!(read(&[], T, None), Past::default());
    }

    #[test]
    fn a_clock_set_back_between_two_runs_keeps_the_distances_of_the_notes() {
        let notes = [note(T, 1, None), note(T + 500, 2, None)];
        assert_eq!(ages(&read(&notes, T - DAY, None)), [500, 0]);
    }

    #[test]
    fn a_clock_set_back_during_a_run_ages_nothing_before_it() {
        let notes = [
            note(T, 1, None),
            note(T + 500, 2, None),
            note(T + 1_000 - DAY, 4, None),
        ];
        let past = read(&notes, T + 2_000 - DAY, None);
        assert_eq!(ages(&past), [1_500, 1_000, 1_000]);
    }

    #[test]
    fn on_the_same_boot_no_jump_of_the_wall_clock_matters() {
        for (then, now) in [(T, T + DAY), (T + DAY, T), (T, 0), (0, T + 100 * 365 * DAY)] {
            let notes = [
                note(T, 1, Some(100)),
                note(then, 2, Some(600)),
                note(now, 4, Some(900)),
            ];
            assert_eq!(ages(&read(&notes, then, up(1_000))), [900, 400, 100]);
        }
    }

    #[test]
    fn another_boot_or_none_falls_back_to_the_wall_clock() {
        let notes = [note(T, 1, Some(5_000))];
        let other = Some(Uptime { boot: 8, ms: 9_000 });
        for now in [other, up(4_000), None] {
            assert_eq!(ages(&read(&notes, T + 50, now)), [50]);
        }
    }

    #[test]
    fn a_pause_is_never_longer_than_it_was() {
        let mut paused = note(T, 1, None);
        paused.pause_until_ms = T + 60_000;
        for (now, left) in [
            (T + 20_000, 40_000),
            (T - DAY, 60_000),
            (0, 60_000),
            (T + DAY, 0),
        ] {
            assert_eq!(
                read(&[paused], now, None).pause,
                Duration::from_millis(left)
            );
        }
        paused.up = up(1_000);
        let past = read(&[paused], T + DAY, up(21_000));
        assert_eq!(past.pause, Duration::from_millis(40_000));
    }

    proptest! {
        /// Whatever the clocks did, time runs one way: the quotas rely on it.
        #[test]
        fn ages_never_shrink_towards_the_past(
            clocks in prop::collection::vec((any::<u64>(), prop::option::of(any::<u64>())), 1..20),
            wall in any::<u64>(),
            now in prop::option::of(any::<u64>()),
        ) {
            let notes: Vec<Note> = clocks.iter().map(|&(at, ms)| Note {
                lease: 3,
                lease_until_ms: at.saturating_add(4_000),
                pause_until_ms: wall,
                ..note(at, 1, ms)
            }).collect();
            let past = read(&notes, wall, now.and_then(up));
            prop_assert_eq!(past.starts.len(), notes.len() + 1);
            for pair in past.starts.windows(2) {
                prop_assert!(pair[0].0 >= pair[1].0);
            }
        }
    }
}
