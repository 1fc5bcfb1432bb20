//! Senders that remember what was acknowledged.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::gateway::signature;

/// How many senders there are at once.
const SENDERS: usize = 12;

/// Acknowledged events: the id, and the body that must come back for it.
pub(crate) type Acknowledged = HashMap<String, Vec<u8>>;

/// Senders at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    n_acknowledged: Arc<AtomicU64>,
    acknowledged: Arc<Mutex<Acknowledged>>,
    /// The status by which a sender ended last; `None` = its connection did.
    ended: Arc<Mutex<Option<u16>>>,
    senders: Vec<JoinHandle<()>>,
}

impl Load {
    /// Sends events with bodies of 200 bytes to `body_max` to the source `hyvor` until it is stopped
    /// or the server is gone.
    pub(crate) fn start(address: SocketAddr, seed: u64, body_max: usize) -> Self {
        Self::to("hyvor", address, seed, body_max)
    }

    /// The same to another source of Hyvor Talk.
    pub(crate) fn to(
        source: &'static str,
        address: SocketAddr,
        seed: u64,
        body_max: usize,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let n_acknowledged = Arc::new(AtomicU64::new(0));
        let acknowledged = Arc::new(Mutex::new(Acknowledged::new()));
        let ended: Arc<Mutex<Option<u16>>> = Arc::default();
        let senders = (0..SENDERS).map(|sender| {
            let stop = Arc::clone(&stop);
            let n_acknowledged = Arc::clone(&n_acknowledged);
            let (acknowledged, ended) = (Arc::clone(&acknowledged), Arc::clone(&ended));
            let mut random = StdRng::seed_from_u64(seed * 1_000 + sender as u64);
            std::thread::spawn(move || {
                let Ok(mut stream) = TcpStream::connect(address) else { return };
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let body = body(&mut random, body_max);
                    let (id, body) = match post(&mut stream, source, &body) {
                        Some((200, id)) => (id, body),
                        // `None` = the server is gone: nothing was promised.
                        other => return *ended.lock().unwrap() = other.map(|(status, _)| status),
                    };
                    acknowledged.lock().unwrap().insert(id, body);
                    n_acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let senders = senders.collect();
        Self { stop, n_acknowledged, acknowledged, ended, senders }
    }

    /// Waits until so many were acknowledged.
    pub(crate) fn wait_for(&self, n_events: u64) {
        while self.n_acknowledged.load(Ordering::Relaxed) < n_events {
            let is_over = self.senders.iter().all(JoinHandle::is_finished);
            assert!(!is_over, "nobody sends: {:?}", self.ended.lock().unwrap());
            std::thread::yield_now();
        }
    }

    /// Ends the senders; gives what was acknowledged.
    pub(crate) fn stop(self) -> Acknowledged {
        self.stop.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender.join().unwrap();
        }
        std::mem::take(&mut self.acknowledged.lock().unwrap())
    }
}

/// A body that no other is like; most are small, some are large.
fn body(random: &mut StdRng, body_max: usize) -> Vec<u8> {
    let largest = random.random_range(200..=body_max);
    let larger = random.random_range(200..=largest);
    let n_bytes = random.random_range(200..=larger);
    let mut text = String::with_capacity(n_bytes + 64);
    let nonce: u128 = random.random();
    text += r#"{"event":"comment.create","nonce":""#;
    text += &nonce.to_string();
    text += r#"","fill":""#;
    while text.len() < n_bytes {
        text += &random.random::<u64>().to_string();
    }
    (text + "\"}").into_bytes()
}

/// Posts on a connection that stays; the status and the id.
pub(crate) fn post(stream: &mut TcpStream, source: &str, body: &[u8]) -> Option<(u16, String)> {
    let head = format!(
        "POST /hooks/{source} HTTP/1.1\r\nHost: localhost\r\nX-Signature: {}\r\nContent-Length: {}\r\n\r\n",
        signature(body),
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let status = head.split(' ').nth(1)?.parse().ok()?;
            if let Ok(json) = serde_json::from_str::<serde_json::Value>(rest) {
                return Some((status, json["id"].as_str().unwrap_or_default().to_owned()));
            }
        }
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => answer.extend_from_slice(&buffer[..n]),
            Ok(_) | Err(_) => return None,
        }
    }
}
