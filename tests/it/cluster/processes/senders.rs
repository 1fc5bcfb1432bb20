//! Senders that send each key's events one after the other, and remember what was acknowledged.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::crash::load::post;
use crate::support::patience::wait_while_more_comes;

/// An event that was answered 200.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) number: u64,
}

pub(super) struct Senders {
    stop: Arc<AtomicBool>,
    /// How long each rests between its events, in milliseconds.
    rest: Arc<AtomicU64>,
    n_acknowledged: Arc<AtomicU64>,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    threads: Vec<JoinHandle<()>>,
}

/// A thread that waits without a pause takes a processor from the gateways.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl Senders {
    /// One sender for each of so many keys, which asks the gateways in turn.
    pub(super) fn start(gateways: &[SocketAddr], n_keys: usize) -> Self {
        Self::start_with((n_keys, 0), |_| gateways.to_vec())
    }

    /// The same where each key stays with one gateway.
    pub(super) fn start_apart(gateways: &[SocketAddr], n_keys: usize) -> Self {
        Self::start_apart_at(gateways, (n_keys, 0))
    }

    /// The same with a number of each key's first event, behind those of earlier senders.
    pub(super) fn start_apart_at(gateways: &[SocketAddr], keys: (usize, u64)) -> Self {
        Self::start_with(keys, |key| vec![gateways[key % gateways.len()]])
    }

    fn start_with(
        (n_keys, first): (usize, u64),
        gateways_of: impl Fn(usize) -> Vec<SocketAddr>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rest = Arc::new(AtomicU64::new(0));
        let n_acknowledged = Arc::new(AtomicU64::new(0));
        let acknowledged: Arc<Mutex<Vec<Acknowledged>>> = Arc::default();
        let threads = (0..n_keys).map(|key| {
            let gateways = gateways_of(key);
            let (stop, n_acknowledged) = (Arc::clone(&stop), Arc::clone(&n_acknowledged));
            let (acknowledged, rest) = (Arc::clone(&acknowledged), Arc::clone(&rest));
            std::thread::spawn(move || {
                let mut connections: Vec<Option<TcpStream>> =
                    gateways.iter().map(|_| None).collect();
                let (key, mut number, mut turn) = (format!("key-{key}"), first, 0);
                while !stop.load(Ordering::Relaxed) {
                    let body =
                        format!(r#"{{"event":"x","data":{{"key":"{key}","number":{number}}}}}"#);
                    let at = turn % gateways.len();
                    turn += 1;
                    let connection = connections[at].take().or_else(|| connect(gateways[at]));
                    // It is gone, or says 503: the other one is asked for the same event.
                    let Some(mut connection) = connection else {
                        std::thread::sleep(LOOK_AGAIN);
                        continue;
                    };
                    let answer = post(&mut connection, "hyvor", body.as_bytes());
                    let Some((200, id)) = answer else { continue };
                    connections[at] = Some(connection);
                    acknowledged.lock().unwrap().push(Acknowledged {
                        id,
                        key: key.clone(),
                        number,
                    });
                    n_acknowledged.fetch_add(1, Ordering::Relaxed);
                    number += 1;
                    std::thread::sleep(Duration::from_millis(rest.load(Ordering::Relaxed)));
                }
            })
        });
        let threads = threads.collect();
        Self { stop, rest, n_acknowledged, acknowledged, threads }
    }

    /// From now on each sends at most one event in `rest`.
    pub(super) fn rest(&self, rest: Duration) {
        let millis = u64::try_from(rest.as_millis()).unwrap();
        self.rest.store(millis, Ordering::Relaxed);
    }

    pub(super) fn n_acknowledged(&self) -> u64 {
        self.n_acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many were acknowledged.
    #[track_caller]
    pub(super) fn wait_for(&self, n_events: u64) {
        let what = format!("{n_events} events are acknowledged");
        let n_acknowledged = || self.n_acknowledged();
        wait_while_more_comes(what, n_acknowledged, || n_acknowledged() >= n_events);
    }

    /// Ends the senders; gives what was acknowledged.
    pub(super) fn stop(self) -> Vec<Acknowledged> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        std::mem::take(&mut self.acknowledged.lock().unwrap())
    }
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Some(stream)
}
