//! Stderr, written by a thread of its own.
//!
//! A terminal may stand still for hours: Ctrl-S, a full pipe, a laptop that
//! sleeps at the other end of ssh. Whoever prints waits a moment for room, so
//! that the harvest goes on; of what nobody reads the last lines are held until
//! somebody does, and the others are left out, with a word in their place.
//! Redraws of the bar wait for nothing.
//!
//! Owns the queue and its order. Must never leave a line out while somebody
//! reads, nor hold up a run.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Lines and redraws that wait at most.
const QUEUE: usize = 256;
/// Lines that are held beyond that: the last ones.
const HELD: usize = 64;
/// At the end of the process, where stderr is no terminal: a pipe or a file.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// So long is waited for who reads slowly.
const A_MOMENT: Duration = Duration::from_secs(1);
/// Between two looks at a full queue.
const PAUSE: Duration = Duration::from_millis(2);

static STDERR_THREAD: LazyLock<Option<StderrThread>> =
    LazyLock::new(|| StderrThread::to(io::stderr()));

enum Piece {
    Bytes(Vec<u8>),
    /// Answered when all that came before is written.
    Mark(SyncSender<()>),
}

struct StderrThread {
    pieces: SyncSender<Piece>,
    /// How many are in the queue.
    queued: Arc<AtomicIsize>,
    /// Nobody has read for a moment: nobody is waited for.
    stuck: AtomicBool,
    held: Mutex<Backlog>,
}

/// What there was no room for.
#[derive(Default)]
struct Backlog {
    /// Lines that were left out before these.
    left_out: u64,
    lines: VecDeque<Vec<u8>>,
}

impl StderrThread {
    /// `None` when there can't be another thread.
    fn to(stderr: impl Write + Send + 'static) -> Option<StderrThread> {
        let (pieces, queue) = sync_channel(QUEUE);
        let queued = Arc::<AtomicIsize>::default();
        let count = Arc::clone(&queued);
        let writer = thread::Builder::new().name("stderr".into());
        writer.spawn(move || write(&queue, &count, stderr)).ok()?;
        Some(StderrThread {
            pieces,
            queued,
            stuck: AtomicBool::new(false),
            held: Mutex::default(),
        })
    }

    fn print(&self, bytes: Vec<u8>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.lines.push_back(bytes);
        self.hand_over(&mut held);
        while held.lines.len() > HELD {
            held.lines.pop_front();
            held.left_out += 1;
        }
    }

    /// Puts what is held into the queue, as far as there is room; true when that is all.
    fn hand_over(&self, held: &mut Backlog) -> bool {
        if held.left_out > 0 {
            let gap = format!(
                "(stderr stood still: {} lines were left out here)\n",
                held.left_out
            );
            if self.send(Piece::Bytes(gap.into_bytes())).is_some() {
                return false;
            }
            held.left_out = 0;
        }
        while let Some(line) = held.lines.pop_front() {
            if let Some(Piece::Bytes(line)) = self.send(Piece::Bytes(line)) {
                held.lines.push_front(line);
                return false;
            }
        }
        true
    }

