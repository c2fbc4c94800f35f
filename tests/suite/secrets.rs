//! Promise 6: credentials go where they belong, and appear nowhere else.

use crate::raw::{Raw, Reply, Req, Then, answer, bytes, ok};
use crate::support::{Api, Place, assert_exit, harvest, told, track_id};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SECRET: &str = "s3cr3t-of-the-test";
const EVERY_LOG: [[&str; 4]; 2] = [
    ["--log-level", "trace", "--log-format", "text"],
    ["--log-level", "trace", "--log-format", "json"],
];

fn holds(hay: &[u8], needle: &str) -> bool {
    hay.windows(needle.len()).any(|w| w == needle.as_bytes())
}

/// Every file below `folder`, but job files.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_none_or(|e| e != "toml") {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found
}

/// None of `secrets` in what the run printed, nor in any of its files.
#[track_caller]
fn assert_hidden<'a>(
    output: &Output,
    place: &Place,
    secrets: impl IntoIterator<Item = &'a str> + Clone,
) {
    let mut all = files(&place.path("."));
    all.push(("stdout".into(), output.stdout.clone()));
    all.push(("stderr".into(), output.stderr.clone()));
    for (name, content) in &all {
        for secret in secrets.clone() {
            assert!(secret.len() >= 5, "too short to search for: {secret}");
            assert!(
                !holds(content, secret),
                "{secret} is in {name}:\n{}",
                String::from_utf8_lossy(content)
            );
        }
    }
}

/// What the client's secret may look like: bare, form-encoded, in a Basic header.
fn forms(id: &str, secret: &str) -> Vec<String> {
    let form = |text: &str| -> String {
        let query: Vec<(String, String)> = vec![(String::new(), text.to_owned())];
        let url = reqwest::Url::parse_with_params("http://x/", query.iter().map(|(a, b)| (a, b)))
            .unwrap();
        url.query().unwrap().trim_start_matches('=').to_owned()
    };
    let pair = format!("{}:{}", form(id), form(secret));
    vec![
        secret.to_owned(),
        form(secret),
        BASE64_STANDARD.encode(pair),
        BASE64_STANDARD.encode(format!("{id}:{secret}")),
        BASE64_STANDARD
            .encode(secret)
            .trim_end_matches('=')
            .to_owned(),
    ]
}

/// Runs a job and watches its command line meanwhile, as `ps` shows it.
fn watched(mut command: Command, secrets: &[String]) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let shown = format!("/proc/{}/cmdline", child.id());
    let comm = format!("/proc/{}/comm", child.id());
    if cfg!(target_os = "linux") {
        std::thread::sleep(Duration::from_millis(100));
        let shown = fs::read(shown).unwrap_or_default();
        let comm = fs::read(comm).unwrap_or_default();
        for secret in secrets {
            assert!(
                !holds(&shown, secret) && !holds(&comm, secret),
                "in the process list"
            );
        }
    }
    child.wait_with_output().unwrap()
}

/// The embedded API: tokens that live a second, one item that refuses each of
/// them, redirects, bad answers, faults.
#[test]
fn a_run_with_401s_redirects_and_faults_shows_no_secret() {
    troubled_run(EVERY_LOG[0]);
}

#[test]
fn nor_does_one_that_logs_json() {
    troubled_run(EVERY_LOG[1]);
}

