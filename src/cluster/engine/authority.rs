//! Whether the certificate that an engine's server shows is believed.

use std::error::Error;
use std::io;
use std::path::Path;

use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The PEM file of the owner's own authority, as it is now; an error is for people.
pub(super) async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read(file)).await;
    let read = read.unwrap_or_else(|err| Err(io::Error::other(err)));
    let shown = path.display();
    let pem = read.map_err(|err| format!("`{shown}`, which `ca` names, cannot be read: {err}"))?;
    if CertificateDer::pem_slice_iter(&pem).next().is_none_or(|first| first.is_err()) {
        return Err(format!(
            "`{shown}`, which `ca` names, holds no certificate: it has to begin with `-----BEGIN CERTIFICATE-----`"
        ));
    }
    Ok(pem)
}

/// Why a server's certificate is not believed, with the remedy, where that is what `err` says: it waits for the
/// owner, not for better times.
pub(super) fn untrusted(err: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(err);
    while let Some(err) = next {
        if let Some(found @ rustls::Error::InvalidCertificate(why)) = err.downcast_ref() {
            return Some(format!("its certificate is not believed ({found}): {}", remedy(why)));
        }
        // An I/O error passes over what it holds.
        let held = err.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = held.map(|held| held as &(dyn Error + 'static)).or_else(|| err.source());
    }
    None
}

fn remedy(why: &CertificateError) -> &'static str {
    // With a new key under the authority's old name the signature is bad.
    if matches!(why, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
        "name the certificate of the authority that gave it out in `ca`"
    } else if matches!(
        why,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    ) {
        "let `url` have the name that stands in it, or give the server one for this name"
    } else {
        "give the server another one"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_is_found_below_other_errors_and_nothing_else_is() {
        let below = |why| io::Error::other(rustls::Error::InvalidCertificate(why));
        let told = untrusted(&sqlx::Error::Io(below(CertificateError::UnknownIssuer))).unwrap();
        assert!(told.contains("UnknownIssuer") && told.contains("`ca`"), "{told}");
        let told = untrusted(&below(CertificateError::NotValidForName)).unwrap();
        assert!(told.contains("`url`"), "{told}");
        let told = untrusted(&below(CertificateError::Expired)).unwrap();
        assert!(told.contains("another one"), "{told}");
        assert_eq!(untrusted(&io::Error::other("no")), None);
        assert_eq!(untrusted(&io::Error::other(rustls::Error::DecryptError)), None);
    }

    #[tokio::test]
    async fn file_of_an_authority_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let told = read(&path).await.unwrap_err();
        assert!(told.contains("ca.pem") && told.contains("cannot be read"), "{told}");
        std::fs::write(&path, "hunter2").unwrap();
        let told = read(&path).await.unwrap_err();
        assert!(told.contains("no certificate") && !told.contains("hunter2"), "{told}");
    }
}
