//! One attempt: the request, its redirects, its body, its verdict.

use super::api_error::ErrorRule;
use super::ask::{Ask, Target};
use super::batch::{self, Sharing};
use super::body;
use super::classify::{self, Answer, Refused, Trouble, Verdict};
use super::conditional;
use super::head::{equip, header_value, load, with_key};
use super::pages::{Ended, Pages, Paging, Place};
use super::redirect::{MOST_HOPS, next_hop, next_method};
use super::sent::Sent;
use crate::auth::{Credentials, Presented, SidePermits, Token};
use crate::job::{Body, Filling, IdForm, Request, Template, TemplateError, Values, object_values};
use crate::json::compact_json;
use crate::outcome::{Reason, Record, Validators};
use crate::pace::{Permit, Signal};
use crate::transport::{
    budget, certificate_problem, connection_failure, holds, redact, retry_after,
};
use reqwest::Url;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A request that no ID can make valid.
#[derive(Debug, thiserror::Error)]
pub enum FetchSetupError {
    /// A header of the job.
    #[error(
        "[request] header `{name}` can't be sent: its value holds a character that HTTP does not allow"
    )]
    Header {
        /// As the job spells it.
        name: String,
    },
    /// What takes the place of the URL's origin.
    #[error("the embedded API's address is no URL: {0}")]
    Base(TemplateError),
}

/// Sends the job's requests.
#[derive(Debug)]
pub struct Fetcher {
    client: reqwest::Client,
    /// Where one item is asked for.
    one: Target,
    /// Where several are, and whose the elements of the answer are.
    several: Option<(Target, Sharing)>,
    id_form: IdForm,
    error_rule: ErrorRule,
    fixed_headers: HeaderMap,
    item_headers: Vec<(HeaderName, Template)>,
    timeout: Duration,
    max_body: u64,
    pages: Option<Pages>,
    permits: SidePermits,
    credentials: Credentials,
}

/// How an item is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// At its own URL.
    Plainly,
    /// The same, with the validators of the body that is there.
    ForNews,
    /// Where a redirect led: what is said there of versions is about another URL.
    Elsewhere,
}

enum Step {
    /// With the Link header fields, where they are asked for.
    Answer(Answer, Vec<Vec<u8>>),
    Redirect(u16, HeaderMap),
}

impl Fetcher {
    /// A fetcher for the job's requests; `base` takes the place of the URL's
    /// origin (the embedded API's address does). `client` must follow no redirects and try nothing again.
    pub fn new(
        request: &Request,
        base: Option<&str>,
        client: reqwest::Client,
        permits: SidePermits,
        credentials: Credentials,
    ) -> Result<Fetcher, FetchSetupError> {
        let mut fixed_headers = HeaderMap::new();
        fixed_headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let mut item_headers = Vec::new();
        for (name, template) in &request.headers {
            let invalid = || FetchSetupError::Header { name: name.clone() };
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            if template.has_hole() {
                item_headers.push((header, template.clone()));
            } else {
                let value = header_value(template, Values::One("")).ok_or_else(invalid)?;
                fixed_headers.insert(header, value);
            }
        }
        Ok(Fetcher {
            client,
            one: Target::of_one(request, base)?,
            several: match &request.batch {
                Some(batch) => Some((Target::of_several(request, base)?, Sharing::new(batch))),
                None => None,
            },
            id_form: request.id_form(),
            error_rule: ErrorRule::of(request),
            fixed_headers,
            item_headers,
            timeout: request.timeout,
            max_body: request.max_body,
            pages: request.pages.as_ref().map(Pages::new),
            permits,
            credentials,
        })
    }

    /// Whether this ID can be one of a batch.
    pub fn takes(&self, id: &str) -> bool {
        self.several
            .as_ref()
            .is_some_and(|(_, sharing)| sharing.takes(id))
    }

