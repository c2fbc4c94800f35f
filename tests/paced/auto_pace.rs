//! A pace that finds itself, by the server's own log: `rate = "auto"`,
//! `concurrency = "auto"`, and what servers announce of their quotas.

use crate::child::{end, signal};
use crate::raw::{Raw, Reply, Req, answer};
use crate::support::{
    self, Api, Bench, Place, Seen, assert_exit, assert_says, harvest, names, told, track_id,
};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn sandbox(arguments: &[&str], items: usize, limits: &str) -> Bench<Api> {
    Bench::sandbox(arguments)
        .ids((0..items).map(track_id))
        .with("limits", limits)
        .with("checkpoint", "every = \"500ms\"")
}

/// Requests a second and the share of them that was refused, from one time
/// after the first request to another.
fn measured(items: &[Seen], from: f64, to: f64) -> (f64, f64) {
    let first = items.first().unwrap().t;
    let within = |s: &&Seen| s.t - first >= from && s.t - first < to;
    let sent = items.iter().filter(within).count();
    let refused = items
        .iter()
        .filter(within)
        .filter(|s| s.status == Some(429))
        .count();
    let accepted = (sent - refused) as f64 / (to - from);
    (accepted, refused as f64 / sent.max(1) as f64)
}

/// Runs the job for so long, then stops it; what it said.
fn run_for(bench: &Bench<Api>, time: Duration) -> String {
    let child = bench.start(&[]);
    std::thread::sleep(time);
    signal(child.id(), "-INT");
    let output = end(child);
    assert_exit(&output, 130);
    told(&output)
}

/// The issue's own words: a server that allows 80/s, unannounced, and 20/s after a while.
#[test]
fn an_auto_rate_uses_nine_tenths_of_an_unknown_limit_and_follows_it_down() {
    let bench = sandbox(
        &["--rate", "80", "--rate-change", "63s=20"],
        10_000,
        "rate = \"auto\"\nconcurrency = 16",
    );
    let api = &bench.server;

    let started = Instant::now();
    let said = run_for(&bench, Duration::from_secs(90));
    println!("{said}\nran {:.1?}", started.elapsed());

    let items = api.items();
    let (used, _) = measured(&items, 30.0, 60.0);
    let (_, refused) = measured(&items, 0.0, 60.0);
    println!(
        "from 30 to 60 s: {used:.1}/s; in the first minute {:.2} % refused",
        100.0 * refused
    );
    assert!(used >= 72.0, "{used:.1}/s of 80/s");
    assert!(refused <= 0.01, "{:.2} % refused", 100.0 * refused);
    // The limit fell 63 s after the server's start, a little less after the first request.
    let (after, refused) = measured(&items, 74.0, 88.0);
    println!(
        "from 74 to 88 s: {after:.1}/s, {:.2} % refused",
        100.0 * refused
    );
    assert!((14.0..=22.0).contains(&after), "{after:.1}/s of 20/s");
    assert!(refused <= 0.06, "{:.2} % refused", 100.0 * refused);
    assert!(said.contains("pace       the server bears about"), "{said}");
    assert!(said.contains("refused as too many"), "{said}");
    assert_eq!(bench.counts().1, 0);
}

#[test]
fn what_was_learnt_outlives_the_run() {
    let bench = sandbox(
        &["--rate", "60"],
        10_000,
        "rate = \"auto\"\nconcurrency = \"auto\"",
    );
    let api = &bench.server;
    run_for(&bench, Duration::from_secs(16));
    let before = api.items().len();
    std::thread::sleep(Duration::from_secs(2));
    assert_says(&bench.run(&["status"], 0), &["about"]);

    run_for(&bench, Duration::from_secs(5));

    // A new run would have sent 4, 5.7, 8 … in its first seconds: 19 in three.
    let (first, _) = measured(&api.items()[before..], 0.0, 3.0);
    println!("{first:.1}/s at once");
    assert!(first > 20.0, "{first:.1}/s at once");
}

