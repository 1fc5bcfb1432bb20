//! Histories, dead letters and single events.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::clock::Clock;
use crate::event::{OrderKey, Position};
use crate::queue::embedded::index::rig::{
    AT, Rig, attempt, dead, handler, new_event, retry, tried,
};
use crate::queue::embedded::index::{Index, MemoryStore};
use crate::queue::embedded::read::{DeadPage, History, Reading};
use crate::queue::embedded::record::{DeliveryRecord, Lsn, NewState};
use crate::queue::embedded::testing::LyingStore;
use crate::queue::{
    AttemptRecord, DeadFilter, DeadLetter, DeliveryHistory, DeliveryState, LostDeliveries,
    PlannedWait,
};

pub(super) fn indexed(rig: &Rig) -> Reading {
    rig.reading(&rig.indexed(Arc::new(MemoryStore::default())))
}

pub(super) fn unindexed(rig: &Rig) -> Reading {
    rig.reading(&Index::new(Arc::new(MemoryStore::default())))
}

fn history(rig: &Rig, reading: &Reading, position: u64) -> History {
    reading.history(Position(position), rig.log.head().next, 9).unwrap()
}

fn dead_page(rig: &Rig, reading: &Reading, filter: &DeadFilter) -> DeadPage {
    reading.dead(filter, rig.log.head().next).unwrap()
}

fn one(history: &History, name: &str) -> DeliveryHistory {
    let mut found = history.deliveries.iter().filter(|one| one.handler == handler(name));
    let delivery = found.next().unwrap().clone();
    assert!(found.next().is_none());
    delivery
}

fn record(number: u32, started: u64, led_to: DeliveryState, error: &str) -> AttemptRecord {
    let attempt = attempt(started, error);
    AttemptRecord {
        number,
        started_at: attempt.started_at,
        duration: attempt.duration,
        led_to,
        error: attempt.error,
        status: attempt.status,
        output: attempt.output,
        progress: attempt.progress,
        // As `retry` has it.
        planned: (led_to == DeliveryState::Retry)
            .then_some(PlannedWait { wait: Duration::from_secs(1), is_held: false }),
    }
}

#[test]
fn history_tells_every_attempt_and_how_each_handler_stands() {
    let mut rig = Rig::new(64 << 10);
    for name in ["a", "b", "c", "d", "e"] {
        rig.subscribe(name);
    }
    rig.append_many(5);
    rig.subscribe_since("late", rig.next);
    rig.settle(&[("a", vec![tried(3, retry(), 1, 10, "refused")])]);
    rig.settle(&[
        ("a", vec![tried(3, dead(30, "gone"), 2, 20, "gone")]),
        (
            "b",
            vec![
                tried(2, NewState::Delivered, 1, 11, ""),
                tried(3, NewState::Delivered, 1, 12, ""),
            ],
        ),
        ("c", vec![DeliveryRecord::of(Position(1), 4, NewState::Skipped)]),
        ("d", vec![tried(3, retry(), 1, 13, "busy")]),
    ]);
    let reading = indexed(&rig);
    let told = history(&rig, &reading, 3);
    assert!(told.is_complete);
    let check = |name: &str, state, attempts: &[AttemptRecord]| {
        let expected = DeliveryHistory {
            handler: handler(name),
            state,
            attempts: attempts.into(),
            n_let_go: 0,
        };
        assert_eq!(one(&told, name), expected);
    };
    let first = record(1, 10, DeliveryState::Retry, "refused");
    check("a", DeliveryState::Dead, &[first, record(2, 20, DeliveryState::Dead, "gone")]);
    check("b", DeliveryState::Delivered, &[record(1, 12, DeliveryState::Delivered, "")]);
    check("c", DeliveryState::Skipped, &[]);
    check("d", DeliveryState::Retry, &[record(1, 13, DeliveryState::Retry, "busy")]);
    check("e", DeliveryState::Pending, &[]);
    // It began behind the event: it never had it to deliver.
    assert!(told.deliveries.iter().all(|one| one.handler != handler("late")));
    assert!(history(&rig, &reading, 6).deliveries.is_empty());
    assert!(history(&rig, &reading, 0).deliveries.is_empty());
}

