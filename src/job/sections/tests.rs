//! Each section: what it accepts, and how it says no.

use super::SECTIONS;
use crate::job::decode::decode;
use crate::job::*;
use secrecy::ExposeSecret as _;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A whole job of the three sections that must be there.
const REQUEST: &str = "[request]\nurl = \"https://h.example/{id}\"\n";
const IDS: &str = "[ids]\nlist = [\"a\"]\n";
const OUTPUT: &str = "[output]\npath = \"out.ndjson\"\n";

fn options() -> LoadOptions {
    LoadOptions {
        environment: Environment::of([("SECRET", "hunter2"), ("EMPTY", ""), ("RATE", "hunter2")]),
        ..LoadOptions::default()
    }
}

fn job(text: &str) -> Result<Job, JobError> {
    decode(Path::new("jobs/x.toml"), text, &options())
}

/// The sections, with whatever must be there added.
fn with(text: &str) -> String {
    let mut whole = text.to_owned();
    for (header, section) in [("[ids]", IDS), ("[request]", REQUEST), ("[output]", OUTPUT)] {
        if !text.contains(header) {
            whole = format!("{whole}\n{section}");
        }
    }
    whole
}

fn good(text: &str) -> Job {
    job(&with(text)).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// The messages and helps of a job that must not be.
fn bad(text: &str) -> Vec<String> {
    let error = job(&with(text)).expect_err(text);
    let shown = error.to_string();
    assert!(!shown.contains("hunter2"), "a secret in\n{shown}");
    let words = |d: &Diagnostic| format!("{} | {}", d.message, d.help.clone().unwrap_or_default());
    error.diagnostics().iter().map(words).collect()
}

/// Exactly one mistake, and every part is in it.
fn expect(text: &str, parts: &[&str]) {
    let mistakes = bad(text);
    assert_eq!(mistakes.len(), 1, "{text}\n{mistakes:#?}");
    for part in parts {
        assert!(mistakes[0].contains(part), "`{part}` in {}", mistakes[0]);
    }
}

#[test]
fn the_smallest_job_has_the_documented_defaults() {
    let job = good("");
    assert_eq!(job.ids.list, ["a"]);
    assert_eq!(job.ids.repeats, Repeats::Once);
    assert_eq!(job.request.method, Method::Get);
    assert_eq!(job.request.timeout, Duration::from_secs(30));
    assert_eq!(job.request.max_body, 16 << 20);
    assert!(matches!(job.auth, Auth::None));
    assert_eq!(job.limits.rates, ["10/s".parse().unwrap()]);
    assert_eq!(job.limits.concurrency, 8);
    assert_eq!(job.limits.max_wait, Duration::from_secs(3600));
    assert_eq!(job.retry.attempts, 6);
    assert_eq!(job.retry.backoff_first, Duration::from_millis(500));
    assert_eq!(job.retry.backoff_last, Duration::from_secs(60));
    let target = OutputTarget::File(PathBuf::from("jobs/out.ndjson"));
    assert_eq!(job.output.target, target);
    assert_eq!(job.output.format, OutputFormat::Ndjson);
    assert_eq!(job.output.record, RecordForm::Body);
    assert_eq!(job.checkpoint.every, Duration::from_secs(1));
    assert!(!job.sandbox);
}

#[test]
fn ids_of_every_form() {
    let job = good("[ids]\nlist = [\" a \", 7, -1, 0x10]\nrepeats = \"each\"");
    assert_eq!(job.ids.list, ["a", "7", "-1", "16"]);
    assert_eq!(job.ids.repeats, Repeats::Each);
    let file = |text: &str| good(text).ids.file.unwrap();
    let lines = file("[ids]\nfile = \"../a.TXT\"");
    assert_eq!(lines.source, IdSource::Path(PathBuf::from("jobs/../a.TXT")));
    assert_eq!(lines.format, IdFormat::Lines);
    let delimited = |delimiter, column: Option<&str>| IdFormat::Delimited {
        delimiter,
        column: column.map(str::to_owned),
    };
    assert_eq!(
        file("[ids]\nfile = \"a.csv\"").format,
        delimited(b',', None)
    );
    let tsv = file("[ids]\nfile = \"a.tsv\"\ncolumn = \"c\"");
    assert_eq!(tsv.format, delimited(b'\t', Some("c")));
    assert!(matches!(
        file("[ids]\nfile = \"a.jsonl\"\nfield = \"$.id\"").format,
        IdFormat::Ndjson { .. }
    ));
    let stdin = |rest: &str| file(&format!("[ids]\nfile = \"-\"\n{rest}"));
    assert_eq!(stdin("").format, IdFormat::Lines);
    assert_eq!(stdin("").source, IdSource::Stdin);
    assert_eq!(stdin("column = \"c\"").format, delimited(b',', Some("c")));
    assert!(matches!(
        stdin("field = \"$\"").format,
        IdFormat::Ndjson { .. }
    ));
}

#[test]
fn impossible_ids() {
    expect("[ids]\n", &["names no items", "add `list"]);
    expect("[ids]\nlist = []", &["names no items"]);
    expect("[ids]\nlist = [\"\"]", &["cannot be empty"]);
    expect("[ids]\nlist = [\"a\\u0000\"]", &["control characters"]);
    expect(
        "[ids]\nlist = [1.5]",
        &["`list` must be strings or integers, found a float"],
    );
    expect(
        "[ids]\nlist = \"a\"",
        &["must be an array of IDs, found a string"],
    );
    expect("[ids]\nfile = \"a.gz\"", &["does not read .gz files yet"]);
    expect("[ids]\nfile = \"a.xlsx\"", &["ending of `file`", ".ndjson"]);
    expect("[ids]\nfile = \"a\"", &["ending of `file`"]);
    expect(
        "[ids]\nfile = \"a.txt\"\ncolumn = \"c\"",
        &["`column` is for .csv"],
    );
    expect(
        "[ids]\nfile = \"a.csv\"\nfield = \"$\"",
        &["`field` is for .ndjson"],
    );
    expect(
        "[ids]\nfile = \"-\"\nfield = \"$\"\ncolumn = \"c\"",
        &["`column` is for"],
    );
    expect(
        "[ids]\nfile = \"a.ndjson\"",
        &["`field` is missing in [ids]"],
    );
    expect(
        "[ids]\nfile = \"a.ndjson\"\nfield = \"id\"",
        &["not a JSONPath: at position", "`$.id`"],
    );
    expect("[ids]\nlist = [1]\ncolumn = \"c\"", &["there is none"]);
    expect(
        "[ids]\nlist = [1]\nrepeats = \"Once\"",
        &["\"once\" or \"each\"", "did you mean \"once\"?"],
    );
}

#[test]
fn a_whole_request() {
    let job = good(
        "[request]\nurl = \"https://h.example/{id}?q=${SECRET}\"\nmethod = \"POST\"\n\
         query = { z = \"{id}\", a = \"1\" }\nheaders = { X-B = \"${SECRET}\", X-A = \"en\" }\n\
         timeout = \"1m\"\nmax_body = \"1 kB\"",
    );
    let request = job.request;
    assert_eq!(request.url.raw(), "https://h.example/{id}?q=${SECRET}");
    assert_eq!(request.method.as_str(), "POST");
    let names = |pairs: &[(String, Template)]| -> Vec<String> {
        pairs.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&request.query), ["z", "a"], "the file's order");
    assert_eq!(names(&request.headers), ["X-B", "X-A"]);
    assert!(request.headers[0].1.is_secret() && !request.headers[1].1.is_secret());
    let url = request.url.build("i/d", &request.query).unwrap();
    assert_eq!(
        url.as_str(),
        "https://h.example/i%2Fd?q=hunter2&z=i%2Fd&a=1"
    );
    assert_eq!(request.max_body, 1_000);
}

