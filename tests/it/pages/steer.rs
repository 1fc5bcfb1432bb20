//! What an operator tells the gateway to do: pause for a while, try one now, release a group, deliver
//! again all that a filter finds.

use serde_json::{Value, json};

use super::ask;
use crate::support::bad_server::{BadServer, status};
use crate::support::gateway::{Gateway, SECRET, http_handler};
use crate::support::patience::wait_until;
use crate::support::wire::Answer;

fn app(receiver: &BadServer, more: &str) -> String {
    http_handler("app", &format!("concurrency = 1\n{more}"), receiver)
}

fn post(gateway: &Gateway, path: &str, body: &Value) -> Answer {
    gateway.ask("POST", &format!("/api/v1/{path}"), &body.to_string())
}

fn handler(gateway: &Gateway, name: &str) -> Value {
    let handlers = ask(gateway, "handlers");
    let found = handlers.as_array().unwrap().iter().find(|one| one["name"] == name);
    found.unwrap().clone()
}

/// The newest action in the log.
fn newest_action(gateway: &Gateway) -> (String, String) {
    let newest = ask(gateway, "actions")[0].clone();
    let text = |key: &str| newest[key].as_str().unwrap().to_owned();
    (text("action"), text("result"))
}

#[test]
fn pause_ends_by_itself_says_why_and_outlives_a_restart() {
    let gateway = Gateway::start();
    let pause = json!({ "for": "1h", "reason": "the mail server moves" });
    assert_eq!(post(&gateway, "handlers/all/pause", &pause).json()["changed"], true);
    let (action, result) = newest_action(&gateway);
    assert_eq!(action, "pause");
    assert!(result.ends_with(": the mail server moves"), "{result}");
    let gateway = Gateway::serve(gateway.stop_and_keep());
    let all = handler(&gateway, "all");
    assert_eq!((&all["state"], &all["pause"]["by"]), (&json!("paused"), &json!("token")));
    assert_eq!(all["pause"]["reason"], "the mail server moves");
    assert!(all["pause"]["until"].is_string(), "{all}");
    let page = gateway.ask("GET", "/handlers/all", "").text();
    assert!(page.contains(", by API: the mail server moves"), "{page}");
    assert!(page.contains("goes on <time"), "{page}");
    let short = json!({ "for": "1s" });
    assert_eq!(post(&gateway, "handlers/all/pause", &short).json()["changed"], true);
    gateway.send(b"{}").id();
    gateway.wait_until_delivered("all", 1);
    assert_eq!(handler(&gateway, "all")["pause"], Value::Null);
    let again = json!({});
    assert_eq!(post(&gateway, "handlers/all/resume", &again).json()["changed"], false);
}

#[test]
fn pause_from_the_page_lasts_until_the_time_that_was_written() {
    let gateway = Gateway::start();
    let page = gateway.ask("GET", "/handlers/all", "").text();
    assert!(page.contains("<input type=\"datetime-local\" name=\"until\""), "{page}");
    let form = "for=&until=2099-11-22T14%3A30&reason=the+move";
    let answer = gateway.ask("POST", "/handlers/all/pause", form);
    assert_eq!(answer.status, 303, "{}", answer.text());
    let pause = &handler(&gateway, "all")["pause"];
    let there = "2099-11-22T14:30".parse::<jiff::civil::DateTime>().unwrap();
    let there = there.to_zoned(jiff::tz::TimeZone::system()).unwrap().timestamp();
    let until: jiff::Timestamp = pause["until"].as_str().unwrap().parse().unwrap();
    assert_eq!((until, &pause["reason"]), (there, &json!("the move")));
    for wrong in ["until=soon", "until=2020-01-01T00%3A00", "for=1h&until=2099-11-22T14%3A30"] {
        assert_eq!(gateway.ask("POST", "/handlers/all/pause", wrong).status, 400, "{wrong}");
    }
    let answer = gateway.ask("POST", "/handlers/all/pause", "until=soon").text();
    assert!(answer.contains("is a time of day or a day with one"), "{answer}");
}

#[test]
fn pause_that_makes_no_sense_is_refused_and_nothing_is_paused() {
    let gateway = Gateway::start();
    for wrong in [
        json!({ "for": "1h", "until": "2099-01-01T00:00:00Z" }),
        json!({ "for": "soon" }),
        json!({ "until": "2020-01-01T00:00:00Z" }),
        json!({ "length": "1h" }),
    ] {
        let answer = post(&gateway, "handlers/all/pause", &wrong);
        assert_eq!(answer.status, 400, "{wrong}");
    }
    assert_eq!(handler(&gateway, "all")["state"], "running");
    assert_eq!(post(&gateway, "handlers/nobody/retry", &json!({})).status, 404);
}

