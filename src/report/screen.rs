//! The terminal's lines: log, notices and the bar share them through here.

use super::stderr_thread;
use indicatif::ProgressBar;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Stderr, as everyone who prints must use it.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

impl Screen {
    /// Whether people watch.
    pub fn is_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// Prints a line above the bar.
    pub fn line(&self, text: &str) {
        self.print(format!("{text}\n").into_bytes());
    }

    pub(super) fn with_bar(&self, bar: ProgressBar) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    /// Takes the bar away.
    pub fn bare(&self) {
        let bar = self
            .bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }

    fn print(&self, bytes: Vec<u8>) {
        let bar = self
            .bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match bar {
            Some(bar) => bar.suspend(|| stderr_thread::print(bytes)),
            None => stderr_thread::print(bytes),
        }
    }
}

/// One log event's bytes, printed whole when it ends.
#[derive(Debug)]
pub struct LogLine {
    screen: Screen,
    bytes: Vec<u8>,
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        self.screen.print(std::mem::take(&mut self.bytes));
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Screen {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine {
            screen: self.clone(),
            bytes: Vec::new(),
        }
    }
}
