//! One request and its answer: what came, as a verdict.
//!
//! Must never follow a redirect: whether that may be done is the attempt's to say.

use super::{Asked, Fetcher, Step};
use crate::auth::Token;
use crate::fetch::classify::{self, Answer, Refused, Trouble, Verdict};
use crate::fetch::{body, conditional};
use crate::json::compact_json;
use crate::outcome::{Reason, Record, Validators};
use crate::pace::{Permit, Signal};
use crate::transport::{budget, certificate_problem, connection_failure, retry_after};
use std::time::SystemTime;
use tokio::time::Instant;

impl Fetcher {
    /// Sends one request and reads its answer. `home`: the permit, where the
    /// request goes to the job's own origin.
    pub(super) async fn send(
        &self,
        request: reqwest::Request,
        token: Option<&Token>,
        asked: Asked,
        home: Option<&Permit>,
        deadline: Instant,
    ) -> Step {
        let trusted = home.is_some();
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => {
                let (signal, verdict) = match certificate_problem(&error) {
                    Some(message) if trusted => (
                        Signal::Unreachable,
                        Verdict::Untrusted(Trouble::new(None, Reason::Connect, message)),
                    ),
                    _ => {
                        let (reason, message) = connection_failure(&error, false);
                        let signal = if trusted {
                            classify::connection_signal(reason)
                        } else {
                            // Another host's trouble says nothing about ours.
                            Signal::Neutral
                        };
                        (signal, Verdict::Again(Trouble::new(None, reason, message)))
                    }
                };
                return Step::Answer(Answer::new(signal, verdict), Vec::new());
            }
        };
        let status = response.status().as_u16();
        let now = SystemTime::now();
        // Another host's quota is not ours.
        let announced = home.and_then(|leave| {
            let budget = budget(response.headers(), now)?;
            leave.announce(budget);
            Some(budget)
        });
        if matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Step::Redirect(status, response.headers().clone());
        }
        let links = self
            .pages
            .as_ref()
            .map(|pages| pages.links(response.headers()));
        let answer = if (200..300).contains(&status) {
            let validators = match asked {
                Asked::Elsewhere => Validators::default(),
                _ => conditional::validators(response.headers()),
            };
            let answer = self.success(status, validators, &mut response).await;
            if let (Verdict::Again(trouble), Some(leave)) = (&answer.verdict, home)
                && trouble.reason == Reason::RateLimited
            {
                leave.over_the_limit();
            }
            answer
        } else if status == 304 && asked == Asked::ForNews {
            let validators = conditional::validators(response.headers());
            Answer::new(Signal::Fine, Verdict::NotModified(validators))
        } else {
            let after = retry_after(response.headers(), now).or_else(|| announced?.refuses(status));
            if let Some(leave) =
                home.filter(|_| status == 429 || (status == 403 && after.is_some()))
            {
                leave.over_the_limit();
            }
            let words = body::words(&mut response, deadline).await;
            let bytes = words.as_ref().map_or(0, |b| b.len() as u64);
            let said = words.and_then(|b| classify::server_words(&b));
            let refused = token.map(|token| Refused {
                generation: token.generation,
                expired: !token.is_live(Instant::now()),
                age: token.asked.elapsed(),
            });
            let (mut verdict, signal) = classify::status(status, said, after, refused);
            if !trusted
                && let Verdict::Unauthorized(_, trouble) | Verdict::Forbidden(trouble) = verdict
            {
                // Nobody showed that place any credentials, so they can't be wrong.
                verdict = Verdict::Failed(trouble);
            }
            Answer {
                signal,
                verdict,
                bytes,
            }
        };
        Step::Answer(answer, links.unwrap_or_default())
    }

    async fn success(
        &self,
        status: u16,
        validators: Validators,
        response: &mut reqwest::Response,
    ) -> Answer {
        let trouble = |reason, message: String| Trouble::new(Some(status), reason, message);
        if matches!(status, 204 | 205) {
            let message = format!("HTTP {status} has no body to record");
            let verdict = Verdict::Failed(trouble(Reason::NoContent, message));
            return Answer::new(Signal::Fine, verdict);
        }
        let body = match body::read(response, self.max_body).await {
            Ok(body) => body,
            Err(cut) => {
                let trouble = trouble(cut.reason, cut.message);
                return match cut.reason {
                    Reason::BodyTooLarge => Answer::new(Signal::Fine, Verdict::Failed(trouble)),
                    reason => {
                        let signal = classify::connection_signal(reason);
                        Answer::new(signal, Verdict::Again(trouble))
                    }
                };
            }
        };
        let bytes = body.len() as u64;
        let again = |reason, message| (Signal::Neutral, Verdict::Again(trouble(reason, message)));
        let (signal, verdict) = if body.is_empty() {
            let message = format!("HTTP {status} with an empty body");
            again(Reason::EmptyBody, message)
        } else {
            match compact_json(body) {
                Err(error) => again(Reason::MalformedBody, error.to_string()),
                Ok(body) if let Some(error) = self.error_rule.find(&body) => {
                    let after = || retry_after(response.headers(), SystemTime::now());
                    let (verdict, signal) = error.judge(status, after);
                    (signal, verdict)
                }
                Ok(body) => {
                    let record = Record {
                        status,
                        fetched_at: SystemTime::now(),
                        body,
                        validators,
                    };
                    (Signal::Fine, Verdict::Record(record))
                }
            }
        };
        Answer {
            signal,
            verdict,
            bytes,
        }
    }
}
