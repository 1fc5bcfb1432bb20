//! Deliveries of every kind beside the load: what must become of them, whatever happens between.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::load::{Acknowledged, post};
use crate::support::program::Served;

/// `refused` makes dead letters at the first try, `busy` retries that are due in hours at the
/// earliest. `RECEIVER` stands for the receiver's address.
pub(super) const FATES: &str = r#"
[source.twice]
provider = "hyvor-talk"
secrets = [{ file = "secret" }]
dedupe = "1h"
[handler.refused]
start = "oldest"
breaker = { failures = 1000000 }
[handler.refused.http]
url = "RECEIVER/refused"
[handler.busy]
start = "oldest"
breaker = { failures = 1000000 }
retry = { min = "24h", max = "24h" }
[handler.busy.http]
url = "RECEIVER/busy"
"#;

/// How often each event of each path was asked for.
type Requests = HashMap<(String, String), u64>;

/// The other side: refuses for good (410), or for now (503).
pub(super) struct Receiver {
    address: SocketAddr,
    requests: Arc<Mutex<Requests>>,
}

impl Receiver {
    /// Its threads end with the process: they wait for connections of a gateway that is gone.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Requests::new()));
        let counted = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || while answer(&stream, &counted).is_some() {});
            }
        });
        Self { address, requests }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn n_requests(&self, path: &str, id: &str) -> u64 {
        let key = (format!("/{path}"), id.to_owned());
        self.requests.lock().unwrap().get(&key).copied().unwrap_or_default()
    }
}

/// Answers one request; `None` = the connection has ended.
fn answer(mut stream: &TcpStream, requests: &Mutex<Requests>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut path, mut id, mut n_bytes) = (String::new(), String::new(), 0);
    for n in 0.. {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if n == 0 {
            line.split(' ').nth(1)?.clone_into(&mut path);
        }
        if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => n_bytes = value.parse().ok()?,
                "webhook-id" => value.clone_into(&mut id),
                _ => {}
            }
        }
    }
    reader.read_exact(&mut vec![0; n_bytes]).ok()?;
    let status = if path == "/refused" { "410 Gone" } else { "503 Service Unavailable" };
    assert!(!id.is_empty(), "the receiver knows events by their ids");
    *requests.lock().unwrap().entry((path, id)).or_default() += 1;
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()
}

/// Sends some of the events once more: each must be known as what it was.
pub(super) fn assert_dedupe(served: &Served, acknowledged: &Acknowledged, cut: u64) {
    let mut stream = TcpStream::connect(served.public()).unwrap();
    for (id, body) in acknowledged.iter().take(20) {
        let (status, again) = post(&mut stream, "twice", body).unwrap();
        assert_eq!((status, &again), (200, id), "stored twice after {cut} cuts");
    }
}

/// The dead letters of `refused`, all of them recorded.
pub(super) fn dead_ids(served: &Served) -> Vec<String> {
    let answer = served.ask("GET", "/api/v1/dead?handler=refused&limit=100000");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let letters = json.as_array().unwrap().iter();
    letters.map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
}

/// Each event is delivered to the file, dead for `refused`, and waits for its next try at `busy`.
pub(super) fn assert_stands<'a>(served: &Served, ids: impl Iterator<Item = &'a String>) {
    for id in ids {
        // Those of the last moments may not have been tried yet.
        let deliveries = loop {
            let json = served.ask("GET", &format!("/api/v1/events/{id}")).json();
            let deliveries = json["deliveries"].as_array().unwrap().clone();
            if !deliveries.iter().any(|delivery| delivery["state"] == "pending") {
                break deliveries;
            }
        };
        for delivery in &deliveries {
            let (handler, state) = (&delivery["handler"], delivery["state"].as_str().unwrap());
            let expected: &[&str] = match handler.as_str().unwrap() {
                // What was being delivered at two cuts is set aside as a dead letter.
                "all" => &["delivered", "dead"],
                "refused" => &["dead"],
                _ => &["retry", "dead"],
            };
            assert!(expected.contains(&state), "{id} is {state} for {handler}");
        }
        assert_eq!(deliveries.len(), 3, "{id}: {deliveries:?}");
    }
}
