//! A request's body as raw bytes: nothing decompresses or decodes it, because the signature is
//! over what was sent.

use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::web;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// More than the limit came.
    TooLarge,
    /// It took too long.
    TooSlow,
    /// The sender broke off, or the framing is wrong.
    Broken,
}

/// Reads all of `payload`, at most `bytes_max` bytes of it, within `time`.
pub(super) async fn read(
    payload: web::Payload,
    bytes_max: usize,
    time: Duration,
) -> Result<Bytes, BodyError> {
    // One deadline for the whole body: a byte now and then does not prolong it.
    match tokio::time::timeout(time, collect(payload, bytes_max)).await {
        Ok(body) => body,
        Err(_elapsed) => Err(BodyError::TooSlow),
    }
}

async fn collect(mut payload: web::Payload, bytes_max: usize) -> Result<Bytes, BodyError> {
    let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(|err| broken(&err))?;
    if first.len() > bytes_max {
        return Err(BodyError::TooLarge);
    }
    let Some(second) = payload.next().await else {
        // Most bodies come in one piece, which is taken as it is.
        return Ok(first);
    };
    let mut body = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        let chunk = chunk.map_err(|err| broken(&err))?;
        if body.len() + chunk.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
        next = payload.next().await;
    }
    Ok(body.freeze())
}

fn broken(err: &PayloadError) -> BodyError {
    match err {
        PayloadError::Overflow => BodyError::TooLarge,
        // The enum is actix's and open: whatever else went wrong, there is no body.
        _ => BodyError::Broken,
    }
}
