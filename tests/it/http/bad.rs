//! What is refused, and how.

use super::super::support::gateway::{Gateway, signature};
use super::super::support::wire::{self, Answer, Wire, head};

const BODY: &[u8] = br#"{"event":"comment.create"}"#;

/// The words of a 401, the same for each.
const UNAUTHORIZED: &str = r#"{"title":"Unauthorized","status":401}"#;

#[track_caller]
fn check_unauthorized(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.text(), UNAUTHORIZED);
}

#[test]
fn every_failed_verification_gets_the_same_401() {
    let gateway = Gateway::start();
    let good = signature(BODY);
    let other = signature(b"other");
    let doubled = format!("{good}{good}");
    let with_prefix = format!("sha256={good}");
    for bad in [
        "",
        "x",
        "zz",
        good.get(..63).unwrap(),
        good.get(..62).unwrap(),
        &doubled,
        &other,
        &with_prefix,
        "\u{e9}",
        &"0".repeat(64),
    ] {
        check_unauthorized(&gateway.post("hyvor", &[("X-Signature", bad)], BODY));
    }
    check_unauthorized(&gateway.post("hyvor", &[], BODY));
    check_unauthorized(&gateway.post("hyvor", &[("X-Sign", &good)], BODY));
    assert_eq!(gateway.ask("GET", "/api/v1/events?source=hyvor", "").text(), "[]");
}

/// Xero turns an address down whose 401 has a body.
#[test]
fn source_whose_answers_have_no_body_refuses_without_one() {
    let source = "[source.xero]\nsecrets = [{ file = \"secret\" }]\nanswer = { status = 200 }\n\
                  verify = { algorithm = \"hmac-sha256\", header = \"X-Signature\" }\n";
    let gateway = Gateway::with("", source);
    for (signature, status) in [(signature(BODY), 200), (signature(b"other"), 401)] {
        let answer = gateway.post("xero", &[("X-Signature", &signature)], BODY);
        assert_eq!((answer.status, &*answer.text()), (status, ""));
    }
    check_unauthorized(&gateway.post("hyvor", &[], BODY));
}

#[test]
fn any_changed_byte_of_the_body_is_refused() {
    let gateway = Gateway::start();
    let good = signature(BODY);
    for at in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[at] ^= 1;
        check_unauthorized(&gateway.post("hyvor", &[("X-Signature", &good)], &body));
    }
    check_unauthorized(&gateway.post("hyvor", &[("X-Signature", &good)], &BODY[1..]));
    check_unauthorized(&gateway.post("hyvor", &[("X-Signature", &good)], b""));
}

#[test]
fn a_signature_in_upper_case_is_the_same_signature() {
    let gateway = Gateway::start();
    let upper = signature(BODY).to_uppercase();
    gateway.post("hyvor", &[("X-Signature", &upper)], BODY).id();
}

#[test]
fn what_was_refused_can_be_looked_at_and_released_after_the_fix() {
    let gateway = Gateway::start();
    gateway.post("hyvor", &[("X-Signature", "wrong")], BODY);
    let list = gateway.ask("GET", "/api/v1/rejected", "").json();
    assert_eq!(list[0]["number"], 1);
    assert_eq!(list[0]["source"], "hyvor");
    assert_eq!(list[0]["client"], "127.0.0.1");
    assert!(list[0].get("headers").is_none());
    let one = gateway.ask("GET", "/api/v1/rejected/1", "").json();
    assert!(one["headers"].as_array().unwrap().iter().any(|header| header[0] == "x-signature"));
    let why = gateway.ask("GET", "/api/v1/rejected/1/explain", "").json();
    assert!(!why["line"].as_str().unwrap().is_empty(), "{why}");
    assert_eq!(why["is_good_now"], false);
    assert_eq!(gateway.ask("POST", "/api/v1/rejected/1/release", "").status, 409);

    // Signed with a secret that the configuration learns of afterwards.
    let body = br#"{"event":"comment.update"}"#;
    std::fs::write(gateway.folder.path().join("secret"), "a newer one").unwrap();
    gateway.post("hyvor", &[("X-Signature", &signature(body))], body).id();
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    gateway.post("hyvor", &[("X-Signature", &signature(b"1"))], b"1");
    std::fs::write(gateway.folder.path().join("secret"), super::super::support::gateway::SECRET)
        .unwrap();
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    let id = gateway.ask("POST", "/api/v1/rejected/2/release", "").id();
    assert_eq!(gateway.ask("GET", &format!("/api/v1/events/{id}/raw"), "").body, b"1");
    assert_eq!(gateway.ask("GET", "/api/v1/rejected/2", "").status, 404);
}