#[test]
fn the_id_may_be_in_the_query_table_alone() {
    let job = good("[request]\nurl = \"https://h/search\"\nquery = { q = \"{id}\" }");
    let url = job.request.url.build("a&b", &job.request.query);
    assert_eq!(url.unwrap().as_str(), "https://h/search?q=a%26b");
    expect(
        "[request]\nurl = \"https://h/x\"\nheaders = { a = \"{id}\" }",
        &["there is no `{id}`"],
    );
}

#[test]
fn impossible_requests() {
    let url = |url: &str| format!("[request]\nurl = \"{url}\"");
    expect(
        "[request]\n",
        &["`url` is missing in [request]", "add `url"],
    );
    expect(&url("https://h/x"), &["there is no `{id}` in `url` or"]);
    expect(
        &url("https://h/{foo bar}"),
        &["unknown placeholder in `url`", "placeholders are `{id}`"],
    );
    expect(&url("https://h/{id:3}"), &["`{id:3}`", "level 4"]);
    expect(&url("https://h/{id}{#id}"), &["never sent"]);
    expect(
        &url("https://h/{id}?a=1{?id}"),
        &["comes after a `?`", "`{&name}`"],
    );
    expect(&url("https://h/{id}{&id}"), &["no `?` before", "`{?name}`"]);
    expect(&url("https://h/{id"), &["never closed"]);
    expect(&url("https://{id}.h/"), &["scheme, host or port"]);
    expect(&url("https://h/#{id}"), &["fragment"]);
    expect(&url("ftp://h/{id}"), &["`https://` or `http://`"]);
    expect(&url("h/{id}"), &["`https://` or `http://`"]);
    expect(&url("https://h:port/{id}"), &["not a URL: invalid port"]);
    expect(
        &url("https://me:hunter2@h/{id}"),
        &["user or password", "[auth]"],
    );
    expect(
        &url("https://h/{foo+}?key=hunter2"),
        &["unknown placeholder `{foo+}`"],
    );
    let more = |more: &str| format!("{REQUEST}{more}");
    expect(
        &more("method = \"get\""),
        &["\"GET\" or \"POST\"", "did you mean \"GET\"?"],
    );
    expect(&more("timeout = \"0s\""), &["`timeout` must be over 0"]);
    expect(
        &more("timeout = 30"),
        &["must be a string, found an integer"],
    );
    expect(&more("timeout = \"30\""), &["expected a length of time"]);
    expect(&more("max_body = \"0\""), &["`max_body` must be over 0"]);
    expect(&more("max_body = \"16 MiBs\""), &["expected a size"]);
    expect(
        &more("query = { a = 5 }"),
        &["`a` must be a string, found an integer"],
    );
    expect(
        &more("query = \"a=5\""),
        &["`query` must be a table, found a string"],
    );
    expect(&more("query = { \"\" = \"5\" }"), &["needs a name"]);
    expect(
        &more("query = { a = \"{+id}\" }"),
        &["placeholder `{+id}` in `a` is for URLs", "only `{name}`"],
    );
    expect(
        &more("headers = { \"a b\" = \"5\" }"),
        &["not a header's name"],
    );
    expect(
        &more("headers = { a = \"x\\ny hunter2\" }"),
        &["`a` cannot be sent"],
    );
    expect(
        &more("headers = { a = \"1\", A = \"2\" }"),
        &["`A` is there twice"],
    );
}

const CLIENT: &str = "[auth]\ntype = \"client_credentials\"\ntoken_url = \"https://a.example/t\"\n\
                      client_id = \"me\"\nclient_secret = \"${SECRET}\"\n";

#[test]
fn pages_of_every_way() {
    let told = |pages: &str| {
        let job = good(&format!("{REQUEST}[request.pages]\n{pages}"));
        let pages = job.request.pages.unwrap();
        format!("{} | {}", pages.way.told(), pages.records.told())
    };
    for (pages, want) in [
        ("next = \"$.next\"", "next = $.next | each page"),
        ("next = \"link\"\nitems = \"$\"", "next = link | items = $"),
        (
            "cursor = \"$.c\"\nparam = \"after\"\nmerge = \"$.i\"",
            "cursor = $.c, param = after | merge = $.i",
        ),
        (
            "offset = \"from\"\nlimit = \"n\"\ntotal = \"$.t\"\nitems = \"$.i\"",
            "offset = from, limit = n, page_size = 50, total = $.t | items = $.i",
        ),
        (
            "page = \"p\"\nfirst = 0\nlimit = \"per_page\"\npage_size = 100\nitems = \"$\"",
            "page = p, first = 0, limit = per_page, page_size = 100 | items = $",
        ),
    ] {
        assert_eq!(told(pages), want);
    }
    let job = good(&format!(
        "{REQUEST}pages = {{ next = \"link\", max_pages = 3, other_origins = true }}"
    ));
    let pages = job.request.pages.unwrap();
    assert_eq!((pages.max_pages, pages.other_origins), (Some(3), true));
    assert!(good("").request.pages.is_none());
}