    fn redraw(&self, bytes: Vec<u8>) {
        if self.queued.load(Ordering::Relaxed) < QUEUE as isize / 2
            && self.pieces.try_send(Piece::Bytes(bytes)).is_ok()
        {
            self.queued.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything is written, but so long at most.
    fn last(&self, most: Duration) {
        let began = Instant::now();
        let left = || most.saturating_sub(began.elapsed());
        let (written, heard) = sync_channel(1);
        let mut mark = Some(Piece::Mark(written));
        while !left().is_zero() {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if self.hand_over(&mut held) {
                mark = mark.and_then(|mark| self.send(mark));
            }
            if mark.is_none() {
                let _ = heard.recv_timeout(left());
                return;
            }
            drop(held);
            thread::sleep(10 * PAUSE);
        }
    }

    fn flush(&self) {
        if self.stuck.load(Ordering::Relaxed) {
            return;
        }
        let (written, heard) = sync_channel(1);
        let waits = self.send(Piece::Mark(written)).is_none();
        if waits && heard.recv_timeout(A_MOMENT).is_err() {
            self.stuck.store(true, Ordering::Relaxed);
        }
    }

    /// Puts a piece into the queue; gives it back when there is no room for it.
    fn send(&self, mut piece: Piece) -> Option<Piece> {
        let began = Instant::now();
        loop {
            match self.pieces.try_send(piece) {
                Ok(()) => {
                    self.queued.fetch_add(1, Ordering::Relaxed);
                    self.stuck.store(false, Ordering::Relaxed);
                    return None;
                }
                Err(TrySendError::Full(back)) => piece = back,
                // There is no thread: nothing will be read any more.
                Err(TrySendError::Disconnected(_)) => return None,
            }
            if self.stuck.load(Ordering::Relaxed) || began.elapsed() > A_MOMENT {
                self.stuck.store(true, Ordering::Relaxed);
                return Some(piece);
            }
            thread::sleep(PAUSE);
        }
    }
}

/// The thread: to the end of the process.
fn write(queue: &Receiver<Piece>, queued: &AtomicIsize, mut stderr: impl Write) {
    while let Ok(piece) = queue.recv() {
        queued.fetch_sub(1, Ordering::Relaxed);
        match piece {
            // A closed stderr must not stop a harvest.
            Piece::Bytes(bytes) => {
                let _ = stderr.write_all(&bytes);
            }
            Piece::Mark(written) => {
                let _ = written.try_send(());
            }
        }
    }
}

/// Prints these bytes, after all that was printed before.
pub(super) fn print(bytes: Vec<u8>) {
    match &*STDERR_THREAD {
        None => {
            let _ = io::stderr().lock().write_all(&bytes);
        }
        Some(stderr_thread) => stderr_thread.print(bytes),
    }
}

/// Draws a bar; not at all when there is no room.
pub(super) fn redraw(bytes: Vec<u8>) {
    if let Some(stderr_thread) = &*STDERR_THREAD {
        stderr_thread.redraw(bytes);
    }
}

/// At the end of the process: waits until all is written, at a terminal for as
/// long as it stands still: its summary is what people want. Two signals end that.
pub(crate) fn last() {
    if let Some(stderr_thread) = &*STDERR_THREAD {
        stderr_thread.last(match io::stderr().is_terminal() {
            true => Duration::MAX,
            false => LAST_WAIT,
        });
    }
}

/// Waits until all that was printed is written, a moment at most.
pub(crate) fn flush() {
    if let Some(stderr_thread) = &*STDERR_THREAD {
        stderr_thread.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// What is written, while the gate is open.
    #[derive(Clone, Default)]
    struct Terminal {
        gate: Arc<Mutex<()>>,
        text: Arc<Mutex<String>>,
    }

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.gate.lock().unwrap();
            let text = std::str::from_utf8(bytes).unwrap();
            self.text.lock().unwrap().push_str(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_prints_waits_a_moment_and_all_is_in_order_with_its_gap() {
        let terminal = Terminal::default();
        let stderr_thread = StderrThread::to(terminal.clone()).unwrap();
        let lines = |from: usize, to: usize| -> String {
            (from..to).map(|n| format!("line {n}\n")).collect()
        };
        let print = |from, to| {
            for n in from..to {
                stderr_thread.print(format!("line {n}\n").into_bytes());
            }
        };
        print(0, 1_000);
        stderr_thread.flush();
        assert_eq!(*terminal.text.lock().unwrap(), lines(0, 1_000));

        // Nobody reads.
        let shut = terminal.gate.lock().unwrap();
        let began = Instant::now();
        for _ in 0..1_000 {
            stderr_thread.redraw(b"a bar\n".to_vec());
        }
        assert!(began.elapsed() < A_MOMENT / 2, "a redraw waits for nothing");
        print(1_000, 2_000);
        stderr_thread.flush();
        assert!(began.elapsed() < 3 * A_MOMENT, "{:?}", began.elapsed());
        drop(shut);
        let began = Instant::now();
        while stderr_thread.queued.load(Ordering::Relaxed) > 0 {
            assert!(began.elapsed() < Duration::from_secs(10));
            thread::sleep(PAUSE);
        }
        print(2_000, 2_001);
        stderr_thread.last(Duration::MAX);
        let text = terminal.text.lock().unwrap().clone();
        let (before, after) = text.split_once('(').unwrap();
        let before = before.replace("a bar\n", "");
        let shown = before.lines().count();
        assert_eq!(before, lines(0, shown));
        assert!(shown > 1_000 + QUEUE / 3, "room is left for lines: {shown}");
        let told = format!("stderr stood still: {} lines", 2_000 - HELD - shown);
        assert!(after.starts_with(&told), "{after}");
        let held = format!(" left out here)\n{}", lines(2_000 - HELD, 2_001));
        assert!(after.ends_with(&held), "{after}");

        // At the end, whoever reads again has the last lines.
        let shut = terminal.gate.lock().unwrap();
        print(2_001, 4_000);
        let began = Instant::now();
        stderr_thread.last(Duration::from_millis(200));
        assert!(began.elapsed() < 3 * A_MOMENT);
        thread::scope(|scope| {
            scope.spawn(|| stderr_thread.last(Duration::MAX));
            thread::sleep(Duration::from_millis(50));
            drop(shut);
        });
        let text = terminal.text.lock().unwrap().clone();
        assert!(text.ends_with(&lines(4_000 - HELD, 4_000)));
    }
}
