//! What the queue makes of the room on its disk.

use super::*;
use crate::queue::embedded::cleaner::Effort;

const RESERVE: u64 = 50_000;

fn open_with_reserve(storage: &MemoryStorage) -> EmbeddedQueue {
    let settings = Settings { disk_reserve: RESERVE, ..settings(storage) };
    EmbeddedQueue::open_inline(settings, clock(), 7).unwrap()
}

/// A queue of 120 settled events, every tenth of them a dead letter, none of which is old.
async fn settled(storage: &MemoryStorage) -> EmbeddedQueue {
    let queue = open_with_reserve(storage);
    let subscription = queue.subscribe(&web(), Start::Oldest).await.unwrap();
    for _ in 0..120 {
        queue.append(new_event()).await.unwrap();
    }
    let mut n_left = 120;
    while n_left > 0 {
        for delivery in subscription.next(100).await.unwrap() {
            n_left -= 1;
            let is_dead = delivery.event.position.0.is_multiple_of(10);
            let outcome =
                if is_dead { Outcome::Dead { order_key: None } } else { Outcome::Delivered };
            subscription.settle(Settlement { delivery, outcome, attempt: None }).await.unwrap();
        }
    }
    queue.core.ask(Request::Recorded).await.unwrap();
    queue
}

#[tokio::test]
async fn disk_that_other_programs_filled_is_freed_of_what_is_settled() {
    let storage = MemoryStorage::new();
    let queue = settled(&storage).await;
    let n_segments = queue.core.log.segments().len();
    let ballast = || storage.bytes(Path::new("/queue/ballast")).map(|bytes| bytes.len());
    queue.cleaner.look(Effort::Routine).await.unwrap();
    assert_eq!(ballast(), None, "while there is room");
    storage.set_free(Some(RESERVE * 2 - 1));
    queue.cleaner.look(Effort::Routine).await.unwrap();
    assert_eq!(ballast(), Some(8_192));
    assert_eq!(queue.core.log.segments().len(), n_segments, "none is old");
    storage.set_free(Some(0));
    queue.cleaner.look(Effort::Routine).await.unwrap();
    let n_left = queue.core.log.segments().len();
    assert!(n_left < n_segments - 4, "{n_left} of {n_segments}");
    assert_eq!(queue.refuses(), None, "that is as much as must be free");
    // Others take that, too, until there is nothing left to free.
    for _ in 0..5 {
        storage.set_free(Some(0));
        queue.cleaner.look(Effort::Routine).await.unwrap();
    }
    let n_left = queue.core.log.segments().len();
    assert!(n_left < 3, "{n_left} of {n_segments}");
    let dead = queue.dead(DeadFilter::default()).await.unwrap();
    assert_eq!(dead.len(), 12, "they are copied");
    let refused = queue.refuses().unwrap();
    assert!(refused.contains("under `disk_reserve` (50000)"), "{refused}");
    assert!(queue.append(new_event()).await.is_err());
    storage.set_free(None);
    queue.cleaner.look(Effort::Routine).await.unwrap();
    assert_eq!(queue.refuses(), None);
    assert_eq!(ballast(), None, "there is room enough again");
}

#[tokio::test]
async fn what_was_put_aside_is_told_and_refuses_nothing() {
    let storage = MemoryStorage::new();
    let aside = Path::new("/queue/aside");
    let (file, torn) =
        (aside.join("0000000001-000000000000000a.log"), aside.join("torn-0000000001"));
    drop(open_on(&storage));
    crate::queue::storage::Storage::create_folder(&storage, aside).unwrap();
    storage.put_now(&file, vec![1; 300_000]);
    storage.put_now(&torn, vec![1; 500]);
    let settings = Settings { disk_max: 200_000, ..settings(&storage) };
    let queue = EmbeddedQueue::open_inline(settings, clock(), 7).unwrap();
    queue.clean().await.unwrap();
    assert_eq!(queue.refuses(), None);
    queue.append(new_event()).await.unwrap();
    let stats = queue.stats();
    assert_eq!(stats.aside_bytes, 300_000);
    assert!(stats.bytes < 200_000, "{}", stats.bytes);
    // Its owner removes it while the queue runs.
    storage.remove_now(&file);
    queue.clean().await.unwrap();
    assert_eq!(queue.stats().aside_bytes, 0);
}
