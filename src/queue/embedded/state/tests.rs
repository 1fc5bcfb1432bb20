//! Tests of a handler's state as a whole.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::event::{Attempt, ErrorText, HandlerName, OrderKey, Position};
use crate::queue::embedded::record::{
    DeliveryRecord, HandlerHead, Incarnation, Lsn, NewState, Section,
};

mod sections;

const SINCE: Position = Position(5);

fn incarnation(subscribed: u64) -> Incarnation {
    Incarnation { subscribed: Lsn(subscribed), since: SINCE }
}

fn state() -> HandlerState {
    HandlerState::new(incarnation(100))
}

fn change(first: u64, count: u64, to: NewState) -> DeliveryRecord {
    DeliveryRecord::of(Position(first), count, to)
}

fn retry(first: u64) -> DeliveryRecord {
    let due = Timestamp::from_millis(7_000);
    change(first, 1, NewState::Retry { due, wait: Duration::from_secs(5), order_key: None })
}

fn dead(first: u64, order_key: Option<OrderKey>) -> DeliveryRecord {
    let (died_at, reason) = (Timestamp::from_millis(8), ErrorText::new("no"));
    change(first, 1, NewState::Dead { died_at, reason, order_key })
}

fn applied(changes: &[DeliveryRecord]) -> HandlerState {
    let mut state = state();
    for change in changes {
        state.apply(change);
    }
    state
}

fn statuses(state: &HandlerState, positions: std::ops::Range<u64>) -> Vec<Status> {
    positions.map(|position| state.status(Position(position))).collect()
}

fn new_state() -> impl Strategy<Value = NewState> {
    let key = prop::option::of(0..3_u8).prop_map(|key| key.map(|key| OrderKey([key; 16])));
    let time = (0..10_000_i64).prop_map(Timestamp::from_millis);
    prop_oneof![
        4 => Just(NewState::Delivered),
        1 => Just(NewState::Skipped),
        1 => Just(NewState::Dropped),
        1 => Just(NewState::Open),
        1 => Just(NewState::Lost),
        3 => (time.clone(), 0..10_000_u64, key.clone()).prop_map(|(due, wait, order_key)| {
            NewState::Retry { due, wait: Duration::from_millis(wait), order_key }
        }),
        2 => (time, "[a-z]{0,3}", key).prop_map(|(died_at, reason, order_key)| {
            NewState::Dead { died_at, reason: ErrorText::new(reason), order_key }
        }),
    ]
}

fn is_range(to: &NewState) -> bool {
    !matches!(to, NewState::Retry { .. } | NewState::Dead { order_key: Some(_), .. })
}

/// Changes near each other, so that they meet.
fn near_change() -> impl Strategy<Value = DeliveryRecord> {
    let attempt = prop::option::of(Just(Attempt {
        started_at: Timestamp::from_millis(3),
        duration: Duration::from_micros(4),
        error: ErrorText::default(),
        status: Some(500),
        ..Attempt::default()
    }));
    let first_attempt = prop::option::of((0..99_i64).prop_map(Timestamp::from_millis));
    let place = prop_oneof![3 => (0..40_u64, Just(1)), 1 => (0..40_u64, 0..12_u64)];
    (place, new_state(), 0..9_u32, first_attempt, attempt).prop_map(
        |((first, count), to, attempts, first_attempt_at, attempt)| {
            let count = if is_range(&to) { count } else { 1 };
            DeliveryRecord { attempts, first_attempt_at, attempt, ..change(first, count, to) }
        },
    )
}

/// What the changes make of each position, said as simply as can be.
fn model(changes: &[DeliveryRecord]) -> (BTreeMap<u64, Status>, u64) {
    let mut high = SINCE.0;
    let mut model: BTreeMap<u64, Status> = BTreeMap::new();
    for change in changes {
        for position in change.first.0..change.first.0 + change.count {
            for jumped_over in high..position {
                model.insert(jumped_over, Status::Open);
            }
            high = high.max(position + 1);
            let status = match &change.to {
                NewState::Delivered | NewState::Skipped | NewState::Dropped => Status::Settled,
                NewState::Retry { .. } => Status::Waiting,
                NewState::Dead { order_key: None, .. } => Status::Dead,
                NewState::Dead { order_key: Some(_), .. } => Status::DeadHolding,
                NewState::Open => Status::Open,
                NewState::Lost => Status::Lost,
            };
            model.insert(position, status);
        }
    }
    (model, high)
}