#[test]
fn history_without_an_index_has_the_states_and_says_so() {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("a");
    rig.append_many(4);
    let outcomes = vec![
        tried(1, NewState::Delivered, 1, 10, ""),
        tried(2, retry(), 1, 10, "busy"),
        tried(3, dead(30, "gone"), 1, 20, "gone"),
    ];
    rig.settle(&[("a", outcomes)]);
    let reading = unindexed(&rig);
    let states = [
        DeliveryState::Delivered,
        DeliveryState::Retry,
        DeliveryState::Dead,
        DeliveryState::Pending,
    ];
    for (position, state) in (1..).zip(states) {
        let told = history(&rig, &reading, position);
        assert_eq!((one(&told, "a").state, told.is_complete), (state, false), "{position}");
    }
}

#[test]
fn history_of_an_index_that_lags_says_so() {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("a");
    rig.append_many(1);
    let index = Index::new(Arc::new(MemoryStore::default()));
    let mut follower = rig.follower(&index);
    rig.run(&mut follower);
    rig.settle(&[("a", vec![tried(1, NewState::Delivered, 1, 10, "")])]);
    let reading = rig.reading(&index);
    let told = history(&rig, &reading, 1);
    assert!(!told.is_complete && !told.is_indexed);
    rig.run(&mut follower);
    let told = history(&rig, &reading, 1);
    assert!(told.is_complete && told.is_indexed);
    assert_eq!(one(&told, "a").attempts.len(), 1);
}

#[test]
fn redriven_delivery_is_pending_and_its_later_attempts_come_behind() {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("a");
    rig.append_many(1);
    rig.settle(&[("a", vec![tried(1, dead(5, "no"), 3, 5, "no")])]);
    rig.settle(&[("a", vec![DeliveryRecord::of(Position(1), 1, NewState::Open)])]);
    assert_eq!(one(&history(&rig, &indexed(&rig), 1), "a").state, DeliveryState::Pending);
    // A clock that was set back does not change the order.
    rig.settle(&[("a", vec![tried(1, NewState::Delivered, 1, 2, "")])]);
    let told = one(&history(&rig, &indexed(&rig), 1), "a");
    let numbers: Vec<u32> = told.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!((told.state, numbers), (DeliveryState::Delivered, vec![3, 1]));
}

#[test]
fn dropped_held_and_lost_deliveries_have_their_states() {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("a");
    rig.append_many(4);
    let outcomes = vec![
        tried(1, dead(5, "no"), 1, 5, "no"),
        tried(2, retry(), 1, 5, "busy"),
        DeliveryRecord::of(Position(3), 1, NewState::Lost),
    ];
    rig.settle(&[("a", outcomes)]);
    rig.settle(&[("a", vec![DeliveryRecord::of(Position(1), 1, NewState::Dropped)])]);
    for position in [2, 4] {
        rig.states.held.lock().unwrap().insert((handler("a"), Position(position)));
    }
    let reading = indexed(&rig);
    let state = |position| one(&history(&rig, &reading, position), "a").state;
    assert_eq!(state(1), DeliveryState::Dead);
    let n_let_go = |position| one(&history(&rig, &reading, position), "a").n_let_go;
    assert_eq!((n_let_go(1), n_let_go(2)), (1, 0));
    assert_eq!((state(2), state(4)), (DeliveryState::Held, DeliveryState::Held));
    assert_eq!(state(3), DeliveryState::Dead);
    let page = dead_page(&rig, &reading, &DeadFilter::default());
    assert!(page.letters.is_empty());
    let lost = |filter| reading.lost(&filter);
    let its = LostDeliveries { handler: handler("a"), positions: Position(3)..Position(4) };
    assert_eq!(lost(DeadFilter::default()), vec![its.clone()]);
    assert_eq!(lost(DeadFilter { position: Some(Position(3)), ..DeadFilter::default() }), [its]);
    assert_eq!(lost(DeadFilter { position: Some(Position(4)), ..DeadFilter::default() }), []);
    let by_reason = DeadFilter { reason: Some(String::new()), ..DeadFilter::default() };
    assert_eq!(lost(by_reason), [], "a lost one has no reason");
}

