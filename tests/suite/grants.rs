//! Grants and log-ins by the letter: what is sent, looked at by the server's
//! side; a refresh token through kills; where an issuer's endpoints are.
#![cfg(unix)]

use crate::child::{end, signal, spawn, until};
use crate::raw::{Raw, Reply, Req, answer, ok};
use crate::support::{Api, Place, assert_exit, harvest, told};
use crate::{child, support, tools};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The binary, with a state folder of the test's own.
fn harvest_in(place: &Place) -> Command {
    let mut command = harvest();
    command.env("XDG_STATE_HOME", place.path("state"));
    command
}

fn run(place: &Place, job: &Path) -> Output {
    harvest_in(place).arg(job).output().unwrap()
}

fn form(request: &Req) -> BTreeMap<String, String> {
    form_urlencoded::parse(request.body.as_bytes())
        .into_owned()
        .collect()
}

/// A job of these items, with this [auth]; `{base}` is the server's.
fn job(place: &Place, base: &str, items: usize, auth: &str) -> PathBuf {
    let ids: Vec<String> = (0..items).map(|n| format!("\"i{n}\"")).collect();
    let text = format!(
        "[ids]\nlist = [{}]\n[request]\nurl = \"{base}/items/{{id}}\"\n[auth]\n{}\n\
         [limits]\nrate = \"unlimited\"\nmax_wait = \"30s\"\n[output]\npath = \"out.ndjson\"\n",
        ids.join(", "),
        auth.replace("{base}", base),
    );
    place.write("job.toml", &text)
}

#[track_caller]
fn assert_whole(place: &Place, items: usize) {
    let ids: Vec<String> = (0..items).map(|n| format!("i{n}")).collect();
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
    assert_eq!(place.lines("out.ndjson").len(), items);
}

fn item(request: &Req) -> Reply {
    ok(format!("{{\"id\":\"{}\"}}", request.last()))
}

/// No secret of ours in anything that is shown or kept beside the state folder.
#[track_caller]
fn assert_silent(place: &Place, output: &Output, secrets: &[&str]) {
    let mut said = told(output);
    for name in ["out.ndjson", "out.ndjson.failed.ndjson"] {
        said += &place.lines(name).join("\n");
    }
    for secret in secrets {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
}

fn openssl(place: &Place, arguments: &[&str]) -> Output {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(place.path("."));
    command.stdin(Stdio::null()).output().unwrap()
}

/// Whether `openssl` takes the signature.
fn verifies(place: &Place, message: &str, signature: &[u8], more: &[&str]) -> bool {
    place.write("message", message);
    std::fs::write(place.path("signature"), signature).unwrap();
    let mut arguments = vec!["dgst", "-sha256", "-verify", "public.pem"];
    arguments.extend(["-signature", "signature"]);
    arguments.extend(more);
    arguments.push("message");
    openssl(place, &arguments).status.success()
}

/// The parts of a JWT: header, claims, what is signed, the signature.
fn parts(jwt: &str) -> (Value, Value, String, Vec<u8>) {
    let parts: Vec<&str> = jwt.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("{jwt}");
    };
    let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    let read = |part: &str| serde_json::from_slice::<Value>(&decoded(part)).unwrap();
    let message = format!("{header}.{claims}");
    (read(header), read(claims), message, decoded(signature))
}

/// Tokens that live so short that several are needed; the API takes any of them.
fn granting(life_s: u32) -> Raw {
    Raw::start(move |request, times| {
        if request.method == "POST" {
            return ok(format!(
                "{{\"access_token\":\"t{times}\",\"expires_in\":{life_s}}}"
            ));
        }
        match request.header("authorization") {
            Some(token) if token.starts_with("Bearer t") => item(request),
            _ => answer("401 Unauthorized", "", "{}"),
        }
    })
}

