//! Certificates of the tests' own, and a client that believes one of them.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::nats::free_ports;
use super::servers::Server;
use super::wire::{Wire, connect};

/// The name of the tests' certificates.
pub(crate) const NAME: &str = "hooks.example.com";

/// A certificate and its key, in PEM form.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Pair {
    /// For [`NAME`], good up to the first day of this year.
    pub(crate) fn until(year: i32) -> Self {
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Self { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// For these names, and one's own authority.
    pub(crate) fn own(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        Self { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// Writes both into `folder`.
    pub(crate) fn write(&self, folder: &Path) {
        std::fs::write(folder.join("cert.pem"), &self.cert).unwrap();
        let key = folder.join("key.pem");
        std::fs::write(&key, &self.key).unwrap();
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// An authority of the owner's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority.example");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, in PEM form.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// What it gives out for a name.
    pub(crate) fn certify(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = cert.signed_by(&key, &self.0).unwrap();
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }
}

/// Has a PostgreSQL listen with TLS and nothing else, as `localhost`; on which port.
pub(crate) fn postgres_with_tls(server: &mut Server, authority: &Authority) -> u16 {
    let (port, Pair { cert, key }) = (free_ports(1)[0], authority.certify("localhost"));
    server.listen_with_tls(port, (&cert, &key));
    port
}

/// A connection within TLS.
pub(crate) type TlsWire = Wire<StreamOwned<ClientConnection, TcpStream>>;

/// Connects to [`NAME`], believing `pem` alone.
pub(crate) fn connect_believing(address: SocketAddr, pem: &str, alpn: &[&[u8]]) -> TlsWire {
    connect_as(NAME, address, pem, alpn)
}

pub(crate) fn connect_as(name: &str, address: SocketAddr, pem: &str, alpn: &[&[u8]]) -> TlsWire {
    let config = client_config(pem, alpn);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    Wire::over(StreamOwned::new(connection, connect(address)))
}

/// A client that believes `pem` alone.
pub(crate) fn client_config(pem: &str, alpn: &[&[u8]]) -> ClientConfig {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(cert.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

impl TlsWire {
    /// What both agreed to speak.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.stream().conn.alpn_protocol()
    }

    /// Makes the handshake, which the first write would make.
    pub(crate) fn handshake(&mut self) -> std::io::Result<()> {
        let stream = self.stream_mut();
        stream.conn.complete_io(&mut stream.sock).map(|_| ())
    }
}
