//! One certificate with its key, and when it ends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::clock::Timestamp;
use crate::secret::SecretRef;

use super::der::{self, Facts};

/// A certificate is told to end soon for the last part of its life: a quarter of it, and no more
/// than two weeks. Whatever renews it does so at two thirds of it, or with 30 of 90 days left.
const SOON_PART: u32 = 4;
const SOON_MAX: Duration = Duration::from_hours(14 * 24);

/// A chain of certificates and the key of the first one, which belong together.
pub struct Certificate {
    key: Arc<CertifiedKey>,
    facts: Facts,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    #[error("`{0}` cannot be read: {place}: {2}", place = place(.1))]
    Unread(&'static str, SecretRef, String),
    #[error("`cert` holds no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)")]
    NoCertificate,
    #[error("`{0}` is not in PEM form: {reason}", reason = of_pem(.1))]
    NotPem(&'static str, pem::Error),
    #[error("`key` holds no private key in PEM form that can be read without a passphrase")]
    NoKey,
    #[error("`key` has a passphrase: take it off by `openssl pkey -in KEY -out NEW`")]
    Encrypted,
    /// The key's algorithm is not known.
    #[error(
        "`key` cannot be used: it is no ECDSA (P-256, P-384, P-521), Ed25519 or RSA key of 2,048 to 8,192 \
         bits ({0})"
    )]
    UnusableKey(rustls::Error),
    #[error(
        "`key` does not belong to the first certificate in `cert`, which must be the server's own"
    )]
    Mismatch,
    /// The certificate is none that a sender would believe.
    #[error("the first certificate in `cert` cannot be used: {0}")]
    Unusable(rustls::Error),
    /// The certificate says no time of its end.
    #[error("the first certificate in `cert` cannot be read")]
    Malformed,
}

/// What is wrong with a file in PEM form, without its bytes.
fn of_pem(err: &pem::Error) -> String {
    match err {
        pem::Error::MissingSectionEnd { .. } => {
            "it breaks off before the line `-----END …-----`".to_owned()
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a line `-----BEGIN …-----` is not whole".to_owned()
        }
        other => other.to_string(),
    }
}

/// Where a certificate or its key is: a file of it is no secret's.
fn place(place: &SecretRef) -> String {
    place.to_string().replacen("secret file", "file", 1)
}

/// The state of a certificate at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Good for long.
    Good,
    /// Valid, and due for renewal.
    EndsSoon,
    /// Its time has not come.
    NotYet,
    /// Senders refuse it.
    Ended,
}

impl Certificate {
    /// Takes a chain and its key, both in PEM form.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|err| CertificateError::NotPem("cert", err))?;
        let own = chain.first().ok_or(CertificateError::NoCertificate)?;
        let facts = der::facts(own).ok_or(CertificateError::Malformed)?;
        // In both forms that there are, PKCS #8 and the older one.
        if memchr::memmem::find(key, b"ENCRYPTED").is_some() {
            return Err(CertificateError::Encrypted);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|err| match err {
            pem::Error::NoItemsFound => CertificateError::NoKey,
            other => CertificateError::NotPem("key", other),
        })?;
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
            .map_err(CertificateError::UnusableKey)?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) => Ok(Self { key: Arc::new(key), facts }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::Mismatch),
            Err(err) => Err(CertificateError::Unusable(err)),
        }
    }

    /// For handshakes.
    pub(super) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// From when on it is good.
    pub fn not_before(&self) -> Timestamp {
        self.facts.not_before
    }

    /// When it ends.
    pub fn not_after(&self) -> Timestamp {
        self.facts.not_after
    }

    /// Its serial number's bytes.
    pub fn serial(&self) -> &[u8] {
        &self.facts.serial
    }

    /// What its issuer's key is called.
    pub fn issuer_key(&self) -> Option<&[u8]> {
        self.facts.issuer_key.as_deref()
    }

    /// The names and addresses that it is for.
    pub fn names(&self) -> &[String] {
        &self.facts.names
    }

    /// Its state at `now`.
    pub fn condition(&self, now: Timestamp) -> Condition {
        let Facts { not_before, not_after, .. } = self.facts;
        let soon = (not_after.since(not_before) / SOON_PART).min(SOON_MAX);
        if now >= not_after {
            Condition::Ended
        } else if now < not_before {
            Condition::NotYet
        } else if not_after.since(now) <= soon {
            Condition::EndsSoon
        } else {
            Condition::Good
        }
    }

    /// Whether both are the same chain; a chain has one key only.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    /// What is wrong with it at `now`, in words; `None` = nothing.
    pub fn problem(&self, now: Timestamp) -> Option<String> {
        let names = self.names().join(", ");
        let (from, to) = (self.not_before(), self.not_after());
        match self.condition(now) {
            Condition::Good => None,
            Condition::EndsSoon => {
                Some(format!("the certificate for {names} ends on {to} and has not been renewed"))
            }
            Condition::NotYet => Some(format!("the certificate for {names} begins on {from}")),
            Condition::Ended => Some(format!("the certificate for {names} ended on {to}")),
        }
    }
}

