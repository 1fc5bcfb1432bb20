//! What a session gives out, and in which order.

use std::time::Duration;

use super::*;
use crate::event::ErrorText;
use crate::queue::embedded::record::{Incarnation, Lsn};

const KEY: OrderKey = OrderKey([7; 16]);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn state(changes: &[(u64, NewState)]) -> HandlerState {
    let incarnation = Incarnation { subscribed: Lsn(1), since: Position(1) };
    let mut state = HandlerState::new(incarnation);
    for (position, to) in changes {
        state.apply(&DeliveryRecord::of(Position(*position), 1, to.clone()));
    }
    state
}

fn retry(due: i64, order_key: Option<OrderKey>) -> NewState {
    NewState::Retry { due: at(due), wait: Duration::from_millis(due.unsigned_abs()), order_key }
}

fn choose(session: &mut Session, state: &HandlerState, now: i64) -> Vec<u64> {
    session.choose(state, at(now), 100).iter().map(|chosen| chosen.position.0).collect()
}

#[test]
fn due_deliveries_come_before_open_ones() {
    let state = state(&[(3, NewState::Delivered), (2, retry(50, None)), (1, retry(40, None))]);
    let mut session = Session::begin(&state, at(0));
    assert_eq!(choose(&mut session, &state, 39), [0_u64; 0]);
    assert_eq!(choose(&mut session, &state, 50), [1, 2]);
    assert!(session.is_leased(Position(2)));
    assert_eq!(choose(&mut session, &state, 99), [0_u64; 0], "given out once");
}

#[test]
fn next_tries_begin_with_those_that_were_given_out() {
    let state = state(&[(2, retry(40, None)), (1, retry(50, None)), (3, retry(900, None))]);
    let mut session = Session::begin(&state, at(0));
    assert_eq!(choose(&mut session, &state, 50), [2, 1]);
    let due = [(Position(2), at(40)), (Position(1), at(50)), (Position(3), at(900))];
    assert_eq!(session.next_tries(&state, at(50), 9), due);
    assert_eq!(session.next_tries(&state, at(50), 1), due[..1]);
}

#[test]
fn jumped_over_position_is_given_out() {
    let state = state(&[(3, NewState::Delivered)]);
    let mut session = Session::begin(&state, at(0));
    assert_eq!(session.next_read(), Position(4));
    assert_eq!(choose(&mut session, &state, 0), [1, 2]);
}

#[test]
fn only_the_first_waiting_delivery_of_a_key_is_due() {
    let state = state(&[(2, retry(10, Some(KEY))), (1, retry(20, Some(KEY)))]);
    let mut session = Session::begin(&state, at(0));
    assert_eq!(choose(&mut session, &state, 15), [0_u64; 0], "the earlier one is first");
    assert_eq!(choose(&mut session, &state, 20), [1]);
    assert_eq!(choose(&mut session, &state, 99), [0_u64; 0], "the key is given out");
    session.settled(Position(1), &NewState::Delivered);
    assert_eq!(choose(&mut session, &state, 99), [2]);
}

#[test]
fn parked_delivery_goes_when_the_one_before_it_leaves_the_key() {
    let mut state = state(&[(1, retry(10, Some(KEY)))]);
    let mut session = Session::begin(&state, at(0));
    session.lease_from_log(Position(2)..Position(4));
    session.park(Position(2), KEY, Parked::New);
    session.park(Position(3), KEY, Parked::New);
    assert!(session.is_key_waiting(KEY, Position(9)));
    assert!(!session.release_key(KEY), "the head is a retry");
    assert_eq!(choose(&mut session, &state, 10), [1]);
    state.apply(&DeliveryRecord::of(Position(1), 1, NewState::Delivered));
    session.settled(Position(1), &NewState::Delivered);
    assert_eq!(choose(&mut session, &state, 10), [2]);
    assert!(!session.release_key(KEY), "one of the key is given out");
    session.settled(Position(2), &NewState::Delivered);
    assert_eq!(choose(&mut session, &state, 10), [3]);
    assert_eq!(session.n_parked(), 0);
}

#[test]
fn waiting_delivery_that_is_parked_waits_for_its_release() {
    let state = state(&[(1, retry(10, Some(KEY)))]);
    let mut session = Session::begin(&state, at(0));
    assert_eq!(choose(&mut session, &state, 10), [1]);
    session.park(Position(1), KEY, Parked::Retry);
    assert_eq!(session.n_parked(), 0, "the state counts it");
    assert_eq!(choose(&mut session, &state, 99), [0_u64; 0], "no hot loop");
    assert!(session.release_key(KEY));
    assert_eq!(choose(&mut session, &state, 99), [1]);
}

