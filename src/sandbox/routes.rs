//! What answers what.
//!
//! Owns the rules of the module's header, in their order. Must never wait, and
//! never touch a connection: a request goes in, an answer comes out.

use super::SandboxOptions;
use super::answer::Answer;
use super::batch;
use super::bodies::Bodies;
use super::etag::conditional;
use super::faults::{Fault, Faults};
use super::github;
use super::grants;
use super::limit::Limit;
use super::listings::Listing;
use super::special::special;
use super::token::{PREFIX, Refusal, Tokens, presented};
use super::track::{is_track_id, name};
use super::wire::form_pairs;
use hyper::StatusCode;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

/// The folder of the tracks; what lies in it needs a token.
const TRACKS: &str = "/v1/tracks/";

/// Everything an answer depends on.
#[derive(Debug)]
pub(super) struct Routes {
    tokens: Tokens,
    limit: Limit,
    faults: Faults,
    bodies: Bodies,
}

impl Routes {
    /// The rules with these options.
    pub(super) fn new(options: &SandboxOptions, bodies: Bodies) -> Self {
        Self {
            tokens: Tokens::new(options.token_lifetime, options.seed),
            limit: Limit::new(options.rate, &options.rate_changes),
            faults: Faults::new(options.fault_rate, options.seed),
            bodies,
        }
    }

    /// Answers a POST of a GraphQL document.
    pub(super) fn graphql(&self, head: &Parts, body: &[u8]) -> Answer {
        if let Some(seconds) = self.limit.over() {
            return github::over_the_rate().retry_after(seconds);
        }
        self.or_a_fault(|| match self.admit(head, false) {
            Ok(()) => github::graphql(body),
            Err(refusal) => unauthorized(refusal),
        })
    }

    /// Answers any other POST.
    pub(super) fn token(&self, head: &Parts, body: &[u8]) -> Answer {
        match head.uri.path() {
            grants::LOGIN => grants::log_in(&self.tokens, body),
            _ => grants::grant(&self.tokens, &head.headers, body),
        }
    }

    /// Answers a GET.
    pub(super) fn item(&self, head: &Parts) -> Answer {
        if let Some(seconds) = self.limit.over() {
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Answer::error(status, "API rate limit exceeded").retry_after(seconds);
        }
        self.or_a_fault(|| self.honest(head))
    }

    /// The honest answer, unless a fault takes its place.
    fn or_a_fault(&self, honest: impl FnOnce() -> Answer) -> Answer {
        match self.faults.draw() {
            None => honest(),
            Some(fault @ Fault::Status(code)) => {
                let status =
                    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Answer::error(status, Answer::reason(status)).failing(fault)
            }
            Some(fault) => {
                let answer = honest();
                let uncuttable = answer.body.is_empty();
                answer.failing(if uncuttable { Fault::Reset } else { fault })
            }
        }
    }

    /// The answer when nothing goes wrong.
    fn honest(&self, head: &Parts) -> Answer {
        let path = head.uri.path();
        if let Some(listing) = Listing::of(path) {
            return match self.admit(head, listing.needs_token()) {
                Ok(()) => listing.page(head),
                Err(refusal) => unauthorized(refusal),
            };
        }
        let is_track = path
            .strip_prefix(TRACKS)
            .is_some_and(|rest| !rest.contains('/'))
            || batch::is_one(head);
        if let Err(refusal) = self.admit(head, is_track) {
            return unauthorized(refusal);
        }
        if let Some(answer) = batch::answer(head, |id| self.track(id)) {
            return answer;
        }
        let (folder, segment) = path.rsplit_once('/').unwrap_or(("", path));
        let id = percent_decode_str(segment).decode_utf8_lossy();
        if let Some(answer) = special(&id, folder, head.uri.query()) {
            return answer;
        }
        if is_track {
            return conditional(&head.headers, self.track(&id));
        }
        if let Some(answer) = github::rest(path) {
            return answer;
        }
        if id.ends_with("404") {
            return Answer::error(StatusCode::NOT_FOUND, &format!("Non existing id: '{id}'"));
        }
        let query: Map<String, Value> = form_pairs(head.uri.query().unwrap_or_default())
            .into_iter()
            .map(|(key, value)| (key, Value::String(value)))
            .collect();
        let body = json!({"id": id, "path": path, "query": query, "name": name(&id)});
        Answer::json(StatusCode::OK, body.to_string())
    }

    fn admit(&self, head: &Parts, required: bool) -> Result<(), Refusal> {
        match presented(&head.headers) {
            None if required => Err(Refusal::Absent),
            // On the other paths any API may be played, with tokens of its own.
            Some(token) if required || token.starts_with(PREFIX) => self.tokens.check(token),
            _ => Ok(()),
        }
    }

