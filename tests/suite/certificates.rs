//! A server that can't prove who it is stops the run before work is burnt.

#![cfg(unix)]

use crate::child::{end, spawn, until};
use crate::support::{Place, assert_exit, harvest, told};
use crate::tools;
use base64::prelude::{BASE64_STANDARD, Engine};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate authority of the test's own, that the program is told to trust.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let der = BASE64_STANDARD.encode(params.self_signed(&key).unwrap().der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n");
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A server's configuration: a certificate for `name`, good to the end of the year `until`.
    fn config(&self, name: &str, until: i32) -> ServerConfig {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(until, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        config(&certificate, &key)
    }

    /// The program, with this authority as the only one that it trusts.
    fn harvest(&self, place: &Place) -> Command {
        let mut command = harvest();
        command.env("SSL_CERT_FILE", place.write("ca.pem", &self.pem));
        command.env_remove("SSL_CERT_DIR");
        command
    }
}

fn config(certificate: &Certificate, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap()
}

/// What a server shows at present, and how it is counted.
struct Server {
    port: u16,
    shows: Arc<Mutex<Arc<ServerConfig>>>,
    handshakes: Arc<AtomicUsize>,
}

/// A TLS server that answers each request with its ID, one a connection.
fn server(config: ServerConfig) -> Server {
    let shows = Arc::new(Mutex::new(Arc::new(config)));
    let handshakes = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = std::sync::mpsc::channel();
    {
        let (shows, handshakes) = (Arc::clone(&shows), Arc::clone(&handshakes));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tx.send(listener.local_addr().unwrap().port()).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    handshakes.fetch_add(1, Ordering::SeqCst);
                    let acceptor = TlsAcceptor::from(Arc::clone(&shows.lock().unwrap()));
                    tokio::spawn(async move { answer(acceptor, stream).await });
                }
            });
        });
    }
    Server {
        port: rx.recv().unwrap(),
        shows,
        handshakes,
    }
}

async fn answer(acceptor: TlsAcceptor, stream: TcpStream) -> Option<()> {
    let mut stream = acceptor.accept(stream).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let id = head.split(' ').nth(1)?.rsplit('/').next()?;
    let body = format!("{{\"id\":\"{id}\"}}");
    let length = body.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

/// A TLS server with a certificate that nobody signed; gives its port.
fn self_signed_server() -> u16 {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    server(config(&certified.cert, &certified.signing_key)).port
}

fn stops(job: &str) {
    let place = Place::new();
    let job = place.write("job.toml", job);
    let began = Instant::now();
    let output = harvest().arg(job).output().unwrap();
    assert_exit(&output, 1);
    assert!(began.elapsed() < Duration::from_secs(20), "not waited out");
    assert!(
        told(&output).contains("TLS certificate is not trusted"),
        "{}",
        told(&output)
    );
    assert!(place.lines("out.ndjson").is_empty());
    assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
}

fn job(place: &Place, port: u16, ids: &[String], limits: &str) -> std::path::PathBuf {
    place.write(
        "job.toml",
        &format!(
            "[ids]\nlist = {ids:?}\n[request]\nurl = \"https://localhost:{port}/{{id}}\"\n\
             [limits]\n{limits}\n[retry]\nbackoff = \"50ms..500ms\"\n[output]\npath = \"out.ndjson\"\n"
        ),
    )
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("i{n}")).collect()
}

/// Exit 1 before anything was burnt, in these words.
#[track_caller]
fn assert_stopped(place: &Place, output: &Output, says: &str) {
    assert_exit(output, 1);
    let told = told(output);
    for words in [
        "TLS certificate is not trusted",
        says,
        "this machine's clock",
    ] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    assert!(place.lines("out.ndjson").is_empty());
    assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
}

