//! The answers that come in pages: by offset, by Link header, by cursor.
//!
//! Owns what a page of each looks like. Must never draw from anything but the
//! request: the same page is the same bytes, in every run.

use super::answer::Answer;
use super::track::{is_track_id, name};
use super::wire::form_pairs;
use hyper::StatusCode;
use hyper::header::{HOST, HeaderValue, LINK};
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// Artists that everybody follows here.
const FOLLOWED: u64 = 137;

/// A listing that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// `/v1/albums/{id}/tracks`: `offset`, `limit`; `next` and `total` in the body.
    AlbumTracks(String),
    /// `/repos/{owner}/{repo}/issues`: `page`, `per_page`; a Link header.
    Issues(String),
    /// `/v1/me/following`: `after`, `limit`; a cursor in the body.
    Following,
}

impl Listing {
    /// What the path asks for, if that is a listing.
    pub(super) fn of(path: &str) -> Option<Listing> {
        let segments: Vec<&str> = path.split('/').collect();
        match segments.as_slice() {
            ["", "v1", "albums", id, "tracks"] => {
                let id = percent_decode_str(id).decode_utf8_lossy().into_owned();
                Some(Listing::AlbumTracks(id))
            }
            ["", "repos", owner, repo, "issues"] => {
                Some(Listing::Issues(format!("{owner}/{repo}")))
            }
            ["", "v1", "me", "following"] => Some(Listing::Following),
            _ => None,
        }
    }

    /// Whether it lies where a token is needed.
    pub(super) fn needs_token(&self) -> bool {
        matches!(self, Listing::AlbumTracks(_))
    }

    /// The page that the query asks for.
    pub(super) fn page(&self, head: &Parts) -> Answer {
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let page = ListingQuery {
            url: format!("http://{}{}", host.unwrap_or("localhost"), head.uri.path()),
            query: form_pairs(head.uri.query().unwrap_or_default()),
        };
        let answer = match self {
            Listing::AlbumTracks(id) => album_tracks(id, &page),
            Listing::Issues(repo) => issues(repo, &page),
            Listing::Following => following(&page),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }
}

/// One request for a page.
struct ListingQuery {
    /// Without the query.
    url: String,
    query: Vec<(String, String)>,
}

impl ListingQuery {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str, default: u64, most: u64) -> Result<u64, Answer> {
        let number = match self.get(name) {
            None => Some(default),
            Some(text) => text.parse().ok().filter(|number| *number <= most),
        };
        number.ok_or_else(|| Answer::error(StatusCode::BAD_REQUEST, &format!("Invalid {name}")))
    }

    /// The same request with other parameters.
    fn with(&self, changed: &[(&str, u64)]) -> String {
        let mut query = form_urlencoded(&self.query, changed);
        for (name, value) in changed {
            query.push(format!("{name}={value}"));
        }
        format!("{}?{}", self.url, query.join("&"))
    }
}

fn form_urlencoded(query: &[(String, String)], without: &[(&str, u64)]) -> Vec<String> {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    query
        .iter()
        .filter(|(name, _)| !without.iter().any(|(other, _)| other == name))
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect()
}

/// The part of `total` that a page shows.
fn shown(from: u64, count: u64, total: u64) -> Range<u64> {
    from.min(total)..from.saturating_add(count).min(total)
}

fn pretty(body: &Value) -> String {
    format!("{body:#}")
}

fn album_tracks(id: &str, asked: &ListingQuery) -> Result<Answer, Answer> {
    if !is_track_id(id) {
        return Err(Answer::error(StatusCode::BAD_REQUEST, "Invalid base62 id"));
    }
    if id.ends_with("404") {
        let message = format!("Non existing id: 'spotify:album:{id}'");
        return Err(Answer::error(StatusCode::NOT_FOUND, &message));
    }
    let limit = asked.number("limit", 20, 50)?.max(1);
    let offset = asked.number("offset", 0, u64::MAX)?;
    let total = 1 + xxh3_64(id.as_bytes()) % 120;
    let items: Vec<Value> = shown(offset, limit, total)
        .map(|number| track_of(id, number + 1))
        .collect();
    let link = |offset: u64| asked.with(&[("offset", offset), ("limit", limit)]);
    let next = (offset.saturating_add(limit) < total).then(|| link(offset + limit));
    let previous = (offset > 0).then(|| link(offset.saturating_sub(limit)));
    let body = json!({
        "href": link(offset),
        "items": items,
        "limit": limit,
        "next": next,
        "offset": offset,
        "previous": previous,
        "total": total,
    });
    Ok(Answer::json(StatusCode::OK, pretty(&body)))
}