fn troubled_run(log: [&str; 4]) {
    let api = Api::start(&[
        "--token-lifetime",
        "1s",
        "--latency",
        "300ms",
        "--fault-rate",
        "0.1",
    ]);
    let mut ids: Vec<String> = (0..90).map(track_id).collect();
    ids.extend((200..220).map(|n| format!("redirect-{}", track_id(n))));
    for bad in [
        "status-400",
        "status-401",
        "status-403",
        "status-500",
        "html",
        "malformed",
        "204",
        "empty",
    ] {
        ids.push(bad.into());
    }
    ids.push(format!("{:019}404", 7));
    let place = Place::new();
    place.write("ids.txt", &(ids.join("\n") + "\n"));
    let text = api
        .job(
            "file = \"ids.txt\"",
            "rate = \"60/s\"\nconcurrency = 32",
            "path = \"out.ndjson\"",
            "[retry]\nattempts = 3\nbackoff = \"50ms..200ms\"",
        )
        .replace(SECRET, "${TEST_SECRET}");
    let job = place.write("job.toml", &text);
    let mut secrets = forms("test-client", SECRET);
    let mut command = harvest();
    command.arg(&job).args(log).env("TEST_SECRET", SECRET);

    let output = watched(command, &secrets);

    assert_exit(&output, 3);
    let seen = api.seen();
    secrets.extend(seen.iter().filter_map(|s| s.issued.clone()));
    assert!(seen.iter().filter(|s| s.issued.is_some()).count() >= 2);
    assert!(
        seen.iter()
            .any(|s| s.method == "GET" && s.status == Some(401)),
        "no request was refused: the test shows nothing"
    );
    assert!(seen.iter().any(|s| s.status == Some(302)));
    assert!(place.path("out.ndjson.checkpoint").exists());
    assert_hidden(&output, &place, secrets.iter().map(String::as_str));
}

/// A raw API with tokens that it revokes after a few uses: every item request
/// is checked to carry a token that was issued.
#[test]
fn revoked_tokens_are_not_shown() {
    for log in EVERY_LOG {
        let issued = AtomicUsize::new(0);
        let used = AtomicUsize::new(0);
        let api = Raw::start(move |request, times| {
            if request.method == "POST" {
                let n = issued.fetch_add(1, Ordering::SeqCst) + 1;
                used.store(0, Ordering::SeqCst);
                return ok(format!(
                    "{{\"access_token\":\"tok3n-number-{n}-\",\"token_type\":\"Bearer\",\"expires_in\":3600}}"
                ));
            }
            let current = format!("Bearer tok3n-number-{}-", issued.load(Ordering::SeqCst));
            if request.header("authorization") != Some(&*current)
                || used.fetch_add(1, Ordering::SeqCst) >= 7
            {
                return answer("401 Unauthorized", "", "{\"error\":\"expired\"}");
            }
            match (request.last(), times) {
                ("500", _) => answer("500 Oh", "", "oh"),
                ("reset", _) => bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", Then::Reset),
                ("html", _) => ok("<title>no</title>"),
                ("hop", _) => answer("302 Found", "Location: /items/landed\r\n", ""),
                _ => ok("{\"id\":\"x\"}"),
            }
        });
        let place = Place::new();
        let ids: Vec<String> = (0..40)
            .map(|n| format!("i{n}"))
            .chain(["500", "reset", "html", "hop"].map(str::to_owned))
            .collect();
        let base = api.base();
        let elsewhere = Place::new();
        let secret_file = elsewhere.write("secret", &format!("{SECRET}\n"));
        let job = place.write(
            "job.toml",
            &format!(
                "[ids]\nlist = {ids:?}\n[request]\nurl = \"{base}/items/{{id}}\"\n\
                 [auth]\ntype = \"client_credentials\"\ntoken_url = \"{base}/token\"\n\
                 client_id = \"me\"\nclient_secret = \"${{file:{}}}\"\n\
                 [limits]\nrate = \"200/s\"\n[retry]\nattempts = 2\nbackoff = \"10ms..20ms\"\n\
                 [output]\npath = \"out.ndjson\"\nrecord = \"envelope\"\n",
                secret_file.display()
            ),
        );

        let output = harvest().arg(&job).args(log).output().unwrap();

        assert_exit(&output, 3);
        assert_eq!(place.lines("out.ndjson").len(), 41);
        assert_eq!(place.lines("out.ndjson.failed.ndjson").len(), 3);
        let mut secrets = forms("me", SECRET);
        secrets.push("tok3n-number".into());
        assert_hidden(&output, &place, secrets.iter().map(String::as_str));
        let posts = api.seen().iter().filter(|r| r.method == "POST").count();
        assert!(posts >= 5, "{posts} tokens");
    }
}

