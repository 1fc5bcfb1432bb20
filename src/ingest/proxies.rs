//! The proxies that requests come through: which headers each sends about the client, and which
//! address is believed, so that a wrong `trusted_proxies` is seen before `allow` or a limit hits the
//! wrong one. Bounded, and forgotten with the process.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::clock::Timestamp;
use crate::sync::lock;

/// The standard's header (RFC 7239), which is read where it is the only one.
pub const FORWARDED: &str = "forwarded";

/// The headers by which proxies say who the client is. The first one is read wherever it is.
pub const FORWARDING_HEADERS: [&str; 7] = [
    "x-forwarded-for",
    "x-real-ip",
    FORWARDED,
    "cf-connecting-ip",
    "true-client-ip",
    "x-client-ip",
    "fly-client-ip",
];

/// Those of them that a request has: seldom more than two.
pub type Forwarding = SmallVec<[&'static str; 2]>;

/// So many proxies are remembered.
const PROXIES_MAX: usize = 16;

/// A request that has headers of a proxy.
#[derive(Clone, Debug)]
pub struct ProxiedRequest {
    /// Who connected.
    pub peer: IpAddr,
    /// Whether `trusted_proxies` names the peer.
    pub is_trusted: bool,
    /// Which of [`FORWARDING_HEADERS`] it has.
    pub headers: Forwarding,
    /// The address that the request counts for.
    pub client: IpAddr,
    /// The address that it would count for if the peer were trusted.
    pub claimed: IpAddr,
}

/// What one proxy sent last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyRow {
    /// The proxy's address.
    pub peer: IpAddr,
    /// Whether `trusted_proxies` names it.
    pub trusted: bool,
    /// The headers by which it says who the client is.
    pub headers: Vec<Cow<'static, str>>,
    /// The address that its last request counted for.
    pub client: IpAddr,
    /// The address that it would count for if the proxy were trusted.
    pub claimed: IpAddr,
    pub count: u64,
    pub last_at: Timestamp,
    /// What that means, and what helps.
    pub advice: String,
}

/// The proxies that were seen.
#[derive(Debug, Default)]
pub struct Proxies(Mutex<Vec<ProxyRow>>);

impl Proxies {
    /// Remembers what the proxy said of this request: one that is trusted, or on a private network.
    pub fn add(&self, request: ProxiedRequest, now: Timestamp) {
        let ProxiedRequest { peer, is_trusted, headers, client, claimed } = request;
        let mut rows = lock(&self.0);
        if let Some(row) = rows.iter_mut().find(|row| row.peer == peer) {
            let is_same = row.trusted == is_trusted
                && (row.client, row.claimed) == (client, claimed)
                && row.headers.iter().eq(&headers);
            if !is_same {
                (row.trusted, row.client, row.claimed) = (is_trusted, client, claimed);
                row.headers = headers.into_iter().map(Cow::Borrowed).collect();
                row.advice = advice(row);
            }
            row.count += 1;
            row.last_at = now;
            return;
        }
        if rows.len() >= PROXIES_MAX {
            let oldest = rows.iter().enumerate().min_by_key(|(_, row)| row.last_at);
            if let Some(index) = oldest.map(|(index, _)| index) {
                rows.swap_remove(index);
            }
        }
        let advice = String::new();
        let trusted = is_trusted;
        let headers = headers.into_iter().map(Cow::Borrowed).collect();
        let mut row =
            ProxyRow { peer, trusted, headers, client, claimed, count: 1, last_at: now, advice };
        row.advice = self::advice(&row);
        rows.push(row);
    }

    /// All proxies, the latest first.
    pub fn list(&self) -> Vec<ProxyRow> {
        let mut rows = lock(&self.0).clone();
        rows.sort_by_key(|row| std::cmp::Reverse(row.last_at));
        rows
    }
}

fn advice(row: &ProxyRow) -> String {
    let ProxyRow { peer, trusted, headers, client, claimed, .. } = row;
    let sends = format!("proxy {peer} sends {}", headers.join(", "));
    match (*trusted, is_read(headers)) {
        (true, true) => format!("{sends}: believed, its last client is {client}"),
        (true, false) => format!(
            "{sends}, but no x-forwarded-for, the one that is read (or forwarded alone): all \
             clients count as {client}. Let the proxy set it (deploy/proxies)"
        ),
        (false, true) => format!(
            "{sends}: not believed, all clients count as {client}. With `trusted_proxies = \
             [\"{peer}\"]` in `[server]` its last client would be {claimed}"
        ),
        (false, false) => format!(
            "{sends}: not believed, all clients count as {client}. Let the proxy set \
             x-forwarded-for (deploy/proxies), and name it: `trusted_proxies = [\"{peer}\"]` in \
             `[server]`"
        ),
    }
}

/// Whether the client is read from these headers.
pub fn is_read(headers: &[impl AsRef<str>]) -> bool {
    let [first, ..] = FORWARDING_HEADERS;
    let is_alone = matches!(headers, [only] if only.as_ref() == FORWARDED);
    is_alone || headers.iter().any(|name| name.as_ref() == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(peer: &str, is_trusted: bool, headers: &[&'static str]) -> ProxiedRequest {
        let (peer, claimed) = (peer.parse().unwrap(), "203.0.113.9".parse().unwrap());
        let client = if is_trusted { claimed } else { peer };
        ProxiedRequest { peer, is_trusted, headers: headers.into(), client, claimed }
    }

    fn at(n: i64) -> Timestamp {
        Timestamp::from_millis(n)
    }

    #[test]
    fn advice_names_the_proxy_and_the_client_that_would_be_believed() {
        let proxies = Proxies::default();
        proxies.add(request("127.0.0.1", false, &["x-forwarded-for", "x-real-ip"]), at(1));
        proxies.add(request("10.0.0.2", false, &["forwarded"]), at(2));
        proxies.add(request("192.0.2.8", true, &["x-forwarded-for"]), at(3));
        proxies.add(request("192.0.2.9", true, &["cf-connecting-ip"]), at(4));
        let advice: Vec<String> = proxies.list().into_iter().map(|row| row.advice).collect();
        insta::assert_snapshot!(advice.join("\n"));
        // Once it is named, the row says so.
        proxies.add(request("127.0.0.1", true, &["x-forwarded-for"]), at(5));
        let row = proxies.list().swap_remove(0);
        assert_eq!((row.count, row.trusted), (2, true));
        assert!(row.advice.contains("believed, its last client is 203.0.113.9"));
    }

    #[test]
    fn newest_are_kept() {
        let proxies = Proxies::default();
        for n in 0..100 {
            let peer = format!("10.0.0.{n}");
            proxies.add(request(&peer, false, &["x-forwarded-for"]), at(n));
        }
        let rows = proxies.list();
        assert_eq!(rows.len(), PROXIES_MAX);
        assert_eq!(rows[0].peer.to_string(), "10.0.0.99");
    }
}
