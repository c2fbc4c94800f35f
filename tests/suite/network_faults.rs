//! The network fails under a run: it waits, asks rarely, and goes on by itself.
//! No item pays for it ("Good manners", "Every item has a fate").
#![cfg(unix)]

use crate::child::{end, piped, requests, signal, until};
use crate::raw::{Raw, Reply, Then, answer, bytes, good};
use crate::refusing::{listen, refusing};
use crate::support::{Bench, Place, Server, assert_exit, assert_says, names, told, track_id};
use crate::tools::tool;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest step of the back-off; a probe's wait is half of it at least.
const LAST_STEP: Duration = Duration::from_secs(1);
/// 50, 100, 200, 400 and 800 ms.
const FIRST_STEPS: usize = 5;
/// In flight when it begins, and as many more until it is known for an outage.
const UNTIL_KNOWN: usize = 8;

/// The most requests that an outage of this length may cost.
fn most_in(outage: Duration, concurrency: usize) -> usize {
    let late_steps = outage.as_secs_f64() / (LAST_STEP.as_secs_f64() / 2.0);
    concurrency + UNTIL_KNOWN + FIRST_STEPS + late_steps.ceil() as usize + 1
}

fn bench<S: Server>(api: S, ids: Vec<String>, max_wait: &str) -> Bench<S> {
    Bench::of(api, "/items/{id}")
        .ids(ids)
        .with("request", "timeout = \"2s\"")
        .with(
            "limits",
            &format!("rate = \"200/s\"\nconcurrency = 4\nmax_wait = \"{max_wait}\""),
        )
        .with("retry", "attempts = 3\nbackoff = \"50ms..1s\"")
}

#[track_caller]
fn assert_nothing_burnt<S>(bench: &Bench<S>, output: &std::process::Output, says: &[&str]) {
    assert_exit(output, 75);
    assert_eq!(bench.counts().1, 0);
    assert_says(output, says);
}

/// "Minutes" are seconds here: the back-off is as much shorter.
#[test]
fn refused_connections_cost_one_attempt_per_back_off_step_and_the_run_goes_on() {
    let (socket, base) = refusing();
    let bench = bench(base.as_str(), names(120), "5m");
    let began = Instant::now();
    let run = bench.start(&[]);
    std::thread::sleep(Duration::from_secs(8));
    let api = Raw::on(listen(socket), |request, _| good(request));
    until(|| !api.seen().is_empty());
    let outage = began.elapsed();

    let output = end(run);

    assert_exit(&output, 0);
    bench.assert_all_recorded();
    assert_eq!(api.seen().len(), 120, "each was asked for once");
    let (cost, most) = (requests(&output) - 120, most_in(outage, 4));
    println!("{cost} attempts in {outage:.1?}, {most} allowed");
    assert!(cost >= 8 && cost <= most, "{cost} attempts, {most} allowed");
    assert_says(&output, &["the server answers again"]);
}

#[test]
fn connections_that_stay_refused_end_the_run_resumable_with_the_reason() {
    let (_socket, base) = refusing();
    let bench = bench(base.as_str(), names(50), "3s");

    let output = bench.run(&[], 75);

    let words = [
        "the server could not be used for",
        "could not connect: Connection refused",
        "max_wait is 3s",
    ];
    assert_nothing_burnt(&bench, &output, &words);
    assert!(requests(&output) <= most_in(Duration::from_secs(4), 4));
}

