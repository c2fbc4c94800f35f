//! Pacing: how much of a quota is used, and whether any window holds more than it allows.
//!
//! Judged by when the requests arrive at the server, which is what a server judges by.

use crate::Args;
use crate::measure;
use crate::server::{Options, Server};
use crate::table;
use crate::workspace::{Job, Workspace, write_job};
use anyhow::{Context, Result, bail};
use std::time::Duration;

const RATES: [u64; 5] = [1, 10, 100, 1_000, 5_000];
const CONCURRENCIES: [u64; 4] = [1, 8, 64, 1_000];
const SECOND: u64 = 1_000_000_000;
/// The share of the quota that must be used.
const ENOUGH: f64 = 0.98;
const TRIES: usize = 3;

/// What the arrivals say.
struct Arrivals {
    /// The share of the quota that was used, from the first arrival to the last.
    share: f64,
    /// The most arrivals in any second.
    most: usize,
    /// When that second begins, in nanoseconds after the first arrival.
    most_from: u64,
    /// The shortest time, in nanoseconds, that holds one more than the quota allows.
    tightest: Option<u64>,
}

impl Arrivals {
    fn of(arrivals: &[u64], rate: u64) -> Option<Arrivals> {
        let (first, last) = (arrivals.first()?, arrivals.last()?);
        let seconds = (last - first) as f64 / SECOND as f64;
        let (mut most, mut most_from) = (0, 0);
        let mut from = 0;
        for (to, at) in arrivals.iter().enumerate() {
            while at - arrivals[from] >= SECOND {
                from += 1;
            }
            if to - from + 1 > most {
                (most, most_from) = (to - from + 1, arrivals[from] - first);
            }
        }
        let tightest = arrivals
            .windows(rate as usize + 1)
            .filter_map(|window| Some(window.last()? - window.first()?))
            .min();
        Some(Arrivals {
            share: (arrivals.len() - 1) as f64 / seconds / rate as f64,
            most,
            most_from,
            tightest,
        })
    }

    fn is_clean(&self, rate: u64) -> bool {
        self.share >= ENOUGH && self.most as u64 <= rate
    }
}

/// The server's latency that keeps about half of the concurrency in flight.
fn latency(rate: u64, concurrency: u64) -> Duration {
    if concurrency == 1 {
        return Duration::ZERO;
    }
    Duration::from_millis((concurrency * 1_000 / rate / 2).min(100))
}

/// Each rate with each concurrency. What is not clean is run again: a machine
/// that stands still for a moment at the wrong time looks like a fault, once.
pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::new(&args.work)?;
    let mut rows = Vec::new();
    for rate in RATES {
        for concurrency in CONCURRENCIES {
            let mut runs = Vec::new();
            while runs.len() < TRIES && runs.iter().all(|run: &Arrivals| !run.is_clean(rate)) {
                eprintln!("{rate}/s, concurrency {concurrency}");
                runs.push(one(args, &workspace, rate, concurrency)?);
            }
            rows.push(row(rate, concurrency, &runs));
        }
    }
    let head = [
        "quota",
        "concurrency",
        "latency ms",
        "share of the quota",
        "most in any 1 s",
        "N+1 arrivals took at least, ms",
        "remarks",
    ];
    table::print("Pacing, by the server's clock", &head, &rows);
    println!(
        "\nA run below 98 % or over the quota is repeated, up to {TRIES} runs in all; the figures are the last one's.\n\
         Concurrency 1 at 5,000/s needs an answer within 200 µs: there the wire may be the limit, not the pacer."
    );
    Ok(())
}

fn one(args: &Args, workspace: &Workspace, rate: u64, concurrency: u64) -> Result<Arrivals> {
    let options = Options {
        body_bytes: args.body_bytes,
        latency: latency(rate, concurrency),
        arrivals: true,
        ..Options::default()
    };
    let mut server = Server::start(args.server_core, options, workspace.path())?;
    let folder = workspace.fresh("client")?;
    // The slowest quotas need some arrivals to count.
    let requests = rate * args.seconds.max(if rate == 1 { 8 } else { 2 });
    let list = workspace.list(requests)?;
    let job = Job {
        base: server.base(),
        ids: &list,
        output: &folder.join("out.ndjson"),
        rate: &format!("{rate}/s"),
        concurrency: concurrency as usize,
        commit_every: "1s",
    };
    let job = write_job(&folder, "job.toml", &job)?;
    let mut command = measure::pinned(args.client_core, &args.harvest, &server);
    command.arg(job).args(["--progress", "off", "--quiet"]);
    measure::run(command, &folder)?;
    let all = server.arrivals()?;
    if all.len() as u64 != requests {
        bail!("{} requests for {requests} IDs", all.len());
    }
    Arrivals::of(&all, rate).context("nothing arrived")
}

fn row(rate: u64, concurrency: u64, runs: &[Arrivals]) -> Vec<String> {
    let over: Vec<_> = runs.iter().filter(|run| run.most as u64 > rate).collect();
    let below = runs.iter().filter(|run| run.share < ENOUGH).count();
    let mut remarks = Vec::new();
    if below > 0 {
        remarks.push(format!("below 98 % in {below} of {} runs", runs.len()));
    }
    if let Some(worst) = over.iter().max_by_key(|run| run.most) {
        remarks.push(format!(
            "OVER in {} of {} runs: {} in the second that began {:.2} s after the first",
            over.len(),
            runs.len(),
            worst.most,
            worst.most_from as f64 / SECOND as f64
        ));
    }
    let last = runs.last();
    let figure = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    vec![
        format!("{rate}/s"),
        concurrency.to_string(),
        latency(rate, concurrency).as_millis().to_string(),
        figure(last.map(|run| format!("{:.1} %", run.share * 100.0))),
        figure(last.map(|run| run.most.to_string())),
        figure(last.and_then(|run| Some(format!("{:.3}", run.tightest? as f64 / 1e6)))),
        remarks.join("; "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_half_open_seconds() {
        let even: Vec<u64> = (0..21).map(|n| n * SECOND / 10).collect();
        let arrivals = Arrivals::of(&even, 10).unwrap();
        assert_eq!(arrivals.most, 10);
        assert_eq!(arrivals.tightest, Some(SECOND));
        assert!((arrivals.share - 1.0).abs() < 1e-9);

        let mut close = even;
        close[10] -= 1;
        let arrivals = Arrivals::of(&close, 10).unwrap();
        assert_eq!((arrivals.most, arrivals.tightest), (11, Some(SECOND - 1)));
        assert!(Arrivals::of(&[], 10).is_none());
    }
}
