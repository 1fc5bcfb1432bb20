//! The address by which senders know this machine.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use url::Url;

use crate::settings::Table;
use crate::tls::{AcmeChallenge, TlsSettings};

/// Stands for it as long as the owner has not said it.
pub const NO_PUBLIC_URL: &str = "https://YOUR.SITE";

const HTTPS_PORT: u16 = 443;

/// Where senders reach the public listener, without a `/` at its end: what `public_url` says, else the first name of
/// the certificate that is ordered, else the first of the addresses to listen at that machines elsewhere can reach.
/// `None` = the owner has not said it.
pub(super) fn base(
    public_url: Option<&str>,
    tls: Option<&TlsSettings>,
    listen: &[SocketAddr],
) -> Option<String> {
    if public_url.is_some() {
        return public_url.map(str::to_owned);
    }
    if let Some(TlsSettings::Acme(acme)) = tls {
        let name = acme.domains.first()?;
        let host = match name.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => name.clone(),
        };
        let port = listen.first()?.port();
        // The authority itself comes to port 443 for that challenge: it is passed on from there.
        let is_usual = port == HTTPS_PORT || acme.challenge == AcmeChallenge::TlsAlpn01;
        let port = if is_usual { String::new() } else { format!(":{port}") };
        return Some(format!("https://{host}{port}"));
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut reached =
        listen.iter().filter(|address| address.port() != 0 && is_public(address.ip()));
    reached.next().map(|address| format!("{scheme}://{address}"))
}

/// Whether machines elsewhere can reach it: those of a home or a company's own network are behind a proxy, whose
/// address the owner has not said.
fn is_public(address: IpAddr) -> bool {
    if address.is_loopback() || address.is_unspecified() {
        return false;
    }
    match address {
        IpAddr::V4(address) => !address.is_private() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_unique_local() && !address.is_unicast_link_local(),
    }
}

