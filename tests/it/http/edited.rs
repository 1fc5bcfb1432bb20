//! Edited copies of events: made by their owner, delivered as any other event.

use serde_json::{Value, json};

use crate::support::bad_server::{BadServer, status};
use crate::support::gateway::{Gateway, http_handler, signature};
use crate::support::wire::Answer;

const BODY: &str = r#"{"event":"comment.create","data":{"comment":{"id":7}}}"#;
const EDITED: &str = r#"{"event":"comment.update","data":{"comment":{"id":8.10}}}"#;

/// A second handler that wants one type only.
const FEW: &str = "[handler.few]\non = [\"hyvor:comment.update\"]\nstart = \"oldest\"\n\
                   [handler.few.file]\npath = \"data/few.jsonl\"\n";

fn edit(gateway: &Gateway, id: &str, ask: &Value) -> Answer {
    gateway.ask("POST", &format!("/api/v1/events/{id}/edit"), &ask.to_string())
}

fn made(gateway: &Gateway, id: &str, body: &str) -> String {
    let answer = edit(gateway, id, &json!({ "body": body }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn event(gateway: &Gateway, id: &str) -> Value {
    gateway.ask("GET", &format!("/api/v1/events/{id}"), "").json()
}

fn lines(gateway: &Gateway, file: &str) -> usize {
    std::fs::read_to_string(gateway.folder.path().join("data").join(file)).unwrap().lines().count()
}

#[test]
fn an_edited_copy_is_a_new_event_that_names_its_parent() {
    let gateway = Gateway::with("", FEW);
    let signature = signature(BODY.as_bytes());
    let headers =
        [("X-Signature", &*signature), ("Content-Type", "application/json"), ("X-Kept", "1")];
    let parent = gateway.post("hyvor", &headers, BODY.as_bytes()).id();
    let dry = edit(&gateway, &parent, &json!({ "body": EDITED, "dry_run": true })).json();
    let told = json!({
        "parent": parent, "source": "hyvor", "type": "comment.update",
        "body_bytes": EDITED.len(), "handlers": ["all", "few"],
    });
    assert_eq!(dry, told);
    let child = made(&gateway, &parent, EDITED);
    gateway.wait_until_delivered("all", 2);
    gateway.wait_until_delivered("few", 1);
    assert_eq!((lines(&gateway, "events.jsonl"), lines(&gateway, "few.jsonl")), (2, 1));

    let shown = event(&gateway, &child);
    assert_eq!((&shown["parent"], &shown["type"]), (&json!(parent), &json!("comment.update")));
    assert_eq!((&shown["made_by"], &shown["edits"]), (&json!("token"), &json!([])));
    assert_eq!(shown["arrival"], json!({ "known_by": "nothing" }), "no sender sent it");
    let headers = shown["headers"].as_array().unwrap().iter().map(|pair| pair[0].as_str().unwrap());
    let headers: Vec<&str> = headers.filter(|name| *name != "host").collect();
    assert_eq!(headers, ["content-type", "x-kept"]);
    let raw = gateway.ask("GET", &format!("/api/v1/events/{child}/raw"), "");
    assert_eq!(raw.text(), EDITED, "byte for byte");
    let of_parent = event(&gateway, &parent);
    assert_eq!((&of_parent["parent"], &of_parent["edits"][0]["id"]), (&Value::Null, &json!(child)));
    assert_eq!(of_parent["edits"][0]["actor"], "token");
    let actions = gateway.ask("GET", "/api/v1/actions?action=edit", "").json();
    assert_eq!(actions.as_array().unwrap().len(), 1, "a dry run changes nothing");
    assert_eq!(actions[0]["about"], json!({ "event": parent, "made": child }));
    assert_eq!(gateway.metric("gatepost_requests_total{source=\"hyvor\",outcome=\"accepted\"}"), 1);

    let gateway = Gateway::serve(gateway.stop_and_keep());
    let again = event(&gateway, &child);
    assert_eq!((&again["parent"], &again["made_by"]), (&json!(parent), &json!("token")));
    let listed = gateway.ask("GET", "/api/v1/events", "").json();
    assert_eq!((&listed[0]["parent"], &listed[1]["parent"]), (&json!(parent), &Value::Null));
    assert_eq!(lines(&gateway, "events.jsonl"), 2, "delivered once");
    // A copy of a copy names the copy.
    assert_eq!(event(&gateway, &made(&gateway, &child, BODY))["parent"], json!(child));
}

#[test]
fn an_edited_copy_is_no_repeat_and_makes_none() {
    let rest = "[source.shop]\nprovider = \"hyvor-talk\"\nsecrets = [{ file = \"secret\" }]\n\
                dedupe = \"1h\"\n";
    let gateway = Gateway::with("", rest);
    let send = |body: &str| {
        let signature = signature(body.as_bytes());
        gateway.post("shop", &[("X-Signature", &signature)], body.as_bytes()).id()
    };
    let parent = send(BODY);
    let copies = [EDITED, EDITED, BODY].map(|body| made(&gateway, &parent, body));
    // What its sender sends, and sends again, is what it was.
    let (real, repeat) = (send(EDITED), send(EDITED));
    assert_eq!(real, repeat);
    assert_eq!(send(BODY), parent);
    let mut all = [&copies[..], &[real, parent]].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 5, "{all:?}");
}

/// The gateway started again with another text in its configuration.
fn with_other(gateway: Gateway, before: &str, after: &str) -> Gateway {
    let folder = gateway.stop_and_keep();
    let text = std::fs::read_to_string(folder.config()).unwrap();
    assert!(text.contains(before), "{before}: {text}");
    std::fs::write(folder.config(), text.replace(before, after)).unwrap();
    Gateway::serve(folder)
}

#[test]
fn an_edited_copy_that_has_no_room_is_refused_and_the_action_log_says_so() {
    let gateway = Gateway::with("body_max = \"4MiB\"\n", "");
    let id = gateway.send(BODY.as_bytes()).id();
    // More than any disk has: nothing is taken in once the segments that are there are full.
    let gateway = with_other(gateway, "\"48MiB\"", "\"900TiB\"");
    let large = json!({ "body": "x".repeat(4 << 20) });
    let refused = (0..40).map(|_| edit(&gateway, &id, &large)).find(|answer| answer.status != 200);
    let refused = refused.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert!(refused.text().contains("no room") && refused.header("retry-after").is_some());
    let failed = gateway.ask("GET", "/api/v1/actions?action=edit&limit=1", "").json();
    assert_eq!(
        (&failed[0]["is_done"], &failed[0]["about"]),
        (&json!(false), &json!({ "event": id }))
    );
}

#[test]
fn what_cannot_be_edited_says_why() {
    let gateway = Gateway::with("body_max = \"1KiB\"\n", "");
    let id = gateway.send(BODY.as_bytes()).id();
    let refused = |id: &str, ask: &Value, status: u16, why: &str| {
        let answer = edit(&gateway, id, ask);
        assert_eq!(answer.status, status, "{ask}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.text().contains(why), "{why}: {}", answer.text());
    };
    made(&gateway, &id, &"x".repeat(1 << 10));
    let long = json!({ "body": "x".repeat(1 + (1 << 10)) });
    refused(&id, &long, 413, "source `hyvor` takes 1024 at most (`body_max`)");
    refused(&id, &json!({ "body": "" }), 400, "empty");
    refused(&id, &json!({}), 400, "either as `body`");
    refused(&id, &json!({ "body": "a", "body_base64": "YQ==" }), 400, "either as `body`");
    refused(&id, &json!({ "body_base64": "é" }), 400, "`body_base64`");
    refused(&id, &json!({ "body": "a", "handler": "all" }), 400, "unknown field");
    let nobody = "0199c3f6-5b5e-7000-8000-000000000001";
    refused(nobody, &json!({ "body": "a" }), 404, "is retained");
    let bytes = edit(&gateway, &id, &json!({ "body_base64": "/wA=" })).json();
    assert_eq!((&bytes["type"], &bytes["body_bytes"]), (&json!("comment.create"), &json!(2)));
    assert_eq!(gateway.ask("GET", &format!("/api/v1/events/{id}/edit"), "").status, 405);

    // The source is taken out of the configuration.
    let gateway = with_other(gateway, "[source.hyvor]", "[source.other]");
    let answer = edit(&gateway, &id, &json!({ "body": "a" }));
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("source `hyvor` is in no configuration"), "{}", answer.text());
}

#[test]
fn what_the_gateway_says_of_itself_is_not_edited() {
    let receiver = BadServer::start([status(422)]);
    let gateway = Gateway::with("", &http_handler("app", "on = [\"hyvor:*\"]", &receiver));
    gateway.send(BODY.as_bytes()).id();
    let own = loop {
        let own = gateway.ask("GET", "/api/v1/events?source=gatepost", "").json();
        if let Some(id) = own[0]["id"].as_str() {
            break id.to_owned();
        }
        std::thread::yield_now();
    };
    let answer = edit(&gateway, &own, &json!({ "body": "{}" }));
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("of itself is not edited"), "{}", answer.text());
    let shown = gateway.ask("GET", &format!("/events/{own}"), "").text();
    assert!(!shown.contains("Edit a copy"), "{shown}");
}
