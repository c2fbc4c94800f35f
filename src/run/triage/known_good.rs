//! The known good item: one that was answered well before, and that is asked
//! for again when only failing items are left, or when all fail alike.
//!
//! Those items may be at fault, or the server, the credentials or the job may
//! be. If the known good item is answered well, the items are at fault; if not,
//! they wait the trouble out unharmed, or the run stops. Nothing else is begun
//! while a question about refusals is open. The answer is never recorded: the
//! item has its record.

use super::refusals::TokenRefusals;
use crate::fetch::{Share, Verdict};

/// What is known of it.
#[derive(Debug)]
pub(super) struct KnownGood {
    id: Option<String>,
    /// A second POST might do something a second time.
    may_ask: bool,
    /// It is asked for at present.
    asked: bool,
    /// The tokens that were refused for it.
    tokens: TokenRefusals,
    /// Refusals that may be the credentials'; what to say if they are.
    question: Option<String>,
}

/// What its answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It got its record.
    Good,
    /// The credentials are good, and the item is not any more.
    Failed,
    /// It is refused, too.
    Refused,
    /// It failed in a way that is tried again.
    Down,
    /// Nothing: its token was refused, and the next one may not be.
    Nothing,
}

impl KnownGood {
    pub(super) fn new(may_ask: bool) -> KnownGood {
        KnownGood {
            id: None,
            may_ask,
            asked: false,
            tokens: TokenRefusals::default(),
            question: None,
        }
    }

    /// Remembers an item that has its record, unless there is one already.
    pub(super) fn remember(&mut self, id: &str) {
        if self.id.is_none() && self.may_ask {
            self.id = Some(id.to_owned());
        }
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn is_known(&self) -> bool {
        self.id.is_some()
    }

    /// Opens the question whose the refusals are.
    pub(super) fn ask_about_refusals(&mut self, why: String) {
        self.question.get_or_insert(why);
    }

    /// Whether that question is open.
    pub(super) fn is_questioned(&self) -> bool {
        self.question.is_some()
    }

    /// The question is answered: what to say if the credentials are at fault.
    pub(super) fn answered(&mut self) -> Option<String> {
        self.question.take()
    }

    /// Whether its answer must come before anything else is begun.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_questioned() && self.asked
    }

    /// Whether it may be asked for now.
    pub(super) fn is_ready(&self) -> bool {
        self.is_known() && !self.asked
    }

    /// It is asked for from here on.
    pub(super) fn ask(&mut self) -> Option<String> {
        let id = self.id.clone()?;
        self.asked = true;
        Some(id)
    }

    /// Takes in its answer.
    pub(super) fn hear(&mut self, verdict: &Verdict) -> Word {
        self.asked = false;
        let word = match verdict {
            Verdict::Record(_) | Verdict::Page(_) | Verdict::NotModified(_) => Word::Good,
            Verdict::Shares(shares) => match shares.first() {
                Some(Share::Record(_)) => Word::Good,
                Some(Share::Absent(_) | Share::Failed(_)) => Word::Failed,
                // Asked for alone, its share can't be unclear.
                Some(Share::Unclear) | None => return Word::Nothing,
            },
            Verdict::Unauthorized(Some(token), _) => {
                if !token.expired {
                    self.tokens.add(token);
                }
                if !self.tokens.are_enough() {
                    return Word::Nothing;
                }
                Word::Refused
            }
            Verdict::Again(_) | Verdict::Untrusted(_) => return Word::Down,
            Verdict::Failed(_) => Word::Failed,
            Verdict::Forbidden(_) | Verdict::Unauthorized(None, _) => Word::Refused,
        };
        self.tokens.forget();
        // Not good any more: another one will be.
        if word != Word::Good {
            self.id = None;
        }
        word
    }
}
