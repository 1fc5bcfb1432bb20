//! TLS of the public listener: the certificate that it shows, and when that certificate ends.
//!
//! - The listener asks the [`CertificateStore`] for the certificate of each handshake, so that another
//!   one takes its place without a restart.
//! - HTTP/1.1 only is offered (ALPN): the limits of a connection (`http/connection`) count one request at
//!   a time, and HTTP/2 would carry many past them. Webhook senders speak HTTP/1.1.

use std::sync::Arc;

use rustls::ServerConfig;

mod certificate;
mod der;
mod settings;
mod store;

pub use certificate::{Certificate, CertificateError, Condition};
pub use settings::{TlsFiles, TlsSettings};
pub use store::CertificateStore;

/// What the listener speaks within TLS.
const HTTP_1_1: &[u8] = b"http/1.1";

/// How the public listener takes part in handshakes, with the certificates of `store`.
pub fn server_config(store: Arc<CertificateStore>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth();
    let mut config = config.with_cert_resolver(store);
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(Arc::new(config))
}
