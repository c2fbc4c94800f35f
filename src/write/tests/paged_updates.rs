//! Updates of items that come in pages: parts of many items in any order, kills
//! aside, against a model of blocks.

use super::*;
use crate::outcome::{Page, Pages, ResumePoint, Validators};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How an item ends, after its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Failed,
    /// The run ends before it does.
    Midst,
    Gone,
}

/// What a run gets of one item: its parts, and of each the lines.
#[derive(Debug, Clone)]
struct Course {
    parts: Vec<Vec<u8>>,
    end: End,
}

impl Course {
    fn resume_point(&self, parts: usize) -> ResumePoint {
        let records = self.parts[..parts].iter().flatten().count() as u64;
        ResumePoint {
            pages: parts as u64,
            elements: records,
            records,
            marker: 0,
            next: format!("number:{parts}"),
        }
    }

    fn lines(&self) -> Vec<u8> {
        self.parts.concat()
    }

    /// What it leaves unfinished.
    fn left(&self) -> Option<ResumePoint> {
        let left = self.end != End::Whole && !self.parts.is_empty();
        left.then(|| self.resume_point(self.parts.len()))
    }

    fn outcomes(&self, id: u32) -> VecDeque<Outcome> {
        let mut outcomes: VecDeque<Outcome> = (1..=self.parts.len())
            .map(|n| {
                let goes_on = n < self.parts.len() || self.end != End::Whole;
                paged(
                    id,
                    &self.parts[n - 1],
                    goes_on.then(|| self.resume_point(n)),
                )
            })
            .collect();
        match self.end {
            End::Failed => outcomes.push_back(failure(id, Reason::NotFound, true)),
            End::Gone => outcomes.push_back(failure(id, Reason::NotFound, false)),
            End::Whole | End::Midst => {}
        }
        outcomes
    }
}

/// One page with these elements.
fn paged(id: u32, lines: &[u8], resume_point: Option<ResumePoint>) -> Outcome {
    let mut body = "[".to_owned();
    let mut elements = Vec::new();
    for line in lines {
        let from = body.len();
        body += &line_of(id, *line);
        elements.push(from..body.len());
        body.push(',');
    }
    let record = Record {
        status: 200,
        fetched_at: UNIX_EPOCH,
        body: body.into(),
        validators: Validators::default(),
    };
    let page = Page {
        status: 200,
        fetched_at: UNIX_EPOCH,
        body: record.body.clone(),
        elements: Some(elements),
    };
    Outcome {
        id: id.to_string(),
        occurrence: 0,
        fate: Ok(record),
        pages: Some(Box::new(Pages {
            pages: vec![page],
            resume_point,
        })),
    }
}

fn failure(id: u32, reason: Reason, is_there: bool) -> Outcome {
    Outcome {
        id: id.to_string(),
        occurrence: 0,
        fate: Err(Failure {
            status: Some(404),
            reason,
            message: String::new(),
            attempts: 1,
            at: UNIX_EPOCH,
            is_there,
        }),
        pages: None,
    }
}

fn line_of(id: u32, line: u8) -> String {
    format!("{{\"id\":\"{id}\",\"n\":{line}}}")
}

fn key(id: u32) -> ItemKey {
    ItemKey::of(&id.to_string(), 0)
}

fn update(output: &Path) -> (Opened, Update) {
    let base = open_base(&options(output)).unwrap().unwrap();
    open_update(&options(output), base, Duration::ZERO).unwrap()
}

/// Appends everything, item by item in any order; `between` may reopen. The
/// items in the order of their blocks, and of their ends.
fn append_all(
    courses: &BTreeMap<u32, Course>,
    random: &mut fastrand::Rng,
    mut opened: Opened,
    mut between: impl FnMut(&mut fastrand::Rng, Opened) -> Opened,
) -> (Vec<u32>, Vec<u32>, Opened) {
    let mut left: Vec<(u32, VecDeque<Outcome>)> = courses
        .iter()
        .map(|(id, course)| (*id, course.outcomes(*id)))
        .filter(|(_, outcomes)| !outcomes.is_empty())
        .collect();
    let (mut blocks, mut ends) = (Vec::new(), Vec::new());
    while !left.is_empty() {
        let at = random.usize(..left.len());
        let (id, outcomes) = &mut left[at];
        let outcome = outcomes.pop_front().unwrap();
        opened.writer.append(&outcome).unwrap();
        if outcome.fate.is_ok() {
            blocks.push(*id);
        }
        if outcomes.is_empty() {
            ends.push(*id);
            left.swap_remove(at);
        }
        opened = between(random, opened);
    }
    (blocks, ends, opened)
}