proptest! {
    /// The last change of a position is what counts, and what was jumped over is open.
    #[test]
    fn apply_assigns_each_position(changes in prop::collection::vec(near_change(), 0..50)) {
        let state = applied(&changes);
        let (model, high) = model(&changes);
        prop_assert_eq!(state.check(), Ok(()));
        prop_assert_eq!(state.high(), Position(high));
        let mut alive = Vec::new();
        for position in 0..60_u64 {
            let expected = if position >= high {
                Status::Unread
            } else {
                model.get(&position).copied().unwrap_or(Status::Settled)
            };
            prop_assert_eq!(state.status(Position(position)), expected, "at {}", position);
            let is_alive = [Status::Open, Status::Waiting, Status::Dead, Status::DeadHolding];
            if is_alive.contains(&expected) {
                alive.push(Position(position));
            }
        }
        let first_open = (0..high).find(|at| model.get(at) == Some(&Status::Open));
        prop_assert_eq!(state.cursor(), Position(first_open.unwrap_or(high)));
        prop_assert_eq!(state.oldest_alive(), alive.first().copied());
        let counted = |status| model.values().filter(|it| **it == status).count() as u64;
        let holding = counted(Status::DeadHolding);
        let counts = Counts {
            open: counted(Status::Open),
            waiting: counted(Status::Waiting),
            dead: counted(Status::Dead) + holding,
            holding,
            lost: counted(Status::Lost),
        };
        prop_assert_eq!(state.counts(), counts);
        for (start, end) in [(0, 60), (7, 21), (30, 30), (12, 13)] {
            let range = Position(start)..Position(end);
            let expected: Vec<_> = alive.iter().copied().filter(|at| range.contains(at)).collect();
            prop_assert_eq!(state.is_alive_in(range.clone()), !expected.is_empty());
            prop_assert_eq!(state.alive_in(range), expected);
        }
    }

    /// Each change once more, at once or all of them in a row, changes nothing.
    #[test]
    fn apply_is_idempotent(changes in prop::collection::vec(near_change(), 0..40)) {
        let expected = applied(&changes);
        let mut twice = state();
        for change in &changes {
            twice.apply(change);
            twice.apply(change);
        }
        prop_assert_eq!(&twice, &expected);
        for change in &changes {
twice.apply(change);
}
        prop_assert_eq!(&twice, &expected);
    }

    /// Changes of two positions that are known already come to the same in either order.
    #[test]
    fn changes_of_different_positions_commute(
        before in prop::collection::vec(near_change(), 0..20),
        one in near_change(),
        other in near_change(),
    ) {
        let (one_range, other_range) = (one.positions(), other.positions());
        prop_assume!(one_range.end <= other_range.start || other_range.end <= one_range.start);
        let mut known = before;
        known.push(change(0, 60, NewState::Delivered));
        let (mut forth, mut back) = (applied(&known), applied(&known));
        forth.apply(&one);
        forth.apply(&other);
        back.apply(&other);
        back.apply(&one);
        prop_assert_eq!(forth, back);
    }

    /// Whatever a change says, it is applied in bounded time and memory and breaks nothing.
    #[test]
    fn apply_is_total(
        changes in prop::collection::vec((any::<u64>(), any::<u64>(), new_state()), 0..20),
    ) {
        let mut state = state();
        for (first, count, to) in changes {
            let count = if to.is_of_one() { 1 } else { count };
            let wild = DeliveryRecord { attempts: u32::MAX, ..change(first, count, to) };
            state.apply(&wild);
            state.apply(&wild);
            prop_assert_eq!(state.check(), Ok(()));
        }
        let mut walk = SnapshotWalk::new();
        while !walk.is_done() {
            state.chunk(&mut walk, state.high(), 3);
        }
    }

    /// The change that a position is spelt as makes it what it is, whatever it was before.
    #[test]
    fn change_of_a_position_makes_its_state(
        changes in prop::collection::vec(near_change(), 0..40),
        others in prop::collection::vec(near_change(), 0..40),
    ) {
        let expected = applied(&changes);
        let mut made = applied(&others);
        for position in (0..60).map(Position) {
            if let Some(change) = expected.change_of(position) {
                made.apply(&change);
            }
        }
        for position in (0..60).map(Position).filter(|at| *at < expected.high()) {
            prop_assert_eq!(made.status(position), expected.status(position));
            prop_assert_eq!(made.waiting().get(position), expected.waiting().get(position));
            prop_assert_eq!(made.holding().get(position), expected.holding().get(position));
        }
        prop_assert_eq!(expected.change_of(expected.high()), None);
    }

    /// A snapshot that is taken while changes go on, with the changes since the LSN that it was
    /// given applied on top, is the live state.
    #[test]
    fn snapshot_under_changes_with_replay_is_the_live_state(
        changes in prop::collection::vec(near_change(), 0..60),
        recorded in 0..60_usize,
        unrecorded in 0..10_usize,
        limit in 1..6_usize,
        pauses in prop::collection::vec(0..4_usize, 40),
    ) {
        // What was applied and not recorded when the LSN was noted is recorded behind it.
        let replay_from = recorded.min(changes.len());
        let mut n_applied = (replay_from + unrecorded).min(changes.len());
        let mut live = applied(&changes[..n_applied]);

        let high = live.high();
        let mut restored = HandlerState::restored(live.incarnation(), high);
        let mut walk = SnapshotWalk::new();
        let mut pauses = pauses.into_iter();
        while !walk.is_done() {
            let chunk = live.chunk(&mut walk, high, limit);
            prop_assert!(chunk.len() <= limit);
            for change in &chunk {
restored.apply(change);
}
            for _ in 0..pauses.next().unwrap_or(0).min(changes.len() - n_applied) {
                live.apply(&changes[n_applied]);
                n_applied += 1;
            }
        }
        prop_assert_eq!(restored.high(), high);
        for change in &changes[n_applied..] {
            live.apply(change);
        }
        for change in &changes[replay_from..] {
            restored.apply(change);
        }
        prop_assert_eq!(restored, live);
    }
}

