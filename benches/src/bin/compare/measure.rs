//! One run of one client: pinned to its core, timed, and billed by the kernel.
//!
//! CPU time and peak memory are those of the process that was waited for (and
//! of its children that it waited for). This process stays small, because the
//! kernel counts the memory of the moment before `exec` into a child's peak.

use crate::server::Server;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wait4::Wait4;

/// Variables that would send a client elsewhere than to the target.
const PROXIES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// What a run cost.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) peak_bytes: u64,
}

/// A client that runs.
pub(crate) struct Running {
    child: Child,
    began: Instant,
    /// Nanoseconds since 1970.
    pub(crate) began_at: u64,
    name: String,
    log: std::path::PathBuf,
}

/// A command on this core, with the environment that a client is to have.
pub(crate) fn pinned(core: usize, program: impl AsRef<OsStr>, server: &Server) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    for name in PROXIES {
        command.env_remove(name);
    }
    if let Some(pem) = server.authority() {
        command.env("SSL_CERT_FILE", pem).env_remove("SSL_CERT_DIR");
    }
    command
}

/// Starts the command in `folder`, where what it says is kept, too.
pub(crate) fn start(mut command: Command, folder: &Path) -> Result<Running> {
    let name = command
        .get_args()
        .nth(2)
        .map(|program| Path::new(program).file_name().unwrap_or(program))
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let log = folder.join("client.log");
    let says = File::create(&log)?;
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(says.try_clone()?)
        .stderr(says);
    let began_at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let began = Instant::now();
    let child = command.spawn().with_context(|| name.clone())?;
    Ok(Running {
        child,
        began,
        began_at,
        name,
        log,
    })
}

impl Running {
    /// Waits for its end; an exit code but 0 is an error that shows what it said.
    pub(crate) fn finish(mut self) -> Result<Cost> {
        let used = self.child.wait4()?;
        let wall = self.began.elapsed();
        if !used.status.success() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let from = said.char_indices().rev().nth(1_500).map_or(0, |(at, _)| at);
            bail!(
                "{} ended with {}:\n{}",
                self.name,
                used.status,
                &said[from..]
            );
        }
        Ok(Cost {
            wall,
            cpu: used.rusage.utime + used.rusage.stime,
            peak_bytes: used.rusage.maxrss,
        })
    }

    /// What it said so far, or in all.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Its CPU time up to now; nothing once it ended.
    pub(crate) fn cpu_so_far(&self) -> Option<Duration> {
        // Exact, without the threads that ended; and with them, in hundredths of a second.
        Some(self.cpu_of_threads()?.max(self.cpu_in_ticks()?))
    }

    fn cpu_of_threads(&self) -> Option<Duration> {
        let mut nanos = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()? {
            let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            nanos += stat.split(' ').next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(nanos))
    }

    fn cpu_in_ticks(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The name may hold anything; after it, user and system time are the 12th and 13th.
        let (_, fields) = stat.rsplit_once(')')?;
        let times = fields.split_ascii_whitespace().skip(11).take(2);
        let ticks = times.map(str::parse::<u64>).sum::<Result<u64, _>>().ok()?;
        Some(Duration::from_millis(ticks * 10))
    }
}

/// Starts the command and waits for its end.
pub(crate) fn run(command: Command, folder: &Path) -> Result<Cost> {
    start(command, folder)?.finish()
}
