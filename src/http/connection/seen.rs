//! What the bytes of a connection tell that never becomes a request.

use super::refusal::{BAD_REQUEST, HEAD_TOO_LARGE, TOO_SLOW};
use crate::ingest::RefusedFor;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was read yet, so that it may be TLS.
    Fresh,
    Served,
    /// It began with what is no HTTP, and that was reported.
    Reported,
    /// What it sent was refused as no request: whatever comes is thrown away.
    Over,
}

/// How a TLS client begins: a handshake record of version 3.
const TLS_BEGINNING: &[u8] = b"\x16\x03";

/// How a proxy begins that speaks the PROXY protocol, of version 1 and 2.
const PROXY_BEGINNINGS: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// How a client begins that speaks HTTP/2 without asking first (RFC 9113, 3.4).
const HTTP2_BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n";

/// What a client sends that speaks no HTTP, or none that is known without TLS.
pub(super) fn at_beginning(bytes: &[u8]) -> Option<RefusedFor> {
    if bytes.starts_with(TLS_BEGINNING) {
        return Some(RefusedFor::Tls);
    }
    if bytes.starts_with(HTTP2_BEGINNING) {
        return Some(RefusedFor::Http2Clear);
    }
    let speaks_proxy = PROXY_BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning));
    speaks_proxy.then_some(RefusedFor::ProxyProtocol)
}

/// What actix refuses by itself, without asking our service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BareAnswer {
    /// Where its answer begins in what is written; it is the last of that.
    pub(super) at: usize,
    /// How it is counted.
    pub(super) reason: RefusedFor,
    /// What is written in its place.
    pub(super) replacement: &'static [u8],
}

/// The answer that actix gives by itself, at the end of what is written: it has no body, and ours have one.
pub(super) fn in_answer(written: &[u8]) -> Option<BareAnswer> {
    if !written.ends_with(b"\r\n\r\n") {
        return None;
    }
    let at = memchr::memmem::rfind(written, b"HTTP/1.1 ")?;
    let head = written.get(at..)?;
    // One to HEAD has the length of the body that it lacks.
    let is_bare = memchr::memmem::find(head, b"content-length: 0\r\n").is_some();
    let (reason, replacement) = match head.get(9..12).filter(|_| is_bare)? {
        b"400" => (RefusedFor::Malformed, BAD_REQUEST),
        b"408" => (RefusedFor::SlowHead, TOO_SLOW),
        b"431" => (RefusedFor::HeadTooLarge, HEAD_TOO_LARGE),
        _ => return None,
    };
    Some(BareAnswer { at, reason, replacement })
}