fn course(ends: &'static [End]) -> impl Strategy<Value = Course> {
    let part = proptest::collection::vec(0u8..4, 0..4);
    let parts = proptest::collection::vec(part, 1..4);
    (parts, proptest::sample::select(ends), any::<bool>()).prop_map(|(mut parts, end, none)| {
        if end == End::Gone || (end == End::Failed && none) {
            parts.clear();
        }
        Course { parts, end }
    })
}

/// Unchanged, changed, gone and added lines.
fn counts(old: &[u8], new: &[u8]) -> [u64; 4] {
    let mut rest = old.to_vec();
    let mut same = 0;
    for line in new {
        if let Some(at) = rest.iter().position(|old| old == line) {
            rest.swap_remove(at);
            same += 1;
        }
    }
    let (o, n) = (old.len() - same, new.len() - same);
    let changed = o.min(n);
    [same, changed, o - changed, n - changed].map(|count| count as u64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]
    #[test]
    fn an_item_s_lines_are_replaced_together_or_stay(
        old in proptest::collection::btree_map(0u32..10, course(&[End::Whole, End::Whole, End::Whole, End::Failed, End::Midst]), 0..10),
        new in proptest::collection::btree_map(0u32..12, course(&[End::Whole, End::Whole, End::Failed, End::Midst, End::Gone]), 0..10),
        seed in any::<u64>(),
    ) {
        let random = &mut fastrand::Rng::with_seed(seed);
        let folder = quick_folder();
        let output = folder.path().join("out.ndjson");
        let files = Files::of(&output).unwrap();
        let (blocks, _, mut opened) = append_all(&old, random, open(options(&output)).unwrap(), |random, mut opened| {
            if random.u8(..4) == 0 {
                opened.writer.commit(note(1), None, Closing::Paused).unwrap();
                drop(opened);
                opened = open(options(&output)).unwrap();
            }
            opened
        });
        opened.writer.commit(note(1), None, Closing::Paused).unwrap();
        drop(opened);
        let before = fs::read(&output).unwrap();

        let (opened, under_way) = update(&output);
        let mut under_way = Some(under_way);
        let (_, ends, mut opened) = append_all(&new, random, opened, |random, mut opened| {
            if random.u8(..4) == 0 {
                opened.writer.commit(note(2), None, Closing::Paused).unwrap();
                drop(opened);
                under_way = None;
                assert_eq!(fs::read(&output).unwrap(), before);
                let (again, update) = update(&output);
                under_way = Some(update);
                opened = again;
            }
            opened
        });
        opened.writer.commit(note(2), None, Closing::Finished).unwrap();
        drop(opened);
        let updated = under_way.unwrap().finish().unwrap();

        // The model: what is in the output, block by block, and what is known of each item.
        let mut expected = Updated::default();
        let mut now: BTreeMap<u32, Course> = BTreeMap::new();
        let mut lines: Vec<(u32, u8)> = Vec::new();
        let mut failed = BTreeSet::new();
        let mut written: BTreeMap<u32, usize> = BTreeMap::new();
        let fate = |id: &u32| new.get(id).filter(|course| course.end != End::Midst);
        let replaces = |id: &u32, was: Option<&Course>| fate(id).filter(|course| {
            let whole = was.is_some_and(|was| was.end == End::Whole);
            course.end == End::Whole || (course.end == End::Failed && !whole && !course.parts.is_empty())
        });
        for id in &blocks {
            let was = &old[id];
            let n = written.entry(*id).or_default();
            *n += 1;
            if let Some(course) = replaces(id, Some(was)) {
                if *n == 1 {
                    lines.extend(course.lines().iter().map(|line| (*id, *line)));
                    let [same, changed, gone, added] = counts(&was.lines(), &course.lines());
                    expected.unchanged += same;
                    expected.changed += changed;
                    expected.gone += gone;
                    expected.added += added;
                    now.insert(*id, course.clone());
                }
            } else if fate(id).is_some_and(|course| course.end == End::Gone) {
                expected.gone += was.parts[*n - 1].len() as u64;
            } else {
                lines.extend(was.parts[*n - 1].iter().map(|line| (*id, *line)));
                now.insert(*id, was.clone());
                let last = was.end == End::Whole && *n == was.parts.len();
                expected.kept += u64::from(last && fate(id).is_some());
            }
        }
        for id in ends.iter().filter(|id| !written.contains_key(*id)) {
            if let Some(course) = replaces(id, None) {
                lines.extend(course.lines().iter().map(|line| (*id, *line)));
                expected.added += course.lines().len() as u64;
                now.insert(*id, course.clone());
            }
        }
        for id in 0..12 {
            let (was, course) = (old.get(&id), fate(&id));
            let had_failed = was.is_some_and(|was| was.end == End::Failed);
            let fails = match course.map(|course| course.end) {
                None => had_failed,
                Some(End::Whole) => false,
                Some(End::Gone) => true,
                Some(_) => was.is_none_or(|was| was.end != End::Whole),
            };
            if fails {
                failed.insert(id);
            }
        }
        expected.records = lines.len() as u64;
        expected.failed = failed.len() as u64;
        let resume_points: BTreeMap<ItemKey, ResumePoint> = now
            .iter()
            .filter_map(|(id, course)| Some((key(*id), course.left()?)))
            .collect();
        expected.left_in_part = now
            .iter()
            .filter(|(id, course)| course.left().is_some() && !failed.contains(id))
            .count() as u64;
        let asked = new.keys().any(|id| fate(id).is_some());
        prop_assert_eq!(updated, asked.then_some(expected));
        if !asked {
            prop_assert_eq!(fs::read(&output).unwrap(), before);
            return Ok(());
        }
        let text = |lines: &[(u32, u8)]| -> String {
            lines.iter().map(|(id, line)| line_of(*id, *line) + "\n").collect()
        };
        prop_assert_eq!(fs::read_to_string(&output).unwrap(), text(&lines));
        let left = fs::read_dir(folder.path()).unwrap().count();
        prop_assert!(left <= 4, "something is left over");

        // The next one knows what is there.
        let (opened, next) = update(&output);
        prop_assert_eq!(next.left_in_part, expected.left_in_part);
        for id in 0..12 {
            let whole = now.get(&id).is_some_and(|course| course.end == End::Whole);
            prop_assert_eq!(next.known().find(&id.to_string(), 0).unwrap().is_some(), whole);
        }
        drop((opened, next));

        // A retry goes on with what failed in its midst.
        let retry = OpenOptions { retry: true, ..options(&output) };
        let mut opened = open(retry).unwrap();
        prop_assert_eq!(&opened.resumed.as_ref().unwrap().resume_points, &resume_points);
        let items = opened.failed.take().into_iter().flatten();
        let found: BTreeSet<u32> = items.map(|item| item.unwrap().id.parse().unwrap()).collect();
        prop_assert_eq!(&found, &failed);
        for id in &failed {
            opened.writer.append(&paged(*id, &[9], None)).unwrap();
            lines.push((*id, 9));
        }
        opened.writer.commit(note(3), None, Closing::Finished).unwrap();
        drop(opened);
        prop_assert_eq!(fs::read_to_string(&output).unwrap(), text(&lines));
        let failures = fs::read_to_string(&files.failures).unwrap_or_default();
        prop_assert_eq!(failures, "");

        // And all of each is asked for and replaced, whatever it was made of.
        let (mut opened, under_way) = update(&output);
        let mut last = Vec::new();
        for (id, _) in &lines {
            if !last.contains(&(*id, 7)) {
                last.push((*id, 7));
                opened.writer.append(&paged(*id, &[7], None)).unwrap();
            }
        }
        opened.writer.commit(note(4), None, Closing::Finished).unwrap();
        drop(opened);
        under_way.finish().unwrap();
        // In the places of first parts, which may have had no line.
        let found = fs::read_to_string(&output).unwrap();
        let mut found: Vec<&str> = found.split_inclusive('\n').collect();
        found.sort_unstable();
        last.sort_unstable();
        let last_text = text(&last);
        let mut sorted: Vec<&str> = last_text.split_inclusive('\n').collect();
        sorted.sort_unstable();
        prop_assert_eq!(found, sorted);
        let resume_points = open(options(&output)).unwrap().resumed.unwrap().resume_points;
        for id in last.iter().map(|(id, _)| key(*id)) {
            prop_assert!(!resume_points.contains_key(&id));
        }
    }
}

