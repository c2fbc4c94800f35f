//! The pacer with `rate = "auto"`, `concurrency = "auto"`, and with what
//! servers announce.

use super::*;
use crate::job::Rate;
use crate::pace::{Budget, Signal};

const RETRY: Retry = Retry {
    attempts: 6,
    backoff_first: Duration::from_millis(500),
    backoff_last: Duration::from_secs(60),
};

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
            wall: UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.at,
        }
    }
}

fn limits(rates: &[(u32, u64)], auto: bool) -> Limits {
    let rate = |&(count, ms): &(u32, u64)| Rate {
        count,
        window: Duration::from_millis(ms),
    };
    Limits {
        rates: rates.iter().map(rate).collect(),
        rate_auto: auto,
        concurrency: if auto { 256 } else { 8 },
        concurrency_auto: auto,
        max_wait: Duration::from_secs(3600),
        quarantine: None,
    }
}

fn go(pacer: &mut Pacer, clock: &mut Clock) -> Permit {
    loop {
        match pacer.turn(clock.now()) {
            Turn::Go(permit) => return permit,
            Turn::Wait(to, _) => clock.at = to.duration_since(clock.base),
            Turn::NeedsLease => {
                pacer.note(clock.now(), None, false);
                pacer.committed(clock.now());
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Requests one after another, each answered by `answer` after `latency`,
/// until `until`: the start times.
fn drive(
    pacer: &mut Pacer,
    clock: &mut Clock,
    until: Duration,
    latency: Duration,
    mut answer: impl FnMut(&Permit, Duration) -> Signal,
) -> Vec<Duration> {
    let mut starts = Vec::new();
    let mut under_way = std::collections::VecDeque::new();
    while clock.at < until {
        let mut wake = Duration::MAX;
        match pacer.turn(clock.now()) {
            Turn::Go(permit) => {
                starts.push(clock.at);
                let signal = answer(&permit, clock.at);
                under_way.push_back((clock.at + latency, permit, signal));
                continue;
            }
            Turn::Wait(to, _) => {
                let to = to.duration_since(clock.base);
                // tokio's timers tick in ms, rounding up.
                wake = Duration::from_millis(
                    u64::try_from(to.as_nanos().div_ceil(1_000_000)).unwrap(),
                );
            }
            Turn::NeedsLease => {
                pacer.note(clock.now(), None, false);
                pacer.committed(clock.now());
                continue;
            }
            Turn::Full => {}
        }
        clock.at = under_way.front().map_or(wake, |answer| wake.min(answer.0));
        while under_way.front().is_some_and(|answer| answer.0 <= clock.at) {
            let (_, permit, signal) = under_way.pop_front().unwrap();
            let item = starts.len() as u64;
            assert_eq!(pacer.finish(permit, signal, item, clock.now()), Ok(()));
        }
    }
    starts
}

fn between(starts: &[Duration], from: u64, to: u64) -> usize {
    let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
    starts.iter().filter(|at| **at >= from && **at < to).count()
}

#[test]
fn a_fixed_quota_stays_a_hard_ceiling_of_an_auto_rate() {
    let mut clock = Clock::new();
    let mut pacer = Pacer::new(
        &limits(&[(50, 1_000), (500, 20_000)], true),
        &RETRY,
        true,
        1,
        clock.now(),
    );
    let until = Duration::from_secs(120);
    let fine = |_: &Permit, _| Signal::Fine;
    let starts = drive(
        &mut pacer,
        &mut clock,
        until,
        Duration::from_millis(20),
        fine,
    );
    for (n, window) in [(50, 1), (500, 20)] {
        let window = Duration::from_secs(window);
        let most = (0..starts.len())
            .map(|to| {
                starts[..=to]
                    .iter()
                    .rev()
                    .take_while(|at| starts[to] - **at < window)
                    .count()
            })
            .max()
            .unwrap();
        assert!(most <= n, "{most} of {n} in {window:?}");
    }
    // And it is used once the pace has found it.
    let used = between(&starts, 40, 100);
    assert!(used >= 1_470, "{used} of 1,500");
}

#[test]
fn without_any_limit_an_auto_pace_gets_as_fast_as_the_latency_allows() {
    let mut clock = Clock::new();
    let mut pacer = Pacer::new(&limits(&[], true), &RETRY, false, 1, clock.now());
    let until = Duration::from_secs(60);
    let fine = |_: &Permit, _| Signal::Fine;
    let starts = drive(
        &mut pacer,
        &mut clock,
        until,
        Duration::from_millis(100),
        fine,
    );
    // 256 in flight at 100 ms.
    let last = between(&starts, 50, 60);
    assert!(last > 23_000, "{last} in 10 s");
    assert_eq!(pacer.found().concurrency, Some(256));
    assert!(!pacer.found().limit_seen);
}

#[test]
fn what_was_learnt_is_in_the_note_and_a_resumed_run_starts_from_it() {
    let mut clock = Clock::new();
    let lim = limits(&[], true);
    let mut pacer = Pacer::new(&lim, &RETRY, true, 1, clock.now());
    let mut tokens = 80.0_f64;
    let mut last = Duration::ZERO;
    let mut server = |permit: &Permit, at: Duration| {
        tokens = (tokens + (at - last).as_secs_f64() * 80.0).min(80.0);
        last = at;
        if tokens >= 1.0 {
            tokens -= 1.0;
            return Signal::Fine;
        }
        permit.over_the_limit();
        Signal::RetryAfter(Duration::from_secs(1))
    };
    let latency = Duration::from_millis(20);
    drive(
        &mut pacer,
        &mut clock,
        Duration::from_secs(90),
        latency,
        &mut server,
    );
    let found = pacer.found();
    let rate = found.rate.unwrap();
    assert!(
        found.limit_seen && (72.0..92.0).contains(&rate),
        "{found:?}"
    );
    assert!(found.refused > 0 && found.refused < 60, "{found:?}");

    let note = pacer.note(clock.now(), None, true);
    assert_eq!(note.learnt.rate_milli, (rate * 1e3) as u64);
    let mut again = Pacer::new(&lim, &RETRY, true, 2, clock.now());
    again.restore(&[note], clock.now(), None);
    let from = clock.at.as_secs();
    let until = clock.at + Duration::from_secs(5);
    let starts = drive(&mut again, &mut clock, until, latency, &mut server);
    let first = between(&starts, from, from + 4);
    assert!(
        first > 4 * 65,
        "{first} in the first 4 s, at {rate}/s found"
    );
}

#[test]
fn a_used_up_quota_holds_everyone_until_its_reset_and_across_a_restart() {
    for auto in [false, true] {
        let mut clock = Clock::new();
        let lim = limits(&[], auto);
        let mut pacer = Pacer::new(&lim, &RETRY, true, 1, clock.now());
        let permit = go(&mut pacer, &mut clock);
        permit.announce(Budget {
            left: Some(0),
            reset: Some(Duration::from_secs(30)),
            limit: Some(100),
            window: Some(Duration::from_secs(60)),
        });
        assert_eq!(pacer.finish(permit, Signal::Fine, 1, clock.now()), Ok(()));
        let Turn::Wait(until, Why::Pause) = pacer.turn(clock.now()) else {
            panic!("no pause")
        };
        let wait = until.duration_since(clock.now().instant);
        assert!(
            wait >= Duration::from_secs(30) && wait < Duration::from_millis(30_200),
            "{wait:?}"
        );
        let view = pacer.pause_view(clock.now()).unwrap();
        assert_eq!(view.reason, PauseReason::UsedUp);
        let announced = Some((100, Some(Duration::from_secs(60))));
        assert_eq!(pacer.found().announced, announced);

        let note = pacer.note(clock.now(), None, true);
        clock.at += Duration::from_secs(10);
        let mut again = Pacer::new(&lim, &RETRY, true, 2, clock.now());
        again.restore(&[note], clock.now(), None);
        let Turn::Wait(until, Why::Pause) = again.turn(clock.now()) else {
            panic!("no pause")
        };
        let left = until.duration_since(clock.now().instant).as_secs_f64();
        assert!((20.0..20.3).contains(&left), "{left}");
        assert_eq!(again.found().announced, announced);
    }
}

#[test]
fn a_used_up_quota_longer_than_max_wait_gives_up_and_nonsense_holds_nobody() {
    let announce = |left, reset: u64, limit| Budget {
        left: Some(left),
        reset: Some(Duration::from_secs(reset)),
        limit,
        window: None,
    };
    let after = |budget: Budget| {
        let mut clock = Clock::new();
        let mut pacer = Pacer::new(&limits(&[], false), &RETRY, true, 1, clock.now());
        let permit = go(&mut pacer, &mut clock);
        permit.announce(budget);
        let finished = pacer.finish(permit, Signal::Fine, 1, clock.now());
        (finished, matches!(pacer.turn(clock.now()), Turn::Go(_)))
    };
    assert!(matches!(
        after(announce(0, 7_200, None)),
        (Err(GiveUp::UsedUp(_)), false)
    ));
    for nonsense in [
        announce(0, 0, None),
        announce(0, 30, Some(0)),
        announce(0, 40 * 86_400, None),
        announce(5, 30, Some(100)),
    ] {
        assert_eq!(after(nonsense), (Ok(()), true), "{nonsense:?}");
    }
}

/// Announced quotas are never exceeded: nothing is refused at all.
#[test]
fn an_auto_rate_spreads_what_the_server_says_is_left() {
    let mut clock = Clock::new();
    let mut pacer = Pacer::new(&limits(&[], true), &RETRY, false, 1, clock.now());
    // 300 in each 30 s, by the clock.
    let (mut window, mut used, mut refused) = (0, 0_u64, 0);
    let server = |permit: &Permit, at: Duration| {
        if at.as_secs() / 30 != window {
            (window, used) = (at.as_secs() / 30, 0);
        }
        used += 1;
        let left = 30_000 - at.as_millis() as u64 % 30_000;
        permit.announce(Budget {
            left: Some(300_u64.saturating_sub(used)),
            reset: Some(Duration::from_millis(left)),
            limit: Some(300),
            window: Some(Duration::from_secs(30)),
        });
        if used > 300 {
            refused += 1;
            permit.over_the_limit();
            return Signal::RetryAfter(Duration::from_millis(left));
        }
        Signal::Fine
    };
    let until = Duration::from_secs(150);
    let starts = drive(
        &mut pacer,
        &mut clock,
        until,
        Duration::from_millis(50),
        server,
    );
    assert_eq!(refused, 0, "of {}", starts.len());
    let used = between(&starts, 30, 150);
    assert!(used >= 1_080, "{used} of 1,200");
    // Spread: no second has more than twice its part.
    let most = (30..150)
        .map(|second| between(&starts, second, second + 1))
        .max();
    assert!(most <= Some(22), "{most:?}");
}

#[test]
fn a_bad_line_does_not_make_an_auto_rate_crawl() {
    let mut clock = Clock::new();
    let mut lim = limits(&[], true);
    lim.concurrency_auto = false;
    let mut pacer = Pacer::new(&lim, &RETRY, false, 1, clock.now());
    let mut random = fastrand::Rng::with_seed(9);
    let server = |_: &Permit, _| match random.f64() < 0.3 {
        true => Signal::Trouble,
        false => Signal::Fine,
    };
    let until = Duration::from_secs(120);
    let starts = drive(
        &mut pacer,
        &mut clock,
        until,
        Duration::from_millis(20),
        server,
    );
    let last = between(&starts, 60, 120) / 60;
    assert!(last > 200, "{last} a second");
}

/// A maintenance is not a rate: afterwards it goes on as before.
#[test]
fn a_503_with_a_long_retry_after_teaches_no_limit() {
    let mut clock = Clock::new();
    let mut pacer = Pacer::new(
        &limits(&[(100, 1_000)], true),
        &RETRY,
        false,
        1,
        clock.now(),
    );
    let server = |_: &Permit, at: Duration| match at.as_secs() {
        40..100 => Signal::RetryAfter(Duration::from_secs(60)),
        _ => Signal::Fine,
    };
    let until = Duration::from_secs(180);
    let starts = drive(
        &mut pacer,
        &mut clock,
        until,
        Duration::from_millis(20),
        server,
    );
    assert!(between(&starts, 20, 40) > 1_900);
    assert!(between(&starts, 41, 100) <= 12);
    let after = between(&starts, 150, 180) / 30;
    assert!(after >= 90, "{after} a second");
}
