//! `[auth]`, but for the grants that sign or need a person.

use super::*;

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