    /// Makes one attempt for what is asked. The permit is the leave to send its first
    /// request, now; further hops ask for their own, and take the token anew.
    /// With `known` validators, one item is asked for news only; those of a batch never are.
    pub async fn attempt(
        &self,
        ask: Ask<'_>,
        presented: Presented,
        known: Option<&Validators>,
        leave: &Permit,
    ) -> Answer {
        let (Ask::Several(ids), Some((target, sharing))) = (ask, &self.several) else {
            let object;
            let filling = match self.id_form {
                IdForm::Text => Filling::one(ask.first()),
                IdForm::Object => match object_values(ask.first()) {
                    Some(values) => {
                        object = values;
                        Filling::of(Values::Several(&object))
                    }
                    None => {
                        let message = "the ID has no values for the request's variables";
                        return batch::invalid(message.to_owned());
                    }
                },
            };
            let place = ask.place();
            return self
                .send_all(&self.one, &filling, place, presented, known, leave)
                .await;
        };
        if let Err(answer) = sharing.check(ids) {
            return answer;
        }
        let filling = Filling::several(ids, sharing.separator());
        let mut answer = self
            .send_all(target, &filling, None, presented, None, leave)
            .await;
        if let Verdict::Record(record) = answer.verdict {
            answer.verdict = sharing.share_out(ids, &record);
            answer.signal = batch::signal(&answer.verdict, answer.signal);
        }
        answer
    }

    async fn send_all(
        &self,
        target: &Target,
        filling: &Filling<'_>,
        place: Option<&Place>,
        presented: Presented,
        known: Option<&Validators>,
        leave: &Permit,
    ) -> Answer {
        let home = match target.url.fill(filling, &target.query) {
            Ok(url) => url,
            Err(error) => return batch::invalid(error.to_string()),
        };
        let mut headers = Cow::Borrowed(&self.fixed_headers);
        for (name, template) in &self.item_headers {
            match header_value(template, filling.values()) {
                Some(value) => headers.to_mut().insert(name.clone(), value),
                None => {
                    return batch::invalid(format!("the ID can't be sent in the header {name}"));
                }
            };
        }
        let payload = target.payload(filling, &headers);
        let mut presented = presented;
        let (mut url, mut trusted) = (home.clone(), true);
        let mut paging = None;
        if let Some(pages) = &self.pages {
            match Paging::begin(pages, target, &home, place, &presented) {
                Ok(begun) => {
                    (url, trusted) = (begun.1, begun.2);
                    paging = Some(begun.0);
                }
                Err(answer) => return answer,
            }
        }
        if trusted {
            url = with_key(url, &presented);
        } else if target.body.as_ref().is_some_and(Body::is_secret) {
            return redirect_failure("a page on another origin would get the body's secret".into());
        }
        let mut method = target.method.clone();
        for hop in 0..=MOST_HOPS {
            if hop > 0 {
                match self.leave_to_go_on(trusted).await {
                    Some(anew) if trusted => {
                        presented = anew;
                        url = with_key(url, &presented);
                    }
                    // What home was shown stays known, to be kept out of messages.
                    Some(_) => {}
                    None => return ended(),
                }
            }
            // A wait for a permit is ours and not the server's: the time runs from here.
            let deadline = Instant::now() + self.timeout;
            let mut request = reqwest::Request::new(method.clone(), url.clone());
            let token = equip(&mut request, &headers, &presented, trusted);
            load(&mut request, payload.as_ref());
            let asked = if hop > 0 {
                Asked::Elsewhere
            } else if conditional::ask(request.headers_mut(), known) {
                Asked::ForNews
            } else {
                Asked::Plainly
            };
            let sent = self.send(request, token, asked, trusted.then_some(leave), deadline);
            let step = match tokio::time::timeout_at(deadline, sent).await {
                Ok(step) => step,
                Err(_) => return self.too_slow(trusted),
            };
            match step {
                Step::Answer(mut answer, links) => {
                    if let Some(paging) = &paging {
                        let ended = Ended {
                            home: &home,
                            url: &url,
                            trusted,
                            secrets: carried(target, filling, &home).secrets(&headers, &presented),
                            links: &links,
                        };
                        answer = paging.judge(answer, &ended);
                    }
                    if let Some(trouble) = answer.verdict.trouble_mut() {
                        let secrets = carried(target, filling, &home).secrets(&headers, &presented);
                        trouble.message =
                            redact(&trouble.message, secrets.iter().map(Vec::as_slice));
                    }
                    return answer;
                }
                Step::Redirect(status, answered) => match next_hop(&home, &url, &answered) {
                    Ok(next) => {
                        method = next_method(status, method);
                        // Once away from home, nothing brings the credentials back.
                        trusted = trusted && next.same_origin;
                        url = next.url;
                        let secrets = carried(target, filling, &home).secrets(&headers, &presented);
                        let in_url = || holds(url.as_str(), secrets.iter().map(Vec::as_slice));
                        let in_body = method == reqwest::Method::POST
                            && target.body.as_ref().is_some_and(Body::is_secret);
                        if !trusted && (in_body || in_url()) {
                            return redirect_failure(
                                "a redirect that would carry a credential to another origin".into(),
                            );
                        }
                    }
                    Err(message) => return redirect_failure(message),
                },
            }
        }
        redirect_failure(format!("more than {MOST_HOPS} redirects"))
    }

