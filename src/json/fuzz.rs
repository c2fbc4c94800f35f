//! What must hold for any body and any path.
#![allow(clippy::unwrap_used, reason = "a body fails by panicking")]

use super::{Queries, Query, QueryError, compact_json, elements, json_path, members, string, text};

use bytes::Bytes;
use serde_json::Value;
use std::ops::Range;

/// A JSONPath, then a body: what is found in the text is what serde_json_path
/// finds on a tree, each time a slice of the body. Bytes that are no JSON are
/// searched without a panic.
pub fn json_query(bytes: &[u8]) {
    let Some((path, body)) = crate::fuzzing::first_line(bytes) else {
        return;
    };
    // A path is the user's own: one that takes for ever is not what is looked for here.
    let stars = path.matches(['*', ',']).count() + path.matches("..").count();
    if path.len() > 64 || stars > 5 || body.len() > 4_096 {
        return;
    }
    let Ok(path) = json_path(path) else {
        return;
    };
    let query = Query::new(&path);
    parts(body);
    if let Ok(found) = query.select(body) {
        found.into_iter().for_each(parts);
    }
    let Ok(body) = compact_json(Bytes::copy_from_slice(body)) else {
        return;
    };
    let selected = query.select(&body);
    let Ok(tree) = serde_json::from_slice::<Value>(&body) else {
        return;
    };
    // The pass can be asked whatever a tree can, but for what costs too much.
    let selected = match selected {
        Err(QueryError::TooLarge { .. }) => return,
        selected => selected.unwrap(),
    };
    assert_eq!(query.first(&body).unwrap(), selected.first().copied());
    let by_tree = Queries::on_trees([&path]).select_all(&body).unwrap();
    let mut values = Vec::new();
    for raw in by_tree.iter().flatten() {
        parts(raw);
        values.push(serde_json::from_slice::<Value>(raw).unwrap());
    }
    assert_eq!(values.iter().collect::<Vec<_>>(), path.query(&tree).all());
    assert_eq!(places(&body, &selected), places(&body, &by_tree.concat()));
}

/// Where the slices are in the body, sorted: the order of members is open.
pub(super) fn places(body: &[u8], slices: &[&[u8]]) -> Vec<Range<usize>> {
    let from = body.as_ptr() as usize;
    let mut places: Vec<_> = slices
        .iter()
        .map(|slice| {
            let at = (slice.as_ptr() as usize).checked_sub(from).unwrap();
            assert!(at + slice.len() <= body.len());
            at..at + slice.len()
        })
        .collect();
    places.sort_by_key(|place| (place.start, place.end));
    places
}

fn parts(raw: &[u8]) {
    let value = serde_json::from_slice::<Value>(raw);
    let (elements, members) = (elements(raw), members(raw));
    let (string, text) = (string(raw), text(raw));
    match value {
        // It may be not compact.
        Err(_) => {}
        Ok(Value::String(want)) => {
            assert_eq!((string, &*text), (Some(want.as_str().into()), &*want))
        }
        Ok(Value::Array(want)) if compact(raw) => {
            let read = elements
                .unwrap()
                .into_iter()
                .map(|raw| serde_json::from_slice(raw).unwrap());
            assert_eq!(read.collect::<Vec<Value>>(), want);
        }
        Ok(Value::Object(want)) if compact(raw) => {
            let read = members.unwrap().into_iter().map(|(name, raw)| {
                (
                    serde_json::from_slice(name).unwrap(),
                    serde_json::from_slice(raw).unwrap(),
                )
            });
            assert_eq!(read.collect::<serde_json::Map<_, _>>(), want);
        }
        Ok(_) => assert_eq!(text, String::from_utf8_lossy(raw)),
    }
}

fn compact(raw: &[u8]) -> bool {
    compact_json(Bytes::copy_from_slice(raw)).is_ok_and(|line| line == raw)
}