#[test]
fn a_client_s_assertion_is_signed_by_its_key_and_never_the_same() {
    if !tools::tool("openssl", "openssl") {
        return;
    }
    let pss = [
        "-sigopt",
        "rsa_padding_mode:pss",
        "-sigopt",
        "rsa_pss_saltlen:32",
    ];
    for (algorithm, more, pkcs1) in [
        ("RS256", &[][..], false),
        ("RS256", &[][..], true),
        ("PS256", &pss[..], false),
    ] {
        let place = Place::new();
        let bits = ["-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"];
        openssl(
            &place,
            &[&["genpkey", "-algorithm", "RSA"][..], &bits].concat(),
        );
        let public = ["rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"];
        openssl(&place, &public);
        if pkcs1 {
            let old = ["rsa", "-in", "key.pem", "-traditional", "-out", "old.pem"];
            openssl(&place, &old);
            std::fs::rename(place.path("old.pem"), place.path("key.pem")).unwrap();
            assert!(place.read("key.pem").contains("BEGIN RSA PRIVATE KEY"));
        }
        let api = granting(1);
        let auth = format!(
            "type = \"client_credentials\"\ntoken_url = \"{{base}}/token\"\n\
             client_id = \"me@example\"\nclient_auth = \"private_key_jwt\"\n\
             key = \"${{file:key.pem}}\"\nkey_id = \"k1\"\nalgorithm = \"{algorithm}\"\n\
             lifetime = \"90s\"\nscope = \"a b\""
        );
        let job = job(&place, &api.base(), 30, &auth);
        let slow = std::fs::read_to_string(&job).unwrap();
        std::fs::write(&job, slow.replace("\"unlimited\"", "\"15/s\"")).unwrap();
        let output = run(&place, &job);
        assert_exit(&output, 0);
        assert_whole(&place, 30);

        let asked: Vec<Req> = api
            .seen()
            .into_iter()
            .filter(|r| r.method == "POST")
            .collect();
        assert!(asked.len() >= 2, "{} token requests", asked.len());
        let mut ids = BTreeSet::new();
        for request in &asked {
            assert_eq!(request.header("authorization"), None);
            let form = form(request);
            assert_eq!(form["grant_type"], "client_credentials");
            assert_eq!(form["client_id"], "me@example");
            assert_eq!(form["scope"], "a b");
            assert_eq!(
                form["client_assertion_type"],
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            );
            assert!(!form.contains_key("client_secret"));
            let (header, claims, message, signature) = parts(&form["client_assertion"]);
            let expected = json!({"alg": algorithm, "typ": "JWT", "kid": "k1"});
            assert_eq!(header, expected);
            assert!(verifies(&place, &message, &signature, more), "{algorithm}");
            assert!(!verifies(&place, "another", &signature, more));
            assert_eq!(
                (&claims["iss"], &claims["sub"]),
                (&json!("me@example"), &json!("me@example"))
            );
            assert_eq!(claims["aud"], format!("{}/token", api.base()));
            let (issued, expires) = (
                claims["iat"].as_u64().unwrap(),
                claims["exp"].as_u64().unwrap(),
            );
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs();
            assert!(issued <= now && now - issued < 60, "{issued} at {now}");
            assert_eq!(expires - issued, 90);
            assert!(ids.insert(claims["jti"].as_str().unwrap().to_owned()));
        }
    }
}

#[test]
fn a_service_account_s_file_is_all_that_is_needed() {
    if !tools::tool("openssl", "openssl") {
        return;
    }
    let place = Place::new();
    let bits = ["-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"];
    openssl(
        &place,
        &[&["genpkey", "-algorithm", "RSA"][..], &bits].concat(),
    );
    let public = ["rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"];
    openssl(&place, &public);
    let api = granting(3600);
    let key = place.read("key.pem");
    let file = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "kid-9",
        "private_key": key, "client_email": "robot@p.example", "client_id": "123",
        "token_uri": format!("{}/oauth/token", api.base()),
    });
    place.write("service.json", &file.to_string());
    let auth = "type = \"jwt_bearer\"\nkey_file = \"service.json\"\n\
                scope = \"https://g.example/auth/read\"\nclaims = { sub = \"boss@p.example\" }";
    let job = job(&place, &api.base(), 3, auth);
    let output = run(&place, &job);
    assert_exit(&output, 0);
    assert_whole(&place, 3);
    let asked = &api.seen()[0];
    assert_eq!(asked.target, "/oauth/token");
    let form = form(asked);
    assert_eq!(
        form["grant_type"],
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    assert!(!form.contains_key("client_id"), "{form:?}");
    let (header, claims, message, signature) = parts(&form["assertion"]);
    assert_eq!(
        header,
        json!({"alg": "RS256", "typ": "JWT", "kid": "kid-9"})
    );
    assert!(verifies(&place, &message, &signature, &[]));
    assert_eq!(claims["iss"], "robot@p.example");
    assert_eq!(claims["sub"], "boss@p.example");
    assert_eq!(claims["scope"], "https://g.example/auth/read");
    assert_eq!(claims["aud"], file["token_uri"]);
    let line = key.lines().nth(3).unwrap();
    assert_silent(&place, &output, &[line, &form["assertion"]]);
}

