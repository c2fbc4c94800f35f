//! The device authorization grant (RFC 8628): the person enters a code in a
//! browser elsewhere, and we ask again and again until they have.

use super::{Ask, ConsentError, Prompt, Server};
use crate::auth::grant::GrantError;
use crate::auth::store::StoredTokens;
use crate::auth::token_request::Exchange;
use crate::job::Grant;
use oauth2::StandardDeviceAuthorizationResponse;
use reqwest::Url;
use secrecy::SecretString;
use std::time::Duration;
use tokio::time::Instant;

/// RFC 8628 section 3.5: what `slow_down` adds, from then on.
const SLOWER: Duration = Duration::from_secs(5);
/// Between two tries, however often the server is out of reach.
const SLOWEST: Duration = Duration::from_secs(60);
/// Between two tries, whatever the server allows.
const FASTEST: Duration = Duration::from_secs(1);
/// No code is believed to be good for longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Asks for a code, shows it, and waits until it was entered.
pub(super) async fn obtain(
    grant: &Grant,
    server: &Server,
    params: &[(String, SecretString)],
    ask: &impl Ask,
    prompt: impl Fn(&Prompt<'_>),
) -> Result<StoredTokens, ConsentError> {
    let endpoint = server.device.as_ref();
    let endpoint = endpoint.ok_or(ConsentError::NoPerson)?;
    let scope = Some(("scope", SecretString::from(grant.scope.as_str())));
    let scope = scope.filter(|_| !grant.scope.is_empty());
    let params = params
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()));
    let form = scope.into_iter().chain(params).collect();
    let asked = Instant::now();
    let device = ask.device(endpoint, form).await?;
    let until = asked + device.expires_in().min(LONGEST);
    let verification_uri = web_page(device.verification_uri()).ok_or(ConsentError::OddDevice(
        "a verification_uri that is no web page",
    ))?;
    let complete = device.verification_uri_complete();
    prompt(&Prompt::Enter {
        user_code: &printable(device.user_code().secret()),
        verification_uri: &verification_uri,
        complete: complete.and_then(|url| web_page(url.secret())).as_ref(),
        expires_in: until.saturating_duration_since(Instant::now()),
    });
    poll(&device, until, ask).await
}

/// A page that a browser may be sent to: the server's word opens no file and
/// starts no other program.
fn web_page(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

/// RFC 8628 sections 3.4 and 3.5.
async fn poll(
    device: &StandardDeviceAuthorizationResponse,
    until: Instant,
    ask: &impl Ask,
) -> Result<StoredTokens, ConsentError> {
    let device_code = SecretString::from(device.device_code().secret().as_str());
    let exchange = Exchange::DeviceCode(&device_code);
    let mut interval = device.interval().clamp(FASTEST, SLOWEST);
    let mut wait = interval;
    loop {
        if Instant::now() + wait >= until {
            tokio::time::sleep_until(until).await;
            return Err(ConsentError::Expired);
        }
        tokio::time::sleep(wait).await;
        match ask.tokens(&exchange).await {
            Ok(tokens) => return Ok(tokens),
            Err(GrantError::Pending { slow_down }) => {
                if slow_down {
                    interval += SLOWER;
                }
                wait = interval;
            }
            // The person is busy with the code: an outage is sat out, ever more slowly.
            Err(GrantError::Unavailable { message, after }) => {
                tracing::warn!("{message}; asking again");
                wait = match after {
                    // The server's own word, however long.
                    Some(after) => after.max(interval),
                    None => (wait * 2).clamp(interval, SLOWEST.max(interval)),
                };
            }
            Err(GrantError::Refused { error, .. }) if error == "expired_token" => {
                return Err(ConsentError::Expired);
            }
            Err(GrantError::Refused {
                error, description, ..
            }) if error == "access_denied" => {
                return Err(ConsentError::Refused { error, description });
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The code as a terminal may show it.
fn printable(code: &str) -> String {
    code.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