#[test]
fn an_unknown_source_is_not_found_and_counted_once_for_all() {
    let gateway = Gateway::start();
    let paths = ["/hooks/", "/hooks/nobody", "/hooks/hyvor//", "/hooks/Hyvor", "/", "/hooks", "/x"];
    for path in paths {
        let answer = wire::post(gateway.public, path, &[], BODY);
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    let series = r#"gatepost_requests_total{source="-",outcome="unknown_source"}"#;
    assert_eq!(gateway.metric(series), 4);
}

#[test]
fn other_methods_are_told_which_one_it_is() {
    let gateway = Gateway::start();
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let answer = wire::request(gateway.public, method, "/hooks/hyvor", &[], b"");
        let allow = answer.header("allow");
        assert_eq!((answer.status, allow), (405, Some("GET, HEAD, POST")), "{method}");
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let gateway = Gateway::with("body_max = \"1KiB\"", "");
    let mut wire = Wire::to(gateway.public);
    // Not one byte of the body is sent.
    wire.write(head("POST", "/hooks/hyvor", &[("Content-Length", "1025")]).as_bytes());
    let answer = wire.answer().unwrap();
    assert_eq!(answer.status, 413);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let body = vec![b'x'; 1024];
    gateway.send(&body).id();
}

#[test]
fn a_body_over_the_limit_is_refused_while_it_streams() {
    let gateway = Gateway::with("body_max = \"1KiB\"", "");
    let mut bytes = head("POST", "/hooks/hyvor", &[("Transfer-Encoding", "chunked")]);
    bytes += "401\r\n";
    bytes += &"x".repeat(1025);
    // The end of the body never comes.
    let answer = wire::raw(gateway.public, bytes.as_bytes()).unwrap();
    assert_eq!(answer.status, 413);
}

#[test]
fn a_source_can_have_a_limit_of_its_own() {
    let rest = r#"
        [source.small]
        provider = "hyvor-talk"
        secrets = [{ file = "secret" }]
        body_max = "10B"
    "#;
    let gateway = Gateway::with("", rest);
    assert_eq!(gateway.post("small", &[], &[b'x'; 11]).status, 413);
    assert_eq!(gateway.post("small", &[], &[b'x'; 10]).status, 401);
}

#[test]
fn a_slow_body_is_cut_off() {
    let gateway = Gateway::with("request_timeout = \"2s\"", "");
    let mut wire = Wire::to(gateway.public);
    wire.write(head("POST", "/hooks/hyvor", &[("Content-Length", "5")]).as_bytes());
    wire.write(b"he");
    let answer = wire.answer().unwrap();
    assert_eq!(answer.status, 408);
    assert!(wire.is_closed());
    let series = r#"gatepost_requests_total{source="hyvor",outcome="incomplete"}"#;
    assert_eq!(gateway.metric(series), 1);
}

#[test]
fn a_slow_body_behind_another_request_is_cut_off() {
    let gateway = Gateway::with("request_timeout = \"2s\"", "");
    let mut wire = Wire::to(gateway.public);
    let good = head("GET", "/healthz", &[]);
    let slow = head("POST", "/hooks/hyvor", &[("Content-Length", "5")]) + "he";
    wire.write((good + &slow).as_bytes());
    assert_eq!(wire.answer().unwrap().status, 200);
    // With an answer or without one: it was begun before its body was looked for.
    let answer = wire.answer();
    assert!(answer.is_none_or(|answer| answer.status == 408));
    assert!(wire.is_closed());
}

#[test]
fn a_slow_head_is_cut_off() {
    let gateway = Gateway::with("request_timeout = \"2s\"", "");
    let mut wire = Wire::to(gateway.public);
    wire.write(b"POST /hooks/hyvor HTTP/1.1\r\nHost: localhost\r\nX-");
    // One that says nothing asks for nothing.
    let mut silent = Wire::to(gateway.public);
    assert_eq!(wire.answer().unwrap().status, 408);
    assert!(wire.is_closed());
    drop(silent.answer());
    let rows = gateway.ask("GET", "/api/v1/status", "").json()["refused"].take();
    assert_eq!(rows[0]["status"], 408, "{rows}");
    assert_eq!(rows[0]["count"], 1, "{rows}");
    assert!(rows[0]["reason"].as_str().unwrap().starts_with("the head took too long"), "{rows}");
    assert_eq!(rows[0]["client"], "127.0.0.1", "{rows}");
}

#[test]
fn what_is_brought_to_a_path_outside_of_hooks_leaves_a_row() {
    let gateway = Gateway::with("", "");
    for (method, path) in [
        ("POST", "/"),
        ("POST", "/webhook"),
        ("PUT", "/webhooks/hyvor2"),
        ("GET", "/robots.txt"),
        ("GET", "/"),
        ("POST", "/api/receive"),
    ] {
        assert_eq!(wire::request(gateway.public, method, path, &[], b"{}").status, 404, "{path}");
    }
    let rows = gateway.ask("GET", "/api/v1/status", "").json()["refused"].take();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    assert_eq!(
        (&rows[0]["count"], &rows[0]["path"]),
        (&4.into(), &"/api/receive".into()),
        "{rows}"
    );
    assert!(
        rows[0]["reason"].as_str().unwrap().contains("/hooks/ and the source's name"),
        "{rows}"
    );
}

#[test]
fn a_sender_over_its_rate_is_told_when_to_come_back() {
    let rest = r#"
        [source.limited]
        provider = "hyvor-talk"
        secrets = [{ file = "secret" }]
        rate_limit = "2/h"
    "#;
    let gateway = Gateway::with("", rest);
    let post = |body: &[u8]| gateway.post("limited", &[("X-Signature", &signature(body))], body);
    // Whoever cannot sign uses up nothing.
    for _ in 0..5 {
        check_unauthorized(&gateway.post("limited", &[], b"1"));
    }
    post(b"1").id();
    post(b"2").id();
    let answer = post(b"3");
    assert_eq!(answer.status, 429);
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1_700..=1_800).contains(&wait), "{wait}");
}

#[test]
fn only_allowed_networks_may_send() {
    let rest = r#"
        [source.near]
        provider = "hyvor-talk"
        secrets = [{ file = "secret" }]
        allow = ["203.0.113.0/24"]
    "#;
    let good = signature(BODY);
    let from = |gateway: &Gateway, forwarded: &str| {
        let headers = [("X-Signature", good.as_str()), ("X-Forwarded-For", forwarded)];
        gateway.post("near", &headers, BODY)
    };
    let stranger = Gateway::with("", rest);
    check_unauthorized(&from(&stranger, "203.0.113.7"));
    let behind_proxy = Gateway::with("trusted_proxies = [\"127.0.0.0/8\"]", rest);
    check_unauthorized(&from(&behind_proxy, "203.0.113.7, 192.0.2.1"));
    from(&behind_proxy, "192.0.2.1, 203.0.113.7").id();
}