/// An address with a scheme and a host, and nothing behind its path; without a `/` at its end.
pub fn check_public_url(text: &str) -> Result<String, String> {
    let shown = text.escape_debug();
    let url = Url::parse(text).ok().filter(|url| ["https", "http"].contains(&url.scheme()));
    let url = url.filter(|_| !text.contains(char::is_whitespace));
    let Some(url) = url.filter(Url::has_host) else {
        return Err(format!("`{shown}` is not an address with https://"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a name or a password in it would be shown to everybody".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{shown}` goes on behind its path"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

pub(super) fn read(server: &mut Table<'_>) -> Option<String> {
    let help = "write scheme and host, as in `public_url = \"https://hooks.example.com\"`";
    let url = server.checked_or("public_url", help, |text: String| check_public_url(&text))?;
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(host..).and_then(|rest| rest.rfind("/hooks"));
    let (base, of_source) = url.split_at(path.map_or(url.len(), |at| host + at));
    if of_source == "/hooks" || of_source.starts_with("/hooks/") {
        server.warning(
            "public_url",
            format_args!("senders would be given `{url}/hooks/NAME`"),
            format_args!(
                "write `public_url = \"{base}\"`: `{of_source}` belongs to a source's own address"
            ),
        );
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::check_text;

    fn base(server: &str, listening: &str) -> Option<String> {
        let checked = check_text(server, "x.toml", Path::new("/"), None);
        let Some(config) = checked.config else { panic!("{}", checked.report) };
        config.server.public_base(Some(listening.parse().unwrap()))
    }

    #[test]
    fn address_of_a_source_is_told_from_that_of_the_machine() {
        for (url, base) in [
            ("https://a.example/hooks", Some("https://a.example")),
            ("https://a.example/in/hooks/shop", Some("https://a.example/in")),
            ("https://hooks.example/hooks/shop", Some("https://hooks.example")),
            ("https://hooks.example/in", None),
            ("https://hooks/in", None),
            ("https://a.example/hooksmith", None),
        ] {
            let text = format!("[server]\npublic_url = '{url}'\n");
            let checked = check_text(&text, "x.toml", Path::new("/"), None);
            let told = checked.report.to_string();
            let is_told = told.contains("senders would be given");
            assert_eq!(is_told, base.is_some(), "{url}: {told}");
            let better = base.map(|base| format!("write `public_url = \"{base}\"`"));
            assert!(better.is_none_or(|better| told.contains(&better)), "{url}: {told}");
        }
    }

    #[test]
    fn public_address_is_what_is_said_else_that_of_the_certificate_else_one_that_is_reached() {
        let said = "[server]\npublic_url = 'https://a.example/in/'\n";
        let acme = |domain: &str, more: &str| {
            format!("[server.acme]\ndomains = ['{domain}', 'b.example']\n{more}")
        };
        let alpn = "challenge = 'tls-alpn-01'\n";
        for (server, listening, expected) in [
            (said.to_owned(), "127.0.0.1:8080", Some("https://a.example/in")),
            (
                format!("{said}{}", acme("c.example", "")),
                "0.0.0.0:443",
                Some("https://a.example/in"),
            ),
            (acme("c.example", ""), "0.0.0.0:443", Some("https://c.example")),
            (acme("c.example", ""), "0.0.0.0:8443", Some("https://c.example:8443")),
            (acme("c.example", alpn), "0.0.0.0:8443", Some("https://c.example")),
            (acme("2001:db8::7", ""), "[::]:443", Some("https://[2001:db8::7]")),
            (String::new(), "127.0.0.1:8080", None),
            (String::new(), "[::1]:8080", None),
            (String::new(), "0.0.0.0:8080", None),
            (String::new(), "[::]:8080", None),
            (String::new(), "192.0.2.7:8080", Some("http://192.0.2.7:8080")),
            // Behind a proxy, whose address it is not.
            (String::new(), "10.0.0.5:8080", None),
            (String::new(), "[fd00::5]:8080", None),
            (
                "[server]\nlisten = ['10.0.0.5:1', '192.0.2.7:80']\n".to_owned(),
                "10.0.0.5:1",
                Some("http://192.0.2.7:80"),
            ),
            ("[server]\nlisten = '192.0.2.7:0'\n".to_owned(), "127.0.0.1:80", None),
        ] {
            assert_eq!(base(&server, listening).as_deref(), expected, "{server}{listening}");
        }
    }

    #[test]
    fn public_address_of_a_server_that_runs_is_of_its_start_but_for_what_is_said() {
        let server = |text: &str| {
            let checked = check_text(text, "x.toml", Path::new("/"), None);
            let Some(config) = checked.config else { panic!("{}", checked.report) };
            config.server
        };
        let plain = server("[server]\nlisten = '192.0.2.7:8080'\n");
        let elsewhere = server("[server]\nlisten = '192.0.2.8:80'\n");
        let acme = server("[server.acme]\ndomains = ['c.example']\n");
        let said = server("[server]\npublic_url = 'https://a.example'\n");
        let (public, private) = ("192.0.2.7:8080", "127.0.0.1:443");
        for (started, reloaded, listening, expected) in [
            (&plain, &acme, public, Some("http://192.0.2.7:8080")),
            (&acme, &plain, private, Some("https://c.example")),
            (&plain, &elsewhere, "127.0.0.1:1", Some("http://192.0.2.7:8080")),
            (&plain, &said, public, Some("https://a.example")),
            (&said, &plain, "127.0.0.1:8080", None),
        ] {
            let found = reloaded.public_base_since(started, Some(listening.parse().unwrap()));
            assert_eq!(found.as_deref(), expected, "{listening}");
        }
    }

    #[test]
    fn public_address_has_a_scheme_and_a_host_and_nothing_behind_its_path() {
        for (text, expected) in [
            ("https://a.example", "https://a.example"),
            ("https://a.example/", "https://a.example"),
            ("http://a.example:8443/in/", "http://a.example:8443/in"),
            ("HTTPS://A.example", "https://a.example"),
        ] {
            assert_eq!(check_public_url(text).as_deref(), Ok(expected));
        }
        for wrong in [
            "a.example",
            "ftp://a.example",
            "https://",
            "https://a.example/?x=1",
            "https://a.example/#x",
            "https://me@a.example",
            "https://a.example/in out",
            "",
        ] {
            assert!(check_public_url(wrong).is_err(), "{wrong}");
        }
    }
}
