//! A whole server under a real client: what the parts cannot show alone.
//!
//! Owns the tests that need a connection. Must never reach into the server:
//! it knows the address and the log file.

use super::{Sandbox, SandboxOptions};
use reqwest::{Client, Response};
use serde_json::Value;
use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const ID: &str = "11dFghVXANMlKmJXsNCbNl";

fn client() -> Client {
    // The client wants a crypto provider even for plain HTTP; a second
    // installation is refused, and that is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let policy = reqwest::redirect::Policy::none();
    Client::builder()
        .no_proxy()
        .redirect(policy)
        .build()
        .unwrap()
}

fn start(change: impl FnOnce(&mut SandboxOptions)) -> Sandbox {
    let mut options = SandboxOptions::default();
    change(&mut options);
    Sandbox::start(options).unwrap()
}

async fn token(sandbox: &Sandbox, client: &Client) -> String {
    let response = client
        .post(format!("{}/api/token", sandbox.base_url()))
        .basic_auth("id", Some("secret"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

async fn get(sandbox: &Sandbox, client: &Client, path: &str, token: &str) -> Response {
    let mut request = client.get(format!("{}{path}", sandbox.base_url()));
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}

async fn refusal(response: Response) -> String {
    assert_eq!(response.status(), 401);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(body["error"]["status"], 401);
    body["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_opens_the_tracks_until_it_expires() {
    let sandbox = start(|o| o.token_lifetime = Duration::from_millis(250));
    let client = client();
    let path = format!("/v1/tracks/{ID}");
    let none = get(&sandbox, &client, &path, "").await;
    assert_eq!(refusal(none).await, "No token provided");
    let foreign = get(&sandbox, &client, &path, "sbx-foreign").await;
    assert_eq!(refusal(foreign).await, "Invalid access token");

    let token = token(&sandbox, &client).await;
    let track = get(&sandbox, &client, &path, &token).await;
    assert_eq!(track.status(), 200);
    let track = track.bytes().await.unwrap();
    let other = start(|o| o.seed = 9);
    let second = self::token(&other, &client).await;
    let again = get(&other, &client, &path, &second).await;
    assert_eq!(again.bytes().await.unwrap(), track);

    tokio::time::sleep(Duration::from_millis(270)).await;
    let late = get(&sandbox, &client, &path, &token).await;
    assert_eq!(refusal(late).await, "The access token expired");
}

#[tokio::test]
async fn statuses_and_methods_arrive() {
    let sandbox = start(|o| o.rate = Some(4));
    let client = client();
    let gone = get(&sandbox, &client, "/things/1404", "").await;
    assert_eq!(gone.status(), 404);
    let nothing = get(&sandbox, &client, "/things/204", "").await;
    assert_eq!(nothing.status(), 204);
    let moved = get(&sandbox, &client, "/things/redirect-1", "").await;
    assert_eq!(moved.headers()["location"], "/things/1");
    for method in [reqwest::Method::HEAD, reqwest::Method::DELETE] {
        let request = client.request(method, format!("{}/1", sandbox.base_url()));
        assert_eq!(request.send().await.unwrap().status(), 405);
    }
    let mut limited = 0;
    for _ in 0..8 {
        let response = get(&sandbox, &client, "/things/1", "").await;
        if response.status() == 429 {
            assert_eq!(response.headers()["retry-after"], "1");
            limited += 1;
        }
    }
    assert!(limited > 0);
}

#[tokio::test]
async fn every_answer_waits_for_the_latency() {
    let sandbox = start(|o| o.latency = Duration::from_millis(80));
    let client = client();
    let before = Instant::now();
    token(&sandbox, &client).await;
    get(&sandbox, &client, "/things/1", "").await;
    assert!(before.elapsed() >= Duration::from_millis(160));
}

#[tokio::test]
async fn faults_reach_the_client_as_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.ndjson");
    let sandbox = start(|o| {
        o.fault_rate = 1.0;
        o.log = Some(log.clone());
    });
    let client = client();
    let token = token(&sandbox, &client).await;
    let mut seen = Vec::new();
    for _ in 0..60 {
        let request = client.get(format!("{}/v1/tracks/{ID}", sandbox.base_url()));
        seen.push(match request.bearer_auth(&token).send().await {
            Err(error) => {
                assert!(is_reset(&error), "{error:?}");
                "reset".to_owned()
            }
            Ok(response) if response.status() == 200 => {
                let promised = response.content_length().unwrap();
                assert!(promised > 2_000);
                let error = response.bytes().await.unwrap_err();
                assert!(error.is_decode() || error.is_body(), "{error:?}");
                "cut".to_owned()
            }
            Ok(response) => {
                assert!(!response.headers().contains_key("retry-after"));
                response.status().as_u16().to_string()
            }
        });
    }
    let kinds: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(kinds, BTreeSet::from(["500", "502", "503", "cut", "reset"]));
    let logged: Vec<String> = lines(&log)[1..]
        .iter()
        .map(|line| line["fault"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(logged, seen);
}

fn is_reset(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

#[test]
fn half_of_a_cut_body_arrives() {
    let sandbox = start(|o| o.fault_rate = 1.0);
    let mut cuts = 0;
    for _ in 0..60 {
        let mut stream = TcpStream::connect(sandbox.address()).unwrap();
        stream
            .write_all(b"GET /things/huge HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        // A status keeps the connection open: only the first bytes are of interest.
        let mut first = [0; 12];
        if stream.read_exact(&mut first).is_err() || &first != b"HTTP/1.1 200" {
            continue;
        }
        stream.read_to_end(&mut answer).unwrap();
        let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
        assert!(text.contains("content-length: 1048578\r\n"), "{text}");
        assert!(answer.len() > head && answer.len() - head <= 524_289);
        cuts += 1;
    }
    assert!(cuts > 0);
}

#[tokio::test]
async fn the_log_has_a_line_for_everyone_who_asked() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.ndjson");
    let sandbox = start(|o| o.log = Some(log.clone()));
    let client = client();
    let token = token(&sandbox, &client).await;
    get(
        &sandbox,
        &client,
        &format!("/v1/tracks/{ID}?market=US"),
        &token,
    )
    .await;
    let seen = lines(&log);
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0]["method"], "POST");
    assert_eq!(seen[0]["path"], "/api/token");
    assert_eq!(seen[0]["issued"], token.as_str());
    assert!(seen[0]["token"].is_null());
    assert_eq!(seen[1]["path"], format!("/v1/tracks/{ID}?market=US"));
    assert_eq!(seen[1]["status"], 200);
    assert_eq!(seen[1]["token"], token.as_str());
    assert!(seen[1]["issued"].is_null() && seen[1]["fault"].is_null());
    assert!(seen[1]["m"].as_f64() >= seen[0]["m"].as_f64());
    sandbox.stop();

    // A client that hangs up while it waits has asked all the same.
    let slow = start(|o| {
        o.log = Some(log.clone());
        o.latency = Duration::from_secs(60);
    });
    let mut stream = TcpStream::connect(slow.address()).unwrap();
    stream
        .write_all(b"GET /things/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(stream);
    let before = Instant::now();
    slow.stop();
    assert!(before.elapsed() < Duration::from_secs(5), "stops at once");
    assert_eq!(lines(&log).len(), 3);
}

fn lines(log: &std::path::Path) -> Vec<Value> {
    std::fs::read_to_string(log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn connections_are_kept_alive() {
    let sandbox = start(|_| {});
    let mut stream = TcpStream::connect(sandbox.address()).unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"GET /things/204 HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 204"));
    }
}
