//! Bodies that never end, or end elsewhere than the framing says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::super::support::gateway::{Folder, Gateway, signature};
use super::super::support::program::Served;
use super::super::support::wire::{Wire, head};

/// Sends all of a body but for its last bytes; gives the status where an answer comes at once.
fn unfinished(address: SocketAddr, length: usize) -> (TcpStream, Option<u16>) {
    unfinished_of(
        address,
        length,
        &head("POST", "/hooks/hyvor", &[("Content-Length", &length.to_string())]),
    )
}

/// The same in one chunk.
fn unfinished_chunk(address: SocketAddr, length: usize) -> TcpStream {
    let head = head("POST", "/hooks/hyvor", &[("Transfer-Encoding", "chunked")]);
    unfinished_of(address, length, &format!("{head}{length:x}\r\n")).0
}

fn unfinished_of(address: SocketAddr, length: usize, head: &str) -> (TcpStream, Option<u16>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // A refusal may come before all of it is sent.
    drop(stream.write_all(&vec![b'x'; length - 500]));
    stream.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
    let mut answer = [0; 12];
    let status = stream
        .read_exact(&mut answer)
        .ok()
        .map(|()| std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap());
    (stream, status)
}

#[test]
fn unfinished_bodies_hold_no_more_memory_than_they_may() {
    let folder = Folder::new("unverified_bytes = \"8MiB\"\nrequest_timeout = \"60s\"", "");
    let served = Served::start(&folder);
    let before = served.resident_bytes();
    let held: Vec<_> = (0..60).map(|_| unfinished(served.public(), 1 << 20)).collect();
    let grown = served.resident_bytes().saturating_sub(before);
    assert!(grown <= 24 << 20, "{grown} bytes");
    let n_refused = held.iter().filter(|(_, status)| *status == Some(503)).count();
    assert!((40..=52).contains(&n_refused), "{n_refused} of 60 were refused");
    // Small bodies are taken meanwhile.
    let body = vec![b'x'; 10 << 10];
    let signature = signature(&body);
    let length = body.len().to_string();
    let headers = [("X-Signature", signature.as_str()), ("Content-Length", length.as_str())];
    let mut wire = Wire::to(served.public());
    wire.write(head("POST", "/hooks/hyvor", &headers).as_bytes()).write(&body);
    wire.answer().unwrap().id();
    // And all of the room is there again once the others are gone.
    drop(held);
    let large = vec![b'y'; 1 << 20];
    let status = loop {
        let answer = post(&served, &large);
        if answer != 503 {
            break answer;
        }
    };
    assert_eq!(status, 200);
    served.kill();
}

#[test]
fn unfinished_bodies_in_chunks_hold_what_came_of_them() {
    let folder = Folder::new("unverified_bytes = \"8MiB\"\nrequest_timeout = \"60s\"", "");
    let served = Served::start(&folder);
    let before = served.resident_bytes();
    let held: Vec<_> = (0..60).map(|_| unfinished_chunk(served.public(), 1 << 20)).collect();
    let grown = served.resident_bytes().saturating_sub(before);
    drop(held);
    // 24 MiB while each was one buffer that grew.
    assert!(grown <= 20 << 20, "{grown} bytes");
    served.kill();
}

/// All of them come in small pieces at the same time, so that none is refused before the others have
/// as much.
#[test]
fn bodies_that_grow_together_hold_no_more_than_those_whose_length_is_told() {
    let folder = Folder::new("unverified_bytes = \"8MiB\"\nrequest_timeout = \"60s\"", "");
    let grown = ["Content-Length: 1048576", "Transfer-Encoding: chunked"].map(|framing| {
        let served = Served::start(&folder);
        let before = served.resident_bytes();
        let mut all: Vec<_> = (0..400).map(|_| begun(served.public(), framing)).collect();
        let mut most = 0;
        for _ in 0..24 {
            for stream in &mut all {
                // Those that are refused take no more.
                drop(stream.write_all(&piece(framing)));
            }
            most = most.max(served.resident_bytes().saturating_sub(before));
        }
        served.kill();
        most
    });
    let [told, chunked] = grown;
    // Of 400 connections: 8 MiB of bodies, and for each what a connection costs (23 KiB) and the first
    // 4 KiB of its body: 19 MiB, and 27 MiB where other work keeps the answers waiting. All that was sent
    // is 46 MiB.
    assert!(told <= 32 << 20 && chunked <= 32 << 20, "{told} and {chunked} bytes");
}

/// A request whose body is to come.
fn begun(address: SocketAddr, framing: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("POST /hooks/hyvor HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    stream
}

fn piece(framing: &str) -> Vec<u8> {
    let bytes = "x".repeat(4_000);
    if framing.starts_with("Content") {
        bytes.into_bytes()
    } else {
        format!("{:x}\r\n{bytes}\r\n", bytes.len()).into_bytes()
    }
}

fn post(served: &Served, body: &[u8]) -> u16 {
    let signature = signature(body);
    let length = body.len().to_string();
    let headers = [("X-Signature", signature.as_str()), ("Content-Length", length.as_str())];
    let mut wire = Wire::to(served.public());
    wire.write(head("POST", "/hooks/hyvor", &headers).as_bytes()).write(body);
    wire.answer().map_or(503, |answer| answer.status)
}

#[test]
fn the_length_of_a_body_counts_beside_an_offer_to_upgrade() {
    let gateway = Gateway::start();
    for offer in ["websocket", "WebSocket", "h2c"] {
        let body = format!("{{\"offer\":\"{offer}\"}}");
        let (signature, length) = (signature(body.as_bytes()), body.len().to_string());
        let headers = [
            ("X-Signature", signature.as_str()),
            ("Content-Length", length.as_str()),
            ("Connection", "Upgrade"),
            ("Upgrade", offer),
        ];
        let head = head("POST", "/hooks/hyvor", &headers);
        let mut wire = Wire::to(gateway.public);
        // The connection goes on as if nothing had been offered.
        for _ in 0..2 {
            wire.write(head.as_bytes()).write(body.as_bytes());
            let answer = wire.answer().unwrap();
            assert_eq!(answer.header("connection"), None, "{offer}");
            let id = answer.id();
            let raw = gateway.ask("GET", &format!("/api/v1/events/{id}/raw"), "");
            assert_eq!(raw.body, body.as_bytes());
        }
        // A head in pieces is not looked at: its sender is told that the connection ends.
        let (before, after) = head.split_at(head.find("Upgrade").unwrap());
        wire.write(before.as_bytes());
        assert_eq!(gateway.ask("GET", "/healthz", "").status, 200);
        wire.write(after.as_bytes()).write(body.as_bytes());
        let answer = wire.answer().unwrap();
        assert!(matches!(answer.header("connection"), None | Some("close")), "{offer}");
        assert_eq!(answer.status, 200);
    }
}
