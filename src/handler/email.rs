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
//!    Of events that are due together, as many are mails of their own as the hour leaves room for
//!    (some at a time), and the last mail is a digest of all the others. What comes then waits for the next hour, all
//!    for the same moment, and what has waited is one digest, also without `batch`. The count is in
//!    memory and begins anew with the process.
//! 4. Nothing of an event becomes a header line of its own, whatever is in it.
//! 5. What the server says about a mail decides: 4yz is tried again, 5yz is not. What it says
//!    before there is a mail (no TLS, no log-in) is about the settings and is always tried again.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
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

use message::{Mail, compose};
use smtp::Smtp;

/// The most events in one digest: more nobody reads.
const BATCH_MAX: usize = 500;
/// How many events of failed calls are remembered: those that end as dead letters are never asked
/// for again.
const SENT_MAX: usize = 10_000;
/// What `max_per_hour` counts over.
const HOUR: Duration = Duration::from_hours(1);
/// Where mails are limited, an event that is older has waited, and goes into a digest.
const FRESH: Duration = Duration::from_mins(15);
/// The most mails that one call makes of events that are due together: all of them go within the
/// time of one call, and nobody reads more at once.
const AT_ONCE_MAX: usize = 20;

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
            batch: context.batch,
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
    /// Asked for: then every call is a digest.
    batch: Option<NonZeroUsize>,
    hour: Mutex<Hour>,
    /// Events of calls that sent some of their mails and then failed, or were ended.
    partly_sent: Mutex<BTreeSet<EventId>>,
}

#[async_trait]
impl Handler for EmailHandler {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<(), Failure> {
        let plan = self.plan(&self.without_sent(deliveries))?;
        let is_part = plan.mails.len() > 1 || plan.rest_waits.is_some();
        for mail in &plan.mails {
            self.smtp.send(mail).await?;
            if is_part {
                self.note_sent(&mail.events);
            }
        }
        if plan.rest_waits.is_some() {
            let failure = Failure::transient("the hour's mails are sent: the next ones wait");
            return Err(failure.with_retry_after(plan.rest_waits));
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

/// What a call does.
struct Plan {
    mails: Vec<Mail>,
    /// How long the events of which there is no mail have to wait.
    rest_waits: Option<Duration>,
}

impl EmailHandler {
    fn plan(&self, unsent: &[&Delivery]) -> Result<Plan, Failure> {
        let (settings, now) = (&self.settings, self.clock.now());
        let Some(max) = settings.max_per_hour else {
            return Ok(Plan { mails: compose(settings, unsent, now)?, rest_waits: None });
        };
        let steady = self.clock.steady();
        // Held while composing, which does not wait: calls at once share what the hour leaves.
        let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        let n_left = hour.n_left(max, steady);
        let (alone, together) = match self.batch {
            Some(_) => (Vec::new(), unsent.to_vec()),
            None => split(unsent, n_left, now),
        };
        let mut mails = Vec::new();
        for delivery in alone {
            mails.extend(compose(settings, &[delivery], now)?);
        }
        mails.extend(compose(settings, &together, now)?);
        // More than one where each event says its recipients.
        let rest_waits = (mails.len() > n_left).then(|| hour.rest(steady));
        mails.truncate(n_left);
        hour.take(mails.len(), steady);
        Ok(Plan { mails, rest_waits })
    }

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

/// Which events are mails of their own where `n_left` may go, and which are one together.
fn split<'a>(
    unsent: &[&'a Delivery],
    n_left: usize,
    now: Timestamp,
) -> (Vec<&'a Delivery>, Vec<&'a Delivery>) {
    let is_fresh = |delivery: &&Delivery| {
        delivery.attempt == 1 && now.since(delivery.event.received_at) < FRESH
    };
    let n_left = n_left.min(AT_ONCE_MAX);
    let (mut alone, mut together): (Vec<_>, Vec<_>) = unsent.iter().copied().partition(is_fresh);
    let n_mails = alone.len().saturating_add(usize::from(!together.is_empty()));
    if n_mails > n_left {
        together.extend(alone.split_off(n_left.saturating_sub(1)));
        together.sort_by_key(|delivery| delivery.event.position);
    }
    (alone, together)
}

/// How many mails were sent, or tried, since an hour began.
#[derive(Debug, Default)]
struct Hour {
    /// By the steady clock; `None` = no mail yet.
    began_at: Option<Timestamp>,
    n_mails: usize,
}

impl Hour {
    fn is_over(&self, now: Timestamp) -> bool {
        self.began_at.is_none_or(|at| now.since(at) >= HOUR)
    }

    /// How many more may go.
    fn n_left(&self, max: NonZeroU32, now: Timestamp) -> usize {
        let max = usize::try_from(max.get()).unwrap_or(usize::MAX);
        if self.is_over(now) { max } else { max.saturating_sub(self.n_mails) }
    }

    /// How long until the next hour.
    fn rest(&self, now: Timestamp) -> Duration {
        let elapsed = self.began_at.filter(|_| !self.is_over(now)).map(|at| now.since(at));
        HOUR.saturating_sub(elapsed.unwrap_or_default())
    }

    /// Counts `n_mails` more.
    fn take(&mut self, n_mails: usize, now: Timestamp) {
        if n_mails > 0 && self.is_over(now) {
            *self = Self { began_at: Some(now), n_mails: 0 };
        }
        self.n_mails = self.n_mails.saturating_add(n_mails);
    }
}
