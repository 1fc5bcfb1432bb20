//! Each number leads to the list that it counts.

use crate::support::gateway::{Gateway, signature};

fn page(gateway: &Gateway, path: &str) -> String {
    let page = gateway.ask("GET", path, "");
    assert_eq!(page.status, 200, "{path}: {}", page.text());
    page.text()
}

/// Where the link leads whose words are these.
fn address_of(page: &str, words: &str) -> String {
    let before = page.split(&format!("\">{words}</a>")).next().unwrap();
    assert_ne!(before.len(), page.len(), "no link says {words}: {page}");
    before.rsplit("href=\"").next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
}

fn n_listed(page: &str) -> usize {
    page.matches("href=\"/api/v1/rejected/").count()
}

#[test]
fn count_of_rejected_requests_leads_to_all_of_them() {
    let gateway = Gateway::start();
    for n in 0..33 {
        gateway.post("hyvor", &[("X-Signature", "00")], format!("{{\"n\":{n}}}").as_bytes());
    }
    gateway.post("hyvor", &[], b"{}");
    let of_another_secret = signature(b"another body");
    gateway.post("userecho", &[("X-Signature", &of_another_secret)], b"{}");
    let all = page(&gateway, "/rejected");
    assert!(all.contains("35 requests were turned down"), "{all}");
    let address = address_of(&all, "33 requests");
    let list = page(&gateway, &address);
    assert!(list.contains("33 requests were turned down"), "nothing else is on {address}: {list}");
    assert!(list.contains("<details class=\"line\" open>"), "{list}");
    assert_eq!(n_listed(&list), 30);
    assert!(list.contains("href=\"/rejected\">All rejected requests</a>"), "{list}");
    let older = page(&gateway, &address_of(&list, "Older"));
    assert_eq!(n_listed(&older), 3);
    assert!(!older.contains(">Older</a>"), "{older}");
    assert_eq!(address_of(&older, "Newest"), address);
    // The same from the source's page.
    let source = page(&gateway, "/sources/hyvor");
    assert_eq!(address_of(&source, "33"), address);
}

#[test]
fn event_leads_to_those_of_its_type_and_of_its_order_key() {
    let file = |name: &str, order_by: &str| {
        format!("[handler.{name}]\nstart = \"oldest\"\norder_by = '{order_by}'\n\
                 [handler.{name}.file]\npath = \"data/{name}.jsonl\"\n")
    };
    let by_page = "data.page.id";
    let rest = file("one", by_page)
        + &file("other", by_page)
        + &file("named", "data.page.name ~ event.type")
        + &file("whole", "data | tojson");
    let gateway = Gateway::with("", &rest);
    let send = |n: u32, id: u32, name: &str| {
        let page = format!(r#"{{"page":{{"id":{id},"name":"{name}"}},"n":{n}}}"#);
        gateway.send(format!(r#"{{"event":"comment.create","data":{page}}}"#).as_bytes()).id()
    };
    let ids =
        [send(1, 7, "Two words"), send(2, 17, "Two words"), send(3, 7, "Two"), send(4, 8, "x")];
    gateway.wait_until_delivered("one", 4);
    let event = gateway.ask("GET", &format!("/api/v1/events/{}", ids[0]), "").json();
    let lines = event["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "what no search finds has no link: {event}");
    assert_eq!(lines[0]["q"], r#"$.data.page.name:"Two words" type:comment.create"#);
    assert_eq!((&lines[1]["q"], &lines[1]["handlers"]), (&"$.data.page.id:7".into(), &["one", "other"].as_slice().into()));
    let shown = page(&gateway, &format!("/events/{}", ids[0]));
    let found = |words: &str| {
        let list = page(&gateway, &address_of(&shown, words));
        ids.iter().map(|id| list.contains(&format!("/events/{id}\""))).collect::<Vec<_>>()
    };
    assert_eq!(found("All of this type"), [true, true, true, true]);
    assert_eq!(found("All with the same <code>data.page.id</code>"), [true, false, true, false]);
    let by_name = "All with the same <code>data.page.name</code>, <code>event.type</code>";
    assert_eq!(found(by_name), [true, true, false, false]);
    assert!(shown.contains("one, other take them one after the other"), "{shown}");
}
