//! Which element of a batch's answer is whose.
//!
//! Owns that judgement. An item gets an element only when it is surely its
//! own: by its key, or, when the answer has as many elements as were asked for,
//! by its place. Whatever is left in doubt is asked for again, alone. Must
//! never change an element: its bytes are those of a request for it alone.

use super::classify::{Answer, Share, Trouble, Verdict};
use crate::job::{Batch, Matching};
use crate::json::{self, Query};
use crate::outcome::{Reason, Record, Validators};
use crate::pace::Signal;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::HashMap;

/// How a batch's answer is shared out.
#[derive(Debug)]
pub(super) struct Sharing {
    separator: String,
    items: Query,
    /// `None` goes by position alone.
    key: Option<Query>,
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
                    "the answer has {} elements for one ID, and none has its key",
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
        let in_place = elements.len() == ids.len();
        let Some(key) = &self.key else {
            return Some((0..ids.len()).map(|at| in_place.then_some(at)).collect());
        };
        let mut by_key: HashMap<Cow<'_, str>, usize> = HashMap::with_capacity(elements.len());
        let mut filled = 0;
        for (at, element) in elements.iter().enumerate() {
            if json::is_null(element) {
                continue;
            }
            filled += 1;
            if let Some(key) = key.first(element).ok().flatten() {
                // Of two with the same key the first one stands.
                by_key.entry(json::text(key)).or_insert(at);
            }
        }
        if filled > 0 && by_key.is_empty() {
            return None;
        }
        let mut owned: Vec<Option<usize>> = ids.iter().map(|id| by_key.get(*id).copied()).collect();
        let in_order = owned
            .iter()
            .enumerate()
            .all(|(at, owner)| owner.is_none_or(|owner| owner == at));
        if in_place && in_order {
            for (at, owner) in owned.iter_mut().enumerate() {
                // Another key in its place: relinked. Nothing in its place: absent.
                *owner = Some(at);
            }
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
    Answer {
        signal: Signal::NotSent,
        verdict: Verdict::Failed(Trouble::new(None, Reason::InvalidId, message)),
        bytes: 0,
    }
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

    fn shares(sharing: &Sharing, ids: &[&str], items: &str) -> Vec<String> {
        let record = Record {
            validators: Validators::default(),
            status: 200,
            fetched_at: UNIX_EPOCH,
            body: format!("{{\"items\":{items}}}").into(),
        };
        match sharing.share_out(ids, &record) {
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

    proptest! {
        /// Whatever is missing, null, or in another order: nobody gets another one's element.
        #[test]
        fn nobody_gets_anothers_element(
            fates in prop::collection::vec(0..3u8, 1..12),
            seed in any::<u64>(),
            shuffled in any::<bool>(),
        ) {
            let ids: Vec<String> = (0..fates.len()).map(|n| format!("id{n}")).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let mut elements: Vec<String> = ids.iter().zip(&fates).filter_map(|(id, fate)| match fate {
                0 => Some(format!("{{\"id\":\"{id}\"}}")),
                1 => Some("null".to_owned()),
                _ => None,
            }).collect();
            if shuffled {
                fastrand::Rng::with_seed(seed).shuffle(&mut elements);
            }
            let told = shares(&sharing(Some("$.id")), &ids, &format!("[{}]", elements.join(",")));
            for ((id, fate), told) in ids.iter().zip(&fates).zip(&told) {
                let expected = match fate {
                    0 => format!("{{\"id\":\"{id}\"}}"),
                    _ => "absent".to_owned(),
                };
                prop_assert_eq!(told, &expected);
            }
        }
    }
}