    fn track(&self, id: &str) -> Answer {
        if !is_track_id(id) {
            return Answer::error(StatusCode::BAD_REQUEST, "Invalid base62 id");
        }
        if id.ends_with("404") && !self.bodies.is_recorded(id) {
            let message = format!("Non existing id: 'spotify:track:{id}'");
            return Answer::error(StatusCode::NOT_FOUND, &message);
        }
        match self.bodies.body(id) {
            Ok(body) => Answer::json(StatusCode::OK, body),
            Err(error) => {
                let message = format!("The body of {id} cannot be read: {error}");
                Answer::error(StatusCode::INTERNAL_SERVER_ERROR, &message)
            }
        }
    }
}

fn unauthorized(refusal: Refusal) -> Answer {
    let challenge = match refusal {
        Refusal::Absent => "Bearer realm=\"spotify\"".to_owned(),
        Refusal::Unknown | Refusal::Expired => format!(
            "Bearer realm=\"spotify\", error=\"invalid_token\", error_description=\"{}\"",
            refusal.message()
        ),
    };
    let answer = Answer::error(StatusCode::UNAUTHORIZED, refusal.message());
    match HeaderValue::try_from(challenge) {
        Ok(challenge) => answer.with(WWW_AUTHENTICATE, challenge),
        Err(_) => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    const ID: &str = "11dFghVXANMlKmJXsNCbNl";

    fn routes(options: &SandboxOptions) -> Routes {
        Routes::new(options, Bodies::default())
    }

    fn get(routes: &Routes, path: &str, token: &str) -> Answer {
        let mut request = Request::get(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        routes.item(&request.body(()).unwrap().into_parts().0)
    }

    fn status(path: &str) -> u16 {
        let routes = routes(&SandboxOptions::default());
        get(&routes, path, "").status.as_u16()
    }

    fn issue(routes: &Routes) -> String {
        let request = Request::post("/api/token").body(()).unwrap();
        let form = b"grant_type=client_credentials&client_id=a&client_secret=b";
        routes.token(&request.into_parts().0, form).issued.unwrap()
    }

    #[test]
    fn tracks_follow_their_rules() {
        let routes = routes(&SandboxOptions::default());
        let token = issue(&routes);
        let ask = |id: &str| get(&routes, &format!("/v1/tracks/{id}?market=US"), &token);
        assert_eq!(ask(ID).status, 200);
        assert_eq!(ask("short").status, 400);
        assert_eq!(ask("short404").status, 400);
        assert_eq!(ask("11dFghVXANMlKmJXsN%2F%2E").status, 400);
        let gone = ask("11dFghVXANMlKmJXsNC404");
        assert_eq!(gone.status, 404);
        let body = String::from_utf8(gone.body.to_vec()).unwrap();
        assert!(
            body.contains("'spotify:track:11dFghVXANMlKmJXsNC404'"),
            "{body}"
        );
        assert_eq!(ask("empty").status, 200);
        for (path, token) in [("/v1/tracks/empty", ""), ("/v1/tracks/empty", "sbx-1")] {
            let answer = get(&routes, path, token);
            assert_eq!(answer.status, 401);
            assert_eq!(answer.headers.len(), 2, "{:?}", answer.headers);
        }
    }

    #[test]
    fn other_paths_give_records() {
        let routes = routes(&SandboxOptions::default());
        let answer = get(&routes, "/things/caf%C3%A9%20%2F1?a=1+2&b=", "theirs");
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["id"], "café /1");
        assert_eq!(body["path"], "/things/caf%C3%A9%20%2F1");
        assert_eq!(body["query"], json!({"a": "1 2", "b": ""}));
        assert!(body["name"].is_string());
        assert_eq!(get(&routes, "/things/1", "sbx-theirs").status, 401);
        assert_eq!(get(&routes, "/things/1", &issue(&routes)).status, 200);
        assert_eq!(status("/things/1404"), 404);
        assert_eq!(status("/"), 200);
    }

    #[test]
    fn the_rate_holds_for_items_only() {
        let routes = routes(&SandboxOptions {
            rate: Some(5),
            ..SandboxOptions::default()
        });
        let refused: Vec<Answer> = (0..50)
            .map(|_| get(&routes, "/things/1", ""))
            .filter(|answer| answer.status == 429)
            .collect();
        assert!((40..=45).contains(&refused.len()), "{}", refused.len());
        let body: Value = serde_json::from_slice(&refused[0].body).unwrap();
        assert_eq!(body["error"]["message"], "API rate limit exceeded");
        assert!(
            refused[0]
                .headers
                .iter()
                .any(|(name, v)| name == "retry-after" && v == "1")
        );
        issue(&routes);
    }

    #[test]
    fn faults_take_the_place_of_answers() {
        let routes = routes(&SandboxOptions {
            fault_rate: 1.0,
            ..SandboxOptions::default()
        });
        for _ in 0..100 {
            let answer = get(&routes, "/things/empty", "");
            assert!(matches!(
                answer.fault,
                Some(Fault::Status(_) | Fault::Reset)
            ));
            let waits = answer.headers.iter().any(|(name, _)| name == "retry-after");
            assert!(!waits);
        }
        issue(&routes);
    }
}
