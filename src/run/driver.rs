//! The one task that owns a run's state: takes items, gets permits, keeps the
//! attempts in flight, hands outcomes on. Its parts: [`super::intake`] takes
//! items in, [`super::verdicts`] judges what an attempt means for the run,
//! [`super::commits`] asks for checkpoints.

use super::error::RunError;
use super::state::{Cause, Driver};
use super::stats::Counted;
use super::work::{Attempted, Load};
use super::writer_stage::Reply;
use super::{Ended, Stop};
use crate::auth::{Presented, SharedToken};
use crate::fetch::Ask;
use crate::outcome::Outcome;
use crate::pace::{GiveUp, Now, Permit, Turn, Why};
use crate::report::{Event, Reporter, Snapshot};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Progress events a second: 5.
const TICK: Duration = Duration::from_millis(200);
/// After a signal, so long for what is in flight.
const GRACE: Duration = Duration::from_secs(4);
/// At the end, so long for a new refresh token that is on its way: lost, a person would have to get another.
const TOKEN_GRACE: Duration = Duration::from_secs(10);
/// Redirects and tokens that wait for a permit at most: more than can be in flight.
const MOST_SIDE: usize = 16_384;

impl Driver<'_> {
    /// Runs to the end of the list, or to whatever comes before it.
    pub(super) async fn drive(
        mut self,
        reporter: &mut Reporter,
        stops: &mut mpsc::Receiver<Stop>,
    ) -> Result<Ended, RunError> {
        let cycled = self.cycle(reporter, stops).await;
        if let Some(mut keeping) = self.keeping.take() {
            if let Some(shared) = self.credentials.shared_token() {
                shared.end();
            }
            // It ends at once, unless a new refresh token is on its way: nobody
            // gives it permits any more.
            self.side_requests.close();
            while self.side_requests.try_recv().is_ok() {}
            self.side_waiting.clear();
            if tokio::time::timeout(TOKEN_GRACE, &mut keeping)
                .await
                .is_err()
            {
                tracing::error!(
                    "a renewal of the token did not end in time: a new refresh token that it may have brought is lost"
                );
                keeping.abort();
            }
        }
        self.close(cycled, reporter).await
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
            let mut wake = next_tick;
            // What is under way goes on before something new is begun.
            wake = wake.min(self.serve_side(now));
            if self.stopping.is_none() {
                wake = wake.min(self.begin_due(now));
            }
            if let Some(due) = self.commit_if_due(now) {
                wake = wake.min(due);
            }
            self.writer.flush().await?;
            if self.is_over(now) {
                if self.asks_at_the_end() {
                    continue;
                }
                return Ok(());
            }
            if now.instant >= next_tick {
                next_tick = now.instant + TICK;
                reporter.on(&Event::Progress(Box::new(self.snapshot(now))));
                wake = wake.min(next_tick);
            }
            sleep.as_mut().reset(wake);
            tokio::select! {
                biased;
                Some(stop) = stops.recv() => self.stop(Cause::Signal(stop), now),
                reply = self.writer.replies.recv() => match reply {
                    Some(Reply::Committed) => self.committed(),
                    Some(Reply::Unwritten(unwritten)) => self.unwritten(unwritten),
                    Some(Reply::Failed(error)) => return Err(error.into()),
                    None => return Err(RunError::StageGone("write")),
                },
                Some(attempted) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    self.settle(attempted);
                }
                Some(request) = self.side_requests.recv(), if self.side_waiting.len() < MOST_SIDE => {
                    self.side_waiting.push_back(request);
                }
                batch = self.ids.batches.recv(), if self.wants_ids() => self.take(batch)?,
                total = self.ids.total.known(), if self.listed.is_none() => {
                    self.listed = Some(total.unwrap_or(u64::MAX));
                }
                () = changed(&mut self.token_watch), if self.waiting_for_token => {}
                () = &mut sleep => {}
            }
        }
    }

    /// Begins what may begin now; returns when to look again.
    fn begin_due(&mut self, now: Now) -> Instant {
        let far = now.instant + Duration::from_secs(3600);
        self.waiting_for_token = false;
        loop {
            if self.awaits_control() {
                return far;
            }
            if !self.queue.has_due(now.instant) && !self.wants_control() {
                return self.queue.next_due().unwrap_or(far);
            }
            if let Some(until) = self.batch_fills(now.instant) {
                return until;
            }
            // Asked only now: a finished job that is run again sends nothing, whatever holds.
            if let Err(give_up) = self.pacer.check_inherited_pause(now) {
                self.give_up(give_up, now);
                return far;
            }
            self.keep_token();
            let Some(presented) = self.credentials.present(now.instant) else {
                self.waiting_for_token = true;
                self.check_token(now);
                return far;
            };
            match self.pacer.turn(now) {
                Turn::Go(permit) => {
                    let control = self.ask_control();
                    let Some(load) = control.or_else(|| self.next_load(now.instant)) else {
                        return far;
                    };
                    self.ids.total.count();
                    self.begin(load, presented, permit);
                }
                Turn::Wait(at, why) => {
                    if why == Why::Quota {
                        self.credentials.wanted();
                    }
                    return at;
                }
                Turn::Full => return far,
                Turn::NeedsLease => {
                    self.commits.wanted = true;
                    return far;
                }
            }
        }
    }

    fn begin(&mut self, mut load: Load, presented: Presented, permit: Permit) {
        self.stats.starts += 1;
        self.credentials.sent(&presented);
        for work in load.works_mut() {
            work.begun = self.stats.starts;
        }
        let fetcher = Arc::clone(&self.fetcher);
        self.in_flight.push(Box::pin(async move {
            let ids: Vec<&str>;
            let (ask, known) = match &load {
                Load::One(work) => match work.place() {
                    Some(place) => (Ask::Page(&work.id, place), None),
                    None => (Ask::One(&work.id), work.known.as_deref()),
                },
                Load::Several(works) => {
                    ids = works.iter().map(|work| work.id.as_str()).collect();
                    (Ask::Several(&ids), None)
                }
            };
            let answer = fetcher.attempt(ask, presented, known, &permit).await;
            Attempted {
                load,
                permit,
                answer,
            }
        }));
    }

    fn keep_token(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            self.keeping = Some(tokio::spawn(keeper.keep()));
        }
    }

    /// Gives the waiting redirects and tokens their permits.
    fn serve_side(&mut self, now: Now) -> Instant {
        let far = now.instant + Duration::from_secs(3600);
        while let Some(waiting) = self.side_waiting.front() {
            if waiting.is_closed() {
                self.side_waiting.pop_front();
                continue;
            }
            if self.stopping.is_none()
                && let Err(give_up) = self.pacer.check_inherited_pause(now)
            {
                self.give_up(give_up, now);
                return far;
            }
            match self.pacer.side_turn(now) {
                Turn::Go(permit) => {
                    if let Some(waiting) = self.side_waiting.pop_front() {
                        self.stats.starts += 1;
                        // Whoever asked has given up meanwhile: the permit is lost, not reused.
                        let _ = waiting.send(permit);
                    }
                }
                Turn::Wait(at, _) => return at,
                Turn::Full => return far,
                Turn::NeedsLease => {
                    self.commits.wanted = true;
                    return far;
                }
            }
        }
        far
    }

    /// Puts an outcome into the writer's outbox.
    pub(super) fn hand_on(&mut self, mut outcome: Outcome) {
        if let Err(failure) = &mut outcome.fate {
            failure.is_there |= self.is_listing();
        }
        match &outcome.fate {
            Ok(record) if record.is_unchanged() => self.stats.unchanged += 1,
            Ok(_) => {
                if let Counted::Records(records, items) = Counted::of(&outcome) {
                    self.stats.record(records, items);
                }
            }
            Err(failure) => {
                self.stats.failure(failure.reason, &failure.message);
                tracing::info!(id = outcome.id, reason = %failure.reason, "failed: {}", failure.message);
            }
        }
        self.commits.dirty = true;
        self.writer.push(outcome);
    }

    /// Begins nothing new from here on.
    pub(super) fn stop(&mut self, cause: Cause, now: Now) {
        if self.stopping.is_none() {
            self.waiting_for_token = false;
            self.stopping = Some((cause, now.instant + GRACE));
        }
    }

    /// A quota that is used up stops nobody who has got what was asked for:
    /// whoever wants to send more looks at the pause first.
    pub(super) fn give_up_unless_used_up(&mut self, finished: Result<(), GiveUp>, now: Now) {
        match finished {
            Ok(()) | Err(GiveUp::UsedUp(_)) => {}
            Err(give_up) => self.give_up(give_up, now),
        }
    }

    pub(super) fn give_up(&mut self, give_up: GiveUp, now: Now) {
        let why = match give_up {
            GiveUp::RetryAfter(until) => format!(
                "the server asked to be left alone until {}, longer than max_wait ({}); run the same command again after that",
                humantime::format_rfc3339_seconds(until),
                humantime::format_duration(self.job.limits.max_wait)
            ),
            GiveUp::UsedUp(until) => format!(
                "the quota that the server announces is used up until {}, longer than max_wait ({}); run the same command again after that",
                humantime::format_rfc3339_seconds(until),
                humantime::format_duration(self.job.limits.max_wait)
            ),
            GiveUp::Outage(down) => format!(
                "the server could not be used for {} ({}), and max_wait is {}; run the same command again later",
                crate::report::span(down),
                self.judged.last_trouble,
                humantime::format_duration(self.job.limits.max_wait)
            ),
        };
        self.stop(Cause::Broken(RunError::Paused(why)), now);
    }

    fn is_over(&self, now: Now) -> bool {
        match &self.stopping {
            Some((_, deadline)) => self.in_flight.is_empty() || now.instant >= *deadline,
            None => {
                let nothing_left = self.queue.is_empty() && self.doubted.is_empty();
                self.ids_ended && nothing_left && !self.is_questioned() && self.in_flight.is_empty()
            }
        }
    }

    fn snapshot(&mut self, now: Now) -> Snapshot {
        let token = self.token_watch.as_ref().map(SharedToken::state);
        let total = self
            .listed
            .filter(|&n| n != u64::MAX)
            .map(|n| n - self.stats.repeats.min(n));
        Snapshot {
            total,
            done_before: self.stats.done_before,
            records: self.stats.records + self.stats.unchanged,
            items: self.stats.items + self.stats.unchanged,
            pages: self.stats.pages,
            failed: self.stats.failed_count,
            retries: self.stats.retries,
            in_flight: self.pacer.in_flight(),
            rate: self.stats.rate(now.instant),
            allowed: self.pacer.allowed_per_second(),
            throttled_to: self.pacer.throttled_to(now),
            auto: self.pacer.auto_speed(now),
            token_life: token.as_ref().and_then(|t| {
                let expires = t.token.as_ref()?.expires?;
                Some(expires.saturating_duration_since(now.instant))
            }),
            pause: self.pacer.pause_view(now),
            token_trouble: token
                .filter(|t| t.token.is_none())
                .and_then(|t| t.trouble)
                .map(|t| t.message),
            stopping: self.stopping.is_some(),
            elapsed: now.instant - self.stats.began,
        }
    }

    pub(super) fn token_requests(&self) -> u64 {
        self.token_watch.as_ref().map_or(0, |t| t.state().requests)
    }
}

async fn changed(token: &mut Option<SharedToken>) {
    match token {
        Some(token) => token.changed().await,
        None => std::future::pending().await,
    }
}
