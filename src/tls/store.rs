//! The certificate that handshakes are given.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Certificate;

/// Holds the certificate of the public listener; another one may be put in its place at any time.
#[derive(Debug, Default)]
pub struct CertificateStore {
    current: ArcSwapOption<Certificate>,
}

impl CertificateStore {
    /// A store with this certificate in it.
    pub fn of(certificate: Certificate) -> Self {
        Self { current: ArcSwapOption::from_pointee(certificate) }
    }

    /// What new handshakes are given.
    pub fn current(&self) -> Option<Arc<Certificate>> {
        self.current.load_full()
    }

    /// Gives `certificate` to new handshakes. Connections that are there go on with what they have.
    pub fn replace(&self, certificate: Certificate) {
        self.current.store(Some(Arc::new(certificate)));
    }
}

impl ResolvesServerCert for CertificateStore {
    /// The one certificate, whatever name is asked for: a sender that reaches this machine by another
    /// name says itself that it does not fit.
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load().as_ref().map(|certificate| Arc::clone(certificate.key()))
    }
}
