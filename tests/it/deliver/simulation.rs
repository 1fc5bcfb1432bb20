//! Random failures, hangs, panics and crashes, under paused time. Whatever happens:
//!
//! - every event is settled in the end,
//! - a call is made for no event that is settled (as the queue knows it: a crash may take back the
//!   last settlements),
//! - a call is made for no event before the earlier ones of its key are settled.

use std::collections::HashSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gatepost::deliver::{Batch, Breaker, OnDeadLetter, Policy, Retry, Wait};
use gatepost::event::{Delivery, Failure, HandlerName, Output, Position};
use gatepost::expr::Expression;
use gatepost::handler::Handler;
use gatepost::queue::embedded::EmbeddedQueue;
use gatepost::queue::embedded::testing::{Standing, standing};
use gatepost::queue::{DeadFilter, Queue};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::rig::{Rig, secs, until};

const N_EVENTS: u64 = 400;
const N_CRASHES: usize = 6;

/// The key of the event at `position`; events of key 0 have none.
fn key(position: u64, n_keys: u64) -> u64 {
    position * 7 % n_keys
}

fn body(position: u64, n_keys: u64) -> String {
    match key(position, n_keys) {
        0 => "{}".to_owned(),
        key => format!(r#"{{"k":{key}}}"#),
    }
}

fn policy(random: &mut StdRng) -> Policy {
    let retry = Retry {
        attempts: NonZeroU32::new(random.random_range(2..8)),
        min: secs(1),
        max: secs(60),
        total: Duration::from_hours(2),
        ..Retry::DEFAULT
    };
    let batch = random.random_bool(0.5).then(|| Batch {
        max: NonZeroUsize::new(random.random_range(2..20)).unwrap(),
        wait: Wait::For(secs(random.random_range(0..3))),
    });
    Policy {
        order_by: Some(Arc::new(Expression::compile("payload.k or none").unwrap())),
        on_dead_letter: if random.random_bool(0.3) {
            OnDeadLetter::Hold
        } else {
            OnDeadLetter::Release
        },
        concurrency: NonZeroUsize::new(random.random_range(1..9)).unwrap(),
        timeout: secs(5),
        retry,
        breaker: Breaker { failures: NonZeroU32::new(10).unwrap(), probe_interval: secs(10) },
        batch,
        drain: secs(2),
        ..Policy::default()
    }
}

/// Fails at random, and checks each call against what the queue knows.
struct Wild {
    queue: Arc<EmbeddedQueue>,
    random: Mutex<StdRng>,
    n_keys: u64,
    /// How often a call fails.
    failing: f64,
    /// What it has taken or refused for good in this life, settled or about to be.
    over: Mutex<HashSet<u64>>,
    /// What was wrong: the loop's fence catches panics.
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Wild {
    fn check(&self, deliveries: &[Delivery]) {
        for (index, delivery) in deliveries.iter().enumerate() {
            let position = delivery.event.position.0;
            if self.is_settled(position) {
                self.wrong(format!("{position} was settled before"));
            }
            if key(position, self.n_keys) == 0 {
                continue;
            }
            let is_same = |earlier: &u64| key(*earlier, self.n_keys) == key(position, self.n_keys);
            for earlier in (1..position).filter(is_same) {
                let is_with_it =
                    deliveries[..index].iter().any(|one| one.event.position.0 == earlier);
                if !is_with_it && !self.is_over(earlier) && !self.is_settled(earlier) {
                    self.wrong(format!("{position} overtakes {earlier}"));
                }
            }
        }
    }

    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    fn is_over(&self, position: u64) -> bool {
        self.over.lock().unwrap().contains(&position)
    }

    fn is_settled(&self, position: u64) -> bool {
        match standing(&self.queue, &HandlerName::parse("h").unwrap(), Position(position)).unwrap()
        {
            Standing::Settled | Standing::Dead => true,
            Standing::Open | Standing::Waiting | Standing::Lost => false,
        }
    }
}

#[async_trait]
impl Handler for Wild {
    async fn handle(&self, deliveries: &[Delivery]) -> Result<Output, Failure> {
        self.check(deliveries);
        let (time, kind) = {
            let mut random = self.random.lock().unwrap();
            let time = random.random_bool(0.5).then(|| random.random_range(0..3_000));
            let fails = random.random_bool(self.failing);
            (time, if fails { random.random_range(0..10) } else { 10 })
        };
        if let Some(millis) = time {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        self.check(deliveries);
        if kind == 10 || ((1..=2).contains(&kind) && deliveries.len() == 1) {
            let positions = deliveries.iter().map(|delivery| delivery.event.position.0);
            self.over.lock().unwrap().extend(positions);
        }
        match kind {
            0 => std::future::pending().await,
            1 | 2 => Err(Failure::permanent("never")),
            3 => Err(Failure::transient("busy").with_retry_after(Some(secs(20)))),
            4 => std::panic::resume_unwind(Box::new("as a handler may")),
            5..10 => Err(Failure::transient("refused")),
            _ => Ok(Output::default()),
        }
    }

    fn batch_max(&self) -> usize {
        100
    }
}

async fn simulate(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::new();
    let policy = policy(&mut random);
    let failing = random.random_range(0.0..0.5);
    // Not a multiple of 7, and with few keys their lines spill.
    let n_keys = [2, 3, 5, 12][random.random_range(0..4)];
    let wrong = Arc::new(Mutex::default());
    let bodies: Vec<String> = (1..=N_EVENTS).map(|position| body(position, n_keys)).collect();
    let mut n_appended = 0;
    for life in 0..=N_CRASHES {
        let is_last = life == N_CRASHES;
        let handler = Arc::new(Wild {
            queue: Arc::clone(&rig.queue),
            random: Mutex::new(StdRng::seed_from_u64(random.random())),
            n_keys,
            failing: if is_last { failing / 4.0 } else { failing },
            over: Mutex::default(),
            wrong: Arc::clone(&wrong),
        });
        let (deliverer, _) = rig.deliverer("h", policy.clone(), handler).await;
        let shutdown = CancellationToken::new();
        let n_end =
            if is_last { bodies.len() } else { random.random_range(n_appended..=bodies.len()) };
        tokio::select! {
            ended = deliverer.run(shutdown.clone()) => ended.unwrap(),
            () = live(&rig, &bodies[n_appended..n_end], &mut random, is_last, &shutdown) => {}
        }
        n_appended = usize::try_from(rig.queue.stats().last.0).unwrap();
        if !is_last {
            rig.kill();
        }
    }
    assert_eq!(*wrong.lock().unwrap(), Vec::<String>::new(), "seed {seed}");
    assert_eq!(n_appended, bodies.len());
    assert!(rig.is_settled("h"));
}

/// Appends events now and then. The end comes at any moment, three times in ten in good order.
async fn live(
    rig: &Rig,
    bodies: &[String],
    random: &mut StdRng,
    is_last: bool,
    shutdown: &CancellationToken,
) {
    for body in bodies {
        rig.append("a", body).await;
        if random.random_bool(0.2) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..2_000))).await;
        }
    }
    if is_last {
        return finish(rig).await;
    }
    tokio::time::sleep(Duration::from_millis(random.random_range(0..60_000))).await;
    if random.random_bool(0.3) {
        shutdown.cancel();
        std::future::pending::<()>().await;
    }
}

/// Waits until everything is settled. A dead letter that holds its key is dropped by its owner.
async fn finish(rig: &Rig) {
    loop {
        let began = rig.clock.since_start();
        until(|| rig.is_settled("h") || rig.clock.since_start() >= began + secs(3_600)).await;
        if rig.is_settled("h") {
            return;
        }
        let n_dropped = rig.queue.drop_dead(DeadFilter::default()).await.unwrap();
        assert!(n_dropped > 0, "forgotten: {:?}", rig.backlog("h"));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_forgotten_repeated_or_overtaken() {
    for seed in 0..20 {
        simulate(seed).await;
    }
}
