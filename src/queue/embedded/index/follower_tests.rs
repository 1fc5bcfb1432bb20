//! The follower: what is made anew is what was made on the way, whatever happens in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::rig::{AT, Rig, dead, handler, new_event, retry, tried};
use super::store::{Direction, Store, Table, Write};
use super::{Index, LAYOUT, MemoryStore, Progress, SledStore};
use crate::clock::Clock;
use crate::event::Position;
use crate::queue::embedded::record::{DeliveryRecord, Lsn, NewState};
use crate::queue::embedded::step::Step;
use crate::queue::embedded::testing::{Call, Verdict};

type Content = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// All facts, without what tells how far they reach.
fn facts(store: &dyn Store) -> Content {
    let tables = Table::ALL.into_iter().filter(|table| *table != Table::Meta);
    let mut content = Content::new();
    for table in tables {
        let pairs = store.scan(table, &[], &[0xff; 40], Direction::Forward, usize::MAX).unwrap();
        content.extend(pairs.into_iter().map(|(key, value)| ((table, key), value)));
    }
    content
}

/// Something that happens to a queue.
#[derive(Clone, Debug)]
enum Action {
    Append {
        n: u64,
        body_bytes: usize,
        event_type: usize,
    },
    Settle {
        who: bool,
        changes: Vec<(u64, u8)>,
    },
    Roll,
    /// The follower makes so many steps.
    Follow(usize),
    /// The follower is dropped, or closed first; its store stays.
    Restart {
        is_closed: bool,
    },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (1..40_u64, 0..3_000_usize, 0..50_usize)
            .prop_map(|(n, body_bytes, event_type)| Action::Append { n, body_bytes, event_type }),
        3 => (any::<bool>(), prop::collection::vec((any::<u64>(), 0..7_u8), 1..20))
            .prop_map(|(who, changes)| Action::Settle { who, changes }),
        1 => Just(Action::Roll),
        4 => (1..6_usize).prop_map(Action::Follow),
        1 => any::<bool>().prop_map(|is_closed| Action::Restart { is_closed }),
    ]
}

fn change_of((seed, kind): (u64, u8), next: Position) -> DeliveryRecord {
    let position = 1 + seed % (next.0 - 1);
    let started = seed % 1_000;
    let range = |count: u64| count.min(next.0 - position);
    match kind {
        0 => tried(position, NewState::Delivered, 1, started, ""),
        1 => tried(position, NewState::Delivered, 2, started, ""),
        2 => tried(position, retry(), 1, started, "refused"),
        3 => tried(position, dead(started, "gone"), 3, started, "gone"),
        4 => DeliveryRecord::of(Position(position), range(1 + seed % 9), NewState::Skipped),
        5 => DeliveryRecord::of(Position(position), 1, NewState::Dropped),
        _ => DeliveryRecord::of(Position(position), range(1 + seed % 5_000), NewState::Dropped),
    }
}

fn play(rig: &mut Rig, actions: &[Action], store: &Arc<dyn Store>) {
    let mut index = Index::new(Arc::clone(store));
    let mut follower = rig.follower(&index);
    rig.subscribe("one");
    rig.subscribe("two");
    for action in actions {
        match action {
            Action::Append { n, body_bytes, event_type } => {
                let body = "x".repeat(*body_bytes);
                for _ in 0..*n {
                    let name = format!("type.{event_type}");
                    rig.append(&new_event("shop", &name, rig.clock.now(), &body));
                    rig.clock.advance(Duration::from_millis(7));
                }
            }
            // Nothing is settled before there is an event.
            Action::Settle { .. } if rig.next == Position(1) => {}
            Action::Settle { who, changes } => {
                let name = if *who { "one" } else { "two" };
                let next = rig.next;
                let changes = changes.iter().map(|change| change_of(*change, next)).collect();
                rig.settle(&[(name, changes)]);
            }
            Action::Roll => rig.roll(),
            Action::Follow(n_steps) => {
                for _ in 0..*n_steps {
                    rig.clock.advance(Duration::from_millis(300));
                    follower.step(rig.clock.steady());
                }
            }
            Action::Restart { is_closed } => {
                if *is_closed {
                    follower.close(rig.clock.steady());
                }
                index = Index::new(Arc::clone(store));
                follower = rig.follower(&index);
            }
        }
    }
    rig.run(&mut follower);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn index_made_anew_is_the_one_made_on_the_way(
        actions in prop::collection::vec(action(), 1..40),
    ) {
        let mut rig = Rig::new(64 << 10);
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        play(&mut rig, &actions, &store);
        let anew = Arc::new(MemoryStore::default());
        rig.indexed(Arc::<MemoryStore>::clone(&anew));
        prop_assert_eq!(facts(&*store), facts(&*anew));
    }
}

