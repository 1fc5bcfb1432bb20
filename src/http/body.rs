//! A request's body as raw bytes: nothing decompresses or decodes it, because the signature is
//! over what was sent.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_http::Payload;
use actix_http::header::{self, HeaderMap};
use actix_web::error::PayloadError;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::connections::Body;

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

/// What the head says of the body.
pub(super) fn announced(payload: &Payload, headers: &HeaderMap) -> Body {
    match (payload, length(headers)) {
        (Payload::None, _) => Body::None,
        (_, Some(length)) => Body::Length(length),
        (_, None) => Body::Unknown,
    }
}

/// `Content-Length`.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Reads all of `payload`, at most `bytes_max` bytes of it, within `time`.
pub(super) async fn read(
    payload: Payload,
    bytes_max: usize,
    time: Duration,
) -> Result<Bytes, BodyError> {
    in_time(collect(payload, bytes_max), time).await
}

/// The same, where nearly every body is there at once: that costs neither a timer nor a wake-up.
/// For a request that has waited for nothing before, on a connection that is watched: one that is
/// taken out of a pipeline with half its body gets its deadline only when more comes.
pub(super) async fn read_soon(
    payload: Payload,
    bytes_max: usize,
    time: Duration,
) -> Result<Bytes, BodyError> {
    let mut body = pin!(collect(payload, bytes_max));
    match at_once(body.as_mut()).await {
        Some(body) => body,
        None => in_time(body, time).await,
    }
}

/// One deadline for the whole body: a byte now and then does not prolong it.
async fn in_time(
    body: impl Future<Output = Result<Bytes, BodyError>>,
    time: Duration,
) -> Result<Bytes, BodyError> {
    tokio::time::timeout(time, body).await.unwrap_or(Err(BodyError::TooSlow))
}

/// What is there without waiting.
///
/// actix begins with a request before it has looked behind its head, and goes on with it as soon
/// as it has, or else when more comes. A waker left behind at the beginning would only have it go
/// through the whole connection once more.
async fn at_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut is_beginning = true;
    poll_fn(move |context| {
        if std::mem::take(&mut is_beginning) {
            let mut unheard = Context::from_waker(Waker::noop());
            return future.as_mut().poll(&mut unheard).map(Some);
        }
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        }
    })
    .await
}

async fn collect(mut payload: Payload, bytes_max: usize) -> Result<Bytes, BodyError> {
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
