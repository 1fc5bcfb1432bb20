//! TLS of the public listener: the certificate that it shows, and when that certificate ends.
//!
//! - The listener asks the [`CertificateStore`] for the certificate of each handshake, so that
//!   another one takes its place without a restart.
//! - It is read from files that another program renews, or ordered by ACME ([`acme`]).
//! - HTTP/2 and HTTP/1.1 are offered (ALPN).

use std::sync::Arc;

use rustls::ServerConfig;

pub mod acme;

mod certificate;
mod der;
mod settings;
mod store;

pub use certificate::{Certificate, CertificateError, Condition};
pub(crate) use der::validity_of;
pub use settings::{AcmeChallenge, AcmeSettings, TlsFiles, TlsSettings};
pub use store::CertificateStore;

/// What the listener speaks within TLS.
pub const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";
/// How an authority says that it looks for a challenge's certificate (RFC 8737).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// How the public listener takes part in handshakes, with the certificates of `store`; also in
/// those of an authority that looks for a challenge, where there is one.
pub fn server_config(
    store: Arc<CertificateStore>,
    challenge: Option<AcmeChallenge>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth();
    let mut config = config.with_cert_resolver(store);
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
    if challenge == Some(AcmeChallenge::TlsAlpn01) {
        config.alpn_protocols.push(ACME_TLS.to_vec());
    }
    Ok(Arc::new(config))
}
