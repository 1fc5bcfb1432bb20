//! Order by key over the embedded queue, with the system's clock and its threads.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gatepost::clock::{Clock, SystemClock};
use gatepost::deliver::{Attempts, Breaker, Context, Deliverer, FailureLog, Policy, Retry};
use gatepost::event::{Delivery, Failure, Output};
use gatepost::expr::Expression;
use gatepost::handler::Handler;
use gatepost::metrics::Metrics;
use gatepost::queue::embedded::{EmbeddedQueue, Settings};
use gatepost::queue::{Queue, Start};
use gatepost::trace::Traces;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::rig::Told;
use crate::support::events::{handler, new_event};

const KEYS: u64 = 40;
const PER_KEY: u64 = 100;

/// Fails one time in ten, and writes down what came in which order.
struct InOrder {
    random: Mutex<StdRng>,
    /// The positions that each key had, in the order of their calls.
    seen: Mutex<HashMap<u64, Vec<u64>>>,
    /// Ends the life when so many were delivered.
    end: u64,
    stop: CancellationToken,
}

#[async_trait]
impl Handler for InOrder {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        if self.random.lock().unwrap().random_ratio(1, 10) {
            return Err(Failure::transient("at random"));
        }
        // So that calls of different keys overlap.
        tokio::task::yield_now().await;
        let position = deliveries[0].event.position.0;
        let mut seen = self.seen.lock().unwrap();
        seen.entry(position % KEYS).or_default().push(position);
        if seen.values().map(Vec::len).sum::<usize>() as u64 >= self.end {
            self.stop.cancel();
        }
        Ok(Output::default())
    }
}

fn open(folder: &Path, clock: &Arc<dyn Clock>) -> Arc<dyn Queue> {
    let settings = Settings { disk_reserve: 0, ..Settings::new(folder.join("queue")) };
    Arc::new(EmbeddedQueue::open(settings, Arc::clone(clock)).unwrap())
}

/// Delivers until `end` events have been delivered.
async fn live(queue: &Arc<dyn Queue>, clock: &Arc<dyn Clock>, end: u64) -> HashMap<u64, Vec<u64>> {
    let name = handler("h");
    let to = Arc::new(InOrder {
        random: Mutex::new(StdRng::seed_from_u64(end)),
        seen: Mutex::default(),
        end,
        stop: CancellationToken::new(),
    });
    let retry = Retry {
        attempts: None,
        min: Duration::from_millis(1),
        max: Duration::from_millis(20),
        ..Retry::DEFAULT
    };
    let policy = Policy {
        order_by: Some(Arc::new(Expression::compile("payload.key").unwrap())),
        breaker: Breaker { failures: NonZeroU32::MAX, ..Breaker::DEFAULT },
        retry,
        ..Policy::default()
    };
    let context = Context {
        policy,
        handler: Arc::clone(&to) as Arc<dyn Handler>,
        clock: Arc::clone(clock),
        metrics: Metrics::new().handler(&name),
        attempts: Arc::new(Attempts::default()),
        system_events: Arc::new(Told::default()),
        traces: Traces::default(),
        seed: end,
        log: FailureLog::default(),
        name: name.clone(),
    };
    let subscription = queue.subscribe(&name, Start::Oldest).await.unwrap();
    let (deliverer, _control) = Deliverer::new(context, subscription, Arc::clone(queue));
    deliverer.run(to.stop.clone()).await.unwrap();
    std::mem::take(&mut *to.seen.lock().unwrap())
}

#[tokio::test]
async fn keys_keep_their_order_across_retries_reloads_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut queue = open(folder.path(), &clock);
    let n_events = KEYS * PER_KEY;
    let appends = (1..=n_events).map(|position| {
        let body = format!(r#"{{"key":{}}}"#, position % KEYS);
        queue.append(new_event("a", &body, clock.now()))
    });
    futures_util::future::join_all(appends).await;

    let mut seen: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut n_left = n_events;
    for life in 0..4 {
        // All of the rest in the last life.
        let end = if life == 3 { n_left } else { n_events / 5 };
        for (key, positions) in live(&queue, &clock, end).await {
            n_left -= positions.len() as u64;
            seen.entry(key).or_default().extend(positions);
        }
        if life == 1 {
            queue.close().await.unwrap();
            queue = open(folder.path(), &clock);
        }
    }
    assert_eq!(seen.len() as u64, KEYS);
    for (key, positions) in seen {
        let first = if key == 0 { KEYS } else { key };
        let expected: Vec<u64> = (0..PER_KEY).map(|n| first + n * KEYS).collect();
        assert_eq!(positions, expected, "key {key}");
    }
    queue.close().await.unwrap();
}
