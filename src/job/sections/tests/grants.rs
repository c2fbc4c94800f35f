//! The grants of `[auth]`.

use super::*;

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
