//! Requests that carry a list of events.

use super::super::support::gateway::{Gateway, SECRET};

const LISTS: &str = r#"
    [source.list]
    secrets = [{ file = "secret" }]
    split = "json-array"
    verify = { algorithm = "token", header = "X-Token", id = { json = "id" }, type = { json = "t" } }
"#;

/// The types of the stored events, oldest first.
fn types(gateway: &Gateway) -> Vec<String> {
    let events = gateway.ask("GET", "/api/v1/events?source=list&limit=1000", "").json();
    let events = events.as_array().unwrap().iter().rev();
    events.map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn list_becomes_one_event_for_each_item() {
    let gateway = Gateway::with("", LISTS);
    let token = [("X-Token", SECRET)];
    let answer = gateway.post("list", &token, br#"[{"t":"a","id":1},{"t":"b","id":2}]"#);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["events"], 2);
    let first = answer.json()["id"].as_str().unwrap().to_owned();
    let shown = gateway.ask("GET", &format!("/api/v1/events/{first}"), "").json();
    assert_eq!(shown["type"], "a");
    // A repeat with one item more: that one alone is new.
    let answer = gateway.post("list", &token, br#"[{"t":"a","id":1},{"t":"c","id":3}]"#);
    assert_eq!(answer.status, 200);
    assert_ne!(answer.json()["id"], first.as_str());
    let again = gateway.post("list", &token, br#"[{"t":"a","id":1}]"#);
    assert_eq!(again.json()["id"], first.as_str());
    // Each item that came again is a repeat, whatever came with it.
    let count = |outcome: &str| {
        gateway.metric(&format!("gatepost_requests_total{{source=\"list\",outcome=\"{outcome}\"}}"))
    };
    assert_eq!((count("accepted"), count("duplicate")), (2, 2));
    let shown = gateway.ask("GET", &format!("/api/v1/events/{first}"), "").json();
    let times = shown["arrival"]["repeated_at"].as_array().map(Vec::len);
    assert_eq!(times, Some(2), "{shown}");
    assert_eq!(types(&gateway), ["a", "b", "c"]);
    let whole = gateway.post("list", &token, br#"{"t":"whole"}"#);
    assert_eq!((whole.status, whole.json()["events"].clone()), (200, serde_json::Value::Null));
    assert_eq!(types(&gateway), ["a", "b", "c", "whole"]);
}

#[test]
fn long_list_is_stored_whole_where_it_is_too_long_to_be_split() {
    let gateway = Gateway::with("", LISTS);
    let token = [("X-Token", SECRET)];
    let list = |n: usize| format!("[{}]", vec!["{\"t\":\"x\"}"; n].join(","));
    let answer = gateway.post("list", &token, list(4_096).as_bytes());
    assert_eq!(answer.json()["events"], 4_096);
    assert_eq!(types(&gateway).len(), 1_000);
    let answer = gateway.post("list", &token, list(4_097).as_bytes());
    assert_eq!((answer.status, answer.json()["events"].clone()), (200, serde_json::Value::Null));
    let stored = gateway.ask("GET", &format!("/api/v1/events/{}", answer.id()), "").json();
    assert_eq!(stored["type"], "unknown");
}

#[test]
fn empty_list_is_answered_and_is_no_event() {
    let answer = "\n[source.own]\nsecrets = [{ file = \"secret\" }]\nsplit = \"json-array\"\nverify = { \
                  algorithm = \"token\", header = \"X-Token\" }\nanswer = { status = 202, type = \
                  \"text/plain\", body = \"ok {{ event.id }}\" }\n";
    let gateway = Gateway::with("", &format!("{LISTS}{answer}"));
    let token = [("X-Token", SECRET)];
    for _ in 0..2 {
        let answer = gateway.post("list", &token, b"[]");
        assert_eq!((answer.status, answer.text().as_str()), (200, "{\"events\":0}"));
    }
    let own = gateway.post("own", &token, b" [ ] ");
    assert_eq!((own.status, own.text().as_str()), (202, "ok "));
    assert_eq!(types(&gateway), [""; 0]);
    assert_eq!(gateway.post("list", &[("X-Token", "wrong")], b"[]").status, 401);
    let metrics = gateway.ask("GET", "/metrics", "").text();
    let line = "gatepost_requests_total{source=\"list\",outcome=\"handshake\"} 2";
    assert!(metrics.contains(line), "{metrics}");
}
