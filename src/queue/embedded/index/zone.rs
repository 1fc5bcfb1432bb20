//! What is in a run of events, so that lists need not read those that cannot hold what is asked.

use std::collections::BTreeSet;

use super::keys::{position_key, position_of};
use super::store::{Pair, StoreError, Table, Write};
use crate::clock::Timestamp;
use crate::event::{Event, EventId, EventType, Position, SourceName};
use crate::queue::codec::{Put, Take};
use crate::queue::embedded::record::Lsn;

/// How many events a zone has at most.
const EVENTS_MAX: u64 = 256;
/// How many bytes of the log it covers at most: so much is read to look at its events.
pub(crate) const ZONE_BYTES: u32 = 256 << 10;
/// How many different names it lists at most.
const NAMES_MAX: usize = 32;

/// What is in a run of events of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) first: Position,
    pub(crate) last: Position,
    /// How many events it was made of.
    n_events: u64,
    pub(crate) oldest: Timestamp,
    pub(crate) newest: Timestamp,
    /// The least and the greatest time in its events' ids, in ms. Both, because the ids of several
    /// nodes may interleave.
    id_millis: (u64, u64),
    /// `source:type` of its events; `None` = too many to list.
    pub(crate) names: Option<BTreeSet<String>>,
}

impl Zone {
    /// Whether it was made of every event between its first and its last. Of an event that could
    /// not be read it says nothing, so it must not be passed over for it.
    pub(crate) fn is_whole(&self) -> bool {
        self.last.0.checked_sub(self.first.0).and_then(|n| n.checked_add(1)) == Some(self.n_events)
    }

    /// Whether one of its events' ids can have this time.
    pub(crate) fn holds_id_millis(&self, millis: u64) -> bool {
        (self.id_millis.0..=self.id_millis.1).contains(&millis)
    }

    pub(super) fn write(&self) -> Write {
        let mut value = Vec::new();
        value.put_varint(self.last.0);
        value.put_varint(self.n_events);
        value.put_signed(self.oldest.as_millis());
        value.put_signed(self.newest.as_millis());
        value.put_varint(self.id_millis.0);
        value.put_varint(self.id_millis.1);
        for name in self.names.iter().flatten() {
            value.put_bytes(name.as_bytes());
        }
        Write::Put { table: Table::Zones, key: position_key(self.first), value }
    }

    pub(super) fn read((key, value): &Pair) -> Result<Self, StoreError> {
        let first = position_of(key)?;
        let read = || {
            let mut take = Take(value);
            let last = Position(take.varint()?);
            let n_events = take.varint()?;
            let oldest = Timestamp::from_millis(take.signed()?);
            let newest = Timestamp::from_millis(take.signed()?);
            let id_millis = (take.varint()?, take.varint()?);
            let mut names = BTreeSet::new();
            while !take.0.is_empty() {
                names.insert(take.text()?.to_owned());
            }
            let names = (!names.is_empty()).then_some(names);
            Some(Self { first, last, n_events, oldest, newest, id_millis, names })
        };
        let makes_sense =
            |zone: &Self| zone.first <= zone.last && (1..=EVENTS_MAX).contains(&zone.n_events);
        read().filter(makes_sense).ok_or(StoreError::Bad)
    }
}

/// Collects a zone. Where zones begin and end depends on the log alone, so that an index that is
/// made anew has the same ones.
#[derive(Debug, Default)]
pub(super) struct ZoneBuilder {
    zone: Option<(Lsn, Zone)>,
    /// What was added last: most events are like the one before.
    last_names: Option<(SourceName, EventType)>,
}

impl ZoneBuilder {
    /// Adds the event whose record is at `lsn`; gives the zone that it ends, which is the one
    /// before it where it begins a new one.
    pub(super) fn push(&mut self, event: &Event, lsn: Lsn) -> Option<Zone> {
        let ended = match &self.zone {
            Some((begin, zone)) if !fits(*begin, zone, lsn, event.position) => self.take(),
            Some(_) | None => None,
        };
        let millis = id_millis(event.id);
        let (_, zone) = self.zone.get_or_insert_with(|| {
            let zone = Zone {
                first: event.position,
                last: event.position,
                n_events: 0,
                oldest: event.received_at,
                newest: event.received_at,
                id_millis: (millis, millis),
                names: Some(BTreeSet::new()),
            };
            (lsn, zone)
        });
        zone.last = event.position;
        zone.n_events += 1;
        zone.oldest = zone.oldest.min(event.received_at);
        zone.newest = zone.newest.max(event.received_at);
        zone.id_millis = (zone.id_millis.0.min(millis), zone.id_millis.1.max(millis));
        let is_like_last = self
            .last_names
            .as_ref()
            .is_some_and(|(source, kind)| *source == event.source && *kind == event.event_type);
        if let Some(names) = zone.names.as_mut().filter(|_| !is_like_last) {
            names.insert(format!("{}:{}", event.source, event.event_type));
            if names.len() > NAMES_MAX {
                zone.names = None;
            }
            self.last_names = Some((event.source.clone(), event.event_type.clone()));
        }
        ended
    }

    /// Where the zone that is being collected begins: what is behind it is not in the index yet.
    pub(super) fn begin(&self) -> Option<Lsn> {
        self.zone.as_ref().map(|(begin, _)| *begin)
    }

    /// The zone so far, and a new one begins.
    pub(super) fn take(&mut self) -> Option<Zone> {
        self.last_names = None;
        self.zone.take().map(|(_, zone)| zone)
    }
}

fn fits(begin: Lsn, zone: &Zone, lsn: Lsn, position: Position) -> bool {
    lsn.segment() == begin.segment()
        && lsn.bytes_since(begin) < ZONE_BYTES
        && zone.n_events < EVENTS_MAX
        && position > zone.last
}

/// The time in an event's id, in ms since the epoch.
pub(crate) fn id_millis(id: EventId) -> u64 {
    id.0.as_u64_pair().0 >> 16
}
