//! A large backlog in the queue itself: `cargo bench --bench backlog` (`--events N`, 1,000,000).
//!
//! Appends events of 1 KB from 64 senders while nobody takes them, reopens the queue, lets one
//! handler drain it, then another one, which has a dead letter, while what both have goes, and
//! prints rates, memory and disk beside the bounds they should keep. `--retries` measures as many
//! deliveries that wait for their next attempt instead, and `--start GIB` how soon a log of this
//! size is open after a kill and after a power cut.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program that measures"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gatepost::clock::{Clock, SystemClock};
use gatepost::event::{
    DataRoot, Dedupe, DedupeKey, EventType, HandlerName, Headers, NewEvent, Outcome, Settlement,
    SourceName,
};
use gatepost::queue::embedded::{EmbeddedQueue, Settings};
use gatepost::queue::{Queue, Start};

#[path = "backlog/retries.rs"]
mod retries;
#[path = "backlog/start.rs"]
mod start;

const SENDERS: usize = 64;
const BODY_BYTES: usize = 1024;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let place = |name: &str| arguments.iter().position(|argument| argument == name);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Some(at) = place(start::FILL) {
        let (folder, n_events) = (Path::new(&arguments[at + 1]), arguments[at + 2].parse());
        return runtime.block_on(start::fill(folder, n_events.unwrap()));
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let n_events = place("--events").map_or(1_000_000, |at| arguments[at + 1].parse().unwrap());
    if let Some(at) = place("--start") {
        runtime.block_on(start::run(folder.path(), arguments[at + 1].parse().unwrap()));
    } else if place("--retries").is_some() {
        runtime.block_on(retries::run(folder.path(), n_events));
    } else {
        runtime.block_on(run(folder.path(), n_events));
    }
}

/// What is settled stays for so long; with none of it, it goes while the rest is drained.
const RETENTION: Duration = Duration::from_hours(7 * 24);

fn open(folder: &Path, retention: Duration) -> Arc<EmbeddedQueue> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let new = Settings::new(folder.join("queue"));
    // A log of `--start` is as large as it is told to be.
    let settings = Settings { retention, disk_max: 1 << 40, ..new };
    Arc::new(EmbeddedQueue::open(settings, clock).unwrap())
}

async fn run(folder: &Path, n_events: u64) {
    let queue = open(folder, RETENTION);
    for handler in ["first", "second"] {
        let handler = HandlerName::parse(handler).unwrap();
        drop(queue.subscribe(&handler, Start::Oldest).await.unwrap());
    }
    let rates = append(&queue, n_events).await;
    let bodies = (n_events * BODY_BYTES as u64) as f64;
    println!(
        "append     first tenth {:>8.0}/s, last tenth {:>8.0}/s, ratio {:.2} (≥ 0.80)",
        rates.0,
        rates.1,
        rates.1 / rates.0
    );
    println!("memory     {:>8.1} MiB resident (≤ 100)", resident_mib());
    println!("disk       {:>8.3} x the bodies while full (≤ 1.3)", size(folder) as f64 / bodies);
    queue.close().await.unwrap();
    drop(queue);

    drain(folder, RETENTION, "first", n_events).await;
    drain(folder, Duration::ZERO, "second", n_events).await;
}

