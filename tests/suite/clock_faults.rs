//! The clock jumps, stands wrong, or runs away: nothing is asked too often,
//! and nothing waits for a day that never was ("Never over the quota", "Good manners", "One token").
//!
//! libfaketime stands between the program and its clocks. Only the wall clock
//! jumps, as when NTP or a person sets it; the last test runs both faster, so
//! that an hour is half a minute.
#![cfg(target_os = "linux")]

use crate::child::{end, kill, piped, requests, until};
use crate::raw::{Raw, answer, good};
use crate::support::{Api, Bench, Place, assert_exit, most_in_window, names, told, track_id};
use crate::tools::tool;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Where the library lies: the `faketime` program knows, and so do its folders.
fn library() -> Option<PathBuf> {
    if !tool("faketime", "faketime") {
        return None;
    }
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut places: Vec<PathBuf> = folders.map(|f| f.path().join("faketime")).collect();
    places.extend(
        [
            "/usr/lib/faketime",
            "/usr/lib64/faketime",
            "/usr/local/lib/faketime",
        ]
        .map(PathBuf::from),
    );
    let found = places
        .into_iter()
        .map(|p| p.join("libfaketime.so.1"))
        .find(|p| p.exists());
    assert!(found.is_some(), "faketime without its library");
    found
}

/// A wall clock that the test sets: `+1d`, `-1d`, `@1970-01-02 00:00:00`.
struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    fn new(place: &Place, at: &str) -> Option<Clock> {
        let clock = Clock {
            library: library()?,
            file: place.path("clock"),
        };
        clock.set(at);
        Some(clock)
    }

    /// In one step: half a line would be another time.
    fn set(&self, at: &str) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{at}\n")).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    /// `harvest` on this job, by this clock.
    fn command<S>(&self, bench: &Bench<S>, arguments: &[&str]) -> Command {
        let mut command = bench.command(arguments);
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("TZ", "UTC");
        command
    }

    fn start<S>(&self, bench: &Bench<S>) -> Child {
        piped(self.command(bench, &[]))
    }

    /// That the clock is the one that was set, as `harvest` itself sees it.
    fn assert_is_seen<S>(&self, bench: &Bench<S>, expected: &str) {
        let mut date = Command::new("date");
        for (name, value) in self.command(bench, &[]).get_envs() {
            if let Some(value) = value {
                date.env(name, value);
            }
        }
        let seen = date.args(["-u", "+%Y-%m-%d"]).output().unwrap();
        let seen = String::from_utf8_lossy(&seen.stdout).trim().to_owned();
        assert!(
            seen.starts_with(expected),
            "the clock shows {seen}, not {expected}"
        );
    }
}

fn bench(arguments: &[&str], items: usize, limits: &str) -> Bench<Api> {
    Bench::sandbox(arguments)
        .ids((0..items).map(track_id))
        .with("limits", limits)
}

#[track_caller]
fn assert_done<S>(bench: &Bench<S>, output: &Output) {
    assert_exit(output, 0);
    bench.assert_all_recorded();
}

/// A tenth more than `most`: the server's own clock is read late on a busy machine.
#[track_caller]
fn assert_never_over(api: &Api, most: usize, seconds: f64) {
    let mut times: Vec<f64> = api.seen().iter().map(|s| s.t).collect();
    let found = most_in_window(&mut times, seconds);
    println!("most in {seconds} s: {found} of {most}");
    assert!(
        found <= most * 11 / 10,
        "{found} requests in {seconds} s, {most} are allowed"
    );
}

/// Runs the cases side by side: each waits most of the time.
fn side_by_side<T: Sync>(cases: &[T], test: impl Fn(&T) + Sync) {
    let test = &test;
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || test(case));
        }
    });
}

