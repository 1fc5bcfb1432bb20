//! What the parts make of a damaged disk together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::commit::Request;
use super::index::{SledStore, Store};
use super::testing::manual_queue::{Call, Component, ManualQueue};
use super::testing::{Call as Fault, Faults, MemoryStorage, Verdict};
use super::{Driver, EmbeddedQueue, IndexIn, Settings, inline, open};
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::event::{
    Attempt, Dedupe, DedupeKey, Delivery, ErrorText, HandlerName, NewEvent, Outcome, Output,
    Position, Settlement, SourceName,
};
use crate::queue::{Appended, DeadFilter, LostDeliveries, Queue, Start, Subscription};

mod copies;
mod index;
mod read_again;
mod room;
mod senseless;
mod starts;
mod upkeep;

fn settings(storage: &MemoryStorage) -> Settings {
    Settings {
        segment_bytes: 8_192,
        disk_reserve: 0,
        storage: Arc::new(storage.clone()),
        index: IndexIn::Memory,
        ..Settings::new("/queue")
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)))
}

fn open_on(storage: &MemoryStorage) -> EmbeddedQueue {
    EmbeddedQueue::open_inline(settings(storage), clock(), 7).unwrap()
}

fn new_event() -> NewEvent {
    let source = SourceName::parse("shop").unwrap();
    NewEvent::new(source, "x.y", Timestamp::from_millis(5), vec![b'x'; 900])
}

fn web() -> HandlerName {
    HandlerName::parse("web").unwrap()
}

/// What is on the disk when the process is killed, which has no time to close anything.
fn killed(storage: &MemoryStorage, queue: EmbeddedQueue) -> MemoryStorage {
    let left = storage.kill();
    drop(queue);
    left
}

/// A queue with 40 events in several segments, none of which was delivered.
async fn filled(storage: &MemoryStorage) {
    let queue = open_on(storage);
    drop(queue.subscribe(&web(), Start::Oldest).await.unwrap());
    for _ in 0..40 {
        queue.append(new_event()).await.unwrap();
    }
    assert!(queue.core.log.segments().len() > 4);
}

/// The positions of what is given out, until so many were.
async fn take(subscription: &dyn Subscription, n_events: usize) -> BTreeSet<u64> {
    let mut taken = BTreeSet::new();
    while taken.len() < n_events {
        let given = subscription.next(100).await.unwrap();
        taken.extend(given.iter().map(|delivery| delivery.event.position.0));
    }
    taken
}

#[tokio::test]
async fn a_late_cleaner_does_not_make_a_run_of_every_commit() {
    let storage = MemoryStorage::new();
    let queue = open_on(&storage);
    let window = Duration::from_hours(1);
    // Nothing cleans it: what is frozen stays unwritten.
    for n in 0..100 {
        let dedupe = Dedupe::Within { key: DedupeKey(u128::to_be_bytes(n)), window };
        queue.append(NewEvent { dedupe, ..new_event() }).await.unwrap();
    }
    // 100 kB of log, and a memtable is full after two segments, 16 KiB.
    let n_runs = queue.core.keys.n_runs();
    assert!((4..8).contains(&n_runs), "{n_runs}");
}

/// A failed try with a long error.
fn failed(delivery: Delivery, at: Timestamp) -> Settlement {
    let attempt = Attempt {
        started_at: at,
        duration: Duration::from_millis(1),
        error: ErrorText::new("e".repeat(900)),
        status: None,
        output: Output::default(),
        progress: None,
    };
    let outcome = Outcome::Retry { at, order_key: None };
    Settlement { delivery, outcome, attempt: Some(attempt) }
}

