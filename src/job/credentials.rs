//! Where a job's credentials go.

use super::{Auth, Body, Job, Request, UrlTemplate};
use reqwest::Url;

impl Job {
    /// Whether its requests carry credentials, or anything from the environment or a file.
    pub fn has_credentials(&self) -> bool {
        have_credentials(&self.request, &self.auth)
    }

    /// Every address that they go to by this program, with the key that names it.
    pub fn credential_addresses(&self) -> Vec<(&'static str, Url)> {
        let mut addresses = Vec::new();
        if self.has_credentials() {
            let batch = self.request.batch.as_ref();
            let single = batch.and_then(|batch| batch.single.as_ref());
            for (key, url) in [("url", Some(&self.request.url)), ("single", single)] {
                let url = url.and_then(|url| Url::parse(&url.origin()).ok());
                addresses.extend(url.map(|url| (key, url)));
            }
        }
        match &self.auth {
            Auth::Grant(grant) => {
                let endpoints = &grant.endpoints;
                let issuer = endpoints.issuer.as_ref().map(|issuer| &issuer.url);
                let named = [
                    ("issuer", issuer),
                    ("token_url", endpoints.token.as_ref()),
                    (
                        "device_authorization_url",
                        endpoints.device_authorization.as_ref(),
                    ),
                ];
                addresses.extend(named.into_iter().filter_map(|(k, u)| Some((k, u?.clone()))));
            }
            Auth::Login(login) => addresses.push(("login_url", login.url.clone())),
            _ => {}
        }
        addresses
    }
}

/// Whether requests carry credentials, or anything from the environment or a file.
pub(super) fn have_credentials(request: &Request, auth: &Auth) -> bool {
    let mut values = request.headers.iter().chain(&request.query);
    let single = request.batch.as_ref().and_then(|b| b.single.as_ref());
    !matches!(auth, Auth::None)
        || request.url.is_secret()
        || request.body.as_ref().is_some_and(Body::is_secret)
        || single.is_some_and(UrlTemplate::is_secret)
        || values.any(|(name, value)| value.is_secret() || is_authorization(name))
}

/// Whether a header of this name is a credential.
pub(super) fn is_authorization(name: &str) -> bool {
    name.eq_ignore_ascii_case("authorization")
}
