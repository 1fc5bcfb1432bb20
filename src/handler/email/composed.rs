//! Which events share a mail, who is to have it, and what becomes of events without one.

use std::collections::BTreeMap;

use lettre::Address;
use lettre::address::Envelope;

use super::readers::{NoAddress, Readers};
use super::settings::Settings;
use crate::event::{Delivery, EventId, Failure, Position};

/// Why there is no mail: what an expression leaves out.
pub(super) const NO_READER: &str = "`to` gives no address";

/// A mail, ready to be sent.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
    /// The events that it tells of.
    pub(super) events: Vec<EventId>,
    /// Where the oldest of them is.
    pub(super) oldest: Position,
}

/// The events of one mail, and those of its readers who do not have it.
pub(super) type Groups<'a> = BTreeMap<(Readers, Vec<Address>), Vec<&'a Delivery>>;

/// What several events are told by.
#[derive(Debug, Default)]
pub(super) struct Composed {
    pub(super) mails: Vec<Mail>,
    /// What single events give in place of readers.
    pub(super) unfit: Unfit,
    /// The events of which there is no mail to make, and why.
    pub(super) skipped: Vec<(EventId, &'static str)>,
    /// The events whose readers all have their mail.
    pub(super) complete: Vec<EventId>,
}

impl Composed {
    pub(super) fn append(&mut self, other: Self) {
        self.mails.extend(other.mails);
        self.unfit.extend(other.unfit);
        self.skipped.extend(other.skipped);
        self.complete.extend(other.complete);
    }

    /// Those of `all` events of which there is no mail: first those that are done with that, since no reader
    /// is to have one or all have it, then those that fail.
    pub(super) fn without_mail(
        &self,
        all: impl Iterator<Item = EventId>,
    ) -> (Vec<EventId>, Vec<EventId>) {
        let has_mail = |id: &EventId| self.mails.iter().any(|mail| mail.events.contains(id));
        let is_skipped = |id: &EventId| self.skipped.iter().any(|(skipped, _)| skipped == id);
        let is_done = |id: &EventId| self.complete.contains(id) || is_skipped(id);
        all.filter(|id| !has_mail(id)).partition(|id| is_done(id) && !self.unfit.contains_key(id))
    }
}

/// What an event gives in its readers' place that is no address.
pub(super) type Unfit = BTreeMap<EventId, Vec<NoAddress>>;

/// Whom of its readers the mail of an event goes to.
pub(super) type ToAsk<'a> = dyn Fn(EventId, Vec<Address>) -> Vec<Address> + 'a;

/// The events of which there is a mail, by its readers; and of the others why not.
pub(super) fn groups<'a>(
    settings: &Settings,
    deliveries: &[&'a Delivery],
    to_ask: &ToAsk<'_>,
) -> Result<(Groups<'a>, Composed), Failure> {
    let (mut groups, mut composed) = (Groups::new(), Composed::default());
    for &delivery in deliveries {
        let id = delivery.event.id;
        let (readers, unfit) = Readers::of(settings, delivery)?;
        let missing = to_ask(id, readers.addresses());
        // Where nothing stands in `to`, nothing is to be sent. An address that is none is no such word.
        let has_to = !readers.to.is_empty() || unfit.iter().any(NoAddress::is_of_to);
        if !has_to && unfit.is_empty() {
            composed.skipped.push((id, NO_READER));
        } else if missing.is_empty() {
            composed.complete.push(id);
        } else if has_to {
            groups.entry((readers, missing)).or_default().push(delivery);
        }
        if !unfit.is_empty() {
            composed.unfit.insert(id, unfit);
        }
    }
    Ok((groups, composed))
}
