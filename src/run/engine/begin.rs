//! What the engine begins: requests for items, and permits for requests that
//! belong to another one.

use super::Engine;
use crate::auth::Presented;
use crate::pace::{Now, Permit, Turn, Why};
use crate::run::error::Cause;
use crate::run::item::Request;
use crate::run::queue::alone;
use std::time::Duration;
use tokio::time::Instant;

/// When nothing is due, the loop looks again after so long.
const IDLE: Duration = Duration::from_secs(3600);

impl Engine<'_> {
    /// Begins what may begin now; returns when to look again.
    pub(super) fn begin_due(&mut self, now: Now) -> Instant {
        let idle = now.instant + IDLE;
        loop {
            if self.triage.awaits_probe() {
                return idle;
            }
            let last_ones =
                self.pacer.in_outage() && self.nothing_fresh() && !self.queue.is_empty();
            let probe = self.triage.wants_probe(last_ones);
            if !probe && !self.queue.has_due(now.instant) {
                return self.queue.next_due().unwrap_or(idle);
            }
            let (size, more) = (self.triage.batches().size(), self.wants_items());
            if let Some(until) = self.queue.fills_until(now.instant, size, more) {
                return until;
            }
            // Asked only now: a finished job that is run again sends nothing, whatever holds.
            if let Err(give_up) = self.pacer.check_inherited_pause(now) {
                self.give_up(give_up, now);
                return idle;
            }
            let Some(presented) = self.tokens.present(now.instant) else {
                if let Some(error) = self.tokens.failure(self.plan.job.limits.max_wait) {
                    self.stop(Cause::Broken(error), now);
                }
                return idle;
            };
            let turn = self.pacer.turn(now);
            if let Turn::Wait(_, Why::Quota) = turn {
                self.tokens.wanted();
            }
            let permit = match self.permit(turn, idle) {
                Ok(permit) => permit,
                Err(later) => return later,
            };
            match self.next_request(now, probe) {
                Some(request) => self.begin(request, presented, permit),
                None => return idle,
            }
        }
    }

    /// The permit, or when to ask again.
    fn permit(&mut self, turn: Turn, idle: Instant) -> Result<Permit, Instant> {
        match turn {
            Turn::Go(permit) => Ok(permit),
            Turn::Wait(at, _) => Err(at),
            Turn::Full => Err(idle),
            Turn::NeedsLease => {
                self.commits.wanted = true;
                Err(idle)
            }
        }
    }

    fn next_request(&mut self, now: Now, probe: bool) -> Option<Request> {
        let takes = |id: &str| self.in_flight.takes(id);
        if probe && let Some(item) = self.triage.probe() {
            return Some(Request {
                probe: true,
                ..alone(item, self.triage.batches(), takes)
            });
        }
        let fresh_first = self.pacer.in_doubt();
        let batches = self.triage.batches();
        self.queue.next(now.instant, fresh_first, batches, takes)
    }

    fn begin(&mut self, mut request: Request, presented: Presented, permit: Permit) {
        self.intake.count();
        self.tally.starts += 1;
        request.number = self.tally.starts;
        self.tokens.sent(&presented);
        self.in_flight.send(request, presented, permit);
    }

    /// Gives the waiting redirects and tokens their permits; returns when to look again.
    pub(super) fn serve_side_permits(&mut self, now: Now) -> Instant {
        let idle = now.instant + IDLE;
        while self.side_permits.is_wanted() {
            if self.stopping.is_none()
                && let Err(give_up) = self.pacer.check_inherited_pause(now)
            {
                self.give_up(give_up, now);
                return idle;
            }
            let turn = self.pacer.side_turn(now);
            match self.permit(turn, idle) {
                Ok(permit) => {
                    self.tally.starts += 1;
                    self.side_permits.serve(permit);
                }
                Err(later) => return later,
            }
        }
        idle
    }
}
