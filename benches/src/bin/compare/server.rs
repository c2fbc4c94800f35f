//! The target as the driver sees it: started on its core, asked what arrived.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// How the target is to be.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    pub(crate) body_bytes: usize,
    pub(crate) latency: Duration,
    pub(crate) tls: bool,
    pub(crate) http2: bool,
    pub(crate) arrivals: bool,
}

/// What arrived since the last reset.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) requests: u64,
    pub(crate) http2: u64,
    pub(crate) unauthorized: u64,
    /// Nanoseconds since 1970; 0: nothing arrived.
    pub(crate) first: u64,
    /// Nanoseconds since 1970; 0: nothing arrived.
    pub(crate) last: u64,
    /// How long the delayed answers took, all together.
    pub(crate) served: Duration,
}

/// A running target; it ends with this value.
pub(crate) struct Server {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    base: String,
    authority: Option<PathBuf>,
}

impl Server {
    /// Starts the target on this core; `folder` takes the PEM of its authority.
    pub(crate) fn start(core: usize, options: Options, folder: &Path) -> Result<Server> {
        let program = std::env::current_exe()?.with_file_name("target");
        let mut command = Command::new("taskset");
        command.arg("-c").arg(core.to_string()).arg(&program);
        command.arg(format!("--body-bytes={}", options.body_bytes));
        command.arg(format!("--latency={}us", options.latency.as_micros()));
        let authority = options.tls.then(|| folder.join("authority.pem"));
        if let Some(pem) = &authority {
            command.arg("--tls").arg(pem);
        }
        if options.http2 {
            command.arg("--http2");
        }
        if options.arrivals {
            command.arg("--arrivals");
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("taskset (of util-linux) could not be started")?;
        let commands = child.stdin.take();
        let answers = child.stdout.take().context("the target has no output")?;
        let mut server = Server {
            child,
            commands,
            answers: BufReader::new(answers),
            base: String::new(),
            authority,
        };
        server.base = server.line().context("the target did not start")?;
        Ok(server)
    }

    /// Its URL, without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The PEM that clients must trust, when it speaks TLS.
    pub(crate) fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// Forgets what arrived.
    pub(crate) fn reset(&mut self) -> Result<()> {
        self.ask("reset").map(drop)
    }

    /// What arrived since the last reset.
    pub(crate) fn report(&mut self) -> Result<Report> {
        let line = self.ask("report")?;
        let mut report = Report::default();
        for (name, value) in line.split(' ').filter_map(|pair| pair.split_once('=')) {
            let value: u64 = value.parse()?;
            match name {
                "requests" => report.requests = value,
                "http2" => report.http2 = value,
                "unauthorized" => report.unauthorized = value,
                "first" => report.first = value,
                "last" => report.last = value,
                "served" => report.served = Duration::from_nanos(value),
                _ => {}
            }
        }
        Ok(report)
    }

    /// When each request arrived: nanoseconds since 1970, in order.
    pub(crate) fn arrivals(&mut self) -> Result<Vec<u64>> {
        let line = self.ask("arrivals")?;
        let mut arrivals = line
            .split_ascii_whitespace()
            .map(str::parse)
            .collect::<Result<Vec<u64>, _>>()?;
        arrivals.sort_unstable();
        Ok(arrivals)
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        let input = self.commands.as_mut().context("the target is gone")?;
        writeln!(input, "{command}").context("the target is gone")?;
        self.line()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the target ended");
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input is its end.
        self.commands = None;
        let _ = self.child.wait();
    }
}
