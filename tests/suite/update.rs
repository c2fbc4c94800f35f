//! `--update` and `[update]`: asking again for what is there, with the
//! validators of before, and a new output in the old one's place.

use crate::child::{end, kill, until};
use crate::raw::{self, Raw, Reply, answer, ok};
use crate::support::{self, assert_says, told, track_id};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// What the server has to say of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Version(u32),
    Gone,
    Down,
}

#[derive(Default)]
struct Items {
    now: Mutex<BTreeMap<String, Now>>,
    /// Bodies of records that were sent.
    bodies: AtomicU64,
}

/// A server whose items have versions, with an ETag for each and, for every
/// second one, a date.
type Bench = support::Bench<Raw<Items>>;

fn etag(id: &str, version: u32) -> String {
    format!("W/\"{id}-{version}\"")
}

fn date(version: u32) -> String {
    format!("Sun, 06 Nov 1994 08:49:{version:02} GMT")
}

fn body(id: &str, version: u32) -> String {
    match version {
        1 => format!("{{\"id\":\"{id}\",\"name\":\"item, {id}\"}}"),
        _ => format!("{{\"id\":\"{id}\",\"name\":\"version {version} of {id}\"}}"),
    }
}

/// Odd items have an ETag, even ones a date, and every fifth has neither.
fn validators(id: &str, version: u32) -> String {
    let number: usize = id.trim_end_matches('x').parse().unwrap();
    match number {
        n if n % 5 == 4 => String::new(),
        n if n % 2 == 1 => format!("ETag: {}\r\n", etag(id, version)),
        _ => format!("Last-Modified: {}\r\n", date(version)),
    }
}

impl Bench {
    fn new(count: usize, output: &'static str, more: &str) -> Bench {
        let server = Raw::sharing(Items::default(), |items, request, _| {
            let id = request.last();
            let now = items.now.lock().unwrap().get(id).copied();
            match now.unwrap_or(Now::Version(1)) {
                Now::Gone => answer("404 Not Found", "", "{}"),
                Now::Down => answer("500 Internal Server Error", "", "{}"),
                Now::Version(version) => {
                    let headers = validators(id, version);
                    let known = request.header("if-none-match") == Some(&etag(id, version))
                        || request.header("if-modified-since") == Some(&date(version));
                    if known && !headers.is_empty() && request.method == "GET" {
                        return answer("304 Not Modified", &headers, "");
                    }
                    items.bodies.fetch_add(1, Ordering::SeqCst);
                    versioned(id, version, &headers)
                }
            }
        });
        let bench = Bench::of(server, "/items/{id}")
            .ids((0..count).map(track_id))
            .output(output)
            .with("limits", "rate = \"unlimited\"\nconcurrency = 4")
            .with("retry", "attempts = 1")
            .with("checkpoint", "every = \"100ms\"");
        let path = format!("path = \"{output}\"\n");
        bench.edit(&path, &format!("{path}{more}"));
        bench
    }

    fn set(&self, id: &str, now: Now) {
        self.server
            .state
            .now
            .lock()
            .unwrap()
            .insert(id.to_owned(), now);
    }

    /// Requests and bodies since the last time.
    fn sent(&self) -> (usize, u64) {
        let requests = self.server.seen().len();
        (requests, self.server.state.bodies.load(Ordering::SeqCst))
    }

    /// What the run sends, and how many bodies come.
    #[track_caller]
    fn cost(&self, arguments: &[&str], code: i32) -> (usize, u64, Output) {
        let before = self.sent();
        let output = self.run(arguments, code);
        let after = self.sent();
        (after.0 - before.0, after.1 - before.1, output)
    }

    /// The name of each item.
    fn names(&self) -> BTreeMap<String, String> {
        let lines = self.records();
        let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        let names: BTreeMap<String, String> = lines
            .iter()
            .map(|line| (text(line, "id"), text(line, "name")))
            .collect();
        assert_eq!(names.len(), lines.len(), "an ID is there twice");
        names
    }
}