#[test]
fn a_fixed_rate_beside_auto_is_never_exceeded() {
    let bench = sandbox(
        &[],
        250,
        "rate = [\"auto\", \"60/3s\"]\nconcurrency = \"auto\"",
    );
    let api = &bench.server;
    let output = bench.run(&[], 0);
    let said = told(&output);
    assert!(
        said.contains("auto rate up to 20.0/s, auto, 256 in flight at most"),
        "{said}"
    );
    let mut times: Vec<f64> = api.seen().iter().map(|s| s.t).collect();
    // Half a second for a busy machine.
    let most = support::most_in_window(&mut times, 2.5);
    assert!(most <= 60, "{most} in 2.5 s");
}

/// A server with four workers, and nothing said: as many are in flight as it works on, and few more.
#[test]
fn an_auto_concurrency_keeps_the_workers_busy_and_the_queue_short() {
    let bench = sandbox(
        &["--workers", "4", "--latency", "40ms"],
        1_500,
        "rate = \"unlimited\"\nconcurrency = \"auto\"",
    );
    let api = &bench.server;
    let output = bench.run(&[], 0);
    let said = told(&output);
    println!("{said}");
    let (speed, _) = measured(&api.items(), 4.0, 12.0);
    assert!(speed > 75.0, "{speed:.1}/s of at most 100/s");
    let found = said.split("pace       ").nth(1).unwrap();
    let number: usize = found.split(' ').next().unwrap().parse().unwrap();
    assert!((4..=40).contains(&number), "{said}");
}

fn scripted(api: Raw, items: usize, limits: &str) -> Bench<Raw> {
    Bench::of(api, "/items/{id}")
        .ids(names(items))
        .with("limits", limits)
        .with("retry", "attempts = 3\nbackoff = \"10ms..100ms\"")
}