#[test]
fn impossible_pages() {
    let bad_pages = |pages: &str, parts: &[&str]| {
        expect(
            &format!("{REQUEST}query = {{ page = \"1\" }}\n[request.pages]\n{pages}"),
            parts,
        );
    };
    bad_pages("items = \"$.i\"", &["does not say how", "next = "]);
    bad_pages(
        "next = \"$.n\"\ncursor = \"$.c\"",
        &["`next` and `cursor` are two ways"],
    );
    bad_pages("next = \"next\"", &["JSONPath or \"link\""]);
    bad_pages("next = \"$.\"", &["is not a JSONPath"]);
    bad_pages("cursor = \"$.c\"", &["`param` is missing"]);
    bad_pages(
        "cursor = \"$.c\"\nparam = \"page\"",
        &["`page` is set in [request] `query`"],
    );
    bad_pages("cursor = \"$.c\"\nparam = \"$.c\"", &["no JSONPath here"]);
    bad_pages("offset = \"o\"", &["`items` or `merge` is missing"]);
    bad_pages(
        "offset = \"o\"\nitems = \"$\"\npage_size = 5",
        &["`limit` is missing"],
    );
    bad_pages("page = \"\"\nitems = \"$\"", &["`page` is empty"]);
    bad_pages(
        "next = \"link\"\ntotal = \"$.t\"",
        &["`total` goes with `offset` and `page`"],
    );
    bad_pages(
        "next = \"link\"\nitems = \"$\"\nmerge = \"$\"",
        &["both there"],
    );
    bad_pages(
        "next = \"link\"\nmerge = \"$.i[*]\"",
        &["one array", "merge = "],
    );
    bad_pages(
        "next = \"link\"\nmax_pages = 0",
        &["`max_pages` must be at least 1"],
    );
    bad_pages(
        "page = \"p\"\nitems = \"$\"\nother_origins = true",
        &["goes with `next` only"],
    );
    bad_pages(
        "nxt = \"link\"\nnext = \"link\"",
        &["unknown key `nxt`", "did you mean `next`"],
    );
    expect(
        &format!("{REQUEST}pages = \"$.next\""),
        &["`pages` must be a table"],
    );
    let both = "batch = { size = 2, key = \"$.id\" }\npages = { next = \"link\" }";
    expect(
        &format!("[request]\nurl = \"https://h/{{ids}}\"\n{both}"),
        &["[request.batch] and [request.pages] can't go together"],
    );
}

#[test]
fn a_job_without_a_hole_is_one_item() {
    let job = job(&format!("[request]\nurl = \"https://h/list\"\n{OUTPUT}")).unwrap();
    assert_eq!(job.ids.list, [LISTING]);
}

#[test]
fn every_type_of_auth() {
    let grant = |text: &str| match good(text).auth {
        Auth::Grant(grant) => *grant,
        other => panic!("not a grant: {other:?}"),
    };
    let plain = grant(CLIENT);
    assert!(matches!(plain.kind, GrantKind::ClientCredentials));
    assert_eq!(plain.client.id.unwrap().expose_secret(), "me");
    assert!(matches!(plain.client.auth, ClientAuth::Basic(s) if s.expose_secret() == "hunter2"));
    assert_eq!(plain.scope, "");
    let more = "client_auth = \"post\"\nscope = \"a b\"\nparams = { audience = \"x\" }";
    let posted = grant(&format!("{CLIENT}{more}"));
    assert!(matches!(posted.client.auth, ClientAuth::Post(_)));
    assert_eq!(posted.params[0].1.expose_secret(), "x");
    assert!(matches!(good("[auth]\ntype = \"none\"").auth, Auth::None));
    let bearer = good("[auth]\ntype = \"bearer\"\ntoken = \"${SECRET}\"").auth;
    assert!(matches!(bearer, Auth::Bearer { token } if token.expose_secret() == "hunter2"));
    let basic = good("[auth]\ntype = \"basic\"\nusername = \"u\"\npassword = \"\"").auth;
    assert!(matches!(basic, Auth::Basic { username, .. } if username == "u"));
    let key = "[auth]\ntype = \"api_key\"\nname = \"X-Key\"\nvalue = \"v\"\n";
    let place = |text: &str| match good(text).auth {
        Auth::ApiKey { place, .. } => place,
        _ => panic!("not an API key"),
    };
    assert_eq!(place(key), ApiKeyPlace::Header);
    assert_eq!(place(&format!("{key}in = \"query\"")), ApiKeyPlace::Query);
}

/// A P-256 key, made for this run.
fn pem() -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let random = ring::rand::SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let body = BASE64_STANDARD.encode(key.as_ref());
    format!(
        "-----BEGIN {0}-----\n{body}\n-----END {0}-----\n",
        "PRIVATE KEY"
    )
}

/// `[auth]` in a job beside a `key.pem` and a `service.json`.
fn signed(auth: &str) -> Result<Auth, JobError> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("key.pem", &pem());
    let file = serde_json::json!({
        "type": "service_account", "private_key_id": "kid-1", "private_key": pem(),
        "client_email": "robot@project.example", "token_uri": "https://oauth.example/token",
    });
    write("service.json", &file.to_string());
    let clear = file.to_string().replace("https://oauth", "http://oauth");
    write("clear.json", &clear);
    write(
        "other.json",
        "{\"installed\": {\"client_secret\": \"hunter2\"}}",
    );
    write(
        "locked.pem",
        &pem().replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
    );
    let path = folder.path().join("x.toml");
    decode(&path, &with(&format!("[auth]\n{auth}")), &options()).map(|job| job.auth)
}

fn claims(assertion: &Assertion) -> Vec<(&str, &str)> {
    let claims = assertion.claims.iter();
    claims
        .map(|(name, value)| (&**name, value.expose_secret()))
        .collect()
}

const SERVER: &str = "issuer = \"https://a.example\"\nclient_id = \"me\"\n";

#[test]
fn every_grant() {
    let grant = |auth: &str| match signed(auth) {
        Ok(Auth::Grant(grant)) => *grant,
        other => panic!("{other:?}"),
    };
    let refresh = grant(&format!(
        "type = \"refresh_token\"\n{SERVER}refresh_token = \"${{SECRET}}\""
    ));
    assert!(
        matches!(refresh.kind, GrantKind::RefreshToken { refresh_token }
        if refresh_token.expose_secret() == "hunter2")
    );
    assert_eq!(refresh.endpoints.issuer.unwrap().text, "https://a.example");
    assert!(matches!(refresh.client.auth, ClientAuth::None));

    let code = grant(&format!(
        "type = \"authorization_code\"\n{SERVER}client_secret = \"s\"\nredirect_port = 8123\n\
         authorization_params = {{ prompt = \"consent\" }}"
    ));
    assert!(code.needs_login());
    assert!(matches!(code.client.auth, ClientAuth::Basic(_)));
    assert!(matches!(code.kind, GrantKind::AuthorizationCode {
        redirect_port: Some(8123), authorization_params } if authorization_params.len() == 1));

    let device = grant(
        "type = \"device_code\"\nclient_id = \"me\"\ntoken_url = \"https://a.example/t\"\n\
         device_authorization_url = \"https://a.example/d\"",
    );
    let place = device.endpoints.device_authorization.unwrap();
    assert_eq!(place.as_str(), "https://a.example/d");
    assert!(matches!(device.kind, GrantKind::DeviceCode { .. }));

    let google = grant("type = \"jwt_bearer\"\nkey_file = \"service.json\"\nscope = \"read\"");
    let token = google.endpoints.token.unwrap();
    assert_eq!(token.as_str(), "https://oauth.example/token");
    assert!(google.client.id.is_none());
    let GrantKind::JwtBearer(assertion) = google.kind else {
        panic!("{:?}", google.kind);
    };
    assert_eq!(assertion.key.key_id(), Some("kid-1"));
    let expected = [("iss", "robot@project.example"), ("scope", "read")];
    assert_eq!(claims(&assertion), expected);
    assert_eq!(assertion.lifetime, Duration::from_secs(300));

    let own = grant(&format!(
        "type = \"jwt_bearer\"\n{SERVER}key = \"${{file:key.pem}}\"\nkey_id = \"k\"\n\
         lifetime = \"1m\"\nclaims = {{ sub = \"someone\", aud = \"them\" }}"
    ));
    let GrantKind::JwtBearer(assertion) = own.kind else {
        panic!("{:?}", own.kind);
    };
    assert_eq!(
        claims(&assertion),
        [("sub", "someone"), ("aud", "them"), ("iss", "me")]
    );
    assert_eq!(assertion.key.algorithm(), Algorithm::Es256);

    let client = grant(&format!(
        "type = \"client_credentials\"\n{SERVER}client_auth = \"private_key_jwt\"\n\
         key = \"${{file:key.pem}}\""
    ));
    let ClientAuth::PrivateKeyJwt(assertion) = client.client.auth else {
        panic!("{:?}", client.client.auth);
    };
    assert_eq!(claims(&assertion), [("iss", "me"), ("sub", "me")]);
}

