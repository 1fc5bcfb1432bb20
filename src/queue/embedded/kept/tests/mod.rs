//! The kept log on a file system in memory, with segments of 2 KiB.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::super::record::{HEADER_BYTES, NewState, UnitBuilder};
use super::super::testing::{Call, CrashOptions, MemoryStorage, Verdict};
use super::*;
use crate::clock::Timestamp;
use crate::event::{ErrorText, EventId, NewEvent, SourceName};

mod crash;
mod damage;
mod model;
mod order;

pub(super) const OPTIONS: KeptOptions = KeptOptions { segment_bytes: 2_048, compact_above: 4_096 };

pub(super) fn folder() -> &'static Path {
    Path::new("/queue/kept")
}

pub(super) fn storage() -> MemoryStorage {
    let storage = MemoryStorage::new();
    storage.create_folder(Path::new("/queue")).unwrap();
    storage
}

pub(super) fn open(storage: &MemoryStorage, end: KeptEnd) -> KeptLog {
    let end = (end, EndTrust::Sure);
    KeptLog::open(Arc::new(storage.clone()), folder(), end, OPTIONS).unwrap()
}

pub(super) fn open_in_doubt(storage: &MemoryStorage, end: KeptEnd) -> KeptLog {
    let end = (end, EndTrust::InDoubt);
    KeptLog::open(Arc::new(storage.clone()), folder(), end, OPTIONS).unwrap()
}

/// An event's payload, with a body that tells its position.
pub(super) fn event(position: u64) -> (Position, Bytes) {
    let source = SourceName::parse("s").unwrap();
    let new = NewEvent::new(source, "t", Timestamp::from_millis(1), body(position));
    let mut unit = UnitBuilder::new(SegmentId { number: 1, salt: 0 }, 0, Vec::new());
    unit.push_event(&new, EventId(Uuid::from_u128(position.into())), Position(position));
    (Position(position), Bytes::from(unit.into_bytes()).slice(HEADER_BYTES..))
}

pub(super) fn body(position: u64) -> Vec<u8> {
    format!("body of {position}, ").repeat(5).into_bytes()
}

pub(super) fn handler(number: u8) -> HandlerName {
    HandlerName::parse(&format!("h{number}")).unwrap()
}

/// Every handler has been given every event.
pub(super) const ALL_READ: Position = Position(u64::MAX);

pub(super) const INCARNATION: Incarnation = Incarnation { subscribed: Lsn(7), since: Position(1) };

pub(super) fn told(number: u8, changes: Vec<(u64, DeliveryRecord)>) -> KeptChanges {
    let changes = changes.into_iter().map(|(lsn, change)| (Lsn(lsn), change)).collect();
    KeptChanges { handler: handler(number), incarnation: INCARNATION, changes }
}

pub(super) fn change(position: u64, to: NewState) -> DeliveryRecord {
    DeliveryRecord::of(Position(position), 1, to)
}

pub(super) fn retry(seconds: i64) -> NewState {
    let due = Timestamp::from_millis(seconds * 1_000);
    NewState::Retry { due, wait: Duration::from_secs(1), order_key: None }
}

pub(super) fn dead(text: &str) -> NewState {
    let died_at = Timestamp::from_millis(9);
    NewState::Dead { died_at, reason: ErrorText::new(text), order_key: None }
}

/// Nothing is alive but what the segment says.
pub(super) fn no_states(_: &[Position]) -> Vec<KeptChanges> {
    Vec::new()
}

/// Keeps events with an `Open` change of handler 1 each, LSN = position.
pub(super) fn keep(kept: &KeptLog, positions: impl IntoIterator<Item = u64>) -> KeptEnd {
    let positions: Vec<u64> = positions.into_iter().collect();
    let events: Vec<_> = positions.iter().map(|at| event(*at)).collect();
    let changes = positions.iter().map(|at| (*at, change(*at, NewState::Open))).collect();
    let end = kept.append(u64::from(kept.end().number) + 90, &events, &[told(1, changes)]).unwrap();
    kept.record(end);
    end
}

/// What can be read: the bodies' positions, and every change that counts.
#[derive(Debug, PartialEq)]
pub(super) struct View {
    pub(super) events: Vec<u64>,
    pub(super) changes: BTreeMap<(HandlerName, Position), (Lsn, DeliveryRecord)>,
}

/// Checks each event's body on the way.
pub(super) fn view(kept: &KeptLog, positions: u64) -> View {
    let is_found = |position: &u64| {
        let Some((found, _)) = kept.find(Position(*position)).unwrap() else { return false };
        assert!(kept.holds(Position(*position)) && kept.mentions(Position(*position)));
        assert_eq!((found.position, found.body.to_vec()), (Position(*position), body(*position)));
        true
    };
    let events = (1..=positions).filter(is_found).collect();
    let changes = kept
        .changes()
        .unwrap()
        .into_iter()
        .map(|(handler, _, lsn, change)| ((handler, change.first), (lsn, change)));
    View { events, changes: changes.collect() }
}
