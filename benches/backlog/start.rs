//! How soon a large log takes its next event after a kill, and after a power cut that took what is
//! derived from the log (index and snapshots) with it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use gatepost::event::HandlerName;
use gatepost::queue::{Queue, Start};

use super::{BODY_BYTES, RETENTION, append, event, open};

/// The argument by which the process is told that it is to be killed.
pub(crate) const FILL: &str = "--fill";

pub(crate) async fn run(folder: &Path, n_gib: u64) {
    fill_and_kill(folder, (n_gib << 30) / BODY_BYTES as u64);
    measure(folder, "kill").await;
    fill_and_kill(folder, 1_000);
    for derived in ["sled", "state"] {
        std::fs::remove_dir_all(folder.join("queue").join(derived)).unwrap();
    }
    measure(folder, "power cut").await;
}

async fn measure(folder: &Path, after: &str) {
    let begin = Instant::now();
    let queue = open(folder, RETENTION);
    queue.append(event(u64::MAX)).await.unwrap();
    let to_append = begin.elapsed().as_secs_f64();
    let subscription = queue.subscribe(&handler(), Start::Oldest).await.unwrap();
    subscription.next(1).await.unwrap();
    println!(
        "{after:<10} {to_append:>8.2} s to the first append (≤ 0.5), {:.2} s to the first delivery \
         (≤ 0.5)",
        begin.elapsed().as_secs_f64()
    );
    drop(subscription);
    queue.close().await.unwrap();
}

fn handler() -> HandlerName {
    HandlerName::parse("handler").unwrap()
}

fn fill_and_kill(folder: &Path, n_events: u64) {
    let mut filling = Command::new(std::env::current_exe().unwrap())
        .arg(FILL)
        .arg(folder)
        .arg(n_events.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut full = String::new();
    BufReader::new(filling.stdout.take().unwrap()).read_line(&mut full).unwrap();
    assert_eq!(full, "full\n", "the queue could not be filled");
    filling.kill().unwrap();
    filling.wait().unwrap();
}

/// The process that is killed.
pub(crate) async fn fill(folder: &Path, n_events: u64) {
    let queue = open(folder, RETENTION);
    drop(queue.subscribe(&handler(), Start::Oldest).await.unwrap());
    append(&queue, n_events).await;
    println!("full");
    std::future::pending::<()>().await;
}