/// A server that repeats everything it was sent, and one that is plainly wrong.
#[test]
fn a_refused_assertion_is_not_repeated() {
    let place = Place::new();
    let api = Raw::start(|request, _| {
        let form = form(request);
        let assertion = form.get("assertion").cloned().unwrap_or_default();
        let signature = assertion.rsplit('.').next().unwrap().to_owned();
        let body = json!({
            "error": "invalid_grant",
            "error_description": format!("{assertion} is bad, for {signature}"),
        });
        answer(
            "400 Bad Request",
            "Content-Type: application/json\r\n",
            body.to_string(),
        )
    });
    let key = openssl_ec(&place);
    let auth = "type = \"jwt_bearer\"\ntoken_url = \"{base}/token\"\nkey = \"${file:key.pem}\"\n\
                claims = { iss = \"robot\" }";
    let job = job(&place, &api.base(), 1, auth);
    let output = run(&place, &job);
    assert_exit(&output, 1);
    let said = told(&output);
    assert!(said.contains("invalid_grant: [redacted] is bad"), "{said}");
    let sent = form(&api.seen()[0])["assertion"].clone();
    let secrets: Vec<&str> = sent.split('.').chain([key.as_str()]).collect();
    assert_silent(&place, &output, &secrets);
}

/// A P-256 key in `key.pem`, by ring; returns its base64.
fn openssl_ec(place: &Place) -> String {
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let random = ring::rand::SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let body = BASE64_STANDARD.encode(key.as_ref());
    let kind = "PRIVATE KEY";
    place.write(
        "key.pem",
        &format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"),
    );
    body
}

/// A server that rotates: each refresh token is good once; the last `grace`
/// ones are taken again, as some servers do for answers that got lost.
struct Rotating {
    api: Raw,
    given: Arc<Mutex<Vec<String>>>,
}

impl Rotating {
    fn start(life_s: u32, grace: bool, thinks: Duration) -> Rotating {
        let given: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&given);
        let api = Raw::start(move |request, _| {
            if request.method == "POST" {
                let token = form(request)["refresh_token"].clone();
                let mut seen = seen.lock().unwrap();
                let used = seen.contains(&token);
                seen.push(token.clone());
                if used && !grace {
                    let body = "{\"error\":\"invalid_grant\",\"error_description\":\"reused\"}";
                    return answer("400 Bad Request", "", body);
                }
                let n = seen.len();
                let mut reply = ok(format!(
                    "{{\"access_token\":\"acc-{n}\",\"refresh_token\":\"ref-{n}\",\"expires_in\":{life_s}}}"
                ));
                reply.parts[0].0 = thinks;
                return reply;
            }
            match request.header("authorization") {
                Some(token) if token.starts_with("Bearer acc-") => item(request),
                _ => answer("401 Unauthorized", "", "{}"),
            }
        });
        Rotating { api, given }
    }

    fn given(&self) -> Vec<String> {
        self.given.lock().unwrap().clone()
    }

    fn auth() -> &'static str {
        "type = \"refresh_token\"\ntoken_url = \"{base}/token\"\nclient_id = \"me\"\n\
         refresh_token = \"the-first-one\""
    }
}

/// A run that is stopped at this place and killed there.
fn killed_at(place: &Place, job: &Path, name: &str) {
    let mut command = harvest_in(place);
    command.arg(job);
    let sign = place.path("sign");
    assert!(child::killed_at(command, name, 0, &sign), "{name}");
}

#[test]
fn a_kill_after_the_new_refresh_token_is_kept_costs_nothing() {
    let place = Place::new();
    let server = Rotating::start(5, false, Duration::ZERO);
    let job = job(&place, &server.api.base(), 3, Rotating::auth());
    for round in 1..=3 {
        killed_at(&place, &job, "token: kept");
        let items = server
            .api
            .seen()
            .iter()
            .filter(|r| r.method == "GET")
            .count();
        assert_eq!(
            items, 0,
            "the access token was used before round {round}'s kill"
        );
    }
    // Each one's own refresh token, and none twice.
    assert_eq!(server.given(), ["the-first-one", "ref-1", "ref-2"]);
    assert_exit(&run(&place, &job), 0);
    assert_whole(&place, 3);
    assert_eq!(server.given().last().unwrap(), "ref-3");
}