    /// Waits for a permit and a live token, both at the same moment. `None`
    /// when there won't be any.
    async fn leave_to_go_on(&self, trusted: bool) -> Option<Presented> {
        if !trusted {
            return self.permits.permit().await.map(|_| Presented::None);
        }
        loop {
            self.credentials.wait_until_live().await?;
            self.permits.permit().await?;
            // Had the token died while we waited, a late start could crowd a
            // window: that permit is spent for nothing, and we wait again.
            if let Some(presented) = self.credentials.present(Instant::now()) {
                return Some(presented);
            }
        }
    }

    fn too_slow(&self, trusted: bool) -> Answer {
        let limit = humantime::format_duration(self.timeout);
        Answer {
            signal: if trusted {
                Signal::Trouble
            } else {
                Signal::Neutral
            },
            verdict: Verdict::Again(Trouble::new(
                None,
                Reason::Timeout,
                format!("no whole answer within {limit}"),
            )),
            bytes: 0,
        }
    }

    async fn send(
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
                let answer = Answer {
                    signal,
                    verdict,
                    bytes: 0,
                };
                return Step::Answer(answer, Vec::new());
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
            Answer {
                signal: Signal::Fine,
                verdict: Verdict::NotModified(conditional::validators(response.headers())),
                bytes: 0,
            }
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
            return Answer {
                signal: Signal::Fine,
                verdict: Verdict::Failed(trouble(
                    Reason::NoContent,
                    format!("HTTP {status} has no body to record"),
                )),
                bytes: 0,
            };
        }
        let body = match body::read(response, self.max_body).await {
            Ok(body) => body,
            Err(cut) => {
                let trouble = trouble(cut.reason, cut.message);
                let (signal, verdict) = match cut.reason {
                    Reason::BodyTooLarge => (Signal::Fine, Verdict::Failed(trouble)),
                    reason => (classify::connection_signal(reason), Verdict::Again(trouble)),
                };
                return Answer {
                    signal,
                    verdict,
                    bytes: 0,
                };
            }
        };
        let bytes = body.len() as u64;
        let again = |reason, message| Answer {
            signal: Signal::Neutral,
            verdict: Verdict::Again(trouble(reason, message)),
            bytes,
        };
        if body.is_empty() {
            return again(
                Reason::EmptyBody,
                format!("HTTP {status} with an empty body"),
            );
        }
        match compact_json(body) {
            Err(error) => again(Reason::MalformedBody, error.to_string()),
            Ok(body) if let Some(error) = self.error_rule.find(&body) => {
                let after = || retry_after(response.headers(), SystemTime::now());
                let (verdict, signal) = error.judge(status, after);
                Answer {
                    signal,
                    verdict,
                    bytes,
                }
            }
            Ok(body) => Answer {
                signal: Signal::Fine,
                verdict: Verdict::Record(Record {
                    status,
                    fetched_at: SystemTime::now(),
                    body,
                    validators,
                }),
                bytes,
            },
        }
    }
}

fn carried<'a>(target: &'a Target, filling: &'a Filling<'_>, home: &'a Url) -> Sent<'a> {
    Sent {
        values: filling.values(),
        home,
        url: &target.url,
        query: &target.query,
        body: target.body.as_ref(),
    }
}

/// The run is over: whatever became of this attempt, it is made anew next time.
fn ended() -> Answer {
    Answer {
        signal: Signal::NotSent,
        verdict: Verdict::Again(Trouble::new(None, Reason::ConnectionLost, "the run ended")),
        bytes: 0,
    }
}

fn redirect_failure(message: String) -> Answer {
    Answer {
        signal: Signal::Fine,
        verdict: Verdict::Failed(Trouble::new(None, Reason::Redirect, message)),
        bytes: 0,
    }
}
