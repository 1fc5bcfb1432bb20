//! Snapshots as bytes.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::event::OrderKey;
use crate::queue::embedded::record::NewState;
use crate::queue::embedded::state::SnapshotWalk;

fn header() -> SnapshotHeader {
    let segment = |number: u32| SnapshotSegment {
        number,
        salt: u64::from(number) << 60 | 5,
        first: Position(u64::from(number) * 100),
        began_at: Timestamp::from_millis(-3),
    };
    SnapshotHeader {
        replay_from: Lsn::new(7, 4_096),
        at: Timestamp::from_millis(1_700_000_000_000),
        next_position: Position(900),
        newest_id: Some(EventId(Uuid::from_u128(77))),
        opening: 4,
        kept: KeptEnd { number: 2, offset: 9 },
        keys_from: Lsn::new(6, 0),
        segments: vec![segment(3), segment(7)],
    }
}

fn state() -> HandlerState {
    let incarnation = Incarnation { subscribed: Lsn::new(3, 20), since: Position(10) };
    let mut state = HandlerState::new(incarnation);
    let at = header().at;
    let key = |n: u64| n.is_multiple_of(2).then_some(OrderKey([7; 16]));
    for n in 10..200 {
        let to = match n % 5 {
            0 => NewState::Delivered,
            1 => NewState::Lost,
            2 => NewState::Open,
            3 => NewState::Retry { due: at, wait: Duration::from_secs(n), order_key: key(n) },
            _ => NewState::Dead {
                died_at: at,
                reason: crate::event::ErrorText::default(),
                order_key: key(n),
            },
        };
        let first_attempt_at = n.is_multiple_of(3).then_some(at);
        let attempts = u32::from(n % 5 == 3);
        let change = DeliveryRecord::of(Position(n), 1, to);
        state.apply(&DeliveryRecord { attempts, first_attempt_at, ..change });
    }
    state
}

fn names() -> [HandlerName; 2] {
    ["mail", "web"].map(|name| HandlerName::parse(name).unwrap())
}

fn snapshot() -> Snapshot {
    let [mail, web] = names();
    let incarnation = Incarnation { subscribed: Lsn(1), since: Position(1) };
    let handlers = [(mail, state()), (web, HandlerState::new(incarnation))];
    Snapshot { header: header(), handlers: handlers.into_iter().collect() }
}

fn bytes_of(snapshot: &Snapshot) -> Vec<u8> {
    let mut writer = SnapshotWriter::new(&snapshot.header);
    let mut bytes = Vec::new();
    for (handler, state) in &snapshot.handlers {
        writer.begin_handler(handler, state.incarnation(), state.high());
        let mut walk = SnapshotWalk::new();
        while !walk.is_done() {
            writer.changes(&state.chunk(&mut walk, state.high(), 50));
            bytes.append(&mut writer.take_bytes());
        }
    }
    bytes.append(&mut writer.finish());
    bytes
}

#[test]
fn snapshot_comes_back() {
    assert_eq!(Snapshot::decode(&bytes_of(&snapshot())), Some(snapshot()));
    let newest_id = None;
    let empty = SnapshotHeader { newest_id, segments: Vec::new(), ..header() };
    let empty = Snapshot { header: empty, handlers: BTreeMap::new() };
    assert_eq!(Snapshot::decode(&bytes_of(&empty)), Some(empty));
}

#[test]
fn snapshot_with_any_bit_flipped_or_any_end_is_none() {
    let bytes = bytes_of(&snapshot());
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert_eq!(Snapshot::decode(&flipped), None, "a bit of byte {at}");
        assert_eq!(Snapshot::decode(&bytes[..at]), None, "cut at {at}");
    }
    assert_eq!(Snapshot::decode(&[&bytes[..], b"x"].concat()), None);
}

#[test]
fn snapshot_whose_handlers_make_no_sense_is_none() {
    let [mail, _] = names();
    let incarnation = Incarnation { subscribed: Lsn(1), since: Position(1) };
    let begun = || {
        let mut writer = SnapshotWriter::new(&header());
        writer.begin_handler(&mail, incarnation, Position(5));
        writer
    };
    let open = |first| DeliveryRecord::of(Position(first), 1, NewState::Open);
    let mut sound = begun();
    sound.changes(&[open(4)]);
    assert!(Snapshot::decode(&sound.finish()).is_some());
    let mut too_high = begun();
    too_high.changes(&[open(5)]);
    assert_eq!(Snapshot::decode(&too_high.finish()), None);
    let mut twice = begun();
    twice.begin_handler(&mail, incarnation, Position(5));
    assert_eq!(Snapshot::decode(&twice.finish()), None);
    let mut of_no_handler = SnapshotWriter::new(&header());
    of_no_handler.changes(&[open(4)]);
    assert_eq!(Snapshot::decode(&of_no_handler.finish()), None);
}

proptest! {
    /// Sections that are whole but hold anything: no panic, no unbounded memory.
    #[test]
    fn decode_is_total(
        sections in prop::collection::vec(
            (0..6_u8, prop::collection::vec(any::<u8>(), 0..40)), 0..6
        ),
        tail in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut writer = SnapshotWriter::new(&header());
        for (kind, payload) in sections {
            writer.push(kind, |out| out.extend_from_slice(&payload));
        }
        let mut bytes = writer.finish();
        if let Some(snapshot) = Snapshot::decode(&bytes) {
            for state in snapshot.handlers.values() {
                prop_assert_eq!(state.check(), Ok(()));
            }
        }
        bytes.push(0);
        prop_assert_eq!(Snapshot::decode(&bytes), None);
        prop_assert_eq!(Snapshot::decode(&tail), None);
    }
}
