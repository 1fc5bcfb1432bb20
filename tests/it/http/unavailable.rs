//! What senders are told while nothing can be stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gatepost::clock::SystemClock;
use gatepost::queue::QueueError;
use gatepost::queue::embedded::testing::{MemoryDisk, RefusingQueue};

use super::super::support::bare::{Addresses, listeners};
use super::super::support::gateway::signature;
use super::super::support::wire::{self, Answer};

/// What fails its first appends, one of each sort, and takes what comes after.
fn fail_at_first() -> impl Fn() -> Result<(), QueueError> {
    let n_appends = AtomicUsize::new(0);
    move || match n_appends.fetch_add(1, Ordering::SeqCst) {
        0 => Err(QueueError::Full("the disk is full".into())),
        1 => Err(QueueError::Behind("the index")),
        2 => Err(QueueError::Poisoned),
        3 => Err(QueueError::Closed),
        _ => Ok(()),
    }
}

fn failing(test: impl FnOnce(Addresses)) {
    let queue = MemoryDisk::new().open(Arc::new(SystemClock::new()));
    let failing = RefusingQueue::new(queue, fail_at_first());
    listeners(Arc::new(failing), Duration::from_secs(10), test);
}

fn send(at: Addresses) -> Answer {
    wire::post(at.public, "/hooks/hyvor", &[("X-Signature", &signature(b"{}"))], b"{}")
}

#[test]
fn what_cannot_be_stored_is_answered_503_with_a_time_to_come_back() {
    failing(|at| {
        for expected in ["30", "1", "5", "5"] {
            let answer = send(at);
            assert_eq!(answer.status, 503);
            assert_eq!(answer.header("retry-after"), Some(expected));
            assert_eq!(answer.text(), r#"{"title":"Service Unavailable","status":503}"#);
        }
        send(at).id();
        // Whoever cannot sign learns nothing of it.
        assert_eq!(wire::post(at.public, "/hooks/hyvor", &[], b"{}").status, 401);
    });
}

#[test]
fn a_store_that_takes_nothing_is_not_ready() {
    failing(|at| {
        let ready = || wire::request(at.admin, "GET", "/readyz", &[], b"");
        for expected in ["the disk is full", "behind", "poisoned", "closed"] {
            let answer = ready();
            assert_eq!(answer.status, 503);
            assert!(answer.text().contains(expected), "{}", answer.text());
        }
        assert_eq!(ready().status, 200);
    });
}