fn versioned(id: &str, version: u32, headers: &str) -> Reply {
    match headers {
        "" => ok(body(id, version)),
        headers => answer(
            "200 OK",
            &format!("Content-Type: application/json\r\n{headers}"),
            body(id, version),
        ),
    }
}

#[test]
fn what_has_not_changed_costs_no_body_and_changes_no_byte() {
    let bench = Bench::new(50, "out.ndjson", "");
    let (requests, bodies, _) = bench.cost(&[], 0);
    assert_eq!((requests, bodies), (50, 50));
    let before = bench.place.read("out.ndjson");
    let written = fs::metadata(bench.place.path("out.ndjson"))
        .unwrap()
        .modified();

    // Ten of them have no validators and have to come whole.
    let (requests, bodies, output) = bench.cost(&["--update"], 0);
    assert_eq!((requests, bodies), (50, 10));
    assert_says(
        &output,
        &[
            "updating: all 50 records",
            "updated: every item has its record",
            "0 changed, 50 unchanged",
            "(50 records)",
        ],
    );
    assert_eq!(bench.place.read("out.ndjson"), before);
    bench.assert_no_litter();

    // With only those that answer 304, nothing at all is written into the output.
    let conditional: Vec<String> = bench
        .ids
        .iter()
        .filter(|id| !validators(id, 1).is_empty())
        .cloned()
        .collect();
    bench.list(&conditional);
    let again = fs::metadata(bench.place.path("out.ndjson"))
        .unwrap()
        .modified();
    let (requests, bodies, _) = bench.cost(&["--update"], 0);
    assert_eq!((requests, bodies), (40, 0));
    assert_eq!(bench.place.read("out.ndjson"), before);
    let now = fs::metadata(bench.place.path("out.ndjson"))
        .unwrap()
        .modified();
    assert_eq!(again.unwrap(), now.unwrap());
    drop(written);
    // What is asked with is byte for byte what came, and not both where only one did.
    let last = bench.server.seen();
    let id = track_id(1);
    let one = last.iter().rev().find(|r| r.last() == id).unwrap();
    assert_eq!(one.header("if-none-match"), Some(&*etag(&id, 1)));
    assert_eq!(one.header("if-modified-since"), None);
    // A plain run of the job sends nothing, as ever.
    let (requests, _, output) = bench.cost(&[], 0);
    assert_eq!(requests, 0);
    assert_says(&output, &["nothing left to do"]);
}

