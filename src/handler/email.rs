//! `email`: each event, or each batch of them, is a mail.
//!
//! What it guarantees:
//!
//! 1. A mail's `Message-ID` is made from its event's id: a mail that is sent twice, because the
//!    answer to the first was lost, is recognised as the same by its reader's program.
//! 2. A batch is one mail with every event in it, a digest; where `to` is an expression, one for
//!    each set of recipients, so that nobody reads what was meant for others.
//!    Those that were sent before one failed are not sent again by the same process.
//! 3. With `max_per_hour`, an hour that began with its first mail takes no more than that many.
//!    What comes then waits for the next hour, all for the same moment, and goes out as a digest:
//!    what is due together is one mail then, also without `batch`. The count is in memory and
//!    begins anew with the process.
//! 4. Nothing of an event becomes a header line of its own, whatever is in it.
//! 5. What the server says about a mail decides: 4yz is tried again, 5yz is not. What it says
//!    before there is a mail (no TLS, no log-in) is about the settings and is always tried again.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{BuildContext, BuildError, Handler, Kind, KindSettings};
use crate::clock::{Clock, Timestamp};
use crate::event::{Delivery, EventId, Failure};

mod message;
mod settings;
mod smtp;
#[cfg(test)]
mod tests;
mod url;

pub use settings::{Recipients, Settings};
pub use url::{BadSmtpUrl, SmtpUrl, TlsUse};

use smtp::Smtp;

/// The most events in one digest: more nobody reads.
const BATCH_MAX: usize = 500;
/// How many events of failed calls are remembered: those that end as dead letters are never asked
/// for again.
const SENT_MAX: usize = 10_000;
/// What `max_per_hour` counts over.
const HOUR: Duration = Duration::from_hours(1);

/// `[handler.NAME.email]`.
pub static KIND: Kind = Kind {
    name: "email",
    batch_max: BATCH_MAX,
    read: |table| Some(Box::new(Arc::new(Settings::read(table)?))),
};

#[async_trait]
impl KindSettings for Arc<Settings> {
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        Ok(Box::new(EmailHandler {
            smtp: Smtp::new(self, context)?,
            settings: Self::clone(self),
            clock: Arc::clone(&context.clock),
            hour: Mutex::default(),
            partly_sent: Mutex::default(),
        }))
    }

    async fn check_online(&self, context: &BuildContext) -> Result<(), BuildError> {
        let smtp = Smtp::new(self, context)?;
        let tried = tokio::time::timeout(context.timeout, smtp.try_connect()).await;
        match tried {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(BuildError::Unfit(failure.to_string())),
            Err(_) => Err(BuildError::Unfit("the mail server does not answer".to_owned())),
        }
    }
}

struct EmailHandler {
    settings: Arc<Settings>,
    smtp: Smtp,
    clock: Arc<dyn Clock>,
    hour: Mutex<Hour>,
    /// Events of calls that sent some of their mails and then failed, or were ended.
    partly_sent: Mutex<BTreeSet<EventId>>,
}

#[async_trait]
impl Handler for EmailHandler {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<(), Failure> {
        let unsent = self.without_sent(deliveries);
        let mails = message::compose(&self.settings, &unsent, self.clock.now())?;
        if let Some(max) = self.settings.max_per_hour {
            let now = self.clock.steady();
            let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(wait) = hour.take(mails.len(), max, now) {
                let text = format_args!("the hour's {max} mails are sent: the next ones wait");
                return Err(Failure::transient(text).with_retry_after(Some(wait)));
            }
        }
        for mail in &mails {
            self.smtp.send(mail).await?;
            if mails.len() > 1 {
                self.note_sent(&mail.events);
            }
        }
        self.forget_sent(deliveries);
        Ok(())
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn batch_unasked(&self) -> usize {
        if self.settings.max_per_hour.is_some() { BATCH_MAX } else { 1 }
    }

    async fn close(&self) {
        self.smtp.close().await;
    }
}

impl EmailHandler {
    fn without_sent<'a>(&self, deliveries: &'a [Delivery]) -> Vec<&'a Delivery> {
        let sent = self.partly_sent.lock().unwrap_or_else(PoisonError::into_inner);
        deliveries.iter().filter(|delivery| !sent.contains(&delivery.event.id)).collect()
    }

    fn note_sent(&self, events: &[EventId]) {
        let mut sent = self.partly_sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.extend(events);
        while sent.len() > SENT_MAX {
            sent.pop_first();
        }
    }

    fn forget_sent(&self, deliveries: &[Delivery]) {
        let mut sent = self.partly_sent.lock().unwrap_or_else(PoisonError::into_inner);
        for delivery in deliveries {
            sent.remove(&delivery.event.id);
        }
    }
}

/// How many mails were sent, or tried, since an hour began.
#[derive(Debug, Default)]
struct Hour {
    /// By the steady clock; `None` = no mail yet.
    began_at: Option<Timestamp>,
    n_mails: usize,
}

impl Hour {
    /// Counts `n_mails` more, or says how long to wait until the next hour.
    fn take(&mut self, n_mails: usize, max: NonZeroU32, now: Timestamp) -> Result<(), Duration> {
        let max = usize::try_from(max.get()).unwrap_or(usize::MAX);
        let is_over = self.began_at.is_none_or(|at| now.since(at) >= HOUR);
        if is_over {
            *self = Self { began_at: Some(now), n_mails: 0 };
        }
        // One batch for more sets of recipients than an hour takes goes out in an hour of its own.
        let fits = self.n_mails.saturating_add(n_mails) <= max;
        if !fits && self.n_mails > 0 {
            let elapsed = self.began_at.map_or(Duration::ZERO, |at| now.since(at));
            return Err(HOUR.saturating_sub(elapsed));
        }
        self.n_mails = self.n_mails.saturating_add(n_mails);
        Ok(())
    }
}
