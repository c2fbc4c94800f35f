//! `--update` of items that come in pages: asked whole, replaced together, in
//! each form of records, in parts, and wherever it is killed.

use crate::child::{kill, until};
use crate::paged::{Asked, SIZE};
use crate::raw::{Raw, Reply, answer};
use crate::support::{self, assert_says, names};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// What the server has of an item.
#[derive(Debug, Clone, Default)]
struct Now {
    /// The version of each element.
    elements: Vec<u32>,
    /// The page that answers with this status instead.
    fails: Option<(u64, &'static str)>,
}

#[derive(Default)]
struct Items {
    now: Mutex<BTreeMap<String, Now>>,
    /// What the server takes for a page, in ms.
    delay: AtomicU64,
}

/// An API of items with as many elements as they have, five a page.
type Bench = support::Bench<Raw<Items>>;

const ITEMS: &str = "items = \"$.items\"";
const MERGE: &str = "merge = \"$.items\"";
const EACH: &str = "";

const GONE: &str = "404 Not Found";
const DOWN: &str = "500 Internal Server Error";

fn element(id: &str, n: usize, version: u32) -> String {
    format!("{{\"id\":\"{id}-{n}\",\"v\":{version}}}")
}

fn page(asked: &Asked, now: &Now) -> Reply {
    if let Some((_, status)) = now.fails.filter(|(at, _)| *at == asked.page) {
        return answer(status, "", "{}");
    }
    let from = (asked.page * SIZE) as usize;
    let to = (from + SIZE as usize).min(now.elements.len());
    let all = now.elements.iter().enumerate();
    let elements: Vec<String> = all
        .map(|(n, version)| element(&asked.id, n, *version))
        .collect();
    let next = match to < elements.len() {
        true => format!("\"?at={}\"", asked.page + 1),
        false => "null".to_owned(),
    };
    let body = format!(
        "{{\"of\":\"{}\",\"items\":[{}],\"next\":{next}}}",
        asked.id,
        elements.get(from..to).unwrap_or_default().join(",")
    );
    // A first page that has not changed would say nothing of the others.
    answer("200 OK", "ETag: \"always\"\r\n", body)
}

impl Bench {
    fn new(ids: &[&str], records: &str, output: &'static str, more: &str) -> Bench {
        let server = Raw::sharing(Items::default(), |items, request, _| {
            sleep(Duration::from_millis(items.delay.load(Ordering::SeqCst)));
            let asked = Asked::of(request);
            let now = items.now.lock().unwrap().get(&asked.id).cloned();
            page(&asked, &now.unwrap_or_default())
        });
        let bench = Bench::of(server, "/items/{id}")
            .ids(ids.iter().copied())
            .output(output)
            .with("request.pages", &format!("next = \"$.next\"\n{records}"))
            .with("limits", "rate = \"unlimited\"")
            .with("retry", "attempts = 1")
            .with("checkpoint", "every = \"100ms\"");
        let path = format!("path = \"{output}\"\n");
        bench.edit(&path, &format!("{path}{more}\n"));
        bench
    }

    /// The limit of pages in memory is lowered: longer items come in parts.
    fn in_parts(self) -> Bench {
        self.env("HARVEST_LIMIT_PAGES", "2")
    }

    fn delay(&self, millis: u64) {
        self.server.state.delay.store(millis, Ordering::SeqCst);
    }

    fn has(&self, id: &str, elements: &[u32]) {
        let now = Now {
            elements: elements.to_vec(),
            fails: None,
        };
        self.server
            .state
            .now
            .lock()
            .unwrap()
            .insert(id.to_owned(), now);
    }

    fn fails(&self, id: &str, page: u64, status: &'static str) {
        let mut items = self.server.state.now.lock().unwrap();
        items.entry(id.to_owned()).or_default().fails = Some((page, status));
    }

    fn heals(&self, id: &str) {
        self.server
            .state
            .now
            .lock()
            .unwrap()
            .get_mut(id)
            .unwrap()
            .fails = None;
    }

    /// Of each item, as it is now.
    fn elements(&self, id: &str) -> Vec<String> {
        let items = self.server.state.now.lock().unwrap();
        let versions = items[id].elements.iter().enumerate();
        versions
            .map(|(n, version)| element(id, n, *version))
            .collect()
    }

