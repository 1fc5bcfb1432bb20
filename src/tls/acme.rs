//! Certificates by ACME (RFC 8555): ordered from an authority such as Let's Encrypt, kept below the data
//! folder for their owner only, and renewed long before they end.
//!
//! The authority looks whether this machine answers by the names: on port 80 (HTTP-01) or within the
//! listener's own TLS (TLS-ALPN-01, RFC 8737). What it must find is in the [`CertificateStore`].

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use instant_acme::{Account, AccountCredentials, CertificateIdentifier, NewAccount, RenewalInfo};
use rustls::pki_types::Der;
use tracing::{info, warn};

use crate::clock::Timestamp;
use crate::files;
use crate::secret::{self, Secret};
use crate::sync::lock;

use super::{AcmeSettings, Certificate, CertificateError, CertificateStore};

mod order;
mod schedule;

pub use schedule::{Schedule, retry_after};

/// How long an order may take: an authority looks from several places, one after the other.
const ORDER_TIMEOUT: Duration = Duration::from_mins(3);
/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// Orders certificates for one configuration.
#[derive(Debug)]
pub struct Acme {
    settings: AcmeSettings,
    store: Arc<CertificateStore>,
    /// The newest certificate with its key, where it could not be written.
    unwritten: Mutex<Option<Secret>>,
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeError {
    #[error("`{path}` cannot be used: {reason}", path = .0.display(), reason = .1)]
    File(PathBuf, io::Error),
    #[error("`{}` holds no account: move it away for a new one", .0.display())]
    NoAccount(PathBuf),
    /// The authority does not answer, or says no.
    #[error("{0}")]
    Authority(#[source] instant_acme::Error),
    #[error("the authority at `{0}` does not answer: {1}")]
    Unreached(String, #[source] instant_acme::Error),
    #[error("the authority took longer than {} s", .0.as_secs())]
    Late(Duration),
    #[error("`{0}` could not be shown to be this machine: {1}")]
    Name(String, String),
    #[error("the authority offers no {1} for `{0}`")]
    NoChallenge(String, &'static str),
    #[error("a certificate request could not be made")]
    Request(#[source] rcgen::Error),
    #[error("what the authority sent cannot be used")]
    Certificate(#[source] CertificateError),
    #[error("the authority sent a certificate for other names: {0}")]
    Names(String),
}

impl AcmeError {
    /// Whether the authority asks to come back much later.
    pub fn is_rate_limit(&self) -> bool {
        matches!(self, Self::Authority(instant_acme::Error::Api(problem))
            if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:rateLimited"))
    }
}

impl Acme {
    /// For these names; what was ordered before is put into `store`.
    pub fn open(settings: AcmeSettings, store: Arc<CertificateStore>) -> Result<Self, AcmeError> {
        let settings =
            settings.in_its_folder().map_err(|(path, err)| AcmeError::File(path, err))?;
        let acme = Self { settings, store, unwritten: Mutex::default() };
        if let Some(certificate) = acme.kept()? {
            acme.store.replace(certificate);
        }
        Ok(acme)
    }

    /// The certificate of an earlier order, where it is for the names of today.
    fn kept(&self) -> Result<Option<Certificate>, AcmeError> {
        let path = self.settings.certificate();
        let pem = match secret::read_own(&path) {
            Ok(pem) => pem,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(AcmeError::File(path, err)),
        };
        // What cannot be used is ordered anew.
        let certificate = Certificate::from_pem(pem.expose(), pem.expose()).ok();
        Ok(certificate.filter(|certificate| self.is_for_names(certificate)))
    }

    fn is_for_names(&self, certificate: &Certificate) -> bool {
        self.settings.domains.iter().all(|name| certificate.names().contains(name))
    }

    /// Orders a certificate, keeps it, and gives it to the listener.
    pub async fn order(&self) -> Result<Arc<Certificate>, AcmeError> {
        // Before anything is ordered: an authority gives a few a week, and one that cannot be kept is gone with the
        // process.
        self.check_writable()?;
        let ordered = tokio::time::timeout(ORDER_TIMEOUT, self.order_now()).await;
        self.store.clear_challenges();
        let pem = ordered.map_err(|_elapsed| AcmeError::Late(ORDER_TIMEOUT))??;
        let certificate =
            Certificate::from_pem(pem.expose(), pem.expose()).map_err(AcmeError::Certificate)?;
        if !self.is_for_names(&certificate) {
            return Err(AcmeError::Names(certificate.names().join(", ")));
        }
        self.write(pem);
        self.store.replace(certificate);
        // It was put there just now.
        self.store.current().ok_or(AcmeError::Certificate(CertificateError::NoCertificate))
    }

    /// Writes the newest certificate where that failed before.
    pub fn write_unwritten(&self) {
        let unwritten = lock(&self.unwritten).take();
        if let Some(pem) = unwritten
            && self.write(pem)
        {
            info!("The certificate that was in memory only is written");
        }
    }

    /// Whether it could be; else it is tried again later.
    fn write(&self, pem: Secret) -> bool {
        let path = self.settings.certificate();
        let Err(err) = secret::write_own(&path, &pem) else {
            *lock(&self.unwritten) = None;
            return true;
        };
        warn!(
            path = %path.display(),
            error = %err,
            "The certificate is in memory only; it is written again each minute, and a start before that works orders another one"
        );
        *lock(&self.unwritten) = Some(pem);
        false
    }

    fn check_writable(&self) -> Result<(), AcmeError> {
        let path = self.settings.folder.join("probe");
        let written = secret::write_own(&path, &Secret::new("probe"));
        written.and_then(|()| files::remove(&path)).map_err(|err| AcmeError::File(path, err))
    }

    /// When the authority wants `certificate` to be renewed (ARI, RFC 9773), and in how long it may be
    /// asked again.
    pub async fn renewal_window(
        &self,
        certificate: &Certificate,
    ) -> Result<((Timestamp, Timestamp), Duration), AcmeError> {
        let asked = async {
            let account = self.account().await?;
            let id = certificate_id(certificate);
            let id = id.ok_or(AcmeError::Certificate(CertificateError::Malformed))?;
            account.renewal_info(&id).await.map_err(AcmeError::Authority)
        };
        let asked = tokio::time::timeout(ASK_TIMEOUT, asked).await;
        let (info, again): (RenewalInfo, _) =
            asked.map_err(|_elapsed| AcmeError::Late(ASK_TIMEOUT))??;
        let millis = |time: time::OffsetDateTime| {
            let millis = time.unix_timestamp_nanos() / 1_000_000;
            Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
        };
        let window = info.suggested_window;
        Ok(((millis(window.start), millis(window.end)), again))
    }

    /// The account of an earlier order, or a new one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let path = self.settings.account();
        let file_error = |err| AcmeError::File(path.clone(), err);
        match secret::read_own(&path) {
            Ok(text) => {
                let credentials: AccountCredentials = serde_json::from_slice(text.expose())
                    .map_err(|_| AcmeError::NoAccount(path.clone()))?;
                let builder = self.builder()?;
                builder.from_credentials(credentials).await.map_err(|err| self.unreached(err))
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                let contact = self.settings.contact.as_deref();
                let account = NewAccount {
                    contact: contact.as_slice(),
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let directory = self.settings.directory.clone();
                let created = self.builder()?.create(&account, directory, None).await;
                let (account, credentials) = created.map_err(|err| self.unreached(err))?;
                let text = serde_json::to_vec(&credentials).map_err(io::Error::other);
                let text = Secret::new(text.map_err(file_error)?);
                secret::write_own(&path, &text).map_err(file_error)?;
                Ok(account)
            }
            Err(err) => Err(file_error(err)),
        }
    }

    /// What went wrong with the first question to the authority, with its address.
    fn unreached(&self, err: instant_acme::Error) -> AcmeError {
        match err {
            api @ instant_acme::Error::Api(_) => AcmeError::Authority(api),
            other => AcmeError::Unreached(self.settings.directory.clone(), other),
        }
    }

    fn builder(&self) -> Result<instant_acme::AccountBuilder, AcmeError> {
        match &self.settings.ca {
            Some(ca) => Account::builder_with_root(ca),
            None => Account::builder(),
        }
        .map_err(AcmeError::Authority)
    }
}

/// What the authority calls `certificate`.
fn certificate_id(certificate: &Certificate) -> Option<CertificateIdentifier<'static>> {
    let issuer_key = Der::from(certificate.issuer_key()?);
    Some(CertificateIdentifier::new(issuer_key, Der::from(certificate.serial())).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::AcmeChallenge;
    use super::*;

    /// A full disk, say, that has room again later.
    #[test]
    fn certificate_that_could_not_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let settings = AcmeSettings {
            domains: vec!["hooks.example.com".to_owned()],
            contact: None,
            directory: "https://acme.example/directory".to_owned(),
            ca: None,
            challenge: AcmeChallenge::TlsAlpn01,
            http: Vec::new(),
            profile: None,
            folder: folder.path().to_owned(),
        };
        let path = settings.certificate();
        let acme = Acme::open(settings, Arc::default()).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(!acme.write(Secret::new("key and chain")));
        acme.write_unwritten();
        std::fs::remove_dir(&path).unwrap();
        acme.write_unwritten();
        assert_eq!(std::fs::read(&path).unwrap(), b"key and chain");
        // An older one never comes in place of one that was ordered since.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(!acme.write(Secret::new("older")));
        std::fs::remove_dir(&path).unwrap();
        assert!(acme.write(Secret::new("newer")));
        acme.write_unwritten();
        assert_eq!(std::fs::read(&path).unwrap(), b"newer");
    }
}
