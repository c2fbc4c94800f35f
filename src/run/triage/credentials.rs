//! What the triage does about refusals, and about the known good item's word.

use super::decision::{Decision, Round, StopReason};
use super::known_good::Word;
use super::refusals::Ruling;
use super::state::Triage;
use crate::fetch::{Refused, Trouble, Verdict};
use crate::pace::Signal;
use crate::run::item::{Item, Request};
use std::time::Duration;

impl Triage {
    /// The request with this number was answered as if the credentials were
    /// good: what was held before it was begun is the items' own.
    pub(super) fn let_through(&mut self, number: u64, round: &mut Round) {
        // A run that stops has judged.
        if round.facts.stopping {
            return;
        }
        for outcome in self.refusals.let_through(number) {
            self.write(outcome, round);
        }
    }

    /// 403, or 401; `by_key`: 401 to credentials that don't change.
    pub(super) fn refused(
        &mut self,
        items: Vec<Item>,
        trouble: &Trouble,
        by_key: bool,
        round: &mut Round,
    ) {
        for item in items {
            let (tag, said) = (item.tag(), &trouble.message);
            let ruling = match (item.fails_again(trouble.reason), by_key) {
                (true, _) => Ruling::Own,
                (false, true) => self.refusals.fixed_refused(tag, round.facts.begun, said),
                (false, false) => self.refusals.forbidden(said),
            };
            self.rule(ruling, vec![item], trouble, round);
        }
    }

    /// 401 to a token. A batch is one sign, whose first item stands for all.
    pub(super) fn token_refused(
        &mut self,
        items: Vec<Item>,
        token: Refused,
        trouble: Trouble,
        round: &mut Round,
    ) {
        round.decisions.push(Decision::DropToken(token.generation));
        if token.expired {
            return round.ask_again(items, Duration::ZERO);
        }
        for item in &items {
            self.memories.of(item).tokens.add(&token);
        }
        let Some(lead) = items.first() else { return };
        let own = &self.memories.of(lead).tokens;
        let ruling = if items.len() == 1 && lead.fails_again(trouble.reason) {
            match own.are_enough() {
                true => Ruling::Own,
                false => Ruling::AnotherToken(own.pause()),
            }
        } else {
            let (tag, begun) = (lead.tag(), round.facts.begun);
            self.refusals
                .token_refused(&token, own, tag, begun, &trouble.message)
        };
        self.rule(ruling, items, &trouble, round);
    }

    fn rule(&mut self, ruling: Ruling, items: Vec<Item>, trouble: &Trouble, round: &mut Round) {
        match ruling {
            Ruling::Own => {
                for item in items {
                    self.fail(item, trouble.clone(), 1, round);
                }
            }
            Ruling::AnotherToken(after) => round.ask_again(items, after),
            Ruling::Credentials(why) => self.stop_refused(why, round),
            // One of them may be at fault: in halves, that one comes to stand alone.
            Ruling::Hold(_) if items.len() > 1 => {
                for item in &items {
                    self.memories.of(item).tokens.forget();
                }
                self.halve(items, round);
            }
            Ruling::Hold(question) => {
                for item in items {
                    let attempts = self.memories.take(&item).attempts + 1;
                    let failed = self.failed(item, trouble.clone(), attempts, round.facts.at);
                    self.refusals.hold(failed, round.facts.begun);
                }
                // The known good item tells whose the refusals are; where there
                // is none, they are the credentials'.
                match question {
                    Some(why) if self.known_good.is_known() => {
                        self.known_good.ask_about_refusals(why);
                    }
                    Some(why) => self.stop_refused(why, round),
                    None => {}
                }
            }
        }
    }

    pub(super) fn stop_refused(&mut self, why: String, round: &mut Round) {
        // Whatever stops the run first is its reason.
        self.gave_up |= !round.facts.stopping;
        round.stop(StopReason::Refused(why, self.refusals.hint()));
    }

    /// Takes in the known good item's answer: it tells how the server and the
    /// credentials are, and is no item's fate.
    pub(super) fn probe_answered(
        &mut self,
        request: &Request,
        signal: Signal,
        verdict: &Verdict,
        round: &mut Round,
    ) {
        if let Verdict::Unauthorized(Some(token), _) = verdict {
            round.decisions.push(Decision::DropToken(token.generation));
        }
        let word = self.known_good.hear(verdict);
        match word {
            Word::Good | Word::Failed => {
                self.known_good.answered();
                self.let_through(request.number, round);
            }
            Word::Refused => {
                if let Some(why) = self.known_good.answered() {
                    self.stop_refused(why, round);
                }
            }
            Word::Down | Word::Nothing => {}
        }
        match signal {
            // The server is well, so the items are at fault.
            Signal::Fine | Signal::Neutral if word != Word::Nothing => {
                for (item, trouble) in self.doubted.take() {
                    self.fail(item, trouble, 0, round);
                }
                // An item that is known to be good: asked again when the server is well.
                if word == Word::Down && self.known_good.is_questioned() {
                    round.server_down();
                }
            }
            _ => {
                if word != Word::Nothing && signal != Signal::NotSent {
                    round.server_down();
                }
                for (item, _) in self.doubted.take() {
                    let memory = self.memories.of(&item);
                    memory.attempts = memory.attempts.saturating_sub(1);
                    round.ask_again(vec![item], Duration::ZERO);
                }
            }
        }
    }
}
