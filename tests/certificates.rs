//! A server that can't prove who it is stops the run before work is burnt.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Place, assert_exit, harvest, told};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A TLS server with a certificate that nobody signed; gives its port.
fn self_signed_server() -> u16 {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(
        certified.signing_key.serialize_der(),
    ));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let (tx, rx) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tx.send(listener.local_addr().unwrap().port()).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move { acceptor.accept(stream).await.is_ok() });
            }
        });
    });
    rx.recv().unwrap()
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
