//! Several tracks in one answer: `/v1/tracks?ids=…`, as Spotify had it.
//!
//! Owns how single answers become one. Must never make a track itself: each is
//! byte for byte the one that it is alone.

use super::answer::Answer;
use super::special::special;
use super::wire::form_pairs;
use hyper::StatusCode;
use hyper::http::request::Parts;

/// IDs of one request at most.
const MOST: usize = 50;

/// Whether the request is for a batch of tracks.
pub(super) fn is_one(head: &Parts) -> bool {
    head.uri.path() == "/v1/tracks" && ids(head).is_some()
}

/// The answer to a request for a batch; `track` is what one ID gets.
pub(super) fn answer(head: &Parts, track: impl Fn(&str) -> Answer) -> Option<Answer> {
    if !is_one(head) {
        return None;
    }
    let ids = ids(head)?;
    let ids: Vec<&str> = ids.split(',').collect();
    if ids.len() > MOST {
        return Some(Answer::error(
            StatusCode::BAD_REQUEST,
            "Too many ids requested",
        ));
    }
    let mut body = b"{\"tracks\": [".to_vec();
    for (at, id) in ids.iter().enumerate() {
        if at > 0 {
            body.extend_from_slice(b", ");
        }
        let answer = special(id, "/v1/tracks", None).unwrap_or_else(|| track(id));
        match answer.status {
            StatusCode::OK => body.extend_from_slice(&answer.body),
            StatusCode::NOT_FOUND => body.extend_from_slice(b"null"),
            _ => return Some(answer),
        }
    }
    body.extend_from_slice(b"]}\n");
    Some(Answer::json(StatusCode::OK, body))
}

fn ids(head: &Parts) -> Option<String> {
    form_pairs(head.uri.query().unwrap_or_default())
        .into_iter()
        .find_map(|(name, value)| (name == "ids").then_some(value))
}