    /// The elements in the output, by item, in their order; and how many lines those are.
    fn found(&self) -> BTreeMap<String, (Vec<String>, usize)> {
        let mut found: BTreeMap<String, (Vec<String>, usize)> = BTreeMap::new();
        for line in self.lines() {
            let value: Value = serde_json::from_str(&line).unwrap();
            let (id, elements) = match value["of"].as_str() {
                Some(id) => {
                    let elements = value["items"].as_array().unwrap();
                    (
                        id.to_owned(),
                        elements.iter().map(Value::to_string).collect(),
                    )
                }
                None => {
                    let id = value["id"].as_str().unwrap().split_once('-').unwrap().0;
                    (id.to_owned(), vec![line])
                }
            };
            let entry = found.entry(id).or_default();
            entry.0.extend(elements);
            entry.1 += 1;
        }
        found
    }

    fn failed(&self) -> Vec<(String, String)> {
        let lines = self.failures();
        let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        let mut failed: Vec<_> = lines
            .iter()
            .map(|line| (text(line, "id"), text(line, "reason")))
            .collect();
        failed.sort();
        failed
    }

    fn asked(&self) -> Vec<Asked> {
        self.server.seen().iter().map(Asked::of).collect()
    }
}

const NINE: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

#[test]
fn all_records_of_an_item_are_replaced_together_in_each_form() {
    for (records, parts) in [
        (ITEMS, false),
        (ITEMS, true),
        (MERGE, false),
        (EACH, false),
        (EACH, true),
    ] {
        let mut bench = Bench::new(&NINE, records, "out.ndjson", "");
        if parts {
            bench = bench.in_parts();
        }
        for id in NINE {
            bench.has(id, &[1; 23]);
        }
        bench.has("e", &[]);
        bench.fails("i", 0, DOWN);
        bench.run(&[], 3);
        let first: Vec<String> = bench.found().into_keys().collect();

        // Nothing has changed: all of it comes again, and is what it was.
        let before = bench.place.read("out.ndjson");
        let asked = bench.asked().len();
        bench.heals("i");
        bench.fails("i", 0, GONE);
        let output = bench.run(&["--update"], 3);
        assert_eq!(bench.asked().len() - asked, 7 * 5 + 1 + 1, "{records}");
        assert_says(&output, &["0 changed"]);
        let same = bench.found();
        assert!(same.keys().eq(&first), "{records}: {same:?}");
        // Parts of several items lay between each other; now each item's are together.
        if !parts {
            assert_eq!(bench.place.read("out.ndjson"), before);
        }

        let mut versions = [1; 23];
        versions[7] = 2;
        bench.has("b", &versions);
        bench.has("c", &[1; 4]);
        bench.has("d", &[1; 31]);
        bench.has("e", &[1; 12]);
        bench.has("f", &[]);
        bench.fails("g", 0, GONE);
        bench.fails("h", 3, GONE);
        bench.has("i", &[1; 6]);
        let kept = bench.elements("h");
        let output = bench.run(&["--update"], 3);
        assert_says(
            &output,
            &[
                "1 not answered: their records stay as they were",
                "not_found",
            ],
        );
        if records == ITEMS {
            assert_says(&output, &["1 changed, 72 unchanged, 26 new, 65 gone"]);
        }
        if parts {
            // Of an item that has its record no part of a new one is kept.
            assert!(!String::from_utf8_lossy(&output.stderr).contains("are in the output;"));
        }
        let found = bench.found();
        for id in ["a", "b", "c", "d", "e", "i"] {
            let elements = bench.elements(id);
            let lines = match records {
                ITEMS => elements.len(),
                MERGE => 1,
                _ => elements.len().div_ceil(SIZE as usize),
            };
            assert_eq!(found[id], (elements, lines), "{records}: {id}");
        }
        assert_eq!(found["h"].0, kept);
        assert!(!found.contains_key("g"));
        // An item without elements has no record but its page.
        let none = found
            .get("f")
            .map(|(elements, lines)| (elements.len(), *lines));
        assert_eq!(none, (records != ITEMS).then_some((0, 1)));
        assert_eq!(bench.failed(), [("g".to_owned(), "not_found".to_owned())]);
        let conditional = |r: &crate::raw::Req| r.head.to_ascii_lowercase().contains("\r\nif-");
        assert!(!bench.server.seen().iter().any(conditional));
        bench.assert_no_litter();

        // It goes on from there, and a plain run sends nothing.
        let seen = bench.asked().len();
        bench.run(&[], 3);
        assert_eq!(bench.asked().len(), seen);
        for id in ["g", "h"] {
            bench.heals(id);
        }
        bench.run(&["--update"], 0);
        for (id, (elements, _)) in bench.found() {
            assert_eq!(elements, bench.elements(&id), "{records}: {id}");
        }
        assert!(bench.failed().is_empty());
    }
}

#[test]
fn only_items_that_are_old_enough_are_asked_and_all_of_each() {
    let bench = Bench::new(
        &["a", "b"],
        ITEMS,
        "out.ndjson",
        "[update]\nolder_than = \"1h\"",
    )
    .in_parts();
    bench.has("a", &[1; 23]);
    bench.has("b", &[]);
    bench.run(&[], 0);
    let asked = bench.asked().len();
    let output = bench.run(&[], 0);
    assert_says(
        &output,
        &["0 of 23 records are older than 1h", "nothing to update"],
    );
    assert_eq!(bench.asked().len(), asked);
    let job = bench.place.read("job.toml").replace("\"1h\"", "\"1s\"");
    bench.place.write("job.toml", &job);
    sleep(Duration::from_millis(1_100));
    let status = bench.run(&["status"], 0);
    assert_says(&status, &["23 of 23 records are older than 1s"]);
    bench.has("a", &[2; 3]);
    // A run of the finished job is the update.
    let output = bench.run(&[], 0);
    assert_says(&output, &["3 changed, 0 unchanged, 20 gone", "its records"]);
    assert_eq!(bench.asked().len() - asked, 2);
    assert_eq!(bench.lines(), bench.elements("a"));
}

/// The header row is written by the first record, which may be the second item's, or an update's.
#[test]
fn csv_rows_are_replaced_also_where_the_first_item_has_none() {
    for columns in ["", "[output.columns]\nv = \"$.v\"\nid = \"$.id\""] {
        let mut bench = Bench::new(&["a", "b", "c"], ITEMS, "out.csv", columns);
        let header = if columns.is_empty() { "id,v" } else { "v,id" };
        for parts in [false, true] {
            if parts {
                bench = bench.in_parts();
            }
            let rows = |ids: &[(&str, usize, u32)]| -> Vec<String> {
                let rows = ids.iter().flat_map(|&(id, count, v)| {
                    (0..count).map(move |n| match columns {
                        "" => format!("{id}-{n},{v}"),
                        _ => format!("{v},{id}-{n}"),
                    })
                });
                [header.to_owned()].into_iter().chain(rows).collect()
            };
            for id in ["a", "b", "c"] {
                bench.has(id, &[]);
            }
            bench.run(&["--fresh", "--yes", "--concurrency", "1"], 0);
            let none = bench.place.read("out.csv");
            // Nothing but, perhaps, the header row; and that stays so.
            bench.run(&["--update"], 0);
            assert_eq!(bench.place.read("out.csv"), none);
            bench.has("b", &[1; 12]);
            bench.run(&["--update"], 0);
            assert_eq!(bench.place.lines("out.csv"), rows(&[("b", 12, 1)]));
            bench.has("a", &[3; 2]);
            bench.has("b", &[2; 14]);
            bench.run(&["--update"], 0);
            // In their places, those without rows as well.
            assert_eq!(
                bench.place.lines("out.csv"),
                rows(&[("a", 2, 3), ("b", 14, 2)])
            );
            bench.has("a", &[]);
            bench.has("b", &[]);
            let output = bench.run(&["--update"], 0);
            assert_says(&output, &["0 changed, 0 unchanged, 16 gone"]);
            assert_eq!(bench.place.lines("out.csv"), rows(&[]));
            bench.has("c", &[1]);
            bench.run(&["--update"], 0);
            assert_eq!(bench.place.lines("out.csv"), rows(&[("c", 1, 1)]));
            bench.assert_no_litter();
        }
    }
}

/// The parts that are there stay, or those of the update take their place: either way `retry` goes on after them.
#[test]
fn an_item_that_failed_in_its_midst_keeps_a_trail_that_retry_goes_on_with() {
    for (page, from, versions) in [(1, 7, 1), (4, 4, 2)] {
        let bench = Bench::new(&["a", "b"], ITEMS, "out.ndjson", "").in_parts();
        bench.has("a", &[1; 50]);
        bench.has("b", &[1; 8]);
        bench.fails("a", 7, DOWN);
        bench.run(&[], 3);
        assert_eq!(bench.found()["a"].0.len(), 35);
        // The update fails before it has a part, or after.
        bench.has("a", &[2; 50]);
        bench.has("b", &[2; 8]);
        bench.fails("a", page, DOWN);
        let output = bench.run(&["--update"], 3);
        assert_says(&output, &["updated: some items failed"]);
        let found = bench.found();
        assert_eq!(found["b"].0, bench.elements("b"));
        let part: Vec<String> = (0..from as usize * 5)
            .map(|n| element("a", n, versions))
            .collect();
        assert_eq!(found["a"].0, part);
        assert_eq!(
            bench.failed(),
            [("a".to_owned(), "server_error".to_owned())]
        );
        let status = bench.run(&["status"], 0);
        let part = format!("in part    1 items, with {} records so far", from * 5);
        assert_says(&status, &[&part]);
        bench.assert_no_litter();

        bench.has("a", &[versions; 50]);
        let asked = bench.asked().len();
        bench.run(&["retry"], 0);
        assert_eq!(bench.asked()[asked].page, from);
        assert_eq!(bench.found()["a"].0, bench.elements("a"));
        // All of it is known.
        bench.has("a", &[3; 7]);
        bench.run(&["--update"], 0);
        assert_eq!(bench.found()["a"].0, bench.elements("a"));
        assert_eq!(bench.lines().len(), 15);
    }
}

/// What is there only in part is told each time, also by updates.
#[test]
fn a_part_of_an_item_that_left_the_list_stays_and_is_told() {
    let bench = Bench::new(&["a", "b"], ITEMS, "out.ndjson", "").in_parts();
    bench.has("a", &[1; 25_000]);
    bench.has("b", &[1; 8]);
    let run = bench.start(&[]);
    until(|| {
        let status = bench.run(&["status"], 0);
        String::from_utf8_lossy(&status.stdout).contains("in part    1 items")
    });
    kill(run);
    bench.list(&["b", "c"]);
    bench.has("b", &[2; 9]);
    bench.has("c", &[1; 2]);
    for _ in 0..2 {
        let output = bench.run(&["--update"], 0);
        assert_says(
            &output,
            &["1 item is in the output in part and not in the list any more"],
        );
        let found = bench.found();
        assert!(!found["a"].0.is_empty());
        assert_eq!(found["b"].0, bench.elements("b"));
        assert_eq!(found["c"].0, bench.elements("c"));
    }
    // Listed again, it is fetched whole.
    bench.list(&["a", "b", "c"]);
    bench.has("a", &[2; 40]);
    let output = bench.run(&["--update"], 0);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("in part"), "{said}");
    assert_eq!(bench.found()["a"].0, bench.elements("a"));
}

