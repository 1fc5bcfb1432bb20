//! The public listener's certificate while the server runs: read again when its files change, or
//! ordered anew in time; and told of, by Gatepost's own events and in `readyz`, when that fails or
//! it ends soon.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::api::error_chain;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::sync::lock;
use crate::tls::acme::Acme;
use crate::tls::{self, AcmeChallenge, Certificate, CertificateStore, TlsFiles, TlsSettings};

use super::core::Core;
use super::error::AppError;
use super::system_events::SystemSource;

mod renewal;

use renewal::Renewal;

/// How often the files are read, and renewals looked at: both are weeks before the end.
const EVERY: Duration = Duration::from_mins(1);
/// How often the same trouble is told again while it lasts.
const TELL_EVERY: Duration = Duration::from_hours(24);

/// The certificate, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Certificates {
    store: Arc<CertificateStore>,
    origin: Origin,
    /// Why there is no newer one.
    failure: Mutex<Option<CertificateFailure>>,
    /// A reload wants it to be looked at now.
    wanted: Notify,
}

/// Where certificates come from.
#[derive(Debug)]
enum Origin {
    Files(TlsFiles),
    Acme { acme: Acme, challenge: AcmeChallenge },
}

impl Certificates {
    /// What `config` says of the certificate; `None` = nothing.
    pub(super) fn open(config: &Config) -> Result<Option<Self>, AppError> {
        let (store, origin) = match &config.server.tls {
            None => return Ok(None),
            Some(TlsSettings::Files(files)) => {
                let certificate = files.load().map_err(AppError::Certificate)?;
                (Arc::new(CertificateStore::of(certificate)), Origin::Files(files.clone()))
            }
            Some(TlsSettings::Acme(settings)) => {
                let store = Arc::new(CertificateStore::default());
                let acme = Acme::open(settings.clone(), Arc::clone(&store));
                let acme = acme.map_err(AppError::Acme)?;
                (store, Origin::Acme { acme, challenge: settings.challenge })
            }
        };
        let (failure, wanted) = (Mutex::default(), Notify::new());
        Ok(Some(Self { store, origin, failure, wanted }))
    }

    /// For the listener.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let challenge = match self.origin {
            Origin::Files(_) => None,
            Origin::Acme { challenge, .. } => Some(challenge),
        };
        tls::server_config(Arc::clone(&self.store), challenge)
    }

    /// For the listener that answers an authority.
    pub(super) fn store(&self) -> &Arc<CertificateStore> {
        &self.store
    }

    /// Reads the files again and takes over what is new, or looks at once whether a new one is to
    /// be ordered. What cannot be used leaves the old one. Gives what a reload cannot do, for people, where the
    /// certificate wants it at `now`: one that is good stays at each reload.
    pub(super) fn refresh(&self, now: Timestamp) -> Option<String> {
        match &self.origin {
            Origin::Files(files) => {
                self.read(files);
                // What was taken over and is good has no problem.
                self.store.current()?.problem(now)?;
                files.passed_by_systemd().map(|which| {
                    format!(
                        "the certificate stays as it is: {which} is passed on by systemd when it starts the \
                         service, so a renewed one wants `systemctl restart gatepost`"
                    )
                })
            }
            Origin::Acme { .. } => {
                self.wanted.notify_one();
                None
            }
        }
    }

    fn read(&self, files: &TlsFiles) {
        match files.load() {
            Ok(certificate) => {
                self.take_over(certificate);
                self.set_failure(None);
            }
            Err(err) => {
                self.set_failure(Some(CertificateFailure {
                    reason: error_chain(&err),
                    again_at: None,
                }));
            }
        }
    }

    fn take_over(&self, certificate: Certificate) {
        let current = self.store.current();
        if current.is_some_and(|current| current.is_same(&certificate)) {
            return;
        }
        tell_new(&certificate);
        self.store.replace(certificate);
    }

    /// Whether there is one at all.
    pub(super) fn has_one(&self) -> bool {
        self.store.current().is_some()
    }

    /// What is wrong at `now`, for people.
    pub(super) fn problem(&self, now: Timestamp) -> Option<String> {
        self.trouble(now).map(|trouble| trouble.reason)
    }

    fn trouble(&self, now: Timestamp) -> Option<Trouble> {
        let ends = match self.store.current() {
            Some(current) => current.problem(now),
            None => Some("there is no certificate yet".to_owned()),
        };
        match (self.failure().clone(), ends) {
            (Some(CertificateFailure { reason, again_at }), ends) => {
                let again = again_at.map(|at| format!("; it is tried again at {at}"));
                let again = again.unwrap_or_default();
                let reason = match ends {
                    Some(ends) => format!("{ends}; {reason}{again}"),
                    None => format!("a new certificate cannot be had: {reason}{again}"),
                };
                Some(Trouble { event_type: FAILED, reason })
            }
            // It is being ordered.
            (None, Some(reason)) if self.store.current().is_none() => {
                Some(Trouble { event_type: NONE, reason })
            }
            (None, Some(reason)) => Some(Trouble { event_type: ENDING, reason }),
            (None, None) => None,
        }
    }

    fn payload(&self, reason: Option<&str>) -> Value {
        let current = self.store.current();
        let current = current.as_ref();
        json!({
            "names": current.map(|certificate| certificate.names()),
            "not_after": current.map(|certificate| certificate.not_after()),
            "reason": reason,
        })
    }

    fn set_failure(&self, failure: Option<CertificateFailure>) {
        let mut known = self.failure();
        // The same once more is known, whenever it is tried again.
        let known_reason = known.as_ref().map(|known| known.reason.as_str());
        if let Some(CertificateFailure { reason, again_at }) = &failure
            && known_reason != Some(reason)
        {
            let again_at = again_at.map(tracing::field::display);
            warn!(reason, again_at, "There is no new certificate");
        }
        *known = failure;
    }

    /// A panic elsewhere leaves it whole.
    fn failure(&self) -> MutexGuard<'_, Option<CertificateFailure>> {
        lock(&self.failure)
    }
}

