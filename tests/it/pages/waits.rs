//! Why it took as long until an event was tried again, on its page and in the API.

use serde_json::{Value, json};

use crate::support::bad_server::{Answer, BadServer, status};
use crate::support::gateway::{Gateway, http_handler};

fn gateway(receiver: &BadServer, retry: &str) -> Gateway {
    Gateway::with("", &http_handler("app", &format!("retry = {{ {retry} }}"), receiver))
}

/// The waits of the event's tries at `app`, and its page.
fn waits(gateway: &Gateway, id: &str) -> (Vec<Value>, String) {
    let event = gateway.ask("GET", &format!("/api/v1/events/{id}"), "").json();
    let deliveries = event["deliveries"].as_array().unwrap().clone();
    let app = deliveries.into_iter().find(|one| one["handler"] == "app").unwrap();
    let attempts = app["attempts"].as_array().unwrap().iter();
    let page = gateway.ask("GET", &format!("/events/{id}"), "").text();
    (attempts.map(|one| one["wait"].clone()).collect(), page)
}

#[test]
fn wait_that_the_other_side_asked_for_is_told_from_one_that_was_planned() {
    let asks = Answer::Status(503, vec![("Retry-After", "0.3".to_owned())], String::new());
    let receiver = BadServer::start([status(503), asks]);
    let gateway = gateway(&receiver, "min = \"1ms\", max = \"1ms\"");
    let id = gateway.send(b"{\"n\":1}").id();
    gateway.wait_until_delivered("app", 1);
    let (waits, page) = waits(&gateway, &id);
    assert_eq!(waits[0]["why"], json!([]));
    assert!(waits[0]["planned_ms"].as_u64().unwrap() <= 1, "{waits:?}");
    assert_eq!(waits[1], json!({ "planned_ms": 300, "why": ["retry_after"] }));
    assert_eq!(waits[2], Value::Null, "nothing comes behind it");
    assert!(page.contains(", as its retry rules say</span>"), "{page}");
    assert!(page.contains(", as Retry-After asked</span>"), "{page}");
}

#[test]
fn try_that_was_asked_for_comes_before_it_was_planned_and_a_redrive_is_no_plan() {
    let receiver = BadServer::start([status(503), status(422)]);
    let gateway = gateway(&receiver, "min = \"1h\", max = \"1h\"");
    let id = gateway.send(b"{\"n\":1}").id();
    gateway.wait_for_outcomes("app", "retry", 1);
    let (planned, _) = waits(&gateway, &id);
    let [wait] = &planned[..] else { panic!("{planned:?}") };
    let hour = wait["planned_ms"].as_u64().unwrap();
    assert!((3_590_000..=3_600_000).contains(&hour) && wait["why"] == json!([]), "{wait}");
    assert_eq!(gateway.ask("POST", "/api/v1/handlers/app/retry", "").status, 200);
    gateway.wait_for_outcomes("app", "dead", 1);
    let body = json!({ "handler": "app" }).to_string();
    assert_eq!(gateway.ask("POST", "/api/v1/dead/redrive", &body).status, 200);
    gateway.wait_until_delivered("app", 1);
    let (waits, page) = waits(&gateway, &id);
    assert_eq!(waits[1..], [json!({ "why": ["asked"] }), Value::Null]);
    assert!(page.contains(" that its retry rules say</span>"), "{page}");
    assert!(page.contains(", until it was asked for again</span>"), "{page}");
}

#[test]
fn handler_that_is_asked_to_wait_says_until_when_and_why() {
    let later = Answer::Status(429, vec![("Retry-After", "120".to_owned())], String::new());
    let service = BadServer::start([later]);
    let url = service.url("/");
    let server = url.trim_end_matches('/');
    let gateway = Gateway::with(
        "",
        &format!(
            "[handler.phone.chat]\nntfy = {{ topic = \"a\", server = \"{server}\" }}\ntext = \"x\"\n"
        ),
    );
    let id = gateway.send(b"{\"n\":1}").id();
    let phone = loop {
        let handler = gateway.ask("GET", "/api/v1/handlers/phone", "").json();
        if !handler["reason"].is_null() {
            break handler;
        }
        std::thread::yield_now();
    };
    assert_eq!((&phone["state"], &phone["failures"]), (&json!("running"), &json!(0)), "{phone}");
    assert!(phone["reason"].as_str().unwrap().contains("429"), "{phone}");
    let list = gateway.ask("GET", "/handlers", "").text();
    assert!(list.contains("waiting"), "{list}");
    let page = gateway.ask("GET", &format!("/events/{id}"), "").text();
    assert!(page.contains("phone waits (answered 429"), "{page}");
}

#[test]
fn redrive_says_what_became_of_what_it_made_due_again() {
    let receiver = BadServer::start([status(422), status(422), status(422)]);
    let gateway = gateway(&receiver, "min = \"1h\", max = \"1h\"");
    for n in 0..2 {
        gateway.send(format!("{{\"n\":{n}}}").as_bytes()).id();
    }
    gateway.wait_for_outcomes("app", "dead", 2);
    let answer = gateway.ask("POST", "/dead/redrive", "handler=app");
    assert_eq!(answer.status, 303, "{}", answer.text());
    let back = answer.header("location").unwrap().to_owned();
    gateway.wait_for_outcomes("app", "dead", 3);
    gateway.wait_until_delivered("app", 1);
    let page = super::page(&gateway, &back);
    assert!(page.contains("1 delivered, 1 failed again"), "{page}");
    assert!(page.contains("redrive: 2 of 2"), "{page}");
}
