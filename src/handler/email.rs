//! `email`: each event, or each batch of them, is a mail.
//!
//! What it guarantees:
//!
//! 1. A mail's `Message-ID` is made from its event's id, the handler's name and the number of the
//!    replay: a mail that is sent twice, because the answer to the first was lost, is recognised as
//!    the same by its reader's program, and no other mail is taken for it.
//! 2. A batch is one mail with every event in it, a digest; where `to` is an expression, one for
//!    each set of recipients, so that no recipient reads what was meant for others. Those that were
//!    sent before one failed are settled: they are not sent again.
//! 3. With `max_per_hour`, an hour that began with its first mail takes no more than that many.
//!    Of events that are due together, each is a mail of its own where the hour has room for all
//!    of them; otherwise the last mail is a digest of those that are too many. What comes then is
//!    put off until the next hour, all to the same moment and without a failed try, and is one
//!    digest, also without `batch`. A mail that fails leaves its room to others. What is counted
//!    and what waits is known in memory only, and begins anew with the process.
//! 4. Who is accepted by the server gets the mail, also where others are refused, or where beside
//!    them stands what is no address. Those who were refused for now (4yz) are tried again, alone;
//!    those who were refused for good (5yz) or have no address make it a dead letter that names
//!    them, and a redrive or a try that `retry_on` asks for goes to them alone. Who has a mail
//!    already is kept with the try, so that a restart sends it to no reader twice.
//! 5. Nothing of an event becomes a header line of its own, whatever is in it.
//! 6. What the server says about a mail or a reader decides: 4yz is tried again, 5yz is not. What it
//!    says before there is a reader (no TLS, no log-in, no sender like this one), and what it says
//!    later about who we are (relaying, log-in), is about the settings and is always tried again.
//! 7. A server has 10 minutes to say that it has a mail (RFC 5321, 4.5.3.2.6): it may look for spam
//!    and viruses first, and given up on before its answer it keeps a mail that is sent again.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{BuildContext, BuildError, Handler, Kind, KindSettings};
use crate::clock::Clock;
use crate::event::{Delivery, EventId, Failure, HandlerName, Output};
use crate::sync::lock;
use crate::text::host_and_port;

mod attach;
mod composed;
mod connection;
mod dialog;
mod encoded;
mod known;
mod message;
mod quota;
mod readers;
mod reply;
mod settings;
mod smtp;
#[cfg(test)]
mod tests;
mod url;

pub use settings::{Recipients, Settings};
pub use url::{BadSmtpUrl, SmtpUrl, TlsUse};

use composed::{Composed, Mail, Unfit};
use dialog::Progress;
use known::Known;
use message::{Writer, compose};
use quota::{Availability, HourlyQuota, Reservation};
use smtp::{BEGIN_TIMEOUT, Smtp};

/// The most events in one digest: a longer one is not read.
const BATCH_MAX: usize = 500;
/// The most mails of one call, so that it ends within its time. The others go in the next one.
const AT_ONCE_MAX: usize = 20;

/// How long a call may take where nothing else is said: the 10 minutes that a server has for its
/// last word, and what comes before.
const TIMEOUT: Duration = Duration::from_mins(11);

/// How long before its caller does a call gives up by itself, to say how far it was.
const EARLIER: Duration = Duration::from_millis(500);

/// `[handler.NAME.email]`.
pub static KIND: Kind = Kind {
    name: "email",
    batch_max: BATCH_MAX,
    statuses: Some(400..=599),
    targets: &[("smtp", "mail server")],
    planned: &[
        "attach_body",
        "bcc",
        "cc",
        "from",
        "headers",
        "html",
        "reply_to",
        "subject",
        "text",
        "to",
    ],
    read: |table| Some(Box::new(Arc::new(Settings::read(table)?))),
};

#[async_trait]
impl KindSettings for Arc<Settings> {
    fn plan(
        &self,
        context: &BuildContext,
        deliveries: &[Delivery],
    ) -> Result<super::Plan, Failure> {
        let now = context.clock.now();
        let writer = Writer { settings: self, handler: &context.handler, now };
        message::plan(&writer, deliveries)
    }

    fn texts(&self) -> Vec<super::Text> {
        Settings::texts(self)
    }

    fn default_timeout(&self) -> Option<Duration> {
        Some(TIMEOUT)
    }

    fn build(&self, context: &BuildContext) -> Result<Box<dyn Handler>, BuildError> {
        Ok(Box::new(EmailHandler {
            name: context.handler.clone(),
            smtp: Smtp::new(self, context)?,
            limit: context.timeout.saturating_sub(EARLIER.min(context.timeout / 10)),
            settings: Self::clone(self),
            clock: Arc::clone(&context.clock),
            batch: context.batch,
            hourly: HourlyQuota::new(self.max_per_hour, Arc::clone(&context.clock)),
            known: Mutex::default(),
        }))
    }

    fn other_end(&self) -> Option<String> {
        Some(format!("mail server `{}`", host_and_port(&self.smtp.host, self.smtp.port)))
    }

    async fn check_online(&self, context: &BuildContext) -> Result<(), BuildError> {
        let smtp = Smtp::new(self, context)?;
        let progress = Progress::new();
        let limit = context.timeout.min(BEGIN_TIMEOUT);
        let tried = tokio::time::timeout(limit, smtp.try_connect(&progress)).await;
        match tried {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(BuildError::Unfit(failure.to_string())),
            Err(_) => {
                let step = progress.step();
                let help = smtp.advice(&step);
                let text = format!("the mail server does not answer, at {step}{help}");
                Err(BuildError::Unfit(text))
            }
        }
    }
}

