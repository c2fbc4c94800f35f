//! Secrets stay secret, also where the environment names a proxy: what goes in
//! clear carries no credential to it, and what stays on this machine does not go there.

use crate::raw::{Raw, answer, ok};
use crate::support::{Place, assert_exit, harvest, told};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::process::Output;

const BEARER: &str = "[auth]\ntype = \"bearer\"\ntoken = \"credential-of-the-test\"\n";
const BASIC: &str =
    "[auth]\ntype = \"basic\"\nusername = \"u\"\npassword = \"credential-of-the-test\"\n";

/// A proxy that answers by itself, and refuses tunnels.
fn proxy() -> Raw {
    Raw::start(|request, _| match request.method.as_str() {
        "CONNECT" => answer("403 Forbidden", "", ""),
        _ => ok("{\"id\":\"from the proxy\"}"),
    })
}

fn run(place: &Place, base: &str, auth: &str, environment: &[(&str, &str)]) -> Output {
    let job = place.write(
        "job.toml",
        &format!(
            "[ids]\nlist = [\"a\"]\n[request]\nurl = \"{base}/items/{{id}}\"\n{auth}\
             [limits]\nmax_wait = \"1s\"\n[retry]\nattempts = 1\nbackoff = \"10ms..20ms\"\n\
             [output]\npath = \"out.ndjson\"\n"
        ),
    );
    let mut command = harvest();
    command.arg(job).args(["--log-level", "trace"]);
    command.envs(environment.iter().copied()).output().unwrap()
}

#[track_caller]
fn assert_untold(output: &Output) {
    let told = told(output);
    let basic = BASE64_STANDARD.encode("u:credential-of-the-test");
    for secret in [
        "credential-of-the-test",
        &basic,
        "proxy-password",
        "proxy-user",
    ] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
}

#[test]
fn what_stays_on_this_machine_goes_to_no_proxy() {
    let proxy = proxy();
    for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        for (host, auth) in [
            ("127.0.0.1", BASIC),
            ("127.0.0.1", BEARER),
            ("localhost", BASIC),
            ("localhost", BEARER),
            ("127.0.0.1", ""),
        ] {
            let api = Raw::start(|_, _| ok("{\"id\":\"direct\"}"));
            let place = Place::new();
            let base = api.base().replace("127.0.0.1", host);
            let output = run(&place, &base, auth, &[(variable, &proxy.base())]);
            assert_exit(&output, 0);
            assert_eq!(place.lines("out.ndjson"), ["{\"id\":\"direct\"}"]);
            assert_eq!(api.seen().len(), 1);
            assert!(!told(&output).contains("proxy"), "{}", told(&output));
        }
    }
    assert_eq!(proxy.seen().len(), 0, "{:?}", proxy.seen());
}

#[test]
fn credentials_in_clear_are_refused_where_a_proxy_would_read_them() {
    let proxy = proxy();
    let named = proxy
        .base()
        .replace("http://", "http://proxy-user:proxy-password@");
    let allow = "allow_http = true\n";
    for (auth, key) in [
        (format!("{BEARER}{allow}"), "`url`"),
        (format!("{BASIC}{allow}"), "`url`"),
        (
            format!(
                "[auth]\ntype = \"client_credentials\"\ntoken_url = \"http://id.example.invalid/token\"\n\
                 client_id = \"u\"\nclient_secret = \"credential-of-the-test\"\n{allow}"
            ),
            "`token_url`",
        ),
        (
            format!(
                "[auth]\ntype = \"login\"\nlogin_url = \"http://id.example.invalid/session\"\n\
                 token_path = \"$.t\"\njson = {{ p = \"credential-of-the-test\" }}\n{allow}"
            ),
            "`login_url`",
        ),
    ] {
        let place = Place::new();
        let base = match key {
            "`url`" => "http://api.example.invalid",
            _ => "https://api.example.invalid",
        };
        let output = run(&place, base, &auth, &[("http_proxy", &named)]);
        assert_exit(&output, 2);
        let told = told(&output);
        for word in [key, &proxy.base(), "NO_PROXY"] {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert_untold(&output);
        assert!(!place.path("out.ndjson").exists());
        // Where NO_PROXY says so, they go without the proxy: to a host that is not there.
        let direct = [("http_proxy", &*named), ("NO_PROXY", "example.invalid")];
        let output = run(&place, base, &auth, &direct);
        assert_exit(&output, 75);
        assert_untold(&output);
    }
    assert_eq!(proxy.seen().len(), 0, "{:?}", proxy.seen());
}

#[test]
fn without_credentials_plain_http_goes_through_the_proxy_and_the_run_says_so() {
    let proxy = proxy();
    let place = Place::new();
    let named = proxy
        .base()
        .replace("http://", "http://proxy-user:proxy-password@");
    let base = "http://api.example.invalid";
    let output = run(&place, base, "", &[("http_proxy", &named)]);
    assert_exit(&output, 0);
    assert_eq!(place.lines("out.ndjson"), ["{\"id\":\"from the proxy\"}"]);
    let seen = proxy.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].target, "http://api.example.invalid/items/a");
    let credentials = BASE64_STANDARD.encode("proxy-user:proxy-password");
    assert_eq!(
        seen[0].header("proxy-authorization"),
        Some(&*format!("Basic {credentials}"))
    );
    assert!(
        told(&output).contains(&format!("through the proxy {}", proxy.base())),
        "{}",
        told(&output)
    );
    assert_untold(&output);
}

#[test]
fn https_goes_through_the_proxy_in_a_tunnel_that_shows_no_credential() {
    let proxy = proxy();
    for variable in ["https_proxy", "ALL_PROXY"] {
        let place = Place::new();
        let named = proxy
            .base()
            .replace("http://", "http://proxy-user:proxy-password@");
        let base = "https://api.example.invalid";
        let output = run(&place, base, BEARER, &[(variable, &named)]);
        assert_exit(&output, 75);
        assert!(
            told(&output).contains(&format!("through the proxy {}", proxy.base())),
            "{}",
            told(&output)
        );
        assert_untold(&output);
    }
    let seen = proxy.seen();
    assert!(!seen.is_empty());
    for request in seen {
        assert_eq!(request.method, "CONNECT");
        assert_eq!(request.target, "api.example.invalid:443");
        assert!(request.header("proxy-authorization").is_some());
        assert_eq!(request.header("authorization"), None, "{}", request.head);
    }
}
