//! Connections that say nothing, or hardly anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost::clock::SystemClock;
use gatepost::queue::embedded::testing::MemoryDisk;

use super::super::support::bare::listeners;
use super::super::support::wire::{Wire, head};

/// Listeners that lose patience soon.
fn impatient(test: impl FnOnce(SocketAddr)) {
    let queue = MemoryDisk::new().open(Arc::new(SystemClock::new()));
    listeners(Arc::new(queue), Duration::from_secs(2), |at| test(at.public));
}

#[test]
fn a_connection_without_a_request_is_hung_up_on() {
    impatient(|address| {
        let mut wire = Wire::to(address);
        assert_eq!(wire.answer().map_or(0, |answer| answer.status), 408);
        assert!(wire.is_closed());
    });
}

#[test]
fn an_idle_connection_is_hung_up_on() {
    impatient(|address| {
        let mut wire = Wire::to(address);
        wire.write(head("GET", "/healthz", &[]).as_bytes());
        assert_eq!(wire.answer().unwrap().status, 200);
        assert!(wire.is_closed());
    });
}

#[test]
fn half_a_head_behind_a_good_request_does_not_hold_the_connection() {
    impatient(|address| {
        let mut wire = Wire::to(address);
        let good = head("GET", "/healthz", &[]);
        let half = "POST /hooks/hyvor HTTP/1.1\r\nHost: localhost\r\nX-";
        wire.write((good + half).as_bytes());
        assert_eq!(wire.answer().unwrap().status, 200);
        assert!(wire.is_closed());
    });
}
