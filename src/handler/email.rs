//! `email`: each event, or each batch of them, is a mail.
//!
//! What it guarantees:
//!
//! 1. A mail's `Message-ID` is made from its event's id: a mail that is sent twice, because the
//!    answer to the first was lost, is recognised as the same by its reader's program.
//! 2. A batch is one mail with every event in it, a digest; where `to` is an expression, one for
//!    each set of recipients, so that nobody reads what was meant for others. Those that were sent
//!    before one failed are settled: they are not sent again.
//! 3. With `max_per_hour`, an hour that began with its first mail takes no more than that many.
//!    Of events that are due together, each is a mail of its own where the hour has room for all
//!    of them; otherwise the last mail is a digest of those that are too many. What comes then is
//!    put off until the next hour, all to the same moment and without a failed try, and is one
//!    digest, also without `batch`. A mail that fails leaves its room to others. What is counted
//!    and what waits is known in memory only, and begins anew with the process.
//! 4. Nothing of an event becomes a header line of its own, whatever is in it.
//! 5. What the server says about a mail decides: 4yz is tried again, 5yz is not. What it says
//!    before there is a mail (no TLS, no log-in) is about the settings and is always tried again.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{BuildContext, BuildError, Handler, Kind, KindSettings};
use crate::clock::Clock;
use crate::event::{Delivery, EventId, Failure};

mod hour;
mod message;
mod settings;
mod smtp;
#[cfg(test)]
mod tests;
mod url;

pub use settings::{Recipients, Settings};
pub use url::{BadSmtpUrl, SmtpUrl, TlsUse};

use hour::{Hourly, Reserved, Room};
use message::{Mail, compose};
use smtp::Smtp;

/// The most events in one digest: more nobody reads.
const BATCH_MAX: usize = 500;
/// How many events of each sort are remembered: those that the owner drops are never asked for
/// again.
const KNOWN_MAX: usize = 10_000;
/// The most mails of one call, so that it ends within its time. The others go in the next one.
const AT_ONCE_MAX: usize = 20;

/// `[handler.NAME.email]`.
pub static KIND: Kind = Kind {
    name: "email",
    batch_max: BATCH_MAX,
    read: |table| Some(Box::new(Arc::new(Settings::read(table)?))),
};

#[async_trait]
impl KindSettings for Arc<Settings> {
    fn plan(
        &self,
        _context: &BuildContext,
        deliveries: &[Delivery],
    ) -> Result<super::Plan, Failure> {
        message::plan(self, deliveries)
    }

    fn texts(&self) -> Vec<super::Text> {
        Settings::texts(self)
    }

    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        Ok(Box::new(EmailHandler {
            smtp: Smtp::new(self, context)?,
            settings: Self::clone(self),
            clock: Arc::clone(&context.clock),
            batch: context.batch,
            hourly: Hourly::new(self.max_per_hour, Arc::clone(&context.clock)),
            known: Mutex::default(),
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
    hourly: Hourly,
    known: Mutex<Known>,
}

/// What is remembered of single events.
#[derive(Debug, Default)]
struct Known {
    /// Sent by a call that has not ended, or was dropped before it could say so.
    sent: BTreeSet<EventId>,
    /// Put off because the hour was full.
    waiting: BTreeSet<EventId>,
}

#[async_trait]
impl Handler for EmailHandler {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<(), Failure> {
        let result = self.send(deliveries).await;
        let mut known = self.known();
        let ids = deliveries.iter().map(|delivery| delivery.event.id);
        let done: Vec<EventId> = ids.filter(|id| known.sent.remove(id)).collect();
        result.map_err(|failure| failure.with_done(done))
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
struct Plan<'a> {
    mails: Vec<Mail>,
    /// Room for these mails.
    reserved: Reserved<'a>,
    /// The events of which this call makes no mail.
    left: Vec<EventId>,
}

impl EmailHandler {
    async fn send(&self, deliveries: &[Delivery]) -> Result<(), Failure> {
        let mut plan = self.plan(deliveries)?;
        for mail in &plan.mails {
            self.smtp.send(mail).await?;
            plan.reserved.sent_one();
            self.known().note_sent(&mail.events);
        }
        if plan.left.is_empty() { Ok(()) } else { Err(self.put_off(&plan.left)) }
    }

    fn plan(&self, deliveries: &[Delivery]) -> Result<Plan<'_>, Failure> {
        let (settings, now) = (&self.settings, self.clock.now());
        let known = self.known();
        let mut unsent: Vec<&Delivery> =
            deliveries.iter().filter(|delivery| !known.sent.contains(&delivery.event.id)).collect();
        unsent.sort_by_key(|delivery| delivery.event.position);
        let mut reserved = self.hourly.reserve(unsent.len());
        let is_digest = self.batch.is_some() || settings.max_per_hour.is_none();
        let (alone, together) = if is_digest {
            (Vec::new(), unsent)
        } else {
            split(&unsent, reserved.n_mails(), &known.waiting)
        };
        drop(known);
        let mut mails = Vec::new();
        for delivery in alone {
            mails.extend(compose(settings, &[delivery], now)?);
        }
        mails.extend(compose(settings, &together, now)?);
        // Whoever has waited longest is first: nobody is the one that is left each time.
        mails.sort_by_key(|mail| mail.oldest);
        let n_mails = mails.len().min(reserved.n_mails()).min(AT_ONCE_MAX);
        let left = mails.split_off(n_mails).into_iter().flat_map(|mail| mail.events).collect();
        reserved.keep(n_mails);
        Ok(Plan { mails, reserved, left })
    }

    /// Nothing failed: what is left is to come when there is room.
    fn put_off(&self, left: &[EventId]) -> Failure {
        match self.hourly.room() {
            Room::Now => Failure::put_off("the next mails go in the next call", Duration::ZERO),
            Room::Unclear(wait) => {
                Failure::put_off("the hour's last mails are on their way: the next ones wait", wait)
            }
            Room::NextHour(wait) => {
                self.known().note_waiting(left);
                Failure::put_off("the hour's mails are sent: the next ones wait", wait)
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn note_sent(&mut self, events: &[EventId]) {
        self.sent.extend(events);
        for id in events {
            self.waiting.remove(id);
        }
        forget_the_oldest(&mut self.sent);
    }

    fn note_waiting(&mut self, events: &[EventId]) {
        self.waiting.extend(events);
        forget_the_oldest(&mut self.waiting);
    }
}

fn forget_the_oldest(events: &mut BTreeSet<EventId>) {
    while events.len() > KNOWN_MAX {
        events.pop_first();
    }
}

/// Which events are mails of their own where `n_left` may go, and which are one together: those
/// that are `waiting` for this hour, and those that are too many. `unsent` is in order.
fn split<'a>(
    unsent: &[&'a Delivery],
    n_left: usize,
    waiting: &BTreeSet<EventId>,
) -> (Vec<&'a Delivery>, Vec<&'a Delivery>) {
    let has_waited = |delivery: &&Delivery| waiting.contains(&delivery.event.id);
    let (mut together, mut alone): (Vec<_>, Vec<_>) = unsent.iter().copied().partition(has_waited);
    let n_mails = alone.len().saturating_add(usize::from(!together.is_empty()));
    if n_mails > n_left {
        together.extend(alone.split_off(n_left.saturating_sub(1)));
        together.sort_by_key(|delivery| delivery.event.position);
    }
    (alone, together)
}
