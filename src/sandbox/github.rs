//! GitHub's two ways to ask for a repository: by path, and by GraphQL.
//!
//! Owns what a repository looks like, and how errors come in a 200. Must never
//! draw from anything but the repository's name.

use super::answer::Answer;
use fastrand::Rng;
use hyper::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

/// Where GraphQL documents are POSTed to.
pub(super) const GRAPHQL: &str = "/graphql";

const LANGUAGES: [&str; 6] = ["Rust", "Python", "Go", "C", "TypeScript", "Zig"];

/// What is known of a repository.
#[derive(Debug)]
struct Repository {
    owner: String,
    name: String,
    number: u32,
    stars: u32,
    language: &'static str,
}

impl Repository {
    /// The repository of that name; one that ends in `404` is not there.
    fn find(owner: &str, name: &str) -> Option<Self> {
        if owner.is_empty() || name.is_empty() || name.ends_with("404") {
            return None;
        }
        let full = format!("{owner}/{name}");
        let mut rng = Rng::with_seed(xxh3_64(full.to_lowercase().as_bytes()));
        Some(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            number: rng.u32(1..1_000_000_000),
            stars: rng.u32(0..200_000),
            language: rng.choice(LANGUAGES).unwrap_or(LANGUAGES[0]),
        })
    }

    /// As `GET /repos/{owner}/{repo}` has it.
    fn rest(&self) -> Value {
        json!({
            "id": self.number,
            "node_id": self.node_id(),
            "name": self.name,
            "full_name": format!("{}/{}", self.owner, self.name),
            "private": false,
            "owner": {"login": self.owner},
            "html_url": format!("https://github.com/{}/{}", self.owner, self.name),
            "stargazers_count": self.stars,
            "language": self.language,
        })
    }

    /// As a GraphQL `Repository` has it.
    fn node(&self) -> Value {
        json!({
            "id": self.node_id(),
            "databaseId": self.number,
            "nameWithOwner": format!("{}/{}", self.owner, self.name),
            "stargazerCount": self.stars,
            "primaryLanguage": {"name": self.language},
        })
    }

    fn node_id(&self) -> String {
        format!("R_{}_{}", self.owner, self.name)
    }
}

/// The answer to `GET /repos/{owner}/{repo}`; `None` on any other path.
pub(super) fn rest(path: &str) -> Option<Answer> {
    let (owner, name) = path.strip_prefix("/repos/")?.split_once('/')?;
    if name.contains('/') {
        return None;
    }
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some(match Repository::find(&decoded(owner), &decoded(name)) {
        Some(repository) => Answer::json(StatusCode::OK, repository.rest().to_string()),
        None => Answer::json(
            StatusCode::NOT_FOUND,
            json!({"message": "Not Found", "status": "404"}).to_string(),
        ),
    })
}

/// The answer to a GraphQL request (a POST of JSON): `repository(owner:, name:)`
/// and `node(id:)`, with arguments by variables. Whatever is selected, all
/// fields come.
pub(super) fn graphql(body: &[u8]) -> Answer {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        let problem = json!({"message": "Problems parsing JSON"});
        return Answer::json(StatusCode::BAD_REQUEST, problem.to_string());
    };
    let query = request.pointer("/query").and_then(Value::as_str);
    let Some(query) = query.filter(|query| is_balanced(query)) else {
        return errors(
            Value::Null,
            "PARSE_ERROR",
            "A query attribute must be specified and must be valid",
        );
    };
    let variable = |name: &str| {
        let value = request.pointer(&format!("/variables/{name}"))?;
        Some(value.as_str().unwrap_or_default().to_owned())
    };
    if query.contains("repository(") {
        let (Some(owner), Some(name)) = (variable("owner"), variable("name")) else {
            let message = "Variables $owner and $name of type String! were provided invalid value";
            return errors(Value::Null, "INVALID_VARIABLE", message);
        };
        return match Repository::find(&owner, &name) {
            Some(found) => data(&json!({"repository": found.node()})),
            None => errors(
                json!({"repository": null}),
                "NOT_FOUND",
                &format!("Could not resolve to a Repository with the name '{owner}/{name}'."),
            ),
        };
    }
    if query.contains("node(") {
        let id = variable("id").unwrap_or_default();
        let parts = id.strip_prefix("R_").and_then(|rest| rest.split_once('_'));
        return match parts.and_then(|(owner, name)| Repository::find(owner, name)) {
            Some(found) => data(&json!({"node": found.node()})),
            None => errors(
                json!({"node": null}),
                "NOT_FOUND",
                &format!("Could not resolve to a node with the global id of '{id}'"),
            ),
        };
    }
    errors(
        Value::Null,
        "UNKNOWN_FIELD",
        "The query asks for neither `repository` nor `node`",
    )
}

