//! The server of the bench: as fast as a loopback HTTP server on one core gets.
//!
//! Owns the command line and the connections. Its first line of output is its
//! base URL; after that it answers commands on its standard input, one line
//! each (see [`log`]), and ends when that input ends, so that none is left over.

mod certificate;
mod log;
mod routes;

use anyhow::{Context, Result, bail};
use clap::Parser;
use harvest_bench::track::Template;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use log::Log;
use routes::Api;
use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[derive(Parser)]
#[command(about = "Serves POST /api/token and GET /v1/tracks/{id} on loopback")]
struct Args {
    /// The port; 0 takes any free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Every track waits so long, e.g. 50ms
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    latency: Duration,
    /// The length of a body
    #[arg(long, default_value_t = 3_000)]
    body_bytes: usize,
    /// TLS 1.3; the PEM of the authority to trust is written to this file
    #[arg(long, value_name = "PEM")]
    tls: Option<PathBuf>,
    /// Offer HTTP/2 (with --tls)
    #[arg(long, requires = "tls")]
    http2: bool,
    /// Keep the instant of every arrival, not only of the first and the last
    #[arg(long)]
    arrivals: bool,
    /// Say how connections broke
    #[arg(long)]
    verbose: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    grow_file_table();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(args))
}

/// Makes the kernel's table of our open files large while there is one thread.
/// With two, each doubling of it stops the process for tens of milliseconds.
fn grow_file_table() {
    let files: Vec<_> = (0..1_000)
        .map_while(|_| File::open("/dev/null").ok())
        .collect();
    drop(files);
}

async fn serve(args: Args) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", args.port))
        .await
        .with_context(|| format!("port {} of 127.0.0.1", args.port))?;
    let log = Arc::new(Log::new(args.arrivals));
    let api = Rc::new(Api::new(
        Template::new(args.body_bytes),
        args.latency,
        Arc::clone(&log),
    ));
    let tls = match &args.tls {
        Some(pem) => Some(TlsAcceptor::from(certificate::config(pem, args.http2)?)),
        None => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("{scheme}://{}", listener.local_addr()?);
    log::answer_commands(log);

    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => bail!("no more connections can be taken: {e}"),
        };
        let (api, tls) = (Rc::clone(&api), tls.clone());
        let verbose = args.verbose;
        tokio::task::spawn_local(async move {
            // A client that is done hangs up as it likes.
            if let Err(e) = connection(stream, tls, api).await
                && verbose
            {
                eprintln!("connection: {e}");
            }
        });
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, api: Rc<Api>) -> Result<()> {
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return one(stream, api).await;
    };
    let stream = tls.accept(stream).await?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return many(stream, api).await;
    }
    one(stream, api).await
}

/// HTTP/1.1: one request after another.
async fn one<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S, api: Rc<Api>) -> Result<()> {
    let service = service_fn(move |request| Rc::clone(&api).answer(request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

/// Runs HTTP/2's streams on the one thread that there is.
#[derive(Clone)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// HTTP/2: many on one connection.
async fn many<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S, api: Rc<Api>) -> Result<()> {
    let service = service_fn(move |request| Rc::clone(&api).answer(request));
    http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(1_024)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}