/// Some of everything in several segments.
fn busy_rig() -> Rig {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("one");
    for n in 0..300_u64 {
        let position = rig.append(&new_event("shop", "vote", AT, &"x".repeat(1_000)));
        let to = if n % 7 == 0 { dead(n, "gone") } else { NewState::Delivered };
        rig.settle(&[("one", vec![tried(position.0, to, 1, n, "no")])]);
    }
    assert!(rig.log.segments().len() > 4);
    rig
}

#[test]
fn index_in_sled_that_is_deleted_is_made_anew() {
    let mut rig = busy_rig();
    let folder = TempDir::new().unwrap();
    let sled = folder.path().join("sled");
    let expected = {
        let memory = Arc::new(MemoryStore::default());
        rig.indexed(Arc::<MemoryStore>::clone(&memory));
        facts(&*memory)
    };
    for round in 0..3 {
        let store: Arc<dyn Store> = Arc::new(SledStore::new(&sled));
        let index = Index::new(Arc::clone(&store));
        let mut follower = rig.follower(&index);
        follower.step(rig.clock.steady());
        // Only in the second round is there something to go on from.
        let head = rig.log.head();
        assert_eq!(index.progress().from <= head.first, round == 1);
        rig.run(&mut follower);
        assert!(index.progress().covers(head.first, head.next));
        assert_eq!(facts(&*store), expected);
        follower.close(rig.clock.steady());
        if round == 1 {
            std::fs::remove_dir_all(&sled).unwrap();
        }
    }
    // What is appended while it is closed is taken in when it is open again.
    let position = rig.append(&new_event("shop", "vote", AT, "{}"));
    rig.settle(&[("one", vec![tried(position.0, dead(9, "gone"), 1, 9, "no")])]);
    let index = rig.indexed(Arc::new(SledStore::new(&sled)));
    let incarnation = rig.states.incarnation(&handler("one"));
    assert!(index.dead(&handler("one"), incarnation, position).unwrap().is_some());
}

#[test]
fn rebuild_follows_the_head_first_and_fills_in_backwards() {
    let mut rig = busy_rig();
    let index = Index::new(Arc::new(MemoryStore::default()));
    let mut follower = rig.follower(&index);
    let mut lows = Vec::new();
    let mut n_steps = 0;
    while !index.progress().covers(rig.log.head().first, rig.log.head().next) {
        follower.step(rig.clock.steady());
        n_steps += 1;
        if n_steps == 3 {
            // Far from done, and what is new comes in at once.
            assert!(index.progress().from > rig.log.head().first);
            rig.append_many(1);
        }
        if n_steps > 4 {
            assert_eq!(index.progress().to, rig.log.head().next);
        }
        if lows.last() != Some(&index.progress().from) {
            lows.push(index.progress().from);
        }
    }
    lows.remove(0);
    assert!(lows.len() > 3 && lows.windows(2).all(|pair| pair[0] > pair[1]), "{lows:?}");
}

#[test]
fn layout_of_another_version_is_cleared_and_made_anew() {
    let rig = busy_rig();
    let store = Arc::new(MemoryStore::default());
    rig.indexed(Arc::<MemoryStore>::clone(&store));
    let mut follower = rig.follower(&Index::new(Arc::<MemoryStore>::clone(&store)));
    // Only what a follower has looked at has a progress to be believed.
    rig.run(&mut follower);
    follower.close(rig.clock.steady());
    assert!(store.get(Table::Meta, b"progress").unwrap().is_some());
    let expected = facts(&*store);
    let put = |key: &[u8], value: &[u8], table| {
        let write = Write::Put { table, key: key.to_vec(), value: value.to_vec() };
        store.apply(vec![write]).unwrap();
    };
    put(b"layout", &(LAYOUT + 1).to_le_bytes(), Table::Meta);
    put(b"a key of another layout", b"?", Table::Zones);
    rig.indexed(Arc::<MemoryStore>::clone(&store));
    assert_eq!(facts(&*store), expected);
}

#[test]
fn index_of_another_log_is_cleared() {
    let store = Arc::new(MemoryStore::default());
    let first = busy_rig();
    let index = Index::new(Arc::<MemoryStore>::clone(&store));
    let mut follower = first.follower(&index);
    first.run(&mut follower);
    follower.close(first.clock.steady());
    // A log that does not go so far: its end was lost, or an old copy was put in its place.
    let second = Rig::new(64 << 10);
    second.indexed(Arc::<MemoryStore>::clone(&store));
    assert!(facts(&*store).is_empty());
}