#[test]
fn failing_handler_is_tried_at_once_when_somebody_says_so() {
    let receiver = BadServer::start([status(503)]);
    let gateway = Gateway::with("", &app(&receiver, "retry = { min = \"1h\", max = \"2h\" }"));
    gateway.send(b"{}").id();
    gateway.wait_for_outcomes("app", "retry", 1);
    let page = gateway.ask("GET", "/handlers/app", "").text();
    assert!(page.contains("action=\"/handlers/app/retry\""), "{page}");
    let retried = post(&gateway, "handlers/app/retry", &json!({})).json();
    assert_eq!((&retried["handler"], &retried["waiting"]), (&json!("app"), &json!(1)));
    gateway.wait_until_delivered("app", 1);
    // The try was counted, and may not have been recorded yet.
    let result =
        if retried["is_bound"] == true { "one of up to 1 that wait" } else { "one of 1 that wait" };
    assert_eq!(newest_action(&gateway), ("try now".to_owned(), result.to_owned()));
    let page = gateway.ask("GET", "/handlers/app", "").text();
    assert!(!page.contains("/handlers/app/retry"), "it answers: {page}");
}

#[test]
fn handler_that_is_left_alone_is_probed_at_once() {
    let receiver = BadServer::start((0..3).map(|_| status(503)));
    let more = "breaker = { failures = 3, probe_interval = \"1h\" }";
    let gateway = Gateway::with("", &app(&receiver, more));
    (0..5).for_each(|n| drop(gateway.send(format!(r#"{{"n":{n}}}"#).as_bytes()).id()));
    gateway.wait_for_outcomes("app", "retry", 3);
    wait_until("it is left alone", || !handler(&gateway, "app")["probe_at"].is_null());
    post(&gateway, "handlers/app/retry", &json!({}));
    gateway.wait_until_delivered("app", 2);
    post(&gateway, "handlers/app/pause", &json!({}));
    let answer = post(&gateway, "handlers/app/retry", &json!({}));
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("resume it first"), "{}", answer.text());
}

#[test]
fn form_releases_what_was_turned_down_for_a_reason_longer_than_it_holds() {
    let header = format!("x-{}", "id-".repeat(120));
    let source = format!(
        "[source.long]\nsecrets = [{{ file = \"secret\" }}]\n[source.long.verify]\n\
         algorithm = \"hmac-sha256\"\nheader = \"X-Signature\"\n\
         signed = \"{{header:{header}}}.{{body}}\"\n"
    );
    let gateway = Gateway::with("", &source);
    assert_eq!(gateway.post("long", &[("X-Signature", &"0".repeat(64))], b"{}").status, 401);
    let reason = ask(&gateway, "rejected")[0]["reason"].as_str().unwrap().to_owned();
    let shown = reason.get(..300).expect("it is longer").replace(' ', "+");
    let form = format!("source=long&reason={shown}%E2%80%A6");
    assert_eq!(gateway.ask("POST", "/rejected/release", &form).status, 303);
    let told = "0 of 1, 1 still fail verification".to_owned();
    assert_eq!(newest_action(&gateway), ("release".to_owned(), told));
    assert_eq!(gateway.ask("POST", "/rejected/release", "reason=no").status, 404);
}

#[test]
fn form_that_says_nothing_is_for_nothing() {
    let receiver = BadServer::start([status(422)]);
    let gateway = Gateway::with("", &app(&receiver, ""));
    gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    gateway.send(b"{}").id();
    gateway.wait_for_outcomes("app", "dead", 1);
    let n_actions = || ask(&gateway, "actions").as_array().unwrap().len();
    let before = n_actions();
    for (path, forms) in [
        ("/rejected/release", &["", "source=", "all=true"][..]),
        ("/dead/redrive", &["", "limit=1", "all=yes", "after=1.1.app&all=true"]),
        ("/dead/rollout", &["", "rate=5", "after=1.1.app&all=true"]),
        ("/dead/drop", &["", "confirm=1"]),
    ] {
        for form in forms {
            let answer = gateway.ask("POST", path, form);
            assert_eq!(answer.status, 400, "{path} {form}: {}", answer.text());
        }
    }
    let unknown = gateway.ask("POST", "/dead/redrive", "handler=nosuch");
    assert_eq!(unknown.status, 404, "as the API says it: {}", unknown.text());
    assert_eq!(n_actions(), before, "nothing was done, and nothing is told of");
    for form in ["", "to=", "q=", "all=yes"] {
        let answer = gateway.ask("POST", "/events/replay", form);
        assert_eq!(answer.status, 400, "{form}: {}", answer.text());
    }
    // Nothing narrows the preview's own form, which says so.
    let every = r#"<input type="hidden" name="all" value="true">"#;
    let page = gateway.ask("GET", "/events?replay=1", "").text();
    assert!(page.contains(every), "{page}");
    let page = gateway.ask("GET", "/events?source=hyvor&replay=1", "").text();
    assert!(page.contains("action=\"/events/replay\"") && !page.contains(every), "{page}");
    // The page's own form of all dead letters says so.
    let page = gateway.ask("GET", "/dead", "").text();
    assert!(page.contains(r#"<input type="hidden" name="all" value="true">"#), "{page}");
    let answer = gateway.ask("POST", "/dead/redrive", "all=true");
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(answer.header("location").unwrap().starts_with("/dead?done="));
    gateway.wait_until_delivered("app", 1);
    let answer = gateway.ask("POST", "/events/replay", "all=true&to=app");
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(answer.header("location").unwrap().starts_with("/events?done="));
    gateway.wait_until_delivered("app", 2);
}

#[test]
fn rejected_requests_of_one_cause_are_released_together_after_the_mend() {
    let gateway = Gateway::start();
    let path = gateway.folder.path().join("secret");
    for n in 0..3 {
        let body = format!(r#"{{"event":"comment.create","n":{n}}}"#);
        let signed = crate::support::gateway::signature(body.as_bytes());
        std::fs::write(&path, "another secret").unwrap();
        if n == 0 {
            assert_eq!(post(&gateway, "reload", &json!({})).status, 200);
        }
        assert_eq!(gateway.post("hyvor", &[("X-Signature", &signed)], body.as_bytes()).status, 401);
    }
    gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    gateway.post("userecho", &[], b"{}");
    let all = json!({ "source": "hyvor" });
    let preview = json!({ "source": "hyvor", "dry_run": true });
    let expected = |done, failed| json!({ "matched": 4, "done": done, "skipped": 0, "failed": failed, "count": done });
    assert_eq!(post(&gateway, "rejected/release", &preview).json(), expected(0, 4));
    let page = gateway.ask("GET", "/rejected", "").text();
    assert!(page.contains("would be good now: mend the cause first"), "{page}");
    std::fs::write(&path, SECRET).unwrap();
    assert_eq!(post(&gateway, "reload", &json!({})).status, 200);
    assert_eq!(post(&gateway, "rejected/release", &preview).json(), expected(3, 1));
    let page = gateway.ask("GET", "/rejected", "").text();
    assert!(page.contains("3 of these 3 would be good now"), "{page}");
    assert!(page.contains("Release what is good now"), "{page}");
    assert_eq!(ask(&gateway, "events"), json!([]), "a preview stores nothing");
    assert_eq!(post(&gateway, "rejected/release", &all).json(), expected(3, 1));
    gateway.wait_until_delivered("all", 3);
    assert_eq!(ask(&gateway, "rejected").as_array().unwrap().len(), 2);
    let told = "3 of 4, 1 still fail verification".to_owned();
    assert_eq!(newest_action(&gateway), ("release".to_owned(), told));
    let wrong = json!({ "source": "UPPER" });
    assert_eq!(post(&gateway, "rejected/release", &wrong).status, 400);
}

#[test]
fn all_that_a_filter_finds_is_delivered_again_behind_a_preview() {
    let receiver = BadServer::start([status(422)]);
    let gateway = Gateway::with("", &app(&receiver, ""));
    for n in 0..4 {
        let body =
            format!(r#"{{"event":"comment.create","data":{{"n":{n},"tags":["a","t{n}"]}}}}"#);
        gateway.send(body.as_bytes()).id();
    }
    gateway.wait_until_delivered("app", 3);
    gateway.wait_until_delivered("all", 4);
    let list = gateway.ask("GET", "/events?handler=app&state=delivered", "").text();
    assert!(list.contains("Deliver these again"), "{list}");
    let page = gateway.ask("GET", "/events?handler=app&state=delivered&replay=1", "").text();
    assert!(page.contains("3 events would be delivered again"), "{page}");
    assert!(page.contains("<option value=\"app\" selected>app: 3 events</option>"), "{page}");
    assert!(page.contains(">all 2: 3 events, 6 deliveries</option>"), "{page}");
    assert!(page.contains("name=\"state\" value=\"delivered\""), "{page}");
    let form = "handler=app&state=delivered&to=app";
    let answer = gateway.ask("POST", "/events/replay", form);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(answer.header("location").unwrap().starts_with("/events?handler=app&state=delivered"));
    gateway.wait_until_delivered("app", 6);
    let told = "3 events, 3 deliveries".to_owned();
    assert_eq!(newest_action(&gateway), ("replay".to_owned(), told));
    let one = json!({ "q": "$.data.tags[1]:t2", "dry_run": true });
    let mut counted = post(&gateway, "events/replay", &one).json();
    assert!(counted.as_object_mut().unwrap().remove("after").is_some_and(|at| at.is_u64()));
    let expected = json!({ "matched": 1, "done": 1, "skipped": 0, "failed": 0, "count": 1,
        "unwanted": 0, "pending": 0, "gone": 0, "deliveries": 2, "is_last": true });
    assert_eq!(counted, expected);
}

#[test]
fn secrets_are_told_apart_by_fingerprints_that_show_nothing_of_them() {
    let gateway = Gateway::start();
    let status = ask(&gateway, "status");
    let fingerprint =
        |source: usize| status["sources"][source]["secrets"][0]["fingerprint"].clone();
    let digits = fingerprint(0).as_str().unwrap().to_owned();
    assert!(digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{digits}");
    assert_eq!(fingerprint(1), digits, "both sources have the same secret");
    let page = gateway.ask("GET", "/sources/hyvor", "").text();
    assert!(page.contains(&format!("<code>{digits}</code>")), "{page}");
    std::fs::write(gateway.folder.path().join("secret"), "another").unwrap();
    assert_eq!(post(&gateway, "reload", &json!({})).status, 200);
    assert_ne!(ask(&gateway, "status")["sources"][0]["secrets"][0]["fingerprint"], digits);
}

#[test]
fn times_of_acknowledgements_and_calls_are_shown() {
    let gateway = Gateway::start();
    assert_eq!(ask(&gateway, "rates")["ack"], Value::Null);
    (0..3).for_each(|n| drop(gateway.send(format!(r#"{{"n":{n}}}"#).as_bytes()).id()));
    gateway.wait_until_delivered("all", 3);
    let rates = ask(&gateway, "rates");
    let ack = &rates["ack"];
    assert_eq!(ack["count"], 3);
    let (p50, p99) = (ack["p50_micros"].as_u64().unwrap(), ack["p99_micros"].as_u64().unwrap());
    assert!(0 < p50 && p50 <= p99, "{ack}");
    assert!(rates["handlers"][0]["calls"]["count"].as_u64().unwrap() >= 1, "{rates}");
    let overview = gateway.ask("GET", "/", "").text();
    assert!(
        overview.contains("Acknowledged in</dt>") && overview.contains("99 % in"),
        "{overview}"
    );
}

/// Each handler is called with what it wants only, and the preview says how many that are.
#[test]
fn preview_says_how_many_events_each_handler_would_get_again() {
    let file = |name: &str, on: &str| {
        format!(
            "[handler.{name}]\non = [\"{on}\"]\n[handler.{name}.file]\npath = \"data/{name}\"\n"
        )
    };
    let rest = file("some", "hyvor:comment.update") + &file("none", "hyvor:comment.nothing");
    let gateway = Gateway::with("", &rest);
    for (n, what) in ["create", "create", "update"].into_iter().enumerate() {
        gateway.send(format!(r#"{{"event":"comment.{what}","n":{n}}}"#).as_bytes()).id();
    }
    gateway.wait_until_delivered("all", 3);
    gateway.wait_until_delivered("some", 1);
    let page = gateway.ask("GET", "/events?replay=1", "").text();
    assert!(page.contains(">all: 3 events</option>") && page.contains(">some: 1 event</option>"));
    assert!(page.contains(">all 2: 3 events, 4 deliveries</option>"), "{page}");
    assert!(!page.contains(">none: 0 events</option>"), "{page}");
    let page = gateway.ask("GET", "/events?replay=1&to=none&type=comment.x", "").text();
    assert!(page.contains("No event that is kept matches"), "{page}");
}