#[test]
fn expired_and_misnamed_certificates_stop_the_run_with_their_reason() {
    let authority = Authority::new();
    for (name, until, says) in [
        ("localhost", 2002, "expired"),
        ("api.example.com", 4000, "not valid for name"),
    ] {
        let server = server(authority.config(name, until));
        let place = Place::new();
        let ids = names(50);
        let job = job(&place, server.port, &ids, "rate = \"100/s\"");
        let output = authority.harvest(&place).arg(&job).output().unwrap();
        assert_stopped(&place, &output, says);
        let tries = server.handshakes.load(Ordering::SeqCst);
        assert!(tries <= 8, "{tries} connections: work was burnt");

        // Mended, the same command goes on from there.
        *server.shows.lock().unwrap() = Arc::new(authority.config("localhost", 4000));
        assert_exit(&authority.harvest(&place).arg(&job).output().unwrap(), 0);
        place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
    }
}

/// It is this machine's clock that is wrong.
#[test]
fn a_clock_that_stands_before_the_certificates_time_stops_the_run_and_is_named() {
    if !tools::tool("faketime", "faketime") {
        return;
    }
    let authority = Authority::new();
    let server = server(authority.config("localhost", 4000));
    let place = Place::new();
    let job = job(&place, server.port, &names(20), "rate = \"100/s\"");
    let inner = authority.harvest(&place);
    let mut command = Command::new("faketime");
    command.arg("1999-05-05 05:05:05").arg(inner.get_program());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.arg(&job).output().unwrap();
    assert_stopped(&place, &output, "not valid yet");
}

/// A certificate that runs out in the night: an outage, and no item's matter.
#[test]
fn a_certificate_that_expires_during_a_run_is_waited_out_or_ends_it_resumable() {
    for renewed in [true, false] {
        let authority = Authority::new();
        let server = server(authority.config("localhost", 4000));
        let place = Place::new();
        let ids = names(120);
        let limits = if renewed {
            "rate = \"50/s\"\nmax_wait = \"5m\""
        } else {
            "rate = \"50/s\"\nmax_wait = \"3s\""
        };
        let job = job(&place, server.port, &ids, limits);
        let run = spawn(authority.harvest(&place), &job);
        until(|| server.handshakes.load(Ordering::SeqCst) >= 30);
        *server.shows.lock().unwrap() = Arc::new(authority.config("localhost", 2002));
        let before = server.handshakes.load(Ordering::SeqCst);
        if renewed {
            std::thread::sleep(Duration::from_secs(4));
            // Eight in flight, until known, four steps up to 500 ms, then one in 250 ms.
            let cost = server.handshakes.load(Ordering::SeqCst) - before;
            assert!(
                (4..=8 + 8 + 4 + 17).contains(&cost),
                "{cost} connections in 4 s"
            );
            *server.shows.lock().unwrap() = Arc::new(authority.config("localhost", 4000));
        }
        let output = end(run);
        assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
        if renewed {
            assert_exit(&output, 0);
        } else {
            assert_exit(&output, 75);
            assert!(told(&output).contains("expired"), "{}", told(&output));
            *server.shows.lock().unwrap() = Arc::new(authority.config("localhost", 4000));
            assert_exit(&authority.harvest(&place).arg(&job).output().unwrap(), 0);
        }
        place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
    }
}

#[test]
fn a_self_signed_api_stops_the_run() {
    let port = self_signed_server();
    stops(&format!(
        "[ids]\nlist = [\"a\", \"b\"]\n[request]\nurl = \"https://localhost:{port}/{{id}}\"\n[output]\npath = \"out.ndjson\"\n"
    ));
}

#[test]
fn a_self_signed_token_endpoint_stops_the_run() {
    let port = self_signed_server();
    stops(&format!(
        "[ids]\nlist = [\"a\", \"b\"]\n[request]\nurl = \"https://localhost:{port}/{{id}}\"\n\
         [auth]\ntype = \"client_credentials\"\ntoken_url = \"https://localhost:{port}/token\"\n\
         client_id = \"a\"\nclient_secret = \"b\"\n[output]\npath = \"out.ndjson\"\n"
    ));
}
