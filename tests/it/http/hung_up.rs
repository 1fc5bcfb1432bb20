//! Senders that hang up before they have the answer, of a source whose requests have no id.

use crate::support::gateway::{Gateway, signature};
use crate::support::wire::{self, Wire};

const BODY: &[u8] = b"{\"type\":\"comment.create\"}";

#[test]
fn equal_body_after_hang_up_is_a_repeat() {
    let gateway = Gateway::start();
    // As often as it takes for threads to run in each order.
    for n in 0..50 {
        let body = format!("{{\"type\":\"comment.create\",\"n\":{n}}}").into_bytes();
        let length = body.len().to_string();
        let signature = signature(&body);
        let headers = [("X-Signature", signature.as_str()), ("Content-Length", length.as_str())];
        let head = wire::head("POST", "/hooks/hyvor", &headers);
        // What is corked goes out with the end of the connection, in one packet: the gateway cannot
        // have answered before it sees the end.
        let mut wire = Wire::to(gateway.public);
        rustix::net::sockopt::set_tcp_cork(wire.stream(), true).unwrap();
        let answer = wire.write(&[head.as_bytes(), &body].concat()).finish().answer();
        let first = answer.unwrap().id();
        assert_eq!(gateway.send(&body).id(), first, "its sender cannot know that it was stored");
        assert_ne!(gateway.send(&body).id(), first, "the repeat was answered");
    }
    gateway.stop();
}

#[test]
fn equal_body_after_an_answer_that_was_read_is_an_event() {
    let gateway = Gateway::start();
    let first = gateway.send(BODY).id();
    assert_ne!(gateway.send(BODY).id(), first);
    gateway.stop();
}