#[test]
fn delivery_in_order_leaves_nothing_in_the_sets() {
    let mut state = state();
    for position in 5..2_000 {
        state.apply(&change(position, 1, NewState::Delivered));
    }
    assert_eq!(state.counts(), Counts::default());
    assert_eq!((state.cursor(), state.high()), (Position(2_000), Position(2_000)));
}

#[test]
fn positions_jumped_over_are_open() {
    let state = applied(&[change(8, 1, NewState::Delivered)]);
    let expected = [
        Status::Settled,
        Status::Open,
        Status::Open,
        Status::Open,
        Status::Settled,
        Status::Unread,
    ];
    assert_eq!(statuses(&state, 4..10), expected);
    assert_eq!((state.cursor(), state.high()), (SINCE, Position(9)));
}

#[test]
fn position_before_the_subscription_can_be_replayed() {
    let state = applied(&[change(2, 2, NewState::Open)]);
    assert_eq!(state.cursor(), Position(2));
    assert_eq!(state.high(), SINCE);
    assert_eq!(state.counts().open, 2);
}

#[test]
fn redriven_dead_letters_are_open_and_waiting_ones_keep_their_fields() {
    let key = OrderKey([9; 16]);
    let mut state = applied(&[dead(5, None), dead(6, Some(key)), retry(7)]);
    assert_eq!(state.counts(), Counts { waiting: 1, dead: 2, holding: 1, ..Counts::default() });
    assert_eq!(state.holding().get(Position(6)), Some(&key));
    state.apply(&change(5, 1, NewState::Open));
    assert_eq!(state.status(Position(5)), Status::Open);
    let due = Timestamp::from_millis(1);
    let again = NewState::Retry { due, wait: Duration::ZERO, order_key: Some(key) };
    let first_attempt_at = Some(Timestamp::from_millis(3));
    state.apply(&DeliveryRecord { attempts: 4, first_attempt_at, ..change(6, 1, again) });
    let waiting = state.waiting().get(Position(6)).copied().unwrap();
    assert_eq!((waiting.due(), waiting.wait()), (due, Duration::ZERO));
    assert_eq!((waiting.attempts(), waiting.first_attempt_at()), (4, first_attempt_at));
    assert_eq!(waiting.order_key(), Some(key));
    assert!(state.holding().is_empty());
}

#[test]
fn clock_set_back_does_not_stall_a_waiting_delivery() {
    let state = applied(&[retry(5)]);
    let waiting = state.waiting().get(Position(5)).unwrap();
    let at = Timestamp::from_millis;
    assert_eq!(waiting.due_from(at(6_500)), at(7_000));
    assert_eq!(waiting.due_from(at(1_000)), at(6_000));
}

#[test]
fn waiting_delivery_takes_56_bytes_with_its_position() {
    assert_eq!(size_of::<(Position, WaitingDelivery)>(), 56);
    let mut state = state();
    // In the order of a random permutation: the worst case of chunks.
    let n_waiting = 65_536_u64;
    for n in 0..n_waiting {
        state.apply(&retry(5 + (n * 40_503) % n_waiting));
    }
    let per_delivery = state.memory_bytes() as u64 / n_waiting;
    assert!(per_delivery < 96, "{per_delivery} bytes");
}
