//! Calls to the file system that fail while the machine goes on.

use std::io::ErrorKind;
use std::sync::Arc;

use gatepost::event::{HandlerName, Outcome, Position, Settlement};
use gatepost::queue::storage::OsStorage;
use gatepost::queue::{DeadFilter, Queue, QueueError};

use super::{
    DEAD, SEGMENT_BYTES, Site, all_positions, append, append_all, deliver_all, event, record,
    settle, subscribe, take_due,
};
use gatepost::queue::embedded::testing::Call;

#[tokio::test]
async fn a_failed_sync_ends_everything_until_a_start() {
    let mut site = Site::new();
    let queue = site.open();
    append(&queue, event(1, 100)).await;
    site.disk.fail(Call::Sync, ErrorKind::Other);
    assert!(matches!(queue.append(event(2, 100)).await, Err(QueueError::Poisoned)));
    site.disk.work_again();
    assert!(matches!(queue.append(event(3, 100)).await, Err(QueueError::Poisoned)));
    assert!(matches!(queue.probe().await, Err(QueueError::Poisoned)));
    queue.poisoned().await;
    assert!(queue.close().await.is_err());
    site.disk = site.disk.power_cut(1);
    let queue = site.open();
    assert!(all_positions(&queue).await.starts_with(&[1]));
    append(&queue, event(3, 100)).await;
}

#[tokio::test]
async fn a_failed_write_ends_everything_until_a_start() {
    let mut site = Site::new();
    let queue = site.open();
    append(&queue, event(1, 3_000)).await;
    site.disk.fail_writes_behind(700);
    assert!(matches!(queue.append(event(2, 3_000)).await, Err(QueueError::Poisoned)));
    site.disk.work_again();
    assert!(matches!(queue.append(event(3, 100)).await, Err(QueueError::Poisoned)));
    drop(queue);
    site.disk = site.disk.killed();
    let queue = site.open();
    assert!(queue.opened().torn_bytes > 0);
    assert_eq!(all_positions(&queue).await, [1]);
    append(&queue, event(3, 100)).await;
    assert_eq!(queue.stats().damage, Vec::<String>::new());
}

#[tokio::test]
async fn a_failed_sync_while_the_next_segment_is_made_ends_everything() {
    let site = Site::new();
    let queue = site.open();
    append_all(&queue, 3, 9_000).await;
    site.disk.fail(Call::Sync, ErrorKind::Other);
    for n in 4..20 {
        assert!(matches!(queue.append(event(n, 9_000)).await, Err(QueueError::Poisoned)));
        site.disk.work_again();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_until_there_is_room() {
    let mut site = Site::new();
    let queue = site.open();
    append_all(&queue, 3, 300).await;
    for _ in 0..4 {
        site.disk.fail(Call::Write, ErrorKind::StorageFull);
        assert!(matches!(queue.append(event(4, 1_500)).await, Err(QueueError::Full(_))));
        assert!(matches!(queue.append(event(5, 30)).await, Err(QueueError::Full(_))));
        site.disk.work_again();
        append(&queue, event(6, 30)).await;
    }
    assert_eq!(all_positions(&queue).await, (1..=7).collect::<Vec<u64>>());
    drop(queue);
    site.disk = site.disk.killed();
    site.remove_index();
    let queue = site.open();
    assert_eq!(all_positions(&queue).await, (1..=7).collect::<Vec<u64>>());
    assert_eq!(queue.stats().damage, Vec::<String>::new());
}

#[tokio::test]
async fn refusal_names_the_handler_that_everything_waits_for() {
    let site = Site::new();
    let mut settings = site.settings();
    settings.disk_max = site.open().stats().bytes + 8 * u64::from(SEGMENT_BYTES);
    let queue = site.try_open(settings).unwrap();
    let subscription = subscribe(&queue, "h").await;
    // It was configured once, and settles nothing any more.
    drop(subscribe(&queue, "going").await);
    let mut n_stored = 0;
    let why = loop {
        match queue.append(event(n_stored + 1, 9_000)).await {
            Ok(_) => n_stored += 1,
            Err(QueueError::Full(why)) => break why,
            Err(err) => panic!("{err}"),
        }
        deliver_all(&*subscription).await;
        drop(record(&queue).await);
        queue.clean().await.unwrap();
        assert!(n_stored < 500);
    };
    let pinned = format!("they wait for handler `going` ({n_stored} events)");
    assert!(why.ends_with(&pinned), "{why}");
}

#[tokio::test]
async fn files_that_cannot_be_opened_refuse_events_until_they_can() {
    // ENFILE, EMFILE, ENOMEM.
    for errno in [23, 24, 12] {
        let mut site = Site::new();
        let queue = site.open();
        append(&queue, event(1, 300)).await;
        site.disk.fail_to_open(errno);
        let n_stored = fill(&queue).await + 1;
        assert!(matches!(queue.append(event(0, 9_000)).await, Err(QueueError::Full(_))));
        site.disk.work_again();
        // Refused for a moment longer, without a look at the disk.
        while let Err(err) = queue.append(event(n_stored, 9_000)).await {
            assert!(matches!(err, QueueError::Full(_)), "{err}");
            tokio::task::yield_now().await;
        }
        drop(queue);
        site.disk = site.disk.killed();
        let queue = site.open();
        let stored: Vec<u64> = (1..=n_stored + 1).collect();
        assert_eq!(all_positions(&queue).await, stored, "nothing that was acknowledged is lost");
        assert_eq!(queue.stats().damage, Vec::<String>::new());
    }
}

/// Appends until there is no room; says how many got in.
async fn fill(queue: &gatepost::queue::embedded::EmbeddedQueue) -> u64 {
    for n in 1..200 {
        match queue.append(event(n, 9_000)).await {
            Ok(_) => {}
            Err(QueueError::Full(_)) => return n - 1,
            Err(err) => panic!("{err}"),
        }
    }
    panic!("the disk is never full");
}

#[tokio::test]
async fn with_no_room_for_another_segment_deliveries_go_on_and_make_room() {
    let site = Site::new();
    let queue = site.open();
    let subscription = subscribe(&queue, "h").await;
    append(&queue, event(1, 300)).await;
    site.disk.set_free(0);
    let n_stored = fill(&queue).await + 1;
    assert_eq!(deliver_all(&*subscription).await as u64, n_stored);
    site.disk.set_free(1 << 40);
    // Refused for a moment longer, without a look at the disk.
    while let Err(err) = queue.append(event(7, 9_000)).await {
        assert!(matches!(err, QueueError::Full(_)), "{err}");
        tokio::task::yield_now().await;
    }
    assert_eq!(deliver_all(&*subscription).await, 1);
    drop(subscription);
    queue.close().await.unwrap();
    let queue = site.open();
    let subscription = subscribe(&queue, "h").await;
    assert_eq!(take_due(&*subscription).len(), 0);
}

#[tokio::test]
async fn a_redrive_or_replay_that_is_not_recorded_is_no_success() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        let site = Site::new();
        let queue = site.open();
        let subscription = subscribe(&queue, "h").await;
        append_all(&queue, 2, 100).await;
        let mut due = take_due(&*subscription);
        settle(&*subscription, due.remove(0), DEAD).await;
        settle(&*subscription, due.remove(0), Outcome::Delivered).await;
        record(&queue).await.unwrap();
        site.disk.fail(Call::Write, kind);
        let handler = HandlerName::parse("h").unwrap();
        let told = [
            queue.redrive(DeadFilter::default()).await,
            queue.replay(&handler, &[Position(2)]).await.map(|of| of.len() as u64),
        ];
        let is_full = kind == ErrorKind::StorageFull;
        for told in told {
            let err = told.unwrap_err();
            let is_expected = match err {
                QueueError::Full(_) => is_full,
                QueueError::Poisoned => !is_full,
                _ => false,
            };
            assert!(is_expected, "{kind}: {err}");
        }
        site.disk.work_again();
        if is_full {
            record(&queue).await.unwrap();
            assert_eq!(take_due(&*subscription).len(), 2, "they were kept until there was room");
        }
    }
}

