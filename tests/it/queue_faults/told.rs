//! What a requester does at the very moment it is told that its event is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake};

use gatepost::event::{Dedupe, DedupeKey, EventId, NewEvent};
use gatepost::queue::embedded::EmbeddedQueue;
use gatepost::queue::{Appended, Queue};
use uuid::Uuid;

use super::Site;
use crate::support::clock::BEGINNING;
use crate::support::events::new_event;
use crate::support::patience::wait_until;

/// Notes, as soon as it is told that an event is stored, that its sender was not.
struct HangUp {
    queue: Arc<EmbeddedQueue>,
    key: DedupeKey,
    is_told: AtomicBool,
}

impl Wake for HangUp {
    fn wake(self: Arc<Self>) {
        self.queue.note_unanswered(self.key, EventId(Uuid::nil()));
        self.is_told.store(true, Ordering::Release);
    }
}

#[test]
fn who_is_told_and_cannot_answer_is_remembered() {
    let site = Site::new();
    let queue = Arc::new(EmbeddedQueue::open(site.settings(), site.clock.clone()).unwrap());
    let event = |key| NewEvent {
        dedupe: Dedupe::Unanswered { key },
        ..new_event("comment", "{}", BEGINNING)
    };
    let told = (0..=u8::MAX).find_map(|n| {
        let key = DedupeKey([n; 16]);
        let hang_up =
            Arc::new(HangUp { queue: Arc::clone(&queue), key, is_told: AtomicBool::new(false) });
        let mut append = queue.append(event(key));
        let waker = Arc::clone(&hang_up).into();
        // One that is stored before it is asked about has nobody to tell.
        if append.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            return None;
        }
        wait_until("it is told", || hang_up.is_told.load(Ordering::Acquire));
        Some((key, append))
    });
    // It keeps the answer: dropped with that, it would note the key itself.
    let (key, _append) = told.expect("one is asked about before it is stored");
    // Behind a commit that says nothing of the key: what the first one did with it is done.
    let again = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        queue.append(new_event("other", "{}", BEGINNING)).await.unwrap();
        queue.append(event(key)).await.unwrap()
    });
    assert_eq!(again, Appended::Duplicate(EventId(Uuid::nil())));
}