#[tokio::test]
async fn more_outcomes_than_fit_in_a_segment_are_recorded() {
    let storage = MemoryStorage::new();
    let at = Timestamp::from_millis(2_000_000);
    {
        let queue = open_on(&storage);
        let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
        for _ in 0..40 {
            queue.append(new_event()).await.unwrap();
        }
        // 36 kB at once, in segments of 8 KiB.
        for delivery in subscription.next(100).await.unwrap() {
            subscription.settle(failed(delivery, at)).await.unwrap();
        }
        drop(subscription);
        queue.close().await.unwrap();
    }
    let queue = open_on(&storage);
    let stats = queue.stats();
    assert_eq!(stats.handlers.iter().map(|(_, backlog)| backlog.waiting).collect::<Vec<_>>(), [40]);
    assert_eq!(stats.damage, Vec::<String>::new());
}

#[tokio::test]
async fn deliveries_of_a_missing_oldest_segment_are_lost_until_it_is_back() {
    let storage = MemoryStorage::new();
    filled(&storage).await;
    let is_oldest = |path: &PathBuf| path.to_str().unwrap().contains("/log/0000000001-");
    let oldest = storage.paths().into_iter().find(is_oldest).unwrap();
    let bytes = storage.bytes(&oldest).unwrap();
    storage.remove_now(&oldest);
    let n_lost = {
        let queue = open_on(&storage);
        let first = queue.core.log.head().first_position;
        let n_lost = first.0 - 1;
        assert!((1..20).contains(&n_lost));
        let subscription = queue.subscribe(&web(), Start::Now).await.unwrap();
        let taken = take(&*subscription, 40 - usize::try_from(n_lost).unwrap()).await;
        assert_eq!(taken.first(), Some(&first.0));
        let lost = LostDeliveries { handler: web(), positions: Position(1)..first };
        assert_eq!(queue.lost(DeadFilter::default()).await.unwrap(), [lost]);
        assert_eq!(queue.stats().handlers[0].1.dead, n_lost);
        assert_eq!(queue.stats().damage, ["log segment 1 is missing"]);
        n_lost
    };
    storage.put_now(&oldest, bytes);
    let queue = open_on(&storage);
    assert_eq!(queue.redrive(DeadFilter::default()).await.unwrap(), n_lost);
    assert_eq!(queue.lost(DeadFilter::default()).await.unwrap(), []);
    let subscription = queue.subscribe(&web(), Start::Now).await.unwrap();
    assert_eq!(take(&*subscription, 40).await, (1..=40).collect());
}

#[tokio::test]
async fn handlers_are_known_where_only_the_newest_segment_can_be_read() {
    let storage = MemoryStorage::new();
    filled(&storage).await;
    let mut segments: Vec<PathBuf> = storage.paths();
    segments.retain(|path| path.starts_with("/queue/log") && !path.ends_with("spare"));
    // The newest one is unused.
    segments.truncate(segments.len() - 2);
    for path in &segments {
        storage.remove_now(path);
    }
    let queue = open_on(&storage);
    let first = queue.core.log.head().first_position;
    let subscription = queue.subscribe(&web(), Start::Now).await.unwrap();
    let n_left = usize::try_from(41 - first.0).unwrap();
    assert_eq!(take(&*subscription, n_left).await, (first.0..=40).collect());
    let lost = LostDeliveries { handler: web(), positions: Position(1)..first };
    assert_eq!(queue.lost(DeadFilter::default()).await.unwrap(), [lost]);
}

