//! Log lines: ours only, to stderr, above the bar.

use super::args::{LogFormat, LogLevel};
use crate::report::Screen;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging. Other crates' events are left out at every level: they may
/// hold a header or a URL, and so a secret.
pub(super) fn start(level: LogLevel, format: LogFormat, quiet: bool, screen: &Screen) {
    let level = match level {
        _ if quiet => LevelFilter::ERROR,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let ours = Targets::new().with_target("harvest", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(screen.clone());
    let layer = match format {
        LogFormat::Text => lines
            .with_target(false)
            .with_ansi(screen.is_terminal())
            .boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    // Set once a process; tests that call main twice keep the first.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(ours))
        .try_init();
}
