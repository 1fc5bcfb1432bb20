//! An edited copy, made on the page of an event.

use crate::support::browser::Browser;
use crate::support::gateway::{Gateway, SECRET, signature};
use crate::support::wire;

use super::browser::{check_width, visit};
use super::page;

const BODY: &str =
    "{\"event\":\"comment.create\",\n\"data\":{\"t\":\"</textarea><script>alert(1)</script>\"}}";

fn edit(gateway: &Gateway, id: &str, text: &str) -> wire::Answer {
    let form: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("text", text).finish();
    gateway.ask("POST", &format!("/events/{id}/edit"), &form)
}

#[test]
fn an_edited_copy_is_made_on_the_page_and_leads_to_its_parent() {
    let gateway = Gateway::start();
    let id = gateway.send(BODY.as_bytes()).id();
    assert!(page(&gateway, &format!("/events/{id}")).contains("Edit a copy"));
    let form = page(&gateway, &format!("/events/{id}?body=edit"));
    assert!(form.contains("<textarea") && form.contains("&#34;comment.create&#34;"), "{form}");
    assert!(!form.contains("<script>alert"), "{form}");
    // As browsers send it.
    let as_sent = BODY.replace('\n', "\r\n");
    let refused = edit(&gateway, &id, &as_sent);
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("Nothing was changed"), "{}", refused.text());
    for (text, status, why) in [("", 400, "empty"), (&"x".repeat(2 << 20), 413, "body_max")] {
        let refused = edit(&gateway, &id, text);
        assert_eq!(refused.status, status);
        assert!(refused.text().contains(why), "{why}: {}", refused.text());
    }
    let made = edit(&gateway, &id, &(as_sent + " "));
    assert_eq!(made.status, 303, "{}", made.text());
    let there = made.header("location").unwrap().to_owned();
    let child = there.trim_start_matches("/events/").split('?').next().unwrap().to_owned();
    let raw = gateway.ask("GET", &format!("/api/v1/events/{child}/raw"), "").text();
    assert_eq!(raw, format!("{BODY} "), "nothing but what was typed differs");
    let of_child = page(&gateway, &there);
    assert!(
        of_child.contains(&format!("Made by API out of <a href=\"/events/{id}\"")),
        "{of_child}"
    );
    assert!(of_child.contains(&format!("edit: made event {child}")), "{of_child}");
    let of_parent = page(&gateway, &format!("/events/{id}"));
    assert!(of_parent.contains(&format!("<a href=\"/events/{child}\">made ")), "{of_parent}");
    let log = page(&gateway, "/log?action=edit");
    assert!(log.contains(&format!("<a href=\"/events/{child}\">the copy</a>")), "{log}");
}

#[test]
fn page_shows_what_would_happen_and_sends_what_is_no_json_any_more_only_when_told_to() {
    let gateway = Gateway::with(
        "",
        "[handler.updates]\non = ['hyvor:comment.update']\n[handler.updates.log]\n",
    );
    let id = gateway.send(BODY.as_bytes()).id();
    gateway.wait_until_delivered("all", 1);
    let post = |fields: &[(&str, &str)]| {
        let form: String =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        gateway.ask("POST", &format!("/events/{id}/edit"), &form)
    };
    let n_events = || gateway.ask("GET", "/api/v1/events", "").json().as_array().unwrap().len();
    let good = BODY.replace("create", "update");
    let shown = post(&[("text", &good), ("preview", "1")]);
    let text = shown.text();
    assert_eq!((shown.status, n_events()), (200, 1), "{text}");
    assert!(text.contains("<b>It would be</b> <code>hyvor:comment.update</code>"), "{text}");
    assert!(text.contains("and go to all, updates. Nothing was sent."), "{text}");
    assert!(text.contains("comment.update&#34;,"), "what was typed stays: {text}");
    assert!(!text.contains("is none now") && !text.contains("id=\"live\""), "{text}");
    let bad = good.replace("}}", "}");
    for fields in [&[("text", &*bad)][..], &[("text", &*bad), ("preview", "1")]] {
        let answer = post(fields);
        let text = answer.text();
        assert_eq!(answer.status, if fields.len() == 1 { 409 } else { 200 }, "{text}");
        assert!(text.contains("The body was JSON and is none now:"), "{text}");
        assert!(text.contains("name=\"confirm\" value=\"1\""), "{text}");
        assert_eq!(n_events(), 1, "nothing goes out");
    }
    assert_eq!(post(&[("text", &bad), ("confirm", "1")]).status, 303);
    assert_eq!(n_events(), 2);
    let log = page(&gateway, "/log?action=edit");
    assert!(log.contains("which is no JSON any more"), "{log}");
    let ask = serde_json::json!({ "body": bad, "dry_run": true }).to_string();
    let answer = gateway.ask("POST", &format!("/api/v1/events/{id}/edit"), &ask).json();
    assert!(answer["no_longer_json"].is_string(), "{answer}");
    let ask = serde_json::json!({ "body": good, "dry_run": true }).to_string();
    let answer = gateway.ask("POST", &format!("/api/v1/events/{id}/edit"), &ask).json();
    assert!(answer.get("no_longer_json").is_none(), "{answer}");
}

