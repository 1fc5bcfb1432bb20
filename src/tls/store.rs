//! The certificate that handshakes are given, and what an authority looks for while one is ordered.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{ACME_TLS, Certificate};
use crate::sync::lock;

/// Holds the certificate of the public listener; another one may be put in its place at any time.
#[derive(Default)]
pub struct CertificateStore {
    current: ArcSwapOption<Certificate>,
    challenges: Mutex<Challenges>,
}

/// What shows an authority that names are ours.
#[derive(Default)]
struct Challenges {
    /// HTTP-01: what is answered for a token.
    tokens: HashMap<String, String>,
    /// TLS-ALPN-01: what is shown for a name.
    certificates: HashMap<String, Arc<CertifiedKey>>,
}

impl CertificateStore {
    /// A store with this certificate in it.
    pub fn of(certificate: Certificate) -> Self {
        Self { current: ArcSwapOption::from_pointee(certificate), challenges: Mutex::default() }
    }

    /// What new handshakes are given.
    pub fn current(&self) -> Option<Arc<Certificate>> {
        self.current.load_full()
    }

    /// Gives `certificate` to new handshakes. Connections that are there go on with what they have.
    pub fn replace(&self, certificate: Certificate) {
        self.current.store(Some(Arc::new(certificate)));
    }

    /// What is answered for a token of HTTP-01.
    pub fn token(&self, token: &str) -> Option<String> {
        self.challenges().tokens.get(token).cloned()
    }

    pub(super) fn add_token(&self, token: String, answer: String) {
        self.challenges().tokens.insert(token, answer);
    }

    pub(super) fn add_challenge(&self, name: &str, certificate: Arc<CertifiedKey>) {
        self.challenges().certificates.insert(asked_name(name), certificate);
    }

    pub(super) fn clear_challenges(&self) {
        *self.challenges() = Challenges::default();
    }

    /// A panic elsewhere leaves the maps whole.
    fn challenges(&self) -> MutexGuard<'_, Challenges> {
        lock(&self.challenges)
    }
}

/// How an authority asks for `name` in a handshake: addresses as their names of the reverse DNS
/// (RFC 8738, 6).
fn asked_name(name: &str) -> String {
    match name.parse() {
        Err(_) => name.to_owned(),
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(address)) => {
            let bits = address.to_bits();
            let digits = (0..32).map(|digit| format!("{:x}.", bits >> (4 * digit) & 0xf));
            digits.collect::<String>() + "ip6.arpa"
        }
    }
}

impl ResolvesServerCert for CertificateStore {
    /// The one certificate, whatever name is asked for: a sender that reaches this machine by another
    /// name says itself that it does not fit.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.next() == Some(ACME_TLS) && protocols.next().is_none() {
            let name = hello.server_name()?.to_ascii_lowercase();
            return self.challenges().certificates.get(&name).cloned();
        }
        self.current.load().as_ref().map(|certificate| Arc::clone(certificate.key()))
    }
}

impl std::fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateStore").field("current", &self.current).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_asked_for_by_their_names_of_the_reverse_dns() {
        assert_eq!(asked_name("hooks.example.com"), "hooks.example.com");
        assert_eq!(asked_name("192.0.2.7"), "7.2.0.192.in-addr.arpa");
        let name = asked_name("2001:db8::1");
        assert!(name.starts_with("1.0.0.0.") && name.ends_with("8.b.d.0.1.0.0.2.ip6.arpa"));
        assert_eq!(name.len(), 72);
    }
}