#[tokio::test]
async fn events_are_taken_in_while_the_states_are_made_out_of_the_log() {
    let storage = MemoryStorage::new();
    filled(&storage).await;
    let settings = Settings { rebuild_at_once: 0, ..settings(&storage) };
    let mut components = open::open(settings, clock(), 7).unwrap();
    let rebuild = components.rebuild.take().unwrap();
    let queue = EmbeddedQueue::start(components, |components| {
        Ok(Driver::Inline { _inline: inline::Inline::start(components) })
    });
    let queue = queue.unwrap();
    let n_segments = queue.core.log.segments().len();
    for _ in 0..20 {
        queue.append(new_event()).await.unwrap();
    }
    assert!(queue.core.log.segments().len() > n_segments, "new heads name the handlers");
    {
        let web = web();
        let mut subscribing = std::pin::pin!(queue.subscribe(&web, Start::Now));
        let poll = |cx: &mut std::task::Context<'_>| {
            std::task::Poll::Ready(subscribing.as_mut().poll(cx).is_pending())
        };
        assert!(std::future::poll_fn(poll).await, "nobody subscribes before");
        assert!(rebuild.run(&|| false).unwrap().is_none(), "it can be ended");
        let recovered = rebuild.run(&|| true).unwrap().unwrap();
        queue.core.send_last(Request::Recovered(Box::new(recovered))).unwrap();
        queue.core.drive();
        let subscription = subscribing.await.unwrap();
        assert_eq!(take(&*subscription, 60).await, (1..=60).collect());
    }
    drop(queue);
    let queue = open_on(&storage);
    let subscription = queue.subscribe(&web(), Start::Now).await.unwrap();
    assert_eq!(take(&*subscription, 60).await, (1..=60).collect());
}

/// An index that fails is waited for 2 s, and not so long for each letter of a page.
#[tokio::test(start_paused = true)]
async fn dead_letters_of_a_page_wait_once_for_an_index_that_fails() {
    let storage = MemoryStorage::new();
    let store = SledStore::new(&PathBuf::from("/queue/sled"));
    store.close().unwrap();
    let components = open::open_with_index(settings(&storage), clock(), 7, Arc::new(store));
    let components = components.unwrap().with_states().unwrap();
    let queue = EmbeddedQueue::start(components, |components| {
        Ok(Driver::Inline { _inline: inline::Inline::start(components) })
    });
    let queue = queue.unwrap();
    let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
    for _ in 0..40 {
        queue.append(new_event()).await.unwrap();
    }
    for delivery in subscription.next(100).await.unwrap() {
        let (attempt, outcome) = (Some(Attempt::default()), Outcome::Dead { order_key: None });
        subscription.settle(Settlement { delivery, outcome, attempt }).await.unwrap();
    }
    let began = tokio::time::Instant::now();
    let names = (1..=40).map(|n| (web(), Position(n))).collect();
    let found = queue.dead_letters(names).await.unwrap();
    assert_eq!(found.letters.len(), 40);
    assert_eq!(began.elapsed().as_secs(), 2);
}

/// Opens the queue in `storage`, and appends what is repeated where its answer cannot have arrived.
async fn open_and_repeat(
    storage: &MemoryStorage,
    clock: &Arc<ManualClock>,
) -> (EmbeddedQueue, Appended) {
    let dynamic = Arc::clone(clock) as Arc<dyn Clock>;
    let queue = EmbeddedQueue::open_inline(settings(storage), dynamic, 7).unwrap();
    let key = DedupeKey([7; 16]);
    let received_at = clock.now();
    let new = NewEvent { dedupe: Dedupe::Unanswered { key }, received_at, ..new_event() };
    let appended = queue.append(new).await.unwrap();
    (queue, appended)
}

#[tokio::test]
async fn what_was_not_answered_is_known_after_a_close() {
    let (storage, clock) = (MemoryStorage::new(), clock());
    let minutes = |n| clock.advance(Duration::from_mins(n));
    let (queue, first) = open_and_repeat(&storage, &clock).await;
    queue.note_unanswered(DedupeKey([7; 16]), first.id());
    minutes(4);
    queue.close().await.unwrap();
    minutes(5);
    let (queue, again) = open_and_repeat(&storage, &clock).await;
    assert_eq!(again, Appended::Duplicate(first.id()));
    // The repeat's answer arrived.
    queue.close().await.unwrap();
    let (queue, second) = open_and_repeat(&storage, &clock).await;
    assert_ne!(second.id(), first.id());
    queue.note_unanswered(DedupeKey([7; 16]), second.id());
    minutes(4);
    queue.close().await.unwrap();
    minutes(6);
    let (_queue, third) = open_and_repeat(&storage, &clock).await;
    assert_ne!(third.id(), second.id(), "ten minutes are over");
}