/// The outcome as of so many ms after the epoch.
fn at(mut outcome: Outcome, ms: u64) -> Outcome {
    let when = UNIX_EPOCH + Duration::from_millis(ms);
    match &mut outcome.fate {
        Ok(record) => record.fetched_at = when,
        Err(failure) => failure.at = when,
    }
    for page in outcome.pages.iter_mut().flat_map(|pages| &mut pages.pages) {
        page.fetched_at = when;
    }
    outcome
}

/// What a retry has got since an update asked: the whole of an item is newer
/// than that, a part of it only than what the update has in part.
#[test]
fn a_retry_between_two_halves_of_an_update_is_not_undone() {
    let course = Course {
        parts: vec![vec![1], vec![2]],
        end: End::Failed,
    };
    let part = |id: u32, n: usize| paged(id, &course.parts[n - 1], Some(course.resume_point(n)));
    let fails = |id: u32| failure(id, Reason::Timeout, true);
    let folder = quick_folder();
    let output = folder.path().join("out.ndjson");
    let mut opened = open(options(&output)).unwrap();
    for id in 1..4 {
        opened.writer.append(&at(part(id, 1), 5)).unwrap();
        opened.writer.append(&at(fails(id), 5)).unwrap();
    }
    opened
        .writer
        .commit(note(1), None, Closing::Finished)
        .unwrap();
    drop(opened);

    let (mut opened, _) = update(&output);
    for id in 1..3 {
        let whole = paged(id, &[5, 6], None);
        opened.writer.append(&at(whole, 10)).unwrap();
    }
    let of_update = paged(3, &[5], Some(course.resume_point(1)));
    opened.writer.append(&at(of_update, 10)).unwrap();
    opened.writer.append(&at(fails(3), 10)).unwrap();
    opened
        .writer
        .commit(note(2), None, Closing::Paused)
        .unwrap();
    drop(opened);

    let retry = OpenOptions {
        retry: true,
        ..options(&output)
    };
    let mut opened = open(retry).unwrap();
    opened.writer.append(&at(paged(1, &[2], None), 20)).unwrap();
    for id in 2..4 {
        opened.writer.append(&at(part(id, 2), 20)).unwrap();
        opened.writer.append(&at(fails(id), 20)).unwrap();
    }
    opened
        .writer
        .commit(note(3), None, Closing::Finished)
        .unwrap();
    drop(opened);
    let failures = || fs::read_to_string(Files::of(&output).unwrap().failures).unwrap();
    let of_retry = failures().lines().last().unwrap().to_owned();

    let (mut opened, under_way) = update(&output);
    opened
        .writer
        .commit(note(4), None, Closing::Finished)
        .unwrap();
    drop(opened);
    let updated = under_way.finish().unwrap().unwrap();
    assert_eq!((updated.records, updated.failed), (6, 1));
    assert_eq!((updated.changed, updated.added, updated.gone), (2, 0, 0));
    let lines = [(1, 1), (2, 5), (2, 6), (3, 1), (1, 2), (3, 2)];
    let lines: String = lines.map(|(id, n)| line_of(id, n) + "\n").concat();
    assert_eq!(fs::read_to_string(&output).unwrap(), lines);
    assert_eq!(failures(), of_retry + "\n");
    let resume_points = open(options(&output))
        .unwrap()
        .resumed
        .unwrap()
        .resume_points;
    assert_eq!(
        resume_points,
        BTreeMap::from([(key(3), course.resume_point(2))])
    );
}

