//! One rejected request: what came, why it was turned down, and nothing that is secret.

use super::page;
use crate::support::browser::Browser;
use crate::support::gateway::{Gateway, SECRET, signature_by};

use super::browser::visit;

#[test]
fn rejected_request_shows_what_came_and_why_it_was_turned_down() {
    let gateway = Gateway::start();
    let body = br#"{"event":"comment.create","data":{"n":1}}"#;
    let signature = signature_by("another", body);
    let headers = [("X-Signature", &*signature), ("Content-Type", "application/json")];
    gateway.post("hyvor", &headers, body);
    let list = page(&gateway, "/rejected");
    assert!(list.contains("<a href=\"/rejected/1\""), "{list}");
    let shown = page(&gateway, "/rejected/1");
    let explained = gateway.ask("GET", "/api/v1/rejected/1/explain", "").json();
    let line = explained["line"].as_str().unwrap().split('`').next().unwrap();
    // The page has it as a sentence, with a capital.
    let line = line.get(1..).unwrap();
    assert!(!line.is_empty() && shown.contains(line), "{line}: {shown}");
    assert!(shown.contains("<h1>Rejected request 1</h1>"), "{shown}");
    assert!(shown.contains("<code>POST /hooks/hyvor</code>"), "{shown}");
    assert!(shown.contains(">x-signature</th>") && shown.contains("127.0.0.1"), "{shown}");
    // Coloured as an event's body is.
    assert!(shown.contains("comment.create") && shown.contains("class=\"k\""), "{shown}");
    assert!(shown.contains("mend the cause first"), "{shown}");
    let group = shown.split("\">All with this reason").next().unwrap();
    let group = group.rsplit("href=\"").next().unwrap().replace("&#38;", "&");
    assert!(page(&gateway, &group).contains("<h1>1 rejected request</h1>"));
    let hex = page(&gateway, "/rejected/1?body=hex");
    assert!(hex.contains("000000  7b 22 65 76"), "{hex}");
    let file = gateway.ask("GET", "/rejected/1?body=file", "");
    assert_eq!(file.body, body);
    let name = "attachment; filename=\"rejected-1.body\"";
    assert_eq!(file.header("content-disposition"), Some(name));
    for path in ["/rejected/2", "/rejected/99999999999999999999"] {
        assert_eq!(gateway.ask("GET", path, "").status, 404, "{path}");
    }
}

#[test]
fn page_of_a_rejected_request_shows_no_secret() {
    let rest = "[source.custom]\nsecrets = [{ file = 'secret' }]\n\
                verify = { algorithm = 'token', header = 'X-Token' }\n";
    let gateway = Gateway::with("", rest);
    // In the wrong places.
    let body = format!(r#"{{"token":"{SECRET}"}}"#);
    let headers = [("Authorization", &*format!("Bearer {SECRET}")), ("X-Other", SECRET)];
    let path = format!("/hooks/custom?token={SECRET}");
    let answer = crate::support::wire::post(gateway.public, &path, &headers, body.as_bytes());
    assert_eq!(answer.status, 401);
    for path in ["/rejected", "/rejected/1", "/rejected/1?body=raw", "/rejected/1?body=file"] {
        let shown = page(&gateway, path);
        assert!(!shown.contains(SECRET), "{path}: {shown}");
    }
    let hex = page(&gateway, "/rejected/1?body=hex");
    assert!(!hex.contains("74 68 65 2d 73 65 63"), "{hex}");
}

#[test]
fn rejected_request_is_released_from_its_page_once_it_is_good() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    let body = br#"{"event":"comment.create","data":{"n":1}}"#;
    gateway.post("hyvor", &[("X-Signature", &*signature_by("later", body))], body);
    visit(&mut browser, &gateway, "/rejected/1");
    gateway.folder.write_secret("secret", "later");
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    visit(&mut browser, &gateway, "/rejected");
    browser.click("1");
    assert_eq!(browser.path(), "/rejected/1");
    assert!(browser.text().contains("It would be good now"), "{}", browser.text());
    browser.click("Release");
    assert!(browser.text().contains("release: stored as"), "{}", browser.text());
    gateway.wait_until_delivered("all", 1);
    visit(&mut browser, &gateway, "/log");
    browser.click("the event");
    assert!(browser.path().starts_with("/events/"), "{}", browser.path());
    assert_eq!(browser.complaints, Vec::<String>::new());
}
