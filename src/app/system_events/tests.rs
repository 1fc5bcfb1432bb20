//! What becomes of own events that the queue has no room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::metrics::Metrics;
use crate::queue::embedded::testing::{MemoryDisk, RefusingQueue};
use crate::queue::{EventQuery, Queue, QueueError};
use crate::trace::Traces;

#[tokio::test]
async fn own_events_that_find_the_queue_full_are_stored_in_their_order_once_there_is_room() {
    let clock: Arc<dyn Clock> =
        Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    let queue = MemoryDisk::new().open(Arc::clone(&clock));
    let is_full = Arc::new(AtomicBool::new(true));
    let refuses = Arc::clone(&is_full);
    let queue: Arc<dyn Queue> = Arc::new(RefusingQueue::new(queue, move || {
        let full = || QueueError::Full("the disk is full".to_owned());
        if refuses.load(Ordering::SeqCst) { Err(full()) } else { Ok(()) }
    }));
    let core = Core { queue, clock, metrics: Metrics::new(), traces: Traces::default() };
    let own = SystemSource::new(core.clone());
    let since = core.clock.now();
    let down = json!({
        "handler": "mail", "kind": "email", "since": since, "failures": 10, "error": "no connection",
    });
    let back =
        json!({ "handler": "mail", "kind": "email", "down_since": since, "down_seconds": 9 });
    let types = async || {
        let query = EventQuery { limit: 9, ..EventQuery::default() };
        let newest_first = core.queue.list(query).await.unwrap();
        newest_first.iter().map(|event| event.event_type.to_string()).collect::<Vec<_>>()
    };
    own.append("handler.down", "mail", &down).await;
    own.store_held().await;
    assert!(types().await.is_empty() && own.holds_some().await);
    is_full.store(false, Ordering::SeqCst);
    // The next one brings the one before with it, and neither comes twice.
    own.append("handler.back", "mail", &back).await;
    own.store_held().await;
    assert_eq!(types().await, ["handler.back", "handler.down"]);
    assert!(!own.holds_some().await);
}