#[test]
fn a_clock_that_jumps_during_a_run_changes_nothing() {
    let cases = [
        ("forwards", ["+1d", "+400d"]),
        ("backwards", ["-1d", "-400d"]),
        ("there and back", ["+1d", "-1d"]),
    ];
    side_by_side(&cases, |(name, jumps)| {
        let limits = "rate = [\"50/s\", \"200/5s\"]\nconcurrency = 8";
        let bench = bench(&["--token-lifetime", "2s"], 300, limits);
        let Some(clock) = Clock::new(&bench.place, "+0") else {
            return;
        };
        let api = &bench.server;
        let began = Instant::now();
        let run = clock.start(&bench);
        for (at, jump) in jumps.iter().enumerate() {
            until(|| api.items().len() >= 80 * (at + 1));
            clock.set(jump);
        }

        let output = end(run);

        println!("{name}");
        assert_done(&bench, &output);
        assert_never_over(api, 50, 1.0);
        assert_never_over(api, 200, 5.0);
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{name}: {:?}",
            began.elapsed()
        );
        let tokens = api.seen().iter().filter(|s| s.method == "POST").count() as f64;
        let lives = began.elapsed().as_secs_f64() / 2.0;
        assert!(
            tokens <= lives * 1.3 + 2.0,
            "{name}: {tokens} tokens in {lives:.1} lives"
        );
        let refused = api.items().iter().filter(|s| s.status == Some(401)).count();
        assert!(refused <= 8, "{name}: {refused} refused");
        // And what it left behind is fine by the right clock.
        bench.run(&["status"], 0);
        bench.run(&[], 0);
    });
}

/// The quota's ledger is in the checkpoint. A day ahead, it must not look old;
/// a day behind, it must not look as if it were yet to come.
#[test]
fn a_clock_that_jumps_between_a_kill_and_the_next_run_keeps_the_quota_and_costs_no_day() {
    let cases = [["+0", "+1d"], ["+0", "-1d"], ["+1d", "+0"], ["-1d", "+0"]];
    side_by_side(&cases, |jumps| {
        // Spread over a window of 12 s, with a burst at its beginning.
        let limits = "rate = [\"30/12s\", \"25/s\"]\nconcurrency = 8";
        let bench = bench(&[], 50, limits).with("checkpoint", "every = \"100ms\"");
        let Some(clock) = Clock::new(&bench.place, jumps[0]) else {
            return;
        };
        let api = &bench.server;
        let run = clock.start(&bench);
        until(|| api.items().len() >= 20);
        kill(run);
        clock.set(jumps[1]);
        let began = Instant::now();

        let output = end(clock.start(&bench));

        println!("{jumps:?}: {:.1?}", began.elapsed());
        assert_done(&bench, &output);
        assert_never_over(api, 30, 12.0);
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{jumps:?}: {:?}",
            began.elapsed()
        );
    });
}

/// The clock jumps while the run goes on, and then it is killed: what was
/// written before the jump and after it is in one ledger.
#[test]
fn a_clock_that_jumped_before_the_kill_keeps_the_quota_too() {
    side_by_side(&["+1d", "-1d"], |jump| {
        let limits = "rate = [\"30/12s\", \"10/s\"]\nconcurrency = 8";
        let bench = bench(&[], 50, limits).with("checkpoint", "every = \"100ms\"");
        let Some(clock) = Clock::new(&bench.place, "+0") else {
            return;
        };
        let api = &bench.server;
        let jumped = AtomicBool::new(false);
        let run = clock.start(&bench);
        until(|| {
            let sent = api.items().len();
            if sent >= 12 && !jumped.swap(true, Ordering::SeqCst) {
                clock.set(jump);
            }
            sent >= 24
        });
        kill(run);
        let began = Instant::now();

        let output = end(clock.start(&bench));

        println!("{jump}: {:.1?}", began.elapsed());
        assert_done(&bench, &output);
        assert_never_over(api, 30, 12.0);
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{jump}: {:?}",
            began.elapsed()
        );
    });
}

