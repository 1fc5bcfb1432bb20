//! `[server.tls]`.

use crate::secret::{SecretError, SecretRef};
use crate::settings::{PemRef, Table};

use super::{Certificate, CertificateError};

/// Where the public listener's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSettings {
    /// Somebody else renews it.
    Files(TlsFiles),
}

/// A certificate and its key, each a file or a systemd credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain in PEM form, the server's own certificate first.
    pub cert: SecretRef,
    /// The private key in PEM form.
    pub key: SecretRef,
}

impl TlsFiles {
    /// Reads the table. `None` = a problem was recorded.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let cert = table.require::<PemRef>("cert");
        let key = table.require::<PemRef>("key");
        Some(Self { cert: cert?.0, key: key?.0 })
    }

    /// Reads both files as they are now.
    pub fn load(&self) -> Result<Certificate, CertificateError> {
        let read = |key: &'static str, file: &SecretRef| {
            let unread = |err| CertificateError::Unread(key, file.clone(), cause(&err));
            file.resolve().map_err(unread)
        };
        Certificate::from_pem(read("cert", &self.cert)?.expose(), read("key", &self.key)?.expose())
    }
}

/// The reason without the file's name, which the caller says.
fn cause(err: &SecretError) -> String {
    std::error::Error::source(err).map_or_else(|| err.to_string(), ToString::to_string)
}