#[test]
fn body_that_a_browser_would_change_is_not_put_into_a_form() {
    let rest = "[source.token]\nsecrets = [{ file = \"secret\" }]\ndedupe = \"off\"\n\
                [source.token.verify]\nalgorithm = \"token\"\njson = \"password\"\n";
    let gateway = Gateway::with("", rest);
    let with_password = format!(r#"{{"password":"{SECRET}"}}"#);
    let hidden = gateway.post("token", &[], with_password.as_bytes()).id();
    let mut refused = vec![(hidden, "carries a password")];
    for (body, why) in [
        (b"\xff\x00".as_slice(), "is no text"),
        ("a\u{202e}b".as_bytes(), "would change or not show"),
        (b"a\rb", "would change or not show"),
        (b"a\r\nb\nc", "would change or not show"),
        ("<".repeat(5_000).as_bytes(), "too long"),
    ] {
        let headers = [("X-Signature", &*signature(body))];
        refused.push((gateway.post("hyvor", &headers, body).id(), why));
    }
    for (id, why) in refused {
        let form = page(&gateway, &format!("/events/{id}?body=edit"));
        assert!(form.contains(why) && !form.contains("<textarea"), "{why}: {form}");
        assert!(form.contains(&format!("gatepost events edit {id}")), "{form}");
        assert!(!form.contains(SECRET), "{form}");
    }
    // It was CR LF before, and is so again.
    let id = gateway.send(b"a\r\nb").id();
    let made = edit(&gateway, &id, "a\r\nb\r\nc");
    let there = made.header("location").unwrap();
    let child = there.trim_start_matches("/events/").split('?').next().unwrap();
    assert_eq!(
        gateway.ask("GET", &format!("/api/v1/events/{child}/raw"), "").text(),
        "a\r\nb\r\nc"
    );
}

#[test]
fn edited_copy_is_made_in_a_browser_without_javascript() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    let id = gateway.send(BODY.as_bytes()).id();
    gateway.wait_until_delivered("all", 1);
    browser.scripts(false);
    visit(&mut browser, &gateway, &format!("/events/{id}"));
    browser.click("Edit a copy");
    check_width(&mut browser, &gateway, &[("edit", format!("/events/{id}?body=edit"))]);
    let text = browser.eval("document.querySelector('#text').value");
    assert_eq!(text, BODY, "what is there, to be changed");
    browser.fill("#text", &BODY.replace("create", "update"));
    browser.click("Send an edited copy");
    assert!(browser.path().starts_with("/events/"), "{}", browser.path());
    let shown = browser.text();
    assert!(shown.contains("comment.update") && shown.contains("Made by dashboard"), "{shown}");
    gateway.wait_until_delivered("all", 2);
    browser.click(&format!("event {id}"));
    assert_eq!(browser.path(), format!("/events/{id}"));
    assert_eq!(browser.complaints, Vec::<String>::new());
}
