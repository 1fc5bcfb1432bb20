//! What as many deliveries as the queue lets wait cost, all of them to be tried again in an hour.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatepost::clock::{Clock, SystemClock};
use gatepost::event::{Delivery, HandlerName, Outcome, Settlement};
use gatepost::queue::embedded::EmbeddedQueue;
use gatepost::queue::{Queue, Start, Subscription};

use super::{RETENTION, append, event, open, resident_mib};

const DUE_IN: Duration = Duration::from_hours(1);
/// How many answers the percentile is taken of.
const N_ACKS: u64 = 200_000;

pub(crate) async fn run(folder: &Path, n_events: u64) {
    let queue = open(&folder.join("none"), RETENTION);
    let handler = HandlerName::parse("handler").unwrap();
    drop(queue.subscribe(&handler, Start::Oldest).await.unwrap());
    let without = p999_ms(&queue).await;
    queue.close().await.unwrap();
    drop(queue);

    let folder = folder.join("waiting");
    let queue = open(&folder, RETENTION);
    drop(queue.subscribe(&handler, Start::Oldest).await.unwrap());
    append(&queue, n_events).await;
    let subscription = queue.subscribe(&handler, Start::Oldest).await.unwrap();
    let begin = Instant::now();
    let mut n_waiting = 0;
    while n_waiting < n_events {
        n_waiting += put_off(subscription.next(1_000).await.unwrap(), subscription.as_ref()).await;
    }
    println!("put off    {:>8.0}/s", n_events as f64 / begin.elapsed().as_secs_f64());
    println!("memory     {:>8.1} MiB resident (≤ 160)", resident_mib());
    drop(subscription);
    let with = p999_ms(&queue).await;
    println!(
        "p99.9      {with:>8.2} ms of an append, {without:.2} ms while nothing waits, ratio {:.2} \
         (≤ 1.20)",
        with / without
    );
    queue.close().await.unwrap();
    drop(queue);

    let begin = Instant::now();
    let queue = open(&folder, RETENTION);
    queue.append(event(u64::MAX)).await.unwrap();
    println!("restart    {:>8.2} s to the first append (≤ 1)", begin.elapsed().as_secs_f64());
    // No delivery is measured: at `waiting_max` the handler takes nothing more out of the log.
    queue.close().await.unwrap();
}

/// Settles all of them as to be tried again; how many they were.
async fn put_off(deliveries: Vec<Delivery>, subscription: &dyn Subscription) -> u64 {
    let at = SystemClock::new().steady().after(DUE_IN);
    let n_deliveries = deliveries.len() as u64;
    let settlements = deliveries
        .into_iter()
        .map(|delivery| Settlement {
            delivery,
            outcome: Outcome::Retry { at, order_key: None },
            attempt: None,
        })
        .collect();
    subscription.settle_all(settlements).await.unwrap();
    n_deliveries
}

/// The 99.9th percentile of how long 64 senders wait for their appends.
async fn p999_ms(queue: &Arc<EmbeddedQueue>) -> f64 {
    let senders: Vec<_> = (0..64)
        .map(|sender| {
            let queue = Arc::clone(queue);
            tokio::spawn(async move {
                let mut took = Vec::new();
                for number in 0..N_ACKS / 64 {
                    let begin = Instant::now();
                    queue.append(event((1 << 40) + number * 64 + sender)).await.unwrap();
                    took.push(begin.elapsed());
                }
                took
            })
        })
        .collect();
    let mut all = Vec::new();
    for sender in senders {
        all.extend(sender.await.unwrap());
    }
    all.sort_unstable();
    all[all.len() * 999 / 1000].as_secs_f64() * 1000.0
}