#[test]
fn impossible_grants() {
    let told = |auth: &str, parts: &[&str]| {
        let error = signed(auth).unwrap_err();
        let shown = error.to_string();
        assert_eq!(error.diagnostics().len(), 1, "{shown}");
        for part in parts {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
        assert!(!shown.contains("hunter2"), "{shown}");
    };
    let of = |kind: &str, more: &str| format!("type = \"{kind}\"\n{SERVER}{more}");
    let jwt = "client_auth = \"private_key_jwt\"\n";
    told(&of("refresh_token", ""), &["`refresh_token` is missing"]);
    told(
        &of("client_credentials", ""),
        &["`client_secret` is missing"],
    );
    told(
        &of("client_credentials", "client_auth = \"none\""),
        &["authenticates itself", "RFC 6749 section 4.4"],
    );
    told(
        &of(
            "device_code",
            "client_auth = \"none\"\nclient_secret = \"hunter2\"",
        ),
        &["not sent with `client_auth = \"none\"`"],
    );
    told(
        &of("device_code", "client_auth = \"post\""),
        &["`client_secret` is missing"],
    );
    told(
        &of(
            "device_code",
            &format!("{jwt}key = \"${{file:key.pem}}\"\nclient_secret = \"hunter2\""),
        ),
        &["not sent with `client_auth = \"private_key_jwt\"`"],
    );
    told(&of("device_code", jwt), &["`key` is missing"]);
    told(
        &of("device_code", "key = \"hunter2\""),
        &["`key` is for an assertion", "private_key_jwt"],
    );
    told(
        &of("device_code", &format!("{jwt}key = \"${{SECRET}}\"")),
        &["not a private key in PEM form", "${file:service.pem}"],
    );
    told(
        &of(
            "device_code",
            &format!("{jwt}key = \"${{file:locked.pem}}\""),
        ),
        &["is an encrypted private key", "openssl pkcs8"],
    );
    told(
        &of(
            "device_code",
            &format!("{jwt}key = \"${{file:key.pem}}\"\nalgorithm = \"RS256\""),
        ),
        &[
            "is a P-256 key, and RS256 takes an RSA key",
            "leave `algorithm` out",
        ],
    );
    told(
        &of(
            "device_code",
            &format!("{jwt}key = \"${{file:key.pem}}\"\nclaims = {{ sub = \"x\" }}"),
        ),
        &["`sub` is not one of `claims`", "client_id"],
    );
    told(
        &of("device_code", "key_file = \"service.json\""),
        &["does not belong", "\"jwt_bearer\""],
    );
    told(
        &of("refresh_token", "refresh_token = \"x\"\nredirect_port = 1"),
        &["`redirect_port` does not belong", "\"authorization_code\""],
    );
    told(
        &of("authorization_code", "redirect_port = 0"),
        &["from 1 to 65535"],
    );
    told(
        &of(
            "authorization_code",
            "authorization_params = { state = \"hunter2\" }",
        ),
        &["`state` is not one of `authorization_params`"],
    );
    told(
        &of("authorization_code", "params = { code = \"hunter2\" }"),
        &["`code` is not one of `params`"],
    );
    told(
        "type = \"authorization_code\"\nclient_id = \"me\"\ntoken_url = \"https://a.example/t\"",
        &["`authorization_url` is missing", "or `issuer ="],
    );
    told(
        "type = \"device_code\"\nclient_id = \"me\"\nissuer = \"https://a.example/?x\"",
        &["`issuer` has a query"],
    );
    told(
        "type = \"device_code\"\nclient_id = \"me\"\n\
         issuer = \"https://a.example/.well-known/openid-configuration\"",
        &["leave out `/.well-known/"],
    );
    told(
        "type = \"device_code\"\nclient_id = \"me\"\nissuer = \"http://a.example\"",
        &["`issuer` would send credentials over plain http"],
    );
    told(
        "type = \"jwt_bearer\"\nkey_file = \"clear.json\"",
        &["`key_file` would send credentials over plain http"],
    );
    told(
        "type = \"jwt_bearer\"\nkey_file = \"nowhere.json\"",
        &["cannot read `key_file`"],
    );
    told(
        "type = \"jwt_bearer\"\nkey_file = \"other.json\"",
        &["not a service account's key file", "client_email"],
    );
    told(
        "type = \"jwt_bearer\"\nkey_file = \"service.json\"\nkey = \"hunter2\"",
        &["both the private key"],
    );
    told(
        "type = \"jwt_bearer\"\ntoken_url = \"https://a.example/t\"\nkey = \"${file:key.pem}\"",
        &["no issuer", "claims = { iss"],
    );
    told(
        "type = \"jwt_bearer\"\ntoken_url = \"https://a.example/t\"",
        &["`key` is missing", "key_file"],
    );
}

const LOGIN: &str = "[auth]\ntype = \"login\"\nlogin_url = \"https://h.example/login\"\n";

#[test]
fn every_login() {
    let login = |more: &str| match good(&format!("{LOGIN}{more}")).auth {
        Auth::Login(login) => *login,
        other => panic!("{other:?}"),
    };
    let header = |name: &'static str, prefix: &str| TokenUse::Header {
        name: reqwest::header::HeaderName::from_static(name),
        prefix: prefix.to_owned(),
    };
    let json = "json = { key = \"${SECRET}\", n = 1, deep = { on = true, list = [1.5, \"x\"] } }\n";
    let plain = login(&format!("{json}token_path = \"$.t\"\nexpires = \"30m\""));
    let LoginBody::Json(text) = plain.body else {
        panic!("no JSON");
    };
    let body: serde_json::Value = serde_json::from_str(text.expose_secret()).unwrap();
    let expected =
        serde_json::json!({"key": "hunter2", "n": 1, "deep": {"on": true, "list": [1.5, "x"]}});
    assert_eq!(body, expected);
    assert_eq!(plain.send, header("authorization", "Bearer "));
    assert!(
        matches!(plain.life, Some(LoginLife::Fixed(life)) if life == Duration::from_secs(1800))
    );

    let form = "form = { user = \"u\" }\n";
    let sent = |more: &str| login(&format!("{form}{more}")).send;
    assert_eq!(
        sent("token_header = \"X-Session\""),
        header("x-session", "")
    );
    assert_eq!(
        sent("token_cookie = \"sid\""),
        TokenUse::Cookie("sid".to_owned())
    );
    assert_eq!(
        sent("token_path = \"$.t\"\nname = \"Authorization\"\nprefix = \"JWT \""),
        header("authorization", "JWT ")
    );
    assert_eq!(
        sent("token_path = \"$.t\"\nsend_as = \"cookie\"\nname = \"s\""),
        TokenUse::Cookie("s".to_owned())
    );
    assert_eq!(
        sent("token_cookie = \"s\"\nsend_as = \"bearer\""),
        header("authorization", "Bearer ")
    );
}

