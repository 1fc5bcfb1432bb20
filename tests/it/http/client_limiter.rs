//! How much one address may ask before it has shown that it can sign.

use super::super::support::gateway::{Folder, Gateway, signature};
use super::super::support::wire::{Answer, Wire, head};

const LIMIT: &str = "trusted_proxies = [\"127.0.0.0/8\"]\nfailed_verification_limit = \"3/h\"";

/// Posts `body` as the proxy passes it on from `client`.
fn post(gateway: &Gateway, client: &str, signature: &str, body: &[u8]) -> Answer {
    let headers = [("X-Forwarded-For", client), ("X-Signature", signature)];
    gateway.post("hyvor", &headers, body)
}

fn outcomes(gateway: &Gateway, outcome: &str) -> u64 {
    gateway.metric(&format!(r#"gatepost_requests_total{{source="hyvor",outcome="{outcome}"}}"#))
}

fn run_out(gateway: &Gateway, client: &str) {
    for _ in 0..3 {
        assert_eq!(post(gateway, client, "wrong", b"1").status, 401);
    }
}

#[test]
fn behind_the_address_of_who_cannot_sign_an_honest_sender_is_served_from_the_first_on() {
    let gateway = Gateway::with(LIMIT, "");
    run_out(&gateway, "203.0.113.7");
    // No good one has come from there before.
    for n in 0..100 {
        let body = format!("{n}").into_bytes();
        post(&gateway, "203.0.113.7", &signature(&body), &body).id();
        assert_eq!(post(&gateway, "203.0.113.7", "wrong", &body).status, 401);
    }
    assert_eq!(
        (outcomes(&gateway, "rejected"), outcomes(&gateway, "unverified_limited")),
        (103, 0)
    );
}

#[test]
fn many_honest_requests_at_once_are_all_taken_before_one_of_them_is_judged() {
    let gateway = Gateway::with(LIMIT, "");
    let bodies: Vec<_> = (0..200).map(|n| format!("{n}").into_bytes()).collect();
    let mut wires: Vec<Wire> = bodies
        .iter()
        .map(|body| {
            let (signature, length) = (signature(body), body.len().to_string());
            let headers = [
                ("X-Forwarded-For", "203.0.113.7"),
                ("X-Signature", signature.as_str()),
                ("Content-Length", length.as_str()),
            ];
            let mut wire = Wire::to(gateway.public);
            wire.write(head("POST", "/hooks/hyvor", &headers).as_bytes());
            wire
        })
        .collect();
    for (wire, body) in wires.iter_mut().zip(&bodies) {
        wire.write(body);
    }
    for wire in &mut wires {
        wire.answer().unwrap().id();
    }
    assert_eq!(outcomes(&gateway, "accepted"), 200);
}

#[test]
fn what_the_limit_is_can_be_reloaded_while_it_runs() {
    let gateway = Gateway::with(LIMIT, "");
    run_out(&gateway, "203.0.113.7");
    gateway.folder.write_config(&LIMIT.replace("3/h", "off"), "");
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    assert_eq!(post(&gateway, "203.0.113.7", "wrong", b"1").status, 401);
    let status = gateway.ask("GET", "/api/v1/status", "").json();
    let sources = status["sources"].as_array().unwrap();
    let hyvor = sources.iter().find(|source| source["name"] == "hyvor").unwrap();
    assert_eq!((&hyvor["rejected"], &hyvor["turned_away"]), (&4.into(), &0.into()));
}

#[test]
fn a_limit_that_is_none_is_named() {
    let folder = Folder::new("failed_verification_limit = \"many\"", "");
    let checked = gatepost::config::load(&folder.config()).unwrap_err();
    let told = checked.render(gatepost::settings::ReportStyle::Plain);
    assert!(told.contains("`many` is not a rate") && told.contains("\"off\""), "{told}");
}
