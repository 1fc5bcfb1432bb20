//! Where the mail server is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lettre::Address;
use lettre::message::Mailbox;

/// A mail server's address, checked. Holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpUrl {
    /// A name or an address.
    pub host: String,
    pub port: u16,
    /// The user to log in as; `None` = without a log-in.
    pub user: Option<String>,
    /// How the connection is encrypted.
    pub tls: TlsUse,
}

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    /// From its first byte on: `smtps://`.
    Wrapped,
    /// STARTTLS, or no mail: the default off this machine.
    Required,
    /// STARTTLS where the server offers it: a man in the middle can remove the offer.
    Opportunistic,
    /// Not at all: the default on this machine.
    None,
}

/// A text that is no mail server's address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSmtpUrl {
    /// Another scheme.
    #[error("this is no mail server: write `smtp://host` or `smtps://host`")]
    Scheme,
    /// It holds a password.
    #[error("a password does not stand in the configuration: write it as `password = {{ … }}`")]
    Password,
    /// No host, or none that can be.
    #[error("this is not the name or the address of a host")]
    Host,
    /// No port.
    #[error("this is not a port")]
    Port,
    /// A user that is not percent-encoded as it should be.
    #[error("this user name cannot be read: write `%40` for `@` and the like")]
    User,
    /// Something behind the `?`.
    #[error("`{0}` is not known here: write `?tls=required`, `none` or `opportunistic`")]
    Query(String),
}

impl SmtpUrl {
    /// Reads `text`.
    pub(super) fn parse(text: &str) -> Result<Self, BadSmtpUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(BadSmtpUrl::Scheme)?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(BadSmtpUrl::Password);
        }
        let (host, port) = split_port(place)?;
        let tls = match (scheme, query) {
            ("smtps", None) => TlsUse::Wrapped,
            ("smtp", None) if is_this_machine(&host) => TlsUse::None,
            ("smtp", None | Some("tls=required")) => TlsUse::Required,
            ("smtp", Some("tls=opportunistic")) => TlsUse::Opportunistic,
            ("smtp", Some("tls=none")) => TlsUse::None,
            ("smtp" | "smtps", Some(query)) => return Err(BadSmtpUrl::Query(query.to_owned())),
            _ => return Err(BadSmtpUrl::Scheme),
        };
        let default_port = match tls {
            TlsUse::Wrapped => 465,
            TlsUse::Required | TlsUse::Opportunistic => 587,
            TlsUse::None => 25,
        };
        let user = user.map(|user| percent_decode(user).ok_or(BadSmtpUrl::User)).transpose()?;
        Ok(Self { host, port: port.unwrap_or(default_port), user, tls })
    }

    /// What is odd about the port, and what to write: the way on which TLS begins goes with it (RFC 8314).
    pub(super) fn odd_port(&self) -> Option<(&'static str, &'static str)> {
        match (self.tls, self.port) {
            (TlsUse::Wrapped, 25 | 587) => Some((
                "on this port servers begin without TLS",
                "write `smtp://`, which is STARTTLS, or port 465",
            )),
            (TlsUse::Required | TlsUse::Opportunistic | TlsUse::None, 465) => {
                Some(("on this port servers begin with TLS", "write `smtps://`, or port 587"))
            }
            _ => None,
        }
    }

    /// Whether what is sent can be read on its way.
    pub(super) fn is_open_to_others(&self) -> bool {
        match self.tls {
            TlsUse::Wrapped | TlsUse::Required => false,
            TlsUse::Opportunistic | TlsUse::None => !is_this_machine(&self.host),
        }
    }
}

fn split_port(place: &str) -> Result<(String, Option<u16>), BadSmtpUrl> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(BadSmtpUrl::Host)?;
            host.parse::<Ipv6Addr>().map_err(|_| BadSmtpUrl::Host)?;
            (host, (!port.is_empty()).then(|| port.strip_prefix(':').unwrap_or("")))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if host.is_empty() || !host.chars().all(is_part) {
        return Err(BadSmtpUrl::Host);
    }
    let port = port.map(|port| port.parse::<u16>().map_err(|_| BadSmtpUrl::Port)).transpose()?;
    if port == Some(0) { Err(BadSmtpUrl::Port) } else { Ok((host.to_owned(), port)) }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok().filter(|user| !user.contains(char::is_control))
}

