//! The control: an item that was answered well before, asked for again when
//! only items are left that fail, or when all fail alike.
//!
//! Those items may be what is wrong, or the server, the credentials or the job
//! may be; an item that is known to be good tells which. If it gets its answer,
//! it is they; if not, they wait the trouble out unharmed, or the run stops.
//! Owns that question; nothing else is begun until it is answered. What comes
//! back is never recorded: the item has its record.

use super::error::RunError;
use super::quarantine::Kind;
use super::refusals::Refusals;
use super::state::Driver;
use super::work::{Attempted, Load, Work};
use crate::fetch::{Share, Verdict};
use crate::job::Method;
use crate::pace::{Now, Signal};

/// What is known of the control.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// An item that was answered well.
    pub(super) id: Option<String>,
    /// It is asked for at present.
    asked: bool,
    /// The tokens that were refused for it.
    refusals: Refusals,
    /// Whether the refusals are the credentials' matter; what to say if so.
    pub(super) about_refusals: Option<String>,
}

/// What the control's answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// It got its record.
    Good,
    /// The credentials are good, and the item is not any more.
    Failed(Kind),
    /// It is refused, too.
    Refused(Kind),
    /// It failed in a way that is tried again.
    Down(Kind),
    /// Its token was refused, and the next one may not be.
    Nothing,
}

impl Driver<'_> {
    /// Remembers an item that has its record, if there is none to remember yet.
    pub(super) fn remember_good(&mut self, id: &str) {
        // A second POST might do something a second time.
        if self.control.id.is_none() && self.job.request.method == Method::Get {
            self.control.id = Some(id.to_owned());
        }
    }

    pub(super) fn has_control(&self) -> bool {
        self.control.id.is_some()
    }

    /// Only items are left that fail, and there is no control to compare them with.
    pub(super) fn nobody_can_tell(&self) -> bool {
        self.nothing_fresh() && !self.has_control()
    }

    /// Whether a question is open that only the control can answer.
    pub(super) fn is_questioned(&self) -> bool {
        self.control.about_refusals.is_some()
    }

    /// Whether nothing may be begun before its answer has come.
    pub(super) fn awaits_control(&self) -> bool {
        self.is_questioned() && self.control.asked
    }

    /// Whether it should be asked for now, permits aside.
    pub(super) fn wants_control(&self) -> bool {
        let last_ones = self.pacer.in_outage() && self.nothing_fresh() && !self.queue.is_empty();
        let doubt = last_ones || !self.doubted.is_empty() || self.is_questioned();
        self.has_control() && !self.control.asked && doubt
    }

    /// The control's request, when it is the one to be made now.
    pub(super) fn ask_control(&mut self) -> Option<Load> {
        if !self.wants_control() {
            return None;
        }
        let mut work = Work::new(self.control.id.clone()?, 0);
        work.control = true;
        self.control.asked = true;
        Some(self.alone(work))
    }

    /// At the list's end: whether something is held of which the control has to tell the cause.
    pub(super) fn asks_at_the_end(&mut self) -> bool {
        if self.stopping.is_some() || !self.has_control() {
            return false;
        }
        self.control.about_refusals = self.refused_so_far();
        self.is_questioned()
    }

    /// Takes in the control's answer: the state of the server and the credentials, and no item's fate.
    pub(super) async fn settle_control(&mut self, attempted: Attempted) -> Result<(), RunError> {
        let now = Now::read();
        self.control.asked = false;
        self.stats.bytes += attempted.answer.bytes;
        let item = attempted.load.tag();
        let signal = attempted.answer.signal;
        let was_down = self.pacer.in_outage();
        let finished = self.pacer.finish(attempted.permit, signal, item, now);
        let word = self.word(attempted.answer.verdict);
        self.answer_refusals(word, attempted.load.begun(), now)
            .await?;
        match signal {
            Signal::NotSent => {}
            // It is the items, then.
            Signal::Fine | Signal::Neutral if word != Word::Nothing => {
                for (work, trouble) in std::mem::take(&mut self.doubted) {
                    self.fail(work, trouble, 0, now).await?;
                }
                // An item that is known to be good: asked again when the server is well.
                if matches!(word, Word::Down(_)) && self.is_questioned() {
                    self.pacer.begin_outage(now);
                }
            }
            _ => {
                if word != Word::Nothing {
                    self.pacer.begin_outage(now);
                }
                for (mut work, _) in std::mem::take(&mut self.doubted) {
                    work.attempts = work.attempts.saturating_sub(1);
                    self.queue.push_at(now.instant, work);
                }
            }
        }
        match (was_down, self.pacer.in_outage()) {
            (false, true) => tracing::warn!(
                "the server can't be used: {}; one probe per back-off step until it can",
                self.judged.last_trouble
            ),
            (true, false) => tracing::warn!("the server answers again"),
            _ => {}
        }
        self.give_up_unless_used_up(finished, now);
        Ok(())
    }

    fn word(&mut self, verdict: Verdict) -> Word {
        let word = match verdict {
            Verdict::Record(_) | Verdict::Page(_) | Verdict::NotModified(_) => Word::Good,
            Verdict::Shares(shares) => match shares.into_iter().next() {
                Some(Share::Record(_)) => Word::Good,
                Some(Share::Absent(trouble) | Share::Failed(trouble)) => {
                    Word::Failed(Kind::of(&trouble))
                }
                // Asked for alone, its share can't be unclear.
                Some(Share::Unclear) | None => return Word::Nothing,
            },
            Verdict::Unauthorized(Some(token), trouble) => {
                if let Some(shared) = self.credentials.shared_token() {
                    shared.refuse(token.generation);
                }
                if !token.expired {
                    self.control.refusals.add(&token);
                }
                if !self.control.refusals.are_enough() {
                    return Word::Nothing;
                }
                Word::Refused(Kind::of(&trouble))
            }
            Verdict::Again(trouble) | Verdict::Untrusted(trouble) => {
                let kind = Kind::of(&trouble);
                self.judged.last_trouble = trouble.message;
                return Word::Down(kind);
            }
            Verdict::Failed(trouble) => Word::Failed(Kind::of(&trouble)),
            Verdict::Forbidden(trouble) | Verdict::Unauthorized(None, trouble) => {
                Word::Refused(Kind::of(&trouble))
            }
        };
        self.control.refusals.forget();
        // Not good any more: another one will be.
        if word != Word::Good {
            self.control.id = None;
        }
        word
    }

    /// Whose matter the refusals are that are held.
    async fn answer_refusals(&mut self, word: Word, begun: u64, now: Now) -> Result<(), RunError> {
        match word {
            Word::Good | Word::Failed(_) => {
                self.control.about_refusals = None;
                self.let_through(begun).await?;
            }
            Word::Refused(_) => {
                if let Some(why) = self.control.about_refusals.take() {
                    self.refused(why, now);
                }
            }
            Word::Down(_) | Word::Nothing => {}
        }
        Ok(())
    }
}