/// Pages that are not there any more, of nearly every item: no record is at stake, and none leaves.
#[test]
fn later_pages_that_are_gone_take_no_record_away_and_first_ones_stop_the_update() {
    let ids = names(150);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let bench = Bench::new(&ids, ITEMS, "out.ndjson", "");
    for id in &ids {
        bench.has(id, &[1; 8]);
    }
    bench.run(&[], 0);
    let before = bench.place.read("out.ndjson");
    for id in &ids[5..] {
        bench.fails(id, 1, GONE);
    }
    let output = bench.run(&["--update"], 3);
    assert_says(
        &output,
        &["145 not answered: their records stay as they were"],
    );
    assert_eq!(bench.place.read("out.ndjson"), before);
    assert!(bench.failed().is_empty());
    for id in &ids[5..] {
        bench.fails(id, 0, GONE);
    }
    let output = bench.run(&["--update"], 1);
    assert_says(&output, &["items failed in the same way: not_found"]);
    assert_eq!(bench.place.read("out.ndjson"), before);
}

/// Everything may happen to an item; what comes of it, line by line: the old
/// lines in their places, an item's new ones in the place of its first.
fn expected(
    bench: &Bench,
    old: &[String],
    kept: &[&str],
    gone: &[&str],
    new: &[&str],
) -> Vec<String> {
    let of = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        value["id"]
            .as_str()
            .unwrap()
            .split_once('-')
            .unwrap()
            .0
            .to_owned()
    };
    let mut lines = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for line in old {
        let id = of(line);
        if kept.contains(&&*id) {
            lines.push(line.clone());
        } else if !seen.contains(&id) {
            if !gone.contains(&&*id) {
                lines.extend(bench.elements(&id));
            }
            seen.push(id);
        }
    }
    lines.extend(new.iter().flat_map(|id| bench.elements(id)));
    lines
}