#[test]
fn impossible_logins() {
    let form = "form = { user = \"u\" }\n";
    let at = "token_path = \"$.t\"\n";
    let told = |more: &str, parts: &[&str]| expect(&format!("{LOGIN}{more}"), parts);
    told(at, &["`json` is missing"]);
    told(form, &["`token_path` is missing", "token_cookie"]);
    told(
        &format!("{form}{at}json = {{ a = \"hunter2\" }}"),
        &["both what is posted"],
    );
    told(
        &format!("{form}{at}token_header = \"x\""),
        &["both where the token is"],
    );
    told(
        &format!("{form}{at}expires = \"1h\"\nexpires_in_path = \"$.e\""),
        &["both how long"],
    );
    told(
        &format!("{form}{at}send_as = \"bearer\"\nname = \"X\""),
        &["`name` does not go with `send_as = \"bearer\"`"],
    );
    told(
        &format!("{form}{at}send_as = \"header\""),
        &["`name` is missing"],
    );
    told(
        &format!("{form}{at}send_as = \"header\"\nname = \"Cookie\""),
        &["not a header that a token is in", "send_as = \"cookie\""],
    );
    told(
        &format!("{form}token_cookie = \"a b\""),
        &["not a cookie's name"],
    );
    told(
        &format!("json = {{ at = 2024-01-01 }}\n{at}"),
        &["JSON has no dates"],
    );
    told(
        &format!("{form}{at}client_id = \"hunter2\""),
        &["`client_id` does not belong", "\"device_code\""],
    );
    let header = "[request]\nurl = \"https://h.example/{id}\"\nheaders = { Cookie = \"a=b\" }\n";
    let job = format!("{header}{LOGIN}{form}token_cookie = \"s\"");
    expect(&job, &["`Cookie` is where [auth] puts its token"]);
}

#[test]
fn impossible_auth() {
    let auth = |text: &str| format!("[auth]\n{text}");
    expect(
        &auth("type = \"bear\""),
        &[
            "\"none\" or \"client_credentials\"",
            "did you mean \"bearer\"?",
        ],
    );
    expect(
        &auth("type = \"bearer\""),
        &["`token` is missing in [auth]"],
    );
    expect(
        &auth("type = \"bearer\"\ntoken = \"\""),
        &["`token` is empty"],
    );
    expect(
        &auth("type = \"bearer\"\ntoken = \"${EMPTY}\""),
        &["`token` is empty", "but empty"],
    );
    expect(
        &auth("type = \"bearer\"\ntoken = \"hunter2\\n\""),
        &["cannot be sent in a header"],
    );
    expect(
        &auth("type = \"bearer\"\ntoken = 42"),
        &["`token` must be a string"],
    );
    expect(
        &auth("token = \"hunter2\""),
        &[
            "does not belong to `type = \"none\"`",
            "add `type = \"bearer\"`",
        ],
    );
    expect(
        &auth("type = \"bearer\"\ntoken = \"x\"\npassword = \"hunter2\""),
        &[
            "`password` does not belong to `type = \"bearer\"`",
            "\"basic\"",
            "takes `token`",
        ],
    );
    expect(
        &auth("type = \"basic\"\nusername = \"a:b\"\npassword = \"x\""),
        &["colon"],
    );
    expect(
        &auth("type = \"api_key\"\nname = \"a b\"\nvalue = \"hunter2\""),
        &["not a header's name"],
    );
    expect(
        &auth("type = \"api_key\"\nname = \"a\"\nvalue = \"hunter2\\n\""),
        &["cannot be sent"],
    );
    assert_eq!(bad(&auth("type = \"api_key\"")).len(), 2);
    assert_eq!(bad(&auth("type = \"client_credentials\"")).len(), 3);
    let changed = |from: &str, to: &str| CLIENT.replace(from, to);
    expect(
        &changed("https://a.example/t", "a.example"),
        &["`token_url` is not a URL"],
    );
    expect(&changed("https://", "ftp://"), &["`token_url` must begin"]);
    expect(
        &changed("https://", "https://me:hunter2@"),
        &["user or password"],
    );
    expect(&changed("/t\"", "/t#x\""), &["fragment"]);
    expect(
        &format!("{CLIENT}params = {{ scope = \"hunter2\" }}"),
        &["not one of `params`"],
    );
    expect(
        &format!("{CLIENT}clientsecret = \"hunter2\""),
        &["unknown key", "did you mean `client_secret`?"],
    );
    expect(
        &changed("${SECRET}", "hunter2${x"),
        &["never closed", "$${"],
    );
    expect(
        &changed("${SECRET}", "${x hunter2}"),
        &["neither a variable's name"],
    );
}

#[test]
fn a_missing_variable_says_what_to_do() {
    let text = with(&CLIENT.replace("SECRET", "NOWHERE_SET"));
    let error = job(&text).unwrap_err();
    let shown = error.to_string();
    for part in [
        "environment variable `NOWHERE_SET` is not set",
        "jobs/x.toml:5:17",
        "client_secret = \"${NOWHERE_SET}\"",
        "in the value of `client_secret`",
        "--sandbox, which needs no credentials",
    ] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    let options = LoadOptions {
        sandbox: true,
        ..options()
    };
    let job = decode(Path::new("x.toml"), &text, &options).unwrap();
    assert!(job.sandbox);
    let Auth::Grant(grant) = job.auth else {
        panic!("not client credentials");
    };
    assert!(matches!(grant.client.auth, ClientAuth::Basic(s) if s.expose_secret() == "sandbox"));
    let with_url = |url: &str| {
        with(&format!(
            "[request]\nurl = \"{url}\"\nheaders = {{ a = \"${{NOPE}}\" }}"
        ))
    };
    assert!(decode(Path::new("x.toml"), &with_url("http://h/{id}"), &options).is_ok());
    assert!(
        decode(
            Path::new("x.toml"),
            &with_url("http://${NOPE}/{id}"),
            &options
        )
        .is_err()
    );
    let no_token_url = CLIENT.replace("https://a.example/t", "${NOPE}");
    assert!(decode(Path::new("x.toml"), &with(&no_token_url), &options).is_ok());
}

