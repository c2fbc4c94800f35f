//! The proxies that the environment names, and what goes through them.
//!
//! Owns the promise that secrets stay secret on this way. What is encrypted goes
//! through a tunnel, and the proxy sees a host's name. What goes in clear, the proxy
//! reads: a job with credentials sends nothing in clear through it, and is refused
//! where the proxy would be in use ([`refuse_exposed`]). What stays on this machine
//! never goes to a proxy. Must never show a proxy's own user and password.

use crate::job::Job;
use base64::prelude::{BASE64_STANDARD, Engine};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// The proxies that a job's requests may use.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// The environment's; `None` uses no proxy at all.
    environment: Option<Arc<Matcher>>,
    /// Plain http may use them: there is no credential to be read.
    in_clear: bool,
}

impl Proxies {
    /// Those of the environment, as far as this job may use them; none for the embedded API.
    pub fn of(job: &Job) -> Proxies {
        if job.sandbox {
            return Proxies::default();
        }
        let environment = Matcher::from_system();
        // Without proxies no request pays for the question: NO_PROXY cannot mean this host.
        let some = ["http", "https"].map(|scheme| format!("{scheme}://a-host-that-nobody-names/"));
        let some = some.iter().filter_map(|url| url.parse().ok());
        let some = some.filter_map(|url| environment.intercept(&url)).next();
        Proxies {
            environment: some.map(|_| Arc::new(environment)),
            in_clear: !job.has_credentials(),
        }
    }

    /// The proxy that requests to `url` go through, without its user and password.
    pub fn named(&self, url: &str) -> Option<String> {
        self.find(&Url::parse(url).ok()?).as_ref().map(name)
    }

    /// Makes a client use these, and no others.
    pub(super) fn install(&self, builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        // Also keeps the client from reading the environment by itself.
        let builder = builder.no_proxy();
        if self.environment.is_none() {
            return builder;
        }
        let proxies = self.clone();
        builder.proxy(reqwest::Proxy::custom(move |url| {
            proxies.find(url).as_ref().and_then(address)
        }))
    }

    fn find(&self, url: &Url) -> Option<Intercept> {
        if url.scheme() == "http" && !self.in_clear {
            return None;
        }
        self.named_by_environment(url)
    }

    fn named_by_environment(&self, url: &Url) -> Option<Intercept> {
        let environment = self.environment.as_ref()?;
        (!is_here(url)).then(|| environment.intercept(&url.as_str().parse().ok()?))?
    }
}

/// Whether `url` is on this machine.
fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => {
            let name = host.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// The proxy's address, for people.
fn name(proxy: &Intercept) -> String {
    proxy.uri().to_string().trim_end_matches('/').to_owned()
}

/// The proxy's address with its user and password, for the client.
fn address(proxy: &Intercept) -> Option<Url> {
    let mut url = Url::parse(&proxy.uri().to_string()).ok()?;
    let basic = proxy.basic_auth().and_then(|value| value.to_str().ok());
    if let Some(basic) = basic.and_then(|value| value.strip_prefix("Basic ")) {
        let pair = String::from_utf8(BASE64_STANDARD.decode(basic).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        url.set_username(user).ok()?;
        url.set_password(Some(password)).ok()?;
    }
    Some(url)
}

/// A proxy of the environment would read a job's credentials.
#[derive(Debug, PartialEq, Eq)]
pub struct Exposed {
    job: PathBuf,
    /// The key that names the address.
    key: &'static str,
    host: String,
    proxy: String,
}

impl std::error::Error for Exposed {}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exposed {
            job,
            key,
            host,
            proxy,
        } = self;
        write!(
            f,
            "{}: `{key}` would send credentials in clear to {proxy}, a proxy that the environment names\n  \
             help: use https; or add {host} to NO_PROXY, and they go there without the proxy",
            job.display()
        )
    }
}

/// Refuses a job whose credentials would go through a proxy of the environment in clear.
///
/// # Errors
/// [`Exposed`], for the first address of which that is so.
pub fn refuse_exposed(job: &Job) -> Result<(), Exposed> {
    let proxies = Proxies::of(job);
    for (key, url) in job.credential_addresses() {
        if url.scheme() == "http"
            && let Some(proxy) = proxies.named_by_environment(&url)
        {
            return Err(Exposed {
                job: job.path.clone(),
                key,
                host: url.host_str().unwrap_or_default().to_owned(),
                proxy: name(&proxy),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(in_clear: bool) -> Proxies {
        let matcher = Matcher::builder()
            .all("http://us%3Aer:p%40ss@proxy:3128")
            .no("internal.test, 10.0.0.0/8");
        Proxies {
            environment: Some(Arc::new(matcher.build())),
            in_clear,
        }
    }

    #[test]
    fn this_machine_is_never_behind_a_proxy() {
        for host in [
            "127.0.0.1",
            "127.9.9.9:80",
            "127.1",
            "0x7f.1",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "api.localhost:1",
        ] {
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}/x");
                assert_eq!(proxies(true).named(&url), None, "{url}");
            }
        }
        for host in ["128.0.0.1", "[::2]", "localhost.test", "notlocalhost"] {
            let url = format!("http://{host}/x");
            assert!(proxies(true).named(&url).is_some(), "{url}");
        }
    }

    #[test]
    fn in_clear_and_with_credentials_there_is_no_proxy() {
        let [open, secret] = [true, false].map(proxies);
        let named = Some("http://proxy:3128".to_owned());
        assert_eq!(open.named("http://api.test/"), named);
        assert_eq!(open.named("https://api.test/"), named);
        assert_eq!(secret.named("https://api.test/"), named);
        assert_eq!(secret.named("http://api.test/"), None);
        for direct in [
            "https://internal.test",
            "https://a.internal.test",
            "https://10.1.2.3",
        ] {
            assert_eq!(secret.named(direct), None, "{direct}");
        }
        assert_eq!(Proxies::default().named("https://api.test/"), None);
    }

    #[test]
    fn the_client_gets_the_proxy_s_user_and_password_as_they_are() {
        let found = proxies(true).find(&Url::parse("https://api.test").unwrap());
        let found = found.unwrap();
        let again = Matcher::builder()
            .all(address(&found).unwrap().to_string())
            .build();
        let again = again.intercept(&"https://api.test/".parse().unwrap());
        assert_eq!(again.unwrap().basic_auth(), found.basic_auth());
        let pair = BASE64_STANDARD.encode("us:er:p@ss");
        // Basic knows no colon in a user's name: the first one ends it.
        assert_eq!(found.basic_auth().unwrap(), &format!("Basic {pair}"));
    }
}
