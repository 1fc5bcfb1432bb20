//! Which client sends a request, seen through the proxies that are trusted.

use std::net::IpAddr;

use actix_http::RequestHead;
use actix_http::header::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use crate::ingest::{FORWARDED, FORWARDING_HEADERS, is_read};

mod forwarded;

/// The hops that the proxies name, the client first: those of `X-Forwarded-For`, or of `Forwarded`
/// (RFC 7239) where no other header of a proxy is there. Beside another one it may be the client's
/// own, passed on by a proxy that knows nothing of it.
pub(crate) fn hops(headers: &HeaderMap, forwarding: &[&'static str]) -> Vec<String> {
    let [first, ..] = FORWARDING_HEADERS;
    let name = match is_read(forwarding) {
        false => return Vec::new(),
        true if *forwarding == [FORWARDED] => FORWARDED,
        true => first,
    };
    let lists = headers.get_all(name).map(HeaderValue::as_bytes).map(String::from_utf8_lossy);
    hops_in(name, &lists.collect::<Vec<_>>().join(","))
}

/// The hops of the header `name`, all of its lists as one.
pub(crate) fn hops_in(name: &str, list: &str) -> Vec<String> {
    if name == FORWARDED {
        forwarded::hops(list)
    } else {
        list.split(',').map(str::to_owned).collect()
    }
}

/// Where a request comes from.
#[derive(Debug)]
pub(crate) struct ClientInfo {
    /// The other end of the connection.
    pub(crate) peer: Option<IpAddr>,
    /// The client: the peer itself, or whom a trusted proxy names.
    pub(crate) client: Option<IpAddr>,
    /// The headers by which a proxy says who the client is. None in a direct request, which then
    /// costs nothing more.
    pub(crate) forwarding: Vec<&'static str>,
}

impl ClientInfo {
    /// Reads it off a request's head.
    pub(crate) fn of(head: &RequestHead, trusted_proxies: &[IpNet]) -> Self {
        let peer = head.peer_addr.map(|peer| peer.ip().to_canonical());
        let is_there = |name: &&str| head.headers.contains_key(*name);
        let forwarding: Vec<_> = FORWARDING_HEADERS.into_iter().filter(is_there).collect();
        let client = if forwarding.is_empty() {
            peer
        } else {
            address(peer, trusted_proxies, &hops(&head.headers, &forwarding))
        };
        Self { peer, client, forwarding }
    }

    /// Whether a proxy that is not trusted passed the request on, so that the client is the proxy.
    pub(crate) fn is_behind_unnamed_proxy(&self) -> bool {
        is_read(&self.forwarding) && self.client == self.peer
    }
}

/// The client's address: the peer's own, or where the peer is a believed proxy, the last address
/// among the `hops` that no believed proxy has.
pub(crate) fn address(
    peer: Option<IpAddr>,
    trusted_proxies: &[IpNet],
    hops: &[String],
) -> Option<IpAddr> {
    let mut client = peer?.to_canonical();
    let is_trusted = |address: IpAddr| trusted_proxies.iter().any(|net| net.contains(&address));
    for hop in hops.iter().rev() {
        if !is_trusted(client) {
            return Some(client);
        }
        // What a proxy wrote there that is no address ends the chain: nothing before it can be
        // believed.
        let Some(address) = parse(hop) else { return Some(client) };
        client = address.to_canonical();
    }
    Some(client)
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let parsed = hop.parse().ok();
    parsed
        .or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, forwarded_for: &[&str], expected: &str) {
        let trusted: Vec<IpNet> =
            ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        let found = address(
            Some(peer.parse().unwrap()),
            &trusted,
            &forwarded_for
                .iter()
                .flat_map(|list| list.split(','))
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        );
        assert_eq!(found, Some(expected.parse().unwrap()), "{peer} {forwarded_for:?}");
    }

    #[test]
    fn a_stranger_cannot_say_who_he_is() {
        check("192.0.2.1", &["203.0.113.9"], "192.0.2.1");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_counts() {
        check("10.0.0.1", &["203.0.113.9"], "203.0.113.9");
        check("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9");
        check("10.0.0.1", &["1.1.1.1", "203.0.113.9,10.0.0.2"], "203.0.113.9");
        check("10.0.0.1", &["10.0.0.3"], "10.0.0.3");
        check("10.0.0.1", &[], "10.0.0.1");
    }

    #[test]
    fn what_is_no_address_ends_the_chain() {
        check("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1");
        check("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2");
        check("10.0.0.1", &["\u{0}"], "10.0.0.1");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        check("::ffff:10.0.0.1", &["203.0.113.9:443"], "203.0.113.9");
        check("fd00::1", &["[2001:db8::1]:443"], "2001:db8::1");
        check("fd00::1", &["[2001:db8::1]"], "2001:db8::1");
        check("fd00::1", &["::ffff:203.0.113.9"], "203.0.113.9");
    }
}
