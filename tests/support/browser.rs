//! A real browser without a screen: Chromium, driven over WebDriver (W3C).
//!
//! In plain HTTP: of the crates for it, one has a licence that this project
//! does not take, and the other changes how `serde_json` works in the binary
//! under test.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use super::oauth_server::http;
use super::tools::tool;
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The name of an element's id in WebDriver's answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// The longest wait for a page.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Browser {
    driver: Child,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// `None`, and a line that says so, where Chromium can't be had.
    pub fn start() -> Option<Browser> {
        if !tool("chromium", "chromium") || !tool("chromedriver", "chromium-driver") {
            return None;
        }
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = said
            .find_map(|line| {
                let line = line.unwrap();
                let (_, port) = line.split_once("started successfully on port ")?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .expect("chromedriver's port");
        // Read on: a closed pipe would kill it.
        std::thread::spawn(move || said.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let data = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-default-apps",
            "--window-size=900,620",
            // Loopback and nothing else: the server's pages name a font from elsewhere.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            &data,
        ];
        let mut browser = Browser {
            driver,
            session: format!("http://127.0.0.1:{port}"),
            _profile: profile,
        };
        let options = json!({ "args": arguments });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
        }}});
        let answer = browser
            .call("POST", "/session", &wanted)
            .expect("a session");
        let id = answer["sessionId"].as_str().unwrap().to_owned();
        browser.session.push_str(&format!("/session/{id}"));
        Some(browser)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = match method {
            "POST" => body.to_string(),
            _ => String::new(),
        };
        let headers = [("Content-Type", "application/json".to_owned())];
        let url = format!("{}{path}", self.session);
        let answer = http(method, &url, &headers, &body);
        let mut value: Value = serde_json::from_str(&answer.body).unwrap();
        let value = value["value"].take();
        match answer.status {
            200 => Ok(value),
            _ => Err(value.to_string()),
        }
    }

    pub fn go(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url })).unwrap();
    }

    pub fn url(&self) -> String {
        let url = self.call("GET", "/url", &Value::Null).unwrap();
        url.as_str().unwrap().to_owned()
    }

    /// Waits for an element.
    #[track_caller]
    pub fn find(&self, css: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": css });
        let began = Instant::now();
        loop {
            match self.call("POST", "/element", &wanted) {
                Ok(element) => return element[ELEMENT].as_str().unwrap().to_owned(),
                Err(error) => assert!(
                    began.elapsed() < PATIENCE,
                    "no {css} on {}: {error}",
                    self.url()
                ),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub fn type_in(&self, css: &str, text: &str) {
        self.at("POST", css, "value", &json!({ "text": text }));
    }

    #[track_caller]
    pub fn click(&self, css: &str) {
        self.at("POST", css, "click", &json!({}));
    }

    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        let text = self.at("GET", css, "text", &Value::Null);
        text.as_str().unwrap().to_owned()
    }

    /// Waits for an element with this text.
    #[track_caller]
    pub fn reads(&self, css: &str, text: &str) {
        let began = Instant::now();
        loop {
            let found = self.text(css);
            if found == text {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{css} reads {found}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Does something with an element; once more when its page has gone meanwhile.
    #[track_caller]
    fn at(&self, method: &str, css: &str, what: &str, body: &Value) -> Value {
        let began = Instant::now();
        loop {
            let path = format!("/element/{}/{what}", self.find(css));
            match self.call(method, &path, body) {
                Ok(value) => return value,
                Err(error) => {
                    let gone = error.contains("stale element reference");
                    assert!(gone && began.elapsed() < PATIENCE, "{css}: {error}");
                }
            }
        }
    }

    pub fn screenshot(&self, path: &Path) {
        let png = self.call("GET", "/screenshot", &Value::Null).unwrap();
        let png = BASE64_STANDARD.decode(png.as_str().unwrap()).unwrap();
        std::fs::write(path, png).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser goes with its session.
        if !std::thread::panicking() {
            let _ = self.call("DELETE", "", &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
