//! Delivering a range of events again, page by page.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;

#[test]
fn a_range_of_events_is_replayed_page_by_page() {
    let gateway = Gateway::start();
    for n in 0..3 {
        gateway.send(format!(r#"{{"n":{n}}}"#).as_bytes()).id();
    }
    let ask = |body: &Value| gateway.ask("POST", "/api/v1/events/replay", &body.to_string());
    let page = |body: &Value| -> Value {
        let answer = ask(body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let expected = |count: u64, after: u64, done: bool| json!({ "count": count, "deliveries": count, "after": after, "done": done });
    assert_eq!(page(&json!({ "limit": 2, "dry_run": true })), expected(2, 2, false));
    assert_eq!(page(&json!({ "up_to": 1, "dry_run": true })), expected(1, 1, true));
    assert_eq!(page(&json!({ "source": "userecho" })), expected(0, 0, true));
    assert_eq!(page(&json!({ "limit": 2, "handler": "all" })), expected(2, 2, false));
    assert_eq!(page(&json!({ "limit": 2, "handler": "all", "after": 2 })), expected(1, 3, true));

    assert_eq!(ask(&json!({ "sorce": "hyvor" })).status, 400, "a typing mistake is not `all`");
    assert_eq!(ask(&json!({ "handler": "No" })).status, 400);
    assert_eq!(ask(&json!({ "handler": "nobody" })).status, 404);
    assert_eq!(gateway.ask("GET", "/api/v1/events/replay", "").status, 405);
    gateway.stop();
}