fn tell_new(certificate: &Certificate) {
    let names = certificate.names().join(", ");
    info!(names, until = %certificate.not_after(), "Certificate taken over");
}

/// Why there is no new certificate.
#[derive(Clone, Debug)]
struct CertificateFailure {
    reason: String,
    /// When it is tried again; `None` = whenever it is looked at.
    again_at: Option<Timestamp>,
}

/// What is wrong, and by which event it is told.
#[derive(Debug, PartialEq, Eq)]
struct Trouble {
    event_type: &'static str,
    reason: String,
}

const FAILED: &str = "certificate.failed";
const ENDING: &str = "certificate.ending";
const BACK: &str = "certificate.renewed";
/// Not told: the first order is under way.
const NONE: &str = "";

/// Looks at the certificate now and then, until `stop`.
pub(super) async fn watch(
    certificates: Arc<Certificates>,
    core: Core,
    own: Arc<SystemSource>,
    stop: CancellationToken,
) {
    let Core { clock, metrics, .. } = core;
    let certificates = &*certificates;
    let mut look = tokio::time::interval(EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut renewal) = (Told::default(), Renewal::default());
    loop {
        let is_asked_for = tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => false,
            () = certificates.wanted.notified() => true,
        };
        let looked = async {
            match &certificates.origin {
                Origin::Files(files) => certificates.read(files),
                Origin::Acme { acme, .. } => {
                    if is_asked_for {
                        renewal.forget_failures();
                    }
                    renewal.look(acme, certificates, clock.as_ref()).await;
                }
            }
            let now = clock.now();
            if let Some(certificate) = certificates.store.current() {
                metrics.set_certificate_end(certificate.not_after());
            }
            let Some(event) = told.look(certificates.trouble(now), now) else { return };
            if let Some(reason) = &event.reason {
                warn!(reason, "The certificate needs its owner");
            }
            let payload = certificates.payload(event.reason.as_deref());
            own.append(event.event_type, &now.to_string(), &payload).await;
        };
        // Neither an authority nor a store that hangs must keep the process from ending.
        tokio::select! {
            () = stop.cancelled() => return,
            () = looked => {}
        }
    }
}

