//! Connections that say nothing, or hardly anything.

use std::sync::Arc;
use std::time::Duration;

use gatepost::api::Api;
use gatepost::clock::{Clock, SystemClock};
use gatepost::http::admin::{Admin, Gate};
use gatepost::http::public::{Limits, Public};
use gatepost::http::{self, Listen};
use gatepost::ingest::Ingest;
use gatepost::metrics::Metrics;
use gatepost::queue::Queue;
use gatepost::queue::memory::MemoryDisk;
use gatepost::secret::Secret;
use tokio_util::sync::CancellationToken;

use super::super::support::wire::{Wire, head};

/// Listeners without sources, which lose patience soon.
fn impatient(test: impl FnOnce(std::net::SocketAddr)) {
    let soon = Duration::from_millis(50);
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let queue: Arc<dyn Queue> = Arc::new(MemoryDisk::new().open(Arc::clone(&clock)));
    let metrics = Metrics::new();
    let ingest = Ingest::new(Arc::clone(&queue), Arc::clone(&clock), metrics.clone(), Vec::new());
    let limits = Limits { body_max: 1024, request_timeout: soon, trusted_proxies: Vec::new() };
    let public = Public::new(Arc::new(ingest), metrics.clone(), Arc::clone(&clock), limits);
    let loopback = ([127, 0, 0, 1], 0).into();
    let gate = Gate::new(Secret::new("token"), std::net::IpAddr::from([127, 0, 0, 1]));
    let admin = Admin { api: Api::offline(queue, Arc::clone(&clock)), metrics, clock, gate };
    let listen = Listen {
        public: vec![loopback],
        admin: loopback,
        socket: folder.path().join("admin.sock"),
        workers: 1,
        keep_alive: soon,
        request_timeout: soon,
    };
    let stop = CancellationToken::new();
    let listeners = http::start(listen, Arc::new(public), Arc::new(admin), stop.clone()).unwrap();
    test(listeners.public()[0]);
    stop.cancel();
    listeners.join().unwrap();
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
