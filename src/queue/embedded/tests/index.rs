//! An index that hangs or lies does harm to nothing but its own answers.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;

use super::super::index::{Direction, MemoryStore, Pair, Store, StoreError, Table, Write};
use super::*;
use crate::queue::DeadRecord;
use crate::queue::codec::{Put, Take};

fn open_over(
    store: Arc<dyn Store>,
    storage: &MemoryStorage,
    clock: &Arc<ManualClock>,
) -> EmbeddedQueue {
    let settings = Settings { retention: Duration::ZERO, ..settings(storage) };
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let components = open::open_with_index(settings, clock, 7, store).unwrap();
    let components = components.with_states().unwrap();
    let queue = EmbeddedQueue::start(components, |components| {
        Ok(Driver::Inline { _inline: inline::Inline::start(components) })
    });
    queue.unwrap()
}

/// A database that never answers.
#[derive(Debug)]
struct Hanging;

impl Hanging {
    fn hang() -> ! {
        loop {
            std::thread::park();
        }
    }
}

impl Store for Hanging {
    fn get(&self, _table: Table, _key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Self::hang()
    }

    fn apply(&self, _writes: Vec<Write>) -> Result<(), StoreError> {
        Self::hang()
    }

    fn scan(
        &self,
        _table: Table,
        _from: &[u8],
        _to: &[u8],
        _direction: Direction,
        _limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        Self::hang()
    }

    fn bytes(&self) -> u64 {
        Self::hang()
    }

    fn flush(&self) -> Result<(), StoreError> {
        Self::hang()
    }

    fn clear(&self) -> Result<(), StoreError> {
        Self::hang()
    }

    fn close(&self) -> Result<(), StoreError> {
        Self::hang()
    }
}

#[test]
fn numbers_of_the_queue_do_not_wait_for_an_index_that_hangs() {
    let storage = MemoryStorage::new();
    let store = Arc::new(Hanging);
    let components = open::open_with_index(settings(&storage), clock(), 7, store).unwrap();
    let queue = EmbeddedQueue::start(components, |_| Ok(Driver::Manual)).unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(queue.stats()));
    assert_eq!(told.recv_timeout(Duration::from_secs(20)).unwrap().events, 0);
}

/// What it says of dead letters.
const RIGHT: u8 = 0;
/// They died long ago.
const LONG_AGO: u8 = 1;
/// Each died once only, the first time.
const FIRST_TIME: u8 = 2;

#[derive(Debug, Default)]
struct Lying {
    inner: MemoryStore,
    how: AtomicU8,
}

impl Store for Lying {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(table, key)
    }

    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.inner.apply(writes)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let how = if table == Table::Dead { self.how.load(Ordering::Relaxed) } else { RIGHT };
        let direction = if how == FIRST_TIME { Direction::Forward } else { direction };
        let mut pairs = self.inner.scan(table, from, to, direction, limit)?;
        for (_, value) in pairs.iter_mut().filter(|_| how == LONG_AGO) {
            let mut take = Take(value);
            take.signed().unwrap();
            let rest = take.0.to_vec();
            value.clear();
            value.put_signed(1);
            value.extend(rest);
        }
        Ok(pairs)
    }

    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.inner.clear()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

/// Has everything that is due end as a dead letter.
async fn kill_all(subscription: &dyn Subscription, mut n_left: usize) {
    while n_left > 0 {
        for delivery in subscription.next(100).await.unwrap() {
            n_left -= 1;
            let (attempt, outcome) = (Some(Attempt::default()), Outcome::Dead { order_key: None });
            subscription.settle(Settlement { delivery, outcome, attempt }).await.unwrap();
        }
    }
}

#[tokio::test]
async fn dead_letters_are_let_go_for_when_they_died_by_the_word_of_the_log() {
    let (storage, clock) = (MemoryStorage::new(), clock());
    let store = Arc::new(Lying::default());
    let queue = open_over(Arc::clone(&store) as Arc<dyn Store>, &storage, &clock);
    let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
    for _ in 0..40 {
        queue.append(new_event()).await.unwrap();
    }
    kill_all(&*subscription, 40).await;
    queue.clean().await.unwrap();
    // Those of segments that are gone, and one of the newest.
    assert!(queue.core.kept.len() > 20);
    queue.append(new_event()).await.unwrap();
    kill_all(&*subscription, 1).await;
    let first_died = clock.now();
    clock.advance(Duration::from_hours(1));
    let until = |at| DeadFilter { until: Some(at), ..DeadFilter::default() };
    let one_is_left = |n| queue.stats().handlers[0].1.dead == n;
    store.how.store(LONG_AGO, Ordering::Relaxed);
    assert_eq!(queue.drop_dead(until(first_died)).await.unwrap(), 0);
    // One of each kind dies once more.
    for position in [1, 41] {
        let position = Some(Position(position));
        queue.redrive(DeadFilter { position, ..DeadFilter::default() }).await.unwrap();
        kill_all(&*subscription, 1).await;
    }
    store.how.store(FIRST_TIME, Ordering::Relaxed);
    let after_first = until(first_died.after(Duration::from_mins(1)));
    let told = queue.dead_records(after_first.clone()).await.unwrap();
    assert_eq!(told.len(), 41, "as it says");
    assert_eq!(queue.confirmed(told).await.unwrap().len(), 39);
    assert_eq!(queue.drop_dead(after_first).await.unwrap(), 39);
    assert!(one_is_left(2));
    store.how.store(RIGHT, Ordering::Relaxed);
    let told = queue.dead_records(DeadFilter::default()).await.unwrap();
    let other = |letter: &DeadRecord| DeadRecord {
        fact: letter.fact.as_ref().map(|(at, _)| (*at, ErrorText::new("another reason"))),
        ..letter.clone()
    };
    let others = told.iter().map(other).collect();
    assert_eq!(queue.confirmed(others).await.unwrap(), []);
    queue.clean().await.unwrap();
    assert_eq!(queue.drop_dead(until(clock.now().after(Duration::from_mins(1)))).await.unwrap(), 2);
    assert!(one_is_left(0));
}
