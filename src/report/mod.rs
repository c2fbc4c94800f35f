//! Events → what people see: the progress bar or plain lines, and the summary.
//!
//! The run emits [`Event`]s; [`Reporter`] reads them. It owns the terminal's
//! lines ([`Screen`]), so that a log line never tears the bar. Must never
//! change the course of a run, and never write to stdout.

mod bar;
mod event;
mod plain;
mod screen;
mod stderr_thread;
mod summary;
mod terminal;
mod words;

pub use event::{Commands, End, Event, Plan, Snapshot, Summary, UpdateNews, UpdatePlan};
pub use screen::Screen;
pub(crate) use stderr_thread::{flush, last};
pub use words::{count, place, rate, span};

use bar::Bar;
use plain::Plain;

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgressMode {
    /// A bar on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// Always a bar.
    Bar,
    /// A line every 30 s.
    Plain,
    /// Nothing until the summary.
    Off,
}

/// Shows one run.
#[derive(Debug)]
pub struct Reporter {
    screen: Screen,
    bar: Option<Bar>,
    plain: Option<Plain>,
    quiet: bool,
}

impl Reporter {
    /// A reporter that writes to `screen`. `quiet` leaves out all but errors.
    pub fn new(screen: Screen, mode: ProgressMode, quiet: bool) -> Reporter {
        let bar = match mode {
            ProgressMode::Bar => true,
            ProgressMode::Auto => screen.is_terminal(),
            ProgressMode::Plain | ProgressMode::Off => false,
        };
        let plain = match mode {
            ProgressMode::Plain => true,
            ProgressMode::Auto => !screen.is_terminal(),
            ProgressMode::Bar | ProgressMode::Off => false,
        };
        Reporter {
            bar: (bar && !quiet).then(|| Bar::new(&screen)),
            plain: (plain && !quiet).then(Plain::default),
            screen,
            quiet,
        }
    }

    /// Takes in an event.
    pub fn on(&mut self, event: &Event) {
        if let Some(bar) = &mut self.bar {
            bar.on(event);
        }
        if let Some(plain) = &mut self.plain {
            plain.on(event, &self.screen);
        }
        match event {
            Event::Started(plan) if !self.quiet => self.screen.line(&summary::opening(plan)),
            Event::Notice(text) if !self.quiet => self.screen.line(text),
            Event::Ended(ended) => {
                self.bar = None;
                self.screen.bare();
                if !self.quiet {
                    self.screen.line(&summary::closing(ended));
                }
            }
            _ => {}
        }
    }
}