/// What a careless server repeats of the request must not end in our files.
fn repeated(ids: &[&str], auth: &str, more: &str) {
    let secret = "k3y-of/the+test.1";
    let api = Raw::start(|request, _| {
        let told = request.head.replace("\r\n", " | ").replace('"', "'");
        let json = format!("{{\"message\":\"no use with {told}\"}}");
        match request.last() {
            "400" => answer("400 Bad Request", "", json),
            "403" => answer("403 Forbidden", "", json),
            "500" => answer("500 Oh", "", json),
            "title" => ok(format!("<html><title>{told}</title>")),
            "late" => answer(
                "400 Bad Request",
                "",
                format!("{{\"message\":\"{}{told}\"}}", "x".repeat(200)),
            ),
            _ => ok("{}"),
        }
    });
    let place = Place::new();
    let job = place.write(
        "job.toml",
        &format!(
            "[ids]\nlist = {ids:?}\n\
                 [request]\nurl = \"{}/items/{{id}}\"\n{more}\n[auth]\n{auth}\n\
                 [limits]\nrate = \"200/s\"\n[retry]\nattempts = 2\nbackoff = \"10ms..20ms\"\n\
                 [output]\npath = \"out.ndjson\"\n",
            api.base()
        ),
    );

    let output = harvest()
        .arg(&job)
        .args(EVERY_LOG[0])
        .env("TEST_KEY", secret)
        .output()
        .unwrap();

    assert_exit(&output, 3);
    let pair = BASE64_STANDARD.encode(format!("me:{secret}"));
    let secrets = [secret, "k3y-of%2Fthe%2Btest.1", "k3y-of", &pair];
    assert_hidden(&output, &place, secrets);
}

const IN_ERRORS: [&str; 5] = ["good", "400", "403", "500", "late"];
const KEY_IN_HEADER: &str = "type = \"api_key\"\nname = \"X-Api-Key\"\nvalue = \"${TEST_KEY}\"";
const KEY_IN_QUERY: &str =
    "type = \"api_key\"\nin = \"query\"\nname = \"key\"\nvalue = \"${TEST_KEY}\"";

#[test]
fn a_token_that_the_server_repeats_is_not_shown() {
    repeated(&IN_ERRORS, "type = \"bearer\"\ntoken = \"${TEST_KEY}\"", "");
}

#[test]
fn a_password_that_the_server_repeats_is_not_shown() {
    let auth = "type = \"basic\"\nusername = \"me\"\npassword = \"${TEST_KEY}\"";
    repeated(&IN_ERRORS, auth, "");
}

#[test]
fn a_key_in_a_header_that_the_server_repeats_is_not_shown() {
    repeated(&IN_ERRORS, KEY_IN_HEADER, "");
}

/// It is in the URL, percent-encoded: `-` and `.` as they are, `/` and `+` not.
#[test]
fn a_key_in_the_query_that_the_server_repeats_is_not_shown() {
    repeated(&IN_ERRORS, KEY_IN_QUERY, "");
}

#[test]
fn a_secret_header_that_the_server_repeats_is_not_shown() {
    let more = "headers = { \"X-Own-Key\" = \"${TEST_KEY}\" }";
    repeated(&IN_ERRORS, "type = \"none\"", more);
}

#[test]
fn a_secret_query_that_the_server_repeats_is_not_shown() {
    let more = "query = { key = \"${TEST_KEY}\" }";
    repeated(&IN_ERRORS, "type = \"none\"", more);
}

/// A title is shown, but cut: the secret must be taken out before.
#[test]
fn a_key_in_the_title_of_a_web_page_is_not_shown() {
    repeated(&["good", "title"], KEY_IN_HEADER, "");
}

/// Nor what it repeats when that ends the run.
#[test]
fn what_a_server_repeats_as_it_refuses_us_is_not_shown() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let api = Raw::start(move |request, _| {
            let sent = request.header("authorization").unwrap_or("none");
            answer(status, "", format!("{{\"error\":\"no use with {sent}\"}}"))
        });
        let place = Place::new();
        let job = place.write(
            "job.toml",
            &format!(
                "[ids]\nlist = [\"a\", \"b\"]\n[request]\nurl = \"{}/{{id}}\"\n[auth]\ntype = \"bearer\"\n\
                 token = \"b3arer-token-of-the-test\"\n[output]\npath = \"out.ndjson\"\n",
                api.base()
            ),
        );
        let output = harvest().arg(&job).args(EVERY_LOG[0]).output().unwrap();
        assert_exit(&output, 1);
        assert_hidden(&output, &place, ["b3arer-token-of-the-test"]);
    }
}