#[test]
fn a_kill_at_each_step_leaves_the_old_output_or_the_new_one() {
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
    for (step, passes) in steps {
        let bench = Bench::new(&["a", "b", "c", "d", "e", "f"], ITEMS, "out.ndjson", "").in_parts();
        for id in ["a", "b", "c", "d", "e"] {
            bench.has(id, &[1; 33]);
        }
        bench.has("f", &[1; 4]);
        // Of this one, a part is there.
        bench.fails("e", 5, DOWN);
        bench.run(&[], 3);
        let old = bench.lines();
        bench.has("b", &[2; 12]);
        bench.has("c", &[1; 40]);
        bench.fails("d", 0, GONE);
        bench.has("e", &[2; 33]);
        bench.fails("e", 4, DOWN);
        bench.has("g", &[1; 21]);
        bench.fails("f", 0, DOWN);
        bench.list(&["a", "b", "c", "d", "e", "f", "g"]);
        // Of `e`, the four pages that came before it failed.
        let mut new = expected(&bench, &old, &["f"], &["d"], &["g"]);
        new.retain(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            let (id, n) = value["id"].as_str().unwrap().split_once('-').unwrap();
            id != "e" || n.parse::<u32>().unwrap() < 20
        });
        let whole = |when: &str| {
            let found = bench.lines();
            assert!(
                found == old || found == new,
                "{step}, {when}: neither the old output nor the new one:\n{found:#?}"
            );
        };
        let killed = bench.killed_at(&["--update"], step, passes);
        assert!(killed, "{step} is never reached");
        whole("killed");
        // A run finds the files as the kill left them. It would fetch what the
        // update has not brought yet.
        bench.list(&["a", "b", "c", "d", "e", "f"]);
        bench.run(&[], 3);
        whole("run again");
        bench.list(&["a", "b", "c", "d", "e", "f", "g"]);
        bench.run(&["--update"], 3);
        assert_eq!(bench.lines(), new, "{step}");
        let failed = bench.failed();
        let failed: Vec<&str> = failed.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(failed, ["d", "e"], "{step}");
        bench.assert_no_litter();
        // Everything is known of everything, and the trail goes on.
        for id in ["d", "e", "f"] {
            bench.heals(id);
        }
        let asked = bench.asked().len();
        bench.run(&["retry"], 0);
        let seen = bench.asked();
        let first = seen[asked..].iter().find(|asked| asked.id == "e").unwrap();
        assert_eq!(first.page, 4, "{step}");
        bench.run(&["--update"], 0);
        for (id, (elements, _)) in bench.found() {
            assert_eq!(elements, bench.elements(&id), "{step}: {id}");
        }
    }
}

