//! Requests that are sent ahead of their answers.

use std::net::Shutdown;

use super::super::support::gateway::{Gateway, signature};
use super::super::support::wire::{Wire, head};

/// A signed event whose body has `fill` bytes more than it needs.
fn signed(n: usize, fill: usize) -> Vec<u8> {
    let fill = "x".repeat(fill);
    let body = format!(r#"{{"event":"comment.create","n":{n},"fill":"{fill}"}}"#);
    let length = body.len().to_string();
    let signature = signature(body.as_bytes());
    let headers = [("X-Signature", signature.as_str()), ("Content-Length", &length)];
    let mut bytes = head("POST", "/hooks/hyvor", &headers).into_bytes();
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

/// Reads `n_answers`, all of events that are stored, in the order in which they were sent.
fn assert_answered(wire: &mut Wire, n_answers: usize, what: &str) {
    let mut ids = Vec::new();
    for n in 1..=n_answers {
        let Some(answer) = wire.answer() else { panic!("{what}: {} answers", n - 1) };
        assert_eq!(answer.header("connection"), None, "{what}: answer {n} of {n_answers}");
        ids.push(answer.id());
    }
    assert!(ids.is_sorted(), "{what}: {ids:?}");
}

#[test]
fn requests_at_once_are_all_answered_and_the_connection_kept() {
    let gateway = Gateway::start();
    // By their length the bytes of one read end in a head, between two requests, or in a body.
    for fill in [0, 50, 100, 200, 300, 500, 1_000, 9_000] {
        let mut wire = Wire::to(gateway.public);
        for n_requests in [20, 1, 3] {
            let bytes: Vec<u8> = (0..n_requests).flat_map(|n| signed(n, fill)).collect();
            wire.write(&bytes);
            assert_answered(&mut wire, n_requests, &format!("{n_requests} with {fill} more"));
        }
    }
}

#[test]
fn requests_that_come_in_pieces_are_all_answered_and_the_connection_kept() {
    let gateway = Gateway::start();
    let bytes: Vec<u8> = (0..8).flat_map(|n| signed(n, 40)).collect();
    for n_bytes in [1, 7, 100, 333] {
        let mut wire = Wire::to(gateway.public);
        for piece in bytes.chunks(n_bytes) {
            wire.write(piece);
        }
        assert_answered(&mut wire, 8, &format!("in pieces of {n_bytes}"));
    }
}

#[test]
fn requests_before_the_end_of_the_client_s_side_are_all_answered() {
    let gateway = Gateway::start();
    let bytes: Vec<u8> = (0..20).flat_map(|n| signed(n, 300)).collect();
    let mut wire = Wire::to(gateway.public);
    wire.write(&bytes).stream().shutdown(Shutdown::Write).unwrap();
    assert_answered(&mut wire, 20, "with an end");
    assert!(wire.is_closed());
}

#[test]
fn a_chunked_body_takes_nothing_of_the_request_behind_it() {
    let gateway = Gateway::start();
    let signature = signature(b"hello");
    let headers = [("X-Signature", signature.as_str()), ("Transfer-Encoding", "chunked")];
    let mut bytes = head("POST", "/hooks/hyvor", &headers).into_bytes();
    bytes.extend_from_slice(b"5\r\nhello\r\n0\r\n\r\n");
    bytes.extend_from_slice(&signed(1, 5_000));
    let mut wire = Wire::to(gateway.public);
    wire.write(&bytes);
    assert_answered(&mut wire, 2, "behind chunks");
}