#[test]
fn a_kill_before_it_is_kept_leaves_the_old_one_to_try() {
    // With a server that takes the old one again, all is well.
    let place = Place::new();
    let server = Rotating::start(5, true, Duration::ZERO);
    let there = job(&place, &server.api.base(), 3, Rotating::auth());
    killed_at(&place, &there, "token: granted");
    assert_exit(&run(&place, &there), 0);
    assert_whole(&place, 3);
    assert_eq!(server.given()[..2], ["the-first-one", "the-first-one"]);

    // With one that does not, the person is told what to do; nothing failed.
    let place = Place::new();
    let server = Rotating::start(5, false, Duration::ZERO);
    let there = job(&place, &server.api.base(), 3, Rotating::auth());
    killed_at(&place, &there, "token: granted");
    let output = run(&place, &there);
    assert_exit(&output, 1);
    let said = told(&output);
    assert!(
        said.contains("not good any more (invalid_grant: reused)"),
        "{said}"
    );
    assert!(said.contains("in the place of `refresh_token`"), "{said}");
    assert!(place.lines("out.ndjson.failed.ndjson").is_empty());

    // A new one in the job file is taken, and what is kept of the old one is not.
    let text = std::fs::read_to_string(&there).unwrap();
    std::fs::write(&there, text.replace("the-first-one", "the-second-one")).unwrap();
    let output = run(&place, &there);
    assert_exit(&output, 0);
    assert_whole(&place, 3);
    assert_eq!(server.given().last().unwrap(), "the-second-one");
    assert_silent(
        &place,
        &output,
        &["the-first-one", "the-second-one", "acc-", "ref-"],
    );
}

#[test]
fn a_signal_during_a_renewal_waits_for_the_new_refresh_token() {
    let place = Place::new();
    let server = Rotating::start(3600, false, Duration::from_secs(2));
    let job = job(&place, &server.api.base(), 3, Rotating::auth());
    let child = spawn(harvest_in(&place), &job);
    until(|| !server.given().is_empty());
    signal(child.id(), "-INT");
    assert_exit(&end(child), 130);
    // It was kept: the next run has a token at once, and asks for none.
    assert_exit(&run(&place, &job), 0);
    assert_whole(&place, 3);
    assert_eq!(server.given(), ["the-first-one"]);
}

/// An issuer with its metadata at one of the known places, and tokens elsewhere.
fn issuing(
    metadata_at: &'static str,
    document: impl Fn(&str) -> Value + Send + Sync + 'static,
) -> Raw {
    Raw::start(move |request, times| {
        let base = format!("http://{}", request.header("host").unwrap());
        if request.target.contains("/.well-known/") {
            assert_eq!(request.header("authorization"), None);
            return match request.target == metadata_at {
                true => ok(document(&base).to_string()),
                false => answer("404 Not Found", "", "<html>"),
            };
        }
        match (request.method.as_str(), request.target.as_str()) {
            ("POST", "/found/token") => ok(format!("{{\"access_token\":\"t{times}\"}}")),
            ("POST", _) => answer("404 Not Found", "", ""),
            _ => item(request),
        }
    })
}

const ISSUED: &str =
    "type = \"client_credentials\"\nclient_id = \"me\"\nclient_secret = \"s3cr3t-x\"\n";

#[test]
fn an_issuer_s_endpoints_are_found_where_both_documents_may_be() {
    for (issuer, metadata_at) in [
        ("{base}", "/.well-known/openid-configuration"),
        ("{base}", "/.well-known/oauth-authorization-server"),
        (
            "{base}/tenant/1",
            "/tenant/1/.well-known/openid-configuration",
        ),
        (
            "{base}/tenant/1",
            "/.well-known/oauth-authorization-server/tenant/1",
        ),
        (
            "{base}/tenant/1",
            "/.well-known/openid-configuration/tenant/1",
        ),
    ] {
        let place = Place::new();
        let api = issuing(metadata_at, move |base| {
            let issuer = issuer.replace("{base}", base);
            json!({"issuer": issuer, "token_endpoint": format!("{base}/found/token")})
        });
        let auth = format!("{ISSUED}issuer = \"{issuer}\"");
        let output = run(&place, &job(&place, &api.base(), 3, &auth));
        assert_exit(&output, 0);
        assert_whole(&place, 3);
        // Asked once, however many tokens follow.
        let asked = api
            .seen()
            .iter()
            .filter(|r| r.target == metadata_at)
            .count();
        assert_eq!(asked, 1, "{metadata_at}");
    }
}

