//! A long list, nearly all of it done by a real run: what it takes to go on, and what a commit costs then.
//!
//! Four runs of harvest over one output. The first does all but 50,000 IDs.
//! The second goes on with 10,000: when does its first request arrive? The last
//! two do 20,000 each at 5,000/s, one with five commits a second and one with
//! none before its end: the difference of their CPU times after the first
//! request is what the commits cost. That difference is small, so a busy
//! machine may well turn its sign.

use crate::Args;
use crate::measure::{self, Cost, Running};
use crate::output_check;
use crate::server::{Options, Server};
use crate::table::{self, megabytes, whole};
use crate::workspace::{Job, Workspace, write_job};
use anyhow::{Context, Result, bail};
use harvest_bench::track::Template;
use std::path::Path;
use std::time::Duration;

/// As small as a track can be: the list is what matters here.
const BODY_BYTES: usize = 60;
const RESUMED: u64 = 10_000;
const COMMITTED: u64 = 20_000;
const COMMIT_RATE: u64 = 5_000;
const COMMITS_A_SECOND: u64 = 5;

/// One of the runs.
struct Run {
    cost: Cost,
    requests: u64,
    /// From the start of the process to the arrival of the first request.
    first: Duration,
    /// After the first request, as near as it could be seen.
    cpu_after: Option<Duration>,
}

struct Bench<'a> {
    args: &'a Args,
    server: Server,
    folder: &'a Path,
    list: &'a Path,
    output: &'a Path,
}

/// The four runs, as a table.
pub(crate) fn run(args: &Args) -> Result<()> {
    let left = RESUMED + 2 * COMMITTED;
    if args.ids < 2 * left {
        bail!("--ids must be {} at least", 2 * left);
    }
    let workspace = Workspace::new(&args.work)?;
    eprintln!("writing a list of {} IDs", args.ids);
    let list = workspace.list(args.ids)?;
    let options = Options {
        body_bytes: BODY_BYTES,
        ..Options::default()
    };
    let folder = workspace.fresh("resume")?;
    let mut bench = Bench {
        args,
        server: Server::start(args.server_core, options, workspace.path())?,
        folder: &folder,
        list: &list,
        output: &folder.join("out.ndjson"),
    };

    eprintln!("run 1: {} IDs", args.ids - left);
    let first = bench.run("unlimited", "1s", args.ids - left)?;
    eprintln!("run 2: resumed, {RESUMED} IDs");
    let second = bench.run("unlimited", "1s", RESUMED)?;
    let rate = format!("{COMMIT_RATE}/s");
    let every = format!("{}ms", 1_000 / COMMITS_A_SECOND);
    eprintln!("run 3: resumed, {COMMITTED} IDs at {rate}, a commit every {every}");
    let often = bench.run(&rate, &every, COMMITTED)?;
    eprintln!("run 4: resumed, {COMMITTED} IDs at {rate}, one commit");
    let seldom = bench.run(&rate, "1h", COMMITTED)?;
    eprintln!("checking {} lines", args.ids);
    output_check::lines(bench.output, args.ids, &Template::new(BODY_BYTES))?;

    let rows: Vec<_> = [
        ("1: from nothing", &first),
        ("2: resumed", &second),
        ("3: resumed, commits often", &often),
        ("4: resumed, one commit", &seldom),
    ]
    .into_iter()
    .map(|(name, run)| row(name, run, args.ids))
    .collect();
    let head = [
        "run",
        "requests",
        "start to first request, s",
        "wall s",
        "CPU s",
        "CPU s after the first request",
        "peak MB",
        "MB allowed (150 + 40 B an ID)",
        "bytes an ID above 40 MB",
    ];
    let title = format!(
        "Resume: a list of {} IDs, all but {} done",
        whole(args.ids as f64),
        whole(left as f64)
    );
    table::print(&title, &head, &rows);
    let commits = COMMITTED * COMMITS_A_SECOND / COMMIT_RATE;
    if let (Some(often), Some(seldom)) = (often.cpu_after, seldom.cpu_after) {
        let millis = (often.as_secs_f64() - seldom.as_secs_f64()) * 1e3 / commits as f64;
        println!(
            "\nA commit of {} IDs, by the difference of runs 3 and 4 over {commits} commits: {millis:.2} ms of CPU.",
            COMMITTED / commits
        );
    }
    Ok(())
}

impl Bench<'_> {
    /// Fetches the next `limit` IDs that are not done.
    fn run(&mut self, rate: &str, commit_every: &str, limit: u64) -> Result<Run> {
        let job = Job {
            base: self.server.base(),
            ids: self.list,
            output: self.output,
            rate,
            concurrency: self.args.concurrency,
            commit_every,
        };
        let job = write_job(self.folder, "job.toml", &job)?;
        let mut command = measure::pinned(self.args.client_core, &self.args.harvest, &self.server);
        command.arg(job).args(["--progress", "off", "--quiet"]);
        command.args(["--limit", &limit.to_string()]);
        self.server.reset()?;
        let running = measure::start(command, self.folder)?;
        let began_at = running.began_at;
        let before = self.cpu_at_first_request(&running)?;
        let cost = running.finish()?;
        let report = self.server.report()?;
        if report.requests != limit {
            bail!("{} requests for {limit} IDs", report.requests);
        }
        let first = report.first.checked_sub(began_at);
        Ok(Run {
            cpu_after: before.map(|before| cost.cpu.saturating_sub(before)),
            cost,
            requests: limit,
            first: Duration::from_nanos(first.context("the clock was set back")?),
        })
    }

    /// Its CPU time when the first request has arrived; nothing if it ended before.
    fn cpu_at_first_request(&mut self, running: &Running) -> Result<Option<Duration>> {
        loop {
            let Some(cpu) = running.cpu_so_far() else {
                return Ok(None);
            };
            if self.server.report()?.requests > 0 {
                return Ok(Some(cpu));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn row(name: &str, run: &Run, ids: u64) -> Vec<String> {
    let allowed = 150_000_000 + 40 * ids;
    let above = run.cost.peak_bytes.saturating_sub(40_000_000);
    vec![
        name.to_owned(),
        whole(run.requests as f64),
        format!("{:.2}", run.first.as_secs_f64()),
        format!("{:.1}", run.cost.wall.as_secs_f64()),
        format!("{:.2}", run.cost.cpu.as_secs_f64()),
        run.cpu_after
            .map_or("–".to_owned(), |cpu| format!("{:.2}", cpu.as_secs_f64())),
        megabytes(run.cost.peak_bytes),
        megabytes(allowed),
        format!("{:.1}", above as f64 / ids as f64),
    ]
}