/// What was told last, and when.
#[derive(Debug, Default)]
struct Told(Option<(&'static str, Timestamp)>);

/// An own event.
#[derive(Debug, PartialEq, Eq)]
struct News {
    event_type: &'static str,
    reason: Option<String>,
}

impl Told {
    /// What is to be told at `now`: each trouble at once and then daily, and its end.
    fn look(&mut self, trouble: Option<Trouble>, now: Timestamp) -> Option<News> {
        let Some(Trouble { event_type, reason }) = trouble else {
            return self.0.take().map(|_| News { event_type: BACK, reason: None });
        };
        let is_known =
            self.0.is_some_and(|(known, at)| known == event_type && now.since(at) < TELL_EVERY);
        if is_known || event_type == NONE {
            return None;
        }
        self.0 = Some((event_type, now));
        Some(News { event_type, reason: Some(reason) })
    }
}

/// What is wrong with the certificate of `config`: the key of the configuration, the message, and
/// whether it keeps the server from starting.
pub fn check_certificate(config: &Config) -> Option<(&'static str, String, bool)> {
    match config.server.tls.as_ref()? {
        TlsSettings::Files(files) if files.is_unseen() => None,
        TlsSettings::Files(files) => match files.load() {
            Ok(certificate) => {
                let problem = certificate.problem(SystemClock::new().now())?;
                Some(("server.tls.cert", problem, false))
            }
            Err(err) => Some(("server.tls", error_chain(&err), true)),
        },
        TlsSettings::Acme(settings) => {
            let opened = Acme::open(settings.clone(), Arc::default());
            opened.err().map(|err| ("server.acme", error_chain(&err), true))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock::ManualClock;
    use crate::metrics::Metrics;
    use crate::queue::embedded::testing::MemoryDisk;
    use crate::secret::SecretRef;
    use crate::trace::Traces;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn trouble(event_type: &'static str) -> Trouble {
        Trouble { event_type, reason: "it ends".to_owned() }
    }

    /// Writes a certificate and its key into `folder`; what it shows by then.
    fn write_files(folder: &Path) -> TlsFiles {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["hooks.example.com".to_owned()]).unwrap();
        std::fs::write(folder.join("cert"), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(folder.join("key"), key.serialize_pem()).unwrap();
        let file = |name| SecretRef::File { path: folder.join(name), create: false };
        TlsFiles { cert: file("cert"), key: file("key") }
    }

    /// Certbot, say, renews them and leaves Gatepost alone.
    #[tokio::test(start_paused = true)]
    async fn files_that_change_are_taken_over_within_a_minute_without_a_reload() {
        let folder = tempfile::tempdir().unwrap();
        let files = write_files(folder.path());
        let clock = Arc::new(ManualClock::new(NOW)) as Arc<dyn Clock>;
        let queue = Arc::new(MemoryDisk::new().open(Arc::clone(&clock)));
        let (metrics, traces) = (Metrics::new(), Traces::default());
        let core = Core { queue, clock, metrics: metrics.clone(), traces };
        let store = Arc::new(CertificateStore::of(files.load().unwrap()));
        let certificates = Arc::new(Certificates {
            store: Arc::clone(&store),
            origin: Origin::Files(files.clone()),
            failure: Mutex::default(),
            wanted: Notify::new(),
        });
        let stop = CancellationToken::new();
        let own = Arc::new(SystemSource::new(core.clone()));
        let watching = watch(Arc::clone(&certificates), core, own, stop.clone());
        let changes = async {
            // The first look is at once.
            tokio::time::sleep(EVERY / 2).await;
            let new = write_files(folder.path()).load().unwrap();
            assert!(!store.current().unwrap().is_same(&new));
            tokio::time::sleep(EVERY).await;
            assert!(store.current().unwrap().is_same(&new));
            let end = new.not_after().as_millis() / 1_000;
            let line = format!("gatepost_certificate_end_timestamp_seconds{{}} {end}.0");
            assert!(metrics.text().lines().any(|one| one == line), "no `{line}`");
            // A key of another one: what is there is served on.
            std::fs::write(folder.path().join("key"), "no key").unwrap();
            tokio::time::sleep(EVERY).await;
            assert!(store.current().unwrap().is_same(&new));
            assert!(certificates.failure().is_some());
            stop.cancel();
        };
        tokio::join!(watching, changes);
    }

    #[test]
    fn trouble_is_told_at_once_then_daily_and_so_is_its_end() {
        let mut told = Told::default();
        let mut types = |trouble, hours| {
            let now = NOW.after(Duration::from_hours(hours));
            told.look(trouble, now).map(|news| news.event_type)
        };
        assert_eq!(types(None, 0), None);
        assert_eq!(types(Some(trouble(NONE)), 0), None);
        assert_eq!(types(Some(trouble(ENDING)), 1), Some(ENDING));
        assert_eq!(types(Some(trouble(ENDING)), 24), None);
        assert_eq!(types(Some(trouble(FAILED)), 24), Some(FAILED), "it became worse");
        assert_eq!(types(Some(trouble(FAILED)), 48), Some(FAILED));
        assert_eq!(types(None, 49), Some(BACK));
        assert_eq!(types(None, 50), None);
    }
}
