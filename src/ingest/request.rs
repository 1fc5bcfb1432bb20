//! What comes to a source, and how much of it is read.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::event::Headers;
use crate::source::{Inbound, RateLimit, Verified};

const CONTENT_TYPE: &str = "content-type";

/// Limits that hold for every source.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest body, where the source has no limit of its own.
    pub body_max: usize,
    pub body_timeout: Duration,
    /// How many requests of one address may fail before its failures are answered late; nothing =
    /// any number.
    pub unverified: Option<RateLimit>,
    /// How many bytes of unverified bodies may be held.
    pub unverified_bytes: usize,
}

/// How much of one body is read, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    pub bytes_max: usize,
    /// One deadline for all of it.
    pub time: Duration,
}

/// What is looked at before the body is read.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The source's name, as the path has it.
    pub source: &'a str,
    /// `POST` and the like.
    pub method: &'a str,
    /// The path with the query, as sent.
    pub path_and_query: &'a str,
    /// A browser asks whether a page may send here (a CORS preflight).
    pub is_preflight: bool,
    /// How long the body is said to be.
    pub content_length: Option<usize>,
    /// What its headers take in memory. By HTTP/2 a client can name ten times 4 KB in ten bytes.
    pub header_bytes: usize,
    /// The caller's address, through the proxies that are believed.
    pub client: Option<IpAddr>,
    /// A proxy passed it on that `trusted_proxies` does not name, so that `client` is the proxy's.
    pub is_behind_unnamed_proxy: bool,
    /// When its head was read.
    pub began: Instant,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// More than the limit came.
    TooLarge,
    /// It took too long.
    TooSlow,
    /// The sender broke off, or the framing is wrong.
    Broken,
    /// Too many bodies of others are held.
    NoRoom,
}

/// A request to a source, read to its end.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path_and_query: &'a str,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
    pub(super) received_at: Timestamp,
    /// The sender's address, where it is known.
    pub(super) client: Option<IpAddr>,
}

impl RequestHead<'_> {
    /// The path alone.
    pub(super) fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }
}

impl Request<'_> {
    /// Whether it asks nothing that a source could have an answer to.
    pub(super) fn is_plain(&self) -> bool {
        let query = self.path_and_query.split_once('?').map_or("", |(_, query)| query);
        (self.method == "HEAD" || query.is_empty()) && self.body.is_empty()
    }

    /// The same with what `verified` believes of its query as its body, a form, where it has none: what it says
    /// there would be lost.
    pub(super) fn with_believed_query(self, verified: &Verified) -> Self {
        let Some(form) = verified.form_for_body() else { return self };
        let mut headers = Headers::builder();
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != CONTENT_TYPE) {
            headers.push(name, value);
        }
        headers.push(CONTENT_TYPE, b"application/x-www-form-urlencoded");
        Self { headers: headers.finish(), body: form.to_owned().into(), ..self }
    }

    pub(super) fn inbound(&self) -> Inbound<'_> {
        Inbound {
            method: self.method,
            path_and_query: self.path_and_query,
            headers: &self.headers,
            body: &self.body,
        }
    }
}
