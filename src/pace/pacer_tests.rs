//! "Never over the quota" and "Good manners" under a clock that the test holds.

use super::*;
use crate::job::Rate;
use crate::pace::{Note, Signal, Uptime};
use proptest::prelude::*;

const WALL0: Duration = Duration::from_secs(1_800_000_000);

struct Clock {
    base: Instant,
    at: Duration,
}

impl Clock {
    fn new() -> Clock {
        Clock {
            base: Instant::now(),
            at: Duration::ZERO,
        }
    }
    fn now(&self) -> Now {
        Now {
            instant: self.base + self.at,
            wall: UNIX_EPOCH + WALL0 + self.at,
        }
    }
}

fn limits(rates: &[(u32, u64)], concurrency: usize) -> Limits {
    Limits {
        rates: rates
            .iter()
            .map(|&(count, ms)| Rate {
                count,
                window: Duration::from_millis(ms),
            })
            .collect(),
        rate_auto: false,
        concurrency,
        concurrency_auto: false,
        max_wait: Duration::from_secs(3600),
        quarantine: None,
    }
}

const RETRY: Retry = Retry {
    attempts: 6,
    backoff_first: Duration::from_millis(500),
    backoff_last: Duration::from_secs(60),
};

/// The most starts in any half-open window of `window`.
fn most(starts: &[Duration], window: Duration) -> usize {
    let (mut from, mut most) = (0, 0);
    for to in 0..starts.len() {
        while starts[to] - starts[from] >= window {
            from += 1;
        }
        most = most.max(to - from + 1);
    }
    most
}

/// Runs a pacer with timers that are late by `lateness` ticks of a ms until
/// `until`, committing whenever it asks; returns the start times.
fn drive(
    pacer: &mut Pacer,
    clock: &mut Clock,
    until: Duration,
    mut late: impl FnMut() -> Duration,
    last_note: &mut Vec<Note>,
) -> Vec<Duration> {
    let mut starts = Vec::new();
    while clock.at < until {
        match pacer.turn(clock.now()) {
            Turn::Go(permit) => {
                starts.push(clock.at);
                assert_eq!(pacer.finish(permit, Signal::Fine, 1, clock.now()), Ok(()));
            }
            Turn::Wait(to, _) => {
                let to = to.duration_since(clock.base);
                assert!(to > clock.at, "a wait must be in the future");
                // tokio's timers tick in ms, rounding up.
                let ms =
                    Duration::from_millis(u64::try_from(to.as_micros().div_ceil(1000)).unwrap());
                clock.at = ms + late();
            }
            Turn::NeedsLease => {
                last_note.push(pacer.note(clock.now(), None, false));
                pacer.committed(clock.now());
            }
            Turn::Full => unreachable!("nothing stays in flight here"),
        }
    }
    starts
}

fn utilisation(rates: &[(u32, u64)], seconds: u64) {
    let mut clock = Clock::new();
    let mut pacer = Pacer::new(&limits(rates, 64), &RETRY, true, 1, clock.now());
    let mut rng = fastrand::Rng::with_seed(7);
    let starts = drive(
        &mut pacer,
        &mut clock,
        Duration::from_secs(seconds),
        || Duration::from_micros(rng.u64(0..400)),
        &mut Vec::new(),
    );
    let tightest = rates
        .iter()
        .map(|&(n, ms)| f64::from(n) * 1000.0 / ms as f64)
        .fold(f64::MAX, f64::min);
    let share = starts.len() as f64 / (tightest * seconds as f64);
    assert!(
        share >= 0.98,
        "{rates:?}: only {share:.4} of the quota was used"
    );
    for &(n, ms) in rates {
        assert!(
            most(&starts, Duration::from_millis(ms)) <= n as usize,
            "{rates:?}"
        );
    }
}

#[test]
fn at_least_98_percent_of_the_quota_is_used_from_1_to_5000_a_second() {
    for n in [1, 2, 10, 50, 200, 1000, 2000, 5000] {
        utilisation(&[(n, 1000)], if n == 1 { 200 } else { 60 });
    }
    utilisation(&[(50, 1000), (600, 20_000)], 120);
    utilisation(&[(180, 30_000)], 600);
}

#[test]
fn a_single_quota_is_spread_evenly_from_the_first_start_on() {
    let mut clock = Clock::new();
    let mut pacer = Pacer::new(&limits(&[(10, 1000)], 8), &RETRY, false, 1, clock.now());
    let starts = drive(
        &mut pacer,
        &mut clock,
        Duration::from_secs(1),
        || Duration::ZERO,
        &mut Vec::new(),
    );
    for pair in starts.windows(2) {
        assert!(
            pair[1] - pair[0] >= Duration::from_millis(100),
            "{starts:?}"
        );
    }
}