#[test]
fn facts_of_a_forgotten_handler_say_nothing_of_its_successor() {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("a");
    rig.append_many(2);
    let outcomes =
        vec![tried(1, dead(5, "old"), 3, 5, "old"), tried(2, NewState::Delivered, 1, 6, "")];
    rig.settle(&[("a", outcomes)]);
    rig.subscribe("a");
    let reading = indexed(&rig);
    for position in [1, 2] {
        let told = one(&history(&rig, &reading, position), "a");
        assert_eq!((told.state, told.attempts.len()), (DeliveryState::Pending, 0));
    }
    rig.settle(&[("a", vec![tried(1, dead(9, "new"), 1, 9, "new")])]);
    let page = dead_page(&rig, &indexed(&rig), &DeadFilter::default());
    assert_eq!((page.letters[0].reason.as_str(), page.letters[0].attempts), ("new", 1));
    // Redriven and dead again: the tries before count.
    rig.settle(&[("a", vec![DeliveryRecord::of(Position(1), 1, NewState::Open)])]);
    rig.settle(&[("a", vec![tried(1, dead(20, "again"), 1, 19, "again")])]);
    let page = dead_page(&rig, &indexed(&rig), &DeadFilter::default());
    assert_eq!((page.letters[0].reason.as_str(), page.letters[0].attempts), ("again", 2));
}

#[test]
fn dead_letter_says_what_it_was_and_why_also_when_its_segment_is_gone() {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("a");
    let event = new_event("shop", "vote", AT, "{}");
    rig.append(&event);
    rig.settle(&[("a", vec![tried(1, retry(), 1, 1, "busy")])]);
    rig.settle(&[("a", vec![tried(1, dead(9, "401 from it"), 2, 8, "no")])]);
    let expected = DeadLetter {
        handler: handler("a"),
        id: Rig::id_of(Position(1)),
        position: Position(1),
        source: event.source,
        event_type: event.event_type,
        received_at: AT,
        attempts: 2,
        died_at: AT.after(Duration::from_secs(9)),
        reason: crate::event::ErrorText::new("401 from it"),
    };
    for round in 0..2 {
        let reading = indexed(&rig);
        let page = dead_page(&rig, &reading, &DeadFilter::default());
        assert_eq!(page.letters, std::slice::from_ref(&expected));
        assert!(page.is_complete);
        let told = history(&rig, &reading, 1);
        assert_eq!((one(&told, "a").attempts.len(), told.is_complete), (2, true));
        assert_eq!(reading.find(expected.id).unwrap().unwrap().position, Position(1));
        if round == 0 {
            rig.roll();
            rig.append_many(1);
            rig.trim();
            assert_eq!(rig.log.head().first_position, Position(2));
        }
    }
}

#[test]
fn dead_letters_are_found_by_each_filter() {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("h");
    rig.subscribe("other");
    rig.append_many(3);
    for (n, reason) in [(1, "no a here"), (2, "no b here"), (3, "no c here")] {
        rig.settle(&[("h", vec![tried(n, dead(n * 10, reason), 1, n, reason)])]);
    }
    rig.settle(&[("other", vec![tried(1, dead(40, "no a here"), 1, 40, "no")])]);
    let reading = indexed(&rig);
    let all = DeadFilter::default;
    let check = |filter: DeadFilter, expected: &[(&str, u64)]| {
        let page = dead_page(&rig, &reading, &filter);
        let letters = page.letters.iter();
        let found: Vec<(&str, u64)> =
            letters.map(|letter| (letter.handler.as_str(), letter.position.0)).collect();
        assert_eq!(found, expected, "{filter:?}");
        assert!(page.is_complete);
    };
    let at = |secs| Some(AT.after(Duration::from_secs(secs)));
    let (one, two, three, other) = (("h", 1), ("h", 2), ("h", 3), ("other", 1));
    check(all(), &[one, two, three, other]);
    check(DeadFilter { handler: Some(handler("h")), ..all() }, &[one, two, three]);
    check(DeadFilter { handler: Some(handler("nobody")), ..all() }, &[]);
    check(DeadFilter { position: Some(Position(1)), ..all() }, &[one, other]);
    check(DeadFilter { position: Some(Position(4)), ..all() }, &[]);
    check(DeadFilter { reason: Some("b here".to_owned()), ..all() }, &[two]);
    check(DeadFilter { since: at(20), ..all() }, &[two, three, other]);
    check(DeadFilter { until: at(20), ..all() }, &[one]);
    check(DeadFilter { limit: Some(2), ..all() }, &[one, two]);
    check(DeadFilter { limit: Some(0), ..all() }, &[]);
}

