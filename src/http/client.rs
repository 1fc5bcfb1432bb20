//! Which client sends a request, seen through the proxies that are trusted.

use std::net::IpAddr;

use actix_http::RequestHead;
use actix_http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::ingest::{FORWARDED, FORWARDING_HEADERS, Forwarding, is_read};

mod forwarded;

/// [`FORWARDING_HEADERS`] as names that are looked up without being parsed for each request.
static FORWARDING_NAMES: [HeaderName; 7] = [
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
    header::FORWARDED,
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("fly-client-ip"),
];

/// Where a request comes from.
#[derive(Debug)]
pub(crate) struct ClientInfo {
    /// The other end of the connection.
    pub(crate) peer: Option<IpAddr>,
    /// The client: the peer itself, or whom a trusted proxy names.
    pub(crate) client: Option<IpAddr>,
    /// The headers by which a proxy says who the client is. None in a direct request, which then
    /// costs nothing more.
    pub(crate) forwarding: Forwarding,
}

impl ClientInfo {
    /// Reads it off a request's head.
    pub(crate) fn of(head: &RequestHead, is_trusted: impl Fn(IpAddr) -> bool) -> Self {
        let peer = head.peer_addr.map(|peer| peer.ip().to_canonical());
        let names = FORWARDING_HEADERS.into_iter().zip(&FORWARDING_NAMES);
        let forwarding = names.filter(|(_, name)| head.headers.contains_key(*name));
        let forwarding: Forwarding = forwarding.map(|(text, _)| text).collect();
        let client = peer.map(|peer| address(peer, is_trusted, hops(&head.headers, &forwarding)));
        Self { peer, client, forwarding }
    }

    /// Whether a proxy that is not trusted passed the request on, so that the client is the proxy.
    pub(crate) fn is_behind_unnamed_proxy(&self) -> bool {
        is_read(&self.forwarding) && self.client == self.peer
    }
}

/// The hops that a request's proxies name, the nearest first; `None` = one that is no address.
type Hops<'a> = Box<dyn Iterator<Item = Option<IpAddr>> + 'a>;

/// The client's address: the peer's own, or where the peer is a trusted proxy, the first of `hops`
/// that is no trusted proxy's.
pub(crate) fn address(
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
    mut hops: Hops<'_>,
) -> IpAddr {
    let mut client = peer.to_canonical();
    while is_trusted(client) {
        // What a proxy wrote there that is no address ends the chain: nothing before it can be
        // believed.
        let Some(Some(address)) = hops.next() else { break };
        client = address.to_canonical();
    }
    client
}

/// The hops of `X-Forwarded-For`, or of `Forwarded` (RFC 7239) where no other header of a proxy is
/// there. Beside another one it may be the client's own, passed on by a proxy that knows nothing of
/// it.
pub(crate) fn hops<'a>(headers: &'a HeaderMap, forwarding: &[&'static str]) -> Hops<'a> {
    let [first, ..] = FORWARDING_HEADERS;
    let [first_name, ..] = &FORWARDING_NAMES;
    let (text, name) = match is_read(forwarding) {
        false => return Box::new(std::iter::empty()),
        true if *forwarding == [FORWARDED] => (FORWARDED, &header::FORWARDED),
        true => (first, first_name),
    };
    hops_in(text, headers.get_all(name).map(HeaderValue::as_bytes))
}

/// The hops in the headers `name`, all of their lists as one. Nothing is parsed before it is asked
/// for: a stranger's list may be as long as a head can be.
pub(crate) fn hops_in<'a>(
    name: &str,
    lists: impl DoubleEndedIterator<Item = &'a [u8]> + 'a,
) -> Hops<'a> {
    if name == FORWARDED {
        let hops = || {
            let all = lists.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
            forwarded::hops(&all).into_iter().rev().map(|hop| parse(hop.as_bytes()))
        };
        return Box::new(std::iter::once_with(hops).flatten());
    }
    let items = lists.rev().flat_map(|list| list.rsplit(|byte| *byte == b','));
    // An empty item is none (RFC 9110, 5.6.1).
    Box::new(items.filter(|item| !item.trim_ascii().is_empty()).map(parse))
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`. Some proxies
/// write it in quotation marks.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop).ok()?.trim().trim_matches('"');
    let parsed = hop.parse().ok();
    parsed
        .or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;

    fn check(peer: &str, forwarded_for: &[&str], expected: &str) {
        check_by(FORWARDING_HEADERS[0], peer, forwarded_for, expected);
    }

    fn check_by(name: &'static str, peer: &str, lists: &[&str], expected: &str) {
        let trusted: Vec<IpNet> =
            ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for list in lists {
            let list = HeaderValue::from_bytes(list.as_bytes()).unwrap();
            headers.append(HeaderName::from_static(name), list);
        }
        let is_trusted = |address| trusted.iter().any(|net| net.contains(&address));
        let found = address(peer.parse().unwrap(), is_trusted, hops(&headers, &[name]));
        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {lists:?}");
    }

    #[test]
    fn names_are_those_of_the_headers() {
        assert!(FORWARDING_NAMES.iter().map(HeaderName::as_str).eq(FORWARDING_HEADERS));
    }

    #[test]
    fn lists_of_several_headers_are_one() {
        check("10.0.0.1", &["1.1.1.1", "203.0.113.9, 10.0.0.3", "10.0.0.2"], "203.0.113.9");
        let lists = ["for=1.1.1.1, for=\"203.0.113.9:80\"", "for=10.0.0.2"];
        check_by(FORWARDED, "10.0.0.1", &lists, "203.0.113.9");
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
        check("10.0.0.1", &["\u{e4}"], "10.0.0.1");
    }

    #[test]
    fn empty_items_and_quotation_marks_are_passed_over() {
        check("10.0.0.1", &["203.0.113.9, "], "203.0.113.9");
        check("10.0.0.1", &["203.0.113.9,, 10.0.0.2,"], "203.0.113.9");
        check("10.0.0.1", &["\"203.0.113.9\", \"10.0.0.2:80\""], "203.0.113.9");
        check("10.0.0.1", &[" , ,"], "10.0.0.1");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        check("::ffff:10.0.0.1", &["203.0.113.9:443"], "203.0.113.9");
        check("fd00::1", &["[2001:db8::1]:443"], "2001:db8::1");
        check("fd00::1", &["[2001:db8::1]"], "2001:db8::1");
        check("fd00::1", &["::ffff:203.0.113.9"], "203.0.113.9");
    }
}