#[test]
fn credentials_never_leave_over_plain_http_unasked() {
    let request =
        |host: &str, more: &str| format!("[request]\nurl = \"http://{host}/{{id}}\"\n{more}\n");
    let token = "[auth]\ntype = \"bearer\"\ntoken = \"t\"\n";
    let exposed = "`url` would send credentials over plain http";
    expect(&(request("h", "") + token), &[exposed, "allow_http = true"]);
    expect(&request("h", "query = { k = \"${SECRET}\" }"), &[exposed]);
    expect(&request("h", "headers = { k = \"${SECRET}\" }"), &[exposed]);
    expect(
        &request("h", "headers = { authorization = \"x\" }"),
        &[exposed],
    );
    expect(
        &request("128.0.0.1", "headers = { k = \"${SECRET}\" }"),
        &[exposed],
    );
    expect(
        &request("localhost.example", "headers = { k = \"${SECRET}\" }"),
        &[exposed],
    );
    expect(
        &CLIENT.replace("https", "http"),
        &["`token_url` would send"],
    );
    good(&request("h", "headers = { k = \"open\" }"));
    good(&(request("h", "") + token + "allow_http = true"));
    good(&(request("h", "query = { k = \"${SECRET}\" }") + "[auth]\nallow_http = true"));
    for host in ["localhost:80", "127.9.9.9:4000", "[::1]:1"] {
        good(&(request(host, "") + token));
        good(&CLIENT.replace("https://a.example", &format!("http://{host}")));
    }
}

#[test]
fn two_credentials_in_one_place_are_refused() {
    let request = format!(
        "{REQUEST}headers = {{ authorization = \"hunter2\", x = \"hunter2\" }}\nquery = {{ q = \"1\" }}\n"
    );
    good(&request);
    let auth = |text: &str| format!("{request}[auth]\n{text}");
    expect(
        &auth("type = \"bearer\"\ntoken = \"t\""),
        &["header `authorization` and [auth]"],
    );
    let request = request.replace("authorization = \"hunter2\", ", "");
    let key = |more: &str| format!("{request}[auth]\ntype = \"api_key\"\nvalue = \"t\"\n{more}");
    expect(&key("name = \"X\""), &["`name` names, too"]);
    expect(&key("name = \"q\"\nin = \"query\""), &["`name` names, too"]);
    good(&key("name = \"q\""));
}

#[test]
fn limits_retry_and_checkpoint() {
    let limits = |text: &str| good(&format!("[limits]\n{text}")).limits;
    assert_eq!(limits("rate = [\"10/s\", \"180/30s\"]").rates.len(), 2);
    assert_eq!(limits("rate = \"unlimited\"").rates, []);
    assert_eq!(limits("concurrency = 10000").concurrency, 10_000);
    let auto = limits("rate = \"auto\"\nconcurrency = \"auto\"");
    assert!(auto.rate_auto && auto.concurrency_auto && auto.rates.is_empty());
    assert_eq!(auto.concurrency, MOST_AUTO_CONCURRENCY);
    let below = limits("rate = [\"auto\", \"5000/h\"]");
    assert!(below.rate_auto && !below.concurrency_auto);
    assert_eq!(below.rates, ["5000/h".parse().unwrap()]);
    assert!(!limits("rate = \"5000/h\"").rate_auto);
    assert_eq!(limits("max_wait = \"0s\"").max_wait, Duration::ZERO);
    let bad_limits = |text: &str, part: &str| expect(&format!("[limits]\n{text}"), &[part]);
    bad_limits("rate = \"0/s\"", "a rate of 0 would never send anything");
    bad_limits("rate = \"${RATE}\"", "expected requests per window");
    bad_limits(
        "rate = 10",
        "must be a string such as \"10/s\", or an array of them, found an integer",
    );
    bad_limits("rate = []", "names no rate");
    bad_limits("rate = [\"unlimited\"]", "expected requests per window");
    bad_limits("rate = \"Auto\"", "or `auto`");
    bad_limits(
        "concurrency = \"fast\"",
        "an integer or \"auto\", found a string",
    );
    bad_limits("concurrency = [8]", "an integer or \"auto\"");
    bad_limits("concurrency = 0", "must be from 1 to 10000");
    bad_limits("concurrency = -1", "must be from 1 to 10000");
    bad_limits("concurrency = 10001", "must be from 1 to 10000");
    bad_limits(
        "concurrency = \"8\"",
        "`concurrency` must be an integer or \"auto\", found a string",
    );
    bad_limits("max_wait = \"soon\"", "expected a length of time");
    let quarantine = |text: &str| limits(text).quarantine.map(|q| (q.failures, q.items));
    assert_eq!(quarantine(""), Some((95, 100)));
    assert_eq!(quarantine("quarantine = \"9/10\""), Some((9, 10)));
    assert_eq!(quarantine("quarantine = \"off\""), None);
    bad_limits("quarantine = \"90%\"", "expected failures of items");
    bad_limits("quarantine = \"11/10\"", "more failures than items");
    bad_limits("quarantine = 95", "`quarantine` must be a string");
    let retry = |text: &str| good(&format!("[retry]\n{text}")).retry;
    assert_eq!(retry("attempts = 1").attempts, 1);
    assert_eq!(
        retry("backoff = \"2s\"").backoff_last,
        Duration::from_secs(2)
    );
    assert_eq!(
        retry("backoff = \"1s .. 1m\"").backoff_last,
        Duration::from_secs(60)
    );
    expect("[retry]\nattempts = 0", &["must be at least 1"]);
    expect("[retry]\nbackoff = \"60s..1s\"", &["ends before it begins"]);
    expect("[retry]\nbackoff = \"0s..1s\"", &["must be over 0"]);
    assert_eq!(
        good("[checkpoint]\nevery = \"100ms\"").checkpoint.every,
        Duration::from_millis(100)
    );
    expect("[checkpoint]\nevery = \"99ms\"", &["from `100ms` to `1h`"]);
    expect("[checkpoint]\nevery = \"2h\"", &["from `100ms` to `1h`"]);
}

#[test]
fn outputs_of_every_form() {
    let output = |text: &str| good(&format!("[output]\n{text}")).output;
    assert_eq!(output("path = \"-\"").target, OutputTarget::Stdout);
    assert_eq!(output("path = \"a.JSONL\"").format, OutputFormat::Ndjson);
    assert_eq!(
        output("path = \"a.tsv\"").format,
        OutputFormat::Delimited { delimiter: b'\t' }
    );
    assert_eq!(
        output("path = \"a.ndjson\"\nrecord = \"envelope\"\norder = \"completion\"").record,
        RecordForm::Envelope
    );
    let columns = output("path = \"a.csv\"\ncolumns = { z = \"$.id\", a = \"$.b[*].c\" }").columns;
    assert_eq!(columns[0].0, "z", "the file's order");
    assert_eq!(columns[1].1.to_string(), "$.b[*].c");
}