#[tokio::test]
async fn a_second_open_names_the_holder() {
    let site = Site::new();
    let queue = site.open();
    let Err(QueueError::Held { folder, holder }) = site.try_open(site.settings()) else {
        panic!("two have it at once");
    };
    assert!(folder.ends_with("queue"));
    assert_eq!(holder, format!("gatepost, process {}", std::process::id()));
    queue.close().await.unwrap();
    drop(site.open());
}

#[tokio::test]
async fn settling_ends_when_the_queue_is_poisoned_or_closed() {
    let site = Site::new();
    let queue = site.open();
    let subscription = subscribe(&queue, "h").await;
    append_all(&queue, 2, 100).await;
    let mut taken = take_due(&*subscription).into_iter();
    site.disk.fail(Call::Sync, ErrorKind::Other);
    assert!(queue.append(event(3, 100)).await.is_err());
    // Nothing is recorded any more; the few that fit are kept for nobody.
    settle(&*subscription, taken.next().unwrap(), Outcome::Delivered).await;
    assert!(queue.close().await.is_err());
    let (delivery, outcome) = (taken.next().unwrap(), Outcome::Delivered);
    let late = Settlement { delivery, outcome, attempt: None };
    let late = subscription.settle_all(vec![late]).await;
    assert!(matches!(late, Err(QueueError::Closed)));
    assert!(matches!(subscription.next(1).await, Err(QueueError::Closed)));
}

#[tokio::test]
async fn dropping_the_queue_closes_its_subscriptions() {
    let site = Site::new();
    let queue = site.open();
    let subscription = subscribe(&queue, "h").await;
    drop(queue);
    assert!(matches!(subscription.next(1).await, Err(QueueError::Closed)));
}

#[tokio::test]
async fn a_folder_may_be_made_many_levels_deep() {
    let site = Site::new();
    let mut settings = site.settings();
    settings.folder = site.folder.path().join("a/b/c/queue");
    settings.storage = Arc::new(OsStorage);
    let queue = site.try_open(settings).unwrap();
    append(&queue, event(1, 100)).await;
    queue.close().await.unwrap();
}

#[tokio::test]
async fn closing_answers_every_call_that_is_under_way() {
    let site = Site::new();
    let queue = site.open();
    let appends = (1..=500).map(|n| queue.append(event(n, 100)));
    let (appended, closed) = tokio::join!(futures_util::future::join_all(appends), queue.close());
    closed.unwrap();
    let n_stored = appended.iter().filter(|appended| appended.is_ok()).count();
    for appended in appended {
        assert!(matches!(appended, Ok(_) | Err(QueueError::Closed)), "{appended:?}");
    }
    let queue = site.open();
    assert!(all_positions(&queue).await.len() >= n_stored);
}
