//! The public listener's certificate while the server runs: read again when its files change, and told
//! of, by Gatepost's own events and in `readyz`, when it ends soon or cannot be read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::api::chain;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::tls::{self, Certificate, CertificateError, CertificateStore, TlsFiles, TlsSettings};

use super::control::Server;
use super::own_events::OwnSource;

/// How often the files are read: certbot and the like renew weeks before the end.
const EVERY: Duration = Duration::from_mins(1);
/// How often the same trouble is told again while it lasts.
const TELL_EVERY: Duration = Duration::from_hours(24);

/// The certificate, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Certificates {
    store: Arc<CertificateStore>,
    files: TlsFiles,
    /// Why the files could not be taken over when they were read last.
    failure: Mutex<Option<String>>,
}

impl Certificates {
    /// The certificate that `config` names; `None` = it names none.
    pub(super) fn open(config: &Config) -> Result<Option<Self>, CertificateError> {
        let Some(TlsSettings::Files(files)) = &config.server.tls else { return Ok(None) };
        let store = Arc::new(CertificateStore::of(files.load()?));
        Ok(Some(Self { store, files: files.clone(), failure: Mutex::default() }))
    }

    /// For the listener.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        tls::server_config(Arc::clone(&self.store))
    }

    /// Reads the files again and takes over what is new; what cannot be used leaves the old one.
    pub(super) fn refresh(&self) {
        let failure = match self.files.load() {
            Ok(certificate) => {
                self.take_over(certificate);
                None
            }
            Err(err) => {
                let reason = chain(&err);
                if self.failure().as_ref() != Some(&reason) {
                    warn!(reason, "The certificate's files were left alone");
                }
                Some(reason)
            }
        };
        *self.failure() = failure;
    }

    fn take_over(&self, certificate: Certificate) {
        let current = self.store.current();
        if current.is_some_and(|current| current.is_same(&certificate)) {
            return;
        }
        let names = certificate.names().join(", ");
        info!(names, until = %certificate.not_after(), "Certificate taken over");
        self.store.replace(certificate);
    }

    /// What is wrong at `now`, for people.
    pub(super) fn problem(&self, now: Timestamp) -> Option<String> {
        self.trouble(now).map(|trouble| trouble.reason)
    }

    fn trouble(&self, now: Timestamp) -> Option<Trouble> {
        let current = self.store.current();
        let ends = current.and_then(|current| current.problem(now));
        match (self.failure().clone(), ends) {
            (Some(reason), ends) => {
                let reason = match ends {
                    Some(ends) => format!("{ends}; {reason}"),
                    None => format!("a new certificate cannot be used: {reason}"),
                };
                Some(Trouble { event_type: FAILED, reason })
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

    /// A panic elsewhere leaves it whole.
    fn failure(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

/// Looks at the certificate now and then, until `stop`.
pub(super) async fn watch(server: Arc<Server>, own: Arc<OwnSource>, stop: CancellationToken) {
    let Some(certificates) = server.certificates.as_deref() else { return };
    let mut look = tokio::time::interval(EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Told::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        certificates.refresh();
        let now = server.core.clock.now();
        let Some(event) = told.look(certificates.trouble(now), now) else { continue };
        let payload = certificates.payload(event.reason.as_deref());
        let key = now.to_string();
        // A store that hangs must not keep the process from ending.
        tokio::select! {
            () = stop.cancelled() => return,
            () = own.append(event.event_type, &key, &payload) => {}
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
        if is_known {
            return None;
        }
        self.0 = Some((event_type, now));
        Some(News { event_type, reason: Some(reason) })
    }
}

/// What is wrong with the certificate of `config`: the key of the configuration, the message, and
/// whether it keeps the server from starting.
pub fn check_certificate(config: &Config) -> Option<(&'static str, String, bool)> {
    let Some(TlsSettings::Files(files)) = &config.server.tls else { return None };
    match files.load() {
        Ok(certificate) => {
            let problem = certificate.problem(SystemClock::new().now())?;
            Some(("server.tls.cert", problem, false))
        }
        Err(err) => Some(("server.tls", chain(&err), true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn trouble(event_type: &'static str) -> Trouble {
        Trouble { event_type, reason: "it ends".to_owned() }
    }

    #[test]
    fn trouble_is_told_at_once_then_daily_and_so_is_its_end() {
        let mut told = Told::default();
        let mut types = |trouble, hours| {
            let now = NOW.after(Duration::from_hours(hours));
            told.look(trouble, now).map(|news| news.event_type)
        };
        assert_eq!(types(None, 0), None);
        assert_eq!(types(Some(trouble(ENDING)), 1), Some(ENDING));
        assert_eq!(types(Some(trouble(ENDING)), 24), None);
        assert_eq!(types(Some(trouble(FAILED)), 24), Some(FAILED), "it became worse");
        assert_eq!(types(Some(trouble(FAILED)), 48), Some(FAILED));
        assert_eq!(types(None, 49), Some(BACK));
        assert_eq!(types(None, 50), None);
    }
}