/// A track as an album lists it: the simplified object.
fn track_of(album: &str, number: u64) -> Value {
    let id = identifier(&format!("{album}/{number}"));
    json!({
        "disc_number": 1,
        "duration_ms": 90_000 + xxh3_64(id.as_bytes()) % 330_000,
        "explicit": number.is_multiple_of(7),
        "href": format!("https://api.spotify.com/v1/tracks/{id}"),
        "is_local": false,
        "name": name(&id),
        "track_number": number,
        "type": "track",
        "uri": format!("spotify:track:{id}"),
        "id": id,
    })
}

fn issues(repo: &str, asked: &ListingQuery) -> Result<Answer, Answer> {
    if repo.ends_with("404") {
        return Err(Answer::error(StatusCode::NOT_FOUND, "Not Found"));
    }
    let size = asked.number("per_page", 30, 100)?.max(1);
    let page = asked.number("page", 1, u64::MAX / 128)?.max(1);
    let total = xxh3_64(repo.as_bytes()) % 250;
    let issues: Vec<Value> = shown((page - 1) * size, size, total)
        .map(|at| issue(repo, total - at))
        .collect();
    let last = total.div_ceil(size);
    let mut links = Vec::new();
    let mut link = |page: u64, relation: &str| {
        let url = asked.with(&[("page", page)]);
        links.push(format!("<{url}>; rel=\"{relation}\""));
    };
    if page > 1 {
        link(page - 1, "prev");
    }
    if page < last {
        link(page + 1, "next");
        link(last, "last");
    }
    if page > 1 {
        link(1, "first");
    }
    let answer = Answer::json(StatusCode::OK, Value::from(issues).to_string());
    Ok(match HeaderValue::try_from(links.join(", ")) {
        Ok(links) if !links.is_empty() => answer.with(LINK, links),
        _ => answer,
    })
}

fn issue(repo: &str, number: u64) -> Value {
    let id = xxh3_64(format!("{repo}#{number}").as_bytes());
    let title = name(&format!("{repo}#{number}"));
    json!({
        "comments": id % 40,
        "created_at": format!("2026-{:02}-{:02}T10:00:00Z", 1 + id % 12, 1 + id % 28),
        "html_url": format!("https://github.com/{repo}/issues/{number}"),
        "id": id >> 12,
        "number": number,
        "state": "open",
        "title": title,
        "user": {"login": format!("user{}", id % 90)},
    })
}

fn following(asked: &ListingQuery) -> Result<Answer, Answer> {
    let limit = asked.number("limit", 20, 50)?.max(1);
    let artist = |number: u64| identifier(&format!("artist/{number}"));
    let from = match asked.get("after") {
        None => 0,
        Some(cursor) => (0..FOLLOWED)
            .find(|number| artist(*number) == cursor)
            .map(|number| number + 1)
            .ok_or_else(|| Answer::error(StatusCode::BAD_REQUEST, "Invalid cursor"))?,
    };
    let page = shown(from, limit, FOLLOWED);
    let after = (page.end < FOLLOWED).then(|| artist(page.end.saturating_sub(1)));
    let items: Vec<Value> = page
        .map(|number| {
            let id = artist(number);
            json!({"name": name(&id), "type": "artist", "uri": format!("spotify:artist:{id}"), "id": id})
        })
        .collect();
    let body = json!({"artists": {
        "cursors": {"after": after},
        "items": items,
        "limit": limit,
        "total": FOLLOWED,
    }});
    Ok(Answer::json(StatusCode::OK, pretty(&body)))
}