struct EmailHandler {
    name: HandlerName,
    /// How long a call may take.
    limit: Duration,
    settings: Arc<Settings>,
    smtp: Smtp,
    clock: Arc<dyn Clock>,
    /// Asked for: then every call is a digest.
    batch: Option<NonZeroUsize>,
    hourly: HourlyQuota,
    known: Mutex<Known>,
}

#[async_trait]
impl Handler for EmailHandler {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        let progress = Progress::new();
        // Of those whose mail some readers do not have.
        let mut each = Vec::new();
        let mut skipped = Vec::new();
        let sending = self.send(deliveries, &progress, &mut each, &mut skipped);
        let result = match tokio::time::timeout(self.limit, sending).await {
            Ok(result) => result,
            Err(_) => Err(self.smtp.gave_up(&progress.step(), self.limit)),
        };
        let mut known = self.known();
        let ids = deliveries.iter().map(|delivery| delivery.event.id);
        let done: Vec<EventId> = ids.filter(|id| known.sent.remove(id)).collect();
        let result = match each.first() {
            Some((_, first)) => result.and(Err(first.clone())),
            None => result,
        };
        let output = Output::skipped_of(skipped);
        match result {
            Ok(()) => Ok(output),
            Err(failure) => Err(failure.with_done(done).with_each(each).with_output(output)),
        }
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn default_batch(&self) -> usize {
        if self.settings.max_per_hour.is_some() { BATCH_MAX } else { 1 }
    }

    fn tells_replays(&self) -> bool {
        true
    }

    async fn close(&self) {
        self.smtp.close().await;
    }
}

/// What a call does.
struct Plan<'a> {
    mails: Vec<Mail>,
    /// Room for these mails.
    reserved: Reservation<'a>,
    /// The events of which this call makes no mail.
    left: Vec<EventId>,
    unfit: Unfit,
    /// The events of which there is no mail to make, because of what they give as addresses.
    failed: Vec<(EventId, Failure)>,
    /// The events that ask for none, and why.
    skipped: Vec<(EventId, &'static str)>,
}

impl EmailHandler {
    async fn send(
        &self,
        deliveries: &[Delivery],
        progress: &Progress,
        each: &mut Vec<(EventId, Failure)>,
        skipped: &mut Vec<(EventId, &'static str)>,
    ) -> Result<(), Failure> {
        let mut plan = self.plan(deliveries)?;
        each.append(&mut plan.failed);
        skipped.append(&mut plan.skipped);
        let began = Instant::now();
        for mail in std::mem::take(&mut plan.mails) {
            // What is left of the call is less than a slow server may take for its last word.
            if began.elapsed() > BEGIN_TIMEOUT.min(self.limit / 2) {
                plan.left.extend(mail.events);
                continue;
            }
            let refused = self.smtp.send(&mail, progress).await?;
            let readers = mail.envelope.to();
            if refused.len() < readers.len() {
                plan.reserved.sent_one();
            }
            each.extend(self.known().note_mail(&mail.events, readers, &refused, &plan.unfit));
        }
        if plan.left.is_empty() {
            return Ok(());
        }
        // What this call sends no more is free for the next.
        plan.reserved.keep(0);
        Err(self.defer(&plan.left))
    }

    fn plan(&self, deliveries: &[Delivery]) -> Result<Plan<'_>, Failure> {
        let (settings, now) = (&self.settings, self.clock.now());
        let writer = Writer { settings, handler: &self.name, now };
        let mut known = self.known();
        for delivery in deliveries {
            known.begin(delivery);
        }
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
        let to_ask = |event, readers| known.to_ask(event, readers);
        let mut composed = compose(&writer, &together, &to_ask)?;
        for delivery in &alone {
            composed.append(compose(&writer, std::slice::from_ref(delivery), &to_ask)?);
        }
        let all = [alone, together].concat().into_iter().map(|delivery| delivery.event.id);
        let (sent, failed) = composed.without_mail(all);
        known.note_sent(&sent);
        let Composed { mut mails, unfit, skipped, .. } = composed;
        let of = |id: &EventId| unfit.get(id).map(Vec::as_slice).unwrap_or_default();
        let failed = failed.into_iter().map(|id| (id, known.note_unfit(id, of(&id)))).collect();
        drop(known);
        // Oldest first, so that no mail is postponed each time.
        mails.sort_by_key(|mail| mail.oldest);
        let n_mails = mails.len().min(reserved.n_mails()).min(AT_ONCE_MAX);
        let left = mails.split_off(n_mails).into_iter().flat_map(|mail| mail.events).collect();
        reserved.keep(n_mails);
        Ok(Plan { mails, reserved, left, unfit, failed, skipped })
    }

    /// Nothing failed: what is left is to come when there is room.
    fn defer(&self, left: &[EventId]) -> Failure {
        match self.hourly.availability() {
            Availability::Now => {
                Failure::deferred("the next mails go in the next call", Duration::ZERO)
            }
            Availability::Maybe(wait) => Failure::deferred(
                "the hour's last mails are on their way: the next ones wait",
                wait,
            ),
            Availability::NextHour(wait) => {
                self.known().note_waiting(left);
                Failure::deferred("the hour's mails are sent: the next ones wait", wait)
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
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
    let n_mails = alone.len() + usize::from(!together.is_empty());
    if n_mails > n_left {
        together.extend(alone.split_off(n_left.saturating_sub(1)));
        together.sort_by_key(|delivery| delivery.event.position);
    }
    (alone, together)
}
