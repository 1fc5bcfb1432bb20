//! What is answered 200.

use super::super::support::gateway::{Gateway, signature};
use super::super::support::wire::{self, Wire, head};

#[test]
fn a_signed_event_is_answered_200_with_its_id_and_nothing_else() {
    let gateway = Gateway::start();
    let answer = gateway.send(br#"{"event":"comment.create"}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let id = answer.id();
    assert_eq!(answer.text(), format!(r#"{{"id":"{id}"}}"#));
    let event = gateway.ask("GET", &format!("/api/v1/events/{id}"), "").json();
    assert_eq!(event["type"], "comment.create");
    assert_eq!(event["source"], "hyvor");
}

#[test]
fn a_duplicate_is_answered_200_with_the_first_id() {
    let gateway = Gateway::start();
    let body = br#"{"hook":"topic.created","created":"2014-04-25T04:17:38.306Z"}"#;
    let send = || gateway.post("userecho", &[("X-UE-Signature", &signature(body))], body).id();
    assert_eq!(send(), send());
    let series = |outcome| {
        let labels = format!(r#"{{source="userecho",outcome="{outcome}"}}"#);
        gateway.metric(&format!("gatepost_requests_total{labels}"))
    };
    assert_eq!((series("accepted"), series("duplicate")), (1, 1));
}

/// Posts `body` and gives what is kept of it.
fn kept(gateway: &Gateway, body: &[u8]) -> Vec<u8> {
    let id = gateway.send(body).id();
    gateway.ask("GET", &format!("/api/v1/events/{id}/raw"), "").body
}

#[test]
fn the_body_is_kept_byte_for_byte() {
    let gateway = Gateway::start();
    for body in [
        // As PHP writes JSON.
        &br#"{"event":"comment.create","url":"https:\/\/example.com\/","text":"\u00e9\u041f"}"#[..],
        b"{ \"b\" : 1.0 ,\n \"a\" : 1e2, \"a\" : 2 }",
        b"not JSON at all",
        b"\x00\xff\xfe",
        b"",
        &vec![b' '; 300_000],
    ] {
        assert_eq!(kept(&gateway, body), body);
    }
}

#[test]
fn a_body_that_is_not_json_is_an_event_of_unknown_type() {
    let gateway = Gateway::start();
    let id = gateway.send(b"hello").id();
    let event = gateway.ask("GET", &format!("/api/v1/events/{id}"), "").json();
    assert_eq!(event["type"], "unknown");
    assert_eq!(event["body_base64"], "aGVsbG8=");
}

#[test]
fn a_compressed_body_is_verified_and_kept_as_it_was_sent() {
    let gateway = Gateway::start();
    let body = b"\x1f\x8b\x08\x00not really gzip";
    let signature = signature(body);
    let headers = [("X-Signature", signature.as_str()), ("Content-Encoding", "gzip")];
    let id = gateway.post("hyvor", &headers, body).id();
    assert_eq!(gateway.ask("GET", &format!("/api/v1/events/{id}/raw"), "").body, body);
}

#[test]
fn a_chunked_body_is_put_together() {
    let gateway = Gateway::start();
    let signature = signature(b"hello world");
    let headers = [("X-Signature", signature.as_str()), ("Transfer-Encoding", "chunked")];
    let mut bytes = head("POST", "/hooks/hyvor", &headers);
    bytes += "5\r\nhello\r\n6;extension=1\r\n world\r\n0\r\n\r\n";
    let id = wire::raw(gateway.public, bytes.as_bytes()).unwrap().id();
    assert_eq!(gateway.ask("GET", &format!("/api/v1/events/{id}/raw"), "").body, b"hello world");
}

#[test]
fn one_connection_takes_many_requests_also_ahead_of_their_answers() {
    let gateway = Gateway::start();
    let mut bytes = Vec::new();
    for n in 0..10 {
        let body = format!(r#"{{"event":"comment.create","n":{n}}}"#);
        let length = body.len().to_string();
        let signature = signature(body.as_bytes());
        let headers = [("X-Signature", signature.as_str()), ("Content-Length", &length)];
        bytes.extend_from_slice(head("POST", "/hooks/hyvor", &headers).as_bytes());
        bytes.extend_from_slice(body.as_bytes());
    }
    let mut wire = Wire::to(gateway.public);
    wire.write(&bytes);
    let ids: Vec<_> = (0..10).map(|_| wire.answer().unwrap().id()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
}

#[test]
fn http_1_0_is_served_and_its_connection_closed() {
    let gateway = Gateway::start();
    let body = "{}";
    let signature = signature(body.as_bytes());
    let bytes = format!(
        "POST /hooks/hyvor HTTP/1.0\r\nX-Signature: {signature}\r\nContent-Length: 2\r\n\r\n{body}"
    );
    let mut wire = Wire::to(gateway.public);
    wire.write(bytes.as_bytes()).answer().unwrap().id();
    assert!(wire.is_closed());
}

#[test]
fn a_sender_that_asks_first_is_told_to_go_on() {
    let gateway = Gateway::start();
    let signature = signature(b"{}");
    let headers =
        [("X-Signature", signature.as_str()), ("Expect", "100-continue"), ("Content-Length", "2")];
    let mut wire = Wire::to(gateway.public);
    wire.write(head("POST", "/hooks/hyvor", &headers).as_bytes());
    assert_eq!(wire.answer().unwrap().status, 100);
    wire.write(b"{}").answer().unwrap().id();
}

#[test]
fn a_sender_that_closes_its_side_still_gets_its_answer() {
    let gateway = Gateway::start();
    let signature = signature(b"{}");
    let headers = [("X-Signature", signature.as_str()), ("Content-Length", "2")];
    let bytes = head("POST", "/hooks/hyvor", &headers) + "{}";
    let mut wire = Wire::to(gateway.public);
    wire.write(bytes.as_bytes()).finish();
    wire.answer().unwrap().id();
}

#[test]
fn the_health_check_needs_no_source() {
    let gateway = Gateway::start();
    for method in ["GET", "HEAD"] {
        let mut wire = Wire::to(gateway.public);
        wire.write(head(method, "/healthz", &[]).as_bytes());
        let status = if method == "GET" { wire.answer().unwrap().status } else { 200 };
        assert_eq!(status, 200);
    }
    let answer = wire::post(gateway.public, "/healthz", &[], b"");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn what_is_in_flight_at_the_end_is_finished() {
    let gateway = Gateway::start();
    let signature = signature(b"{}");
    let signature = ("X-Signature", signature.as_str());
    let headers = [signature, ("Content-Length", "2"), ("Expect", "100-continue")];
    let mut wire = Wire::to(gateway.public);
    // The head is read once the server asks for the body.
    wire.write(head("POST", "/hooks/hyvor", &headers).as_bytes());
    assert_eq!(wire.answer().unwrap().status, 100);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            wire.write(b"{}");
            wire.answer().unwrap().id();
        });
        gateway.stop();
    });
}