#[test]
fn each_record_is_the_new_one_the_old_one_or_gone() {
    let bench = Bench::new(30, "out.ndjson", "");
    bench.set(&track_id(3), Now::Gone);
    bench.set(&track_id(4), Now::Down);
    bench.run(&[], 3);
    let before = bench.lines();
    assert_eq!(before.len(), 28);

    // Found now: 3. Changed: 5, 6, 9 (which has no validators). Gone: 7. Down: 8. New: 30. Not listed: 10.
    bench.set(&track_id(3), Now::Version(1));
    for n in [5, 6, 9] {
        bench.set(&track_id(n), Now::Version(2));
    }
    bench.set(&track_id(7), Now::Gone);
    bench.set(&track_id(8), Now::Down);
    let listed: Vec<String> = (0..31).filter(|&n| n != 10).map(track_id).collect();
    bench.list(&listed);
    let (requests, _, output) = bench.cost(&["--update"], 3);
    assert_eq!(requests, 30);
    assert_says(
        &output,
        &[
            "3 changed, 22 unchanged",
            "2 new",
            "1 gone",
            "1 not answered: their records stay as they were",
            "server_error",
            "(29 records)",
        ],
    );
    let mut ids = bench.ids.clone();
    ids.push(track_id(30));
    bench.place.assert_exactly_once("out.ndjson", &ids);
    let failed: BTreeSet<String> = bench
        .failures()
        .iter()
        .map(|line| line["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(failed, BTreeSet::from([track_id(4), track_id(7)]));
    // The old lines in their places, then the new ones.
    let after = bench.lines();
    let expected: Vec<String> = before
        .iter()
        .filter(|line| !line.contains(&track_id(7)))
        .map(|line| {
            let changed = [5, 6, 9]
                .map(track_id)
                .into_iter()
                .find(|id| line.contains(id));
            changed.map_or_else(|| line.clone(), |id| body(&id, 2))
        })
        .collect();
    assert_eq!(after[..27], expected[..]);
    assert_eq!(after.len(), 29);

    // What could not be asked is asked with what was known before, and the new ones with theirs.
    bench.set(&track_id(8), Now::Version(1));
    let (requests, bodies, _) = bench.cost(&["--update"], 3);
    assert_eq!(requests, 30);
    // 9, 14, 19, 24, 29 have no validators; 4 and 7 have no body at all.
    assert_eq!(bodies, 5);
    assert_eq!(bench.lines(), after);
    bench.run(&["retry"], 3);
    bench.assert_no_litter();
}

/// What nearly every item gets is the server's; after it, all are asked as before it.
#[test]
fn after_an_outage_the_validators_are_still_known() {
    let bench = Bench::new(80, "out.ndjson", "");
    let patience = "concurrency = 4\nquarantine = \"20/25\"";
    bench.edit("concurrency = 4", patience);
    bench.edit("attempts = 1", "attempts = 1\nbackoff = \"10ms..100ms\"");
    bench.run(&[], 0);
    let before = bench.place.read("out.ndjson");
    for id in &bench.ids {
        bench.set(id, Now::Down);
    }
    let bodies = bench.sent().1;
    let update = bench.start(&["--update"]);
    // The row is full, and some probes were sent.
    until(|| bench.sent().0 >= 80 + 25);
    sleep(Duration::from_millis(300));
    for id in &bench.ids {
        bench.set(id, Now::Version(1));
    }
    let output = end(update);
    // With one try each, those in flight have used theirs up.
    let failed = bench.failures().len();
    assert!(failed <= 4, "{}", told(&output));
    assert_says(&output, &["the server is down", "0 changed"]);
    assert_eq!(bench.place.read("out.ndjson"), before);
    // Those without validators come whole, and no others.
    assert!(bench.sent().1 - bodies <= 16, "{}", told(&output));
}

/// Nobody reads an output that was closed to them because it was updated.
#[cfg(unix)]
#[test]
fn an_update_and_a_retry_open_no_file_to_others() {
    use std::os::unix::fs::PermissionsExt;

    let bench = Bench::new(10, "out.ndjson", "");
    bench.set(&track_id(3), Now::Down);
    bench.run(&[], 3);
    let modes = [
        ("", 0o600),
        (".failed.ndjson", 0o640),
        (".versions", 0o600),
        (".checkpoint", 0o600),
    ];
    let path = |ending: &str| bench.place.path(&format!("out.ndjson{ending}"));
    for (ending, mode) in modes {
        fs::set_permissions(path(ending), fs::Permissions::from_mode(mode)).unwrap();
    }
    let mode = |ending: &str| {
        let metadata = fs::metadata(path(ending)).unwrap_or_else(|e| panic!("{ending}: {e}"));
        metadata.permissions().mode() & 0o777
    };
    // One half of it: what it has brought so far is closed, too.
    bench.set(&track_id(1), Now::Version(2));
    bench.set(&track_id(2), Now::Down);
    bench.run(&["--update", "--limit", "4"], 3);
    for ending in ["", ".failed.ndjson", ".versions", ".checkpoint"] {
        let mode = mode(&format!(".updating{ending}"));
        assert_eq!(mode, 0o600, ".updating{ending}: {mode:o}");
    }
    bench.run(&["--update"], 3);
    assert_eq!(
        bench.names()[&track_id(1)],
        format!("version 2 of {}", track_id(1))
    );
    bench.assert_no_litter();
    for (ending, wanted) in modes {
        assert_eq!(mode(ending), wanted, "{ending}: {:o}", mode(ending));
    }
    // The failures file is written anew.
    bench.set(&track_id(5), Now::Gone);
    bench.run(&["retry"], 3);
    for (ending, wanted) in modes {
        assert_eq!(mode(ending), wanted, "{ending}: {:o}", mode(ending));
    }
}

/// Nor does an update that is killed when it has just made a file.
#[cfg(unix)]
#[test]
fn an_update_opens_no_file_to_others_wherever_it_is_killed() {
    use std::os::unix::fs::PermissionsExt;

    let bench = Bench::new(10, "out.ndjson", "");
    bench.run(&[], 0);
    let folder = || {
        fs::read_dir(bench.place.path("."))
            .unwrap()
            .map(Result::unwrap)
    };
    // Its lock says nothing but whose it is.
    let ours = |name: &str| name.starts_with("out.ndjson") && !name.ends_with(".lock");
    for file in folder().filter(|file| ours(&file.file_name().to_string_lossy())) {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
    }
    for place in [
        "open: output created",
        "draft: written",
        "draft: in place",
        "commit: begun",
        "commit: output durable",
        "update: next output written",
        "update: next failures written",
        "compaction: written",
        "update: in place",
    ] {
        bench.set(&track_id(1), Now::Version(bench.server.seen().len() as u32));
        assert!(killed_at(&bench, place, 0), "{place}");
        let mut files = 0;
        for file in folder().filter(|file| ours(&file.file_name().to_string_lossy())) {
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{place}: {:?} {mode:o}", file.file_name());
            files += 1;
        }
        assert!(files > 3, "{place}");
        bench.run(&["--update"], 0);
    }
}

#[test]
fn only_what_is_older_is_asked_again() {
    let bench = Bench::new(10, "out.ndjson", "[update]\nolder_than = \"1h\"\n");
    bench.list(&bench.ids[..6]);
    bench.run(&[], 0);
    // Nothing is an hour old.
    for arguments in [&[][..], &["--update"]] {
        let (requests, _, output) = bench.cost(arguments, 0);
        assert_eq!(requests, 0);
        assert_says(
            &output,
            &["0 of 6 records are older than 1h", "nothing to update"],
        );
        bench.assert_no_litter();
    }
    sleep(Duration::from_millis(1_500));
    // A job that keeps itself fresh takes in new items just so.
    bench.list(&bench.ids);
    let (requests, _, _) = bench.cost(&[], 0);
    assert_eq!(requests, 4);
    bench.assert_exactly_once();

    bench.edit("\"1h\"", "\"1400ms\"");
    let status = bench.run(&["status"], 0);
    let check = bench.run(&["check"], 0);
    let asked = bench.server.seen().len();
    let (requests, _, output) = bench.cost(&[], 0);
    // On a busy machine the later four may have got old, too.
    assert!((6..=10).contains(&requests), "{requests} {}", told(&output));
    let first: BTreeSet<_> = bench.server.seen()[asked..]
        .iter()
        .map(|r| r.last().to_owned())
        .collect();
    assert!(bench.ids[..6].iter().all(|id| first.contains(id)));
    for output in [status, check] {
        assert_says(&output, &["of 10 records are older than 1s 400ms"]);
    }
}

#[test]
fn csv_and_envelope_lines_are_replaced_too() {
    for (output, more) in [
        ("out.csv", ""),
        ("out.csv", "record = \"envelope\"\n"),
        (
            "out.csv",
            "[output.columns]\nname = \"$.name\"\nid = \"$.id\"\n",
        ),
        ("out.ndjson", "record = \"envelope\"\n"),
    ] {
        let bench = Bench::new(20, output, more);
        bench.run(&[], 0);
        let before = bench.lines();
        bench.set(&track_id(5), Now::Version(2));
        bench.set(&track_id(6), Now::Gone);
        let (_, _, said) = bench.cost(&["--update"], 3);
        assert_says(&said, &["1 gone"]);
        let after = bench.lines();
        assert_eq!(after.len(), before.len() - 1);
        // Those without validators came whole, and an envelope says when.
        let stays = |id: &str| {
            let line = before.iter().find(|line| line.contains(id)).unwrap();
            assert!(after.contains(line), "{output} {more}: {line}\n{after:?}");
        };
        stays(&track_id(1));
        stays(&track_id(2));
        assert!(after.iter().any(|line| line.contains("version 2 of")));
        assert_eq!(after.iter().filter(|l| l.contains(&track_id(5))).count(), 1);
        assert!(!after.iter().any(|line| line.contains(&track_id(6))));
        if output == "out.csv" {
            assert_eq!(after[0], before[0]);
            let mut rows = csv::Reader::from_path(bench.place.path(output)).unwrap();
            assert_eq!(rows.records().map(Result::unwrap).count(), 19);
        }
        bench.assert_no_litter();
        // And it goes on from there.
        bench.run(&["--update"], 3);
        assert_eq!(bench.lines().len(), after.len());
    }
}

/// Nothing of it is committed, so nothing of it may be believed.
#[test]
fn an_update_after_a_kill_in_the_first_commit_asks_for_everything() {
    let bench = Bench::new(10, "out.ndjson", "[update]\nolder_than = \"1h\"\n");
    assert!(bench.killed_at(&[], "commit: versions durable", 0));
    assert!(
        fs::metadata(bench.place.path("out.ndjson.versions"))
            .unwrap()
            .len()
            > 17
    );
    bench.run(&["--update"], 0);
    assert_eq!(bench.names().len(), 10);
    bench.assert_no_litter();
    let (requests, _, _) = bench.cost(&["--update"], 0);
    assert_eq!(requests, 0, "all are young, and known to be");
}

/// What an output may be while an update is under way.
struct Whole {
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Whole {
    fn assert(&self, path: &Path, when: &str) {
        let found = fs::read(path).unwrap();
        assert!(
            found == self.old || found == self.new,
            "{when}: neither the old output nor the new one:\n{}",
            String::from_utf8_lossy(&found)
        );
    }
}

/// Stopped in an update at a fail point and killed there. False when it never came by.
fn killed_at(bench: &Bench, name: &str, passes: u32) -> bool {
    bench.killed_at(&["--update"], name, passes)
}

#[test]
fn a_kill_at_each_step_leaves_the_old_output_or_the_new_one_and_the_same_command_finishes() {
    let steps = [
        ("commit: versions durable", 0),
        ("commit: output durable", 0),
        ("checkpoint: block durable", 0),
        ("checkpoint: closing block durable", 0),
        ("update: next output written", 0),
        ("update: next failures written", 0),
        ("update: next files durable", 0),
        ("compaction: written", 0),
        // The first draft is that of the update's own checkpoint.
        ("draft: durable", 1),
        ("draft: renamed", 1),
        ("draft: in place", 1),
        ("update: committed", 0),
        ("update: output renamed", 0),
        ("update: failures renamed", 0),
        ("update: versions renamed", 0),
        ("update: in place", 0),
    ];
    let change = |bench: &Bench| {
        for n in [1, 6, 9] {
            bench.set(&track_id(n), Now::Version(2));
        }
        bench.set(&track_id(7), Now::Gone);
        bench.set(&track_id(3), Now::Version(1));
    };
    for (step, passes) in steps {
        let bench = Bench::new(40, "out.ndjson", "");
        bench.set(&track_id(3), Now::Gone);
        bench.run(&[], 3);
        let old = bench.lines();
        change(&bench);
        let expected: Vec<String> = old
            .iter()
            .filter(|line| !line.contains(&track_id(7)))
            .map(|line| {
                let id = [1, 6, 9]
                    .map(track_id)
                    .into_iter()
                    .find(|id| line.contains(id));
                id.map_or_else(|| line.clone(), |id| body(&id, 2))
            })
            .chain([body(&track_id(3), 1)])
            .collect();
        let bytes = |lines: &[String]| (lines.join("\n") + "\n").into_bytes();
        let whole = Whole {
            old: bytes(&old),
            new: bytes(&expected),
        };
        assert!(killed_at(&bench, step, passes), "{step} is never reached");
        whole.assert(&bench.place.path("out.ndjson"), step);
        bench.run(&["status"], 0);
        // A run or a retry finds the files as the kill left them; both leave a whole output.
        bench.run(&[], 3);
        whole.assert(&bench.place.path("out.ndjson"), step);
        bench.assert_exactly_once();
        bench.run(&["--update"], 3);
        assert_eq!(bench.lines(), expected, "{step}");
        bench.assert_exactly_once();
        bench.assert_no_litter();
        // The failures file is the item that is gone, and nothing else.
        assert_eq!(bench.failures().len(), 1, "{step}");
        // Everything is known of everything.
        let (requests, bodies, _) = bench.cost(&["--update"], 3);
        assert_eq!((requests, bodies), (40, 8), "{step}");
        assert_eq!(bench.lines(), expected, "{step}");
    }
}

#[test]
fn kills_at_random_lose_no_answer_that_was_committed() {
    let bench = Bench::new(400, "out.ndjson", "");
    bench.run(&[], 0);
    let old = fs::read(bench.place.path("out.ndjson")).unwrap();
    for n in (0..400).step_by(3) {
        bench.set(&track_id(n), Now::Version(2));
    }
    let mut random = fastrand::Rng::with_seed(5);
    let asked = bench.server.seen().len();
    let mut ended = false;
    for _ in 0..12 {
        let before = bench.server.seen().len();
        let mut child = bench.start(&["--update", "--rate", "100/s"]);
        until(|| {
            ended = child.try_wait().unwrap().is_some();
            ended || bench.server.seen().len() >= before + 5
        });
        sleep(Duration::from_micros(random.u64(0..300_000)));
        ended = child.try_wait().unwrap().is_some();
        kill(child);
        if ended {
            break;
        }
        assert_eq!(fs::read(bench.place.path("out.ndjson")).unwrap(), old);
    }
    if !ended {
        bench.run(&["--update"], 0);
    }
    // A kill costs a commit's interval and what is in flight, not what was asked before.
    let requests = bench.server.seen().len() - asked;
    assert!((400..800).contains(&requests), "{requests}");
    let records = bench.names();
    assert_eq!(records.len(), 400);
    for (n, id) in bench.ids.iter().enumerate() {
        assert_eq!(records[id].starts_with("version 2"), n % 3 == 0, "{id}");
    }
    bench.assert_no_litter();
}

#[test]
fn a_limited_update_goes_on_and_ends_with_the_next() {
    let bench = Bench::new(20, "out.ndjson", "");
    bench.run(&[], 0);
    bench.set(&track_id(0), Now::Version(2));
    let old = bench.place.read("out.ndjson");
    let (requests, _, output) = bench.cost(&["--update", "--limit", "8"], 0);
    assert_eq!(requests, 8);
    assert_says(&output, &["stopped at --limit", "--update", "(20 records)"]);
    assert_eq!(bench.place.read("out.ndjson"), old);
    // Who only runs the job, or asks where it stands, is told.
    let (requests, _, output) = bench.cost(&[], 0);
    assert_eq!(requests, 0);
    assert_says(
        &output,
        &[
            "an update of this output is under way (8 items asked)",
            "--update",
        ],
    );
    let status = bench.run(&["status"], 0);
    assert_says(&status, &["under way: 8 items asked"]);
    let (requests, _, _) = bench.cost(&["--update"], 0);
    assert_eq!(requests, 12);
    assert!(bench.names()[&track_id(0)].starts_with("version 2"));
    bench.assert_no_litter();
}

#[test]
fn a_retry_between_two_halves_of_an_update_keeps_every_item_once() {
    let bench = Bench::new(20, "out.ndjson", "");
    bench.set(&track_id(2), Now::Down);
    bench.set(&track_id(12), Now::Down);
    bench.run(&[], 3);
    // The update asks 2 in vain; the retry gets both.
    bench.run(&["--update", "--limit", "8"], 3);
    bench.set(&track_id(2), Now::Version(1));
    bench.set(&track_id(12), Now::Version(1));
    bench.run(&["retry"], 0);
    bench.assert_exactly_once();
    let (requests, _, _) = bench.cost(&["--update"], 0);
    assert_eq!(requests, 12);
    bench.assert_exactly_once();
    assert_eq!(bench.names().len(), 20);
    bench.assert_no_litter();
}

#[test]
fn an_update_of_nothing_is_a_first_run_and_fresh_forgets_an_update() {
    let bench = Bench::new(10, "out.ndjson", "");
    let (requests, _, output) = bench.cost(&["--update"], 0);
    assert_eq!(requests, 10);
    assert_says(&output, &["this is a first run"]);
    let (requests, bodies, _) = bench.cost(&["--update", "--limit", "5"], 0);
    assert_eq!((requests, bodies), (5, 1));
    assert!(bench.place.path("out.ndjson.updating").exists());
    let (requests, _, _) = bench.cost(&["--fresh", "--yes"], 0);
    assert_eq!(requests, 10);
    bench.assert_no_litter();
    bench.run(&["--fresh", "--update"], 2);
}

#[test]
fn what_keeps_no_checkpoint_can_t_be_updated() {
    let bench = Bench::new(3, "out.ndjson", "[update]\nolder_than = \"7d\"\n");
    let output = bench.run(&["--update", "--output", "-"], 1);
    assert_says(&output, &["stdout", "nothing to update"]);
    // A job that keeps itself fresh may still be looked at.
    bench.run(&["--output", "-"], 0);
    let mut job = "[update]\nolder_than = \"7d\"\n";
    for (wrong, words) in [
        ("[update]\n", "`older_than` is missing in [update]"),
        (
            "[update]\nolder_than = \"soon\"\n",
            "expected a length of time",
        ),
        (
            "[update]\nolder_than = \"0s\"\n",
            "`older_than` must be from `1s` to `366d`",
        ),
        ("[update]\nolder = \"7d\"\n", "did you mean `older_than`?"),
    ] {
        bench.edit(job, wrong);
        job = wrong;
        let output = bench.run(&[], 2);
        assert_says(&output, &[words, "job.toml:"]);
    }
    bench.edit(job, "[update]\nolder_than = \"7d\"\n");
    bench.edit("out.ndjson", "-");
    let output = bench.run(&[], 2);
    assert_says(&output, &["[update] needs an output that is kept"]);
}

#[test]
fn an_output_of_unknown_places_is_refused_and_left_alone() {
    let bench = Bench::new(10, "out.ndjson", "");
    bench.run(&[], 0);
    let before = bench.place.read("out.ndjson");
    fs::remove_file(bench.place.path("out.ndjson.versions")).unwrap();
    let (requests, _, output) = bench.cost(&["--update"], 1);
    assert_eq!(requests, 0);
    assert_says(
        &output,
        &[
            "out.ndjson.versions",
            "restore it, or start over with --fresh",
        ],
    );
    assert_eq!(bench.place.read("out.ndjson"), before);
    // A run that only goes on needs none of it.
    bench.list(&(0..12).map(track_id).collect::<Vec<_>>());
    let (requests, _, _) = bench.cost(&[], 0);
    assert_eq!(requests, 2);
}

#[test]
fn an_api_that_finds_nothing_any_more_takes_no_record_away() {
    let bench = Bench::new(150, "out.ndjson", "");
    bench.run(&[], 0);
    let before = bench.place.read("out.ndjson");
    // The first few are there still: it is not the URL.
    for n in 5..150 {
        bench.set(&track_id(n), Now::Gone);
    }
    let output = bench.run(&["--update"], 1);
    assert_says(&output, &["items failed in the same way: not_found"]);
    assert_eq!(bench.place.read("out.ndjson"), before);
    // It was the API's fault; the same command goes on.
    bench.server.state.now.lock().unwrap().clear();
    bench.run(&["--update"], 0);
    assert_eq!(bench.place.read("out.ndjson"), before);
}

#[test]
fn listings_of_one_id_are_updated_each() {
    let bench = Bench::new(3, "out.ndjson", "");
    bench.edit("[request]", "repeats = \"each\"\n[request]");
    let id = track_id(1);
    bench.list(&[id.clone(), id.clone(), id.clone()]);
    bench.run(&[], 0);
    let (requests, bodies, _) = bench.cost(&["--update"], 0);
    assert_eq!((requests, bodies), (3, 0));
    bench.set(&id, Now::Version(2));
    let (requests, bodies, _) = bench.cost(&["--update"], 0);
    assert_eq!((requests, bodies), (3, 3));
    assert_eq!(bench.lines(), vec![body(&id, 2); 3]);
}

#[test]
fn a_post_is_asked_whole_and_a_304_that_nobody_asked_for_is_no_record() {
    let bench = Bench::new(4, "out.ndjson", "").with("request", "method = \"POST\"");
    bench.run(&[], 0);
    let (requests, bodies, _) = bench.cost(&["--update"], 0);
    assert_eq!((requests, bodies), (4, 4));
    let conditional = |r: &raw::Req| r.head.to_ascii_lowercase().contains("\r\nif-");
    assert!(!bench.server.seen().iter().any(conditional));

    let server = Raw::start(|_, _| answer("304 Not Modified", "", ""));
    let bench = support::Bench::of(server, "/{id}").ids(["a"]);
    bench.run(&[], 3);
    assert_eq!(bench.failures()[0]["reason"], "unexpected_status");
}

#[test]
fn items_of_a_batch_are_asked_whole_and_replaced_one_by_one() {
    let server = Raw::sharing(AtomicU32::new(1), |version, request, _| {
        let version = version.load(Ordering::SeqCst);
        let ids = request.target.split_once("ids=").unwrap().1;
        let elements: Vec<String> = ids
            .split(',')
            .map(|id| match (version, id) {
                // Seven is gone with the second version, and two have changed.
                (2, id) if id == track_id(7) => "null".to_owned(),
                (2, id) if id == track_id(1) || id == track_id(12) => body(id, 2),
                _ => body(id, 1),
            })
            .collect();
        let list = format!("{{\"items\":[{}]}}", elements.join(","));
        answer("200 OK", "ETag: \"all\"\r\n", list)
    });
    let bench = support::Bench::of(server, "/items?ids={ids}")
        .ids((0..20).map(track_id))
        .with(
            "request.batch",
            "size = 10\nitems = \"$.items\"\nkey = \"$.id\"",
        )
        .with("limits", "rate = \"unlimited\"");
    bench.run(&[], 0);
    let before = bench.lines();
    // Nothing has changed; that has to be seen in the bodies.
    bench.run(&["--update"], 0);
    assert_eq!(bench.lines(), before);
    bench.server.state.store(2, Ordering::SeqCst);
    let output = bench.run(&["--update"], 3);
    assert_says(&output, &["2 changed, 17 unchanged", "1 gone"]);
    bench.assert_exactly_once();
    assert_eq!(bench.lines().len(), 19);
    let seen = bench.server.seen();
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|r| r.header("if-none-match").is_none()));
}

#[test]
fn behind_a_redirect_nothing_is_conditional() {
    let server = Raw::start(|request, _| match request.target.starts_with("/old/") {
        true => answer(
            "302 Found",
            &format!("Location: /new/{}\r\nETag: \"moved\"\r\n", request.last()),
            "",
        ),
        false => answer("200 OK", "ETag: \"there\"\r\n", body(request.last(), 1)),
    });
    let bench = support::Bench::of(server, "/old/{id}").ids([track_id(1)]);
    bench.run(&[], 0);
    bench.run(&["--update"], 0);
    let seen = bench.server.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|r| r.header("if-none-match").is_none()));
}

#[test]
fn the_embedded_api_answers_304() {
    let bench = support::Bench::sandbox(&[])
        .ids((0..10).map(track_id))
        .with("limits", "rate = \"unlimited\"");
    bench.run(&[], 0);
    let before = bench.lines();
    bench.run(&["--update"], 0);
    let items = bench.server.items();
    let answers: Vec<_> = items.iter().map(|seen| seen.status.unwrap()).collect();
    assert_eq!(answers[..10], [200; 10]);
    assert_eq!(answers[10..], [304; 10]);
    assert_eq!(bench.lines(), before);
    bench.assert_exactly_once();
}
