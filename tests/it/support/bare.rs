//! Listeners around any queue, without an app around them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost::api::Api;
use gatepost::clock::{Clock, SystemClock};
use gatepost::event::SourceName;
use gatepost::http::admin::{Admin, Gate, Tokens};
use gatepost::http::public::Public;
use gatepost::http::{self, Listen};
use gatepost::ingest::{Ingest, Limits};
use gatepost::metrics::Metrics;
use gatepost::queue::Queue;
use gatepost::secret::Secret;
use gatepost::source::{Source, SourceSettings};
use tokio_util::sync::CancellationToken;

use super::gateway::SECRET;

/// Where the listeners are.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// Runs `test` against listeners in front of `queue`, with the source `hyvor`, which wait `patience`
/// for whatever they wait for.
pub(crate) fn listeners(queue: Arc<dyn Queue>, patience: Duration, test: impl FnOnce(Addresses)) {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = Metrics::new();
    let name = SourceName::parse("hyvor").unwrap();
    let settings = SourceSettings::of_provider("hyvor-talk", Vec::new()).unwrap();
    let source = Source::with_secrets(name, settings, vec![Secret::new(SECRET)]).unwrap();
    let sources = vec![source];
    let limits = Limits {
        body_max: 1024,
        body_timeout: patience,
        unverified: None,
        unverified_bytes: 1 << 20,
    };
    let ingest =
        Ingest::new(Arc::clone(&queue), Arc::clone(&clock), metrics.clone(), limits, sources);
    let public = Public::new(Arc::new(ingest), Vec::new());
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let tokens = Tokens { owner: Secret::new("token"), reader: None, standby: None };
    let gate = Arc::new(Gate::new(tokens, loopback.ip()));
    let admin = Admin {
        api: Api::offline(queue, Arc::clone(&clock)),
        metrics,
        clock,
        standbys: None,
        gate,
    };
    let listen = Listen {
        public: vec![loopback],
        admin: loopback,
        socket: folder.path().join("admin.sock"),
        workers: 1,
        n_connections: 100,
        keep_alive: patience,
        request_timeout: patience,
        tls: None,
        challenge: Vec::new(),
        challenges: Arc::default(),
        inherited: Vec::new(),
    };
    let stop = CancellationToken::new();
    let listeners = http::start(listen, Arc::new(public), Arc::new(admin), stop.clone()).unwrap();
    let (public, admin) = (listeners.public()[0], listeners.admin().unwrap());
    test(Addresses { public, admin });
    stop.cancel();
    listeners.join().unwrap();
}
