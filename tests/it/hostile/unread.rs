//! Clients that ask and do not read, or send and are not read.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::time::Instant;

use super::super::support::gateway::{Folder, Gateway};
use super::super::support::program::Served;

/// Asks again and again until nothing more is taken; gives the connection, which is still open.
fn pipeline_without_reading(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let requests = request.repeat(1_000);
    let mut n_sent = 0;
    while n_sent < 64 << 20 {
        match stream.write(requests.as_bytes()) {
            Ok(n) => n_sent += n,
            Err(err) => {
                assert_eq!(err.kind(), ErrorKind::WouldBlock, "{err}");
                break;
            }
        }
    }
    stream
}

#[test]
fn unread_answers_hold_little_memory() {
    let folder = Folder::new("", "");
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /healthz HTTP/1.1\nHost: a\n\n"] {
        let served = Served::start(&folder);
        let before = served.resident_bytes();
        let unread: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..20)
                .map(|_| scope.spawn(|| pipeline_without_reading(served.public(), request)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let grown = served.resident_bytes().saturating_sub(before);
        drop(unread);
        // 16 MiB each before there was back-pressure.
        assert!(grown <= 20 << 20, "{grown} bytes for 20 connections");
        assert_eq!(served.stop(), Some(0));
    }
}

#[test]
fn answers_that_are_read_late_all_come() {
    let gateway = Gateway::start();
    let mut stream = TcpStream::connect(gateway.public).unwrap();
    let n_requests = 20_000;
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let request = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
        writer.write_all(request.repeat(n_requests).as_bytes()).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    writing.join().unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), n_requests);
}

#[test]
fn a_body_in_chunks_that_nobody_reads_ends_soon_after_the_answer() {
    let gateway = Gateway::start();
    std::thread::scope(|scope| {
        for path in ["/nowhere", "/hooks/nobody", "/hooks/hyvor", "/healthz"] {
            scope.spawn(|| send_chunks_until_it_ends(gateway.public, path));
        }
    });
}

fn send_chunks_until_it_ends(address: SocketAddr, path: &str) {
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let began = Instant::now();
    let mut n_sent = 0_u64;
    while stream.write_all(chunk.as_bytes()).is_ok() {
        n_sent += 0x10000;
        assert!(began.elapsed() < Duration::from_mins(1), "{path}: {n_sent} bytes taken");
    }
    // Of which most are in the kernel's buffers.
    assert!(n_sent <= 32 << 20, "{path}: {n_sent} bytes taken");
}

#[test]
fn a_slow_body_in_chunks_does_not_hold_the_connection_after_its_answer() {
    let gateway = Gateway::with("request_timeout = \"200ms\"", "");
    let mut stream = TcpStream::connect(gateway.public).unwrap();
    let head = "POST /hooks/hyvor HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let began = Instant::now();
    while stream.write_all(b"1\r\nx\r\n").is_ok() {
        assert!(began.elapsed() < Duration::from_mins(1), "still held");
        std::thread::yield_now();
    }
    drop(gateway);
}
