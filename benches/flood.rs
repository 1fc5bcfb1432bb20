//! A flood of bad requests beside an honest sender: `cargo bench --bench flood`.
//!
//! 100,000 requests with a wrong signature from 64 connections, each sending its next one when the
//! last is answered. Beside them one honest sender posts an event every 5 ms on a connection of
//! its own. Prints its p50 and p99 alone and during the flood, their ratios, and the server's
//! resident memory after the first 10,000 and after all. As a limit taken in the same run: the
//! same sender's p99 while the same connections ask for `/healthz`, which does no work at all.
//! `--bad N` sends another number of them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program that measures"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SECRET: &str = "the-secret-of-the-benchmark";
const CONNECTIONS: usize = 64;
const BODY_BYTES: usize = 1024;
/// The honest sender's pause.
const PAUSE: Duration = Duration::from_millis(5);
/// How long it is measured alone.
const ALONE: Duration = Duration::from_secs(5);
/// How many bad requests come before memory is looked at for the first time.
const WARM: i64 = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let bad = arguments.iter().position(|argument| argument == "--bad");
    let bad: i64 = bad.map_or(100_000, |at| arguments[at + 1].parse().unwrap());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut child, address) = gateway(&folder);

    let alone = honest(address, || std::thread::sleep(ALONE));
    println!("{:<28} {}", "alone", alone.text());
    let idle = honest(address, || {
        flood(address, bad, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "200");
    });
    println!("{:<28} {}", "beside as many /healthz", idle.text());
    let body = "x".repeat(BODY_BYTES);
    let wrong = "0".repeat(64);
    let request = format!(
        "POST /hooks/hook HTTP/1.1\r\nHost: localhost\r\nX-Signature: {wrong}\r\n\
         Content-Length: {BODY_BYTES}\r\n\r\n{body}"
    );
    flood(address, WARM.min(bad), &request, "401");
    let before = resident_kib(&child);
    let began = Instant::now();
    let flooded = honest(address, || flood(address, bad - WARM.min(bad), &request, "401"));
    let secs = began.elapsed().as_secs_f64();
    println!("{:<28} {}, {secs:.1} s", format!("beside {bad} bad requests"), flooded.text());
    println!("{:<28} {:.2}x", "p99, flood / alone", flooded.p99_ms / alone.p99_ms);
    println!("{:<28} {:.2}x", "p99, flood / healthz", flooded.p99_ms / idle.p99_ms);
    println!("resident memory: {before} KiB after {WARM}, {} KiB after all", resident_kib(&child));
    child.kill().unwrap();
    child.wait().unwrap();
}

fn gateway(folder: &tempfile::TempDir) -> (Child, SocketAddr) {
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    let config = r#"
        [server]
        listen = "127.0.0.1:0"
        [admin]
        listen = "127.0.0.1:0"
        [source.hook]
        provider = "hyvor-talk"
        secrets = [{ file = "secret" }]
        [handler.archive.file]
        path = "data/events.jsonl"
    "#;
    std::fs::write(folder.path().join("config.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(["serve", "--json"]).current_dir(folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let banner: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = banner["public"][0].as_str().unwrap().strip_prefix("http://").unwrap();
    (child, address.parse().unwrap())
}

fn resident_kib(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

struct Latency {
    p50_ms: f64,
    p99_ms: f64,
    count: usize,
}

impl Latency {
    fn text(&self) -> String {
        let Self { p50_ms, p99_ms, count } = self;
        format!("p50 {p50_ms:>6.2} ms, p99 {p99_ms:>6.2} ms of {count} events")
    }
}

/// How long the honest sender waits for its answers while `beside` runs.
fn honest(address: SocketAddr, beside: impl FnOnce()) -> Latency {
    let is_over = Arc::new(AtomicBool::new(false));
    let sender = {
        let is_over = Arc::clone(&is_over);
        std::thread::spawn(move || send(address, &is_over))
    };
    beside();
    is_over.store(true, Ordering::SeqCst);
    let mut micros = sender.join().unwrap();
    micros.sort_unstable();
    let at = |percent: usize| f64::from(micros[(micros.len() - 1) * percent / 100]) / 1_000.0;
    Latency { p50_ms: at(50), p99_ms: at(99), count: micros.len() }
}

fn send(address: SocketAddr, is_over: &AtomicBool) -> Vec<u32> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut micros = Vec::new();
    let mut answer = [0; 2048];
    while !is_over.load(Ordering::SeqCst) || micros.is_empty() {
        let number = Instant::now();
        let mut body = format!(r#"{{"event":"comment.create","at":"{number:?}","fill":""#);
        while body.len() < BODY_BYTES - 2 {
            body.push('x');
        }
        body.push_str("\"}");
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let request = format!(
            "POST /hooks/hook HTTP/1.1\r\nHost: localhost\r\nX-Signature: {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            hex::encode(mac.finalize().into_bytes()),
            body.len()
        );
        let sent = Instant::now();
        stream.write_all(request.as_bytes()).unwrap();
        let n = stream.read(&mut answer).unwrap();
        assert!(answer[..n].starts_with(b"HTTP/1.1 200"), "not a 200");
        micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap());
        std::thread::sleep(PAUSE);
    }
    micros
}

/// Sends `count` requests over all connections and waits for their answers.
fn flood(address: SocketAddr, count: i64, request: &str, status: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let left = Arc::new(AtomicI64::new(count));
    let request: Arc<[u8]> = request.as_bytes().into();
    let status: Arc<[u8]> = format!("HTTP/1.1 {status}").into_bytes().into();
    local.block_on(&runtime, async {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (left, request) = (Arc::clone(&left), Arc::clone(&request));
                let status = Arc::clone(&status);
                tokio::task::spawn_local(async move {
                    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let mut answer = [0; 2048];
                    while left.fetch_sub(1, Ordering::Relaxed) > 0 {
                        stream.write_all(&request).await.unwrap();
                        let n = stream.read(&mut answer).await.unwrap();
                        assert!(answer[..n].starts_with(&status), "another answer");
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    });
}