#[test]
fn impossible_outputs() {
    let output = |text: &str, parts: &[&str]| expect(&format!("[output]\n{text}"), parts);
    output("", &["`path` is missing in [output]"]);
    output("path = \"a.gz\"", &["does not write .gz files yet"]);
    output(
        "path = \"a.ndjson.zst\"",
        &["does not write .zst files yet", ".ndjson"],
    );
    output(
        "path = \"a.parquet\"",
        &["does not write .parquet files yet"],
    );
    output("path = \"a.json\"", &["does not say its format", ".ndjson"]);
    output("path = \"a.txt\"", &["does not say its format"]);
    output(
        "path = \"a.csv\"\norder = \"input\"",
        &["not supported by this version yet", "say \"completion\""],
    );
    output(
        "path = \"a.csv\"\norder = \"sorted\"",
        &["\"completion\" or \"input\""],
    );
    output("path = \"a.csv\"\n[output.columns]", &["names no columns"]);
    output(
        "path = \"a.ndjson\"\n[output.columns]\na = \"$.a\"",
        &["for .csv and .tsv outputs"],
    );
    output(
        "path = \"a.csv\"\n[output.columns]\na = \"b\"",
        &["`a` is not a JSONPath: at position"],
    );
    output(
        "path = \"a.csv\"\n[output.columns]\na = \"${RATE}\"",
        &["`a` is not a JSONPath |"],
    );
    output(
        "path = \"a.csv\"\n[output.columns]\na = 1",
        &["`a` must be a string"],
    );
    output(
        "path = \"a.csv\"\nrecord = \"envelope\"\n[output.columns]\nstatus = \"$.a\"",
        &["the envelope has a column `status` already"],
    );
}

#[test]
fn misspelled_and_misplaced_names() {
    expect(
        "[limits]\nconncurrency = 8",
        &[
            "unknown key `conncurrency` in [limits]",
            "did you mean `concurrency`?",
        ],
    );
    expect(
        "[limits]\nzzz = 8",
        &["[limits] knows `rate`, `concurrency`, `max_wait` and `quarantine`"],
    );
    expect(
        "[limits]\ntimeout = \"8s\"",
        &[
            "unknown key `timeout` in [limits]",
            "`timeout` belongs in [request]",
        ],
    );
    expect(
        "[limts]\nrate = \"8/s\"",
        &["unknown section `limts`", "did you mean [limits]?"],
    );
    expect(
        "[zzz]\ntoken = \"hunter2\"",
        &["the sections are `ids`, `request`"],
    );
    expect(
        "rate = \"8/s\"",
        &["unknown section `rate`", "`rate` belongs in [limits]"],
    );
    expect(
        "limits = 3",
        &["`limits` must be a section `[limits]`, found an integer"],
    );
    expect(
        "[[limits]]\nrate = \"8/s\"",
        &["must be a section `[limits]`, found an array"],
    );
}

const REPOS: &str = "[request]\nurl = \"https://h.example/{owner}/{repo}\"\n";