/// Killed again and again at any moment: the old output stands until the new
/// one does, and in that each element is there once.
#[test]
fn kills_at_random_leave_each_element_once() {
    let mut midst = 0;
    for seed in 0..3u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let ids = names(40);
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let bench = Bench::new(&ids, ITEMS, "out.ndjson", "").in_parts();
        let length = |n: usize| [0, 3, 11, 38, 120][n % 5];
        for (n, id) in ids.iter().enumerate() {
            bench.has(id, &vec![1; length(n)]);
        }
        bench.run(&[], 0);
        bench.delay(15);
        let old = bench.place.read("out.ndjson");
        // Each has another length now, and another version.
        for (n, id) in ids.iter().enumerate() {
            bench.has(id, &vec![2; length(n + 2)]);
        }
        let mut ended = false;
        for _ in 0..10 {
            let before = bench.asked().len();
            let mut child = bench.start(&["--update", "--concurrency", "3"]);
            until(|| {
                ended = child.try_wait().unwrap().is_some();
                ended || bench.asked().len() >= before + 5
            });
            sleep(Duration::from_micros(random.u64(0..250_000)));
            ended = child.try_wait().unwrap().is_some();
            kill(child);
            if ended {
                break;
            }
            assert_eq!(bench.place.read("out.ndjson"), old, "seed {seed}");
            // What a part had come of goes on from it.
            let again = bench.asked()[before..].iter().any(|asked| asked.page > 0);
            midst += u32::from(again);
        }
        bench.delay(0);
        if !ended {
            bench.run(&["--update"], 0);
        }
        let mut found = bench.found();
        for id in &ids {
            let (elements, _) = found.remove(*id).unwrap_or_default();
            assert_eq!(elements, bench.elements(id), "seed {seed}: {id}");
        }
        assert!(found.is_empty(), "{found:?}");
        bench.assert_no_litter();
        // And once more: nothing of it is unknown.
        bench.has("i0", &[3; 2]);
        bench.run(&["--update"], 0);
        assert_eq!(bench.found()["i0"].0, bench.elements("i0"));
    }
    assert!(midst > 8, "only {midst} kills were in the midst of an item");
}

