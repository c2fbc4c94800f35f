//! The loop of a run. It waits for one event at a time, a plain function takes
//! the event in, and the loop hands over what that decided to write.
//!
//! Owns what is to be asked for and what is in flight, and asks the pacer before
//! every request. What an answer means, [`super::triage`] says: the engine knows
//! no status codes. Keeps the promise "Never over the quota": a request is sent
//! with a permit of the pacer's and not otherwise.

mod begin;

use super::commits::Commits;
use super::error::{Cause, RunError};
use super::in_flight::InFlight;
use super::intake::{Arrival, Intake};
use super::item::Attempt;
use super::options::{Ended, RunOptions, Stop};
use super::queue::Queue;
use super::side_permits::SidePermitQueue;
use super::stages::tokens::TokenStage;
use super::stages::writer::{Commit, News, WriterStage};
use super::tally::Tally;
use super::triage::{Decision, Facts, Triage};
use super::uptime;
use crate::fetch::Verdict;
use crate::job::Job;
use crate::pace::{GiveUp, Now, Pacer, Permit};
use crate::report::{Event, Reporter, Snapshot};
use crate::write::{Closing, Update};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Progress events a second: 5.
const TICK: Duration = Duration::from_millis(200);
/// After a signal, so long for what is in flight.
const GRACE: Duration = Duration::from_secs(4);
/// Items that wait for another try at most; beyond that no new ones are begun.
const MOST_WAITING: usize = 2_000;

/// What a run is about.
pub(super) struct RunPlan<'j> {
    pub(super) job: &'j Job,
    pub(super) options: RunOptions,
    /// An earlier run had reached the list's end.
    pub(super) finished_before: bool,
    /// This run is an update: what it goes to until it has its end.
    pub(super) update: Option<Update>,
}

/// A run under way.
pub(super) struct Engine<'j> {
    /// What the run is about.
    pub(super) plan: RunPlan<'j>,
    /// When the next request may go.
    pub(super) pacer: Pacer,
    /// What an answer means.
    pub(super) triage: Triage,
    /// What is to be asked for.
    pub(super) queue: Queue,
    /// Where items come from.
    pub(super) intake: Intake,
    /// What is asked for at present.
    pub(super) in_flight: InFlight,
    /// Whose credentials go along.
    pub(super) tokens: TokenStage,
    /// Redirects and tokens that wait for a permit.
    pub(super) side_permits: SidePermitQueue,
    /// Where outcomes go.
    pub(super) writer: WriterStage,
    /// When they become durable.
    pub(super) commits: Commits,
    /// What has been done so far.
    pub(super) tally: Tally,
    /// Why nothing new is begun, and until when what is in flight is waited for.
    pub(super) stopping: Option<(Cause, Instant)>,
}

/// What the loop waits for.
enum Input {
    Signal(Stop),
    /// From the writer: what was written, or `None` when a commit is durable.
    Writer(Result<Option<News>, RunError>),
    Answer(Box<Attempt>),
    SidePermit(oneshot::Sender<Permit>),
    Arrival(Arrival),
    /// There may be something to do.
    Time,
}