#[test]
fn whatever_is_asked_for_at_the_api_s_host_counts_against_its_quota() {
    let place = Place::new();
    let at = "/.well-known/openid-configuration/tenant/1";
    let api = issuing(
        at,
        |base| json!({"issuer": format!("{base}/tenant/1"), "token_endpoint": format!("{base}/found/token")}),
    );
    let auth = format!("{ISSUED}issuer = \"{{base}}/tenant/1\"");
    let job = job(&place, &api.base(), 2, &auth);
    let mut command = harvest_in(&place);
    assert_exit(
        &command.arg(&job).args(["--rate", "2/s"]).output().unwrap(),
        0,
    );
    assert_whole(&place, 2);
    // Three places for metadata, a token, two items.
    let at: Vec<_> = api.seen().iter().map(|request| request.at).collect();
    assert_eq!(at.len(), 6);
    for starts in at.windows(3) {
        let apart = starts[2] - starts[0];
        assert!(apart > Duration::from_millis(900), "three in {apart:?}");
    }
}

#[test]
fn metadata_that_must_not_be_believed_stop_the_run_before_a_secret_is_sent() {
    let at = "/.well-known/openid-configuration";
    type Document = fn(&str) -> Value;
    let cases: [(Document, &str); 5] = [
        (
            |base| json!({"issuer": "https://evil.example", "token_endpoint": format!("{base}/found/token")}),
            "they are another issuer's: `https://evil.example`",
        ),
        (
            |base| json!({"issuer": format!("{base}/"), "token_endpoint": format!("{base}/found/token")}),
            "exactly so, with or without the slash",
        ),
        (
            |base| json!({"issuer": base, "token_endpoint": "http://tokens.example/token"}),
            "`token_endpoint` is plain http",
        ),
        (
            |base| json!({"issuer": base}),
            "no `token_endpoint`; give `token_url`",
        ),
        (|_| json!(["no", "metadata"]), "there are none"),
    ];
    for (document, expected) in cases {
        let place = Place::new();
        let api = issuing(at, document);
        let auth = format!("{ISSUED}issuer = \"{{base}}\"");
        let output = run(&place, &job(&place, &api.base(), 3, &auth));
        assert_exit(&output, 1);
        let said = told(&output);
        assert!(said.contains(expected), "{expected} in {said}");
        assert!(said.contains("check issuer in [auth]"), "{said}");
        assert!(api.seen().iter().all(|request| request.method == "GET"));
        assert!(
            api.seen()
                .iter()
                .all(|request| request.target.contains("/.well-known/"))
        );
        assert_silent(&place, &output, &["s3cr3t-x"]);
    }
}

/// An API that lets in whoever shows the log-in's token; it takes each token a few times only.
fn letting_in(
    reply: fn(usize) -> Reply,
    shown: fn(&Req) -> Option<&str>,
) -> (Raw, Arc<Mutex<u32>>) {
    let refusals: Arc<Mutex<u32>> = Arc::default();
    let count = Arc::clone(&refusals);
    let uses: Mutex<BTreeMap<String, u32>> = Mutex::default();
    let api = Raw::start(move |request, times| {
        if request.method == "POST" {
            return reply(times);
        }
        let token = shown(request).unwrap_or_default().to_owned();
        let mut uses = uses.lock().unwrap();
        let used = uses.entry(token.clone()).or_default();
        *used += 1;
        if token.starts_with("tok") && *used <= 10 {
            return item(request);
        }
        *count.lock().unwrap() += 1;
        answer("401 Unauthorized", "", "{}")
    });
    (api, refusals)
}

