//! One attempt: the request, its redirects, and the verdict of the last answer
//! (`exchange.rs` has one request and its answer).

mod exchange;

use super::api_error::ErrorRule;
use super::ask::{Ask, Target};
use super::batch::{self, Sharing};
use super::classify::{Answer, Trouble, Verdict};
use super::conditional;
use super::head::{equip, header_value, load, with_key};
use super::pages::{Ended, Pages, Paging, Place};
use super::redirect::{MOST_HOPS, next_hop, next_method};
use super::sent::{Sent, Spelled};
use crate::auth::{Credentials, Presented, SidePermits};
use crate::job::{Body, Filling, IdForm, Request, Template, TemplateError, Values, object_values};
use crate::outcome::{Reason, Validators};
use crate::pace::{Permit, Signal};
use crate::transport::{holds, redact};
use reqwest::Url;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use std::time::Duration;
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
    /// What `${…}` brought into headers.
    filled_headers: Vec<String>,
    timeout: Duration,
    max_body: u64,
    pages: Option<Pages>,
    permits: SidePermits,
    credentials: Credentials,
    /// How what was sent last is spelled.
    spelled: Spelled,
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
            filled_headers: request
                .headers
                .iter()
                .flat_map(|(_, template)| template.filled().map(str::to_owned))
                .collect(),
            timeout: request.timeout,
            max_body: request.max_body,
            pages: request.pages.as_ref().map(Pages::new),
            permits,
            credentials,
            spelled: Spelled::default(),
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
                    if let Some(kept) = answer.verdict.validators_mut()
                        && !kept.is_empty()
                    {
                        let carried = self.carried(target, filling, &home);
                        let secrets = carried.secrets(&headers, &presented);
                        conditional::drop_secrets(kept, |value| {
                            self.spelled.is_in(value, &secrets)
                        });
                    }
                    if let Some(paging) = &paging {
                        let ended = Ended {
                            home: &home,
                            url: &url,
                            trusted,
                            secrets: self
                                .carried(target, filling, &home)
                                .secrets(&headers, &presented)
                                .held,
                            links: &links,
                        };
                        answer = paging.judge(answer, &ended);
                    }
                    if let Some(trouble) = answer.verdict.trouble_mut() {
                        let secrets = self
                            .carried(target, filling, &home)
                            .secrets(&headers, &presented);
                        trouble.message = redact(&trouble.message, secrets.untold());
                    }
                    return answer;
                }
                Step::Redirect(status, answered) => match next_hop(&home, &url, &answered) {
                    Ok(next) => {
                        method = next_method(status, method);
                        // Once away from home, nothing brings the credentials back.
                        trusted = trusted && next.same_origin;
                        url = next.url;
                        let secrets = self
                            .carried(target, filling, &home)
                            .secrets(&headers, &presented);
                        let in_url = || holds(url.as_str(), secrets.held());
                        let in_body = method == reqwest::Method::POST
                            && target.body.as_ref().is_some_and(Body::is_secret);
                        if !trusted && (in_body || in_url()) {
                            return redirect_failure(
                                "a redirect that would carry a credential to another origin \
                                 (what is no secret can be typed in the place of `${…}`)"
                                    .into(),
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
                self.credentials.sent(&presented);
                return Some(presented);
            }
        }
    }

    fn carried<'a>(
        &'a self,
        target: &'a Target,
        filling: &'a Filling<'_>,
        home: &'a Url,
    ) -> Sent<'a> {
        Sent {
            values: filling.values(),
            home,
            url: &target.url,
            query: &target.query,
            body: target.body.as_ref(),
            headers: &self.filled_headers,
        }
    }

    fn too_slow(&self, trusted: bool) -> Answer {
        let limit = humantime::format_duration(self.timeout);
        let message = format!("no whole answer within {limit}");
        let signal = match trusted {
            true => Signal::Trouble,
            false => Signal::Neutral,
        };
        let trouble = Trouble::new(None, Reason::Timeout, message);
        Answer::new(signal, Verdict::Again(trouble))
    }
}

/// The run is over: whatever became of this attempt, it is made anew next time.
fn ended() -> Answer {
    let trouble = Trouble::new(None, Reason::ConnectionLost, "the run ended");
    Answer::new(Signal::NotSent, Verdict::Again(trouble))
}

fn redirect_failure(message: String) -> Answer {
    let trouble = Trouble::new(None, Reason::Redirect, message);
    Answer::new(Signal::Fine, Verdict::Failed(trouble))
}