/// Opens the queue anew and lets one handler take everything. Without retention everything goes
/// once the last handler has it.
async fn drain(folder: &Path, retention: Duration, name: &str, n_events: u64) {
    let what = if retention.is_zero() { "pruning meanwhile" } else { "" };
    let begin = Instant::now();
    let queue = open(folder, retention);
    let handler = HandlerName::parse(name).unwrap();
    let subscription = queue.subscribe(&handler, Start::Oldest).await.unwrap();
    let mut taken = subscription.next(1_000).await.unwrap();
    println!("restart    {:>8.2} s to the first delivery (≤ 2)", begin.elapsed().as_secs_f64());

    let (mut n_taken, mut last) = (0, None);
    let mut tenth = Instant::now();
    let mut rates = Vec::new();
    loop {
        for delivery in taken {
            // In their order and whole: a drain that is quick because it leaves out is none.
            assert!(last < Some(delivery.event.position), "an event is out of its order");
            assert_eq!(delivery.event.body.len(), BODY_BYTES, "an event is not whole");
            last = Some(delivery.event.position);
            n_taken += 1;
            // One dead letter among them, which every owner has.
            let dies = retention.is_zero() && n_taken == 1;
            let outcome = if dies { Outcome::Dead { order_key: None } } else { Outcome::Delivered };
            let settlement = Settlement { delivery, outcome, attempt: None };
            subscription.settle(settlement).await.unwrap();
            if n_taken % (n_events / 10) == 0 {
                rates.push(n_events as f64 / 10.0 / tenth.elapsed().as_secs_f64());
                tenth = Instant::now();
            }
        }
        if n_taken == n_events {
            break;
        }
        taken = subscription.next(1_000).await.unwrap();
    }
    println!(
        "drain      first tenth {:>8.0}/s, last tenth {:>8.0}/s, ratio {:.2} (≥ 0.80) {what}",
        rates[0],
        rates[9],
        rates[9] / rates[0]
    );
    let rates: Vec<String> = rates.iter().map(|rate| format!("{:.0}k", rate / 1000.0)).collect();
    println!("           each tenth: {}", rates.join(" "));
    println!("memory     {:>8.1} MiB resident (≤ 100)", resident_mib());
    if retention.is_zero() {
        prune(folder).await;
    }
    drop(subscription);
    queue.close().await.unwrap();
}

/// The janitor looks once a second and lets everything go that is settled: until nothing goes any
/// more.
async fn prune(folder: &Path) {
    let begin = Instant::now();
    let (mut before, mut went) = (size(folder), begin.elapsed());
    while begin.elapsed() < went + Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = size(folder);
        if now < before {
            (before, went) = (now, begin.elapsed());
        }
    }
    println!(
        "disk       {:>8.1} MiB after all is settled and pruned (≤ 100), {:.1} s later",
        before as f64 / f64::from(1 << 20),
        went.as_secs_f64()
    );
}

/// Rates of the first and the last tenth.
async fn append(queue: &Arc<EmbeddedQueue>, n_events: u64) -> (f64, f64) {
    let counter = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let marks: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (queue, counter) = (Arc::clone(queue), Arc::clone(&counter));
            tokio::spawn(async move {
                let mut marks = Vec::new();
                loop {
                    let number = counter.fetch_add(1, Ordering::Relaxed);
                    if number >= n_events {
                        return marks;
                    }
                    queue.append(event(number)).await.unwrap();
                    let done = number + 1;
                    if done == n_events / 10 || done == n_events * 9 / 10 || done == n_events {
                        marks.push((done, begin.elapsed().as_secs_f64()));
                    }
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for sender in marks {
        all.extend(sender.await.unwrap());
    }
    all.sort_by_key(|(done, _)| *done);
    let tenth = n_events as f64 / 10.0;
    (tenth / all[0].1, tenth / (all[2].1 - all[1].1))
}

fn event(number: u64) -> NewEvent {
    let mut body = format!(r#"{{"event":"comment.create","n":{number},"fill":""#);
    while body.len() < BODY_BYTES - 2 {
        body.push('x');
    }
    body.push_str("\"}");
    let signature = [b'a'; 64];
    let headers: &[(&str, &[u8])] = &[
        ("host", b"127.0.0.1:8080"),
        ("content-type", b"application/json"),
        ("content-length", b"1024"),
        ("x-signature", &signature),
    ];
    let key = (u128::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    NewEvent {
        source: SourceName::parse("hyvor").unwrap(),
        event_type: EventType::new("comment.create"),
        received_at: SystemClock::new().now(),
        data_root: DataRoot::Data,
        is_json: false,
        headers: headers.iter().copied().collect::<Headers>(),
        body: body.into(),
        dedupe: Dedupe::Within {
            key: DedupeKey(key.to_be_bytes()),
            window: Duration::from_hours(24),
        },
    }
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let mut n_bytes = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // A file may go while it is looked at.
        let Ok(metadata) = entry.metadata() else { continue };
        n_bytes += if metadata.is_dir() { size(&entry.path()) } else { metadata.len() };
    }
    n_bytes
}
