//! A request's body as raw bytes: nothing decompresses or decodes it, because the signature is
//! over what was sent.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_http::Payload;
use actix_http::header::{self, HeaderMap, HeaderValue};
use actix_web::error::PayloadError;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use crate::ingest::{BodyError, BodyRoom};

/// In what pieces a body is kept whose length is not known, at most: the first ones are smaller. As
/// long as actix's buffers, so that it fits where one of a closed connection was.
const BLOCK_BYTES: usize = 8 << 10;
/// The first of them, which takes no room: like what every connection holds anyway.
const FIRST_BLOCK_BYTES: usize = 4 << 10;
/// What actix holds while a body comes: its read buffer, the one that the head was read into, whose
/// headers point there, and the one that the answer is written into.
const CONNECTION_BYTES: usize = 24 << 10;

/// `Content-Length`.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Where the body ends, where the framing does not say so: actix takes all that comes behind an offer
/// of a WebSocket as one stream. We make no use of the offer (RFC 9110, 7.8), so the length counts.
pub(super) fn end_of(headers: &HeaderMap) -> Option<usize> {
    let is_offer = |value: &HeaderValue| {
        value.to_str().is_ok_and(|value| value.trim().eq_ignore_ascii_case("websocket"))
    };
    let is_stream = headers.get_all(header::UPGRADE).any(is_offer)
        && !headers.contains_key(header::TRANSFER_ENCODING);
    is_stream.then(|| usize::try_from(length(headers).unwrap_or(0)).unwrap_or(usize::MAX))
}

/// How a body is collected.
#[derive(Debug, Default)]
pub(super) struct Collect<'a, 'b> {
    pub(super) bytes_max: usize,
    /// How long it is said to be.
    pub(super) length: Option<usize>,
    /// Its room among all bodies, where it needs some.
    pub(super) room: Option<&'a mut BodyRoom<'b>>,
    /// Where it ends, as [`end_of`] says.
    pub(super) end: Option<usize>,
}

/// Reads all of `payload`, at most `bytes_max` bytes of it, within `time`.
pub(super) async fn read(
    payload: Payload,
    bytes_max: usize,
    time: Duration,
) -> Result<Bytes, BodyError> {
    read_all(payload, Collect { bytes_max, ..Collect::default() }, time).await
}

/// Reads all of `payload` within `time`, as `collect` says.
pub(super) async fn read_all(
    payload: Payload,
    collect: Collect<'_, '_>,
    time: Duration,
) -> Result<Bytes, BodyError> {
    in_time(collect.all(payload), time).await
}

