//! Every grant against servers that are not ours: oidc-provider, which is
//! certified, and Authlib's for assertions.

use crate::child::{end, spawn, until};
use crate::oauth_server::{AssertionServer, OauthServer, Visitor, http};
use crate::support::{Place, assert_exit, harvest, told};
use serde_json::json;
use std::path::PathBuf;
use std::process::{Command, Output};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The binary, with a state folder of the test's own.
fn harvest_in(place: &Place) -> Command {
    let mut command = harvest();
    command.env("XDG_STATE_HOME", place.path("state"));
    command.env_remove("BROWSER");
    command
}

fn run(place: &Place, arguments: &[&str]) -> Output {
    let mut command = harvest_in(place);
    command.args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A job of `items` items, at `rate`, with this [auth]; `{base}` is the server's.
fn job(place: &Place, base: &str, name: &str, items: usize, rate: &str, auth: &str) -> PathBuf {
    let ids: Vec<String> = (0..items).map(|n| format!("\"i{n}\"")).collect();
    let text = format!(
        "[ids]\nlist = [{}]\n[request]\nurl = \"{}/items/{{id}}\"\n[auth]\n{}\n\
         [limits]\nrate = \"{rate}\"\nmax_wait = \"30s\"\n[output]\npath = \"{name}.ndjson\"\n",
        ids.join(", "),
        base,
        auth.replace("{base}", base),
    );
    place.write(&format!("{name}.toml"), &text)
}

#[track_caller]
fn assert_whole(place: &Place, name: &str, items: usize) {
    let ids: Vec<String> = (0..items).map(|n| format!("i{n}")).collect();
    place.assert_exactly_once(&format!("{name}.ndjson"), ids.iter().map(String::as_str));
    assert_eq!(place.lines(&format!("{name}.ndjson")).len(), items);
}

/// The files of the state folder, `.json` of them.
fn logins(place: &Place) -> Vec<PathBuf> {
    let Ok(folder) = std::fs::read_dir(place.path("state/harvest/logins")) else {
        return Vec::new();
    };
    let paths = folder.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().unwrap() == "json")
        .collect()
}

#[test]
fn client_credentials_by_header_body_and_signed_assertion() {
    let Some(server) = OauthServer::start(&json!({ "access_token_s": 3 })) else {
        return;
    };
    let place = Place::new();
    place.write("key.pem", &server.machine_key);
    let ways = [
        (
            "basic",
            "client_id = \"machine-basic\"\nclient_secret = \"basic:s3cret/+%\"\ntoken_url = \"{base}/token\"",
        ),
        (
            "post",
            "client_id = \"machine-post\"\nclient_secret = \"post-s3cret\"\nclient_auth = \"post\"\ntoken_url = \"{base}/token\"",
        ),
        (
            "jwt",
            "client_id = \"machine-jwt\"\nclient_auth = \"private_key_jwt\"\nkey = \"${file:key.pem}\"\nkey_id = \"machine-key\"\nissuer = \"{base}\"",
        ),
    ];
    for (name, auth) in ways {
        let auth = format!("type = \"client_credentials\"\n{auth}");
        // 40 items at 8/s outlive a token of 3 s.
        let job = job(&place, &server.base, name, 40, "8/s", &auth);
        let output = run(&place, &[job.to_str().unwrap()]);
        assert_exit(&output, 0);
        assert_whole(&place, name, 40);
    }
    let granted = server.seen("granted");
    for client in ["machine-basic", "machine-post", "machine-jwt"] {
        let mine: Vec<_> = granted.iter().filter(|g| g["client"] == client).collect();
        assert!(mine.len() >= 2, "{client}: {mine:?}");
        assert!(
            mine.iter()
                .all(|g| g["basic"] == (client == "machine-basic"))
        );
    }
    assert!(server.seen("refused").is_empty());
    assert!(logins(&place).is_empty(), "a machine's tokens are not kept");
}