impl Engine<'_> {
    /// Runs to the end of the list, or to whatever comes before it.
    pub(super) async fn drive(
        mut self,
        reporter: &mut Reporter,
        stops: &mut mpsc::Receiver<Stop>,
    ) -> Result<Ended, RunError> {
        let broken = self.cycle(reporter, stops).await.err();
        self.side_permits.close();
        self.tokens.end().await;
        self.finish(broken, reporter).await
    }

    async fn cycle(
        &mut self,
        reporter: &mut Reporter,
        stops: &mut mpsc::Receiver<Stop>,
    ) -> Result<(), RunError> {
        let mut next_tick = Instant::now() + TICK;
        let sleep = tokio::time::sleep_until(next_tick);
        tokio::pin!(sleep);
        loop {
            let now = Now::read();
            // What is under way goes on before something new is begun.
            let mut wake = self.serve_side_permits(now);
            if self.stopping.is_none() {
                wake = wake.min(self.begin_due(now));
            }
            if let Some(due) = self.commit_if_due(now) {
                wake = wake.min(due);
            }
            let tick = now.instant >= next_tick;
            self.writer.flush(tick).await?;
            if self.is_over(now) {
                if self.stopping.is_none() && self.triage.asks_at_the_end() {
                    continue;
                }
                return Ok(());
            }
            if tick {
                next_tick = now.instant + TICK;
                reporter.on(&Event::Progress(Box::new(self.snapshot(now))));
            }
            sleep.as_mut().reset(wake.min(next_tick));
            let wants_items = self.wants_items();
            let input = tokio::select! {
                biased;
                Some(stop) = stops.recv() => Input::Signal(stop),
                reply = self.writer.reply() => Input::Writer(reply),
                attempt = self.in_flight.next() => Input::Answer(Box::new(attempt)),
                request = self.side_permits.next() => Input::SidePermit(request),
                arrival = self.intake.next(wants_items) => Input::Arrival(arrival),
                () = self.tokens.changed() => Input::Time,
                () = &mut sleep => Input::Time,
            };
            self.take_in(input)?;
        }
    }

    /// Takes an event in.
    fn take_in(&mut self, input: Input) -> Result<(), RunError> {
        let now = Now::read();
        match input {
            Input::Time => {}
            Input::Signal(stop) => self.stop(Cause::Signal(stop), now),
            Input::Writer(reply) => match reply? {
                Some(news) => self.written(news),
                None => {
                    self.commits.under_way = false;
                    self.pacer.committed(now);
                }
            },
            Input::Answer(attempt) => self.answered(*attempt, now),
            Input::SidePermit(request) => self.side_permits.push(request),
            Input::Arrival(arrival) => match self.intake.take(arrival) {
                Ok(items) => {
                    for item in items {
                        // It has a record, which an update asks for again.
                        if item.known.is_some() {
                            self.triage.remember_good(&item.id);
                        }
                        self.queue.push(item);
                    }
                }
                Err(error) => self.stop(Cause::Broken(error), now),
            },
        }
        Ok(())
    }

    fn answered(&mut self, attempt: Attempt, now: Now) {
        let Attempt {
            request,
            permit,
            answer,
        } = attempt;
        self.tally.bytes += answer.bytes;
        let is_page = matches!(answer.verdict, Verdict::Page(_));
        self.tally.pages += u64::from(is_page && !request.probe);
        let was_down = self.pacer.in_outage();
        let finished = self.pacer.finish(permit, answer.signal, request.tag(), now);
        let facts = self.facts(now);
        for decision in self.triage.settle(request, answer, facts) {
            self.act(decision, now);
        }
        match (was_down, self.pacer.in_outage()) {
            (false, true) => tracing::warn!(
                "the server can't be used: {}; one probe per back-off step until it can",
                self.triage.last_trouble()
            ),
            (true, false) => tracing::warn!("the server answers again"),
            _ => {}
        }
        match finished {
            // A quota that is used up stops nobody who has got what was asked
            // for: whoever wants to send more looks at the pause first.
            Ok(()) | Err(GiveUp::UsedUp(_)) => {}
            Err(give_up) => self.give_up(give_up, now),
        }
    }

    /// What the triage is told beside an answer.
    pub(super) fn facts(&self, now: Now) -> Facts {
        Facts {
            at: now.wall,
            outage: self.pacer.in_outage(),
            nothing_fresh: self.nothing_fresh(),
            begun: self.tally.starts,
            stopping: self.stopping.is_some(),
        }
    }

    /// Does what the triage has decided.
    fn act(&mut self, decision: Decision, now: Now) {
        match decision {
            Decision::Write(outcome) => {
                self.intake.note_part(&outcome);
                self.commits.dirty = true;
                self.writer.push(outcome);
            }
            Decision::AskAgain(items, after) => {
                self.tally.retries += 1;
                for item in items {
                    self.queue.push_at(now.instant + after, item);
                }
            }
            Decision::NextPage(item) => self.queue.push_at(now.instant, item),
            Decision::StartOver(item) => {
                let item = self.intake.resumed(item);
                self.queue.push_at(now.instant, item);
            }
            Decision::DropToken(generation) => self.tokens.refuse(generation),
            Decision::ServerDown => self.pacer.begin_outage(now),
            Decision::Stop(reason) => self.stop(Cause::Broken(reason.into()), now),
        }
    }

    /// The writer has written outcomes.
    fn written(&mut self, news: News) {
        self.tally.written.add(news.written);
        for item in news.failed_in_part {
            if self.queue.forget(item) {
                self.triage.forget(item);
            } else {
                self.triage.failed_in_writer(item);
            }
        }
        for item in news.over {
            self.triage.forget(item);
        }
    }

    /// Asks for a commit when it is time; returns when it will be.
    fn commit_if_due(&mut self, now: Now) -> Option<Instant> {
        let sends = !self.queue.is_empty() && self.stopping.is_none();
        if let Err(due) = self.commits.begin_if_due(now, &self.pacer, sends) {
            return due;
        }
        self.writer.push_commit(Commit {
            note: self.pacer.note(now, uptime::read(), false),
            known_good: self.triage.known_good().map(str::to_owned),
            closing: Closing::No,
        });
        None
    }

    /// Whether only items are left that were asked for before.
    fn nothing_fresh(&self) -> bool {
        self.intake.ended && self.queue.fresh() == 0
    }

    fn wants_items(&self) -> bool {
        self.stopping.is_none()
            && !self.intake.ended
            && self.queue.fresh() < self.triage.batches().size().unwrap_or(1)
            && self.queue.waiting() < MOST_WAITING
    }

    /// Begins nothing new from here on.
    fn stop(&mut self, cause: Cause, now: Now) {
        if self.stopping.is_none() {
            self.stopping = Some((cause, now.instant + GRACE));
        }
    }

    fn give_up(&mut self, give_up: GiveUp, now: Now) {
        let max_wait = self.plan.job.limits.max_wait;
        let error = RunError::gave_up(give_up, max_wait, self.triage.last_trouble());
        self.stop(Cause::Broken(error), now);
    }

    fn is_over(&self, now: Now) -> bool {
        match &self.stopping {
            Some((_, deadline)) => self.in_flight.is_empty() || now.instant >= *deadline,
            None => {
                let nothing_left = self.queue.is_empty() && !self.triage.holds_items();
                self.intake.ended && nothing_left && self.in_flight.is_empty()
            }
        }
    }

    fn snapshot(&mut self, now: Now) -> Snapshot {
        let written = &self.tally.written;
        let (token_life, token_trouble) = self.tokens.view(now.instant);
        Snapshot {
            total: self.intake.total(),
            done_before: self.intake.done_before,
            records: written.records + written.unchanged,
            items: written.items + written.unchanged,
            pages: self.tally.pages,
            failed: written.failures(),
            retries: self.tally.retries,
            in_flight: self.pacer.in_flight(),
            allowed: self.pacer.allowed_per_second(),
            throttled_to: self.pacer.throttled_to(now),
            auto: self.pacer.auto_speed(now),
            token_life,
            pause: self.pacer.pause_view(now),
            token_trouble,
            stopping: self.stopping.is_some(),
            elapsed: now.instant - self.tally.began,
            rate: self.tally.rate(now.instant),
        }
    }
}
