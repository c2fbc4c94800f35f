//! The achievable: a loop that does nothing but fetch and append lines.
//!
//! Owns the measure that harvest is compared with: the same HTTP client, the
//! same check of the body as JSON, a bearer header, one thread. It has no
//! quota, no retry, no checkpoint. Over TLS it trusts what harvest is made to
//! trust: the environment's SSL_CERT_FILE. HTTP/2 is the server's choice.

use anyhow::{Context, Result, bail};
use clap::Parser;
use futures::StreamExt;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::value::RawValue;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

#[derive(Parser)]
#[command(
    about = "Fetches {base}/v1/tracks/{id} for each ID of a list and appends the bodies to a file"
)]
struct Args {
    /// The server, e.g. http://127.0.0.1:8750
    base: String,
    /// The list: one ID a line
    ids: PathBuf,
    /// The file that the lines are appended to
    output: PathBuf,
    /// Requests in flight at most
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        bail!("another TLS provider is installed");
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(fetch_all(&args))
}

async fn fetch_all(args: &Args) -> Result<()> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(args.concurrency)
        .tcp_nodelay(true)
        .build()?;
    let token = HeaderValue::from_static("Bearer a-token-of-the-bench");
    let list = File::open(&args.ids).with_context(|| format!("{}", args.ids.display()))?;
    let output =
        File::create(&args.output).with_context(|| format!("{}", args.output.display()))?;
    let mut output = BufWriter::with_capacity(1 << 16, output);

    let requests = BufReader::new(list).lines().map(|id| {
        let request = id.map(|id| {
            let url = format!("{}/v1/tracks/{id}", args.base);
            client.get(url).header(AUTHORIZATION, token.clone())
        });
        async { Ok::<_, anyhow::Error>(request?.send().await?.error_for_status()?.bytes().await?) }
    });
    let mut bodies = futures::stream::iter(requests).buffer_unordered(args.concurrency);
    while let Some(body) = bodies.next().await {
        let body = body?;
        let json: &RawValue = serde_json::from_slice(&body).context("a body is not JSON")?;
        output.write_all(json.get().as_bytes())?;
        output.write_all(b"\n")?;
    }
    output.flush()?;
    Ok(())
}