fn redirecting(to: String) -> Raw {
    Raw::start(move |request, _| match request.last() {
        "away" => answer("302 Found", &format!("Location: {to}/landed\r\n"), ""),
        "away-307" => answer(
            "307 Temporary Redirect",
            &format!("Location: {to}/landed-307\r\n"),
            "",
        ),
        "home" => answer("302 Found", "Location: /items/landed-home\r\n", ""),
        _ => ok(format!("{{\"id\":\"{}\"}}", request.last())),
    })
}

fn redirect_job(base: &str, auth: &str) -> String {
    format!(
        "[ids]\nlist = [\"plain\", \"away\", \"away-307\", \"home\"]\n[request]\nurl = \"{base}/items/{{id}}\"\n\
         headers = {{ \"X-Tenant\" = \"tenant-of-the-test\" }}\nquery = {{ market = \"US\" }}\n\
         {auth}\n[retry]\nattempts = 2\nbackoff = \"10ms..20ms\"\n[output]\npath = \"out.ndjson\"\n"
    )
}

/// Another port is another origin: it sees no credentials, no headers of the job, no key.
#[test]
fn nothing_is_carried_to_another_origin() {
    for auth in [
        "[auth]\ntype = \"bearer\"\ntoken = \"credential-of-the-test\"",
        "[auth]\ntype = \"basic\"\nusername = \"u\"\npassword = \"credential-of-the-test\"",
        "[auth]\ntype = \"api_key\"\nname = \"X-Api-Key\"\nvalue = \"credential-of-the-test\"",
        "[auth]\ntype = \"api_key\"\nin = \"query\"\nname = \"key\"\nvalue = \"credential-of-the-test\"",
    ] {
        let other = Raw::start(|request, _| ok(format!("{{\"id\":\"{}\"}}", request.last())));
        // Once away, a way back brings no credentials either.
        let api = redirecting(other.base());
        let place = Place::new();
        let job = place.write("job.toml", &redirect_job(&api.base(), auth));

        let output = harvest().arg(&job).args(EVERY_LOG[0]).output().unwrap();

        assert_exit(&output, 0);
        let mut records = place.lines("out.ndjson");
        records.sort();
        assert_eq!(
            records,
            ["landed", "landed-307", "landed-home", "plain"]
                .map(|id| format!("{{\"id\":\"{id}\"}}"))
        );
        let arrived = other.seen();
        assert_eq!(arrived.len(), 2);
        for request in &arrived {
            let head = request.head.to_ascii_lowercase();
            assert!(request.header("authorization").is_none(), "{head}");
            for word in [
                "credential",
                "dtpjcmvkz",
                "x-tenant",
                "tenant-of",
                "x-api-key",
                "referer",
                "cookie",
            ] {
                assert!(!head.contains(word), "{word}: {head}");
            }
        }
        for request in api.seen().iter().filter(|r| r.last() != "landed-home") {
            assert_eq!(request.header("x-tenant"), Some("tenant-of-the-test"));
            assert!(
                request.head.contains("credential-of-the-test") || request.head.contains("Basic "),
                "{}",
                request.head
            );
        }
        assert_hidden(&output, &place, ["credential-of-the-test"]);
    }
}

#[test]
fn a_way_back_home_brings_no_credentials() {
    let home = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", home.local_addr().unwrap());
    let back = format!("Location: {base}/items/back\r\n");
    let other = Raw::start(move |_, _| answer("302 Found", &back, ""));
    let to = format!("Location: {}/x\r\n", other.base());
    let api = Raw::on(home, move |request, _| match request.last() {
        "away" => answer("302 Found", &to, ""),
        _ => ok("{}"),
    });
    let place = Place::new();
    let job = place.write(
        "job.toml",
        &format!(
            "[ids]\nlist = [\"away\"]\n[request]\nurl = \"{base}/items/{{id}}\"\n\
             [auth]\ntype = \"bearer\"\ntoken = \"credential-of-the-test\"\n[output]\npath = \"out.ndjson\"\n"
        ),
    );

    let output = harvest().arg(&job).output().unwrap();

    assert_exit(&output, 0);
    let seen = api.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].header("authorization").is_some());
    assert!(seen[1].header("authorization").is_none());
}