/// A long item's update that is killed goes on after the last part that was committed.
#[test]
fn an_update_goes_on_in_the_midst_of_a_long_item() {
    let bench = Bench::new(&["a"], ITEMS, "out.ndjson", "").in_parts();
    bench.has("a", &[1; 1_000]);
    bench.run(&[], 0);
    bench.has("a", &[2; 900]);
    bench.delay(8);
    let before = bench.asked().len();
    let run = bench.start(&["--update"]);
    until(|| bench.asked().len() > before + 60);
    kill(run);
    bench.delay(0);
    let again = bench.asked().len();
    bench.run(&["--update"], 0);
    assert!(bench.asked()[again].page > 20, "it began anew");
    assert!(bench.asked().len() - before < 180 + 60);
    assert_eq!(bench.lines(), bench.elements("a"));
}

/// The same answers again are no news, though they are asked for whole.
#[cfg(unix)]
#[test]
fn pages_that_have_not_changed_leave_the_output_as_it_is() {
    use std::os::unix::fs::MetadataExt;
    let bench = Bench::new(&["a", "b"], ITEMS, "out.ndjson", "");
    bench.has("a", &[1; 12]);
    bench.has("b", &[1; 3]);
    bench.run(&[], 0);
    let file = || fs::metadata(bench.place.path("out.ndjson")).unwrap().ino();
    let (before, lines) = (file(), bench.lines());
    bench.run(&["--update"], 0);
    assert_eq!((file(), bench.lines()), (before, lines));
    bench.has("b", &[1, 2, 1]);
    bench.run(&["--update"], 0);
    assert_ne!(file(), before);
    assert_eq!(bench.found()["b"].0, bench.elements("b"));
    assert_eq!(bench.found()["a"].0, bench.elements("a"));
}

/// It is the API's trouble then, and the listing is all that there is.
#[test]
fn a_plain_listing_that_is_not_found_keeps_its_records() {
    let bench = Bench::new(&["only"], ITEMS, "out.ndjson", "");
    bench.edit("[ids]\nfile = \"ids.txt\"\n", "");
    bench.edit("{id}", "only");
    bench.has("only", &[1; 12]);
    bench.run(&[], 0);
    let lines = bench.lines();
    assert_eq!(lines.len(), 12);
    bench.fails("only", 0, GONE);
    bench.run(&["--update"], 3);
    assert_eq!(bench.lines(), lines);
    bench.has("only", &[2; 3]);
    bench.run(&["--update"], 0);
    assert_eq!(bench.found()["only"].0, bench.elements("only"));
}
