//! Which element of a batch's answer is whose.
//!
//! Owns that judgement. An item gets an element only when it is surely its
//! own: by its key, or as the one left over when all others are in their
//! places. Whatever is left in doubt is asked for again, alone. Must never
//! change an element: its bytes are those of a request for it alone.

use super::classify::{Answer, Share, Trouble, Verdict};
use crate::job::{Batch, Matching};
use crate::json::{self, Query};
use crate::outcome::{Reason, Record, Validators};
use crate::pace::Signal;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Once;

/// How a batch's answer is shared out.
#[derive(Debug)]
pub(super) struct Sharing {
    separator: String,
    items: Query,
    /// `None` goes by position alone.
    key: Option<Query>,
    /// It was told that the keys are no IDs.
    all_foreign: Once,
}

impl Sharing {
    pub(super) fn new(batch: &Batch) -> Sharing {
        Sharing {
            separator: batch.separator.clone(),
            items: Query::new(&batch.items),
            key: match &batch.matching {
                Matching::Key(path) => Some(Query::new(path)),
                Matching::Position => None,
            },
            all_foreign: Once::new(),
        }
    }

    pub(super) fn separator(&self) -> &str {
        &self.separator
    }

    /// Whether the server will read this ID as one, among others.
    pub(super) fn takes(&self, id: &str) -> bool {
        !id.is_empty() && !id.contains(&self.separator)
    }

    /// The answer to a request that can't be made.
    pub(super) fn check(&self, ids: &[&str]) -> Result<(), Answer> {
        match ids.iter().find(|id| !id.is_empty() && !self.takes(id)) {
            None => Ok(()),
            Some(_) => Err(invalid(format!(
                "an ID that holds the batch's separator ({}) would be read as two",
                self.separator
            ))),
        }
    }

    /// Each item's share of the answer, in the order of `ids`.
    pub(super) fn share_out(&self, ids: &[&str], answer: &Record) -> Verdict {
        let malformed = |message: String| {
            let status = Some(answer.status);
            Verdict::Again(Trouble::new(status, Reason::MalformedBody, message))
        };
        let elements = match self.elements(&answer.body) {
            Ok(Some(elements)) => elements,
            Ok(None) => {
                return malformed(format!("the answer has nothing at {}", self.items.path()));
            }
            Err(message) => return malformed(message),
        };
        let Some(owned) = self.owners(ids, &elements) else {
            let key = self.key.as_ref().map(|key| key.path().to_string());
            let key = key.unwrap_or_default();
            return malformed(format!("no element of the answer has {key}"));
        };
        let in_doubt = elements
            .iter()
            .enumerate()
            .any(|(at, element)| !json::is_null(element) && !owned.contains(&Some(at)));
        let shares = owned.iter().map(|owned| match owned {
            Some(element) => match elements.get(*element) {
                Some(element) if !json::is_null(element) => Share::Record(Record {
                    validators: Validators::default(),
                    status: answer.status,
                    fetched_at: answer.fetched_at,
                    // Its own bytes: a slice would keep the whole answer in memory.
                    body: Bytes::copy_from_slice(element),
                }),
                _ => absent(answer.status),
            },
            None if ids.len() == 1 && in_doubt => Share::Failed(Trouble::new(
                Some(answer.status),
                Reason::MalformedBody,
                format!(
                    "the answer has {} elements for one ID, and none is surely its own",
                    elements.len()
                ),
            )),
            None if in_doubt || (self.key.is_none() && ids.len() > 1) => Share::Unclear,
            None => absent(answer.status),
        });
        Verdict::Shares(shares.collect())
    }

    /// The element of each ID, by its index. `None`: there are elements, and none has a key.
    fn owners(&self, ids: &[&str], elements: &[&[u8]]) -> Option<Vec<Option<usize>>> {
        let Some(key) = &self.key else {
            let as_many = elements.len() == ids.len();
            return Some((0..ids.len()).map(|at| as_many.then_some(at)).collect());
        };
        let keys = elements.iter().map(|element| {
            let found = key.first(element).ok().flatten();
            found.filter(|key| !json::is_null(key)).map(json::text)
        });
        let keys: Vec<Option<Cow<'_, str>>> = keys.collect();
        if keys.iter().all(Option::is_none) && !elements.iter().all(|e| json::is_null(e)) {
            return None;
        }
        let by_key = by_key(&keys, elements);
        if ids.len() > 1 && !by_key.is_empty() && !ids.iter().any(|id| by_key.contains_key(id)) {
            self.all_foreign.call_once(|| {
                tracing::warn!(
                    "no element has one of the IDs at {}: each is asked for again, alone; \
                     is `key` in [request.batch] right? match = \"position\" is for answers in the IDs' order",
                    key.path()
                );
            });
        }
        let owner = |id: &&str| by_key.get(*id).copied().flatten();
        let mut owned: Vec<Option<usize>> = ids.iter().map(owner).collect();
        if let Some(at) = only_stray(ids, &keys)
            && let Some(owner) = owned.get_mut(at)
        {
            *owner = Some(at);
        }
        Some(owned)
    }