/// One request too many: an error in a 200, as GitHub's GraphQL API has it.
pub(super) fn over_the_rate() -> Answer {
    errors(Value::Null, "RATE_LIMITED", "API rate limit exceeded")
}

fn data(data: &Value) -> Answer {
    Answer::json(StatusCode::OK, json!({"data": data}).to_string())
}

fn errors(data: Value, kind: &str, message: &str) -> Answer {
    let body = json!({"data": data, "errors": [{"type": kind, "message": message}]});
    Answer::json(StatusCode::OK, body.to_string())
}

/// Every brace and parenthesis has its partner: what a client that fills in
/// too much does not send.
fn is_balanced(query: &str) -> bool {
    let mut open = Vec::new();
    for c in query.chars() {
        match c {
            '{' | '(' => open.push(c),
            '}' if open.pop() != Some('{') => return false,
            ')' if open.pop() != Some('(') => return false,
            _ => {}
        }
    }
    open.is_empty() && query.contains('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: &Value) -> Value {
        let answer = graphql(body.to_string().as_bytes());
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).unwrap()
    }

    #[test]
    fn a_repository_is_the_same_by_both_ways() {
        let answer = rest("/repos/rust-lang/r%20ust").unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["full_name"], "rust-lang/r ust");
        let query = "query($owner: String!) { repository(owner: $owner, name: $name) { id } }";
        let found = ask(&json!({
            "query": query,
            "variables": {"owner": "rust-lang", "name": "r ust"},
        }));
        assert_eq!(found["data"]["repository"]["databaseId"], body["id"]);
        let node = ask(&json!({
            "query": "query($id: ID!) { node(id: $id) { id } }",
            "variables": {"id": body["node_id"]},
        }));
        assert_eq!(node["data"]["node"], found["data"]["repository"]);
        assert_eq!(rest("/repos/a/b404").unwrap().status, 404);
        for other in ["/repos/a", "/repos/a/b/issues", "/users/a"] {
            assert!(rest(other).is_none(), "{other}");
        }
    }

    #[test]
    fn errors_come_in_a_200() {
        let kind = |body: Value| ask(&body)["errors"][0]["type"].as_str().unwrap().to_owned();
        let query = "{ repository(owner: $owner, name: $name) { id } }";
        let variables = json!({"owner": "a", "name": "b404"});
        assert_eq!(
            kind(json!({"query": query, "variables": variables})),
            "NOT_FOUND"
        );
        assert_eq!(kind(json!({"query": query})), "INVALID_VARIABLE");
        assert_eq!(kind(json!({"query": "{ node(id: 1) {"})), "PARSE_ERROR");
        assert_eq!(
            kind(json!({"query": "{ node(id: 1) { id } }"})),
            "NOT_FOUND"
        );
        assert_eq!(kind(json!({"query": "{ viewer { id } }"})), "UNKNOWN_FIELD");
        assert_eq!(kind(json!([])), "PARSE_ERROR");
        assert_eq!(graphql(b"{").status, 400);
    }
}
