//! How fast, and at what cost: the sections over HTTP/1.1, TLS, HTTP/2 and with latency.

use crate::Args;
use crate::measure::Cost;
use crate::peers::{self, Peer};
use crate::server::{Options, Server};
use crate::table::{self, median, megabytes, whole};
use crate::versions;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use std::time::Duration;

/// The sections, in order.
pub(crate) const SECTIONS: [&str; 4] = ["http1", "tls1", "tls2", "latency"];

const LATENCY: Duration = Duration::from_millis(50);

/// A client's runs.
struct Runs {
    peer: Peer,
    costs: Vec<(Cost, u64)>,
}

impl Runs {
    fn median(&self, figure: impl Fn(&Cost, f64) -> f64) -> f64 {
        median(self.costs.iter().map(|(cost, n)| figure(cost, *n as f64)))
    }

    fn cpu_micros(&self) -> f64 {
        self.median(|cost, n| cost.cpu.as_secs_f64() * 1e6 / n)
    }

    fn per_second(&self) -> f64 {
        self.median(|cost, n| n / cost.wall.as_secs_f64())
    }

    fn wall(&self) -> f64 {
        self.median(|cost, _| cost.wall.as_secs_f64())
    }

    fn peak(&self) -> u64 {
        self.median(|cost, _| cost.peak_bytes as f64) as u64
    }

    /// From the least to the most CPU of a request.
    fn spread(&self) -> String {
        let micros = |(cost, n): &(Cost, u64)| cost.cpu.as_secs_f64() * 1e6 / *n as f64;
        let least = self.costs.iter().map(micros).fold(f64::INFINITY, f64::min);
        let most = self.costs.iter().map(micros).fold(0.0, f64::max);
        if self.costs.len() < 2 {
            return "one run".to_owned();
        }
        format!("{}–{}", amount(least), amount(most))
    }
}

/// Runs the sections that were asked for.
pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::new(&args.work)?;
    let all = peers::available(args)?;
    versions::print(&all);
    let two: Vec<Peer> = all
        .iter()
        .filter(|peer| matches!(peer.name, "harvest" | "minimal"))
        .cloned()
        .collect();
    let about = format!(
        "{} IDs, {} bytes each, concurrency {}",
        whole(args.requests as f64),
        whole(args.body_bytes as f64),
        args.concurrency
    );
    let plain = Options {
        body_bytes: args.body_bytes,
        ..Options::default()
    };
    let tls = Options { tls: true, ..plain };
    let sections = [
        ("http1", "HTTP/1.1", plain, &all),
        ("tls1", "TLS 1.3, HTTP/1.1", tls, &two),
        (
            "tls2",
            "TLS 1.3, HTTP/2",
            Options { http2: true, ..tls },
            &two,
        ),
    ];
    for (name, title, options, peers) in sections {
        if args.has_section(name) && !peers.is_empty() {
            let mut server = Server::start(args.server_core, options, workspace.path())?;
            let runs = interleaved(args, peers, &mut server, &workspace, options.http2)?;
            print_costs(&format!("{title}: {about}"), &runs);
        }
    }
    if args.has_section("latency") && !two.is_empty() {
        let options = Options {
            latency: LATENCY,
            ..plain
        };
        latency(args, &two, options, &about, &workspace)?;
    }
    Ok(())
}

/// Round by round, every client once in each of its rounds: a disturbance hits all alike.
fn interleaved(
    args: &Args,
    peers: &[Peer],
    server: &mut Server,
    workspace: &Workspace,
    http2: bool,
) -> Result<Vec<Runs>> {
    let mut all: Vec<Runs> = peers
        .iter()
        .map(|peer| Runs {
            peer: peer.clone(),
            costs: Vec::new(),
        })
        .collect();
    let most = peers.iter().map(|peer| peer.rounds).max().unwrap_or(0);
    for round in 0..most {
        for runs in all.iter_mut().filter(|runs| round < runs.peer.rounds) {
            eprintln!("round {}: {}", round + 1, runs.peer.name);
            let cost = peers::run(args, &runs.peer, server, workspace)?;
            let arrived = server.report()?;
            if http2 && arrived.http2 != arrived.requests {
                bail!("{} did not speak HTTP/2", runs.peer.name);
            }
            runs.costs.push(cost);
        }
    }
    Ok(all)
}

fn print_costs(title: &str, all: &[Runs]) {
    let cpu_of = |name| {
        all.iter()
            .find(|r| r.peer.name == name)
            .map(Runs::cpu_micros)
    };
    let (harvest, minimal) = (cpu_of("harvest"), cpu_of("minimal"));
    let ratio =
        |cpu: f64, to: Option<f64>| to.map_or("–".to_owned(), |to| format!("{:.2}", cpu / to));
    let rows: Vec<_> = all
        .iter()
        .map(|runs| {
            let cpu = runs.cpu_micros();
            vec![
                runs.peer.name.to_owned(),
                whole(runs.costs.last().map_or(0.0, |(_, n)| *n as f64)),
                whole(runs.per_second()),
                amount(cpu),
                runs.spread(),
                megabytes(runs.peak()),
                ratio(cpu, harvest),
                ratio(cpu, minimal),
                runs.peer.note.to_owned(),
            ]
        })
        .collect();
    let head = [
        "client",
        "requests",
        "requests/s",
        "CPU µs a request",
        "over the rounds",
        "peak MB",
        "CPU ÷ harvest's",
        "CPU ÷ minimal's",
        "what it does",
    ];
    table::print(title, &head, &rows);
}

/// Wall time against the ideal: the requests times the latency over the concurrency.
fn latency(
    args: &Args,
    peers: &[Peer],
    options: Options,
    about: &str,
    workspace: &Workspace,
) -> Result<()> {
    let mut server = Server::start(args.server_core, options, workspace.path())?;
    let mut rows = Vec::new();
    for peer in peers {
        let mut runs = Runs {
            peer: peer.clone(),
            costs: Vec::new(),
        };
        let mut served = Vec::new();
        for round in 0..peer.rounds.min(2) {
            eprintln!("round {}: {} with latency", round + 1, peer.name);
            runs.costs
                .push(peers::run(args, peer, &mut server, workspace)?);
            let arrived = server.report()?;
            served.push(arrived.served.as_secs_f64() / arrived.requests as f64);
        }
        let ideal = |latency: f64| peer.requests as f64 * latency / args.concurrency as f64;
        let served = median(served);
        rows.push(vec![
            peer.name.to_owned(),
            format!("{:.2}", runs.wall()),
            format!("{:.2}", ideal(LATENCY.as_secs_f64())),
            format!("{:.3}", runs.wall() / ideal(LATENCY.as_secs_f64())),
            format!("{:.2}", served * 1e3),
            format!("{:.3}", runs.wall() / ideal(served)),
            amount(runs.cpu_micros()),
            megabytes(runs.peak()),
        ]);
    }
    let head = [
        "client",
        "wall s",
        "ideal s",
        "wall ÷ ideal",
        "latency as served, ms",
        "wall ÷ ideal at that",
        "CPU µs a request",
        "peak MB",
    ];
    table::print(
        &format!("{} ms of latency: {about}", LATENCY.as_millis()),
        &head,
        &rows,
    );
    Ok(())
}

/// Two or more digits that mean something.
fn amount(micros: f64) -> String {
    if micros < 100.0 {
        format!("{micros:.1}")
    } else {
        whole(micros)
    }
}
