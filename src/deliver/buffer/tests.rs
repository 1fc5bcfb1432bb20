use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::event::{
    DataRoot, Dedupe, Event, EventId, EventType, Headers, NewEvent, Origin, Position, SourceName,
};

const A: Option<OrderKey> = Some(OrderKey([1; 16]));
const B: Option<OrderKey> = Some(OrderKey([2; 16]));

fn job(position: u64, key: Option<OrderKey>) -> Job {
    sized(position, key, 1, 0)
}

fn sized(position: u64, key: Option<OrderKey>, attempt: u32, n_bytes: usize) -> Job {
    let new = NewEvent {
        source: SourceName::parse("s").unwrap(),
        event_type: EventType::unknown(),
        received_at: Timestamp::from_millis(0),
        data_root: DataRoot::Payload,
        headers: Headers::default(),
        body: Bytes::from(vec![b'x'; n_bytes]),
        dedupe: Dedupe::Off,
    };
    let event = Arc::new(Event::new(new, EventId(Uuid::nil()), Position(position)));
    let delivery = Delivery { event, attempt, first_attempt_at: None, origin: Origin::Log };
    Job { delivery, key, send_by: Timestamp::from_millis(0) }
}

fn filled(jobs: impl IntoIterator<Item = Job>) -> Buffer {
    let mut buffer = Buffer::new(4, 10);
    for job in jobs {
        buffer.push(job);
    }
    buffer
}

fn positions_of(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.event.position.0).collect()
}

#[track_caller]
fn check_load(buffer: &mut Buffer, max: usize, loaded: &[u64], held: &[u64]) {
    let (load, held_jobs) = buffer.load(max);
    assert_eq!(positions_of(&load.deliveries), loaded);
    let held_positions: Vec<u64> =
        held_jobs.iter().map(|job| job.delivery.event.position.0).collect();
    assert_eq!(held_positions, held);
}

#[test]
fn without_keys_they_go_as_they_came() {
    let mut buffer = filled((1..=3).map(|n| job(n, None)));
    check_load(&mut buffer, 1, &[1], &[]);
    check_load(&mut buffer, 5, &[2, 3], &[]);
    check_load(&mut buffer, 5, &[], &[]);
    assert_eq!(buffer.len(), 0);
}

#[test]
fn one_of_a_key_is_on_its_way_and_the_others_wait_in_order() {
    let mut buffer = filled([job(1, A), job(2, A), job(3, B), job(4, A)]);
    check_load(&mut buffer, 1, &[1], &[]);
    check_load(&mut buffer, 1, &[3], &[]);
    check_load(&mut buffer, 1, &[], &[]);
    assert_eq!(buffer.len(), 2);
    buffer.push(job(5, A));
    buffer.go_on(A.unwrap());
    check_load(&mut buffer, 1, &[2], &[]);
    buffer.go_on(A.unwrap());
    check_load(&mut buffer, 2, &[4, 5], &[]);
    buffer.go_on(A.unwrap());
    assert!(!buffer.has(A.unwrap()));
    assert!(buffer.take_emptied().is_empty(), "nothing is held by the queue");
}

#[test]
fn a_load_takes_several_of_a_key_in_order() {
    let mut buffer = filled([job(1, A), job(2, B), job(3, A), job(4, A)]);
    check_load(&mut buffer, 3, &[1, 2, 3], &[]);
    check_load(&mut buffer, 3, &[], &[]);
    buffer.go_on(A.unwrap());
    check_load(&mut buffer, 3, &[4], &[]);
}

#[test]
fn when_the_first_stays_in_the_queue_the_rest_is_held() {
    let mut buffer = filled([job(1, A), job(2, A), job(3, None)]);
    check_load(&mut buffer, 1, &[1], &[]);
    buffer.push(job(4, A));
    check_load(&mut buffer, 1, &[3], &[]);
    let held = buffer.stop(A.unwrap());
    assert_eq!(held.len(), 1);
    assert!(buffer.has_spilled(A.unwrap()), "4 is still here");
    assert!(buffer.take_emptied().is_empty());
    check_load(&mut buffer, 1, &[], &[4]);
    assert_eq!(buffer.take_emptied(), [A.unwrap()]);
    assert!(!buffer.has(A.unwrap()));
    assert_eq!((buffer.len(), buffer.n_bytes), (0, 0));
}

#[test]
fn a_line_that_is_too_long_spills_and_later_ones_do_not_overtake() {
    let n = LINE_MAX as u64;
    let mut buffer = filled((1..=n + 3).map(|position| job(position, A)));
    check_load(&mut buffer, 1, &[1], &[]);
    check_load(&mut buffer, 1, &[], &[n + 2, n + 3]);
    buffer.push(job(n + 4, A));
    for position in 2..=n + 1 {
        buffer.go_on(A.unwrap());
        check_load(&mut buffer, 1, &[position], &[]);
        assert!(buffer.take_emptied().is_empty());
    }
    buffer.go_on(A.unwrap());
    check_load(&mut buffer, 1, &[], &[n + 4]);
    assert_eq!(buffer.take_emptied(), [A.unwrap()]);
}

#[test]
fn lines_leave_room_for_other_keys() {
    let key = |n: u8| Some(OrderKey([n; 16]));
    let mut buffer = Buffer::new(16, 1);
    let mut n_held = 0;
    for round in 0..40_u64 {
        for n in 0..16 {
            buffer.push(job(round, key(n)));
        }
        let (load, held) = buffer.load(16);
        assert_eq!(load.deliveries.len(), if round == 0 { 16 } else { 0 });
        n_held += held.len();
    }
    assert_eq!(buffer.len(), buffer.n_max / 2);
    assert_eq!(n_held, 39 * 16 - buffer.n_max / 2);
    assert!(buffer.room() > 0);
}

#[test]
fn one_that_failed_often_goes_alone() {
    let old = |position| sized(position, None, ALONE_FROM, 0);
    let mut buffer = filled([job(1, None), job(2, None), old(3), old(4), job(5, None)]);
    check_load(&mut buffer, 10, &[1, 2], &[]);
    check_load(&mut buffer, 10, &[3], &[]);
    check_load(&mut buffer, 10, &[4], &[]);
    check_load(&mut buffer, 10, &[5], &[]);
}

#[test]
fn it_asks_for_no_more_when_it_is_full_or_heavy() {
    let mut buffer = Buffer::new(4, 1);
    assert_eq!(buffer.room(), TAKEN_MIN);
    for n in 0..TAKEN_MIN as u64 {
        buffer.push(job(n, None));
    }
    assert_eq!(buffer.room(), 0);
    let mut buffer = Buffer::new(4, 1);
    buffer.push(sized(1, None, 1, TAKE_BYTES_MAX));
    assert_eq!(buffer.room(), 0);
    buffer.load(1);
    assert_eq!(buffer.room(), TAKEN_MIN);
}
