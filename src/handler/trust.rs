//! Whom a handler's `ca` file believes, in place of the system's authorities.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::BuildError;

/// The certificates of a PEM file: of authorities, and of servers that signed their own. A server that shows one
/// of them itself is believed by that alone, whatever its name and until when it is valid: it alone has the key.
#[derive(Debug)]
pub(super) struct Trust {
    certificates: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl Trust {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Arc<Self>, BuildError> {
        let shown = path.display();
        let unfit = |what: String| BuildError::Unfit(format!("`{shown}` {what}"));
        let pem = std::fs::read(path)
            .map_err(|err| BuildError::io(format_args!("reading `{shown}`"), err))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates =
            certificates.map_err(|err| unfit(format!("is no PEM file of certificates: {err}")))?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            let added = roots.add(certificate.clone());
            added
                .map_err(|err| unfit(format!("holds a certificate that cannot be read: {err}")))?;
        }
        let authorities =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let authorities = authorities.map_err(|_| {
            unfit("holds no certificate: it has to begin with `-----BEGIN CERTIFICATE-----`".into())
        })?;
        Ok(Arc::new(Self { certificates, authorities }))
    }

    /// What a client needs that speaks HTTP/2 or HTTP/1.1.
    pub(super) fn http_config(self: &Arc<Self>) -> Result<ClientConfig, BuildError> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|err| BuildError::Unfit(format!("TLS cannot be set up: {err}")))?;
        let verifier = Arc::clone(self);
        let mut config =
            config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Whether the server `host` is who it says, by the certificates that it showed, its own first, and whose key it
    /// has proven to have.
    pub(super) fn judge(&self, host: &str, shown: Vec<Vec<u8>>) -> Result<(), Error> {
        let shown: Vec<CertificateDer<'_>> = shown.into_iter().map(CertificateDer::from).collect();
        let (own, others) = shown.split_first().ok_or(Error::NoCertificatesPresented)?;
        let host = ServerName::try_from(host).map_err(|err| Error::General(err.to_string()))?;
        self.verify_server_cert(own, others, &host, &[], UnixTime::now()).map(|_verified| ())
    }
}

/// Whether what came in place of the other side's first word of TLS was none: it speaks without.
pub(super) fn is_without_tls(why: &str) -> bool {
    why.contains("InvalidContentType")
}

/// What went wrong, and what helps where the server's certificate is its own or of an authority of its own.
/// With a new key under the old name, its signature is bad.
pub(super) fn advised(why: String) -> String {
    let is_unknown = ["UnknownIssuer", "CaUsedAsEndEntity", "BadSignature"]
        .iter()
        .any(|word| why.contains(word));
    if is_unknown {
        format!("{why}: its certificate, or its authority's, can be named in `ca`")
    } else {
        why
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.certificates.iter().any(|certificate| certificate == own) {
            return Ok(ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(own, others, host, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn trust(pem: &str) -> Result<Arc<Trust>, BuildError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, pem).unwrap();
        Trust::read(&path)
    }

    #[test]
    fn a_server_is_believed_by_its_own_certificate_or_by_its_authoritys() {
        let issuer = authority("authority.example");
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(vec!["app.example".to_owned()]).unwrap();
        let signed = signed.signed_by(&key, &issuer).unwrap().der().to_vec();
        // As `openssl req -x509` makes it, which may sign others and so is no server's to the library.
        let own = authority("own.example");
        let shown = own.der().to_vec();
        let trust = trust(&format!("{}{}", issuer.pem(), own.pem())).unwrap();
        trust.judge("app.example", vec![signed.clone()]).unwrap();
        trust.judge("192.0.2.1", vec![shown]).unwrap();
        let err = trust.judge("other.example", vec![signed]).unwrap_err();
        assert!(err.to_string().contains("not valid for name"), "{err}");
        let stranger = authority("own.example").der().to_vec();
        let err = advised(trust.judge("own.example", vec![stranger]).unwrap_err().to_string());
        assert!(err.ends_with("can be named in `ca`"), "{err}");
        assert!(trust.judge("own.example", vec![]).is_err());
    }

    #[test]
    fn a_file_without_certificates_is_told() {
        let key = KeyPair::generate().unwrap().serialize_pem();
        for pem in ["", "no certificate", &key] {
            let err = trust(pem).unwrap_err().to_string();
            assert!(err.contains("holds no certificate"), "{err}");
        }
        let err =
            trust("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap_err();
        assert!(err.to_string().contains("that cannot be read"), "{err}");
        assert!(Trust::read(Path::new("/nowhere.pem")).is_err());
    }
}
