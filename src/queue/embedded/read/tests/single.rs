//! Single events, and how far the index lags.

use std::sync::Arc;

use uuid::Uuid;

use super::answers::{indexed, unindexed};
use crate::event::{EventId, Position};
use crate::queue::embedded::index::MemoryStore;
use crate::queue::embedded::index::rig::{AT, Rig, new_event};

#[test]
fn event_is_found_by_its_id_and_by_no_other() {
    let mut rig = Rig::new(64 << 10);
    for n in 0..400 {
        rig.append(&new_event("shop", "t", AT, &"x".repeat(n * 3)));
    }
    for reading in [unindexed(&rig), indexed(&rig)] {
        for position in (1..=400).map(Position) {
            let found = reading.find(Rig::id_of(position)).unwrap().unwrap();
            assert_eq!(found.position, position);
        }
        for absent in [Uuid::nil(), Uuid::max(), Rig::id_of(Position(401)).0] {
            assert!(reading.find(EventId(absent)).unwrap().is_none());
        }
        assert_eq!(reading.event_at(Position(7)).unwrap().unwrap().position, Position(7));
        assert!(reading.event_at(Position(401)).unwrap().is_none());
    }
}

#[test]
fn event_whose_id_is_out_of_order_is_found_with_the_index() {
    let mut rig = Rig::new(64 << 10);
    rig.append_many(600);
    // Another node, the clock of which is behind.
    let early = EventId(Uuid::from_u128(Rig::id_of(Position(450)).0.as_u128() + 1));
    let position = rig.append_as(&new_event("shop", "t", AT, "{}"), early);
    rig.append_many(600);
    let found = indexed(&rig).find(early).unwrap();
    assert_eq!(found.unwrap().position, position);
}

#[test]
fn index_lag_is_told_in_bytes() {
    let mut rig = Rig::new(64 << 10);
    rig.append_many(10);
    let index = rig.indexed(Arc::new(MemoryStore::default()));
    let reading = rig.reading(&index);
    assert_eq!(reading.lag_bytes(), 0);
    let before = rig.log.head().next;
    rig.append_many(3);
    let behind = u64::from(rig.log.head().next.offset() - before.offset());
    assert_eq!(reading.lag_bytes(), behind);
    rig.roll();
    let in_new = u64::from(rig.log.head().next.offset());
    assert_eq!(reading.lag_bytes(), (64 << 10) - u64::from(before.offset()) + in_new);
}
