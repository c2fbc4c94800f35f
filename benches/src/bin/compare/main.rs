//! The driver: runs harvest and its peers against one server and prints what each cost.
//!
//! Owns the command line and which measurements are made. `benches/run` builds
//! what this needs and starts it; `benches/run --help` shows this help.

mod measure;
mod output_check;
mod pacing;
mod peers;
mod resume;
mod server;
mod table;
mod throughput;
mod versions;
mod workspace;

use anyhow::{Result, bail};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "benches/run",
    about = "Measures harvest and its peers against one server on loopback",
    after_help = "Without --resume and --pacing: the sections of --sections, each a table.
  http1     HTTP/1.1, harvest and every peer
  tls1      TLS 1.3 with HTTP/1.1, harvest and the minimal loop
  tls2      TLS 1.3 with HTTP/2, the same two
  latency   50 ms of server latency, the same two
Clients run on one core, the server on another; figures are medians over the rounds, which are interleaved.
A client whose output lacks an ID, or has one twice, is an error."
)]
struct Args {
    /// Distinct IDs to fetch
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    requests: u64,
    /// Requests in flight at most
    #[arg(long, default_value_t = 64, value_name = "N")]
    concurrency: usize,
    /// The length of a body
    #[arg(long, default_value_t = 3_000, value_name = "N")]
    body_bytes: usize,
    /// Rounds of harvest and the minimal loop (the quick peers: 3 at most, the slow ones: 1)
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// Only these clients: harvest, harvest-plain, minimal, wrk, oha, curl, aria2, aiohttp, requests, scrapy
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<String>,
    /// Only these sections: http1, tls1, tls2, latency
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    sections: Vec<String>,
    /// harvest and the minimal loop over HTTP/1.1 in 3 rounds, nothing else
    #[arg(long)]
    quick: bool,
    /// The slow peers fetch the whole list too, not its first 5,000 (requests) or 2,000 (aria2, Scrapy) IDs
    #[arg(long)]
    whole: bool,
    /// Build and include oha, too (it takes up to a quarter of an hour)
    #[arg(long)]
    with_oha: bool,
    /// A long list, nearly all of it done: what it takes to go on
    #[arg(long)]
    resume: bool,
    /// The length of the list of --resume
    #[arg(long, default_value_t = 10_000_000, value_name = "N")]
    ids: u64,
    /// Quotas from 1/s to 5,000/s at concurrencies from 1 to 1,000: what arrives when
    #[arg(long)]
    pacing: bool,
    /// How long each run of --pacing takes
    #[arg(long, default_value_t = 6, value_name = "SECONDS")]
    seconds: u64,
    /// The core that clients run on
    #[arg(long, default_value_t = 0, value_name = "CORE")]
    client_core: usize,
    /// The core that the server runs on
    #[arg(long, default_value_t = 1, value_name = "CORE")]
    server_core: usize,
    /// The harvest to measure [benches/run gives it]
    #[arg(long, value_name = "PATH")]
    harvest: PathBuf,
    /// The folder of the Python peers [benches/run gives it]
    #[arg(long, value_name = "DIR")]
    peers: PathBuf,
    /// The folder of what was installed for the bench [benches/run gives it]
    #[arg(long, value_name = "DIR")]
    tools: PathBuf,
    /// Where lists and outputs are written, and removed afterwards [benches/run gives it]
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
}

impl Args {
    fn has_section(&self, name: &str) -> bool {
        if self.quick {
            return name == "http1";
        }
        self.sections.is_empty() || self.sections.iter().any(|s| s == name)
    }

    fn has_client(&self, name: &str) -> bool {
        if self.quick {
            return name == "harvest" || name == "minimal";
        }
        self.only.is_empty() || self.only.iter().any(|s| s == name)
    }

    fn check(&self) -> Result<()> {
        let cores = std::thread::available_parallelism()?.get();
        if self.client_core == self.server_core || self.client_core.max(self.server_core) >= cores {
            bail!(
                "clients and server need a core each, of the {cores} here: --client-core, --server-core"
            );
        }
        for section in &self.sections {
            if !throughput::SECTIONS.contains(&section.as_str()) {
                bail!(
                    "no section {section:?}: {}",
                    throughput::SECTIONS.join(", ")
                );
            }
        }
        for client in &self.only {
            if !peers::NAMES.contains(&client.as_str()) {
                bail!("no client {client:?}: {}", peers::NAMES.join(", "));
            }
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("benches/run: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    args.check()?;
    table::print_machine(&args.harvest)?;
    if args.resume {
        return resume::run(args);
    }
    if args.pacing {
        return pacing::run(args);
    }
    throughput::run(args)
}
