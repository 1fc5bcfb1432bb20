//! Which addresses a request may go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;
use reqwest::Url;
use url::Host;

use crate::settings::Table;

/// Never asked for by a webhook, and behind them stand the keys of a cloud machine: "this host",
/// link-local with the metadata services of most clouds, those of Alibaba and Oracle, multicast
/// and what is reserved; the same for IPv6, with the metadata services of AWS and Google.
static REFUSED: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    read(&[
        "0.0.0.0/8",
        "169.254.0.0/16",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "fe80::/10",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
        "ff00::/8",
    ])
});

/// This machine and the networks around it: where the owner's own programs are, and where a URL
/// out of a payload must not lead.
static PRIVATE: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    read(&[
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "::1/128",
        "fc00::/7",
        "fec0::/10",
    ])
});

/// A test has all of ours read.
fn read(networks: &[&str]) -> Vec<IpNet> {
    networks.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Whether requests may go to this machine and the networks around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::handler) enum Private {
    #[default]
    Allowed,
    Refused,
}

/// Says which addresses are refused.
#[derive(Clone, Debug, Default)]
pub(in crate::handler) struct Guard {
    /// Counts before everything else.
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    private: Private,
}

/// An address that no request goes to.
#[derive(Debug, thiserror::Error)]
#[error("address {0} is refused")]
pub(in crate::handler) struct Refused(IpAddr);

impl Guard {
    /// Reads `allow`, `deny` and `allow_private`; `private` is what counts where the last is
    /// left out.
    pub(in crate::handler) fn read(table: &mut Table<'_>, private: Private) -> Self {
        let allow = table.take_or("allow", Vec::new());
        let deny = table.take_or("deny", Vec::new());
        let private = match table.take("allow_private") {
            Some(true) => Private::Allowed,
            Some(false) => Private::Refused,
            None => private,
        };
        Self { allow, deny, private }
    }

    /// Refuses this machine and the networks around it, but for what is named.
    pub(in crate::handler) fn public(allow: Vec<IpNet>) -> Self {
        Self { allow, deny: Vec::new(), private: Private::Refused }
    }

    /// Whether a request may go to the machine of `url`, where that is an address and no name.
    pub(in crate::handler) fn check_url(&self, url: &Url) -> Result<(), Refused> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(address.into()),
            Some(Host::Ipv6(address)) => self.check(address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    /// Warns of a URL in the value of `key` that no request may go to: each would fail.
    pub(in crate::handler) fn check_key(&self, table: &Table<'_>, key: &str, url: &Url) {
        if let Err(refused) = self.check_url(url) {
            let help = "leave `deny` or `allow_private` out, or name it in `allow`";
            table.warning(key, format_args!("{refused}: each event would be a dead letter"), help);
        }
    }

    /// Whether a request may go to `address`.
    pub(in crate::handler) fn check(&self, address: IpAddr) -> Result<(), Refused> {
        let address = unwrap_ipv4(address);
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        let is_refused = is_in(&self.deny)
            || is_in(&REFUSED)
            || (self.private == Private::Refused && is_in(&PRIVATE));
        if is_refused && !is_in(&self.allow) { Err(Refused(address)) } else { Ok(()) }
    }
}

/// The IPv4 address within an IPv6 one that leads to it: mapped (`::ffff:a.b.c.d`), the old
/// compatible form (`::a.b.c.d`), translated (`64:ff9b::/96`), 6to4 (`2002::/16`).
fn unwrap_ipv4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let bits = v6.to_bits();
    let embedded = match (bits >> 112, bits >> 32) {
        (0x2002, _) => bits >> 80,
        (_, 0xffff | 0x0064_ff9b_0000_0000_0000_0000) => bits,
        // `::` and `::1` are addresses of their own.
        (_, 0) if v6 != Ipv6Addr::UNSPECIFIED && v6 != Ipv6Addr::LOCALHOST => bits,
        _ => return address,
    };
    u32::try_from(embedded & 0xffff_ffff).map_or(address, |v4| IpAddr::V4(Ipv4Addr::from_bits(v4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(guard: &Guard, address: &str) -> bool {
        guard.check(address.parse().unwrap()).is_err()
    }

    #[test]
    fn the_built_in_networks_can_all_be_read() {
        assert_eq!((REFUSED.len(), PRIVATE.len()), (11, 9));
    }

    #[test]
    fn link_local_metadata_and_reserved_addresses_are_refused() {
        let guard = Guard::default();
        for refused in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(is_refused(&guard, refused), "{refused}");
        }
        for good in
            ["127.0.0.1", "10.0.0.1", "192.0.2.1", "8.8.8.8", "::1", "2001:db8::1", "fd00::1"]
        {
            assert!(!is_refused(&guard, good), "{good}");
        }
    }

    #[test]
    fn private_addresses_are_refused_where_the_owner_says_so() {
        let guard = Guard { private: Private::Refused, ..Guard::default() };
        for refused in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd12::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_refused(&guard, refused), "{refused}");
        }
        for good in ["8.8.8.8", "172.32.0.1", "192.0.2.1", "2001:db8::1"] {
            assert!(!is_refused(&guard, good), "{good}");
        }
    }

    #[test]
    fn the_owners_networks_add_and_take_away() {
        let networks = |text: &str| vec![text.parse().unwrap()];
        let guard = Guard {
            allow: networks("169.254.7.0/24"),
            deny: networks("192.0.2.0/24"),
            private: Private::Allowed,
        };
        assert!(is_refused(&guard, "192.0.2.1"));
        assert!(!is_refused(&guard, "169.254.7.7"));
        assert!(is_refused(&guard, "169.254.8.7"));
    }
}
