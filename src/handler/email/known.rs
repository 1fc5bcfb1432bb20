//! What is remembered of single events: whose mail is out, and who of its readers has it. The
//! latter is kept with the attempt as well ([`Progress`]), so that a restart forgets none.

use std::collections::{BTreeMap, BTreeSet};

use lettre::Address;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::composed::Unfit;
use super::dialog::Refused;
use super::readers::{NoAddress, named, not_reached};
use crate::event::{Delivery, EventId, Failure, FailureClass, FailureKind, Origin, Progress};

/// How many events of each sort are remembered: those that the owner drops are never asked for
/// again.
pub(super) const KNOWN_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Known {
    /// Sent by a call that has not ended, or was dropped before it could say so.
    pub(super) sent: BTreeSet<EventId>,
    /// Put off because the hour was full.
    pub(super) waiting: BTreeSet<EventId>,
    /// Sent to some of its readers only.
    partly: BTreeMap<EventId, Partly>,
}

/// An event whose mail not all readers have.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Partly {
    has: BTreeSet<ReaderHash>,
    /// For good.
    refused: Vec<Refused>,
}

/// The first 8 bytes of the SHA-256 of an address: of 10,000 readers two have the same one by a
/// chance of 1 in 10^11.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
struct ReaderHash(u64);

impl ReaderHash {
    fn of(reader: &Address) -> Self {
        let digest = Sha256::digest(AsRef::<str>::as_ref(reader));
        let bytes = digest.first_chunk().copied().unwrap_or_default();
        Self(u64::from_be_bytes(bytes))
    }
}

impl Known {
    /// A new delivery of an event, a redriven one for instance, asks for all who do not have it; a replay
    /// for all.
    pub(super) fn begin(&mut self, delivery: &Delivery) {
        let id = delivery.event.id;
        if delivery.origin == Origin::Entry && delivery.attempt <= 1 && delivery.progress.is_none()
        {
            // A replay: it goes to all of them once more.
            self.partly.remove(&id);
        }
        if let Some(progress) = &delivery.progress
            && !self.partly.contains_key(&id)
            && let Ok(partly) = serde_json::from_slice(&progress.0)
        {
            self.partly.insert(id, partly);
        }
        if delivery.attempt <= 1
            && let Some(partly) = self.partly.get_mut(&delivery.event.id)
        {
            partly.refused.clear();
        }
    }

    /// Whom of its readers an event's mail goes to; none = all of them have it. Those who were
    /// refused for good are not asked again, unless no others are left: then only `retry_on` can
    /// have brought the delivery back, or a call that was ended before it could say so.
    pub(super) fn to_ask(&self, event: EventId, mut readers: Vec<Address>) -> Vec<Address> {
        let Some(partly) = self.partly.get(&event) else { return readers };
        readers.retain(|reader| !partly.has.contains(&ReaderHash::of(reader)));
        let is_refused =
            |reader: &&Address| partly.refused.iter().any(|one| one.address == **reader);
        let others: Vec<Address> = readers.iter().filter(|one| !is_refused(one)).cloned().collect();
        if others.is_empty() { readers } else { others }
    }

    /// A mail of these events went to `readers`, but for those who were `refused`. Gives the events
    /// that are not done with that, each with its failure.
    pub(super) fn note_mail(
        &mut self,
        events: &[EventId],
        readers: &[Address],
        refused: &[Refused],
        unfit: &Unfit,
    ) -> Vec<(EventId, Failure)> {
        let mut failed = Vec::new();
        for event in events {
            let unfit = unfit.get(event).map(Vec::as_slice).unwrap_or_default();
            let partly = self.partly.entry(*event).or_default();
            let is_refused = |reader: &&Address| refused.iter().any(|one| one.address == **reader);
            let accepted = readers.iter().filter(|reader| !is_refused(reader));
            partly.has.extend(accepted.map(ReaderHash::of));
            // Of those who were asked, the newest answer counts.
            partly.refused.retain(|one| !readers.contains(&one.address));
            let for_good = refused.iter().filter(|one| one.kind == FailureKind::Permanent);
            partly.refused.extend(for_good.cloned());
            let for_now: Vec<&Refused> =
                refused.iter().filter(|one| one.kind != FailureKind::Permanent).collect();
            if for_now.is_empty() && partly.refused.is_empty() && unfit.is_empty() {
                self.partly.remove(event);
                self.note_sent(std::slice::from_ref(event));
            } else {
                let failure = partly.failure(&for_now, unfit).with_progress(partly.progress());
                failed.push((*event, failure));
                self.waiting.remove(event);
            }
        }
        while self.partly.len() > KNOWN_MAX {
            self.partly.pop_first();
        }
        failed
    }

    /// An event of which there is no mail to send, though not all of its readers have one: it may
    /// give what is no address.
    pub(super) fn note_unfit(&mut self, event: EventId, unfit: &[NoAddress]) -> Failure {
        self.waiting.remove(&event);
        let partly = self.partly.entry(event).or_default();
        partly.failure(&[], unfit).with_progress(partly.progress())
    }

    /// Nothing is left to be done for these events.
    pub(super) fn note_sent(&mut self, events: &[EventId]) {
        self.sent.extend(events);
        for id in events {
            self.waiting.remove(id);
        }
        forget_the_oldest(&mut self.sent);
    }

    pub(super) fn note_waiting(&mut self, events: &[EventId]) {
        self.waiting.extend(events);
        forget_the_oldest(&mut self.waiting);
    }
}

impl Partly {
    fn progress(&self) -> Option<Progress> {
        // Plain values: there is nothing in them that JSON could not say.
        serde_json::to_vec(self).ok().map(|json| Progress(json.into()))
    }

    /// Another try helps those who were refused for now only.
    fn failure(&self, for_now: &[&Refused], unfit: &[NoAddress]) -> Failure {
        let all = || for_now.iter().copied().chain(&self.refused);
        let refused = named("the mail server refused", all());
        let unfit = not_reached(&unfit.iter().collect::<Vec<_>>());
        let others = if self.has.is_empty() { None } else { Some("the others have the mail") };
        let said = [refused, unfit, others.map(str::to_owned)];
        let text = said.into_iter().flatten().collect::<Vec<_>>().join("; ");
        let failure =
            if for_now.is_empty() { Failure::permanent(text) } else { Failure::transient(text) };
        // A full mailbox says nothing of whether the server is there.
        let failure =
            if self.has.is_empty() { failure } else { failure.with_class(FailureClass::Partly) };
        match all().find_map(|refused| refused.status) {
            Some(status) => failure.with_status(status),
            None => failure,
        }
    }
}

fn forget_the_oldest(events: &mut BTreeSet<EventId>) {
    while events.len() > KNOWN_MAX {
        events.pop_first();
    }
}