#[test]
fn given_back_delivery_is_given_out_again() {
    let state = state(&[(2, NewState::Delivered), (1, retry(10, None))]);
    let mut session = Session::begin(&state, at(0));
    session.lease_from_log(Position(3)..Position(4));
    assert_eq!(choose(&mut session, &state, 10), [1]);
    session.give_back(&state, Position(3));
    session.give_back(&state, Position(1));
    assert_eq!(choose(&mut session, &state, 10), [1, 3]);
}

#[test]
fn dropped_holder_releases_its_key() {
    let held =
        NewState::Dead { died_at: at(0), reason: ErrorText::default(), order_key: Some(KEY) };
    let mut state = state(&[(1, held)]);
    let mut session = Session::begin(&state, at(0));
    session.lease_from_log(Position(2)..Position(3));
    session.park(Position(2), KEY, Parked::New);
    assert_eq!(choose(&mut session, &state, 99), [0_u64; 0]);
    let dropped = DeliveryRecord::of(Position(1), 1, NewState::Dropped);
    session.changed(&dropped, Some(KEY));
    state.apply(&dropped);
    assert_eq!(choose(&mut session, &state, 99), [2]);
}

#[test]
fn due_time_that_a_clock_set_back_moved_away_counts_from_the_start() {
    let state = state(&[(1, retry(1_000_000, None))]);
    let waiting =
        NewState::Retry { due: at(1_000_000), wait: Duration::from_millis(30), order_key: None };
    let mut state = state;
    state.apply(&DeliveryRecord::of(Position(1), 1, waiting));
    let mut session = Session::begin(&state, at(100));
    assert_eq!(session.next_due(), Some(at(130)));
    assert_eq!(choose(&mut session, &state, 130), [1]);
}

#[test]
fn hastened_delivery_is_due_at_once_with_or_without_a_key() {
    for key in [None, Some(KEY)] {
        let state = state(&[(2, retry(200, None)), (1, retry(100, key))]);
        let mut session = Session::begin(&state, at(0));
        assert!(session.hasten(&state, at(5)));
        assert_eq!(choose(&mut session, &state, 5), [1], "the one that is due first");
        assert_eq!(choose(&mut session, &state, 199), [0_u64; 0], "only that one");
        session.give_back(&state, Position(1));
        assert_eq!(choose(&mut session, &state, 6), [1], "it was not tried");
        assert!(session.hasten(&state, at(150)));
        assert_eq!(choose(&mut session, &state, 150), [2]);
        assert!(!session.hasten(&state, at(150)), "nothing waits");
    }
}

#[test]
fn hastened_delivery_is_withdrawn_when_an_earlier_one_of_its_key_comes() {
    let mut state = state(&[(2, retry(100, Some(KEY))), (1, NewState::Delivered)]);
    let mut session = Session::begin(&state, at(0));
    assert!(session.hasten(&state, at(5)));
    // It was delivered, and is to be once more.
    let earlier = DeliveryRecord::of(Position(1), 1, retry(300, Some(KEY)));
    state.apply(&earlier);
    session.changed(&earlier, None);
    assert_eq!(choose(&mut session, &state, 299), [0_u64; 0]);
    assert_eq!(choose(&mut session, &state, 300), [1]);
}

#[test]
fn parked_delivery_of_the_log_was_never_tried_and_an_entry_may_have_been() {
    let mut state = state(&[]);
    let mut session = Session::begin(&state, at(0));
    session.lease_from_log(Position(1)..Position(4));
    session.park(Position(2), KEY, Parked::New);
    session.park(Position(3), KEY, Parked::Again);
    // What is settled behind them makes both entries of the state.
    for position in [Position(1), Position(9)] {
        state.apply(&DeliveryRecord::of(position, 1, NewState::Delivered));
    }
    session.settled(Position(1), &NewState::Delivered);
    let mut origins = Vec::new();
    for _ in 0..2 {
        session.release_key(KEY);
        let chosen = session.choose(&state, at(9), 1).pop().unwrap();
        origins.push((chosen.position.0, chosen.origin));
        session.settled(chosen.position, &NewState::Delivered);
    }
    assert_eq!(origins, [(2, Origin::Log), (3, Origin::Entry)]);
}
