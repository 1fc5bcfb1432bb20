//! What an operator asks for, one connection each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::Value;

/// The admin listener.
#[derive(Clone)]
pub(crate) struct Admin {
    address: SocketAddr,
    token: String,
}

pub(crate) struct Answer {
    pub(crate) millis: f64,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Admin {
    pub(crate) fn new(address: SocketAddr, token: String) -> Self {
        Self { address, token }
    }

    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Connection: close\r\n\r\n",
            self.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    /// The whole answer, and how long it took.
    pub(crate) fn get(&self, path: &str) -> Answer {
        let began = Instant::now();
        let mut bytes = Vec::new();
        self.ask(path).read_to_end(&mut bytes).unwrap();
        let millis = began.elapsed().as_secs_f64() * 1000.0;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        Answer { millis, head, body: bytes[end + 4..].to_vec() }
    }

    /// Every page.
    pub(crate) fn pages(&self) -> Vec<String> {
        let mut paths: Vec<String> = [
            "/",
            "/events",
            "/events?handler=archive&state=delivered",
            "/events?source=hook&type=comment.*&since=24h",
            "/dead",
            "/rejected",
            "/handlers",
            "/handlers/archive",
            "/sources",
            "/sources/hook",
            "/config",
            "/log",
        ]
        .map(str::to_owned)
        .to_vec();
        if let Some(newest) = self.get("/api/v1/events?limit=1").json().get(0) {
            let id = newest["id"].as_str().unwrap();
            paths.extend(["", "?body=hex"].map(|form| format!("/events/{id}{form}")));
        }
        paths
    }
}

/// Ends the viewer when it is let go.
pub(crate) struct Stop(TcpStream);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.shutdown(std::net::Shutdown::Both).unwrap();
    }
}

/// Watches all that comes in: how many events it was told of, those that it is told to have skipped among
/// them.
pub(crate) fn watch(admin: &Admin) -> (Stop, JoinHandle<u64>) {
    let stream = admin.ask("/api/v1/stream");
    let stop = Stop(stream.try_clone().unwrap());
    let told = std::thread::spawn(move || {
        let (mut n_told, mut is_skip) = (0, false);
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(kind) = line.strip_prefix("event: ") {
                is_skip = kind == "skipped";
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data: Value = serde_json::from_str(data).unwrap();
                n_told += if is_skip { data["count"].as_u64().unwrap() } else { 1 };
                is_skip = false;
            }
        }
        n_told
    });
    (stop, told)
}
