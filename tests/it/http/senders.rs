//! What senders of all kinds need, seen from the wire.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::super::support::gateway::{Gateway, SECRET, signature, signature_by};
use super::super::support::wire::{self, Answer, Wire};

/// How many events of `source` are stored.
fn n_events(gateway: &Gateway, source: &str) -> usize {
    let events = gateway.ask("GET", &format!("/api/v1/events?source={source}"), "").json();
    events.as_array().unwrap().len()
}

/// A source beside those of every test.
fn source(name: &str, text: &str) -> String {
    format!("[source.{name}]\nsecrets = [{{ file = \"secret\" }}]\n{text}\n")
}

#[test]
fn equal_bodies_without_an_id_are_events_of_their_own() {
    let token = "verify = { algorithm = \"token\", header = \"X-Token\" }";
    let gateway = Gateway::with("", &source("deploy", token));
    for status in ["published", "spam", "published"] {
        let body = format!(r#"{{"event":"comment.update","data":{{"comment":"{status}"}}}}"#);
        assert_eq!(gateway.send(body.as_bytes()).status, 200);
        assert_eq!(gateway.post("deploy", &[("X-Token", SECRET)], b"").status, 200);
    }
    assert_eq!((n_events(&gateway, "hyvor"), n_events(&gateway, "deploy")), (3, 3));
}

#[test]
fn captured_request_under_the_next_id_does_not_swallow_the_event_of_that_id() {
    let gateway = Gateway::with("", &source("gh", "provider = \"github\""));
    let send = |body: &[u8], id: &str| {
        let signature = format!("sha256={}", signature(body));
        let headers = [("X-Hub-Signature-256", signature.as_str()), ("X-GitHub-Delivery", id)];
        gateway.post("gh", &headers, body).id()
    };
    let captured = send(b"captured", "next");
    let honest = send(b"honest", "next");
    assert_ne!(captured, honest);
    assert_eq!(send(b"honest", "next"), honest, "it is known when it comes again");
    assert_eq!(n_events(&gateway, "gh"), 2);
}

/// Sends any request to an address below the public listener.
fn ask(
    gateway: &Gateway,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    wire::request(gateway.public, method, path, headers, body)
}

const TOKEN: &str = "verify = { algorithm = \"token\", query = \"key\" }";
const HMAC: &str = "verify = { algorithm = \"hmac-sha256\", header = \"X-Signature\" }";

#[test]
fn probe_is_answered_200_and_stores_nothing() {
    let gateway = Gateway::with("", &source("t", TOKEN));
    let with_key = format!("/hooks/t?key={SECRET}");
    for path in ["/hooks/hyvor", "/hooks/t", &with_key] {
        let answer = ask(&gateway, "GET", path, &[], b"");
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{path}");
    }
    let mut stream = TcpStream::connect(gateway.public).unwrap();
    stream
        .write_all(wire::head("HEAD", "/hooks/t?q=1", &[("Connection", "close")]).as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(n_events(&gateway, "hyvor") + n_events(&gateway, "t"), 0);
    assert_eq!(gateway.ask("GET", "/api/v1/rejected", "").text(), "[]");
    assert_eq!(ask(&gateway, "GET", "/hooks/nobody", &[], b"").status, 404);
}

#[test]
fn event_by_a_method_for_questions_is_refused_and_not_swallowed() {
    let gateway = Gateway::with("", &source("t", TOKEN));
    let body = br#"{"event":"comment.create"}"#;
    let good = signature(body);
    let with_key = format!("/hooks/t?key={SECRET}");
    for (path, headers, status) in [
        ("/hooks/hyvor", vec![("X-Signature", good.as_str())], 405),
        (with_key.as_str(), vec![], 405),
        ("/hooks/hyvor", vec![], 401),
    ] {
        assert_eq!(ask(&gateway, "GET", path, &headers, body).status, status, "{path}");
    }
    assert_eq!(n_events(&gateway, "hyvor") + n_events(&gateway, "t"), 0);
}

#[test]
fn signed_event_is_stored_whatever_a_handshake_says() {
    let rest = source("form", &format!("{HMAC}\nhandshake = {{ echo = {{ query = \"key\" }} }}"));
    let open = "handshake = { echo = { json = \"challenge\" }, signed = false }";
    let gateway = Gateway::with("", &(rest + &source("open", &format!("{HMAC}\n{open}"))));
    let body = br#"{"challenge":"x"}"#;
    let (good, wrong) = (signature(body), "0".repeat(64));
    for path in ["/hooks/form?key=abc", "/hooks/open"] {
        let answer = ask(&gateway, "POST", path, &[("X-Signature", &good)], body);
        assert!(!answer.id().is_empty());
    }
    let forged = ask(&gateway, "POST", "/hooks/form?key=abc", &[("X-Signature", &wrong)], body);
    assert_eq!(forged.status, 401);
    assert_eq!(ask(&gateway, "GET", "/hooks/form?key=abc", &[], b"").text(), "abc");
    assert_eq!(ask(&gateway, "POST", "/hooks/open", &[], body).status, 200);
    assert_eq!((n_events(&gateway, "form"), n_events(&gateway, "open")), (1, 1));
}

#[test]
fn question_that_comes_with_a_password_is_answered_and_the_event_stored() {
    let monday = "handshake = { echo = { json = \"challenge\" }, signed = false }";
    let mailchimp = "handshake = { echo = { query = \"key\" } }";
    let gateway = Gateway::with(
        "",
        &(source("monday", &format!("{TOKEN}\n{monday}"))
            + &source("mailchimp", &format!("{TOKEN}\n{mailchimp}"))),
    );
    let monday = format!("/hooks/monday?key={SECRET}");
    let question = br#"{"challenge":"YQIn0dCo"}"#;
    let answer = ask(&gateway, "POST", &monday, &[], question);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, question);
    assert!(!ask(&gateway, "POST", &monday, &[], b"{}").id().is_empty());
    // An event that has such a field as well; what was taken for a question can be looked at.
    let event = br#"{"event":{"type":"create_pulse"},"challenge":"x"}"#;
    assert!(!ask(&gateway, "POST", &monday, &[], event).id().is_empty());
    assert_eq!(n_events(&gateway, "monday"), 2);
    let kept = gateway.ask("GET", "/api/v1/rejected", "").json();
    let kept: Vec<_> = kept.as_array().unwrap().iter().map(|one| &one["source"]).collect();
    assert_eq!(kept, ["monday"]);
    let mailchimp = format!("/hooks/mailchimp?key={SECRET}");
    assert_eq!(ask(&gateway, "GET", &mailchimp, &[], b"").text(), SECRET);
    assert!(!ask(&gateway, "POST", &mailchimp, &[], b"type=subscribe").id().is_empty());
    // CloudEvents asks whether it may send here.
    let origin = [("WebHook-Request-Origin", "eventgrid.azure.net")];
    let answer = ask(&gateway, "OPTIONS", &monday, &origin, b"");
    let allowed = answer.header("webhook-allowed-origin");
    assert_eq!((answer.status, allowed), (200, Some("eventgrid.azure.net")));
    assert_eq!(ask(&gateway, "OPTIONS", "/hooks/monday?key=x", &origin, b"").status, 401);
}

#[test]
fn unsigned_pings_of_presets_are_answered_and_no_event() {
    let gateway = Gateway::with(
        "",
        &(source("woo", "provider = \"woocommerce\"") + &source("bb", "provider = \"bitbucket\"")),
    );
    assert_eq!(ask(&gateway, "POST", "/hooks/woo", &[], b"webhook_id=7").status, 200);
    let ping = [("X-Event-Key", "diagnostics:ping")];
    assert_eq!(ask(&gateway, "POST", "/hooks/bb", &ping, br#"{"test":true}"#).status, 200);
    assert_eq!(ask(&gateway, "POST", "/hooks/woo", &[], b"{}").status, 401);
    let push = [("X-Event-Key", "repo:push")];
    assert_eq!(ask(&gateway, "POST", "/hooks/bb", &push, b"{}").status, 401);
    assert_eq!(n_events(&gateway, "woo") + n_events(&gateway, "bb"), 0);
}

#[test]
fn learned_secret_signs_from_then_on_and_no_later_one_changes_it() {
    let asana = format!(
        "[source.asana]\nsecrets = [{{ file = \"asana\", create = true }}]\n{}\n\
         handshake = {{ echo = {{ header = \"X-Hook-Secret\" }}, learn = true }}\n",
        HMAC.replace("X-Signature", "X-Hook-Signature")
    );
    let gateway = Gateway::with("", &asana);
    let file = gateway.folder.path().join("asana");
    assert!(!file.exists(), "the sender chooses it");
    let unsigned = gateway.post("asana", &[("X-Hook-Signature", &signature(b"{}"))], b"{}");
    assert_eq!(unsigned.status, 401);
    for secret in [SECRET, "of a stranger"] {
        let answer = gateway.post("asana", &[("X-Hook-Secret", secret)], b"{}");
        assert_eq!(answer.header("x-hook-secret"), Some(secret));
        assert_eq!(std::fs::read_to_string(&file).unwrap().trim_end(), SECRET);
    }
    let body = br#"{"events":[]}"#;
    assert!(
        !gateway.post("asana", &[("X-Hook-Signature", &signature(body))], body).id().is_empty()
    );
    // What the questions brought can be looked at.
    let kept = gateway.ask("GET", "/api/v1/rejected", "").json();
    assert!(kept[0]["reason"].as_str().unwrap().contains("handshake"), "{kept}");
    let sources = gateway.ask("GET", "/api/v1/sources", "").json();
    let asana = sources.as_array().unwrap().iter().find(|one| one["name"] == "asana").unwrap();
    assert_eq!((&asana["newest_handshake"], &kept[0]["number"]), (&3.into(), &3.into()));
    let line = gateway.ask("GET", "/api/v1/rejected/3/explain", "").json();
    assert!(line["line"].as_str().unwrap().contains("answered as a handshake"), "{line}");
    // One that another question's secret signed.
    let stranger = signature_by("of a stranger", body);
    assert_eq!(gateway.post("asana", &[("X-Hook-Signature", &stranger)], body).status, 401);
    let line = gateway.ask("GET", "/api/v1/rejected/4/explain", "").json();
    assert!(line["line"].as_str().unwrap().contains("that handshake 3 brought"), "{line}");
}

#[test]
fn denial_of_a_hub_is_told_and_no_event() {
    let hub = "handshake = { echo = { query = \"hub.challenge\" } }";
    let gateway = Gateway::with("", &source("hub", &format!("{HMAC}\n{hub}")));
    let path = "/hooks/hub?hub.mode=denied&hub.topic=t&hub.reason=no%20lease";
    assert_eq!(wire::request(gateway.public, "GET", path, &[], b"").status, 200);
    let kept = gateway.ask("GET", "/api/v1/rejected", "").json();
    let reason = "answered as a hub's word that it denied the subscription, and no event";
    assert_eq!(kept[0]["reason"], reason, "{kept}");
    let told = gateway.ask("GET", "/api/v1/rejected/1/explain", "").json();
    let line = told["line"].as_str().unwrap();
    assert!(line.contains("denied the subscription (no lease)"), "{told}");
    assert_eq!(n_events(&gateway, "hub"), 0);
}

#[test]
fn signed_question_is_kept_and_counted_too() {
    let asks = "handshake = { when = { json = \"type\", is = \"q\" }, answer = \"ok\" }";
    let gateway = Gateway::with("", &source("asks", &format!("{HMAC}\n{asks}")));
    let question = br#"{"type":"q","id":7}"#;
    let good = signature(question);
    assert_eq!(gateway.post("asks", &[("X-Signature", &good)], question).text(), "ok");
    let kept = gateway.ask("GET", "/api/v1/rejected", "").json();
    assert_eq!(kept[0]["reason"], "answered as a handshake, and no event", "{kept}");
    let status = gateway.ask("GET", "/api/v1/status", "").json();
    let mut sources = status["sources"].as_array().unwrap().iter();
    assert_eq!(sources.find(|one| one["name"] == "asks").unwrap()["handshakes"], 1);
    assert_eq!(n_events(&gateway, "asks"), 0);
}

#[test]
fn what_a_question_brought_can_be_read() {
    let notion = "handshake = { echo = { json = \"verification_token\" }, signed = false }";
    let gateway = Gateway::with("", &source("notion", &format!("{HMAC}\n{notion}")));
    let question = br#"{"verification_token":"secret_tMrlL1qK"}"#;
    assert_eq!(gateway.post("notion", &[], question).body, question);
    let kept = gateway.ask("GET", "/api/v1/rejected/1", "").json();
    assert!(kept["body_base64"].is_string(), "{kept}");
    assert_eq!(n_events(&gateway, "notion"), 0);
}

#[test]
fn other_methods_bring_events_where_the_source_takes_them() {
    let put = "methods = [\"PUT\"]\nverify = { algorithm = \"hmac-sha256\", header = \"X-Signature\", \
        type = { literal = \"{method}\" } }";
    let gateway = Gateway::with("", &(source("fc", HMAC) + &source("put", put)));
    let body = br#"{"id":"c-1"}"#;
    let good = signature(body);
    let signed = [("X-Signature", good.as_str())];
    for method in ["PUT", "DELETE", "PATCH", "POST"] {
        assert!(!ask(&gateway, method, "/hooks/fc", &signed, body).id().is_empty(), "{method}");
        assert_eq!(ask(&gateway, method, "/hooks/fc", &[], body).status, 401);
    }
    assert_eq!(n_events(&gateway, "fc"), 4);
    ask(&gateway, "PUT", "/hooks/put", &signed, body).id();
    let events = gateway.ask("GET", "/api/v1/events?source=put", "").json();
    assert_eq!(events[0]["type"], "PUT");
    let refused = ask(&gateway, "POST", "/hooks/put", &signed, body);
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD, PUT")));
}

#[test]
fn answer_of_a_source_is_sent_once_the_event_is_durable() {
    let soap = r#"answer = { type = "text/xml", body = "<Ack id='{{ event.id }}'>{{ payload.a }}</Ack>" }"#;
    let status = "answer = { status = 204 }";
    let gateway = Gateway::with(
        "",
        &(source("soap", &format!("{HMAC}\n{soap}"))
            + &source("quiet", &format!("{HMAC}\n{status}"))
            + &source("slack", "provider = \"slack\"\ntolerance = \"36500d\"")),
    );
    let body = br#"{"a":"<b>"}"#;
    let good = signature(body);
    let answer = gateway.post("soap", &[("X-Signature", &good)], body);
    let events = gateway.ask("GET", "/api/v1/events?source=soap", "").json();
    let id = events[0]["id"].as_str().unwrap();
    assert_eq!(answer.header("content-type"), Some("text/xml"));
    assert_eq!(answer.text(), format!("<Ack id='{id}'>&lt;b&gt;</Ack>"));
    let refused = gateway.post("soap", &[("X-Signature", "00")], body);
    assert_eq!(refused.status, 401);
    assert!(!refused.text().contains("Ack"));
    assert_eq!(gateway.post("quiet", &[("X-Signature", &good)], body).status, 204);
    let signed = format!("v0={}", signature(b"v0:1:command=%2Fx"));
    let headers = [("X-Slack-Signature", signed.as_str()), ("X-Slack-Request-Timestamp", "1")];
    let answer = gateway.post("slack", &headers, b"command=%2Fx");
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(n_events(&gateway, "slack"), 1);
}

#[test]
fn form_fields_are_verified_in_both_kinds_of_form() {
    // Mailgun's routes: with an attachment the form is a multipart one.
    let routes = "[source.mail.verify]\nalgorithm = \"token\"\nform = \"token\"\n\
        type = { form = \"kind\" }";
    let gateway = Gateway::with("", &source("mail", routes));
    let urlencoded = format!("token={SECRET}&kind=plain");
    let parts = [("token", SECRET), ("kind", "with a file")].map(|(name, value)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    });
    let multipart = format!("{}--b--\r\n", parts.concat());
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let several = [("Content-Type", "multipart/form-data; boundary=b")];
    assert_eq!(gateway.post("mail", &form, urlencoded.as_bytes()).status, 200);
    assert_eq!(gateway.post("mail", &several, multipart.as_bytes()).status, 200);
    assert_eq!(gateway.post("mail", &form, multipart.as_bytes()).status, 401);
    let events = gateway.ask("GET", "/api/v1/events?source=mail", "").json();
    let types: Vec<_> = events.as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["with a file", "plain"]);
}

#[test]
fn preset_takes_bodies_as_long_as_its_sender_sends() {
    let gateway = Gateway::with("", &source("gh", "provider = \"github\""));
    let body = vec![b'x'; 2 << 20];
    let signed = format!("sha256={}", signature(&body));
    assert_eq!(gateway.post("gh", &[("X-Hub-Signature-256", &signed)], &body).status, 200);
    assert_eq!(gateway.send(&body).status, 413);
}

// What is too much is refused by its head alone.
#[test]
fn limits_of_presets_are_those_of_their_senders() {
    let limits = [("github", 25), ("gitlab", 25), ("gitea", 25), ("meta", 3), ("typeform", 1)];
    let tables = limits.map(|(name, _)| source(name, &format!("provider = \"{name}\"")));
    let gateway = Gateway::with("", &tables.concat());
    for (name, mebibytes) in limits {
        for (length, status) in [(mebibytes << 20, 100), ((mebibytes << 20) + 1, 413)] {
            let mut wire = Wire::to(gateway.public);
            let length = length.to_string();
            let headers = [("Content-Length", length.as_str()), ("Expect", "100-continue")];
            wire.write(wire::head("POST", &format!("/hooks/{name}"), &headers).as_bytes());
            assert_eq!(wire.answer().unwrap().status, status, "{name}: {length}");
        }
    }
}

#[test]
fn slash_too_many_is_tolerated() {
    let gateway = Gateway::start();
    let body = br#"{"event":"comment.create"}"#;
    let good = signature(body);
    for path in ["/hooks/hyvor/", "//hooks/hyvor", "//hooks/hyvor/", "/hooks//hyvor"] {
        let answer = ask(&gateway, "POST", path, &[("X-Signature", &good)], body);
        assert_eq!(answer.status, 200, "{path}");
    }
    for path in ["/hooks/hyvor//", "///hooks/hyvor", "/hooks///hyvor", "/hooks/hyvor/x"] {
        let answer = ask(&gateway, "POST", path, &[("X-Signature", &good)], body);
        assert_eq!(answer.status, 404, "{path}");
    }
}
