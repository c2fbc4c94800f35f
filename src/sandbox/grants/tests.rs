use super::super::token::PREFIX;
use super::*;
use std::time::Duration;

fn ask(tokens: &Tokens, basic: Option<&str>, form: &str) -> (u16, Value, Option<String>) {
    let mut headers = HeaderMap::new();
    if let Some(basic) = basic {
        headers.insert(AUTHORIZATION, basic.parse().unwrap());
    }
    let answer = grant(tokens, &headers, form.as_bytes());
    let body = serde_json::from_slice(&answer.body).unwrap();
    (answer.status.as_u16(), body, answer.issued)
}

#[test]
fn both_ways_to_authenticate_work() {
    let tokens = Tokens::new(Duration::from_millis(2_700), 3);
    let grant = "grant_type=client_credentials";
    // a%3Ab:c%2Bd, the form-encoded "a:b" and "c+d"
    let (status, body, issued) = ask(&tokens, Some("Basic YSUzQWI6YyUyQmQ="), grant);
    assert_eq!((status, &body["token_type"]), (200, &json!("Bearer")));
    assert_eq!(body["expires_in"], 2, "rounded down");
    let token = issued.unwrap();
    assert_eq!(body["access_token"], token.as_str());
    assert!(token.starts_with(PREFIX), "{token}");
    let posted = format!("{grant}&client_id=a&client_secret=b");
    let (status, _, second) = ask(&tokens, None, &posted);
    assert_eq!(status, 200);
    assert_ne!(second.as_ref(), Some(&token));
    assert_eq!(tokens.check(&token), Ok(()));
    assert_eq!(tokens.check(&second.unwrap()), Ok(()));

    let again = Tokens::new(Duration::ZERO, 3);
    assert_eq!(ask(&again, None, &posted).2, Some(token), "from the seed");
}

#[test]
fn the_rest_is_refused() {
    let tokens = Tokens::new(Duration::from_secs(1), 0);
    let grant_type = "grant_type=client_credentials";
    for (basic, form, error) in [
        (None, "", "invalid_request"),
        (None, "grant_type=password", "unsupported_grant_type"),
        (None, grant_type, "invalid_client"),
        (Some("Bearer YTpi"), grant_type, "invalid_client"),
        (Some("Basic YTpi="), grant_type, "invalid_client"),
        (Some("Basic YTo="), grant_type, "invalid_client"), // a:
        (Some("Basic YTp3cm9uZw=="), grant_type, "invalid_client"), // a:wrong
        (
            Some("Basic YTpi"),
            "grant_type=client_credentials&client_secret=b",
            "invalid_request",
        ),
    ] {
        let (status, body, issued) = ask(&tokens, basic, form);
        assert_eq!(
            (status, &body["error"]),
            (400, &json!(error)),
            "{basic:?} {form}"
        );
        assert_eq!(issued, None);
    }
    let (_, body, _) = ask(&tokens, Some("basic YTp3cm9uZw=="), grant_type);
    assert_eq!(body["error_description"], "Invalid client secret");
}
fn jwt(claims: &Value) -> String {
    let part = |text: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(text);
    let header = json!({"alg": "ES256", "typ": "JWT"}).to_string();
    let claims = claims.to_string();
    let (header, claims) = (part(header.as_bytes()), part(claims.as_bytes()));
    format!("{header}.{claims}.{}", part(&[7; 64]))
}

#[test]
fn a_refresh_token_is_good_once_and_turns_into_another() {
    let tokens = Tokens::new(Duration::from_secs(9), 0);
    let refresh = |token: &str| {
        let form = format!("grant_type=refresh_token&client_id=a&refresh_token={token}");
        ask(&tokens, None, &form)
    };
    let (status, body, _) = refresh("first");
    assert_eq!(status, 200);
    let second = body["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(refresh("first").1["error"], "invalid_grant");
    let (status, body, _) = refresh(&second);
    assert_eq!(status, 200);
    assert_ne!(body["refresh_token"], second.as_str());
    assert_eq!(refresh(WRONG).1["error"], "invalid_grant");
    assert_eq!(refresh("").1["error"], "invalid_request");
    let unnamed = "grant_type=refresh_token&refresh_token=x";
    assert_eq!(ask(&tokens, None, unnamed).1["error"], "invalid_client");
}

#[test]
fn assertions_are_looked_at() {
    let tokens = Tokens::new(Duration::from_secs(9), 0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let good = |jti: &str| json!({"iss": "c", "sub": "c", "aud": "h", "exp": now + 60, "iat": now, "jti": jti});
    let bear = |claims: &Value| {
        let form = format!("grant_type={JWT_BEARER}&assertion={}", jwt(claims));
        ask(&tokens, None, &form).0
    };
    assert_eq!(bear(&good("1")), 200);
    assert_eq!(bear(&good("1")), 400, "seen before");
    for (name, value) in [
        ("exp", json!(now - 1)),
        ("exp", json!(null)),
        ("iat", json!(now + 600)),
        ("aud", json!("")),
        ("iss", json!(null)),
    ] {
        let mut claims = good("2");
        claims[name] = value;
        assert_eq!(bear(&claims), 400, "{claims}");
        tokens.spend("jti 2");
    }
    let client = |claims: &Value, id: &str| {
        let form = format!(
            "grant_type=client_credentials&client_id={id}&client_assertion={}\
             &client_assertion_type={ASSERTION_TYPE}",
            jwt(claims)
        );
        ask(&tokens, None, &form).0
    };
    assert_eq!(client(&good("3"), "c"), 200);
    assert_eq!(client(&good("4"), "another"), 400);
    let mut other = good("5");
    other["sub"] = json!("d");
    assert_eq!(client(&other, "c"), 400);
}

#[test]
fn a_login_has_its_token_in_three_places() {
    let tokens = Tokens::new(Duration::from_secs(9), 0);
    for body in [&b"{\"user\":\"u\",\"n\":1}"[..], b"user=u&password=p"] {
        let answer = log_in(&tokens, body);
        let token = answer.issued.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body, json!({"token": token, "expires_in": 9}));
        let header = |name: &str| {
            let mut headers = answer.headers.iter();
            headers
                .find(|(n, _)| n == name)
                .unwrap()
                .1
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(header("x-auth-token"), token);
        assert!(header("set-cookie").starts_with(&format!("session={token};")));
    }
    for body in ["", "{}", "{\"password\":\"wrong\"}", "user=wrong"] {
        assert_eq!(log_in(&tokens, body.as_bytes()).status, 401, "{body}");
    }
}
