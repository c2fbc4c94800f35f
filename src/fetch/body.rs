//! Reading a body to its end, within its limit.

use crate::outcome::Reason;
use crate::transport::connection_failure;
use bytes::{Bytes, BytesMut};

/// Reserved at once at most, whatever a Content-Length claims.
const RESERVE: u64 = 1 << 20;

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
