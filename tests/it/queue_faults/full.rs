//! A disk that is full: what room stays, and for what.

use super::*;

/// With next to no `disk_reserve`, and a handler that fails once with each.
#[tokio::test]
async fn a_full_disk_leaves_room_for_outcomes_and_for_what_frees_it() {
    let site = Site::new();
    let settings = || Settings { retention: Duration::ZERO, disk_reserve: 1, ..site.settings() };
    let queue = site.try_open_inline(settings()).unwrap();
    let subscription = subscribe(&queue, "h").await;
    site.disk.set_free(8 * u64::from(SEGMENT_BYTES));
    let mut n_stored = 0;
    while queue.append(event(n_stored + 1, 600)).await.is_ok() {
        n_stored += 1;
        assert!(n_stored < 10_000);
    }
    for delivery in take_due(&*subscription) {
        let at = site.clock_steady().after(Duration::from_mins(1));
        settle(&*subscription, delivery, Outcome::Retry { at, order_key: None }).await;
    }
    queue.clean().await.unwrap();
    site.advance_secs(61);
    assert_eq!(deliver_all(&*subscription).await as u64, n_stored);
    queue.clean().await.unwrap();
    // A kill: what is not recorded by now is delivered again.
    drop((subscription, queue));
    let queue = site.try_open_inline(settings()).unwrap();
    let subscription = subscribe(&queue, "h").await;
    assert_eq!(deliver_all(&*subscription).await, 0);
    queue.clean().await.unwrap();
    append(&queue, event(100_000, 200)).await;
    assert_eq!(deliver_all(&*subscription).await, 1);
}
