//! `harvest login` with the authorization code grant, at a certified server
//! that is not ours, by a person at a real browser.

use crate::browser::Browser;
use crate::child::until;
use crate::oauth_server::{OauthServer, Visitor};
use crate::support::{Place, assert_exit, harvest, told};
use serde_json::json;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

fn harvest_in(place: &Place) -> Command {
    let mut command = harvest();
    command.env("XDG_STATE_HOME", place.path("state"));
    for name in ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY"] {
        command.env_remove(name);
    }
    command
}

fn job(place: &Place, server: &OauthServer, name: &str, auth: &str) -> PathBuf {
    let text = format!(
        "[ids]\nlist = [\"a\", \"b\", \"c\"]\n[request]\nurl = \"{base}/items/{{id}}\"\n\
         [auth]\ntype = \"authorization_code\"\nissuer = \"{base}\"\n{auth}\n\
         [output]\npath = \"{name}.ndjson\"\n",
        base = server.base,
    );
    place.write(&format!("{name}.toml"), &text)
}

const PERSON: &str = "client_id = \"person\"\nscope = \"openid items\"";

/// `harvest login`, up to the link that it shows.
struct Login {
    child: Child,
    stderr: BufReader<ChildStderr>,
    words: String,
    link: String,
}

impl Login {
    fn start(mut command: Command, job: &Path, options: &[&str]) -> Login {
        let mut child = command
            .arg("login")
            .arg(job)
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut words = String::new();
        let link = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "{words}");
            words.push_str(&line);
            if line.trim().starts_with("http") {
                break line.trim().to_owned();
            }
        };
        Login {
            child,
            stderr,
            words,
            link,
        }
    }

    fn end(mut self) -> Output {
        self.stderr.read_to_string(&mut self.words).unwrap();
        Output {
            status: self.child.wait().unwrap(),
            stdout: Vec::new(),
            stderr: self.words.into_bytes(),
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_person_logs_in_with_a_browser_and_the_job_runs() {
    let Some(server) = OauthServer::start(&json!({})) else {
        return;
    };
    let Some(browser) = Browser::start() else {
        return;
    };
    let place = Place::new();
    let path = job(&place, &server, "mine", PERSON);
    let login = Login::start(harvest_in(&place), &path, &[]);
    browser.go(&login.link);
    browser.type_in("input[name=login]", "alice");
    browser.type_in("input[name=password]", "any");
    browser.click("button[type=submit]");
    // Another page with a button: the consent.
    browser.find("input[name=prompt][value=consent]");
    browser.click("button[type=submit]");
    browser.reads("h1", "You are logged in");
    assert!(browser.text("p").contains("You can close this tab"));
    assert!(browser.url().starts_with("http://127.0.0.1:"));
    // For people who want to see it: HARVEST_SCREENSHOTS names a folder.
    if let Some(folder) = std::env::var_os("HARVEST_SCREENSHOTS") {
        browser.screenshot(&Path::new(&folder).join("login.png"));
    }
    let output = login.end();
    assert_exit(&output, 0);
    assert!(
        said(&output).contains("Logged in at 127.0.0.1"),
        "{}",
        told(&output)
    );
    let run = harvest_in(&place).arg(&path).output().unwrap();
    assert_exit(&run, 0);
    place.assert_exactly_once("mine.ndjson", ["a", "b", "c"]);
    for record in place.json_lines("mine.ndjson") {
        assert_eq!(
            (&record["account"], &record["client"]),
            (&json!("alice"), &json!("person"))
        );
    }
    assert_eq!(server.granted("authorization_code"), 1);
}

#[test]
fn a_person_who_declines_is_told_in_the_browser_and_in_the_terminal() {
    let Some(server) = OauthServer::start(&json!({})) else {
        return;
    };
    let Some(browser) = Browser::start() else {
        return;
    };
    let place = Place::new();
    let path = job(&place, &server, "mine", PERSON);
    let login = Login::start(harvest_in(&place), &path, &[]);
    browser.go(&login.link);
    browser.click("a[href$=abort]");
    browser.reads("h1", "The log-in did not succeed");
    assert!(browser.text("p").contains("access_denied"));
    if let Some(folder) = std::env::var_os("HARVEST_SCREENSHOTS") {
        browser.screenshot(&Path::new(&folder).join("declined.png"));
    }
    let output = login.end();
    assert_exit(&output, 1);
    assert!(said(&output).contains("access_denied"), "{}", told(&output));
    assert_eq!(server.granted("authorization_code"), 0);
}

/// A client with a secret, a fixed port, and BROWSER in the environment.
#[cfg(unix)]
#[test]
fn the_browser_that_the_environment_names_is_opened() {
    let Some(server) = OauthServer::start(&json!({})) else {
        return;
    };
    let place = Place::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let auth = format!(
        "client_id = \"person-secret\"\nclient_secret = \"person-s3cret\"\nscope = \"items\"\nredirect_port = {port}"
    );
    let path = job(&place, &server, "mine", &auth);

    // Somebody else has the port.
    let taken = harvest_in(&place).arg("login").arg(&path).output().unwrap();
    assert_exit(&taken, 1);
    assert!(
        said(&taken).contains(&format!("port {port}")),
        "{}",
        told(&taken)
    );
    assert!(said(&taken).contains("redirect_port"), "{}", told(&taken));
    drop(free);

    let opened = place.path("opened");
    let script = format!("#!/bin/sh\necho \"$1\" > '{}'\n", opened.display());
    let script = place.write("browser.sh", &script);
    let mut command = harvest_in(&place);
    // By its shell: what is in memory may not be allowed to run.
    command.env("BROWSER", format!("/bin/sh {}", script.display()));
    let login = Login::start(command, &path, &[]);
    assert!(
        login.words.contains("Opening the browser"),
        "{}",
        login.words
    );
    assert!(
        login
            .link
            .contains(&format!("127.0.0.1%3A{port}%2Fcallback")),
        "{}",
        login.link
    );
    let given = || std::fs::read_to_string(&opened).unwrap_or_default();
    until(|| given().ends_with('\n'));
    let link = given().trim().to_owned();
    assert_eq!(link, login.link);
    let mut visitor = Visitor::default();
    let page = visitor.visit(&link);
    let page = visitor.agree(page);
    assert_eq!(page.status, 200, "{}", page.html);
    assert!(page.html.contains("You are logged in"), "{}", page.html);
    let output = login.end();
    assert_exit(&output, 0);
    let run = harvest_in(&place).arg(&path).output().unwrap();
    assert_exit(&run, 0);
    place.assert_exactly_once("mine.ndjson", ["a", "b", "c"]);
    // None of the secrets was shown on the way.
    let all = format!("{}{}{}", told(&taken), told(&output), told(&run));
    assert!(!all.contains("person-s3cret"), "{all}");
}

#[test]
fn a_login_that_nobody_finishes_ends_when_told() {
    let Some(server) = OauthServer::start(&json!({})) else {
        return;
    };
    let place = Place::new();
    let path = job(&place, &server, "mine", PERSON);
    let login = Login::start(
        harvest_in(&place),
        &path,
        &["--no-browser", "--timeout", "1s"],
    );
    let output = login.end();
    assert_exit(&output, 1);
    assert!(
        said(&output).contains("nobody logged in within 1.0s"),
        "{}",
        told(&output)
    );
    #[cfg(unix)]
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let login = Login::start(harvest_in(&place), &path, &[]);
        let pid = login.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let output = login.end();
        assert_exit(&output, code);
        assert!(
            said(&output).contains("nothing was changed"),
            "{}",
            told(&output)
        );
    }
    // A job without a person has nobody to ask.
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("authorization_code", "client_credentials");
    let text = text.replace("client_id", "client_secret = \"x\"\nclient_id");
    let machine = place.write("machine.toml", &text);
    for command in ["login", "logout"] {
        let output = harvest_in(&place)
            .arg(command)
            .arg(&machine)
            .output()
            .unwrap();
        if command == "login" {
            assert_exit(&output, 2);
            assert!(
                said(&output).contains("needs no person"),
                "{}",
                told(&output)
            );
        } else {
            assert_exit(&output, 0);
        }
    }
}

/// Without a refresh token a login lasts as long as its access token.
#[test]
fn a_login_without_a_refresh_token_runs_out_and_says_so() {
    let Some(server) = OauthServer::start(&json!({ "access_token_s": 300 })) else {
        return;
    };
    let place = Place::new();
    let path = job(
        &place,
        &server,
        "mine",
        "client_id = \"short\"\nscope = \"items\"",
    );
    let login = Login::start(harvest_in(&place), &path, &["--no-browser"]);
    let mut visitor = Visitor::default();
    let page = visitor.visit(&login.link);
    visitor.agree(page);
    let output = login.end();
    assert_exit(&output, 0);
    assert!(
        said(&output).contains("without a refresh token"),
        "{}",
        told(&output)
    );
    assert_exit(&harvest_in(&place).arg(&path).output().unwrap(), 0);
    server.control("revoke", &json!({}));
    let mut again = harvest_in(&place);
    let output = again
        .arg(&path)
        .args(["--fresh", "--yes"])
        .output()
        .unwrap();
    assert_exit(&output, 1);
    assert!(said(&output).contains("harvest login"), "{}", told(&output));
}