/// As Google's service accounts do it.
#[test]
fn a_service_account_s_assertion_is_exchanged_for_tokens() {
    let Some(server) = OauthServer::start(&json!({ "access_token_s": 3 })) else {
        return;
    };
    let place = Place::new();
    let key = json!({
        "type": "service_account",
        "client_email": "service@test",
        "private_key_id": "service-key",
        "private_key": server.service_key,
        "token_uri": format!("{}/token", server.base),
    });
    place.write("key.json", &key.to_string());
    let auth = "type = \"jwt_bearer\"\nclient_id = \"service\"\nkey_file = \"key.json\"\nscope = \"items\"";
    let job = job(&place, &server.base, "service", 40, "8/s", auth);
    assert_exit(&run(&place, &[job.to_str().unwrap()]), 0);
    assert_whole(&place, "service", 40);
    let assertions = server.seen("assertion");
    assert!(assertions.len() >= 2, "{assertions:?}");
    for assertion in &assertions {
        let claims = &assertion["claims"];
        assert_eq!(claims["iss"], "service@test");
        assert_eq!(claims["scope"], "items");
    }
    assert_eq!(server.granted(JWT_BEARER), assertions.len());
}

/// The key file of a service account, as Google gives it.
fn key_file(place: &Place, server: &AssertionServer, key: &str) {
    let key = json!({
        "type": "service_account",
        "client_email": "service@test",
        "private_key_id": "service-key",
        "private_key": key,
        "token_uri": format!("{}/token", server.base),
    });
    place.write("key.json", &key.to_string());
}

#[test]
fn an_assertion_satisfies_another_server_and_another_key_does_not() {
    let Some(server) = AssertionServer::start(3) else {
        return;
    };
    let place = Place::new();
    key_file(&place, &server, &server.key);
    let auth = "type = \"jwt_bearer\"\nkey_file = \"key.json\"\nscope = \"items\"";
    let job = job(&place, &server.base, "service", 40, "8/s", auth);
    let job = job.to_str().unwrap();
    assert_exit(&run(&place, &[job]), 0);
    assert_whole(&place, "service", 40);
    let seen = server.seen();
    assert!(seen["granted"].as_u64().unwrap() >= 2, "{seen}");
    assert_eq!(seen["refused"], json!([]), "{seen}");
    assert_eq!(seen["items"], 40, "{seen}");

    // Signed by somebody else: its claims alone are worth nothing.
    let Some(other) = AssertionServer::start(3) else {
        return;
    };
    key_file(&place, &server, &other.key);
    let output = run(&place, &[job, "--fresh", "--yes"]);
    assert_exit(&output, 1);
    assert!(said(&output).contains("invalid_grant"), "{}", said(&output));
    let refused = server.seen()["refused"].clone();
    assert_eq!(refused[0]["error"], "invalid_grant", "{refused}");
    assert!(!said(&output).contains("PRIVATE KEY"));
}

const REFRESH: &str =
    "type = \"refresh_token\"\nissuer = \"{base}\"\nclient_id = \"person\"\nrefresh_token = \"";

#[test]
fn a_refresh_token_rotates_during_a_run_and_across_runs() {
    let Some(server) = OauthServer::start(&json!({ "access_token_s": 3 })) else {
        return;
    };
    let place = Place::new();
    let auth = format!("{REFRESH}{}\"", server.refresh_token("person"));
    let job = job(&place, &server.base, "mine", 60, "8/s", &auth);
    let job = job.to_str().unwrap();
    assert_exit(&run(&place, &[job, "--limit", "35"]), 0);
    let first = server.granted("refresh_token");
    assert!(first >= 2, "renewed while it ran: {first}");
    // The job's own refresh token is used up: only the kept one works now.
    assert_exit(&run(&place, &[job]), 0);
    assert_whole(&place, "mine", 60);
    assert!(server.granted("refresh_token") > first);
    assert!(
        server.seen("grant_revoked").is_empty(),
        "none was used twice"
    );
    assert!(server.seen("refused").is_empty());
    let kept = logins(&place);
    assert_eq!(kept.len(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&kept[0]), 0o600);
        assert_eq!(mode(kept[0].parent().unwrap()), 0o700);
    }
}

/// The server revokes everything when a used refresh token comes again: it
/// would come, if the two did not take turns.
#[test]
fn two_processes_that_renew_at_once_take_turns() {
    let settings = json!({ "access_token_s": 3, "refresh_delay_ms": 150 });
    let Some(server) = OauthServer::start(&settings) else {
        return;
    };
    let place = Place::new();
    let auth = format!("{REFRESH}{}\"", server.refresh_token("person"));
    let jobs = ["one", "other"].map(|name| job(&place, &server.base, name, 60, "6/s", &auth));
    let runs = jobs.map(|job| spawn(harvest_in(&place), &job));
    for run in runs {
        assert_exit(&end(run), 0);
    }
    for name in ["one", "other"] {
        assert_whole(&place, name, 60);
    }
    assert!(server.seen("grant_revoked").is_empty());
    assert!(server.seen("refused").is_empty());
    let renewed = server.granted("refresh_token");
    assert!(renewed >= 4, "both outlived their tokens: {renewed}");
    assert_eq!(logins(&place).len(), 1, "one login, whatever the job");
}

