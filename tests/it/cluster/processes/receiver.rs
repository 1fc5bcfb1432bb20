//! The application behind the gateways: it remembers what it got, and when.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::senders::Acknowledged;
use crate::support::patience::wait_while_more_comes;

#[derive(Default)]
struct Received {
    /// Key and number of each call, in their order.
    calls: Vec<(String, u64)>,
    known: HashSet<(String, u64)>,
    n_failed: usize,
}

pub(super) struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    manner: Arc<AtomicU8>,
}

/// What calls are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Manner {
    Takes,
    Refuses,
    Fails,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Received>> = Arc::default();
        let manner = Arc::new(AtomicU8::new(Manner::Takes as u8));
        let (shared, asked) = (Arc::clone(&received), Arc::clone(&manner));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, asked) = (Arc::clone(&shared), Arc::clone(&asked));
                std::thread::spawn(move || answer_all(stream, &shared, &asked));
            }
        });
        Self { address, received, manner }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Whether calls are answered 422, which is for good.
    pub(super) fn refuse(&self, refuses: bool) {
        let manner = if refuses { Manner::Refuses } else { Manner::Takes };
        self.manner.store(manner as u8, Ordering::SeqCst);
    }

    /// Whether calls are answered 503, and wanted again in an hour.
    pub(super) fn fail(&self, fails: bool) {
        let manner = if fails { Manner::Fails } else { Manner::Takes };
        self.manner.store(manner as u8, Ordering::SeqCst);
    }

    /// How many calls were answered 503.
    pub(super) fn n_failed(&self) -> usize {
        self.received().n_failed
    }

    pub(super) fn n_received(&self) -> usize {
        self.received().calls.len()
    }

    /// How many calls were for what had come before.
    pub(super) fn n_repeated(&self) -> usize {
        let received = self.received();
        received.calls.len() - received.known.len()
    }

    /// How many calls were for this event.
    pub(super) fn n_calls(&self, one: &Acknowledged) -> usize {
        let received = self.received();
        received
            .calls
            .iter()
            .filter(|(key, number)| (key, *number) == (&one.key, one.number))
            .count()
    }

    /// Whether all of this has come.
    pub(super) fn has_all(&self, acknowledged: &[Acknowledged]) -> bool {
        let received = self.received();
        acknowledged.iter().all(|one| received.known.contains(&(one.key.clone(), one.number)))
    }

    /// Waits until all of this has come.
    #[track_caller]
    pub(super) fn wait_for(&self, acknowledged: &[Acknowledged]) {
        let what = format!("{} acknowledged events are received", acknowledged.len());
        wait_while_more_comes(what, || self.n_received() as u64, || self.has_all(acknowledged));
    }

    /// Of each key the first calls came in the order of the numbers.
    #[track_caller]
    pub(super) fn assert_in_order(&self) {
        let mut newest: HashMap<&str, u64> = HashMap::new();
        let mut seen = HashSet::new();
        let received = self.received();
        for (key, number) in &received.calls {
            if !seen.insert((key, number)) {
                continue;
            }
            let before = newest.insert(key, *number);
            assert!(before.is_none_or(|before| before < *number), "{key}: {before:?}, {number}");
        }
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap()
    }
}

/// Answers the calls of one connection. An error means that the other side is gone.
fn answer_all(stream: TcpStream, received: &Mutex<Received>, manner: &AtomicU8) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut n_bytes = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(length) = line.strip_prefix("content-length: ") {
                n_bytes = length.parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; n_bytes];
        reader.read_exact(&mut body).ok()?;
        let manner = manner.load(Ordering::SeqCst);
        let status = if manner == Manner::Refuses as u8 {
            "422 Unprocessable Content"
        } else if manner == Manner::Fails as u8 {
            received.lock().unwrap().n_failed += 1;
            "503 Service Unavailable\r\nRetry-After: 3600"
        } else {
            let json: serde_json::Value = serde_json::from_slice(&body).ok()?;
            let data = &json["data"];
            let call = (data["key"].as_str()?.to_owned(), data["number"].as_u64()?);
            let mut received = received.lock().unwrap();
            received.known.insert(call.clone());
            received.calls.push(call);
            "200 OK"
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        writer.write_all(answer.as_bytes()).ok()?;
    }
}