/// 22 base-62 characters, as Spotify makes them. Never ends in 404.
fn identifier(seed: &str) -> String {
    let mut rng = fastrand::Rng::with_seed(xxh3_64(seed.as_bytes()));
    let mut id: String = (0..21).map(|_| rng.alphanumeric()).collect();
    id.push('x');
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn ask(url: &str) -> (Answer, Value) {
        let uri: hyper::Uri = url.parse().unwrap();
        let head = Request::get(url).header("host", "h:1").body(()).unwrap();
        let answer = Listing::of(uri.path()).unwrap().page(&head.into_parts().0);
        let body = serde_json::from_slice(&answer.body).unwrap();
        (answer, body)
    }

    fn path(url: &str) -> &str {
        url.strip_prefix("http://h:1").unwrap()
    }

    #[test]
    fn an_album_s_pages_are_all_its_tracks_once() {
        let mut at = "/v1/albums/11dFghVXANMlKmJXsNCbNl/tracks?limit=7&market=US".to_owned();
        let mut numbers = Vec::new();
        let total = loop {
            let (_, body) = ask(&at);
            let items = body["items"].as_array().unwrap();
            numbers.extend(items.iter().map(|i| i["track_number"].as_u64().unwrap()));
            match body["next"].as_str() {
                Some(next) => at = path(next).to_owned(),
                None => break body["total"].as_u64().unwrap(),
            }
            assert!(at.contains("market=US") && at.contains("limit=7"), "{at}");
        };
        assert_eq!(numbers, (1..=total).collect::<Vec<_>>());
        for (url, status) in [
            ("/v1/albums/short/tracks", 400),
            ("/v1/albums/11dFghVXANMlKmJXsNC404/tracks", 404),
            ("/v1/albums/11dFghVXANMlKmJXsNCbNl/tracks?limit=51", 400),
        ] {
            assert_eq!(ask(url).0.status, status, "{url}");
        }
    }

    #[test]
    fn issues_go_on_by_their_link_header() {
        let mut at = "/repos/rust-lang/cargo/issues?per_page=20".to_owned();
        let mut numbers = Vec::new();
        loop {
            let (answer, body) = ask(&at);
            numbers.extend(
                body.as_array()
                    .unwrap()
                    .iter()
                    .map(|i| i["number"].as_u64().unwrap()),
            );
            let links = answer.headers.iter().find(|(name, _)| name == LINK);
            let links = links.map_or("", |(_, links)| links.to_str().unwrap());
            let next = links
                .split(", ")
                .find(|link| link.ends_with("rel=\"next\""));
            let Some(next) = next else { break };
            at = path(next.split(['<', '>']).nth(1).unwrap()).to_owned();
        }
        let total = xxh3_64(b"rust-lang/cargo") % 250;
        assert_eq!(numbers, (1..=total).rev().collect::<Vec<_>>());
        assert_eq!(ask("/repos/a/b404/issues").0.status, 404);
    }

    #[test]
    fn a_cursor_leads_through_all_who_are_followed() {
        let mut at = "/v1/me/following?type=artist&limit=50".to_owned();
        let mut ids = std::collections::BTreeSet::new();
        loop {
            let (_, body) = ask(&at);
            for item in body["artists"]["items"].as_array().unwrap() {
                assert!(ids.insert(item["id"].as_str().unwrap().to_owned()));
            }
            match body["artists"]["cursors"]["after"].as_str() {
                Some(after) => at = format!("/v1/me/following?limit=50&after={after}"),
                None => break,
            }
        }
        assert_eq!(ids.len() as u64, FOLLOWED);
        assert_eq!(ask("/v1/me/following?after=nobody").0.status, 400);
    }

    #[test]
    fn other_paths_are_no_listings() {
        for path in [
            "/v1/albums/a",
            "/repos/a/issues",
            "/v1/me",
            "/v1/tracks/a",
            "/",
        ] {
            assert_eq!(Listing::of(path), None, "{path}");
        }
    }
}
