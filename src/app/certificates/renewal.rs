//! When the next certificate is ordered.

use std::time::Duration;

use tracing::debug;

use crate::api::error_chain;
use crate::clock::{Clock, Timestamp};
use crate::tls::acme::{Acme, Schedule, retry_after};
use crate::tls::{Certificate, Condition};

use super::{CertificateFailure, Certificates, tell_new};

/// An authority is asked for its suggestion as often as it says, within these.
const ASK_MIN: Duration = Duration::from_hours(1);
const ASK_MAX: Duration = Duration::from_hours(24);
/// How often where it has none to give: it may have one later.
const ASK_AGAIN: Duration = Duration::from_hours(6);
/// So many failures in a row are told of while the certificate is good for long: about a quarter of
/// an hour of an authority that does not answer is nothing to tell.
const TOLD_FAILURES: u32 = 3;

/// What is known of the certificate's renewal.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// Of the certificate with this serial number.
    schedule: Option<(Vec<u8>, Schedule)>,
    ask_at: Option<Timestamp>,
    n_failures: u32,
    retry_at: Option<Timestamp>,
}

impl Renewal {
    /// Tries at once what failed: the owner asked for it.
    pub(super) fn forget_failures(&mut self) {
        self.retry_at = None;
    }

    /// Orders a certificate where one is due.
    pub(super) async fn look(
        &mut self,
        acme: &Acme,
        certificates: &Certificates,
        clock: &dyn Clock,
    ) {
        acme.write_unwritten();
        let current = certificates.store().current();
        if let Some(certificate) = current.as_deref()
            && self.due(acme, certificate, clock.now()).await > clock.now()
        {
            return;
        }
        if self.retry_at.is_some_and(|at| clock.now() < at) {
            return;
        }
        match acme.order().await {
            Ok(certificate) => {
                tell_new(&certificate);
                certificates.set_failure(None);
                *self = Self::default();
            }
            Err(err) => {
                self.n_failures = self.n_failures.saturating_add(1);
                let wait = retry_after(self.n_failures, err.is_rate_limit());
                let now = clock.now();
                self.retry_at = Some(now.after(wait));
                let is_good = current.is_some_and(|one| one.condition(now) == Condition::Good);
                if is_good && self.n_failures < TOLD_FAILURES {
                    debug!(reason = error_chain(&err), "Certificate not renewed yet");
                } else {
                    let reason = error_chain(&err);
                    certificates
                        .set_failure(Some(CertificateFailure { reason, again_at: self.retry_at }));
                }
            }
        }
    }

    /// When `certificate` is to be renewed.
    async fn due(&mut self, acme: &Acme, certificate: &Certificate, now: Timestamp) -> Timestamp {
        let known = self.schedule.take().filter(|(serial, _)| serial == certificate.serial());
        let is_new = known.is_none();
        let (serial, mut schedule) =
            known.unwrap_or_else(|| (certificate.serial().to_vec(), Schedule::of(certificate)));
        if is_new || self.ask_at.is_none_or(|at| now >= at) {
            let wait = match acme.renewal_window(certificate).await {
                Ok((window, again)) => {
                    schedule.suggest(window);
                    again.clamp(ASK_MIN, ASK_MAX)
                }
                Err(err) => {
                    debug!(reason = error_chain(&err), "The authority suggests no time of renewal");
                    ASK_AGAIN
                }
            };
            self.ask_at = Some(now.after(wait));
        }
        let due = schedule.due();
        self.schedule = Some((serial, schedule));
        due
    }
}