    fn elements<'b>(&self, body: &'b [u8]) -> Result<Option<Vec<&'b [u8]>>, String> {
        let nodes = self.items.select(body).map_err(|error| error.to_string())?;
        Ok(match nodes.as_slice() {
            [] => None,
            [node] => Some(json::elements(node).unwrap_or(nodes)),
            _ => Some(nodes),
        })
    }
}

/// The element that has each key, by its index; `None` where two that differ have it.
fn by_key<'k>(
    keys: &'k [Option<Cow<'_, str>>],
    elements: &[&[u8]],
) -> HashMap<&'k str, Option<usize>> {
    let mut by_key = HashMap::with_capacity(keys.len());
    for (at, key) in keys.iter().enumerate() {
        let Some(key) = key else { continue };
        let owner = by_key.entry(key.as_ref()).or_insert(Some(at));
        if owner.is_some_and(|owner| elements.get(owner) != elements.get(at)) {
            *owner = None;
        }
    }
    by_key
}

/// The place of the one foreign key, where each ID has an element and all others have theirs.
/// Two that are not in their places may have changed them.
fn only_stray(ids: &[&str], keys: &[Option<Cow<'_, str>>]) -> Option<usize> {
    let pairs = ids.iter().zip(keys);
    let mut strays = pairs
        .enumerate()
        .filter(|(_, (id, key))| key.as_deref() != Some(**id));
    let (at, (_, key)) = strays.next()?;
    let is_foreign = !ids.contains(&key.as_deref()?);
    (is_foreign && keys.len() == ids.len() && strays.next().is_none()).then_some(at)
}

/// What a batch's answer says about the server: that it has no place for the
/// items is the answer's trouble, and nobody else's.
pub(super) fn signal(verdict: &Verdict, signal: Signal) -> Signal {
    match verdict {
        Verdict::Again(_) => Signal::Neutral,
        _ => signal,
    }
}

/// Nothing was sent, and nothing ever will be for this ID.
pub(super) fn invalid(message: String) -> Answer {
    let trouble = Trouble::new(None, Reason::InvalidId, message);
    Answer::new(Signal::NotSent, Verdict::Failed(trouble))
}

fn absent(status: u16) -> Share {
    Share::Absent(Trouble::new(
        Some(status),
        Reason::NotFound,
        format!("HTTP {status}, and the batch's answer has nothing for this ID"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::json_path;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    fn sharing(key: Option<&str>) -> Sharing {
        Sharing::new(&Batch {
            size: 50,
            separator: ",".into(),
            items: json_path("$.items").unwrap(),
            matching: match key {
                Some(key) => Matching::Key(json_path(key).unwrap()),
                None => Matching::Position,
            },
            single: None,
        })
    }

    fn answer(items: &str) -> Record {
        Record {
            validators: Validators::default(),
            status: 200,
            fetched_at: UNIX_EPOCH,
            body: format!("{{\"items\":{items}}}").into(),
        }
    }

    fn shares(sharing: &Sharing, ids: &[&str], items: &str) -> Vec<String> {
        match sharing.share_out(ids, &answer(items)) {
            Verdict::Shares(shares) => shares.iter().map(told).collect(),
            Verdict::Again(trouble) => vec![trouble.message],
            other => panic!("{other:?}"),
        }
    }

    fn told(share: &Share) -> String {
        match share {
            Share::Record(record) => String::from_utf8(record.body.to_vec()).unwrap(),
            Share::Absent(_) => "absent".into(),
            Share::Unclear => "unclear".into(),
            Share::Failed(trouble) => trouble.message.clone(),
        }
    }

    #[test]
    fn keys_may_be_numbers() {
        let by_key = sharing(Some("$.id"));
        let told = shares(&by_key, &["7", "8"], r#"[{"id":8},{"id":7}]"#);
        assert_eq!(told, [r#"{"id":7}"#, r#"{"id":8}"#]);
    }

    #[test]
    fn in_doubt_nobody_gets_an_element() {
        let by_key = sharing(Some("$.id"));
        let told = shares(&by_key, &["a", "b", "c"], r#"[{"id":"x"},{"id":"a"}]"#);
        assert_eq!(told, [r#"{"id":"a"}"#, "unclear", "unclear"]);
        // As many, but not in the order of the IDs: place shows nothing.
        let told = shares(&by_key, &["a", "b"], r#"[{"id":"x"},{"id":"a"}]"#);
        assert_eq!(told, [r#"{"id":"a"}"#, "unclear"]);
        // Alone, what came is its own, whatever it is called.
        assert_eq!(
            shares(&by_key, &["b"], r#"[{"id":"x"}]"#),
            [r#"{"id":"x"}"#]
        );
        let two = shares(&by_key, &["b"], r#"[{"id":"x"},{"id":"y"}]"#);
        assert!(two[0].contains("2 elements for one ID"), "{two:?}");
        assert_eq!(shares(&by_key, &["b"], "[]"), ["absent"]);
        assert_eq!(shares(&by_key, &["b"], "[null]"), ["absent"]);
    }

    #[test]
    fn by_position_the_numbers_must_agree() {
        let by_position = sharing(None);
        assert_eq!(
            shares(&by_position, &["a", "b"], "[1,null]"),
            ["1", "absent"]
        );
        assert_eq!(
            shares(&by_position, &["a", "b"], "[1]"),
            ["unclear", "unclear"]
        );
        assert_eq!(
            shares(&by_position, &["a", "b"], "[]"),
            ["unclear", "unclear"]
        );
        assert_eq!(shares(&by_position, &["a"], "[]"), ["absent"]);
    }

    #[test]
    fn an_answer_without_the_path_or_the_key_is_malformed() {
        let elsewhere = Record {
            validators: Validators::default(),
            status: 200,
            fetched_at: UNIX_EPOCH,
            body: "{\"error\":1}".into(),
        };
        let by_key = sharing(Some("$.id"));
        assert!(matches!(
            by_key.share_out(&["a"], &elsewhere),
            Verdict::Again(_)
        ));
        assert!(shares(&by_key, &["a"], "[{\"name\":1}]")[0].contains("no element"));
    }

    #[test]
    fn repeated_ids_share_an_element() {
        let by_key = sharing(Some("$.id"));
        let told = shares(&by_key, &["a", "a"], r#"[{"id":"a"}]"#);
        assert_eq!(told, [r#"{"id":"a"}"#, r#"{"id":"a"}"#]);
    }

    #[test]
    fn a_key_that_comes_twice_is_nobodys_word() {
        let by_key = sharing(Some("$.id"));
        let ids = ["a", "b"];
        let same = shares(&by_key, &ids, r#"[{"id":"a"},{"id":"a"}]"#);
        assert_eq!(same, [r#"{"id":"a"}"#, "unclear"]);
        let differing = shares(&by_key, &ids, r#"[{"id":"a","n":1},{"id":"a","n":2}]"#);
        assert_eq!(differing, ["unclear", "unclear"]);
        let alone = shares(&by_key, &["a"], r#"[{"id":"a","n":1},{"id":"a","n":2}]"#);
        assert!(alone[0].contains("2 elements for one ID"), "{alone:?}");
    }

    #[test]
    fn by_place_goes_one_foreign_key_among_elements_in_their_places() {
        let by_key = sharing(Some("$.id"));
        let (a, x) = (r#"{"id":"a"}"#, r#"{"id":"x"}"#);
        let told = |ids: &[&str], items: &str| shares(&by_key, ids, items);
        assert_eq!(told(&["a", "b"], r#"[{"id":"a"},{"id":"x"}]"#), [a, x]);
        // Of two, nobody knows in which order they are; of one and a null neither.
        for items in [r#"[{"id":"x"},{"id":"y"}]"#, r#"[{"id":"x"},null]"#] {
            assert_eq!(told(&["a", "b"], items), ["unclear", "unclear"], "{items}");
        }
        // Without a key it may be anything.
        assert_eq!(
            told(&["a", "b"], r#"[{"id":"a"},{"id":null}]"#),
            [a, "unclear"]
        );
    }

    /// What a server does with an ID.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fate {
        Own,
        /// Its element has a key that nobody asked for.
        Relinked,
        /// Its element has the key of another one, which has an element, too.
        Merged(usize),
        Null,
        LeftOut,
        /// Its element comes again.
        Twice,
        /// Another element comes with its key.
        Two,
    }

    fn any_fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            8 => Just(Fate::Own),
            2 => Just(Fate::Relinked),
            1 => any::<usize>().prop_map(Fate::Merged),
            1 => Just(Fate::Null),
            1 => Just(Fate::LeftOut),
            1 => Just(Fate::Twice),
            1 => Just(Fate::Two),
        ]
    }

    /// The elements for one ID. `of` says whose each is; what is judged does not read it.
    fn elements_of(at: usize, fate: Fate) -> Vec<String> {
        let element =
            |key: String, more: &str| format!("{{\"id\":\"{key}\",\"of\":\"id{at}\"{more}}}");
        let own = element(format!("id{at}"), "");
        match fate {
            Fate::Own => vec![own],
            Fate::Relinked => vec![element(format!("x{at}"), "")],
            Fate::Merged(with) => vec![element(format!("id{with}"), "")],
            Fate::Null => vec!["null".to_owned()],
            Fate::LeftOut => vec![],
            Fate::Twice => vec![own.clone(), own],
            Fate::Two => vec![own, element(format!("id{at}"), ",\"second\":1")],
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever a server leaves out, nulls, renames, repeats, adds or shuffles: nobody gets
        /// another one's element, and what is plain costs no second request.
        #[test]
        fn nobody_gets_anothers_element(
            mut fates in prop::collection::vec(any_fate(), 1..7),
            extras in prop_oneof![4 => Just(0usize), 1 => 1..3usize],
            seed in any::<u64>(),
            shuffled in any::<bool>(),
        ) {
            let own = fates.iter().position(|fate| *fate == Fate::Own);
            for fate in &mut fates {
                if matches!(fate, Fate::Merged(_)) {
                    *fate = own.map_or(Fate::Own, Fate::Merged);
                }
            }
            let mut elements: Vec<String> = (0..)
                .zip(&fates)
                .flat_map(|(at, fate)| elements_of(at, *fate))
                .collect();
            let count = |fate: Fate| fates.iter().filter(|one| **one == fate).count();
            let mut random = fastrand::Rng::with_seed(seed);
            // One that is added while one is left out may be that one, relinked.
            let extras = if count(Fate::LeftOut) == 1 { 0 } else { extras };
            for extra in 0..extras {
                let place = random.usize(..=elements.len());
                elements.insert(place, format!("{{\"id\":\"extra{extra}\",\"of\":\"nobody\"}}"));
            }
            if shuffled {
                random.shuffle(&mut elements);
            }
            let ids: Vec<String> = (0..fates.len()).map(|n| format!("id{n}")).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let items = format!("[{}]", elements.join(","));
            let record = answer(&items);
            let verdict = sharing(Some("$.id")).share_out(&ids, &record);
            let Verdict::Shares(shares) = verdict else {
                return Err(TestCaseError::fail(format!("{verdict:?}")));
            };
            let plain = extras == 0
                && fates.iter().all(|fate| matches!(fate, Fate::Own | Fate::Null | Fate::LeftOut));
            let relinked = extras == 0
                && count(Fate::Relinked) == 1
                && count(Fate::Own) + 1 == fates.len()
                && !shuffled;
            for ((id, fate), share) in ids.iter().zip(&fates).zip(&shares) {
                match share {
                    Share::Record(record) => {
                        let whose = format!("\"of\":\"{id}\"");
                        let told = String::from_utf8_lossy(&record.body);
                        prop_assert!(told.contains(&whose), "{id} got {told} of {items}");
                    }
                    Share::Absent(_) => {
                        prop_assert!(matches!(fate, Fate::Null | Fate::LeftOut), "{id} of {items}");
                    }
                    Share::Unclear => prop_assert!(!plain && !relinked, "{id} of {items}"),
                    Share::Failed(trouble) => {
                        prop_assert!(ids.len() == 1 && elements.len() > 1, "{trouble:?}");
                    }
                }
            }
        }
    }
}