/// A token that lives for long is taken over: one request for both.
#[test]
fn two_processes_share_what_the_first_one_got() {
    let Some(server) = OauthServer::start(&json!({ "refresh_delay_ms": 400 })) else {
        return;
    };
    let place = Place::new();
    let auth = format!("{REFRESH}{}\"", server.refresh_token("person"));
    let jobs =
        ["one", "other", "third"].map(|name| job(&place, &server.base, name, 10, "20/s", &auth));
    let runs = jobs.map(|job| spawn(harvest_in(&place), &job));
    for run in runs {
        assert_exit(&end(run), 0);
    }
    assert_eq!(server.granted("refresh_token"), 1);
    assert_eq!(server.items(), (30, 0));
}

#[test]
fn a_token_revoked_in_mid_run_is_renewed_once() {
    let Some(server) = OauthServer::start(&json!({})) else {
        return;
    };
    let place = Place::new();
    let machine = "type = \"client_credentials\"\nissuer = \"{base}\"\nclient_id = \"machine-post\"\nclient_secret = \"post-s3cret\"\nclient_auth = \"post\"";
    let person = format!("{REFRESH}{}\"", server.refresh_token("person"));
    for (name, auth, grant) in [
        ("machine", machine, "client_credentials"),
        ("person", &person, "refresh_token"),
    ] {
        let (good, bad) = server.items();
        let job = job(&place, &server.base, name, 60, "20/s", auth);
        let run = spawn(harvest_in(&place), &job);
        until(|| server.items().0 >= good + 15);
        server.control("revoke", &json!({}));
        assert_exit(&end(run), 0);
        assert_whole(&place, name, 60);
        assert_eq!(server.granted(grant), 2, "{name}");
        let (_, refused) = server.items();
        assert!(
            (1..=8).contains(&(refused - bad)),
            "what was in flight: {refused}"
        );
    }
}

#[test]
fn a_refresh_token_that_is_no_good_stops_the_run_and_says_what_to_do() {
    let Some(server) = OauthServer::start(&json!({})) else {
        return;
    };
    let place = Place::new();
    let job = job(
        &place,
        &server.base,
        "mine",
        5,
        "20/s",
        &format!("{REFRESH}used-up-refresh-token\""),
    );
    let output = run(&place, &[job.to_str().unwrap()]);
    assert_exit(&output, 1);
    let said = said(&output);
    assert!(said.contains("invalid_grant"), "{said}");
    assert!(!said.contains("used-up-refresh-token"), "{said}");
    assert_eq!(server.items(), (0, 0));
}

const CODE: &str =
    "type = \"device_code\"\nissuer = \"{base}\"\nclient_id = \"person\"\nscope = \"openid items\"";

