//! What the bytes of a connection tell that never becomes a request.

use crate::http::connections::Seen;

/// How a TLS client begins: a handshake record of version 3.
const TLS_BEGINNING: &[u8] = b"\x16\x03";

/// How a proxy begins that speaks the PROXY protocol, of version 1 and 2.
const PROXY_BEGINNINGS: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// What a client sends that speaks no HTTP.
pub(super) fn at_beginning(bytes: &[u8]) -> Option<Seen> {
    if bytes.starts_with(TLS_BEGINNING) {
        return Some(Seen::Tls);
    }
    let speaks_proxy = PROXY_BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning));
    speaks_proxy.then_some(Seen::ProxyProtocol)
}

/// What actix refuses by itself, without asking our service: its answer to that has no body, and
/// ours have one.
pub(super) fn in_answer(written: &[u8]) -> Option<Seen> {
    if !written.ends_with(b"\r\n\r\n") {
        return None;
    }
    let last = memchr::memmem::rfind(written, b"HTTP/1.1 ")?;
    match written.get(last + 9..last + 12)? {
        b"400" => Some(Seen::Malformed),
        b"408" => Some(Seen::SlowHead),
        b"431" => Some(Seen::HeadTooLarge),
        _ => None,
    }
}
