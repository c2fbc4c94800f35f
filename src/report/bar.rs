//! The progress bar.

use super::event::{Event, Snapshot};
use super::screen::Screen;
use super::terminal::Terminal;
use super::words::{count, moment, rate, span};
use crate::pace::PauseReason;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// Redraws a second: more cost the run more than they tell.
const REDRAWS: u8 = 5;

#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    total: Option<u64>,
}

impl Bar {
    pub(super) fn new(screen: &Screen) -> Bar {
        let target = if !screen.is_terminal() || console::is_dumb() {
            ProgressDrawTarget::hidden()
        } else if cfg!(unix) {
            ProgressDrawTarget::term_like_with_hz(Box::new(Terminal::default()), REDRAWS)
        } else {
            // Not every console there knows the terminal's codes.
            ProgressDrawTarget::stderr_with_hz(REDRAWS)
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style(false));
        screen.with_bar(bar.clone());
        Bar { bar, total: None }
    }

    pub(super) fn on(&mut self, event: &Event) {
        let Event::Progress(now) = event else { return };
        if now.total != self.total {
            self.total = now.total;
            if let Some(total) = now.total {
                self.bar.set_style(style(true));
                self.bar.set_length(total);
            }
        }
        self.bar.set_message(message(now));
        self.bar
            .set_position(now.done_before + now.items + now.failed);
    }
}

fn style(known: bool) -> ProgressStyle {
    let template = if known {
        "{bar:24} {percent:>3}% {msg}"
    } else {
        "{spinner} {msg}"
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

/// The line's text, most urgent first.
pub(super) fn message(now: &Snapshot) -> String {
    let done = now.done_before + now.items + now.failed;
    let mut parts = vec![match now.total {
        Some(total) => format!("{}/{}", count(done), count(total)),
        None => count(done),
    }];
    if now.pages > 0 {
        parts.push(format!("{} records", count(now.records)));
        parts.push(format!("{} pages", count(now.pages)));
    }
    if now.stopping {
        parts.push(format!("stopping, {} in flight", now.in_flight));
    } else if let Some(pause) = now.pause {
        let why = match pause.reason {
            PauseReason::RetryAfter => "paused: the server said Retry-After, until",
            PauseReason::UsedUp => "paused: the quota that the server announces is used up, until",
            PauseReason::Inherited => "paused: an earlier run was told to wait, until",
            PauseReason::Outage => "the server is down, next probe",
        };
        parts.push(format!("{why} {}", moment(pause.until)));
    } else if let Some(trouble) = &now.token_trouble {
        parts.push(format!("waiting for a token: {trouble}"));
    }
    let allowed = match (now.auto, now.throttled_to, now.allowed) {
        (Some(speed), _, allowed) => {
            let speed = allowed.map_or(speed, |most| most.min(speed));
            format!(" of {} (auto)", rate(speed))
        }
        (None, Some(cap), _) => format!(" (slowed to {})", rate(cap)),
        (None, None, Some(allowed)) => format!(" of {}", rate(allowed)),
        (None, None, None) => String::new(),
    };
    parts.push(format!("{}{allowed}", rate(now.rate)));
    if !now.stopping {
        parts.push(format!("{} in flight", now.in_flight));
    }
    if now.failed > 0 {
        parts.push(format!("{} failed", count(now.failed)));
    }
    if now.retries > 0 {
        parts.push(format!("{} retries", count(now.retries)));
    }
    if let Some(life) = now.token_life {
        parts.push(format!("token {}", span(life)));
    }
    if let Some(eta) = eta(now) {
        parts.push(format!("ETA {}", span(eta)));
    }
    parts.join(" · ")
}

/// Time left at this run's average speed.
fn eta(now: &Snapshot) -> Option<Duration> {
    let here = now.items + now.failed;
    let left = now
        .total?
        .saturating_sub(now.done_before.saturating_add(here));
    if here == 0 || now.elapsed < Duration::from_secs(1) {
        return None;
    }
    Duration::try_from_secs_f64(now.elapsed.as_secs_f64() * left as f64 / here as f64).ok()
}
