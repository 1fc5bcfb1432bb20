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
