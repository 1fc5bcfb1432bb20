//! What senders of all kinds need, seen from the wire.

use super::super::support::gateway::{Gateway, SECRET, signature};

/// How many events of `source` are stored.
fn n_events(gateway: &Gateway, source: &str) -> usize {
    let events = gateway.ask("GET", &format!("/api/v1/events?source={source}"), "").json();
    events.as_array().unwrap().len()
}

/// A source beside those of every test.
fn source(name: &str, text: &str) -> String {
    format!("[source.{name}]\nsecrets = [{{ file = \"secret\" }}]\n{text}\n")
}

#[test]
fn equal_bodies_without_an_id_are_events_of_their_own() {
    let token = "verify = { algorithm = \"token\", header = \"X-Token\" }";
    let gateway = Gateway::with("", &source("deploy", token));
    for status in ["published", "spam", "published"] {
        let body = format!(r#"{{"event":"comment.update","data":{{"comment":"{status}"}}}}"#);
        assert_eq!(gateway.send(body.as_bytes()).status, 200);
        assert_eq!(gateway.post("deploy", &[("X-Token", SECRET)], b"").status, 200);
    }
    assert_eq!((n_events(&gateway, "hyvor"), n_events(&gateway, "deploy")), (3, 3));
}

#[test]
fn captured_request_under_the_next_id_does_not_swallow_the_event_of_that_id() {
    let gateway = Gateway::with("", &source("gh", "provider = \"github\""));
    let send = |body: &[u8], id: &str| {
        let signature = format!("sha256={}", signature(body));
        let headers = [("X-Hub-Signature-256", signature.as_str()), ("X-GitHub-Delivery", id)];
        gateway.post("gh", &headers, body).id()
    };
    let captured = send(b"captured", "next");
    let honest = send(b"honest", "next");
    assert_ne!(captured, honest);
    assert_eq!(send(b"honest", "next"), honest, "it is known when it comes again");
    assert_eq!(n_events(&gateway, "gh"), 2);
}