#[test]
fn store_that_fails_is_cleared_and_filled_anew() {
    let rig = busy_rig();
    let store = Arc::new(MemoryStore::default());
    let index = Index::new(Arc::<MemoryStore>::clone(&store));
    let mut follower = rig.follower(&index);
    rig.run(&mut follower);
    let expected = facts(&*store);
    let garbage = Write::Put {
        table: Table::Attempts,
        key: Position(5).0.to_be_bytes().to_vec(),
        value: vec![99],
    };
    store.apply(vec![garbage]).unwrap();
    assert!(index.attempts(Position(5)).is_err());
    let Step::At(until) = follower.step(rig.clock.steady()) else { panic!("it does not wait") };
    assert_eq!(index.progress(), Progress::default());
    assert!(index.attempts(Position(6)).is_err(), "nothing is asked of it meanwhile");
    rig.clock.advance(until.since(rig.clock.steady()));
    rig.run(&mut follower);
    assert_eq!(facts(&*store), expected);
    assert!(index.attempts(Position(5)).is_ok());
}

#[test]
fn follower_that_panicked_begins_anew() {
    let rig = busy_rig();
    let expected = {
        let store = Arc::new(MemoryStore::default());
        rig.indexed(Arc::<MemoryStore>::clone(&store));
        facts(&*store)
    };
    let store = Arc::new(MemoryStore::default());
    let index = Index::new(Arc::<MemoryStore>::clone(&store));
    let mut follower = rig.follower(&index);
    rig.storage.fail(|call, _, _, _| {
        assert_ne!(call, Call::Read, "the disk's fault");
        Verdict::Ok
    });
    let Step::At(until) = rig.run(&mut follower) else { panic!("it does not wait") };
    assert_eq!(index.progress(), Progress::default());
    rig.storage.clear_faults();
    rig.clock.advance(until.since(rig.clock.steady()));
    rig.run(&mut follower);
    assert_eq!(facts(&*store), expected);
}

#[test]
fn idle_follower_sleeps_and_reads_at_once_when_it_is_woken() {
    let mut rig = Rig::new(64 << 10);
    let index = Index::new(Arc::new(MemoryStore::default()));
    let mut follower = rig.follower(&index);
    for _ in 0..3 {
        rig.append_many(1);
        // Progress waits to be saved, which must not keep the next records waiting.
        rig.run(&mut follower);
        assert_eq!(index.progress().to, rig.log.head().next);
    }
    rig.clock.advance(Duration::from_secs(2));
    assert_eq!(rig.run(&mut follower), Step::Idle);
    rig.roll();
    assert!(matches!(rig.run(&mut follower), Step::At(_)));
    assert_eq!(index.progress().to, rig.log.head().next);
}

#[test]
fn facts_about_events_that_are_gone_are_swept() {
    let mut rig = busy_rig();
    let store = Arc::new(MemoryStore::default());
    let index = Index::new(Arc::<MemoryStore>::clone(&store));
    let mut follower = rig.follower(&index);
    rig.run(&mut follower);
    rig.trim();
    rig.trim();
    rig.clock.advance(Duration::from_mins(11));
    rig.run(&mut follower);
    let first = rig.log.head().first_position;
    let expected: Vec<u64> =
        (1..first.0).filter(|position| rig.kept.holds(Position(*position))).collect();
    assert!(!expected.is_empty() && expected.len() < 40, "{expected:?}");
    let left = |table| -> Vec<u64> {
        let all = store.scan(table, &[], &first.0.to_be_bytes(), Direction::Forward, 9_999);
        let keys = all.unwrap().into_iter().map(|(key, _)| key);
        keys.map(|key| u64::from_be_bytes(*key.first_chunk().unwrap())).collect()
    };
    assert!(left(Table::Zones).is_empty() && left(Table::Settled).is_empty());
    assert_eq!(left(Table::Dead), expected);
    assert_eq!(left(Table::Attempts), expected);
    // The kept log has them for an index that is made anew.
    let anew = Arc::new(MemoryStore::default());
    let index = rig.indexed(Arc::<MemoryStore>::clone(&anew));
    assert!(index.progress().has_kept);
    assert_eq!(facts(&*anew), facts(&*store));
}

#[test]
fn follower_that_lags_behind_a_trim_goes_on_at_the_oldest_segment() {
    let mut rig = busy_rig();
    let index = Index::new(Arc::new(MemoryStore::default()));
    let mut follower = rig.follower(&index);
    rig.run(&mut follower);
    for _ in 0..9 {
        rig.roll();
        rig.append_many(1);
    }
    let numbers = rig.log.segments().len();
    (0..numbers - 2).for_each(|_| rig.trim());
    assert!(index.progress().to < rig.log.head().first);
    rig.run(&mut follower);
    let head = rig.log.head();
    assert!(index.progress().covers(head.first, head.next));
    assert_ne!(head.first, Lsn::start_of(1));
}