/// A plain run may begin an item anew between two halves of an update that has
/// failed it: the part has no fate, and so the update's is the item's.
#[test]
fn a_part_without_a_fate_does_not_take_the_update_s() {
    let course = Course {
        parts: vec![vec![1]],
        end: End::Midst,
    };
    let folder = quick_folder();
    let output = folder.path().join("out.ndjson");
    let mut opened = open(options(&output)).unwrap();
    opened.writer.append(&at(paged(1, &[1], None), 5)).unwrap();
    opened
        .writer
        .commit(note(1), None, Closing::Finished)
        .unwrap();
    drop(opened);

    let (mut opened, _) = update(&output);
    for outcome in [
        failure(2, Reason::Timeout, false),
        failure(3, Reason::NotFound, false),
    ] {
        opened.writer.append(&at(outcome, 10)).unwrap();
    }
    opened
        .writer
        .commit(note(2), None, Closing::Paused)
        .unwrap();
    drop(opened);

    let mut opened = open(options(&output)).unwrap();
    for id in [2, 3] {
        let part = paged(id, &[1], Some(course.resume_point(1)));
        opened.writer.append(&at(part, 20)).unwrap();
    }
    opened
        .writer
        .commit(note(3), None, Closing::Paused)
        .unwrap();
    drop(opened);

    let (mut opened, under_way) = update(&output);
    opened
        .writer
        .commit(note(4), None, Closing::Finished)
        .unwrap();
    drop(opened);
    let updated = under_way.finish().unwrap().unwrap();
    assert_eq!((updated.records, updated.failed, updated.gone), (2, 2, 1));
    let lines = [(1, 1), (2, 1)]
        .map(|(id, n)| line_of(id, n) + "\n")
        .concat();
    assert_eq!(fs::read_to_string(&output).unwrap(), lines);
    let failures = fs::read_to_string(Files::of(&output).unwrap().failures).unwrap();
    assert_eq!(failures.lines().count(), 2, "{failures}");
    let resume_points = open(options(&output))
        .unwrap()
        .resumed
        .unwrap()
        .resume_points;
    assert_eq!(
        resume_points,
        BTreeMap::from([(key(2), course.resume_point(1))])
    );
}
