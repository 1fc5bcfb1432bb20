//! Clients that take connections and keep them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::time::Instant;

use super::super::support::gateway::{Folder, signature};
use super::super::support::program::{self, Served};
use super::super::support::wire;

/// Asks once and keeps the connection; `None` where it is hung up on meanwhile.
fn idle(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
    let mut bytes = [0; 512];
    (stream.read(&mut bytes).ok()? > 0).then_some(stream)
}

#[test]
fn idle_connections_of_one_address_lock_nobody_out() {
    let folder = Folder::new("", "");
    let served = Served::start_with_files(&folder, 256);
    let mut held: Vec<TcpStream> = Vec::new();
    for n in 0..300_u32 {
        held.extend(idle(served.public()));
        if n % 20 == 0 {
            let body = n.to_string().into_bytes();
            let headers = [("X-Signature", signature(&body))];
            let headers = [("X-Signature", headers[0].1.as_str())];
            wire::post(served.public(), "/hooks/hyvor", &headers, &body).id();
        }
    }
    assert!(held.len() >= 250, "{} were let in", held.len());
    let log = served.log();
    assert!(!log.contains("poisoned"), "{log}");
    let status = program::printed(&program::run(&folder, &["status"]), 0);
    assert!(status.contains("the longest idle one was closed"), "{status}");
    served.wait_until_delivered("all");
    assert_eq!(served.stop(), Some(0));
}

/// Sends an event; what comes back is read later.
fn send(stream: &mut TcpStream) -> std::io::Result<()> {
    let body = "{}";
    let signature = signature(body.as_bytes());
    let length = body.len();
    let head = format!("POST /hooks/hyvor HTTP/1.1\r\nHost: a\r\nX-Signature: {signature}\r\n");
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}")
}

/// The head of the answer, and the body with it; empty where the connection was ended.
fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 512];
    let n_read = stream.read(&mut bytes).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..n_read]).into_owned()
}

#[test]
fn one_connection_more_than_there_may_be_in_use_is_told_to_come_again() {
    let folder = Folder::new("", "");
    // Half of them are for connections.
    let served = Served::start_with_files(&folder, 200);
    let mut held: Vec<TcpStream> = (0..100).map(|_| wire::connect(served.public())).collect();
    // Each time again, so that it does not matter how long the 100 take.
    let (mut one_more, refused) = loop {
        held.retain_mut(|stream| send(stream).is_ok());
        held.retain_mut(|stream| answer(stream).starts_with("HTTP/1.1 200 "));
        let mut one_more = wire::connect(served.public());
        send(&mut one_more).unwrap();
        let answer = answer(&mut one_more);
        if !answer.starts_with("HTTP/1.1 200 ") {
            break (one_more, answer);
        }
        held.push(one_more);
    };
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused:?}");
    assert!(refused.contains("\r\nretry-after: 1\r\n"), "{refused:?}");
    assert_eq!(one_more.read(&mut [0]).unwrap(), 0, "it is hung up on afterwards");
    let status = program::printed(&program::run(&folder, &["status"]), 0);
    assert!(status.contains("one more was answered 503"), "{status}");
    drop(held);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn idle_connections_to_the_admin_listener_do_not_keep_the_command_line_out() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let held: Vec<TcpStream> =
        (0..300).map(|_| TcpStream::connect(served.admin()).unwrap()).collect();
    let began = Instant::now();
    let status = program::run(&folder, &["status", "--json"]);
    program::printed(&status, 0);
    // Before any of them is hung up on for its silence. Nor those who ask over TCP.
    assert_eq!(served.ask("GET", "/metrics").status, 200);
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    drop(held);
    assert_eq!(served.stop(), Some(0));
}