/// Each kind of broken answer, for everyone and for a while.
#[test]
fn a_fault_that_strikes_everyone_for_a_while_fails_no_item_and_costs_few_requests() {
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{\"id\":\"bad\"}\r\n";
    let mut drip = bytes("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n", Then::Close);
    drip.parts
        .extend((0..60).map(|_| (Duration::from_millis(200), b"1".to_vec())));
    let silence = Reply {
        parts: vec![(Duration::from_secs(20), Vec::new())],
        then: Then::Close,
    };
    let kinds: Vec<(&str, Reply)> = vec![
        ("a reset", bytes("", Then::Reset)),
        (
            "a reset in the body",
            bytes(
                "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
                Then::Reset,
            ),
        ),
        ("a close", bytes("", Then::Close)),
        ("half a head", bytes("HTTP/1.1 20", Then::Close)),
        ("a truncated chunked body", bytes(chunk, Then::Close)),
        (
            "a chunk without its end",
            bytes(&chunk[..chunk.len() - 5], Then::Close),
        ),
        (
            "a broken chunk size",
            bytes(chunk.replace("c\r\n", "zz\r\n"), Then::Close),
        ),
        (
            "a cut body",
            bytes(
                "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
                Then::Close,
            ),
        ),
        ("a slow drip", drip),
        ("no answer", silence),
        (
            "what is no HTTP",
            bytes("220 smtp.example.com ready\r\n\r\n", Then::Close),
        ),
        ("502", answer("502 Bad Gateway", "", "{}")),
        ("503", answer("503 Service Unavailable", "", "<html>")),
        ("504", answer("504 Gateway Timeout", "", "")),
        ("429", answer("429 Too Many Requests", "", "{}")),
        ("408", answer("408 Request Timeout", "", "{}")),
    ];
    // Side by side: each waits most of the time.
    std::thread::scope(|scope| {
        for (name, reply) in &kinds {
            scope.spawn(move || struck_for_a_while(name, reply));
        }
    });
}

fn struck_for_a_while(name: &str, reply: &Reply) {
    const OUTAGE: Duration = Duration::from_secs(4);
    let first: Arc<Mutex<Option<Instant>>> = Arc::default();
    let faulty = {
        let first = Arc::clone(&first);
        move || {
            first
                .lock()
                .unwrap()
                .get_or_insert_with(Instant::now)
                .elapsed()
                < OUTAGE
        }
    };
    let during = Arc::new(Mutex::new(0_usize));
    let api = {
        let (during, reply) = (Arc::clone(&during), reply.clone());
        Raw::start(move |request, _| {
            if request.last() == "i0" || !faulty() {
                // One got through before it began: this is no server that never worked.
                return good(request);
            }
            *during.lock().unwrap() += 1;
            reply.clone()
        })
    };
    let bench = bench(api, names(200), "5m");

    let output = end(bench.start(&[]));

    assert_eq!(output.status.code(), Some(0), "{name}: {}", told(&output));
    bench.assert_all_recorded();
    let (cost, most) = (*during.lock().unwrap(), most_in(OUTAGE, 4));
    println!("{name}: {cost} requests in {OUTAGE:?}, {most} allowed");
    assert!(cost >= 4, "{name}: {cost} requests");
    assert!(cost <= most, "{name}: {cost} requests, {most} allowed");
}

/// The list's last items meet the outage, so nothing fresh is left to ask for:
/// an item that got its record before tells whether it is the server or they.
#[test]
fn an_outage_at_the_lists_end_fails_none_of_the_last_items() {
    let mended = Arc::new(Mutex::new(None::<Instant>));
    let api = {
        let mended = Arc::clone(&mended);
        Raw::start(move |request, _| {
            let mut mended = mended.lock().unwrap();
            if request.last() == "i15" {
                mended.get_or_insert_with(|| Instant::now() + Duration::from_secs(8));
            }
            match *mended {
                Some(at) if Instant::now() < at => answer("503 Service Unavailable", "", "{}"),
                _ => good(request),
            }
        })
    };
    // In one run, and in the next one, whose list holds what is done already;
    // with enough items to show an outage by themselves, and with too few.
    for (done, more) in [(0, 20), (20, 5), (20, 3), (20, 1)] {
        let mut bench = bench(&api, names(done), "5m");
        if done > 0 {
            *mended.lock().unwrap() = Some(Instant::now());
            bench.run(&[], 0);
            *mended.lock().unwrap() = Some(Instant::now() + Duration::from_secs(8));
        }
        let asked = api.seen().len();
        bench = bench.ids(names(done + more));

        bench.run(&[], 0);

        bench.assert_all_recorded();
        let cost = api.seen().len() - asked - more;
        println!("{cost} requests for an outage of 8 s, {more} items left");
        assert!(
            cost <= most_in(Duration::from_secs(8), 4),
            "{cost} requests"
        );
    }
}

/// And when it is they, they fail, though the server is taken to be down again and again.
#[test]
fn bad_items_at_the_lists_end_fail_while_the_server_is_up() {
    let api = Raw::start(|request, _| match request.last().parse::<u32>() {
        Ok(_) => answer("502 Bad Gateway", "", "{}"),
        Err(_) => good(request),
    });
    for bad in [1, 3, 6] {
        let mut ids = names(20);
        ids.extend((0..bad).map(|n: usize| n.to_string()));
        let bench = bench(&api, ids, "5m");
        let asked = api.seen().len();

        let output = bench.run(&[], 3);

        bench.assert_exactly_once();
        let failures = bench.failures();
        assert_eq!(failures.len(), bad, "{}", told(&output));
        for failure in &failures {
            assert_eq!(failure["reason"], "server_error");
            assert_eq!(failure["attempts"], 3);
        }
        let cost = api.seen().len() - asked;
        println!("{cost} requests, {bad} bad items");
        assert!(cost <= 20 + bad * 4 + 4, "{cost} requests");
    }
}

/// A process that is stopped keeps its connections and answers nothing, as a
/// peer does whose machine lost its power or its network.
#[test]
fn half_open_connections_end_by_the_attempts_time_out_and_the_run_goes_on() {
    let bench = Bench::sandbox(&["--latency", "20ms"])
        .ids((0..300).map(track_id))
        .with("request", "timeout = \"1s\"")
        .with("limits", "rate = \"100/s\"\nconcurrency = 8")
        .with("retry", "attempts = 3\nbackoff = \"50ms..1s\"");
    let run = bench.start(&[]);
    until(|| bench.server.items().len() >= 60);
    signal(bench.server.pid(), "-STOP");
    std::thread::sleep(Duration::from_secs(6));
    signal(bench.server.pid(), "-CONT");

    let output = end(run);

    assert_exit(&output, 0);
    bench.assert_all_recorded();
    // One attempt takes a second here, so there are at most as many as that, and those in flight.
    let cost = requests(&output) - 300 - 1;
    println!("{cost} requests more than items");
    assert!((8..=8 + 8 + 8).contains(&cost), "{cost} requests in 6 s");
    assert_says(&output, &["no whole answer within 1s"]);
}

/// A command that runs `harvest` in namespaces of its own, after `setup`.
/// `None` where that is not allowed.
fn unshared(kind: &str, setup: &str) -> Option<Command> {
    if !tool("unshare", "util-linux") || !tool("ip", "iproute2") {
        return None;
    }
    let tried = Command::new("unshare")
        .args([kind, "sh", "-c", &format!("{setup} && true")])
        .output()
        .unwrap();
    if !tried.status.success() {
        eprintln!("skipped: no namespaces here: {}", told(&tried));
        return None;
    }
    let mut command = Command::new("unshare");
    command
        .args([kind, "sh", "-c", &format!("{setup} && exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_harvest"));
    Some(command)
}

/// Packets that go nowhere: no refusal, no reset, nothing at all.
#[test]
fn a_network_that_swallows_everything_ends_the_run_resumable() {
    let setup = "ip link set lo up && ip link add hole type dummy && \
                 ip addr add 10.254.9.1/24 dev hole && ip link set hole up && \
                 ip neigh add 10.254.9.2 lladdr 02:00:00:00:00:01 dev hole nud permanent";
    let Some(mut command) = unshared("--net", setup) else {
        return;
    };
    let bench = bench("http://10.254.9.2:8080", names(60), "4s");
    let output = command.arg(&bench.job).output().unwrap();
    let words = ["no whole answer within 2s", "max_wait is 4s"];
    assert_nothing_burnt(&bench, &output, &words);
    assert!(requests(&output) <= most_in(Duration::from_secs(8), 4));
}

#[test]
fn a_name_that_does_not_resolve_ends_the_run_resumable_and_says_so() {
    let bench = bench("http://does-not-exist.invalid", names(30), "3s");

    let output = bench.run(&[], 75);

    let words = ["failed to lookup address information", "max_wait is 3s"];
    assert_nothing_burnt(&bench, &output, &words);
    assert!(requests(&output) <= most_in(Duration::from_secs(4), 4));
}

#[test]
fn a_name_that_resolves_again_is_waited_for() {
    let place = Place::new();
    let hosts = place.write("hosts", "127.0.0.1 localhost\n");
    let setup = format!("mount --bind '{}' /etc/hosts", hosts.display());
    let Some(mut command) = unshared("--mount", &setup) else {
        return;
    };
    let api = Raw::start(|request, _| good(request));
    let base = api.base().replace("127.0.0.1", "api.harvest-test.invalid");
    let bench = bench(base.as_str(), names(60), "5m");
    command.arg(&bench.job);
    let run = piped(command);
    std::thread::sleep(Duration::from_secs(4));
    assert!(api.seen().is_empty());
    // In place: a new file would not be the one that is mounted.
    let line = "127.0.0.1 api.harvest-test.invalid\n";
    std::fs::write(&hosts, format!("127.0.0.1 localhost\n{line}")).unwrap();

    let output = end(run);

    assert_exit(&output, 0);
    bench.assert_all_recorded();
    assert_eq!(api.seen().len(), 60);
    let cost = requests(&output) - 60;
    assert!(
        (3..=most_in(Duration::from_secs(6), 4)).contains(&cost),
        "{cost}"
    );
}
