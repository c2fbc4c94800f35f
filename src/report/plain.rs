//! Progress where nobody watches a terminal (cron, systemd): a line every 30 s.

use super::bar::message;
use super::event::Event;
use super::screen::Screen;
use crate::pace::PauseReason;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Plain {
    last: Duration,
    paused: Option<PauseReason>,
}

impl Plain {
    pub(super) fn on(&mut self, event: &Event, screen: &Screen) {
        let Event::Progress(now) = event else { return };
        let paused = now.pause.map(|p| p.reason);
        // A pause is told when it begins, not half a minute later.
        let news = paused.is_some() && paused != self.paused;
        self.paused = paused;
        if news || now.elapsed >= self.last + EVERY {
            self.last = now.elapsed;
            screen.line(&format!("harvest: {}", message(now)));
        }
    }
}