#[test]
fn a_retry_after_pauses_everyone_and_outlives_the_process() {
    let mut clock = Clock::new();
    let lim = limits(&[], 8);
    let mut pacer = Pacer::new(&lim, &RETRY, true, 1, clock.now());
    let Turn::Go(one) = pacer.turn(clock.now()) else {
        panic!()
    };
    let Turn::Go(_other) = pacer.turn(clock.now()) else {
        panic!()
    };
    clock.at += Duration::from_secs(1);
    pacer
        .finish(
            one,
            Signal::RetryAfter(Duration::from_secs(100)),
            1,
            clock.now(),
        )
        .unwrap();
    assert!(matches!(pacer.turn(clock.now()), Turn::Wait(_, Why::Pause)));
    assert!(matches!(
        pacer.side_turn(clock.now()),
        Turn::Wait(_, Why::Pause)
    ));
    let note = pacer.note(clock.now(), None, true);
    clock.at += Duration::from_secs(50);
    let mut again = Pacer::new(&lim, &RETRY, true, 2, clock.now());
    again.restore(&[note], clock.now(), None);
    assert_eq!(again.check_inherited_pause(clock.now()), Ok(()));
    let Turn::Wait(until, Why::Pause) = again.turn(clock.now()) else {
        panic!()
    };
    let left = until.duration_since(clock.now().instant).as_secs_f64();
    assert!((50.0..50.3).contains(&left), "{left}");
}

#[test]
fn a_retry_after_longer_than_max_wait_gives_up_now_and_after_a_restart() {
    let clock = Clock::new();
    let lim = limits(&[], 8);
    let mut pacer = Pacer::new(&lim, &RETRY, true, 1, clock.now());
    let Turn::Go(permit) = pacer.turn(clock.now()) else {
        panic!()
    };
    let day = Signal::RetryAfter(Duration::from_secs(86_400));
    assert!(matches!(
        pacer.finish(permit, day, 1, clock.now()),
        Err(GiveUp::RetryAfter(_))
    ));
    let note = pacer.note(clock.now(), None, true);
    let mut again = Pacer::new(&lim, &RETRY, true, 2, clock.now());
    again.restore(&[note], clock.now(), None);
    assert!(matches!(
        again.check_inherited_pause(clock.now()),
        Err(GiveUp::RetryAfter(_))
    ));
}