/// Killed in the middle of a Retry-After of 12 s; the clock is set; run again.
#[test]
fn a_pause_is_neither_cut_short_nor_made_a_day_long_by_a_clock_that_was_set() {
    const PAUSE: Duration = Duration::from_secs(12);
    let jumps = ["+1d", "-1d", "@2100-01-01 00:00:00", "@1971-01-01 00:00:00"];
    side_by_side(&jumps, |jump| {
        let server = Raw::start(|request, _| match request.last() {
            "i5" => answer("429 Too Many Requests", "Retry-After: 12\r\n", "{}"),
            _ => good(request),
        });
        let bench = Bench::of(server, "/{id}")
            .ids(names(6))
            .with("limits", "rate = \"50/s\"\nmax_wait = \"30s\"");
        let Some(clock) = Clock::new(&bench.place, "+0") else {
            return;
        };
        let api = &bench.server;
        let run = clock.start(&bench);
        until(|| {
            let paused = told(&bench.run(&["status"], 0)).contains("asked to be left alone");
            api.count("i5") > 0 && paused
        });
        kill(run);
        clock.set(jump);
        let paused = api.seen().iter().find(|r| r.last() == "i5").unwrap().at;

        let again = clock.start(&bench);
        until(|| api.count("i5") > 1);
        let next = api.seen().iter().rfind(|r| r.last() == "i5").unwrap().at;

        let waited = next - paused;
        println!("{jump}: {waited:.1?}");
        assert!(waited >= PAUSE, "{jump}: asked again after {waited:?}");
        assert!(waited < PAUSE * 3, "{jump}: asked again after {waited:?}");
        kill(again);
    });
}

#[test]
fn a_clock_that_stands_wrong_by_decades_harms_no_run() {
    let dates = [
        ("@1970-01-01 00:00:05", "1970"),
        ("@1999-12-31 23:59:58", "1999"),
        // The last seconds of a signed 32-bit clock.
        ("@2038-01-19 03:14:05", "2038"),
        ("@2100-02-28 23:59:58", "2100"),
    ];
    side_by_side(&dates, |(date, year)| {
        let bench = bench(&["--token-lifetime", "2s"], 150, "rate = \"50/s\"");
        let Some(clock) = Clock::new(&bench.place, date) else {
            return;
        };
        // An absolute time starts when the process does.
        clock.assert_is_seen(&bench, year);
        let api = &bench.server;
        let run = clock.start(&bench);
        until(|| api.items().len() >= 75);
        kill(run);
        let status = clock.command(&bench, &["status"]).output().unwrap();
        assert_exit(&status, 0);
        // The second half by the right clock.
        let began = Instant::now();
        let output = end(bench.start(&[]));
        assert_done(&bench, &output);
        assert!(
            began.elapsed() < Duration::from_secs(40),
            "{date}: {:?}",
            began.elapsed()
        );
        let tokens = api.seen().iter().filter(|s| s.method == "POST").count();
        assert!(tokens <= 12, "{date}: {tokens} tokens");
    });
}

/// A whole hour of 503 in half a minute, with the back-off and `max_wait` that
/// everybody has.
#[test]
fn an_hour_long_outage_costs_at_most_one_request_per_back_off_step_and_the_run_goes_on() {
    const FASTER: u32 = 120;
    let Some(library) = library() else { return };
    let api = Raw::sharing(AtomicBool::new(true), |down, request, _| {
        match down.load(Ordering::SeqCst) {
            true => answer("503 Service Unavailable", "", "{}"),
            false => good(request),
        }
    });
    let bench = Bench::of(api, "/{id}")
        .ids(names(300))
        .with("request", "timeout = \"30m\"")
        .with("limits", "rate = \"10/s\"\nmax_wait = \"3h\"");
    let mut command = bench.command(&[]);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME", format!("+0 x{FASTER}"));
    let began = Instant::now();
    let run = piped(command);
    std::thread::sleep(Duration::from_secs(3600) / FASTER);
    bench.server.state.store(false, Ordering::SeqCst);
    let outage = began.elapsed() * FASTER;

    let output = end(run);

    assert_done(&bench, &output);
    let cost = requests(&output) - 300;
    println!("{cost} requests in {outage:.0?}");
    // In flight and until known, seven steps up to 60 s, then one in 30 s at least.
    let most = 8 + 8 + 7 + outage.as_secs() as usize / 30 + 1;
    assert!(cost >= 40, "the clock did not run: {cost} requests");
    assert!(
        cost <= most,
        "{cost} requests in {outage:?}, {most} allowed"
    );
}
