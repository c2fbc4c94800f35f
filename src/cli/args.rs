//! The command line, as clap reads it. The help texts teach.

use crate::job::{Concurrency, Pace};
use crate::outcome::Reason;
use crate::report::ProgressMode;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Harvests an API: a list of IDs in, one clean NDJSON or CSV file out, each
/// ID in it exactly once. Run the same command again and it carries on where
/// it stopped, whatever stopped it.
#[derive(Debug, Parser)]
#[command(
    name = "harvest",
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "Examples:
  harvest init spotify              write a commented starter job file
  harvest jobs/tracks.toml --sandbox   try a job with no account and no network
  harvest check jobs/tracks.toml    show the plan; sends nothing
  harvest jobs/tracks.toml          run it; run it again to resume
  harvest retry jobs/tracks.toml    run again only what failed
  harvest login jobs/spotify_login.toml   log in once, where an API wants a person
  harvest jobs/tracks.toml --update    ask again for what is there; replaces what has changed

Exit codes:
  0 every item has its record · 1 the run could not go on · 2 wrong command line or job file
  3 finished, some items failed for good · 75 paused, run again later · 130/143 stopped by a signal"
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run jobs one after another; what was interrupted is resumed
    Run(RunArgs),
    /// Run again only what failed; what succeeds leaves the failures file
    Retry(RetryArgs),
    /// Validate a job file and show the plan; sends nothing
    Check(CheckArgs),
    /// Show where a run stands, also while another process runs it
    Status(StatusArgs),
    /// Log in where a job's API wants a person's consent; once, and runs renew it
    Login(LoginArgs),
    /// Forget a job's log-in, and revoke it where the server can
    Logout(LogoutArgs),
    /// Write a commented starter job file
    Init(InitArgs),
    /// Print the JSON Schema of the job file
    Schema,
    /// Serve the embedded API on loopback until Ctrl-C
    Sandbox(SandboxArgs),
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Start over: remove what earlier runs fetched (asks first)
    #[arg(long)]
    pub(super) fresh: bool,
    /// Ask again for the records that are there (those older than [update] older_than; without that
    /// section, all), and replace what has changed
    #[arg(long, conflicts_with = "fresh")]
    pub(super) update: bool,
    /// With --fresh: don't ask
    #[arg(long, short)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) harvest: HarvestArgs,
}

#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// Only items that failed for this reason, as the failures file names it; repeat it for several
    #[arg(long, value_name = "REASON", value_parser = reason_parser())]
    pub(super) reason: Vec<Reason>,
    #[command(flatten)]
    pub(super) harvest: HarvestArgs,
}

fn reason_parser() -> impl TypedValueParser<Value = Reason> {
    let names = Reason::ALL.iter().map(|reason| reason.as_str());
    PossibleValuesParser::new(names).try_map(|name| {
        let known = Reason::ALL.iter().find(|reason| reason.as_str() == name);
        known.copied().ok_or("an unknown reason")
    })
}

/// What every harvesting command takes.
#[derive(Debug, Args)]
pub(super) struct HarvestArgs {
    /// Job files, run one after another
    #[arg(value_name = "JOB", required = true)]
    pub(super) jobs: Vec<PathBuf>,
    /// Fetch only the first N items that are left
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    #[command(flatten)]
    pub(super) overrides: Overrides,
    /// How progress is shown: a bar on a terminal, a line every 30 s elsewhere
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub(super) progress: Progress,
    /// How much is logged to stderr
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    pub(super) log_level: LogLevel,
    /// The form of log lines
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) log_format: LogFormat,
    /// Print errors only
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// What the command line puts in a job's place.
#[derive(Debug, Args)]
pub(super) struct Overrides {
    /// Instead of the job's rate: 10/s, 180/30s, auto, unlimited; repeat it for several that hold together
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(super) rate: Vec<RateArg>,
    /// Instead of the job's concurrency: requests in flight at most, or auto
    #[arg(long, value_name = "N", value_parser = concurrency)]
    pub(super) concurrency: Option<Concurrency>,
    /// Instead of the job's output path; "-" is stdout
    #[arg(long, short, value_name = "PATH")]
    pub(super) output: Option<String>,
    /// Send every request to the embedded API on loopback; credentials may be unset
    #[arg(long)]
    pub(super) sandbox: bool,
}

