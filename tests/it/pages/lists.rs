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
