//! A request that failed verification, as it is kept.

use std::net::IpAddr;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::event::{Headers, SourceName};
use crate::ingest::request::Request;
use crate::source::{Inbound, Rejection, Source};

/// A request that failed verification.
#[derive(Clone, Debug)]
pub struct RejectedRequest {
    /// Its number: counted from 1, also over restarts.
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
    /// Why it was not believed, in words.
    pub reason: String,
}

impl RejectedRequest {
    pub(in crate::ingest) fn new(
        source: &Source,
        request: Request<'_>,
        rejection: &Rejection,
    ) -> Self {
        let Request { method, path_and_query, headers, body, received_at, client } = request;
        Self {
            number: 0,
            received_at,
            source: source.name().clone(),
            client,
            method: method.to_owned(),
            path_and_query: path_and_query.to_owned(),
            headers,
            body,
            reason: rejection.to_string(),
        }
    }

    /// A question that was answered, or a hub's word that it denied the subscription: kept for what it brought.
    pub(in crate::ingest) fn of_handshake(
        source: &Source,
        request: Request<'_>,
        is_denial: bool,
    ) -> Self {
        // Without the hub's own words: reasons are grouped, and every client can write some.
        let reason = if is_denial { DENIAL } else { HANDSHAKE }.to_owned();
        Self { reason, ..Self::new(source, request, &Rejection::Missing) }
    }

    /// Whether it is a question that was answered.
    pub(super) fn is_handshake(&self) -> bool {
        self.reason == HANDSHAKE
    }

    /// The request as it came, to be judged once more.
    pub(in crate::ingest) fn as_it_came(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path_and_query: &self.path_and_query,
            headers: self.headers.clone(),
            body: self.body.clone(),
            received_at: self.received_at,
            client: self.client,
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

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.body.len() + self.headers.encoded().len() + self.path_and_query.len() + ENTRY_BYTES
    }
}

/// The reason of a question that was answered.
const HANDSHAKE: &str = "answered as a handshake, and no event";
/// The reason of a hub's word.
const DENIAL: &str = "answered as a hub's word that it denied the subscription, and no event";

/// About what an entry takes besides its own text.
const ENTRY_BYTES: usize = 256;
