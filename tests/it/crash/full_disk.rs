//! A disk that is full: senders are told to come back, deliveries go on, and it heals by itself.

use super::disk::Disk;
use crate::support::gateway::{Folder, signature};
use crate::support::program::Served;
use crate::support::wire;

#[test]
fn a_full_disk_answers_503_and_200_again_once_there_is_room() {
    let Some(disk) = Disk::new(96) else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let events = elsewhere.path().join("events.jsonl");
    let handler = format!("[handler.elsewhere.file]\npath = {events:?}\n");
    let folder = Folder::new_in(&disk.path(), "", &handler);
    let served = Served::start(&folder);
    let ballast = disk.path().join("ballast");
    fill(&ballast);

    // What stands ready of the journal still takes some; then there is no room for more.
    let mut n_stored = 0;
    let refused = loop {
        let answer = send(&served, n_stored);
        if answer.status != 200 {
            break answer;
        }
        n_stored += 1;
        assert!(n_stored < 10_000, "an endless disk");
    };
    assert_eq!(refused.status, 503, "{}", refused.text());
    let retry_after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(retry_after >= 1);
    // What was taken is delivered all the same, to a handler that writes elsewhere.
    served.wait_until_delivered("elsewhere");
    assert_eq!(std::fs::read_to_string(&events).unwrap().lines().count(), n_stored);

    std::fs::remove_file(&ballast).unwrap();
    let answer = loop {
        let answer = send(&served, n_stored);
        if answer.status == 200 {
            break answer;
        }
        assert_eq!(answer.status, 503);
        std::thread::yield_now();
    };
    assert!(!answer.id().is_empty());
    assert_eq!(served.ask("GET", "/readyz").status, 200);
    assert_eq!(served.stop(), Some(0));
}

fn send(served: &Served, n: usize) -> wire::Answer {
    let body = format!(r#"{{"event":"comment.create","n":{n},"fill":"{}"}}"#, "x".repeat(60_000));
    let body = body.as_bytes();
    wire::post(served.public(), "/hooks/hyvor", &[("X-Signature", &signature(body))], body)
}

/// Writes until nothing fits any more.
fn fill(path: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 4 << 10] {
        while file.write_all(&vec![1; size]).and_then(|()| file.sync_data()).is_ok() {}
    }
}