/// A person enters the code, and the run goes with it; then they log out.
#[test]
fn a_device_is_approved_used_and_logged_out() {
    let Some(server) = OauthServer::start(&json!({ "access_token_s": 3 })) else {
        return;
    };
    let place = Place::new();
    let job = job(&place, &server.base, "mine", 40, "8/s", CODE);
    let path = job.to_str().unwrap();

    // Without a login a run says what to do, and asks the API for nothing.
    let output = run(&place, &[path]);
    assert_exit(&output, 1);
    assert!(
        said(&output).contains(&format!("harvest login {path}")),
        "{}",
        told(&output)
    );
    assert_eq!(server.items(), (0, 0));
    let before = server.seen("request").len();
    let check = run(&place, &["check", path]);
    assert!(
        told(&check).contains("not logged in: run `harvest login"),
        "{}",
        told(&check)
    );
    assert_eq!(server.seen("request").len(), before, "check sends nothing");

    let mut login = harvest_in(&place);
    login.arg("login");
    let login = device_login(login, &job, &server, |visitor, link| {
        let page = visitor.visit(link);
        let page = visitor.agree(page);
        assert!(page.html.contains("Sign-in Success"), "{}", page.html);
    });
    assert_exit(&login, 0);
    let words = said(&login);
    assert!(words.contains("Logged in at 127.0.0.1"), "{words}");
    assert!(words.contains("to go on: harvest "), "{words}");
    let check = run(&place, &["check", path]);
    assert!(
        told(&check).contains("logged in; runs renew it"),
        "{}",
        told(&check)
    );

    assert_exit(&run(&place, &[path]), 0);
    assert_whole(&place, "mine", 40);
    assert_eq!(place.json_lines("mine.ndjson")[0]["account"], "alice");
    assert_eq!(server.granted(DEVICE), 1);
    assert!(server.granted("refresh_token") >= 2);

    let kept = std::fs::read_to_string(&logins(&place)[0]).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    let output = run(&place, &["logout", path]);
    assert_exit(&output, 0);
    assert!(
        said(&output).contains("Revoked at the server"),
        "{}",
        told(&output)
    );
    assert!(logins(&place).is_empty());
    // It really is over: the refresh token is worth nothing now.
    let refresh = kept["refresh_token"].as_str().unwrap();
    let form = format!("grant_type=refresh_token&client_id=person&refresh_token={refresh}");
    let headers = [(
        "Content-Type",
        "application/x-www-form-urlencoded".to_owned(),
    )];
    let answer = http("POST", &format!("{}/token", server.base), &headers, &form);
    assert!(answer.body.contains("invalid_grant"), "{}", answer.body);
    let output = run(&place, &["logout", path]);
    assert_exit(&output, 0);
    assert!(
        said(&output).contains("No log-in is kept"),
        "{}",
        told(&output)
    );
    assert_exit(&run(&place, &[path, "--fresh", "--yes"]), 1);
}

/// `harvest login` of a device; `person` gets the link with the code in it.
fn device_login(
    mut command: Command,
    job: &std::path::Path,
    server: &OauthServer,
    person: impl FnOnce(&mut Visitor, &str),
) -> Output {
    use std::io::{BufRead, BufReader, Read};
    let mut child = command
        .arg(job)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut words = String::new();
    let link = loop {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "{words}");
        words.push_str(&line);
        let line = line.trim();
        if line.starts_with(&server.base) && line.contains("user_code=") {
            break line.to_owned();
        }
    };
    let code = link.split("user_code=").nth(1).unwrap();
    assert!(
        words.lines().any(|line| line.trim() == code),
        "the code alone: {words}"
    );
    person(&mut Visitor::default(), &link);
    stderr.read_to_string(&mut words).unwrap();
    let status = child.wait().unwrap();
    Output {
        status,
        stdout: Vec::new(),
        stderr: words.into_bytes(),
    }
}

/// At the device, token and revocation endpoints alike.
#[test]
fn a_client_with_credentials_logs_a_device_in_and_out() {
    let Some(server) = OauthServer::start(&json!({ "access_token_s": 3 })) else {
        return;
    };
    let place = Place::new();
    place.write("key.pem", &server.machine_key);
    let key =
        "client_auth = \"private_key_jwt\"\nkey = \"${file:key.pem}\"\nkey_id = \"machine-key\"";
    for (client, auth) in [
        ("person-secret", "client_secret = \"person-s3cret\""),
        (
            "person-post",
            "client_secret = \"person-p0st\"\nclient_auth = \"post\"",
        ),
        ("person-jwt", key),
    ] {
        let auth = format!(
            "{}\n{auth}",
            CODE.replace("\"person\"", &format!("\"{client}\""))
        );
        let job = job(&place, &server.base, client, 5, "20/s", &auth);
        let mut login = harvest_in(&place);
        login.arg("login");
        let login = device_login(login, &job, &server, |visitor, link| {
            let page = visitor.visit(link);
            visitor.agree(page);
        });
        assert_exit(&login, 0);
        // The login's own access token is over by now.
        std::thread::sleep(std::time::Duration::from_secs(3));
        assert_exit(&run(&place, &[job.to_str().unwrap()]), 0);
        assert_whole(&place, client, 5);
        let logout = run(&place, &["logout", job.to_str().unwrap()]);
        assert_exit(&logout, 0);
        assert!(
            said(&logout).contains("Revoked at the server"),
            "{}",
            told(&logout)
        );
    }
    assert_eq!(server.granted("refresh_token"), 3);
    assert_eq!(server.seen("grant_revoked").len(), 3);
    assert!(logins(&place).is_empty());
}