impl fmt::Debug for Certificate {
    // Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("facts", &self.facts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Date = (i32, u8, u8);

    const BEGIN: Date = (2027, 1, 1);

    fn days(n: u64) -> Duration {
        Duration::from_hours(24 * n)
    }

    /// A certificate of that time and its key, in PEM form.
    fn pem(names: &[&str], from: Date, to: Date) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn certificate_says_its_names_and_its_end() {
        let (cert, key) = pem(&["hooks.example.com", "192.0.2.7"], BEGIN, (2027, 4, 1));
        let certificate = Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(certificate.names(), ["hooks.example.com", "192.0.2.7"]);
        assert_eq!(certificate.not_before().to_string(), "2027-01-01T00:00:00.000Z");
        assert_eq!(certificate.not_after().to_string(), "2027-04-01T00:00:00.000Z");
    }

    #[test]
    fn key_with_a_passphrase_is_told_as_one() {
        let (cert, _) = pem(&["a.example"], BEGIN, (2027, 4, 1));
        for key in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHs\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0A\n\nMIHs\n\
             -----END EC PRIVATE KEY-----\n",
        ] {
            let err = Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap_err();
            assert!(matches!(err, CertificateError::Encrypted), "{err}");
        }
    }

    #[test]
    fn certificate_ends_soon_for_a_quarter_of_its_life_and_two_weeks_at_most() {
        // 90 days, 8 days and ten years.
        for (end, soon) in [((2027, 4, 1), 14), ((2027, 1, 9), 2), ((2036, 12, 29), 14)] {
            let (cert, key) = pem(&["a.example"], BEGIN, end);
            let certificate = Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap();
            let (from, to) = (certificate.not_before(), certificate.not_after());
            let second = Duration::from_secs(1);
            assert_eq!(certificate.condition(from.before(second)), Condition::NotYet);
            assert_eq!(certificate.condition(to.before(days(soon) + second)), Condition::Good);
            assert_eq!(certificate.condition(to.before(days(soon))), Condition::EndsSoon);
            assert_eq!(certificate.condition(to), Condition::Ended);
            assert_eq!(certificate.problem(from), None);
            let problem = certificate.problem(to.before(second)).unwrap();
            assert!(problem.contains("a.example ends on"), "{problem}");
        }
    }

    #[test]
    fn wrong_pair_is_told_apart() {
        let end = (2027, 4, 1);
        let ((cert, key), (_, other)) = (pem(&["a.b"], BEGIN, end), pem(&["a.b"], BEGIN, end));
        let error = |cert: &str, key: &str| {
            Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap_err()
        };
        assert!(matches!(error(&cert, &other), CertificateError::Mismatch));
        assert!(matches!(error("", &key), CertificateError::NoCertificate));
        assert!(matches!(error(&key, &key), CertificateError::NoCertificate));
        assert!(matches!(error(&cert, &cert), CertificateError::NoKey));
        assert!(matches!(error(&cert, "secret"), CertificateError::NoKey));
        let broken = cert.replace('M', "?");
        assert!(matches!(error(&broken, &key), CertificateError::NotPem("cert", _)));
        let locked = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert!(matches!(error(&cert, &locked), CertificateError::Encrypted));
    }
}
