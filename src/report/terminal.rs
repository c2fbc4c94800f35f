//! The terminal as the bar draws on it: each redraw is one piece for the
//! [`stderr_thread`](super::stderr_thread), so that a terminal that stands still holds up nobody.
//!
//! Must never write to stderr itself.

use super::stderr_thread;
use console::Term;
use indicatif::TermLike;
use std::io;
use std::mem;
use std::sync::{Mutex, PoisonError};

/// A redraw, until it is whole.
#[derive(Debug, Default)]
pub(super) struct Terminal(Mutex<Vec<u8>>);

impl Terminal {
    fn add(&self, text: &str) -> io::Result<()> {
        let mut redraw = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        redraw.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// ECMA-48 section 8.3: `n` steps, of which none is no movement.
    fn step(&self, n: usize, direction: char) -> io::Result<()> {
        match n {
            0 => Ok(()),
            n => self.add(&format!("\x1b[{n}{direction}")),
        }
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        Term::stderr().size().1
    }

    fn height(&self) -> u16 {
        Term::stderr().size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.step(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.step(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.step(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.step(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(text)?;
        self.add("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let redraw = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if !redraw.is_empty() {
            stderr_thread::redraw(redraw);
        }
        Ok(())
    }
}
