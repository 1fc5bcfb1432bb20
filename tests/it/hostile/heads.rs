//! Heads that no honest client sends.

use std::net::SocketAddr;

use super::super::support::gateway::{Folder, Gateway, signature};
use super::super::support::program::{self, Served};
use super::super::support::wire::{Wire, head};

#[test]
fn a_header_name_of_64_kib_is_431_and_no_panic() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let sized = "POST /hooks/hyvor HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    let get = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    for (address, before, n_before) in [
        (served.public(), "", 0),
        (served.admin(), "", 0),
        (served.public(), get, 1),
        (served.public(), sized, 1),
        (served.public(), &get.repeat(50), 50),
        (served.public(), chunked, 1),
        (served.admin(), get, 1),
        (served.admin(), sized, 1),
    ] {
        for length in [65_535, 65_536, 100_000] {
            let mut wire = Wire::to(address);
            let name = "n".repeat(length);
            let bytes = format!("{before}GET /healthz HTTP/1.1\r\nHost: a\r\n{name}: 1\r\n\r\n");
            wire.write(bytes.as_bytes());
            for _ in 0..n_before {
                assert!(wire.answer().is_some());
            }
            // Behind a body that nobody has read, nothing is looked for.
            let refused = wire.answer();
            assert!(refused.is_none_or(|answer| answer.status == 431));
        }
    }
    let log = served.log();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_head_over_48_kib_is_431_and_one_below_is_not() {
    let gateway = Gateway::start();
    let ask = |length: usize| {
        let value = "v".repeat(length);
        let mut wire = Wire::to(gateway.public);
        wire.write(head("GET", "/healthz", &[("X-Long", &value)]).as_bytes());
        wire.answer().map(|answer| answer.status)
    };
    assert_eq!(ask(47 << 10), Some(200));
    assert_eq!(ask(49 << 10), Some(431));
}

/// Asks with a head of so many bytes, and keeps the connection.
fn ask_and_keep(address: SocketAddr, length: usize) -> (Wire, u16) {
    let mut wire = Wire::to(address);
    wire.write(head("GET", "/healthz", &[("X-Long", &"v".repeat(length))]).as_bytes());
    let status = wire.answer().unwrap().status;
    (wire, status)
}

#[test]
fn only_so_many_connections_may_have_sent_a_long_head() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let kept: Vec<_> = (0..256).map(|_| ask_and_keep(served.public(), 20 << 10)).collect();
    assert!(kept.iter().all(|(_, status)| *status == 200));
    // One that is not complete is refused as soon as it is long.
    let mut wire = Wire::to(served.public());
    wire.write(format!("GET /healthz HTTP/1.1\r\nX-Long: {}", "v".repeat(9 << 10)).as_bytes());
    let answer = wire.answer().unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(ask_and_keep(served.public(), 7 << 10).1, 200, "others are served");
    // A connection that has room for one has it for the next.
    let (mut first, _) = kept.into_iter().next().unwrap();
    first.write(head("GET", "/healthz", &[("X-Long", &"w".repeat(20 << 10))]).as_bytes());
    assert_eq!(first.answer().unwrap().status, 200);
    // All others are gone: there is room once the gateway has seen that.
    while ask_and_keep(served.public(), 20 << 10).1 != 200 {}
    let status = program::printed(&program::run(&folder, &["status"]), 0);
    assert!(status.contains("too many send a head over 8 KiB"), "{status}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn nothing_is_asked_to_go_on_that_its_head_alone_refuses() {
    let rest = r#"
        [source.near]
        provider = "hyvor-talk"
        secrets = [{ file = "secret" }]
        allow = ["203.0.113.0/24"]
    "#;
    let gateway = Gateway::with("", rest);
    for (method, path, length, status) in [
        ("POST", "/nowhere", "5", 404),
        ("POST", "/hooks/nobody", "5", 404),
        ("PUT", "/hooks/hyvor", "5", 405),
        ("POST", "/hooks/hyvor", "9999999", 413),
        ("POST", "/hooks/near", "5", 401),
    ] {
        let mut wire = Wire::to(gateway.public);
        let headers = [("Content-Length", length), ("Expect", "100-continue")];
        wire.write(head(method, path, &headers).as_bytes());
        assert_eq!(wire.answer().unwrap().status, status, "{path}");
        assert!(wire.is_closed(), "{path}");
    }
    let body = b"{}";
    let mut wire = Wire::to(gateway.public);
    let signature = signature(body);
    let headers =
        [("Content-Length", "2"), ("Expect", "100-continue"), ("X-Signature", &signature)];
    wire.write(head("POST", "/hooks/hyvor", &headers).as_bytes());
    assert_eq!(wire.answer().unwrap().status, 100);
    wire.write(body);
    wire.answer().unwrap().id();
}
