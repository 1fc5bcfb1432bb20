//! A person in a browser: finds the event that failed, reads why, tries it again, sees it delivered.

#![expect(clippy::disallowed_methods, reason = "people say where pictures go")]

use std::path::Path;

use crate::support::bad_server::{BadServer, status};
use crate::support::browser::Browser;
use crate::support::gateway::Gateway;

/// A handler whose receiver refuses the first event for good, and takes every later one.
fn gateway(receiver: &BadServer) -> Gateway {
    let rest = format!(
        "[handler.app]\non = [\"hyvor:comment.*\"]\nstart = \"oldest\"\n[handler.app.http]\n\
         url = \"{}\"\n[handler.premium]\nwhen = \"data.comment.page.is_premium\"\n\
         [handler.premium.file]\npath = \"data/premium.jsonl\"\n",
        receiver.url("/")
    );
    Gateway::with("", &rest)
}

fn comment(n: u32) -> String {
    format!(
        r#"{{"event":"comment.create","data":{{"comment":{{"id":{n},"body":"Will the caf\u00e9 be open?",
        "page":{{"title":"Winter opening hours","is_premium":false}},"user":{{"name":"Mara"}}}}}}}}"#
    )
}

fn token(gateway: &Gateway) -> String {
    let token = std::fs::read_to_string(gateway.folder.path().join("data/admin-token")).unwrap();
    token.trim().to_owned()
}

fn sign_in(browser: &mut Browser, gateway: &Gateway, path: &str) {
    browser.go(&format!("http://{}{path}", gateway.admin));
    assert!(browser.path().starts_with("/login"), "{}", browser.path());
    browser.fill("#token", &token(gateway));
    browser.click("Sign in");
}

/// Goes to a page; signs in first where that is asked for.
pub(super) fn visit(browser: &mut Browser, gateway: &Gateway, path: &str) {
    browser.go(&format!("http://{}{path}", gateway.admin));
    if path != "/login" && browser.path().starts_with("/login") {
        sign_in(browser, gateway, path);
    }
}

/// Pictures of every page in both themes and as wide as a phone, where `GATEPOST_PICTURES` names a
/// folder: for people to look at.
pub(super) fn pictures(browser: &mut Browser, gateway: &Gateway, paths: &[(&str, String)]) {
    let Ok(folder) = std::env::var("GATEPOST_PICTURES") else { return };
    for (theme, width, height) in
        [("light", 1280, 900), ("dark", 1280, 900), ("light", 390, 844), ("dark", 320, 844)]
    {
        browser.theme(theme);
        browser.size(width, height);
        for (name, path) in paths {
            browser.go(&format!("http://{}{path}", gateway.admin));
            browser.picture(&Path::new(&folder).join(format!("{name}-{width}-{theme}.png")));
        }
    }
    browser.size(1280, 900);
}

/// What of the cells of tables stands beyond its cell, over the next one.
pub(super) const OVERLAPS: &str = "[...document.querySelectorAll('tbody tr>*')].filter(cell => \
    cell.offsetParent && cell.textContent.trim() && getComputedStyle(cell).overflowX === 'visible' && \
    cell.scrollWidth > cell.clientWidth + 1).map(cell => cell.textContent.trim()).join(' | ')";

/// How many links to pages nobody sees without scrolling sideways.
const PAGES_BEYOND: &str = "[...document.querySelectorAll('.nav a')]\
    .filter(link => link.getBoundingClientRect().right > innerWidth).length";