#[test]
fn an_hour_without_a_network_costs_one_probe_per_back_off_step() {
    let mut clock = Clock::new();
    let mut lim = limits(&[(50, 1000)], 8);
    lim.max_wait = Duration::from_secs(2 * 3600);
    let mut pacer = Pacer::new(&lim, &RETRY, false, 1, clock.now());
    let mut sent = 0;
    while clock.at < Duration::from_secs(3600) {
        match pacer.turn(clock.now()) {
            Turn::Go(permit) => {
                sent += 1;
                clock.at += Duration::from_millis(2);
                pacer
                    .finish(permit, Signal::Unreachable, sent, clock.now())
                    .unwrap();
            }
            Turn::Wait(to, _) => clock.at = to.duration_since(clock.base),
            other => panic!("{other:?}"),
        }
    }
    // 8 steps up to 60 s, then one in 30 to 60 s.
    assert!((60..=130).contains(&sent), "{sent} requests");
    assert!(pacer.in_outage());
    lim.max_wait = Duration::from_secs(60);
    let mut pacer = Pacer::new(&lim, &RETRY, false, 1, clock.now());
    loop {
        match pacer.turn(clock.now()) {
            Turn::Go(permit) => {
                clock.at += Duration::from_millis(2);
                if let Err(give_up) = pacer.finish(permit, Signal::Unreachable, 1, clock.now()) {
                    assert!(matches!(give_up, GiveUp::Outage(_)));
                    break;
                }
            }
            Turn::Wait(to, _) => clock.at = to.duration_since(clock.base),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_server_that_only_ever_says_retry_after_is_an_outage_with_an_end() {
    let mut clock = Clock::new();
    let mut lim = limits(&[], 8);
    lim.max_wait = Duration::from_secs(600);
    let mut pacer = Pacer::new(&lim, &RETRY, false, 1, clock.now());
    let mut sent = 0;
    let gave_up = loop {
        match pacer.turn(clock.now()) {
            Turn::Go(permit) => {
                sent += 1;
                let wait = Signal::RetryAfter(Duration::from_secs(30));
                if let Err(give_up) = pacer.finish(permit, wait, sent, clock.now()) {
                    break give_up;
                }
                // From the eighth on, failures are the server's and cost no item an attempt.
                assert_eq!(pacer.in_outage(), sent >= 8);
            }
            Turn::Wait(to, _) => clock.at = to.duration_since(clock.base),
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(gave_up, GiveUp::Outage(_)), "{gave_up:?}");
    assert!(
        clock.at > Duration::from_secs(540) && sent < 40,
        "{sent} in {:?}",
        clock.at
    );
}

#[test]
fn an_answer_that_is_not_fine_is_a_probe_like_any_other() {
    let mut clock = Clock::new();
    let mut pacer = Pacer::new(&limits(&[], 8), &RETRY, false, 1, clock.now());
    let Turn::Go(permit) = pacer.turn(clock.now()) else {
        panic!()
    };
    pacer
        .finish(permit, Signal::Unreachable, 1, clock.now())
        .unwrap();
    assert!(pacer.in_outage());
    clock.at += Duration::from_secs(60);
    let Turn::Go(permit) = pacer.turn(clock.now()) else {
        panic!()
    };
    assert!(
        matches!(pacer.turn(clock.now()), Turn::Full),
        "one probe at a time"
    );
    pacer
        .finish(permit, Signal::Neutral, 2, clock.now())
        .unwrap();
    assert!(pacer.in_outage());
    assert!(matches!(
        pacer.turn(clock.now()),
        Turn::Wait(_, Why::Outage)
    ));
    clock.at += Duration::from_secs(60);
    let Turn::Go(permit) = pacer.turn(clock.now()) else {
        panic!()
    };
    pacer.finish(permit, Signal::Fine, 3, clock.now()).unwrap();
    assert!(!pacer.in_outage());
}

/// The longest time between two starts when each commit takes `commit`, after
/// the first `settled`.
fn longest_stall(commit: Duration, settled: Duration) -> Duration {
    let mut clock = Clock::new();
    let mut pacer = Pacer::new(&limits(&[(10, 1000)], 8), &RETRY, true, 1, clock.now());
    let (mut durable_at, mut last, mut longest) = (None, Duration::ZERO, Duration::ZERO);
    while clock.at < settled + 20 * commit + Duration::from_secs(60) {
        if durable_at.is_some_and(|at| clock.at >= at) {
            durable_at = None;
            pacer.committed(clock.now());
        }
        if durable_at.is_none() && pacer.lease_low(clock.now()) {
            let _ = pacer.note(clock.now(), None, false);
            durable_at = Some(clock.at + commit);
        }
        match pacer.turn(clock.now()) {
            Turn::Go(permit) => {
                pacer.finish(permit, Signal::Fine, 1, clock.now()).unwrap();
                if clock.at > settled {
                    longest = longest.max(clock.at - last);
                }
                last = clock.at;
            }
            Turn::Wait(to, _) => {
                let to = to.duration_since(clock.base);
                clock.at = durable_at.map_or(to, |at| to.min(at));
            }
            Turn::NeedsLease => clock.at = durable_at.expect("a lease is wanted"),
            other => panic!("{other:?}"),
        }
    }
    longest.max(clock.at - last)
}

#[test]
fn a_slow_disk_stalls_a_run_at_its_beginning_only() {
    for ms in [1, 1_000, 3_999, 4_000, 5_000, 60_000] {
        let commit = Duration::from_millis(ms);
        // The first commit teaches how slow they are, the second brings a lease that lasts.
        let stall = longest_stall(commit, 3 * commit + Duration::from_secs(1));
        assert!(stall < Duration::from_millis(300), "{ms} ms: {stall:?}");
    }
}

#[test]
fn one_bad_item_is_no_outage() {
    let clock = Clock::new();
    let mut pacer = Pacer::new(&limits(&[], 8), &RETRY, false, 1, clock.now());
    for _ in 0..50 {
        let mut at = Clock {
            base: clock.base,
            at: clock.at,
        };
        let permit = loop {
            match pacer.turn(at.now()) {
                Turn::Go(permit) => break permit,
                Turn::Wait(to, _) => at.at = to.duration_since(at.base),
                other => panic!("{other:?}"),
            }
        };
        pacer.finish(permit, Signal::Trouble, 42, at.now()).unwrap();
        assert!(!pacer.in_outage());
    }
}

/// Answers every request with `signal` for an hour, then well; returns the
/// requests of the hour, and the starts of the minutes after.
fn an_hour_of(signal: Signal) -> (usize, Vec<Duration>) {
    const HOUR: Duration = Duration::from_secs(3600);
    let mut clock = Clock::new();
    let mut lim = limits(&[(50, 1000)], 8);
    lim.max_wait = 2 * HOUR;
    let mut pacer = Pacer::new(&lim, &RETRY, false, 1, clock.now());
    // Eight at a time: each is answered only when no more can be begun.
    let mut under_way: Vec<Permit> = Vec::new();
    let (mut sent, mut after) = (0_usize, Vec::new());
    while clock.at < HOUR + Duration::from_secs(300) {
        let down = clock.at < HOUR;
        match pacer.turn(clock.now()) {
            Turn::Go(permit) => {
                under_way.push(permit);
                if down {
                    sent += 1;
                } else {
                    after.push(clock.at - HOUR);
                }
                continue;
            }
            Turn::Wait(to, _) if under_way.is_empty() => clock.at = to.duration_since(clock.base),
            Turn::Wait(..) | Turn::Full => {}
            other => panic!("{other:?}"),
        }
        clock.at += Duration::from_millis(2);
        for (item, permit) in under_way.drain(..).enumerate() {
            let answer = if down { signal } else { Signal::Fine };
            let item = (sent * 8 + item) as u64;
            assert_eq!(pacer.finish(permit, answer, item, clock.now()), Ok(()));
        }
    }
    (sent, after)
}

#[test]
fn an_hour_of_any_outage_costs_one_probe_per_back_off_step_and_then_it_goes_on() {
    for signal in [
        Signal::Trouble,
        Signal::Overloaded,
        Signal::Unreachable,
        Signal::RetryAfter(Duration::from_secs(1)),
        Signal::RetryAfter(Duration::from_secs(120)),
    ] {
        let (sent, after) = an_hour_of(signal);
        // What was in flight or needed to know it, 8 steps up to 60 s, then one in 30 to 60 s.
        assert!(sent <= 16 + 8 + 120, "{signal:?}: {sent} requests");
        assert!(sent >= 20, "{signal:?}: {sent} requests");
        // One step of waiting at most, and full speed a little later.
        assert!(
            after[0] <= Duration::from_secs(122),
            "{signal:?}: {:?}",
            after[0]
        );
        let minutes = Duration::from_secs(180);
        let late = after.iter().filter(|at| **at >= minutes).count();
        assert!(late >= 50 * 120 * 98 / 100, "{signal:?}: {late}");
    }
}

/// One item is left, and the server asks for patience: no item's matter.
#[test]
fn a_single_item_that_is_told_to_wait_shows_an_outage_too() {
    let mut clock = Clock::new();
    let mut lim = limits(&[], 8);
    lim.max_wait = Duration::from_secs(60);
    for (wait, most) in [(1, 61), (25, 3), (59, 2)] {
        let mut pacer = Pacer::new(&lim, &RETRY, false, 1, clock.now());
        let began = clock.at;
        let mut sent = 0;
        let gave_up = loop {
            match pacer.turn(clock.now()) {
                Turn::Go(permit) => {
                    sent += 1;
                    clock.at += Duration::from_millis(2);
                    let signal = Signal::RetryAfter(Duration::from_secs(wait));
                    if let Err(why) = pacer.finish(permit, signal, 42, clock.now()) {
                        break why;
                    }
                }
                Turn::Wait(to, _) => clock.at = to.duration_since(clock.base),
                other => panic!("{other:?}"),
            }
        };
        assert!(matches!(gave_up, GiveUp::Outage(_)), "{gave_up:?}");
        assert!(sent <= most, "{sent} requests, {wait} s each");
        let took = clock.at - began;
        assert!(took <= lim.max_wait, "{took:?}");
        assert!(took + Duration::from_secs(wait) + Duration::from_secs(31) > lim.max_wait);
    }
}

/// The clock of the next run is a day off, either way.
#[test]
fn a_clock_that_was_set_makes_no_pause_longer_and_no_quota_larger() {
    const DAY: Duration = Duration::from_secs(86_400);
    let mut clock = Clock::new();
    let lim = limits(&[(10, 1_000), (10, 60_000)], 8);
    let mut pacer = Pacer::new(&lim, &RETRY, true, 1, clock.now());
    let mut notes = Vec::new();
    let starts = drive(
        &mut pacer,
        &mut clock,
        Duration::from_millis(850),
        || Duration::ZERO,
        &mut notes,
    );
    let Turn::Go(permit) = (loop {
        match pacer.turn(clock.now()) {
            Turn::Wait(to, _) => clock.at = to.duration_since(clock.base),
            Turn::NeedsLease => {
                notes.push(pacer.note(clock.now(), None, false));
                pacer.committed(clock.now());
            }
            other => break other,
        }
    }) else {
        panic!()
    };
    let wait = Signal::RetryAfter(Duration::from_secs(30));
    pacer.finish(permit, wait, 1, clock.now()).unwrap();
    let boot = |ms| Some(Uptime { boot: 1, ms });
    notes.push(pacer.note(clock.now(), boot(1_000), true));
    clock.at += Duration::from_secs(5);
    for (wall, up, pause) in [
        // Back: nobody can tell how long ago it was, and no longer than it was is waited.
        (WALL0 - DAY, None, 30.0..30.2),
        (Duration::ZERO, None, 30.0..30.2),
        // Ahead, or back, on the same boot: as if the clock had not been touched.
        (WALL0 + DAY, boot(6_000), 25.0..25.2),
        (WALL0 - DAY, boot(6_000), 25.0..25.2),
    ] {
        let now = Now {
            wall: UNIX_EPOCH + wall,
            ..clock.now()
        };
        let mut again = Pacer::new(&lim, &RETRY, true, 2, now);
        again.restore(&notes, now, up);
        let Turn::Wait(until, Why::Pause) = again.turn(now) else {
            panic!("no pause")
        };
        let left = until.duration_since(now.instant).as_secs_f64();
        assert!(pause.contains(&left), "{left}, not {pause:?}");
        // And the starts from before count: the minute is full.
        let mut later = Clock {
            base: clock.base,
            at: clock.at + Duration::from_secs(31),
        };
        let until = later.at + Duration::from_secs(20);
        let more = drive(
            &mut again,
            &mut later,
            until,
            || Duration::ZERO,
            &mut Vec::new(),
        );
        let (before, after) = (starts.len() + 1, more.len());
        assert!(
            before >= 9 && before + after <= 10,
            "{before} + {after} in a minute"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// "Never over the quota": whatever the quotas, the pauses, the lateness of timers and
    /// the kills, no window of any quota holds more than N starts.
    #[test]
    fn no_window_ever_holds_more_than_its_quota(
        rates in prop::collection::vec((1u32..60, 100u64..20_000), 1..4),
        seed in any::<u64>(),
        kills in 0usize..6,
    ) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut clock = Clock::new();
        let lim = limits(&rates, 16);
        let mut starts = Vec::new();
        let mut notes: Vec<Note> = Vec::new();
        for _ in 0..=kills {
            let mut pacer = Pacer::new(&lim, &RETRY, true, seed, clock.now());
            pacer.restore(&notes, clock.now(), None);
            let until = clock.at + Duration::from_millis(rng.u64(10..15_000));
            let mut late = fastrand::Rng::with_seed(rng.u64(..));
            // Most disks take a moment for a commit, some longer than a lease of 4 s.
            let longest = if rng.bool() { 4_000 } else { 9_000_000 };
            let mut durable_at = None;
            while clock.at < until {
                if durable_at.is_some_and(|at| clock.at >= at) {
                    durable_at = None;
                    pacer.committed(clock.now());
                }
                if durable_at.is_none() && pacer.lease_low(clock.now()) {
                    notes.push(pacer.note(clock.now(), None, false));
                    durable_at = Some(clock.at + Duration::from_micros(late.u64(0..longest)));
                }
                match pacer.turn(clock.now()) {
                    Turn::Go(permit) => {
                        starts.push(clock.at);
                        let signal = if rng.u32(0..40) == 0 {
                            Signal::RetryAfter(Duration::from_millis(rng.u64(0..3_000)))
                        } else {
                            Signal::Fine
                        };
                        prop_assert_eq!(pacer.finish(permit, signal, 1, clock.now()), Ok(()));
                        clock.at += Duration::from_micros(late.u64(0..3_000));
                    }
                    Turn::Wait(to, _) => {
                        clock.at = to.duration_since(clock.base)
                            + Duration::from_micros(late.u64(0..2_000));
                        if late.u32(0..50) == 0 {
                            clock.at += Duration::from_millis(late.u64(0..700));
                        }
                    }
                    Turn::NeedsLease => match durable_at {
                        Some(at) => clock.at = clock.at.max(at),
                        None => prop_assert!(false, "no lease, and none is wanted"),
                    },
                    Turn::Full => unreachable!(),
                }
            }
            // Killed here, with the last commit on the disk or not; started again some time later.
            if durable_at.is_some() && rng.bool() {
                notes.pop();
            }
            clock.at += Duration::from_millis(rng.u64(0..2_000));
        }
        for &(n, ms) in &rates {
            let most = most(&starts, Duration::from_millis(ms));
            prop_assert!(most <= n as usize, "{} in {} ms of {:?}", most, ms, rates);
        }
    }
}