#[test]
fn a_login_has_its_token_in_the_body_a_header_or_a_cookie() {
    let place = Place::new();
    let (api, refusals) = letting_in(
        |n| {
            ok(format!(
                "{{\"data\":{{\"jwt\":\"tok{n}\"}},\"ttl\":\"3600\"}}"
            ))
        },
        |request| {
            request
                .header("authorization")
                .and_then(|token| token.strip_prefix("Bearer "))
        },
    );
    let auth = "type = \"login\"\nlogin_url = \"{base}/auth/login\"\n\
                json = { user = \"me\", password = \"s3cr3t-x\", remember = true }\n\
                token_path = \"$.data.jwt\"\nexpires_in_path = \"$.ttl\"";
    let output = run(&place, &job(&place, &api.base(), 25, auth));
    assert_exit(&output, 0);
    assert_whole(&place, 25);
    let asked: Vec<Req> = api
        .seen()
        .into_iter()
        .filter(|r| r.method == "POST")
        .collect();
    assert_eq!(asked.len(), 3, "once for ten items");
    assert!(*refusals.lock().unwrap() > 0);
    assert_eq!(asked[0].target, "/auth/login");
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(
        body,
        json!({"user": "me", "password": "s3cr3t-x", "remember": true})
    );
    assert_silent(&place, &output, &["s3cr3t-x", "tok1"]);

    let place = Place::new();
    let (api, _) = letting_in(
        |n| {
            answer(
                "204 No Content",
                &format!("X-Session-Token: tok{n}\r\n"),
                "",
            )
        },
        |request| request.header("x-session-token"),
    );
    let auth = "type = \"login\"\nlogin_url = \"{base}/login\"\nform = { key = \"a b&c\" }\n\
                token_header = \"X-Session-Token\"\nexpires = \"30m\"";
    assert_exit(&run(&place, &job(&place, &api.base(), 15, auth)), 0);
    assert_whole(&place, 15);
    let asked = &api.seen()[0];
    assert_eq!(
        asked.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(asked.body, "key=a+b%26c");

    let place = Place::new();
    let (api, _) = letting_in(
        |n| {
            let cookies = format!(
                "Location: /home\r\nSet-Cookie: lang=en\r\nSet-Cookie: sid=tok{n}; Path=/; HttpOnly\r\n"
            );
            answer("302 Found", &cookies, "")
        },
        |request| {
            request
                .header("cookie")
                .and_then(|c| c.strip_prefix("sid="))
        },
    );
    let auth = "type = \"login\"\nlogin_url = \"{base}/login\"\nform = { user = \"me\" }\n\
                token_cookie = \"sid\"";
    assert_exit(&run(&place, &job(&place, &api.base(), 15, auth)), 0);
    assert_whole(&place, 15);
    assert!(api.seen().iter().all(|request| request.target != "/home"));

    // Its own header, with a word before the token.
    let place = Place::new();
    let (api, _) = letting_in(
        |n| ok(format!("{{\"token\":\"tok{n}\"}}")),
        |request| {
            request
                .header("authorization")
                .and_then(|t| t.strip_prefix("JWT "))
        },
    );
    let auth = "type = \"login\"\nlogin_url = \"{base}/login\"\njson = { key = \"k\" }\n\
                token_path = \"$.token\"\nname = \"Authorization\"\nprefix = \"JWT \"";
    assert_exit(&run(&place, &job(&place, &api.base(), 5, auth)), 0);
    assert_whole(&place, 5);
}

#[test]
fn a_login_that_fails_says_where_to_look_and_repeats_nothing() {
    for (reply, expected) in [
        (
            (|_| answer("401 Unauthorized", "", "{\"you sent\":\"s3cr3t-x\"}"))
                as fn(usize) -> Reply,
            "the log-in refused: 401 Unauthorized",
        ),
        (
            |_| ok("{\"token\":{\"hidden\":\"tok-1234567890\"}}"),
            "there is no token at `$.token`",
        ),
        (|_| answer("404 Not Found", "", ""), "404 Not Found"),
    ] {
        let place = Place::new();
        let (api, _) = letting_in(reply, |_| None);
        let auth = "type = \"login\"\nlogin_url = \"{base}/login\"\n\
                    json = { password = \"s3cr3t-x\" }\ntoken_path = \"$.token\"";
        let output = run(&place, &job(&place, &api.base(), 3, auth));
        assert_exit(&output, 1);
        let said = told(&output);
        assert!(said.contains(expected), "{expected} in {said}");
        assert!(said.contains("check login_url"), "{said}");
        assert_silent(&place, &output, &["s3cr3t-x", "tok-1234567890"]);
        assert_eq!(api.seen().len(), 1);
        assert!(place.lines("out.ndjson.failed.ndjson").is_empty());
    }
}

/// Every kind, tried without its credentials.
#[test]
fn the_sandbox_stands_in_for_every_kind() {
    let issuer = "issuer = \"https://auth.example.com\"\nclient_id = \"${NOT_SET_ANYWHERE}\"";
    let key = "key = \"${file:nowhere.pem}\"";
    let login = "type = \"login\"\nlogin_url = \"https://api.example.com/auth\"\n\
                 json = { key = \"${NOT_SET_ANYWHERE}\" }";
    for auth in [
        format!(
            "type = \"client_credentials\"\n{issuer}\nclient_secret = \"${{NOT_SET_ANYWHERE}}\""
        ),
        format!(
            "type = \"client_credentials\"\n{issuer}\nclient_auth = \"private_key_jwt\"\n{key}"
        ),
        format!("type = \"refresh_token\"\n{issuer}\nrefresh_token = \"${{NOT_SET_ANYWHERE}}\""),
        format!("type = \"authorization_code\"\n{issuer}"),
        format!("type = \"device_code\"\n{issuer}"),
        format!("type = \"jwt_bearer\"\n{issuer}\n{key}"),
        "type = \"jwt_bearer\"\nkey_file = \"nowhere.json\"\nscope = \"x\"".to_owned(),
        format!("{login}\ntoken_path = \"$.data.token\"\nexpires = \"1h\""),
        format!("{login}\ntoken_header = \"X-Key\""),
        format!("{login}\ntoken_cookie = \"sid\"\nsend_as = \"header\"\nname = \"X-Sid\""),
    ] {
        let place = Place::new();
        let ids: Vec<String> = (0..4)
            .map(|n| format!("\"{}\"", support::track_id(n)))
            .collect();
        let job = place.write(
            "job.toml",
            &format!(
                "[ids]\nlist = [{}]\n[request]\nurl = \"https://api.example.com/v1/tracks/{{id}}\"\n\
                 [auth]\n{auth}\n[output]\npath = \"out.ndjson\"\n",
                ids.join(", ")
            ),
        );
        let mut command = harvest_in(&place);
        let output = command.arg(&job).arg("--sandbox").output().unwrap();
        assert_exit(&output, 0);
        assert_eq!(place.lines("out.ndjson").len(), 4, "{auth}");
        assert!(
            !place.path("state").exists(),
            "nothing is kept of a try: {auth}"
        );
    }
}

#[test]
fn the_example_of_a_service_account_runs_in_the_sandbox() {
    let place = Place::new();
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/google_api.toml");
    let mut command = harvest_in(&place);
    command.env_remove("GOOGLE_APPLICATION_CREDENTIALS");
    let to = place.path("out.csv");
    let output = command.arg(&job).arg("--sandbox").arg("--output").arg(to);
    assert_exit(&output.output().unwrap(), 0);
    assert_eq!(place.lines("out.csv").len(), 4);
    assert_eq!(place.lines("out.csv")[0], "id,name,type,size,modified");
}

/// The embedded API as a server of its own: tokens die, refresh tokens rotate, runs follow each other.
#[test]
fn the_embedded_api_rotates_over_runs() {
    let place = Place::new();
    let api = Api::start(&["--token-lifetime", "1s"]);
    let ids: Vec<String> = (0..40).map(support::track_id).collect();
    place.write("ids.txt", &(ids.join("\n") + "\n"));
    let job = place.write(
        "job.toml",
        &format!(
            "[ids]\nfile = \"ids.txt\"\n[request]\nurl = \"{base}/v1/tracks/{{id}}\"\n\
             [auth]\ntype = \"refresh_token\"\ntoken_url = \"{base}/api/token\"\nclient_id = \"c\"\n\
             refresh_token = \"from-the-provider\"\n\
             [limits]\nrate = \"15/s\"\nmax_wait = \"30s\"\n[output]\npath = \"out.ndjson\"\n",
            base = api.base
        ),
    );
    let limited = harvest_in(&place)
        .arg(&job)
        .args(["--limit", "20"])
        .output()
        .unwrap();
    assert_exit(&limited, 0);
    assert_exit(&run(&place, &job), 0);
    place.assert_exactly_once("out.ndjson", ids.iter().map(String::as_str));
    assert_eq!(place.lines("out.ndjson").len(), 40);
    let asked: Vec<_> = api
        .seen()
        .into_iter()
        .filter(|s| s.method == "POST")
        .collect();
    assert!(asked.len() >= 3, "{}", asked.len());
    assert!(asked.iter().all(|request| request.status == Some(200)));
}
