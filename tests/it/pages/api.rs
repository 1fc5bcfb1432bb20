//! What the API answers beside the pages: searches and their bounds, groups, previews, the action log,
//! rates, and the stream.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::ask;
use crate::support::bad_server::{BadServer, status};
use crate::support::gateway::{Gateway, http_handler};
use crate::support::wire;

/// A handler whose receiver refuses so many events for good.
fn gateway(n_refused: usize) -> (BadServer, Gateway) {
    let receiver = BadServer::start((0..n_refused).map(|_| status(422)));
    let gateway = Gateway::with("", &http_handler("app", "concurrency = 1", &receiver));
    (receiver, gateway)
}

fn send(gateway: &Gateway, n: usize) -> String {
    let body =
        format!(r#"{{"event":"comment.create","data":{{"comment":{{"id":{n}}},"t":"a b"}}}}"#);
    gateway.send(body.as_bytes()).id()
}

fn post(gateway: &Gateway, path: &str, body: &Value) -> Value {
    gateway.ask("POST", &format!("/api/v1/{path}"), &body.to_string()).json()
}

fn ids(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn events_are_found_by_words_fields_and_how_their_deliveries_stand() {
    let (_receiver, gateway) = gateway(1);
    let dead = send(&gateway, 1);
    gateway.wait_for_outcomes("app", "dead", 1);
    let good: Vec<String> = (2..5).map(|n| send(&gateway, n)).collect();
    gateway.wait_until_delivered("app", 3);
    let newest_first: Vec<String> = good.iter().rev().cloned().collect();
    for (query, expected) in [
        ("q=has:dead", vec![dead.clone()]),
        ("q=handler:app+has:delivered", newest_first.clone()),
        ("handler=app&state=dead", vec![dead.clone()]),
        ("handler=app&state=retry", vec![]),
        ("q=data.comment.id:3", vec![good[1].clone()]),
        ("q=%22a+b%22+data.comment.id:1", vec![dead]),
        ("q=nothing-has-this", vec![]),
    ] {
        assert_eq!(ids(&ask(&gateway, &format!("events?{query}"))), expected, "{query}");
    }
    for wrong in ["q=has:nothing", "state=wrong", "q=a+b+c+d+e+f+g+h+i", "handler=UPPER"] {
        let answer = gateway.ask("GET", &format!("/api/v1/events?{wrong}"), "");
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[test]
fn dead_letters_are_grouped_and_a_preview_changes_nothing() {
    let (_receiver, gateway) = gateway(3);
    (0..3).for_each(|n| drop(send(&gateway, n)));
    gateway.wait_for_outcomes("app", "dead", 3);
    let groups = ask(&gateway, "dead?group=reason");
    assert_eq!((&groups["looked_at"], &groups["is_complete"]), (&json!(3), &json!(true)));
    let group = &groups["groups"][0];
    assert_eq!((&group["handler"], &group["count"]), (&json!("app"), &json!(3)));
    assert_eq!(group["within"], json!([3, 3, 3, 3, 3]));
    assert!(group["reason"].as_str().unwrap().starts_with("answered 422"), "{group}");

    let preview = json!({ "handler": "app", "dry_run": true, "limit": 2 });
    let types = json!([{ "source": "hyvor", "type": "comment.create", "count": 2 }]);
    let expected = json!({
        "matched": 2, "done": 2, "skipped": 0, "failed": 0, "count": 2, "more": 1,
        "types": types,
    });
    assert_eq!(post(&gateway, "dead/redrive", &preview), expected);
    assert_eq!(post(&gateway, "dead/drop", &preview), expected);
    assert_eq!(ask(&gateway, "dead").as_array().unwrap().len(), 3, "nothing was changed");

    let like = json!({ "like": group["key"], "limit": 1 });
    assert_eq!(post(&gateway, "dead/drop", &like)["done"], 1);
    let other = json!({ "like": "another reason" });
    assert_eq!(post(&gateway, "dead/redrive", &other)["matched"], 0);
    let all = json!({ "like": group["reason"] });
    assert_eq!(post(&gateway, "dead/redrive", &all)["done"], 2);
    gateway.wait_until_delivered("app", 2);
    assert_eq!(ask(&gateway, "dead"), json!([]));

    let actions = ask(&gateway, "actions");
    let told: Vec<(&str, &str)> = actions
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["action"].as_str().unwrap(), one["result"].as_str().unwrap()))
        .collect();
    let expected = [
        ("redrive", "2 of 2, 0 skipped"),
        ("redrive", "0 of 0, 0 skipped"),
        ("drop", "1 of 1, 0 skipped; left out by its limit: 2"),
    ];
    assert_eq!(told, expected, "previews are no actions");
    assert_eq!(actions[0]["actor"], "token");
}

#[test]
fn rates_count_what_came_and_what_became_of_it() {
    let (_receiver, gateway) = gateway(1);
    (0..3).for_each(|n| drop(send(&gateway, n)));
    gateway.wait_for_outcomes("app", "dead", 1);
    gateway.wait_until_delivered("app", 2);
    let rates = ask(&gateway, "rates");
    let sum = |series: &Value, by: &str, n_slots: usize| {
        let slots = series[by].as_array().unwrap();
        assert_eq!(slots.len(), n_slots);
        slots.iter().map(|slot| slot.as_u64().unwrap()).sum::<u64>()
    };
    let source = rates["sources"].as_array().unwrap().iter().find(|one| one["source"] == "hyvor");
    let handler = rates["handlers"].as_array().unwrap().iter().find(|one| one["handler"] == "app");
    assert_eq!(sum(&source.unwrap()["accepted"], "minutes", 60), 3);
    assert_eq!(sum(&source.unwrap()["accepted"], "hours", 24), 3);
    assert_eq!(sum(&handler.unwrap()["delivered"], "minutes", 60), 2);
    assert_eq!(sum(&handler.unwrap()["failed"], "minutes", 60), 1);
}

#[test]
fn a_handler_that_was_not_called_says_why() {
    let rest = "[handler.few]\non = [\"hyvor:comment.*\"]\nwhen = \"data.comment.id > 5\"\n\
                [handler.few.log]\n[handler.none]\non = [\"hyvor:page.*\"]\n[handler.none.log]\n";
    let gateway = Gateway::with("", rest);
    let id = send(&gateway, 3);
    gateway.wait_until_delivered("all", 1);
    let event = ask(&gateway, &format!("events/{id}"));
    let of = |name: &str| {
        let found =
            event["not_called"].as_array().unwrap().iter().find(|one| one["handler"] == name);
        found.unwrap_or_else(|| panic!("{event}")).clone()
    };
    let few = of("few");
    assert_eq!(
        (&few["answer"], &few["because"]),
        (&json!("filtered"), &json!("when = data.comment.id > 5"))
    );
    assert_eq!(few["values"], json!([{ "field": "data.comment.id", "value": "3" }]));
    let none = of("none");
    assert_eq!(
        (&none["answer"], &none["because"]),
        (&json!("not_named"), &json!("on = [\"hyvor:page.*\"]"))
    );
}

/// The next event of a stream: its kind, its id and its data.
fn next(stream: &mut BufReader<TcpStream>) -> (String, u64, Value) {
    let (mut kind, mut id) = ("message".to_owned(), 0);
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream goes on");
        let line = line.trim();
        if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut kind);
        } else if let Some(number) = line.strip_prefix("id: ") {
            id = number.parse().unwrap();
        } else if let Some(data) = line.strip_prefix("data: ") {
            return (kind, id, serde_json::from_str(data).unwrap());
        }
    }
}