/// The same, where nearly every body is there at once: that costs neither a timer nor a wake-up.
/// For a request that has waited for nothing before, on a connection that is watched.
pub(super) async fn read_soon(
    payload: Payload,
    collect: Collect<'_, '_>,
    time: Duration,
) -> Result<Bytes, BodyError> {
    let mut body = pin!(collect.all(payload));
    // actix begins with a request before it has looked behind its head, and goes on with it as soon
    // as it has, or else when more comes. A waker left behind at the beginning would only have it go
    // through the whole connection once more.
    let mut is_beginning = true;
    let at_once = poll_fn(|context| {
        if std::mem::take(&mut is_beginning) {
            return body.as_mut().poll(&mut Context::from_waker(Waker::noop())).map(Some);
        }
        match body.as_mut().poll(context) {
            Poll::Ready(body) => Poll::Ready(Some(body)),
            Poll::Pending => Poll::Ready(None),
        }
    });
    match at_once.await {
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

impl Collect<'_, '_> {
    async fn all(mut self, mut payload: Payload) -> Result<Bytes, BodyError> {
        if self.end == Some(0) {
            return Ok(Bytes::new());
        }
        let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
        let mut first = first.map_err(|err| broken(&err))?;
        if self.takes(0, &mut first)? {
            return Ok(first);
        }
        let Some(second) = payload.next().await else {
            // Most bodies come in one piece, which is taken as it is.
            return Ok(first);
        };
        let mut blocks = Blocks::of(self.length.map(|length| length.min(self.bytes_max)));
        self.make_room(&blocks, first.len())?;
        blocks.add(&first);
        drop(first);
        let mut is_end = self.add(&mut blocks, second)?;
        while !is_end && let Some(chunk) = payload.next().await {
            is_end = self.add(&mut blocks, chunk)?;
        }
        Ok(blocks.join())
    }

    /// Puts `chunk` behind the others; gives whether the body ends with it. The chunk is part of what
    /// was read of the socket (up to 128 KiB), so it goes before the next one is waited for.
    fn add(
        &mut self,
        blocks: &mut Blocks,
        chunk: Result<Bytes, PayloadError>,
    ) -> Result<bool, BodyError> {
        let mut chunk = chunk.map_err(|err| broken(&err))?;
        let is_end = self.takes(blocks.n_bytes, &mut chunk)?;
        self.make_room(blocks, chunk.len())?;
        blocks.add(&chunk);
        Ok(is_end)
    }

    /// Whether the body ends with `chunk`, which comes behind `length` bytes and is cut off there.
    fn takes(&self, length: usize, chunk: &mut Bytes) -> Result<bool, BodyError> {
        let is_end = self.end.is_some_and(|end| length + chunk.len() >= end);
        if let Some(end) = self.end.filter(|_| is_end) {
            chunk.truncate(end.saturating_sub(length));
        }
        if length + chunk.len() > self.bytes_max {
            return Err(BodyError::TooLarge);
        }
        Ok(is_end)
    }

    /// Takes room for `n_more` bytes behind `blocks`, where it was not known before that they come.
    fn make_room(&mut self, blocks: &Blocks, n_more: usize) -> Result<(), BodyError> {
        let (None, Some(room)) = (self.length, &mut self.room) else { return Ok(()) };
        let n_held = blocks.capacity_with(n_more);
        if n_held <= FIRST_BLOCK_BYTES || room.grow_to(n_held + CONNECTION_BYTES) {
            return Ok(());
        }
        Err(BodyError::NoRoom)
    }
}

/// What has come of a body.
///
/// One buffer, where the length is known. Else blocks, which are joined at the end: a buffer that
/// grows has up to twice its bytes, and leaves its smaller predecessors behind as holes.
struct Blocks {
    all: Vec<BytesMut>,
    n_bytes: usize,
    /// What all blocks have room for.
    capacity: usize,
    /// How long the next block is.
    block_bytes: usize,
}

impl Blocks {
    fn of(length: Option<usize>) -> Self {
        let block_bytes = length.map_or(FIRST_BLOCK_BYTES, |length| length.max(BLOCK_BYTES));
        Self { all: Vec::new(), n_bytes: 0, capacity: 0, block_bytes }
    }

    /// What all blocks have room for once `n_more` bytes are added.
    fn capacity_with(&self, n_more: usize) -> usize {
        let (mut capacity, mut block_bytes) = (self.capacity, self.block_bytes);
        while capacity < self.n_bytes + n_more {
            capacity += block_bytes;
            block_bytes = next_block(capacity);
        }
        capacity
    }

    fn add(&mut self, mut bytes: &[u8]) {
        self.n_bytes += bytes.len();
        while !bytes.is_empty() {
            if self.all.last().is_none_or(|block| block.len() == block.capacity()) {
                self.all.push(BytesMut::with_capacity(self.block_bytes));
                self.capacity += self.block_bytes;
                self.block_bytes = next_block(self.capacity);
            }
            let Some(block) = self.all.last_mut() else { return };
            let (fitting, rest) = bytes.split_at(bytes.len().min(block.capacity() - block.len()));
            block.extend_from_slice(fitting);
            bytes = rest;
        }
    }

    fn join(mut self) -> Bytes {
        if self.all.len() > 1 {
            let mut body = BytesMut::with_capacity(self.n_bytes);
            for block in self.all {
                body.extend_from_slice(&block);
            }
            return body.freeze();
        }
        self.all.pop().unwrap_or_default().freeze()
    }
}

/// How long the block behind `capacity` bytes is: no more than those, so that at most half is empty.
fn next_block(capacity: usize) -> usize {
    capacity.min(BLOCK_BYTES)
}

fn broken(err: &PayloadError) -> BodyError {
    match err {
        PayloadError::Overflow => BodyError::TooLarge,
        // The enum is actix's and open: whatever else went wrong, there is no body.
        _ => BodyError::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_comes_out_of_its_blocks_as_it_came() {
        let bytes: Vec<u8> = (0..=250_u8).cycle().take(3 * BLOCK_BYTES + 7).collect();
        for length in [None, Some(bytes.len()), Some(10)] {
            for n_bytes in [1_000, BLOCK_BYTES, bytes.len()] {
                let mut blocks = Blocks::of(length);
                bytes.chunks(n_bytes).for_each(|chunk| blocks.add(chunk));
                let held: usize = blocks.all.iter().map(BytesMut::capacity).sum();
                assert_eq!(held, blocks.capacity);
                assert!(held < bytes.len() + BLOCK_BYTES, "{held} bytes for {}", bytes.len());
                assert_eq!(blocks.join(), bytes);
            }
        }
        assert_eq!(Blocks::of(None).join(), Bytes::new());
    }
}