impl Overrides {
    /// As the job loader takes them.
    pub(super) fn load_options(&self) -> crate::job::LoadOptions {
        let rates = (!self.rate.is_empty()).then(|| {
            self.rate
                .iter()
                .filter_map(|r| match r {
                    RateArg::Unlimited => None,
                    RateArg::Pace(pace) => Some(*pace),
                })
                .collect()
        });
        crate::job::LoadOptions {
            sandbox: self.sandbox,
            rates,
            concurrency: self.concurrency,
            output: self.output.clone(),
            ..Default::default()
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum RateArg {
    Unlimited,
    Pace(Pace),
}

impl std::fmt::Display for RateArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RateArg::Unlimited => f.write_str("unlimited"),
            RateArg::Pace(pace) => write!(f, "{pace}"),
        }
    }
}

fn rate(text: &str) -> Result<RateArg, String> {
    if text.trim() == "unlimited" {
        return Ok(RateArg::Unlimited);
    }
    text.parse().map(RateArg::Pace).map_err(|e| format!("{e}"))
}

fn concurrency(text: &str) -> Result<Concurrency, String> {
    match (text, text.parse()) {
        ("auto", _) => Ok(Concurrency::Auto),
        (_, Ok(n @ 1..=10_000)) => Ok(Concurrency::AtMost(n)),
        _ => Err("a number from 1 to 10000 or auto is needed".into()),
    }
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub(super) job: PathBuf,
    #[command(flatten)]
    pub(super) overrides: Overrides,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub(super) job: PathBuf,
    /// The output that the run was given with --output
    #[arg(long, short, value_name = "PATH")]
    pub(super) output: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub(super) job: PathBuf,
    /// Only print the link; open no browser
    #[arg(long)]
    pub(super) no_browser: bool,
    /// How long to wait for the person, e.g. 90s
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "DURATION")]
    pub(super) timeout: std::time::Duration,
}

#[derive(Debug, Args)]
pub(super) struct LogoutArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub(super) job: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The kind of API to begin with
    #[arg(value_enum, default_value_t, value_name = "KIND")]
    pub(super) kind: StarterArg,
    /// Where to write it; "-" is stdout [default: KIND.toml]
    #[arg(long, short, value_name = "PATH")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum StarterArg {
    /// Any API: every key, explained
    #[default]
    Generic,
    /// The Spotify Web API (OAuth2 client credentials)
    Spotify,
    /// The GitHub REST API (bearer token, CSV)
    Github,
    /// An API with a key in the query
    ApiKey,
}

#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// The port to listen on; 0 takes any free one
    #[arg(long, default_value_t = 8750)]
    pub(super) port: u16,
    /// Every answer waits so long, e.g. 50ms
    #[arg(long, default_value = "0ms", value_parser = duration, value_name = "DURATION")]
    pub(super) latency: std::time::Duration,
    /// How long an access token lives, e.g. 2s
    #[arg(long, default_value = "1h", value_parser = duration, value_name = "DURATION")]
    pub(super) token_lifetime: std::time::Duration,
    /// Requests a second; more are answered 429 with Retry-After
    #[arg(long, value_name = "N")]
    pub(super) rate: Option<u32>,
    /// From a time after the start on, another rate; repeat it for several, e.g. 30s=20
    #[arg(long, value_parser = rate_change, value_name = "AFTER=N")]
    pub(super) rate_change: Vec<(std::time::Duration, u32)>,
    /// Requests worked on at a time; others queue, so that latency rises with load
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<usize>,
    /// The share of requests that fail (500, 502, 503, reset, cut body), 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    pub(super) fault_rate: f64,
    /// The seed of the faults and the tokens
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Write a line of JSON for each request (time, path, status, token)
    #[arg(long, value_name = "PATH")]
    pub(super) log: Option<PathBuf>,
    /// Serve DIR/{id}.json where there is one
    #[arg(long, value_name = "DIR")]
    pub(super) bodies: Option<PathBuf>,
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("{e} (write it as 50ms, 2s, 1h)"))
}

fn rate_change(text: &str) -> Result<(std::time::Duration, u32), String> {
    let (after, rate) = text.split_once('=').ok_or("write it as 30s=20")?;
    let rate = rate.parse().map_err(|_| "write it as 30s=20")?;
    Ok((duration(after)?, rate))
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a number from 0 to 1 is needed".into()),
    }
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum Progress {
    #[default]
    Auto,
    Bar,
    Plain,
    Off,
}

impl From<Progress> for ProgressMode {
    fn from(progress: Progress) -> ProgressMode {
        match progress {
            Progress::Auto => ProgressMode::Auto,
            Progress::Bar => ProgressMode::Bar,
            Progress::Plain => ProgressMode::Plain,
            Progress::Off => ProgressMode::Off,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum LogLevel {
    Error,
    #[default]
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[cfg(test)]
mod tests;
