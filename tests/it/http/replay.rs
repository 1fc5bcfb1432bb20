//! Delivering a range of events again, page by page.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;

#[test]
fn a_range_of_events_is_replayed_page_by_page() {
    let gateway = Gateway::start();
    for n in 0..3 {
        gateway.send(format!(r#"{{"n":{n}}}"#).as_bytes()).id();
    }
    // What is not settled stays as it is.
    gateway.wait_until_delivered("all", 3);
    let ask = |body: &Value| gateway.ask("POST", "/api/v1/events/replay", &body.to_string());
    let page = |body: &Value| -> Value {
        let answer = ask(body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let expected = |count: u64, after: u64, is_last: bool| {
        json!({
            "matched": count, "done": count, "skipped": 0, "failed": 0, "count": count,
            "unwanted": 0, "pending": 0, "gone": 0, "deliveries": count, "after": after, "is_last": is_last,
        })
    };
    assert_eq!(page(&json!({ "limit": 2, "dry_run": true })), expected(2, 2, false));
    assert_eq!(page(&json!({ "up_to": 1, "dry_run": true })), expected(1, 1, true));
    assert_eq!(page(&json!({ "source": "userecho" })), expected(0, 0, true));
    assert_eq!(page(&json!({ "limit": 2, "handler": "all" })), expected(2, 2, false));
    assert_eq!(page(&json!({ "limit": 2, "handler": "all", "after": 2 })), expected(1, 3, true));

    for unlimited in [json!({}), json!({ "limit": 2 }), json!({ "after": 1, "up_to": 2 })] {
        let refused = ask(&unlimited);
        assert_eq!(refused.status, 400, "{unlimited}");
        assert!(refused.text().contains("or `all`"), "{}", refused.text());
    }
    gateway.wait_until_delivered("all", 6);
    assert_eq!(page(&json!({ "limit": 1, "all": true })), expected(1, 1, false));
    assert_eq!(ask(&json!({ "sorce": "hyvor" })).status, 400, "a typing mistake is not `all`");
    assert_eq!(ask(&json!({ "handler": "No" })).status, 400);
    assert_eq!(ask(&json!({ "handler": "nobody" })).status, 404);
    assert_eq!(gateway.ask("GET", "/api/v1/events/replay", "").status, 405);

    assert_eq!(gateway.ask("POST", "/api/v1/compact", "").status, 200);
    let actions = gateway.ask("GET", "/api/v1/actions?limit=20", "").json();
    let said = |action: &Value| {
        ["action", "target", "result"].map(|field| action[field].as_str().unwrap().to_owned())
    };
    let done = actions.as_array().unwrap().iter().filter(|action| action["is_done"] == true);
    let expected = [
        ["compact", "the queue", "done"],
        ["replay", "all events to every handler", "1 event, 1 delivery, the first page"],
        ["replay", "all events to all", "1 event, 1 delivery, the last page"],
        ["replay", "all events to all", "2 events, 2 deliveries, the first page"],
        ["replay", "events: source userecho to every handler", "0 events, 0 deliveries"],
    ];
    assert_eq!(done.map(said).collect::<Vec<_>>(), expected);
    gateway.stop();
}

#[test]
fn a_page_of_large_events_ends_early_and_says_that_more_follow() {
    let gateway = Gateway::start();
    let n_events = 6;
    for n in 0..n_events {
        // Five of them are over 4 MiB.
        let body = json!({ "n": n, "text": "x".repeat(900 << 10) });
        gateway.send(body.to_string().as_bytes()).id();
    }
    let (mut after, mut counts) = (0, Vec::new());
    loop {
        let ask = json!({ "after": after, "dry_run": true }).to_string();
        let page = gateway.ask("POST", "/api/v1/events/replay", &ask).json();
        after = page["after"].as_u64().unwrap();
        counts.push(page["count"].as_u64().unwrap());
        if page["is_last"] == true {
            break;
        }
    }
    assert_eq!((counts, after), (vec![5, 1], n_events));
    gateway.stop();
}
