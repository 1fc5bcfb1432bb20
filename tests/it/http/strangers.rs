//! How much one address may ask before it has shown that it can sign.

use super::super::support::gateway::{Folder, Gateway, signature};
use super::super::support::wire::{Answer, Wire, head};

const LIMIT: &str = "trusted_proxies = [\"127.0.0.0/8\"]\nunverified_limit = \"3/h\"";

/// Posts `body` as the proxy passes it on from `client`.
fn post(gateway: &Gateway, client: &str, signature: &str, body: &[u8]) -> Answer {
    let headers = [("X-Forwarded-For", client), ("X-Signature", signature)];
    gateway.post("hyvor", &headers, body)
}

fn outcomes(gateway: &Gateway, outcome: &str) -> u64 {
    gateway.metric(&format!(r#"gatepost_requests_total{{source="hyvor",outcome="{outcome}"}}"#))
}

#[test]
fn who_cannot_sign_is_soon_turned_away_unread_and_others_are_not() {
    let gateway = Gateway::with(LIMIT, "");
    for _ in 0..3 {
        assert_eq!(post(&gateway, "203.0.113.7", "wrong", b"1").status, 401);
    }
    // Not even a good one is read, nor one whose body never comes.
    let answer = post(&gateway, "203.0.113.7", &signature(b"1"), b"1");
    assert_eq!(answer.status, 429);
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1_100..=1_200).contains(&wait), "{wait}");
    let headers = [("X-Forwarded-For", "203.0.113.7"), ("Content-Length", "5")];
    let mut wire = Wire::to(gateway.public);
    wire.write(head("POST", "/hooks/hyvor", &headers).as_bytes());
    assert_eq!(wire.answer().unwrap().status, 429);
    assert_eq!((outcomes(&gateway, "rejected"), outcomes(&gateway, "unverified_limited")), (3, 2));
    // Whoever comes from elsewhere does not notice.
    post(&gateway, "203.0.113.8", &signature(b"1"), b"1").id();
    let listed = gateway.ask("GET", "/api/v1/rejected", "").json();
    assert_eq!(listed.as_array().unwrap().len(), 3, "what was turned away is not kept");
}

#[test]
fn who_signs_is_never_turned_away_whatever_else_comes_from_there() {
    let gateway = Gateway::with(LIMIT, "");
    for n in 0..10 {
        let body = format!("{n}").into_bytes();
        post(&gateway, "203.0.113.7", &signature(&body), &body).id();
        assert_eq!(post(&gateway, "203.0.113.7", "wrong", &body).status, 401);
    }
    assert_eq!(outcomes(&gateway, "unverified_limited"), 0);
}

#[test]
fn behind_a_proxy_that_nobody_named_nobody_is_turned_away() {
    let gateway = Gateway::with("unverified_limit = \"3/h\"", "");
    for _ in 0..10 {
        assert_eq!(post(&gateway, "203.0.113.7", "wrong", b"1").status, 401);
    }
    post(&gateway, "203.0.113.7", &signature(b"1"), b"1").id();
}

#[test]
fn a_body_that_is_not_sent_to_its_end_counts_as_well() {
    let gateway = Gateway::with(LIMIT, "");
    let headers = [("X-Forwarded-For", "203.0.113.7"), ("Content-Length", "5")];
    for _ in 0..3 {
        let mut wire = Wire::to(gateway.public);
        wire.write((head("POST", "/hooks/hyvor", &headers) + "he").as_bytes()).finish();
        assert!(matches!(wire.answer().map(|answer| answer.status), None | Some(400)));
    }
    let turned_away = || post(&gateway, "203.0.113.7", &signature(b"1"), b"1").status == 429;
    assert!(turned_away());
}

#[test]
fn the_limit_can_be_changed_and_turned_off_while_it_runs() {
    let gateway = Gateway::with(LIMIT, "");
    for _ in 0..3 {
        post(&gateway, "203.0.113.7", "wrong", b"1");
    }
    assert_eq!(post(&gateway, "203.0.113.7", "wrong", b"1").status, 429);
    gateway.folder.write_config(&LIMIT.replace("3/h", "off"), "");
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    assert_eq!(post(&gateway, "203.0.113.7", "wrong", b"1").status, 401);
}

#[test]
fn a_limit_that_is_none_is_named() {
    let folder = Folder::new("unverified_limit = \"many\"", "");
    let checked = gatepost::config::load(&folder.config()).unwrap_err();
    let told = checked.render(gatepost::settings::Look::Plain);
    assert!(told.contains("`many` is not a rate") && told.contains("\"off\""), "{told}");
}
