//! Whether a refusal (401, 403) is the item's own, or the credentials'.
//!
//! A refusal is no failure before it is known whose it is: until then its
//! outcome is held here. A request that was begun after it and is answered
//! shows that the credentials are good, and the item fails; refusals without
//! such an answer stop the run before more is asked in vain.

use crate::fetch::Refused;
use crate::outcome::{Outcome, Reason};
use std::time::Duration;

/// So many requests, all refused with 403 and nothing else, are the credentials' fault.
const ALL_FORBIDDEN: usize = 20;
/// So many fresh tokens in a row, all refused and nothing let through between, are no accident.
const FRESH_REFUSED: u32 = 3;
/// So many of any age.
const TOKENS_REFUSED: u32 = 10;
/// A token that is refused later after it was asked for may have lived less
/// long than the server said.
const FRESH: Duration = Duration::from_millis(300);
/// Refusals of so many different items are no single item's.
const ITEMS_REFUSED: usize = 3;

/// Different tokens that were refused, one after another.
#[derive(Debug, Default)]
pub(super) struct TokenRefusals {
    newest: u64,
    fresh: u32,
    in_all: u32,
}

impl TokenRefusals {
    pub(super) fn add(&mut self, refused: &Refused) {
        if refused.generation > self.newest {
            self.newest = refused.generation;
            self.in_all += 1;
            self.fresh += u32::from(refused.age < FRESH);
        }
    }

    /// Whether the tokens' age can't be the reason.
    pub(super) fn are_enough(&self) -> bool {
        self.fresh >= FRESH_REFUSED || self.in_all >= TOKENS_REFUSED
    }

    /// How long to wait before another token is shown: a request whose every
    /// token is refused must not spin.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(u64::from(self.in_all.saturating_sub(1)) * 500)
    }

    /// A token was taken: only what follows counts.
    pub(super) fn forget(&mut self) {
        (self.fresh, self.in_all) = (0, 0);
    }

    fn in_words(&self) -> String {
        if self.fresh >= FRESH_REFUSED {
            format!("{} fresh access tokens in a row were refused", self.fresh)
        } else {
            format!("{} access tokens in a row were refused", self.in_all)
        }
    }
}

/// What a refusal means.
#[derive(Debug)]
pub(super) enum Ruling {
    /// The item is refused, whoever asks: it fails.
    Own,
    /// Nobody knows yet: hold it, and ask the known good item where there is a
    /// question for it.
    Hold(Option<String>),
    /// Ask again with another token, after so long.
    AnotherToken(Duration),
    /// The credentials are refused: stop.
    Credentials(String),
}

/// A refusal that is held.
#[derive(Debug)]
struct Held {
    outcome: Outcome,
    /// The requests that had been begun by then. Only one that was begun later
    /// can show that the credentials are still good: what was on its way may
    /// have been let through before they were revoked.
    begun: u64,
}

/// What was seen of refusals, across all items.
#[derive(Debug)]
pub(super) struct Refusals {
    /// Some request was not refused.
    let_through: bool,
    /// Tokens refused since a request was let through.
    tokens: TokenRefusals,
    /// Different items that were refused, and when (as [`Held::begun`]); more
    /// than [`ITEMS_REFUSED`] say nothing new.
    items: Vec<(u64, u64)>,
    held: Vec<Held>,
    /// Without a quarantine, records show once and for all that a 403 is the item's own.
    records_are_proof: bool,
    /// An earlier run has left records.
    records_before: bool,
    /// What is asked for alone, in words.
    alone: &'static str,
}

impl Refusals {
    pub(super) fn new(quarantine: bool, records_before: bool, batches: bool) -> Refusals {
        Refusals {
            let_through: false,
            tokens: TokenRefusals::default(),
            items: Vec::new(),
            held: Vec::new(),
            records_are_proof: !quarantine,
            records_before,
            alone: match batches {
                true => "items that were asked for alone",
                false => "requests",
            },
        }
    }

    /// Whether some request was not refused.
    pub(super) fn has_let_through(&self) -> bool {
        self.let_through
    }

    /// The request with this number was answered as if the credentials were
    /// good. Returns what was held before it was begun: those items fail.
    pub(super) fn let_through(&mut self, number: u64) -> Vec<Outcome> {
        self.tokens.forget();
        self.items.retain(|&(_, begun)| begun >= number);
        self.let_through = true;
        let released = self.held.extract_if(.., |held| held.begun < number);
        released.map(|held| held.outcome).collect()
    }

    /// 403, or 401 to a job without credentials; `held`: refusals, this one included.
    pub(super) fn forbidden(&self, said: &str) -> Ruling {
        if self.let_through || (self.records_are_proof && self.records_before) {
            return Ruling::Own;
        }
        let count = self.held.len() + 1;
        let question = (count >= ALL_FORBIDDEN)
            .then(|| format!("the first {count} {} were all answered {said}", self.alone));
        Ruling::Hold(question)
    }

    /// 401 to credentials that don't change. When others got through with them
    /// it may be the item's; when several items in a row are refused it is the
    /// credentials', unless the known good item gets through.
    pub(super) fn fixed_refused(&mut self, item: u64, begun: u64, said: &str) -> Ruling {
        self.remember(item, begun);
        let several = self.items.len() >= ITEMS_REFUSED;
        Ruling::Hold((several || !self.let_through).then(|| said.to_owned()))
    }

    /// 401 to a token. `own`: the tokens that were refused for this request,
    /// this one included.
    pub(super) fn token_refused(
        &mut self,
        refused: &Refused,
        own: &TokenRefusals,
        item: u64,
        begun: u64,
        said: &str,
    ) -> Ruling {
        self.tokens.add(refused);
        self.remember(item, begun);
        // When others got through, one item that takes no token is at fault itself.
        let for_all = !self.let_through || self.items.len() >= ITEMS_REFUSED;
        if self.tokens.are_enough() && for_all {
            return Ruling::Credentials(format!("{} ({said})", self.tokens.in_words()));
        }
        match own.are_enough() {
            true => Ruling::Hold(None),
            false => Ruling::AnotherToken(own.pause()),
        }
    }

    /// Holds a refused item's failure until a request that is begun from now on is answered.
    pub(super) fn hold(&mut self, outcome: Outcome, begun: u64) {
        let own = self.records_are_proof && is_forbidden(&outcome);
        self.held.push(Held {
            outcome,
            begun: if own { 0 } else { begun },
        });
    }

    /// What is held, in words; `None` when that is nothing.
    pub(super) fn held_in_words(&self) -> Option<String> {
        let first = self.held.first()?.outcome.fate.as_ref().err()?;
        let count = self.held.len();
        Some(format!(
            "every request ({count}) was answered {}",
            first.message
        ))
    }

    /// What may lift the judgement, where something shows that it may be wrong.
    pub(super) fn hint(&self) -> &'static str {
        if self.records_before && self.held.iter().all(|held| is_forbidden(&held.outcome)) {
            "\n  (if these items are forbidden whoever asks: quarantine = \"off\" in [limits] records them as failed)"
        } else {
            ""
        }
    }

    fn remember(&mut self, item: u64, now: u64) {
        if let Some((_, begun)) = self.items.iter_mut().find(|(tag, _)| *tag == item) {
            *begun = now;
        } else if self.items.len() < ITEMS_REFUSED {
            self.items.push((item, now));
        }
    }
}

fn is_forbidden(outcome: &Outcome) -> bool {
    let fate = outcome.fate.as_ref();
    fate.is_err_and(|failure| failure.reason == Reason::Forbidden)
}
