//! Reading a body to its end, within its limit.

use crate::outcome::Reason;
use crate::transport::connection_failure;
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::time::Instant;

/// Reserved at once at most, whatever a Content-Length claims.
const RESERVE: u64 = 1 << 20;

/// Of an error answer's body, so much is read for the server's words …
const WORDS: u64 = 64 * 1024;
/// … and so long is waited for them: the status and its Retry-After are known already.
const WORDS_WITHIN: Duration = Duration::from_secs(2);

/// A body that did not come whole.
#[derive(Debug)]
pub(super) struct BodyTrouble {
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// The decoded body, at most `limit` bytes.
pub(super) async fn read(
    response: &mut reqwest::Response,
    limit: u64,
) -> Result<Bytes, BodyTrouble> {
    let too_large = || BodyTrouble {
        reason: Reason::BodyTooLarge,
        message: format!("the body is longer than max_body ({limit} bytes)"),
    };
    // Absent when the body is compressed: the length then says nothing about ours.
    let announced = response.content_length();
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    loop {
        let chunk = response.chunk().await.map_err(|error| {
            let (reason, message) = connection_failure(&error, true);
            BodyTrouble { reason, message }
        })?;
        let Some(chunk) = chunk else {
            return Ok(body.freeze());
        };
        if (body.len() as u64).saturating_add(chunk.len() as u64) > limit {
            return Err(too_large());
        }
        if body.is_empty() {
            if announced == Some(chunk.len() as u64) {
                // The whole body in one chunk: no copy. The stream's end is known by its length.
                return Ok(chunk);
            }
            let room = announced.unwrap_or(0).min(RESERVE).min(limit);
            body.reserve(usize::try_from(room).unwrap_or(0));
        }
        body.extend_from_slice(&chunk);
    }
}

/// What an error answer says, when it says so soon: before `deadline`, the attempt's end.
pub(super) async fn words(response: &mut reqwest::Response, deadline: Instant) -> Option<Bytes> {
    // A moment before the attempt's own end, which would take the status away, too.
    let before = deadline
        .checked_sub(Duration::from_millis(20))
        .unwrap_or(deadline);
    let until = before.min(Instant::now() + WORDS_WITHIN);
    tokio::time::timeout_at(until, read(response, WORDS))
        .await
        .ok()?
        .ok()
}
