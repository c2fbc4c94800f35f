//! Where a redirect may lead, and what may go along ("Secrets stay secret").

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, Url};

/// Hops of one attempt at most.
pub(super) const MOST_HOPS: u32 = 5;

/// Where to ask next, and whether that is the origin that the credentials belong to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) url: Url,
    pub(super) same_origin: bool,
}

/// Reads the answer's Location. Errs in words for people, without the URL.
pub(super) fn next_hop(home: &Url, from: &Url, headers: &HeaderMap) -> Result<Hop, String> {
    let location = headers
        .get(LOCATION)
        .ok_or("a redirect without a Location")?;
    let location = std::str::from_utf8(location.as_bytes())
        .map_err(|_| "a redirect whose Location is not UTF-8")?;
    let url = from
        .join(location)
        .map_err(|_| "a redirect whose Location is no URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("a redirect to the scheme {}", url.scheme()));
    }
    if from.scheme() == "https" && url.scheme() == "http" {
        return Err("a redirect from https to plain http".into());
    }
    Ok(Hop {
        same_origin: url.origin() == home.origin(),
        url,
    })
}

/// How to ask there: after a 303 with GET (RFC 9110 section 15.4.4); after a
/// 301 or 302 a POST becomes a GET, too, as every browser and curl have it.
pub(super) fn next_method(status: u16, method: Method) -> Method {
    match status {
        301..=303 => Method::GET,
        _ => method,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(from: &str, to: &str) -> Result<Hop, String> {
        let from = Url::parse(from).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, to.parse().unwrap());
        next_hop(&from, &from, &headers)
    }

    #[test]
    fn only_the_same_origin_gets_credentials() {
        let from = "https://api.example.com/v1/a";
        assert!(hop(from, "/v2/a").unwrap().same_origin);
        assert!(
            hop(from, "https://api.example.com:443/x")
                .unwrap()
                .same_origin
        );
        for other in [
            "https://example.com/",
            "https://api.example.com:444/",
            "//evil.test/a",
        ] {
            assert!(!hop(from, other).unwrap().same_origin, "{other}");
        }
        assert!(hop(from, "http://api.example.com/v1/a").is_err());
        assert!(hop(from, "ftp://api.example.com/").is_err());
        assert!(
            next_hop(
                &Url::parse(from).unwrap(),
                &Url::parse(from).unwrap(),
                &HeaderMap::new()
            )
            .is_err()
        );
    }
}