fn good(request: &Req, headers: &str) -> Reply {
    answer(
        "200 OK",
        headers,
        format!("{{\"id\":\"{}\"}}", request.last()),
    )
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Each dialect says that nothing is left for two seconds, with the third answer.
#[test]
fn a_used_up_quota_is_waited_out_in_every_dialect_also_at_a_fixed_rate() {
    let dialects: [fn(u64) -> String; 6] = [
        |left| {
            format!(
                "RateLimit: \"default\";r={left};t=2\r\nRateLimit-Policy: \"default\";q=3;w=2\r\n"
            )
        },
        |left| format!("RateLimit: limit=3, remaining={left}, reset=2\r\n"),
        |left| {
            format!("RateLimit-Limit: 3\r\nRateLimit-Remaining: {left}\r\nRateLimit-Reset: 2\r\n")
        },
        |left| {
            format!(
                "X-RateLimit-Limit: 3\r\nX-RateLimit-Remaining: {left}\r\nX-RateLimit-Reset: {}\r\n",
                unix_seconds() + 3
            )
        },
        |left| {
            format!(
                "X-Rate-Limit-Limit: 3\r\nX-Rate-Limit-Remaining: {left}\r\nX-Rate-Limit-Reset: {}000\r\n",
                unix_seconds() + 3
            )
        },
        |left| format!("X-RateLimit-Remaining: {left}\r\nX-RateLimit-Reset: 2s\r\n"),
    ];
    std::thread::scope(|scope| {
        for (number, dialect) in dialects.into_iter().enumerate() {
            scope.spawn(move || {
                let api = Raw::start(move |request, _| {
                    let nth: u64 = request.last()[1..].parse().unwrap();
                    good(request, &dialect(2 - nth % 3))
                });
                let bench = scripted(api, 5, "rate = \"50/s\"\nconcurrency = 1");
                bench.run(&[], 0);
                let seen = bench.server.seen();
                assert_eq!(seen.len(), 5, "{number}");
                let gaps: Vec<f64> = seen
                    .windows(2)
                    .map(|w| (w[1].at - w[0].at).as_secs_f64())
                    .collect();
                // The Unix times are whole seconds: from two to three.
                assert!(gaps[2] >= 1.95 && gaps[2] < 13.0, "{number}: {gaps:?}");
                assert!(gaps[0] < 1.9 && gaps[1] < 1.9, "{number}: {gaps:?}");
            });
        }
    });
}

/// GitHub's way to refuse: 403, nothing left, no Retry-After. It is no matter of credentials.
#[test]
fn a_403_with_nothing_left_is_a_rate_limit_and_outlives_the_run() {
    let api = Raw::start(|_, _| {
        let reset = unix_seconds() + 3_000;
        let headers = format!(
            "X-RateLimit-Limit: 5000\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: {reset}\r\n"
        );
        answer(
            "403 Forbidden",
            &headers,
            "{\"message\":\"API rate limit exceeded\"}",
        )
    });
    let bench = scripted(
        api,
        20,
        "rate = \"50/s\"\nconcurrency = 1\nmax_wait = \"1m\"",
    );
    bench.run(&[], 75);
    assert_eq!(bench.counts().1, 0);
    assert_eq!(bench.server.seen().len(), 1);
    bench.run(&[], 75);
    assert_eq!(bench.server.seen().len(), 1, "asked before the reset");
}

#[test]
fn a_used_up_quota_longer_than_max_wait_pauses_the_run_with_its_records_kept() {
    let api = Raw::start(|request, _| good(request, "RateLimit: \"day\";r=0;t=7000\r\n"));
    let bench = scripted(
        api,
        20,
        "rate = \"50/s\"\nconcurrency = 1\nmax_wait = \"1m\"",
    );
    let output = bench.run(&[], 75);
    let said = told(&output);
    assert!(
        said.contains("the quota that the server announces is used up until"),
        "{said}"
    );
    assert_eq!(bench.lines().len(), 1);
    bench.run(&[], 75);
    assert_eq!(bench.server.seen().len(), 1, "asked before the reset");
}

/// What can't be believed is not heeded.
#[test]
fn nonsense_in_rate_headers_holds_nobody_up() {
    let nonsense = [
        "X-RateLimit-Remaining: 0\r\n",
        "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1\r\nX-RateLimit-Limit: 0\r\n",
        "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: soon\r\n",
        "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1000000000\r\n",
        "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 99999999999999999999\r\n",
        "X-RateLimit-Remaining: -5\r\nX-RateLimit-Reset: 60\r\n",
        "RateLimit: \"x;r=0;t=60\r\n",
        "RateLimit: \"x\";r=0;t=-60\r\n",
        "RateLimit-Remaining: 0, \u{e9}\r\nRateLimit-Reset: 60\r\n",
    ];
    let api = Raw::start(move |request, _| {
        let nth: usize = request.last()[1..].parse().unwrap();
        good(request, nonsense[nth % nonsense.len()])
    });
    let bench = scripted(api, 2 * nonsense.len(), "rate = \"50/s\"\nconcurrency = 1");
    let began = Instant::now();
    bench.run(&[], 0);
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn check_shows_auto() {
    let place = Place::new();
    let job = |limits: &str| {
        let text = format!(
            "[ids]\nlist = [\"a\"]\n[request]\nurl = \"http://127.0.0.1:1/{{id}}\"\n[limits]\n{limits}\n[output]\npath = \"out.ndjson\"\n"
        );
        let output = harvest()
            .arg("check")
            .arg(place.write("job.toml", &text))
            .output()
            .unwrap();
        assert_exit(&output, 0);
        told(&output)
    };
    let auto = job("rate = \"auto\"\nconcurrency = \"auto\"");
    assert!(
        auto.contains("auto: as fast as the API bears, auto, 256 in flight at most"),
        "{auto}"
    );
    let below = job("rate = [\"auto\", \"5000/h\"]");
    assert!(
        below.contains("auto, up to 5000/h, 8 in flight at most"),
        "{below}"
    );
}

/// The example, with the command line's own auto in its place.
#[test]
fn the_musicbrainz_job_runs_against_the_embedded_api() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/musicbrainz.toml");
    let place = Place::new();
    let out = place.path("out.ndjson");
    let output = harvest()
        .arg(&jobs)
        .args([
            "--sandbox",
            "--rate",
            "auto",
            "--concurrency",
            "auto",
            "--output",
        ])
        .arg(&out)
        .output()
        .unwrap();
    assert_exit(&output, 0);
    assert_eq!(place.lines("out.ndjson").len(), 5);
    assert!(told(&output).contains("auto rate"), "{}", told(&output));
}
