//! One HTTP exchange with whoever gives tokens.
//!
//! Owns the limits of such an exchange, and what a status says before any body
//! is read. Never follows a redirect: a secret goes to the address in the job
//! file and nowhere else.

use super::grant::{Authority, GrantError};
use oauth2::http::{Request, Response, StatusCode};
use std::time::Duration;

/// A token response is a few kB; more is not one.
const MAX_RESPONSE: usize = 256 * 1024;

/// Sends the request, all its headers sensitive, and reads the whole answer.
/// `client` must not follow redirects; `timeout` is for all of it.
pub(super) async fn send(
    client: &reqwest::Client,
    request: Request<Vec<u8>>,
    timeout: Duration,
    who: Authority,
) -> Result<Response<Vec<u8>>, GrantError> {
    let exchange = async {
        let (mut head, body) = request.into_parts();
        for value in head.headers.values_mut() {
            value.set_sensitive(true);
        }
        let request = Request::from_parts(head, body)
            .try_into()
            .map_err(|_| GrantError::unavailable(format!("{} could not be asked", who.name)))?;
        let mut response =
            client.execute(request).await.map_err(
                |e| match crate::transport::certificate_problem(&e) {
                    Some(problem) => GrantError::Untrusted { who, problem },
                    None => GrantError::unavailable(format!(
                        "{}: {}",
                        who.name,
                        crate::transport::connection_message(&e)
                    )),
                },
            )?;
        let status = response.status();
        let after = crate::transport::retry_after(response.headers(), std::time::SystemTime::now());
        readable(status, after, who)?;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|_| GrantError::unavailable(format!("{}: its answer was cut", who.name)))?
        {
            if body.len() + chunk.len() > MAX_RESPONSE {
                let message = format!("{}: its answer is too long", who.name);
                return Err(GrantError::unavailable(message));
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    };
    tokio::time::timeout(timeout, exchange)
        .await
        .unwrap_or_else(|_| {
            let message = format!("{} did not answer in time", who.name);
            Err(GrantError::unavailable(message))
        })
}

/// Whether an answer of this status has a body that is worth reading.
pub(super) fn readable(
    status: StatusCode,
    after: Option<Duration>,
    who: Authority,
) -> Result<(), GrantError> {
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        return Err(GrantError::Unavailable {
            message: format!("{} answered {status}", who.name),
            after,
        });
    }
    // A log-in of a web page answers so, with a cookie.
    if status.is_redirection() && who != Authority::LOGIN {
        return Err(GrantError::Odd {
            who,
            error: status.to_string(),
            description: format!(
                ": {} redirects, and a secret is never sent along a redirect; give the final URL",
                who.key
            ),
        });
    }
    Ok(())
}
