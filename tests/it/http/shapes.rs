//! Requests that no honest sender makes. The server says no or hangs up, and serves on.

use super::super::support::gateway::{Gateway, signature};
use super::super::support::wire::{self, Wire, head};

/// Sends `bytes`; the answer must be one of `statuses` (0 = hung up without one), and the server
/// must serve on.
#[track_caller]
fn check(gateway: &Gateway, what: &str, bytes: &[u8], statuses: &[u16]) {
    let mut wire = Wire::to(gateway.public);
    wire.write(bytes).finish();
    let status = wire.answer().map_or(0, |answer| answer.status);
    assert!(statuses.contains(&status), "{what}: {status}");
    assert_eq!(wire::request(gateway.public, "GET", "/healthz", &[], b"").status, 200);
}

#[test]
fn ten_thousand_headers_are_too_many() {
    let gateway = Gateway::start();
    let many = "X-Many: 1\r\n".repeat(10_000);
    let bytes = format!("POST /hooks/hyvor HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    // The answer may be overtaken by the hanging up: most of the head was never read.
    check(&gateway, "10,000 headers", bytes.as_bytes(), &[0, 431]);
    let long = "x".repeat(200_000);
    let bytes = format!("POST /hooks/hyvor HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n");
    check(&gateway, "a header of 200,000 bytes", bytes.as_bytes(), &[0, 431]);
    let bytes = format!("POST /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    check(&gateway, "a path of 200,000 bytes", bytes.as_bytes(), &[0, 400, 431]);
}

#[test]
fn a_hundred_headers_are_too_many() {
    let gateway = Gateway::start();
    let bytes = head("POST", "/hooks/hyvor", &[("X-Many", "1"); 100]);
    check(&gateway, "100 headers", bytes.as_bytes(), &[431]);
}

#[test]
fn as_many_headers_as_proxies_add_are_fine() {
    let gateway = Gateway::start();
    let names: Vec<String> = (0..90).map(|n| format!("X-Number-{n}")).collect();
    let value = "v".repeat(500);
    let good = signature(b"{}");
    let mut headers: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    headers.push(("X-Signature", &good));
    gateway.post("hyvor", &headers, b"{}").id();
}

#[test]
fn two_ideas_of_where_a_body_ends_are_refused() {
    let gateway = Gateway::start();
    let request = |headers: &str, body: &str| {
        format!("POST /hooks/hyvor HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}")
    };
    for (headers, body) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
        ("Content-Length: 5, 5\r\n", "hello"),
        ("Content-Length: +5\r\n", "hello"),
        ("Content-Length: -5\r\n", "hello"),
        ("Content-Length: 0x5\r\n", "hello"),
        ("Content-Length: 99999999999999999999999\r\n", "hello"),
        ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        ("Content-Length: 5\r\n folded: 1\r\n", "hello"),
    ] {
        check(&gateway, headers, request(headers, body).as_bytes(), &[400, 501]);
    }
}

#[test]
fn broken_chunks_are_refused() {
    let gateway = Gateway::start();
    for chunks in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello",
        "-1\r\n\r\n",
        "5\r\nhel",
        "\r\n",
    ] {
        let bytes = head("POST", "/hooks/hyvor", &[("Transfer-Encoding", "chunked")]) + chunks;
        // 413: a size that cannot be is over every limit.
        check(&gateway, chunks, bytes.as_bytes(), &[0, 400, 413]);
    }
}

#[test]
fn a_body_that_breaks_off_is_not_an_event() {
    let gateway = Gateway::start();
    let good = signature(b"he");
    let headers = [("X-Signature", good.as_str()), ("Content-Length", "5")];
    let bytes = head("POST", "/hooks/hyvor", &headers) + "he";
    check(&gateway, "half a body", bytes.as_bytes(), &[0, 400]);
    assert_eq!(gateway.ask("GET", "/api/v1/events?source=hyvor", "").text(), "[]");
}

#[test]
fn other_protocols_are_refused() {
    let gateway = Gateway::start();
    check(&gateway, "HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0, 400, 505]);
    let status = gateway.ask("GET", "/api/v1/status", "").json();
    let reason = status["refused"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("HTTP/2 without TLS") && reason.contains("HTTP/1.1 to this port"),
        "{reason}"
    );
    check(&gateway, "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &[0, 400]);
    check(&gateway, "nothing", b"", &[0]);
    check(&gateway, "noise", &[0xff; 1000], &[0, 400]);
    check(&gateway, "no host", b"POST /hooks/hyvor HTTP/1.1\r\n\r\n", &[400]);
    check(&gateway, "no version", b"POST /hooks/hyvor\r\n\r\n", &[0, 400]);
    let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n";
    let upgrade = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n");
    check(&gateway, "an upgrade", upgrade.as_bytes(), &[200]);
}

#[test]
fn header_values_need_not_be_text() {
    let gateway = Gateway::start();
    let mut bytes =
        b"POST /hooks/hyvor HTTP/1.1\r\nHost: localhost\r\nX-Odd: \xff\xfe\r\n".to_vec();
    bytes.extend_from_slice(
        format!("X-Signature: {}\r\nContent-Length: 2\r\n\r\n{{}}", signature(b"{}")).as_bytes(),
    );
    let id = wire::raw(gateway.public, &bytes).unwrap().id();
    let event = gateway.ask("GET", &format!("/api/v1/events/{id}"), "").json();
    let headers = event["headers"].as_array().unwrap();
    assert!(headers.iter().any(|header| header[0] == "x-odd" && header[1] == "\u{fffd}\u{fffd}"));
}

#[test]
fn a_repeated_signature_header_is_believed_only_if_one_is_good() {
    let gateway = Gateway::start();
    let good = signature(b"{}");
    let wrong = "0".repeat(64);
    let both = [("X-Signature", wrong.as_str()), ("X-Signature", good.as_str())];
    gateway.post("hyvor", &both, b"{}").id();
    let neither = [("X-Signature", wrong.as_str()), ("X-Signature", wrong.as_str())];
    assert_eq!(gateway.post("hyvor", &neither, b"{}").status, 401);
}