#[test]
fn several_variables_of_every_source() {
    let repos = |ids: &str| good(&format!("{REPOS}[ids]\n{ids}"));
    let job = repos("list = [{ repo = \" r \", owner = 7 }]");
    assert_eq!(job.request.variables, ["owner", "repo"]);
    assert_eq!(job.request.id_form(), IdForm::Object);
    assert_eq!(job.ids.list, [r#"{"owner":"7","repo":"r"}"#]);
    let format = |ids: &str| repos(ids).ids.file.unwrap().format;
    let rows = |delimiter, owner: &str, repo: &str| IdFormat::Rows {
        delimiter,
        columns: vec![
            ("owner".to_owned(), owner.to_owned()),
            ("repo".to_owned(), repo.to_owned()),
        ],
    };
    assert_eq!(format("file = \"a.csv\""), rows(b',', "owner", "repo"));
    assert_eq!(
        format("file = \"a.tsv\"\nvariables = { owner = \"Org\" }"),
        rows(b'\t', "Org", "repo")
    );
    assert_eq!(format("file = \"-\""), rows(b',', "owner", "repo"));
    let objects = |owner: &str| IdFormat::Objects {
        fields: vec![
            ("owner".to_owned(), json_path(owner).unwrap()),
            ("repo".to_owned(), json_path("$.repo").unwrap()),
        ],
    };
    assert_eq!(format("file = \"a.ndjson\""), objects("$.owner"));
    let mapped = "variables = { owner = \"$.org.login\" }";
    assert_eq!(
        format(&format!("file = \"a.ndjson\"\n{mapped}")),
        objects("$.org.login")
    );
    assert_eq!(
        format(&format!("file = \"-\"\n{mapped}")),
        objects("$.org.login")
    );
    // The ID's place may be said by `column`, the others' by their names.
    let job = good(
        "[request]\nurl = \"https://h/{id}\"\nheaders = { lang = \"{lang}\" }\n\
         [ids]\nfile = \"a.csv\"\ncolumn = \"key\"",
    );
    let columns = vec![
        ("id".to_owned(), "key".to_owned()),
        ("lang".to_owned(), "lang".to_owned()),
    ];
    let delimiter = b',';
    assert_eq!(
        job.ids.file.unwrap().format,
        IdFormat::Rows { delimiter, columns }
    );
}

#[test]
fn an_only_variable_is_a_plain_id_whatever_its_name() {
    let user = |ids: &str| {
        good(&format!(
            "[request]\nurl = \"https://h/{{user}}\"\n[ids]\n{ids}"
        ))
    };
    let job = user("list = [\"a\", { user = \"b\" }, 3]");
    assert_eq!(job.ids.list, ["a", "b", "3"]);
    assert_eq!(job.request.id_form(), IdForm::Text);
    let format = |ids: &str| user(ids).ids.file.unwrap().format;
    assert_eq!(format("file = \"a.txt\""), IdFormat::Lines);
    let delimited = |column: &str| IdFormat::Delimited {
        delimiter: b',',
        column: Some(column.to_owned()),
    };
    assert_eq!(format("file = \"a.csv\""), delimited("user"));
    assert_eq!(format("file = \"a.csv\"\ncolumn = \"c\""), delimited("c"));
    assert_eq!(
        format("file = \"a.csv\"\nvariables = { user = \"c\" }"),
        delimited("c")
    );
    let field = json_path("$.user").unwrap();
    assert_eq!(format("file = \"a.ndjson\""), IdFormat::Ndjson { field });
}

#[test]
fn impossible_variables() {
    let repos = |ids: &str| format!("{REPOS}[ids]\n{ids}");
    expect(
        &repos("list = [\"a\"]"),
        &[
            "cannot fill `owner` and `repo`",
            "{ owner = \"…\", repo = \"…\" }",
        ],
    );
    expect(
        "[request]\nurl = \"https://h/{id}?q={idd}\"",
        &["are `{id}` and `{idd}` meant to be the same?"],
    );
    expect(
        &repos("list = [{ owner = \"a\" }]"),
        &["this item has no `repo`"],
    );
    expect(
        &repos("list = [{ owner = \"a\", repo = \"b\", repoo = \"c\" }]"),
        &["no `{repoo}` in the request", "did you mean `repo`?"],
    );
    expect(
        &repos("list = [{ owner = \"\", repo = \"b\" }]"),
        &["cannot be empty"],
    );
    expect(
        &repos("file = \"a.txt\""),
        &["plain lines cannot fill", ".csv"],
    );
    expect(
        &repos("file = \"a.csv\"\ncolumn = \"c\""),
        &["`column` says where `{id}` is", "[ids.variables]"],
    );
    expect(
        &repos("file = \"a.csv\"\nvariables = { ower = \"c\" }"),
        &["no `{ower}` in the request", "did you mean `owner`?"],
    );
    expect(
        &repos("file = \"a.ndjson\"\nvariables = { owner = \"org.login\" }"),
        &["`owner` is not a JSONPath", "`$.org.login`"],
    );
    expect(
        &repos("list = [{ owner = \"a\", repo = \"b\" }]\nvariables = { owner = \"c\" }"),
        &["`variables` is for a `file`"],
    );
    expect(
        "[ids]\nfile = \"a.txt\"\nvariables = { id = \"c\" }",
        &["`variables` is for .csv"],
    );
}

#[test]
fn a_job_without_variables_and_list_is_a_listing() {
    let text = "[request]\nurl = \"https://h/all\"\n[output]\npath = \"out.ndjson\"\n";
    let listing = job(text).unwrap();
    assert_eq!(listing.ids.list, [LISTING]);
    assert!(listing.request.variables.is_empty());
    let url = listing.request.url.build(LISTING, &[]).unwrap();
    assert_eq!(url.as_str(), "https://h/all");
    let told = |text: &str| job(text).unwrap_err().to_string();
    assert!(told(&format!("{text}[ids]\nlist = [\"a\"]")).contains("there is no `{id}`"));
    assert!(told(&text.replace("all", "{id}")).contains("names no items"));
}

#[test]
fn bodies_of_every_form() {
    let body = |more: &str, ids: &str| {
        let job = good(&format!(
            "[request]\nurl = \"https://h/\"\nmethod = \"POST\"\n{more}\n[ids]\n{ids}"
        ));
        let request = job.request;
        let id = job.ids.list[0].clone();
        let body = request.body.unwrap();
        let values = object_values(&id);
        let values = match &values {
            Some(values) => Values::Several(values),
            None => Values::One(&id),
        };
        (body.expand(&Filling::of(values)), body.content_type())
    };
    let json = "application/json";
    let list = "list = ['a\"b']";
    assert_eq!(
        body(
            "body = { z = \"{id}\", n = 0x10, f = 1_0.50, t = true, l = [1, \"<{id}>\"], \
             d = 1979-05-27, \"q\\\"\" = {} }",
            list
        ),
        (
            r#"{"z":"a\"b","n":16,"f":10.50,"t":true,"l":[1,"<a\"b>"],"d":"1979-05-27","q\"":{}}"#
                .to_owned(),
            json
        )
    );
    assert_eq!(
        body("body = [\"{id}\"]", list),
        (r#"["a\"b"]"#.to_owned(), json)
    );
    assert_eq!(
        body("body = '{ \"a\": {\"b\": \"{id}\"}}'", list),
        (r#"{ "a": {"b": "a\"b"}}"#.to_owned(), json)
    );
    assert_eq!(
        body("body = '<id>{id}</id> {}'", list),
        ("<id>a\"b</id> {}".to_owned(), "text/plain; charset=utf-8")
    );
    assert_eq!(
        body("form = { \"a b\" = \"{id}\", c = \"&\" }", list),
        (
            "a+b=a%22b&c=%26".to_owned(),
            "application/x-www-form-urlencoded"
        )
    );
    let graphql = "body = { query = \"query($id: ID!) {node(id: $id) {id}}\", \
                   variables = { id = \"{id}\", o = \"{o}\" } }";
    assert_eq!(
        body(graphql, "list = [{ id = \"x\", o = \"y\" }]").0,
        r#"{"query":"query($id: ID!) {node(id: $id) {id}}","variables":{"id":"x","o":"y"}}"#
    );
}

#[test]
fn impossible_bodies() {
    let post =
        |more: &str| format!("[request]\nurl = \"https://h/{{id}}\"\nmethod = \"POST\"\n{more}");
    let get = |more: &str| format!("{REQUEST}{more}");
    expect(
        &get("body = \"x\""),
        &["`body` is for a POST", "add `method = \"POST\"`"],
    );
    expect(&get("form = { a = \"x\" }"), &["`form` is for a POST"]);
    expect(
        &post("body = \"x\"\nform = { a = \"b\" }"),
        &["`body` and `form` are both there"],
    );
    expect(&post("body = 5"), &["`body` must be a table or an array"]);
    expect(
        &post("form = \"a=b\""),
        &["`form` must be a table, found a string"],
    );
    expect(
        &post("form = { a = 5 }"),
        &["`a` must be a string, found an integer"],
    );
    expect(
        &post("body = { a = inf }"),
        &["a number that JSON does not have"],
    );
    expect(
        &post("body = { a = \"{ id }\" }"),
        &["spaces in it", "write `{id}`"],
    );
    expect(
        &post("body = { a = \"{ids}\" }"),
        &["`{ids}` is for batches"],
    );
    expect(
        &post("body = { a = \"{idd}\" }"),
        &["are `{id}` and `{idd}` meant to be the same?"],
    );
    expect(
        "[request]\nurl = \"https://h/\"\nmethod = \"POST\"\nbody = { a = 1 }",
        &["there is no `{id}`", "nor a hole in the body"],
    );
    expect(
        &post("body = { k = \"${SECRET}\" }").replace("https", "http"),
        &["send credentials over plain http"],
    );
    expect(
        &get("fail_when = \"errors\""),
        &["`fail_when` is not a JSONPath"],
    );
    expect(
        &get("retry_when = \"$\""),
        &["finds something in every body"],
    );
}

#[test]
fn the_schema_and_the_reader_know_the_same_keys() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let keys = |value: &serde_json::Value| -> BTreeSet<String> {
        assert_eq!(value["additionalProperties"], false);
        value["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let owned =
        |names: &[&str]| -> BTreeSet<String> { names.iter().map(|n| (*n).to_owned()).collect() };
    assert_eq!(keys(&schema), owned(&SECTIONS.map(|(section, _)| section)));
    for (section, names) in SECTIONS {
        assert_eq!(
            keys(&schema["properties"][section]),
            owned(names),
            "[{section}]"
        );
    }
    let pages = &schema["properties"]["request"]["properties"]["pages"];
    assert_eq!(keys(pages), owned(&super::pages::KEYS));
}