/// The same with a domain as name servers know it: `bücher.example` is `xn--bcher-kva.example`, which
/// every mail server takes.
pub(super) fn with_plain_domain(mailbox: Mailbox) -> Mailbox {
    let plain = match ::url::Host::parse(mailbox.email.domain()) {
        Ok(::url::Host::Domain(domain)) if !mailbox.email.domain().is_ascii() => {
            Address::new(mailbox.email.user(), domain).ok()
        }
        Ok(_) | Err(_) => None,
    };
    Mailbox { email: plain.unwrap_or(mailbox.email), name: mailbox.name }
}

/// What a client may call itself in EHLO (RFC 5321, 4.1.1.1).
pub(super) fn hello_name(text: String) -> Result<String, String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let address = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = address.is_some_and(|address| match address.strip_prefix("IPv6:") {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => address.parse::<Ipv4Addr>().is_ok(),
    });
    let is_label = |label: &str| !label.is_empty() && label.chars().all(is_of_name);
    let is_name = text.contains('.') && text.split('.').all(is_label);
    if is_address || (is_name && text.parse::<Ipv4Addr>().is_err()) {
        Ok(text)
    } else {
        Err("no full name of a machine, and no address like `[192.0.2.1]`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_is_a_full_name_or_an_address_in_brackets() {
        for good in ["www.example.com", "[192.0.2.1]", "[IPv6:2001:db8::1]"] {
            assert!(hello_name(good.to_owned()).is_ok(), "{good}");
        }
        for bad in
            ["", ".", "vm", "a..b", "192.0.2.1", "[2001:db8::1]", "[a.example]", "a b.example"]
        {
            assert!(hello_name(bad.to_owned()).is_err(), "{bad}");
        }
    }

    fn check(text: &str, host: &str, port: u16, user: Option<&str>, tls: TlsUse) {
        let expected = SmtpUrl { host: host.to_owned(), port, user: user.map(str::to_owned), tls };
        assert_eq!(SmtpUrl::parse(text), Ok(expected), "{text}");
    }

    #[test]
    fn tls_is_required_off_this_machine() {
        check("smtp://localhost:25", "localhost", 25, None, TlsUse::None);
        check("smtp://127.0.0.1", "127.0.0.1", 25, None, TlsUse::None);
        check("smtp://[::1]:2525/", "::1", 2525, None, TlsUse::None);
        check("smtp://mail.example.com", "mail.example.com", 587, None, TlsUse::Required);
        check("smtp://mx.example.com:25?tls=none", "mx.example.com", 25, None, TlsUse::None);
        check("smtp://localhost?tls=required", "localhost", 587, None, TlsUse::Required);
        check(
            "smtps://me@example.com@mx.org",
            "mx.org",
            465,
            Some("me@example.com"),
            TlsUse::Wrapped,
        );
        check("smtps://a%3Ab@mx.org:4650", "mx.org", 4650, Some("a:b"), TlsUse::Wrapped);
    }

    #[test]
    fn what_is_no_mail_server_is_told_apart() {
        let check = |text: &str, expected| {
            assert_eq!(SmtpUrl::parse(text), Err(expected), "{text}");
        };
        check("localhost", BadSmtpUrl::Scheme);
        check("http://localhost", BadSmtpUrl::Scheme);
        check("smtp://", BadSmtpUrl::Host);
        check("smtp://a b", BadSmtpUrl::Host);
        check("smtp://[::1", BadSmtpUrl::Host);
        check("smtp://h:x", BadSmtpUrl::Port);
        check("smtp://h:0", BadSmtpUrl::Port);
        check("smtp://me:secret@h", BadSmtpUrl::Password);
        check("smtp://m%zz@h", BadSmtpUrl::User);
        check("smtp://m%0d%0aX@h", BadSmtpUrl::User);
        check("smtp://h?tls=no", BadSmtpUrl::Query("tls=no".to_owned()));
        check("smtps://h?tls=none", BadSmtpUrl::Query("tls=none".to_owned()));
    }

    #[test]
    fn only_an_unencrypted_way_off_this_machine_is_open_to_others() {
        let is_open = |text: &str| SmtpUrl::parse(text).unwrap().is_open_to_others();
        assert!(is_open("smtp://h?tls=none"));
        assert!(is_open("smtp://h?tls=opportunistic"));
        assert!(!is_open("smtp://h"));
        assert!(!is_open("smtp://localhost"));
    }
}
