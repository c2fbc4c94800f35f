//! The two places that a command prints to.

use super::Exit;
use crate::report::Screen;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

/// Prints an answer to stdout. A closed pipe is no error: the reader had enough.
pub(super) fn out(text: &str) -> Exit {
    let mut stdout = io::stdout().lock();
    let result = writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush());
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            err(format_args!("stdout can't be written: {error}"));
            Exit::Error
        }
        _ => Exit::Done,
    }
}

/// Prints an error to stderr.
pub(super) fn err(error: impl Display) {
    let label = if color() {
        "\x1b[1;31merror\x1b[0m"
    } else {
        "error"
    };
    note(&format!("{label}: {error}"));
}

/// Tells something to stderr.
pub(super) fn note(text: &str) {
    Screen::default().line(text);
}

/// Prints a job file's mistakes to stderr.
pub(super) fn job_error(error: &crate::job::JobError) {
    let text = error.render(color());
    note(text.trim_end());
}

fn color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
