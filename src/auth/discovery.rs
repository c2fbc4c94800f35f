//! Where an authorization server's endpoints are, by its own word: OpenID
//! Connect Discovery 1.0 section 4, RFC 8414 section 3.
//!
//! Must never believe a document that names another issuer, nor an endpoint
//! that would get credentials in clear.

use super::grant::{Authority, GrantError};
use super::permits::ApiGate;
use super::send::send;
use crate::job::{Grant, GrantKind, Issuer, in_clear};
use oauth2::http::{Request, StatusCode};
use reqwest::Url;
use serde::Deserialize;
use std::time::Duration;

/// A grant's endpoints, as the job file or the issuer says.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// `token_endpoint`.
    pub token: Url,
    /// `authorization_endpoint`.
    pub authorization: Option<Url>,
    /// `device_authorization_endpoint` (RFC 8628 section 4).
    pub device_authorization: Option<Url>,
    /// `revocation_endpoint` (RFC 7009): only from the metadata.
    pub revocation: Option<Url>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207 section 3): what the browser
    /// brings back always names the issuer.
    pub iss_promised: bool,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The token endpoint.
    Token,
    /// All that `harvest login` and `harvest logout` use.
    Login,
}

/// What the metadata say, as far as it is asked for.
#[derive(Debug, Default, Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: Option<String>,
    authorization_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// The grant's endpoints. Asks the issuer only for what the job file leaves out,
/// with a permit each time where `gate` wants one.
pub async fn endpoints(
    grant: &Grant,
    need: Need,
    client: &reqwest::Client,
    timeout: Duration,
    gate: &ApiGate,
) -> Result<Resolved, GrantError> {
    let said = &grant.endpoints;
    let metadata = match (&said.issuer, &said.token, need) {
        (None, _, _) | (_, Some(_), Need::Token) => Metadata::default(),
        (Some(issuer), _, _) => fetch(issuer, client, timeout, gate).await?,
    };
    let found = |name: &str, said: &Option<Url>, found: Option<&String>| {
        if let Some(url) = said {
            return Ok(Some(url.clone()));
        }
        let Some(found) = found else { return Ok(None) };
        let url = Url::parse(found).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| refused(format!("its `{name}` is not a URL")))?;
        if in_clear(&url) && !grant.allow_http {
            return Err(refused(format!(
                "its `{name}` is plain http, which everybody on the way can read \
                 (`allow_http = true` in [auth] lets it be)"
            )));
        }
        Ok(Some(url))
    };
    let token = found(
        "token_endpoint",
        &said.token,
        metadata.token_endpoint.as_ref(),
    )?;
    let resolved = Resolved {
        token: token.ok_or_else(|| missing("token_endpoint", "token_url"))?,
        authorization: found(
            "authorization_endpoint",
            &said.authorization,
            metadata.authorization_endpoint.as_ref(),
        )?,
        device_authorization: found(
            "device_authorization_endpoint",
            &said.device_authorization,
            metadata.device_authorization_endpoint.as_ref(),
        )?,
        revocation: found(
            "revocation_endpoint",
            &None,
            metadata.revocation_endpoint.as_ref(),
        )?,
        iss_promised: metadata.authorization_response_iss_parameter_supported,
    };
    match grant.kind {
        GrantKind::AuthorizationCode { .. }
            if need == Need::Login && resolved.authorization.is_none() =>
        {
            Err(missing("authorization_endpoint", "authorization_url"))
        }
        GrantKind::DeviceCode { .. }
            if need == Need::Login && resolved.device_authorization.is_none() =>
        {
            Err(missing(
                "device_authorization_endpoint",
                "device_authorization_url",
            ))
        }
        _ => Ok(resolved),
    }
}

fn refused(error: String) -> GrantError {
    GrantError::Refused {
        who: Authority::METADATA,
        error,
        description: String::new(),
    }
}

fn missing(name: &str, key: &str) -> GrantError {
    refused(format!(
        "they have no `{name}`; give `{key}` in [auth] if there is one"
    ))
}

/// Where metadata may be: as OpenID Connect Discovery has it, then as RFC 8414.
fn places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/').to_owned();
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    };
    let mut places = vec![
        at(format!("{path}/.well-known/openid-configuration")),
        at(format!("/.well-known/oauth-authorization-server{path}")),
    ];
    if !path.is_empty() {
        // RFC 8414 section 5: OpenID Connect's document where RFC 8414 puts it.
        places.push(at(format!("/.well-known/openid-configuration{path}")));
    }
    places
}

async fn fetch(
    issuer: &Issuer,
    client: &reqwest::Client,
    timeout: Duration,
    gate: &ApiGate,
) -> Result<Metadata, GrantError> {
    let mut last = StatusCode::NOT_FOUND;
    for place in places(&issuer.url) {
        let request = Request::get(place.as_str())
            .header("accept", "application/json")
            .body(Vec::new());
        let request = request.map_err(|_| GrantError::unavailable("the issuer is no address"))?;
        if !gate.pass(&place).await {
            return Err(GrantError::unavailable("the run is over"));
        }
        let answer = send(client, request, timeout, Authority::METADATA).await?;
        last = answer.status();
        let Ok(metadata) = serde_json::from_slice::<Metadata>(answer.body()) else {
            continue;
        };
        if last.is_success() {
            return checked(metadata, issuer);
        }
    }
    Err(GrantError::Odd {
        who: Authority::METADATA,
        error: "there are none".into(),
        description: format!(
            ": neither OpenID Connect's nor RFC 8414's address below it gives a document \
             (the last answered {last}); give the endpoints themselves if it has no such thing"
        ),
    })
}

/// RFC 8414 section 3.3: the document must be the issuer's own.
fn checked(metadata: Metadata, issuer: &Issuer) -> Result<Metadata, GrantError> {
    if metadata.issuer == issuer.text {
        return Ok(metadata);
    }
    let named = crate::transport::redact(&metadata.issuer, []);
    let near = metadata.issuer.trim_end_matches('/') == issuer.text.trim_end_matches('/');
    let help = match near {
        true => "; write `issuer` exactly so, with or without the slash at its end",
        false => "",
    };
    Err(refused(format!(
        "they are another issuer's: `{named}`{help}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(text: &str) -> Issuer {
        Issuer {
            text: text.to_owned(),
            url: text.parse().unwrap(),
        }
    }

    #[test]
    fn the_places_are_those_of_both_documents() {
        let places = |text: &str| -> Vec<String> {
            let places = places(&issuer(text).url);
            places.iter().map(Url::to_string).collect()
        };
        assert_eq!(
            places("https://a.example"),
            [
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ]
        );
        // RFC 8414 section 3.1's own example.
        assert_eq!(
            places("https://example.com/issuer1/"),
            [
                "https://example.com/issuer1/.well-known/openid-configuration",
                "https://example.com/.well-known/oauth-authorization-server/issuer1",
                "https://example.com/.well-known/openid-configuration/issuer1",
            ]
        );
    }

    #[test]
    fn a_document_of_another_issuer_is_not_believed() {
        let named = |text: &str| Metadata {
            issuer: text.to_owned(),
            ..Metadata::default()
        };
        let ours = issuer("https://a.example");
        assert!(checked(named("https://a.example"), &ours).is_ok());
        let error = checked(named("https://a.example/"), &ours).unwrap_err();
        assert!(error.to_string().contains("exactly so"), "{error}");
        let error = checked(named("https://evil.example"), &ours).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("another issuer's: `https://evil.example`"),
            "{said}"
        );
        assert!(!said.contains("exactly so"), "{said}");
    }
}