#[test]
fn answer_that_nobody_took_has_not_arrived() {
    let (storage, clock) = (MemoryStorage::new(), clock());
    let dynamic = Arc::clone(&clock) as Arc<dyn Clock>;
    let manual = ManualQueue::open(settings(&storage), dynamic, 7).unwrap();
    let append = || {
        let (queue, key) = (Arc::clone(&manual.queue), DedupeKey([7; 16]));
        let new = NewEvent { dedupe: Dedupe::Unanswered { key }, ..new_event() };
        let mut call = Call::new(async move { queue.append(new).await.unwrap() });
        assert_eq!(call.poll(), None, "the committer was not stepped yet");
        let components = [Component::Allocator, Component::Committer];
        while components.into_iter().any(|component| manual.step(component, Duration::ZERO)) {}
        call
    };
    // The committer has answered; the time of its request is over before the answer is taken.
    drop(append());
    let again = append().poll().unwrap();
    assert!(matches!(again, Appended::Duplicate(_)), "{again:?}");
    assert!(matches!(append().poll().unwrap(), Appended::Stored(_)), "its answer was taken");
}

#[test]
fn repeat_that_is_stored_by_the_same_commit_as_what_nobody_waits_for_is_a_repeat() {
    let (storage, clock) = (MemoryStorage::new(), clock());
    let manual = ManualQueue::open(settings(&storage), clock, 7).unwrap();
    let append = || {
        let queue = Arc::clone(&manual.queue);
        let new =
            NewEvent { dedupe: Dedupe::Unanswered { key: DedupeKey([7; 16]) }, ..new_event() };
        let mut call = Call::new(async move { queue.append(new).await });
        assert!(call.poll().is_none(), "the committer was not stepped yet");
        call
    };
    let work = || {
        let components = [Component::Allocator, Component::Committer];
        while components.into_iter().any(|component| manual.step(component, Duration::ZERO)) {}
    };
    // The disk is busy until the sender has given up and has sent it again.
    drop(append());
    let mut again = append();
    work();
    let answer = again.poll().unwrap().unwrap();
    assert!(matches!(answer, Appended::Duplicate(_)), "{answer:?}");
    // Of a commit that fails nothing is repeated.
    drop(append());
    storage.set_free(Some(0));
    storage.set_faults(Arc::new(FullDisk));
    work();
    storage.clear_faults();
    storage.set_free(None);
    let mut again = append();
    work();
    let answer = again.poll().unwrap().unwrap();
    assert!(matches!(answer, Appended::Stored(_)), "{answer:?}");
}

/// No write has room.
#[derive(Debug)]
struct FullDisk;

impl Faults for FullDisk {
    fn before(&self, call: Fault, _path: &Path, _offset: u64, _len: usize) -> Verdict {
        if call == Fault::Write { Verdict::Errno(28) } else { Verdict::Ok }
    }
}

#[tokio::test]
async fn try_is_told_for_when_it_is_made_however_long_the_handler_runs() {
    let storage = MemoryStorage::new();
    let clock = clock();
    let dynamic = Arc::clone(&clock) as Arc<dyn Clock>;
    let queue = EmbeddedQueue::open_inline(settings(&storage), dynamic, 7).unwrap();
    let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
    clock.advance(Duration::from_mins(5));
    queue.append(new_event()).await.unwrap();
    let delivery = subscription.next(1).await.unwrap().pop().unwrap();
    let at = clock.steady().after(Duration::from_secs(10));
    let outcome = Outcome::Retry { at, order_key: None };
    let attempt = Some(Attempt::default());
    subscription.settle(Settlement { delivery, outcome, attempt }).await.unwrap();
    assert_eq!(queue.next_tries(&web(), 9), [(Position(1), at)]);
    assert_eq!(queue.next_try(&web(), Position(1)).unwrap().due, at);
}
