use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::event::{Event, EventId, NewEvent, Position, SourceName};

fn pending(position: u64, key: Option<OrderKey>) -> PendingDelivery {
    sized(position, key, 1, 0)
}

fn sized(position: u64, key: Option<OrderKey>, attempt: u32, n_bytes: usize) -> PendingDelivery {
    let source = SourceName::parse("s").unwrap();
    let new = NewEvent::new(source, "unknown", Timestamp::default(), vec![b'x'; n_bytes]);
    let event = Arc::new(Event::new(new, EventId(Uuid::nil()), Position(position)));
    let delivery = Delivery { attempt, order_key: key, ..Delivery::first(event) };
    PendingDelivery { delivery, send_by: Timestamp::from_millis(0) }
}

fn filled(pending: impl IntoIterator<Item = PendingDelivery>) -> Buffer {
    let mut buffer = Buffer::new(4, 10);
    push(&mut buffer, pending);
    buffer
}

fn push(buffer: &mut Buffer, pending: impl IntoIterator<Item = PendingDelivery>) {
    for pending in pending {
        buffer.push(pending).expect("there is room in its queue");
    }
}

#[track_caller]
fn check_batch(buffer: &mut Buffer, max: usize, expected: &[u64]) {
    let batch = buffer.take_batch(max);
    let positions: Vec<u64> = batch.iter().map(|delivery| delivery.event.position.0).collect();
    assert_eq!(positions, expected);
}

fn key(n: u8) -> OrderKey {
    OrderKey([n; 16])
}

const A: Option<OrderKey> = Some(OrderKey([1; 16]));
const B: Option<OrderKey> = Some(OrderKey([2; 16]));

#[test]
fn without_keys_they_go_as_they_came() {
    let mut buffer = filled((1..=3).map(|n| pending(n, None)));
    check_batch(&mut buffer, 1, &[1]);
    check_batch(&mut buffer, 5, &[2, 3]);
    check_batch(&mut buffer, 5, &[]);
    assert_eq!(buffer.len(), 0);
}

#[test]
fn one_of_a_key_is_on_its_way_and_the_others_wait_in_order() {
    let mut buffer = filled([pending(1, A), pending(2, A), pending(3, B), pending(4, A)]);
    assert_eq!(buffer.n_ready(), 4);
    check_batch(&mut buffer, 1, &[1]);
    assert_eq!(buffer.n_ready(), 1);
    check_batch(&mut buffer, 1, &[3]);
    check_batch(&mut buffer, 1, &[]);
    assert_eq!((buffer.len(), buffer.n_ready()), (2, 0));
    push(&mut buffer, [pending(5, A)]);
    for position in [2, 4, 5] {
        buffer.unblock_key(key(1));
        check_batch(&mut buffer, 1, &[position]);
    }
    buffer.unblock_key(key(1));
    assert!(!buffer.has(key(1)));
    assert!(buffer.take_drained_keys().is_empty(), "nothing is held by the queue");
}

#[test]
fn a_load_takes_several_of_a_key_in_order() {
    let mut buffer = filled([pending(1, A), pending(2, B), pending(3, A), pending(4, A)]);
    check_batch(&mut buffer, 2, &[1, 3]);
    check_batch(&mut buffer, 2, &[2]);
    buffer.unblock_key(key(1));
    check_batch(&mut buffer, 2, &[4]);
}

#[test]
fn keys_take_turns() {
    let mut buffer = filled([pending(1, A), pending(2, A), pending(3, B), pending(4, None)]);
    check_batch(&mut buffer, 1, &[1]);
    buffer.unblock_key(key(1));
    check_batch(&mut buffer, 1, &[3]);
    check_batch(&mut buffer, 1, &[4]);
    check_batch(&mut buffer, 1, &[2]);
}

#[test]
fn when_the_first_stays_in_the_queue_the_rest_is_held() {
    let mut buffer = filled([pending(1, A), pending(2, A), pending(3, None), pending(4, A)]);
    check_batch(&mut buffer, 1, &[1]);
    let held: Vec<u64> =
        buffer.block_key(key(1)).iter().map(|pending| pending.delivery.event.position.0).collect();
    assert_eq!(held, [2, 4]);
    assert!(!buffer.has(key(1)));
    assert_eq!(buffer.take_drained_keys(), [key(1)]);
    assert_eq!((buffer.len(), buffer.n_ready()), (1, 1));
    check_batch(&mut buffer, 1, &[3]);
    assert_eq!(buffer.n_bytes, 0);
}

#[test]
fn a_line_that_is_too_long_gives_back_and_asks_for_it_when_it_has_ended() {
    let mut buffer = Buffer::new(4, 1);
    let n = buffer.key_queue_max as u64;
    push(&mut buffer, [pending(1, A)]);
    check_batch(&mut buffer, 1, &[1]);
    push(&mut buffer, (2..=n + 1).map(|position| pending(position, A)));
    assert_eq!(buffer.push(pending(n + 2, A)).unwrap_err().delivery.event.position.0, n + 2);
    buffer.mark_overflowed(key(1));
    assert!(buffer.has_overflowed(key(1)));
    for position in 2..=n + 1 {
        buffer.unblock_key(key(1));
        assert!(buffer.take_drained_keys().is_empty());
        check_batch(&mut buffer, 1, &[position]);
    }
    buffer.unblock_key(key(1));
    assert_eq!(buffer.take_drained_keys(), [key(1)]);
}

#[test]
fn lines_leave_room_for_other_keys() {
    for (concurrency, batch_max) in [(1, 1), (4, 1), (16, 1), (300, 1), (4, 50), (1_000, 1_000)] {
        let mut buffer = Buffer::new(concurrency, batch_max);
        for n in 0..concurrency {
            let key = Some(OrderKey((n as u128).to_le_bytes()));
            push(&mut buffer, [pending(1, key)]);
            check_batch(&mut buffer, 1, &[1]);
            while buffer.push(pending(2, key)).is_ok() {}
        }
        assert_eq!(buffer.n_ready(), 0);
        assert!(buffer.room() > 0, "{concurrency} {batch_max}");
    }
}

#[test]
fn one_that_failed_often_goes_alone() {
    let old = |position, key| sized(position, key, ALONE_FROM, 0);
    let mut buffer = filled([
        pending(1, None),
        pending(2, None),
        old(3, None),
        old(4, A),
        pending(5, A),
        pending(6, None),
    ]);
    check_batch(&mut buffer, 10, &[1, 2]);
    check_batch(&mut buffer, 10, &[3]);
    check_batch(&mut buffer, 10, &[4]);
    check_batch(&mut buffer, 10, &[6]);
    buffer.unblock_key(key(1));
    check_batch(&mut buffer, 10, &[5]);
}

#[test]
fn it_asks_for_no_more_when_it_is_full_or_heavy() {
    let mut buffer = Buffer::new(4, 1);
    assert_eq!(buffer.room(), TAKEN_MIN);
    push(&mut buffer, (0..TAKEN_MIN as u64).map(|position| pending(position, None)));
    assert_eq!(buffer.room(), 0);
    let mut buffer = Buffer::new(4, 1);
    push(&mut buffer, [sized(1, None, 1, TAKE_BYTES_MAX)]);
    assert_eq!(buffer.room(), 0);
    check_batch(&mut buffer, 1, &[1]);
    assert_eq!(buffer.room(), TAKEN_MIN);
}