#[test]
fn dead_letters_without_an_index_are_all_there_without_their_reasons() {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("h");
    rig.append_many(2_500);
    let all: Vec<DeliveryRecord> =
        (1..=2_500).map(|n| tried(n, dead(9, "no"), 3, n, "no")).collect();
    for changes in all.chunks(200) {
        rig.settle(&[("h", changes.to_vec())]);
    }
    let reading = unindexed(&rig);
    let page = dead_page(&rig, &reading, &DeadFilter::default());
    assert_eq!(page.letters.len(), 2_500);
    assert!(page.letters.is_sorted_by_key(|letter| letter.position));
    assert!(!page.is_complete && page.letters[0].reason.as_str().starts_with("not known yet"));
    let by_reason = DeadFilter { reason: Some("no".to_owned()), ..DeadFilter::default() };
    let page = dead_page(&rig, &reading, &by_reason);
    assert!(page.letters.is_empty() && !page.is_complete);
    let matches = reading.find_dead(&DeadFilter::default(), Lsn(0));
    assert_eq!(matches.matches.len(), 2_500);
    let page = dead_page(&rig, &indexed(&rig), &by_reason);
    assert_eq!((page.letters.len(), page.is_complete), (2_500, true));
}

#[test]
fn dead_letter_that_holds_its_key_says_which() {
    let mut rig = Rig::new(64 << 10);
    rig.subscribe("h");
    rig.append_many(1);
    let key = OrderKey([1; 16]);
    let reason = crate::event::ErrorText::new("no");
    let to = NewState::Dead { died_at: AT, reason, order_key: Some(key) };
    rig.settle(&[("h", vec![tried(1, to, 1, 1, "no")])]);
    let found = indexed(&rig).find_dead(&DeadFilter::default(), Lsn(0));
    assert_eq!(found.matches[0].order_key, Some(key));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn answers_of_a_lying_index_have_the_right_members_and_states(
        outcomes in prop::collection::vec((1..60_u64, 0..4_u8), 1..60),
        seed in any::<u64>(),
    ) {
        let mut rig = Rig::new(64 << 10);
        rig.subscribe("h");
        rig.append_many(60);
        for (position, kind) in outcomes {
            let to = match kind {
                0 => NewState::Delivered,
                1 => NewState::Skipped,
                2 => retry(),
                _ => dead(position, "no"),
            };
            rig.settle(&[("h", vec![tried(position, to, u32::from(kind), position, "no")])]);
        }
        let index = Index::new(Arc::new(LyingStore::new(seed)));
        let mut follower = rig.follower(&index);
        let honest = indexed(&rig);
        for _ in 0..10 {
            rig.clock.advance(Duration::from_secs(2));
            for _ in 0..5 {
                follower.step(rig.clock.steady());
            }
            let reading = rig.reading(&index);
            for position in 1..=60 {
                let (told, right) = (history(&rig, &reading, position), history(&rig, &honest, position));
                let state = one(&told, "h").state;
                let settled = [DeliveryState::Delivered, DeliveryState::Skipped, DeliveryState::Dead];
                match one(&right, "h").state {
                    // How a settled one ended is only told by the index.
                    DeliveryState::Delivered | DeliveryState::Skipped => {
                        prop_assert!(settled.contains(&state));
                    }
                    right => prop_assert_eq!(state, right),
                }
                let found = reading.find(Rig::id_of(Position(position))).unwrap();
                prop_assert_eq!(found.unwrap().position, Position(position));
            }
            let sorted = |page: DeadPage| {
                let mut positions: Vec<_> = page.letters.iter().map(|l| l.position).collect();
                positions.sort_unstable();
                positions
            };
            prop_assert_eq!(
                sorted(dead_page(&rig, &reading, &DeadFilter::default())),
                sorted(dead_page(&rig, &honest, &DeadFilter::default()))
            );
        }
        // No lie of the index is taken for damage of the log.
        prop_assert!(rig.log.damage().is_empty());
    }
}