/// A token endpoint that redirects gets no second chance to see the secret elsewhere.
#[test]
fn the_secret_does_not_follow_a_redirect_of_the_token_endpoint() {
    let other = Raw::start(|_, _| {
        ok("{\"access_token\":\"stolen\",\"token_type\":\"bearer\",\"expires_in\":3600}")
    });
    let to = format!("Location: {}/token\r\n", other.base());
    let api = Raw::start(move |_, _| answer("307 Temporary Redirect", &to, ""));
    let place = Place::new();
    let job = place.write("job.toml", &grant_job(&api.base(), "me", SECRET, ""));

    let output = harvest().arg(&job).output().unwrap();

    assert_exit(&output, 1);
    assert!(other.seen().is_empty());
    assert!(api.seen().iter().all(|r| r.method == "POST"));
    assert_hidden(
        &output,
        &place,
        forms("me", SECRET).iter().map(String::as_str),
    );
}

fn grant_job(base: &str, id: &str, secret: &str, more: &str) -> String {
    format!(
        "[ids]\nlist = [\"a\", \"b\"]\n[request]\nurl = \"{base}/items/{{id}}\"\n\
         [auth]\ntype = \"client_credentials\"\ntoken_url = \"{base}/token\"\n\
         client_id = {id:?}\nclient_secret = {secret:?}\n{more}\n[output]\npath = \"out.ndjson\"\n"
    )
}

fn refused(describe: fn(&Req) -> String) {
    for log in EVERY_LOG {
        let api = Raw::start(move |request, _| {
            answer(
                "401 Unauthorized",
                "WWW-Authenticate: Basic\r\n",
                format!(
                    "{{\"error\":\"invalid_client\",\"error_description\":\"{}\"}}",
                    describe(request)
                ),
            )
        });
        let place = Place::new();
        let job = place.write("job.toml", &grant_job(&api.base(), "me", SECRET, ""));
        let began = Instant::now();

        let output = harvest().arg(&job).args(log).output().unwrap();

        assert_exit(&output, 1);
        assert!(
            told(&output).contains("invalid_client"),
            "{}",
            told(&output)
        );
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(api.seen().len(), 1, "tried again, or went on to the items");
        assert!(place.lines("out.ndjson").is_empty());
        assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
        assert_hidden(
            &output,
            &place,
            forms("me", SECRET).iter().map(String::as_str),
        );
    }
}

#[test]
fn a_refused_secret_is_not_shown() {
    refused(|request| format!("no client has {SECRET}, {}", request.body));
}

/// A careless endpoint repeats the header that it was given.
#[test]
fn a_refused_secret_is_not_shown_in_base64() {
    refused(|request| format!("no client has {}", request.header("authorization").unwrap()));
}

