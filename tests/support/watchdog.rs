//! Ends the test program when one of its tests hangs.
//!
//! libtest waits for ever: what hangs would only be seen by who stops the whole
//! of CI, and without a word of which test it was. Owns the list of the tests
//! that run; a test is on it from its first call of [`watched`] until its
//! thread ends.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Several times what the longest test takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(25 * 60);
const PAUSE: Duration = Duration::from_secs(5);

type Running = Mutex<HashMap<ThreadId, (String, Instant)>>;

static RUNNING: LazyLock<Running> = LazyLock::new(|| {
    thread::spawn(watch);
    Mutex::default()
});

struct Guard(Cell<bool>);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.get() {
            let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
            running.remove(&thread::current().id());
        }
    }
}

thread_local! {
    static GUARD: Guard = const { Guard(Cell::new(false)) };
}

/// Puts the test of this thread on the list; it is known by the thread's name.
pub fn watched() {
    let thread = thread::current();
    // The nightly versions take their time; what they wait for has deadlines of its own.
    let nightly = ["HARVEST_TORTURE", "HARVEST_DISK_FAULTS"].map(std::env::var_os);
    let Some(name) = thread.name().filter(|_| nightly == [None, None]) else {
        return;
    };
    GUARD.with(|guard| {
        if !guard.0.replace(true) {
            let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
            running.insert(thread.id(), (name.to_owned(), Instant::now()));
        }
    });
}

fn watch() {
    loop {
        thread::sleep(PAUSE);
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((name, began)) = running.values().min_by_key(|(_, began)| *began) else {
            continue;
        };
        if began.elapsed() > PATIENCE {
            let mut said = format!("\ntest {name} has run for {PATIENCE:?}: it hangs\n");
            let mut children = Vec::new();
            descendants(std::process::id(), &mut children);
            for pid in &children {
                let _ = write!(said, "{}", what_it_does(*pid));
            }
            // Not `eprint!`: libtest keeps that for a test's end.
            let _ = std::io::stderr().write_all(said.as_bytes());
            for pid in children {
                let _ = Command::new("kill")
                    .args(["-KILL", &pid.to_string()])
                    .status();
            }
            std::process::exit(101);
        }
    }
}

/// The processes that this one has started, and theirs.
fn descendants(of: u32, into: &mut Vec<u32>) {
    for task in fs::read_dir(format!("/proc/{of}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|p| p.parse().ok()) {
            into.push(pid);
            descendants(pid, into);
        }
    }
}

/// Its command line, and where each of its threads waits.
fn what_it_does(pid: u32) -> String {
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut said = format!("process {pid}: {}\n", command.replace('\0', " "));
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let of = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let state = of("status");
        let state = state.lines().find_map(|line| line.strip_prefix("State:"));
        let (name, wait, call) = (of("comm"), of("wchan"), of("syscall"));
        let _ = writeln!(
            said,
            "  {}: {}, in {wait}, system call {}",
            name.trim(),
            state.unwrap_or_default().trim(),
            call.trim()
        );
    }
    said
}