#[test]
fn a_device_that_is_turned_away_or_forgotten_is_told() {
    let Some(server) = OauthServer::start(&json!({ "device_code_s": 12 })) else {
        return;
    };
    let place = Place::new();
    let job = job(&place, &server.base, "mine", 5, "20/s", CODE);
    let login = |person: &dyn Fn(&mut Visitor, &str)| {
        let mut command = harvest_in(&place);
        command.arg("login");
        device_login(command, &job, &server, person)
    };
    let output = login(&|visitor, link| {
        let page = visitor.visit(link);
        let page = visitor.submit(&page, &[]);
        visitor.submit(&page, &[("abort", "yes")]);
    });
    assert_exit(&output, 1);
    assert!(
        said(&output).contains("refused: access_denied"),
        "{}",
        told(&output)
    );
    let output = login(&|_, _| {});
    assert_exit(&output, 1);
    assert!(
        said(&output).contains("not entered in time"),
        "{}",
        told(&output)
    );
    assert!(logins(&place).is_empty());
}

/// Consent withdrawn at the server: the run stops, and says how to go on.
#[test]
fn a_login_that_was_revoked_at_the_server_asks_for_another_one() {
    let Some(server) = OauthServer::start(&json!({ "access_token_s": 3 })) else {
        return;
    };
    let place = Place::new();
    let job = job(&place, &server.base, "mine", 60, "8/s", CODE);
    let mut login = harvest_in(&place);
    login.arg("login");
    let agree = |visitor: &mut Visitor, link: &str| {
        let page = visitor.visit(link);
        visitor.agree(page);
    };
    assert_exit(&device_login(login, &job, &server, agree), 0);
    let run = spawn(harvest_in(&place), &job);
    until(|| server.items().0 >= 10);
    server.control("revoke-grants", &json!({}));
    let output = end(run);
    assert_exit(&output, 1);
    assert!(said(&output).contains("harvest login"), "{}", told(&output));
    let done = place.lines("mine.ndjson").len();
    assert!((10..60).contains(&done), "{done}");
    // After another one it goes on where it stopped.
    let mut login = harvest_in(&place);
    login.arg("login");
    assert_exit(&device_login(login, &job, &server, agree), 0);
    assert_exit(&end(spawn(harvest_in(&place), &job)), 0);
    assert_whole(&place, "mine", 60);
}

#[test]
fn a_logout_says_when_the_server_was_not_told() {
    let Some(server) = OauthServer::start(&json!({})) else {
        return;
    };
    let place = Place::new();
    let seed = || format!("{REFRESH}{}\"", server.refresh_token("person"));
    let without = seed().replace("issuer = \"{base}\"", "token_url = \"{base}/token\"");
    let without = job(&place, &server.base, "without", 2, "20/s", &without);
    let without = without.to_str().unwrap();
    assert_exit(&run(&place, &[without]), 0);
    let output = run(&place, &["logout", without]);
    assert_exit(&output, 0);
    assert!(said(&output).contains("Not revoked"), "{}", told(&output));
    assert!(logins(&place).is_empty());

    let down = job(&place, &server.base, "down", 2, "20/s", &seed());
    let down = down.to_str().unwrap().to_owned();
    assert_exit(&run(&place, &[&down]), 0);
    drop(server);
    let output = run(&place, &["logout", &down]);
    assert_exit(&output, 1);
    assert!(
        said(&output).contains("forgotten here, but not revoked"),
        "{}",
        told(&output)
    );
    assert!(logins(&place).is_empty());
}

#[test]
fn a_damaged_login_is_told_by_its_name() {
    let Some(server) = OauthServer::start(&json!({})) else {
        return;
    };
    let place = Place::new();
    let auth = format!("{REFRESH}{}\"", server.refresh_token("person"));
    let job = job(&place, &server.base, "mine", 5, "20/s", &auth);
    let job = job.to_str().unwrap();
    assert_exit(&run(&place, &[job]), 0);
    let kept = logins(&place);
    let text = std::fs::read_to_string(&kept[0]).unwrap();
    std::fs::write(&kept[0], &text[..text.len() / 2]).unwrap();
    for arguments in [&[job, "--fresh", "--yes"][..], &["check", job]] {
        let output = run(&place, arguments);
        let words = told(&output);
        assert!(words.contains("damaged"), "{words}");
        assert!(
            words.contains(kept[0].file_name().unwrap().to_str().unwrap()),
            "{words}"
        );
    }
    assert_eq!(server.granted("refresh_token"), 1);
    assert_exit(&run(&place, &["logout", job]), 0);
    assert!(logins(&place).is_empty());
}