/// A key in the query is in every URL, and an HTTP client's errors like to name those.
#[test]
fn a_key_in_the_query_is_shown_nowhere() {
    let key = "k3y-of/the+test";
    for log in EVERY_LOG {
        let api = Raw::start(|request, _| match request.last() {
            "reset" => bytes("", Then::Reset),
            "cut" => bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", Then::Close),
            "http" => bytes("nonsense\r\n\r\n", Then::Close),
            "html" => ok("<html>"),
            "500" => answer("500 Oh", "", "oh"),
            "loop" => answer(
                "302 Found",
                &format!("Location: {}\r\n", request.target),
                "",
            ),
            "odd" => answer("302 Found", "Location: ftp://x/\r\n", ""),
            "slow" => Reply {
                parts: vec![(Duration::from_secs(3), Vec::new())],
                then: Then::Close,
            },
            _ => ok("{}"),
        });
        let place = Place::new();
        let job = place.write(
            "job.toml",
            &format!(
                "[ids]\nlist = [\"a\", \"reset\", \"b\", \"cut\", \"http\", \"c\", \"html\", \"500\", \"d\", \"loop\", \"odd\", \"e\", \"slow\", \"f\"]\n\
                 [request]\nurl = \"{}/items/{{id}}\"\ntimeout = \"1s\"\n\
                 [auth]\ntype = \"api_key\"\nin = \"query\"\nname = \"api key\"\nvalue = \"${{TEST_KEY}}\"\n\
                 [limits]\nrate = \"100/s\"\n[retry]\nattempts = 2\nbackoff = \"10ms..20ms\"\n[output]\npath = \"out.ndjson\"\n",
                api.base()
            ),
        );
        let secrets: Vec<String> = [key, "k3y-of%2Fthe%2Btest", "k3y-of"]
            .map(str::to_owned)
            .into();
        let mut command = harvest();
        command.arg(&job).args(log).env("TEST_KEY", key);

        let output = watched(command, &secrets);

        assert_exit(&output, 3);
        assert_eq!(place.lines("out.ndjson").len(), 6);
        assert_eq!(place.lines("out.ndjson.failed.ndjson").len(), 8);
        assert_hidden(&output, &place, secrets.iter().map(String::as_str));
        for request in api.seen().iter().filter(|r| r.last() != "loop") {
            let url = reqwest::Url::parse(&format!("http://x{}", request.target)).unwrap();
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            assert_eq!(pairs, [("api key".to_owned(), key.to_owned())]);
        }
        // With nobody there, too.
        let text = fs::read_to_string(&job)
            .unwrap()
            .replace(&api.base(), "http://127.0.0.1:1");
        let text = text.replace("[limits]", "[limits]\nmax_wait = \"1s\"");
        let text = text.replace("out.ndjson", "down.ndjson");
        let job = place.write("down.toml", &text);
        let output = harvest()
            .arg(&job)
            .args(log)
            .env("TEST_KEY", key)
            .output()
            .unwrap();
        assert_exit(&output, 75);
        assert_hidden(&output, &place, secrets.iter().map(String::as_str));
    }
}

/// The header of the one request that a job with this [auth] sends.
fn sent(auth: &str) -> Req {
    let api = Raw::start(|_, _| ok("{}"));
    let place = Place::new();
    let job = place.write(
        "job.toml",
        &format!(
            "[ids]\nlist = [\"a\"]\n[request]\nurl = \"{}/items/{{id}}\"\n[auth]\n{auth}\n[output]\npath = \"out.ndjson\"\n",
            api.base()
        ),
    );
    assert_exit(&harvest().arg(job).output().unwrap(), 0);
    api.seen().remove(0)
}

#[test]
fn credentials_arrive() {
    let request = sent("type = \"bearer\"\ntoken = \"abc.DEF-123\"");
    assert_eq!(request.header("authorization"), Some("Bearer abc.DEF-123"));
    // RFC 7617: UTF-8, and the password may hold colons.
    let request = sent("type = \"basic\"\nusername = \"Aladdin\"\npassword = \"open:sésame\"");
    let pair = BASE64_STANDARD.encode("Aladdin:open:sésame");
    assert_eq!(
        request.header("authorization"),
        Some(&*format!("Basic {pair}"))
    );
    let request = sent("type = \"api_key\"\nname = \"X-Api-Key\"\nvalue = \"k 1\"");
    assert_eq!(request.header("x-api-key"), Some("k 1"));
    assert_eq!(request.header("authorization"), None);
    let request = sent("type = \"none\"");
    assert_eq!(request.header("authorization"), None);
}

fn granting() -> Raw {
    Raw::start(|request, _| match request.method.as_str() {
        "POST" => {
            ok("{\"access_token\":\"the-token\",\"token_type\":\"bearer\",\"expires_in\":3600}")
        }
        _ => ok("{}"),
    })
}

fn form(body: &str) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("http://x/?{body}")).unwrap();
    let mut pairs: Vec<_> = url.query_pairs().into_owned().collect();
    pairs.sort();
    pairs
}