/// Nothing scrolls sideways and nothing stands over its neighbour, whatever the width.
pub(super) fn check_width(browser: &mut Browser, gateway: &Gateway, paths: &[(&str, String)]) {
    for width in [320, 390, 900, 1280] {
        browser.size(width, 844);
        for (name, path) in paths {
            browser.go(&format!("http://{}{path}", gateway.admin));
            let wide = browser.eval("document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(wide <= u64::from(width), "{name} is {wide} wide at {width}");
            assert_eq!(browser.eval(PAGES_BEYOND), 0, "links to pages out of sight at {width}");
            let overlaps = browser.eval(OVERLAPS);
            assert_eq!(overlaps, "", "{name} at {width}");
        }
    }
    browser.size(1280, 900);
}

#[test]
fn failed_event_is_found_understood_and_redriven_in_a_browser() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = BadServer::start([status(422)]);
    let gateway = gateway(&receiver);
    let id = gateway.send(comment(1).as_bytes()).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    for n in 2..6 {
        gateway.send(comment(n).as_bytes()).id();
    }
    gateway.wait_until_delivered("app", 4);
    gateway.post("hyvor", &[("X-Signature", "00")], b"{}");

    sign_in(&mut browser, &gateway, "/dead");
    assert_eq!(browser.path(), "/dead", "signing in leads back");
    let paths = [
        ("overview", "/".to_owned()),
        ("events", "/events".to_owned()),
        ("event", format!("/events/{id}")),
        ("dead", "/dead".to_owned()),
        ("rejected", "/rejected".to_owned()),
        ("rejected_one", "/rejected/1".to_owned()),
        ("handlers", "/handlers".to_owned()),
        ("handler", "/handlers/app".to_owned()),
        ("sources", "/sources".to_owned()),
        ("source", "/sources/hyvor".to_owned()),
        ("config", "/config".to_owned()),
        ("log", "/log".to_owned()),
    ];
    pictures(&mut browser, &gateway, &paths);
    check_width(&mut browser, &gateway, &paths);

    browser.go(&format!("http://{}/", gateway.admin));
    let text = browser.text();
    assert!(text.contains("All handlers answer") && text.contains("1 dead letter"), "{text}");
    browser.click("Dead letters");
    assert!(browser.text().contains("answered 422"), "{}", browser.text());
    browser.click("comment.create");
    assert_eq!(browser.path(), format!("/events/{id}"));
    let text = browser.text();
    assert!(text.contains("app gave it up: it is a dead letter"), "{text}");
    assert!(text.contains("answered 422"), "{text}");
    assert!(text.contains("data.comment.page.is_premium is false"), "{text}");
    assert!(text.contains("café"), "as people read it, not as its writer escaped it: {text}");
    browser.click("Redrive");
    assert!(browser.text().contains("redrive: 1 of 1"), "{}", browser.text());
    gateway.wait_until_delivered("app", 5);
    browser.go(&format!("http://{}/events/{id}", gateway.admin));
    let text = browser.text();
    assert!(text.contains("All 2 handlers that ask for it have it"), "{text}");
    browser.click("Dead letters");
    assert!(browser.text().contains("No dead letters"), "{}", browser.text());
    browser.click("Action log");
    assert!(browser.text().contains("dashboard"), "{}", browser.text());
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn failures_are_found_understood_mended_and_rolled_out_until_all_is_well() {
    let Some(mut browser) = Browser::start() else { return };
    // Mended from the sixth request on.
    let receiver = BadServer::start((0..5).map(|_| status(422)));
    let gateway = gateway(&receiver);
    for n in 0..5 {
        gateway.send(comment(n).as_bytes()).id();
    }
    gateway.wait_for_outcomes("app", "dead", 5);
    sign_in(&mut browser, &gateway, "/");
    assert!(browser.text().contains("5 dead letters"), "{}", browser.text());
    browser.click("Dead letters");
    browser.click("answered 422");
    let text = browser.text();
    assert!(text.contains("5 dead letters, oldest first"), "{text}");
    assert!(text.contains("1, then 10, then 100, then the rest"), "{text}");
    browser.click("Redrive 5 by stages");
    let rollout = [("rollout", browser.path())];
    pictures(&mut browser, &gateway, &rollout);
    check_width(&mut browser, &gateway, &rollout);
    gateway.wait_until_delivered("app", 5);
    // The page itself sees it turn green: no hand touches it from here on.
    browser.go(&format!("http://{}/dead", gateway.admin));
    while !browser.text().contains("Rollout 1 is done") {}
    assert!(browser.text().contains("5 of 5 delivered"), "{}", browser.text());
    browser.click("Overview");
    assert!(browser.text().contains("All well"), "{}", browser.text());
    browser.click("Action log");
    assert!(browser.text().contains("rollout"), "{}", browser.text());
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn pages_work_without_javascript() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = BadServer::start([status(422)]);
    let gateway = gateway(&receiver);
    browser.scripts(false);
    sign_in(&mut browser, &gateway, "/");
    assert!(browser.text().contains("No event has come yet"), "{}", browser.text());
    browser.click("Send a test event");
    assert!(browser.path().starts_with("/events/"), "{}", browser.path());
    gateway.wait_for_outcomes("app", "dead", 1);
    browser.click("Dead letters");
    browser.click("Redrive it");
    assert!(browser.text().contains("redrive: 1 of 1"), "{}", browser.text());
    gateway.wait_until_delivered("app", 1);
    browser.fill("#find", "has:dead");
    browser.send(".find");
    assert!(browser.text().contains("Nothing that is kept fits"), "{}", browser.text());
    browser.click("Handlers");
    browser.click("app");
    browser.fill("#for", "1h");
    browser.fill("#reason", "lunch");
    browser.click("Pause");
    let text = browser.text();
    assert!(text.contains("pause: done until") && text.contains("by dashboard: lunch"), "{text}");
    browser.click("Resume");
    browser.go(&format!("http://{}/events?source=hyvor", gateway.admin));
    browser.click("Deliver these again");
    assert!(browser.text().contains("1 event would be delivered again"), "{}", browser.text());
    browser.click("Deliver again");
    assert!(browser.text().contains("replay: 1 event, 1 delivery"), "{}", browser.text());
    gateway.wait_until_delivered("all", 2);
    browser.click("Sign out");
    assert!(browser.path().starts_with("/login"), "{}", browser.path());
    browser.go(&format!("http://{}/events", gateway.admin));
    assert!(browser.path().starts_with("/login"), "the session has ended: {}", browser.path());
    assert_eq!(browser.complaints, Vec::<String>::new());
}