fn stream(gateway: &Gateway, query: &str, seen: Option<&str>) -> BufReader<TcpStream> {
    let token = std::fs::read_to_string(gateway.folder.path().join("data/admin-token")).unwrap();
    let seen = seen.map(|seen| format!("Last-Event-ID: {seen}\r\n")).unwrap_or_default();
    let mut stream = TcpStream::connect(gateway.admin).unwrap();
    let head = format!(
        "GET /api/v1/stream{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{seen}\r\n",
        token.trim()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    BufReader::new(stream)
}

#[test]
fn a_stream_goes_on_behind_what_its_viewer_saw_and_takes_filters() {
    let gateway = Gateway::start();
    let all: Vec<String> = (0..4).map(|n| send(&gateway, n)).collect();
    let mut one = stream(&gateway, "", Some("2"));
    for (position, id) in [(3, &all[2]), (4, &all[3])] {
        let (kind, number, event) = next(&mut one);
        assert_eq!(
            (kind.as_str(), number, event["id"].as_str()),
            ("message", position, Some(id.as_str()))
        );
    }
    let mut some = stream(&gateway, "?q=data.comment.id:9&after=0", None);
    send(&gateway, 8);
    let wanted = send(&gateway, 9);
    assert_eq!(next(&mut some).2["id"], wanted);
    let answer = gateway.ask("GET", "/api/v1/stream?before=3", "");
    assert_eq!(answer.status, 400);
    for seen in ["event-3", "-1", "1.5", "99999999999999999999"] {
        let mut status = String::new();
        stream(&gateway, "", Some(seen)).read_line(&mut status).unwrap();
        assert!(status.starts_with("HTTP/1.1 400"), "{seen}: {status}");
    }
}

#[test]
fn a_viewer_who_is_far_behind_is_told_what_was_skipped() {
    let gateway = Gateway::start();
    for n in 0..601 {
        gateway.send(format!(r#"{{"n":{n}}}"#).as_bytes()).id();
    }
    let mut behind = stream(&gateway, "", Some("0"));
    let (kind, id, skipped) = next(&mut behind);
    assert_eq!((kind.as_str(), id), ("skipped", 501));
    assert_eq!(skipped, json!({ "count": 501, "after": 0, "before": 502 }));
    assert_eq!(next(&mut behind).1, 502);
}

#[test]
fn viewer_who_wants_some_is_shown_them_however_much_came_by() {
    let gateway = Gateway::start();
    let send_some = |event_type: &str, n: u32| {
        for n in 0..n {
            let body = format!(r#"{{"event":"{event_type}","n":{n}}}"#);
            gateway.send(body.as_bytes()).id();
        }
    };
    send_some("rare", 3);
    send_some("often", 601);
    let mut rare = stream(&gateway, "?type=rare", Some("1"));
    assert_eq!([next(&mut rare).1, next(&mut rare).1], [2, 3], "601 came by since");
    send_some("rare", 1);
    assert_eq!(next(&mut rare).1, 605);
    // Of those that match the count is known, and no other counts.
    let mut many = stream(&gateway, "?type=often", Some("1"));
    let (kind, id, skipped) = next(&mut many);
    assert_eq!((kind.as_str(), id), ("skipped", 504));
    assert_eq!(skipped, json!({ "count": 501, "after": 1, "before": 505 }));
    assert_eq!(next(&mut many).1, 505);
}

/// The fields that the description of the API gives an answer, or each of a list.
fn described(document: &Value, path: &str, is_list: bool) -> Vec<String> {
    let content =
        &document["paths"][format!("/api/v1{path}")]["get"]["responses"]["200"]["content"];
    let schema = &content["application/json"]["schema"];
    let mut others = schema["anyOf"].as_array().into_iter().flatten();
    let schema = others.find(|one| one["items"].is_object() == is_list).unwrap_or(schema);
    let name = schema["items"]["$ref"].as_str().or(schema["$ref"].as_str()).unwrap();
    let name = name.rsplit('/').next().unwrap();
    let schema = &document["components"]["schemas"][name];
    assert_eq!(schema["type"], "object", "{name}");
    let mut fields: Vec<String> =
        schema["properties"].as_object().unwrap().keys().cloned().collect();
    fields.sort();
    fields
}

#[test]
fn answers_have_the_fields_that_their_description_gives_them() {
    let (_receiver, gateway) = gateway(1);
    let id = send(&gateway, 1);
    gateway.wait_for_outcomes("app", "dead", 1);
    gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    post(&gateway, "handlers/app/pause", &json!({}));
    let document = ask(&gateway, "openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    for path in [
        "status",
        "events",
        "dead",
        "rejected",
        "handlers",
        "sources",
        "rates",
        "config",
        "actions",
        "reload",
        "dead?group=reason",
    ] {
        let answer = ask(&gateway, path);
        let one = answer.as_array().map_or(&answer, |list| &list[0]);
        let mut fields: Vec<String> = one.as_object().unwrap().keys().cloned().collect();
        fields.sort();
        let of = format!("/{}", path.trim_end_matches("?group=reason"));
        assert_eq!(fields, described(&document, &of, answer.is_array()), "{path}");
    }
    for (path, of) in [
        (format!("events/{id}"), "/events/{id}"),
        (format!("events/{id}/plan?handler=app"), "/events/{id}/plan"),
        ("handlers/app".to_owned(), "/handlers/{name}"),
        ("sources/hyvor".to_owned(), "/sources/{name}"),
    ] {
        let known = described(&document, of, false);
        for field in ask(&gateway, &path).as_object().unwrap().keys() {
            assert!(known.contains(field), "{path}: {field}");
        }
    }
}

#[test]
fn list_of_long_events_is_as_long_as_is_asked_for_and_says_their_lengths() {
    let gateway = Gateway::with("body_max = \"2MiB\"", "");
    let filler = "x".repeat(1_900_000);
    for n in 0..11 {
        gateway.send(format!(r#"{{"n":{n},"t":"{filler}"}}"#).as_bytes()).id();
    }
    let listed = gateway.ask("GET", "/api/v1/events?limit=10", "");
    assert_eq!(listed.header("gatepost-next"), Some("2"));
    let listed = listed.json();
    assert_eq!(listed.as_array().unwrap().len(), 10);
    for event in listed.as_array().unwrap() {
        let raw = gateway.ask(
            "GET",
            &format!("/api/v1/events/{}/raw", event["id"].as_str().unwrap()),
            "",
        );
        assert_eq!(event["body_bytes"], raw.body.len());
    }
    let handler = gateway.ask("GET", "/api/v1/handlers/all", "").json();
    assert_eq!(handler["looked_at"], 11);
    // A search reads all of each.
    let found = gateway.ask("GET", "/api/v1/events?q=n:4", "").json();
    assert_eq!(found.as_array().unwrap().len(), 1);
    let found =
        gateway.ask("GET", &format!("/api/v1/events?contains={}", "x".repeat(90)), "").json();
    assert_eq!(found.as_array().unwrap().len(), 11);
}

#[test]
fn every_answer_that_is_no_success_says_what_is_wrong() {
    let gateway = Gateway::start();
    let token = std::fs::read_to_string(gateway.folder.path().join("data/admin-token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let told = |method: &str, path: &str, kind: &str, body: &str| {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        let answer = wire::request(gateway.admin, method, path, &headers, body.as_bytes());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        let problem = answer.json();
        assert_eq!(problem["status"], answer.status);
        (answer.status, problem["detail"].as_str().unwrap_or_default().to_owned())
    };
    let json = "application/json";
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(70_000));
    for (method, path, kind, body, status, expected) in [
        ("GET", "/api/v1/nothing", json, "", 404, "openapi.json"),
        ("DELETE", "/api/v1/status", json, "", 405, "GET, HEAD"),
        ("GET", "/api/v1/events?limit=-1", json, "", 400, "`limit`"),
        ("GET", "/api/v1/events?source=hyvor&since=soon", json, "", 400, "`since`"),
        ("GET", "/api/v1/events?nothing=1", json, "", 400, "`nothing`"),
        ("GET", "/api/v1/handlers?state=down", json, "", 400, "no parameters"),
        ("POST", "/api/v1/dead/redrive?handler=app", json, r#"{"all":true}"#, 400, "in its body"),
        ("POST", "/api/v1/dead/redrive", json, "null", 400, "one JSON object"),
        ("POST", "/api/v1/dead/redrive", json, "{", 400, "line 1"),
        ("POST", "/api/v1/dead/redrive", json, &long, 413, "longer"),
        ("POST", "/api/v1/dead/redrive", "text/xml", "<all/>", 415, "application/json"),
        ("POST", "/dead/redrive", "text/plain", &long, 413, "longer"),
    ] {
        let (found, detail) = told(method, path, kind, body);
        assert_eq!(found, status, "{path}: {detail}");
        assert!(detail.contains(expected), "{path}: {detail}");
    }
    // What `curl -d` says of every body is no lie about this one.
    let form = "application/x-www-form-urlencoded";
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", form)];
    let body = br#"{"dry_run":true}"#;
    let answer = wire::post(gateway.admin, "/api/v1/dead/redrive", &headers, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = wire::request(gateway.admin, "GET", "/api/v1/status", &[], b"");
    assert_eq!(answer.status, 401);
    assert!(answer.text().contains("Authorization: Bearer"), "{}", answer.text());
}