/// RFC 6749 section 2.3.1: form-encoded first, then base64.
#[test]
fn the_client_authenticates_as_rfc_6749_says() {
    let api = granting();
    let place = Place::new();
    let job = place.write(
        "job.toml",
        &grant_job(
            &api.base(),
            "a:b c",
            "p%+ü",
            "scope = \"one two\"\nparams = { audience = \"x&y\" }",
        ),
    );
    assert_exit(&harvest().arg(job).output().unwrap(), 0);
    let seen = api.seen();
    let posts: Vec<_> = seen.iter().filter(|r| r.method == "POST").collect();
    assert_eq!(posts.len(), 1);
    let basic = posts[0].header("authorization").unwrap();
    let pair = BASE64_STANDARD
        .decode(basic.strip_prefix("Basic ").unwrap())
        .unwrap();
    assert_eq!(String::from_utf8(pair).unwrap(), "a%3Ab+c:p%25%2B%C3%BC");
    assert_eq!(
        posts[0].header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    let expected = [
        ("audience", "x&y"),
        ("grant_type", "client_credentials"),
        ("scope", "one two"),
    ];
    assert_eq!(
        form(&posts[0].body),
        expected.map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    for item in seen.iter().filter(|r| r.method == "GET") {
        assert_eq!(item.header("authorization"), Some("Bearer the-token"));
    }
}

#[test]
fn the_client_can_authenticate_in_the_body() {
    let api = granting();
    let place = Place::new();
    let job = place.write(
        "job.toml",
        &grant_job(&api.base(), "a:b c", "p%+ü", "client_auth = \"post\""),
    );
    assert_exit(&harvest().arg(job).output().unwrap(), 0);
    let seen = api.seen();
    let post = seen.iter().find(|r| r.method == "POST").unwrap();
    assert_eq!(post.header("authorization"), None);
    assert!(!post.target.contains('?'));
    let expected = [
        ("client_id", "a:b c"),
        ("client_secret", "p%+ü"),
        ("grant_type", "client_credentials"),
    ];
    assert_eq!(
        form(&post.body),
        expected.map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
}

/// Plain http beyond loopback needs the job's word.
#[test]
fn credentials_need_https_beyond_loopback() {
    let place = Place::new();
    let job = place.write(
        "job.toml",
        "[ids]\nlist = [\"a\"]\n[request]\nurl = \"http://api.example.invalid/{id}\"\n\
         [auth]\ntype = \"bearer\"\ntoken = \"credential-of-the-test\"\n[output]\npath = \"out.ndjson\"\n",
    );
    let output = harvest().arg(job).output().unwrap();
    assert_exit(&output, 2);
    assert!(told(&output).contains("allow_http"), "{}", told(&output));
    assert_hidden(&output, &place, ["credential-of-the-test"]);
    assert!(!place.path("out.ndjson").exists());
}

/// A mistake in the job file is shown with its line, but not with the secret in it.
#[test]
fn a_diagnostic_does_not_show_the_secret_beside_it() {
    let place = Place::new();
    let job = place.write(
        "job.toml",
        "[ids]\nlist = [\"a\"]\n[request]\nurl = \"https://api.example.invalid/{id}\"\n\
         [auth]\ntype = \"bearer\"\ntokn = \"credential-of-the-test\"\n[output]\npath = \"out.ndjson\"\n",
    );
    let output = harvest().arg(job).output().unwrap();
    assert_exit(&output, 2);
    assert!(
        told(&output).contains("did you mean `token`"),
        "{}",
        told(&output)
    );
    assert_hidden(&output, &place, ["credential-of-the-test"]);
}

/// A URL that is none is a mistake like any other: user and password in it are not shown.
#[test]
fn a_url_that_does_not_parse_shows_no_password() {
    const WRONG: [&str; 12] = [
        "https://user:hunt/er2pass9@api.example.invalid/v1",
        "https://user:hunt er2pass9@api.example.invalid/v1",
        "https://us er:hunt?er2pass9@api.example.invalid/v1",
        "https://user:hunt#er2pass9@api.example.invalid/v1",
        "https://user:hunt@er2pass9@api.example.invalid/v1",
        "https//user:hunter2pass9@api.example.invalid/v1",
        "https:/user:hunter2pass9@api.example.invalid/v1",
        "https:user:hunter2pass9@api.example.invalid/v1",
        "https:\\\\user:hunter2pass9@api.example.invalid/v1",
        "user:hunter2pass9@api.example.invalid/v1",
        "//user:hunter2pass9@api.example.invalid/v1",
        "htps://user:hunter2pass9@api.example.invalid/v1",
    ];
    let grant = "type = \"client_credentials\"\nclient_id = \"i\"\nclient_secret = \"s3cr3t\"\n";
    let login = "type = \"login\"\njson = { a = \"b\" }\ntoken_path = \"$.t\"\n";
    let code = "type = \"authorization_code\"\nclient_id = \"i\"\nredirect_port = 1\n";
    let device = "type = \"device_code\"\nclient_id = \"i\"\n";
    let good = "https://api.example.invalid";
    for wrong in WRONG {
        for (request, auth) in [
            (format!("url = \"{wrong}/{{id}}\""), String::new()),
            (
                format!("url = \"{good}/{{id}}\""),
                format!("{grant}token_url = \"{wrong}\""),
            ),
            (
                format!("url = \"{good}/{{id}}\""),
                format!("{grant}issuer = \"{wrong}\""),
            ),
            (
                format!("url = \"{good}/{{id}}\""),
                format!("{login}login_url = \"{wrong}\""),
            ),
            (
                format!("url = \"{good}/{{id}}\""),
                format!("{code}token_url = \"{good}\"\nauthorization_url = \"{wrong}\""),
            ),
            (
                format!("url = \"{good}/{{id}}\""),
                format!("{device}token_url = \"{good}\"\ndevice_authorization_url = \"{wrong}\""),
            ),
            // Beside another mistake, and in a file that is no TOML.
            (
                format!("url = \"{wrong}/{{id}}\"\nmethod = \"PUT\""),
                String::new(),
            ),
            (
                format!("url = \"{wrong}/{{id}}\"\nmethod = PUT"),
                String::new(),
            ),
            (
                format!(
                    "url = \"{good}/?ids={{ids}}\"\n[request.batch]\nsize = 2\nitems = \"$\"\n\
                     match = \"position\"\nsingle = \"{wrong}/{{id}}\""
                ),
                String::new(),
            ),
        ] {
            let place = Place::new();
            let auth = match auth.as_str() {
                "" => String::new(),
                auth => format!("[auth]\n{auth}\n"),
            };
            let job = place.write(
                "job.toml",
                &format!(
                    "[ids]\nlist = [\"a\"]\n[request]\n{request}\n{auth}[output]\npath = \"out.ndjson\"\n"
                ),
            );
            for words in [&["run"][..], &["check"]] {
                let output = harvest().args(words).arg(&job).output().unwrap();
                assert_exit(&output, 2);
                assert_hidden(&output, &place, ["hunter", "er2pass"]);
            }
        }
    }
}

/// A server that makes its ETag of the key: it is not kept.
#[test]
fn a_validator_that_has_a_credential_is_kept_in_no_file() {
    let key = "credential-of-the-test";
    let encoded: String = key.bytes().map(|b| format!("%{b:02x}")).collect();
    let base64 = BASE64_STANDARD.encode(key);
    let pair = BASE64_STANDARD.encode(format!("user:{key}"));
    for tag in [key, &encoded, &base64, &pair] {
        for name in ["ETag", "Last-Modified"] {
            let header = format!("{name}: \"{tag}\"\r\n");
            let api = Raw::start(move |_, _| answer("200 OK", &header, "{\"id\":\"a\"}"));
            let place = Place::new();
            let job = place.write(
                "job.toml",
                &format!(
                    "[ids]\nlist = [\"a\"]\n[request]\nurl = \"{}/{{id}}\"\n[auth]\ntype = \"bearer\"\n\
                     token = \"{key}\"\n[output]\npath = \"out.ndjson\"\n",
                    api.base()
                ),
            );
            let output = harvest().arg(&job).output().unwrap();
            assert_exit(&output, 0);
            assert!(place.path("out.ndjson.versions").exists());
            assert_hidden(&output, &place, [tag]);
        }
    }
}
