//! A delivery's past, as handlers ask for it: no derived file decides it.

use std::sync::Arc;

use super::answers::{indexed, unindexed};
use crate::event::Position;
use crate::queue::embedded::index::rig::{AT, Rig, dead, new_event, retry, tried};
use crate::queue::embedded::index::{Index, MemoryStore};
use crate::queue::embedded::read::{History, Reading};
use crate::queue::embedded::record::NewState;

fn past(rig: &Rig, reading: &Reading, position: u64, is_being_made: bool) -> Option<History> {
    reading.whole_history(Position(position), rig.log.head().next, is_being_made).unwrap()
}

/// Three events with tries in two segments; the first one is in the kept log in the end.
fn tried_rig() -> Rig {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("a");
    rig.append(&new_event("shop", "vote", AT, "{}"));
    rig.settle(&[("a", vec![tried(1, retry(), 1, 1, "busy")])]);
    rig.roll();
    rig.append_many(2);
    rig.settle(&[("a", vec![tried(2, NewState::Delivered, 1, 2, "")])]);
    rig.settle(&[("a", vec![tried(1, dead(9, "no"), 2, 8, "no")])]);
    rig
}

#[test]
fn past_is_read_off_the_log_where_the_index_has_nothing() {
    let mut rig = tried_rig();
    for round in 0..2 {
        for position in 1..=4 {
            let expected = past(&rig, &indexed(&rig), position, true).unwrap();
            let reading = unindexed(&rig);
            assert_eq!(past(&rig, &reading, position, false), Some(expected.clone()), "{position}");
            let is_gone = expected.deliveries.is_empty();
            assert_eq!(past(&rig, &reading, position, true).is_some(), is_gone, "{position}");
        }
        let n_tries: usize = past(&rig, &unindexed(&rig), 1, false)
            .unwrap()
            .deliveries
            .iter()
            .map(|delivery| delivery.attempts.len())
            .sum();
        assert_eq!(n_tries, 2);
        if round == 0 {
            rig.roll();
            rig.append_many(1);
            rig.trim();
            assert_eq!(rig.log.head().first_position, Position(2), "the first is in the kept log");
        }
    }
}

#[test]
fn what_an_index_that_lags_lacks_is_read_off_the_log() {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("a");
    rig.append_many(1);
    rig.settle(&[("a", vec![tried(1, retry(), 1, 1, "busy")])]);
    let index = Index::new(Arc::new(MemoryStore::default()));
    let mut follower = rig.follower(&index);
    rig.run(&mut follower);
    rig.settle(&[("a", vec![tried(1, NewState::Delivered, 2, 10, "")])]);
    rig.append_many(1);
    rig.settle(&[("a", vec![tried(2, retry(), 1, 11, "busy")])]);
    let reading = rig.reading(&index);
    for (position, n_tries) in [(1, 2), (2, 1)] {
        let told = past(&rig, &reading, position, true).unwrap();
        assert_eq!(told.deliveries[0].attempts.len(), n_tries, "{position}");
    }
}
