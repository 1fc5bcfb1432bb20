//! What failed verification, kept for diagnosis: bounded, in memory, never delivered.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::event::{Headers, SourceName};
use crate::source::{Inbound, Rejection, Source};

use super::Request;

/// A request that failed verification.
#[derive(Clone, Debug)]
pub struct RejectedRequest {
    /// Its number: counted from 1 since the start, never reused.
    pub number: u64,
    /// When its head was read.
    pub received_at: Timestamp,
    /// The source that it was sent to.
    pub source: SourceName,
    /// The caller's address, where it has one.
    pub client: Option<IpAddr>,
    /// `POST` and the like.
    pub method: String,
    /// The path with the query, as sent.
    pub path_and_query: String,
    /// All headers.
    pub headers: Headers,
    /// The raw body.
    pub body: Bytes,
    /// Why it was not believed.
    pub rejection: Rejection,
}

impl RejectedRequest {
    pub(super) fn new(
        source: &Source,
        request: Request<'_>,
        client: Option<IpAddr>,
        rejection: Rejection,
    ) -> Self {
        let Request { method, path_and_query, headers, body, received_at } = request;
        Self {
            number: 0,
            received_at,
            source: source.name().clone(),
            client,
            method: method.to_owned(),
            path_and_query: path_and_query.to_owned(),
            headers,
            body,
            rejection,
        }
    }

    /// The request as a source judges it.
    pub fn inbound(&self) -> Inbound<'_> {
        Inbound {
            method: &self.method,
            path_and_query: &self.path_and_query,
            headers: &self.headers,
            body: &self.body,
        }
    }

    fn bytes(&self) -> usize {
        self.body.len() + self.headers.encoded().len() + self.path_and_query.len() + ENTRY_BYTES
    }
}

/// About what an entry takes besides its own text.
const ENTRY_BYTES: usize = 256;

/// The newest rejected requests.
#[derive(Debug, Default)]
pub struct RejectedRing(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Arc<RejectedRequest>>,
    bytes: usize,
    /// The newest number that was given.
    last: u64,
}

impl RejectedRing {
    /// The most requests that are kept: weeks of honest mistakes, minutes of a flood.
    pub const ENTRIES_MAX: usize = 1_000;
    /// The most bytes that are kept; the oldest go first.
    pub const BYTES_MAX: usize = 8 << 20;

    /// Keeps `request` under a number of its own, which is returned.
    pub fn push(&self, request: RejectedRequest) -> u64 {
        let mut ring = self.lock();
        ring.last += 1;
        let request = RejectedRequest {
            number: ring.last,
            // Copies: a slice of a connection's read buffer would keep all of the buffer alive.
            headers: Headers::from_encoded(Bytes::copy_from_slice(request.headers.encoded())),
            body: Bytes::copy_from_slice(&request.body),
            ..request
        };
        ring.bytes += request.bytes();
        ring.entries.push_back(Arc::new(request));
        while ring.entries.len() > Self::ENTRIES_MAX || ring.bytes > Self::BYTES_MAX {
            let Some(oldest) = ring.entries.pop_front() else { break };
            ring.bytes -= oldest.bytes();
        }
        ring.last
    }

    /// What is kept, newest first, at most `limit`.
    pub fn list(&self, limit: usize) -> Vec<Arc<RejectedRequest>> {
        self.lock().entries.iter().rev().take(limit).cloned().collect()
    }

    /// The newest one that was sent to `source`.
    pub fn newest_of(&self, source: &SourceName) -> Option<Arc<RejectedRequest>> {
        self.lock().entries.iter().rev().find(|request| request.source == *source).cloned()
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The request of this number, while it is kept.
    pub fn get(&self, number: u64) -> Option<Arc<RejectedRequest>> {
        self.lock().entries.iter().find(|request| request.number == number).cloned()
    }

    /// Lets go of the request of this number.
    pub fn remove(&self, number: u64) {
        let mut ring = self.lock();
        let found = ring.entries.iter().position(|request| request.number == number);
        if let Some(request) = found.and_then(|index| ring.entries.remove(index)) {
            ring.bytes -= request.bytes();
        }
    }

    /// A panic elsewhere leaves the ring whole: every change of it is complete or absent.
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body_bytes: usize) -> RejectedRequest {
        RejectedRequest {
            number: 0,
            received_at: Timestamp::from_millis(0),
            source: SourceName::parse("hyvor").unwrap(),
            client: None,
            method: "POST".into(),
            path_and_query: "/hooks/hyvor".into(),
            headers: Headers::default(),
            body: vec![b'x'; body_bytes].into(),
            rejection: Rejection::Missing,
        }
    }

    #[test]
    fn the_ring_keeps_the_newest_up_to_its_count() {
        let ring = RejectedRing::default();
        for _ in 0..RejectedRing::ENTRIES_MAX + 5 {
            ring.push(request(1));
        }
        let kept = ring.list(usize::MAX);
        assert_eq!(kept.len(), RejectedRing::ENTRIES_MAX);
        assert_eq!(kept[0].number, 1_005);
        assert!(ring.get(5).is_none());
        assert!(ring.get(6).is_some());
    }

    #[test]
    fn the_ring_keeps_no_more_bytes_than_its_limit() {
        let ring = RejectedRing::default();
        for _ in 0..100 {
            ring.push(request(1 << 20));
        }
        assert_eq!(ring.list(usize::MAX).len(), 7);
        assert!(ring.lock().bytes <= RejectedRing::BYTES_MAX);
    }

    #[test]
    fn numbers_are_not_reused() {
        let ring = RejectedRing::default();
        let first = ring.push(request(1));
        ring.remove(first);
        assert!(ring.get(first).is_none());
        assert_eq!(ring.lock().bytes, 0);
        assert_eq!(ring.push(request(1)), first + 1);
    }
}
