//! What a page does while somebody looks at it, in a browser.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use gatepost::clock::Stopwatch;

use super::browser::visit;
use crate::support::browser::Browser;
use crate::support::gateway::Gateway;

fn send(gateway: &Gateway, n: usize) -> String {
    gateway.send(format!(r#"{{"event":"comment.create","n":{n}}}"#).as_bytes()).id()
}

/// The bell rings here as on a page: it is heard where it is listened to.
fn wait_for_bell(browser: &mut Browser) {
    browser.eval(
        "new Promise(done => { const bell = new EventSource('/api/v1/stream'); \
         bell.onopen = () => { bell.close(); done(1); }; })",
    );
}

#[test]
fn text_that_is_selected_stays_selected_until_it_is_let_go() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    (0..3).for_each(|n| drop(send(&gateway, n)));
    gateway.wait_until_delivered("all", 3);
    visit(&mut browser, &gateway, "/events");
    wait_for_bell(&mut browser);
    browser.eval("getSelection().selectAllChildren(document.querySelector('#list tbody tr'))");
    let selected = browser.eval("getSelection().toString()");
    send(&gateway, 3);
    while !browser.text().contains("Updates paused, 1 new") {}
    assert_eq!(browser.eval("getSelection().toString()"), selected);
    let rows = "document.querySelectorAll('#list tbody tr').length";
    assert_eq!(browser.eval(rows), 3, "no row jumped in");
    browser.eval("getSelection().removeAllRanges()");
    while browser.eval(rows) != 4 {}
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn events_that_came_faster_than_the_list_shows_are_counted_and_reached() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    (0..31).for_each(|n| drop(send(&gateway, n)));
    visit(&mut browser, &gateway, "/events");
    wait_for_bell(&mut browser);
    // Held still, so that all of them come at once.
    browser.eval("getSelection().selectAllChildren(document.querySelector('#list tbody tr'))");
    let ids: Vec<String> = (31..71).map(|n| send(&gateway, n)).collect();
    while !browser.text().contains("Updates paused, 40 new") {}
    browser.eval("getSelection().removeAllRanges()");
    while !browser.text().contains("10 came faster than shown") {}
    browser.click("10 came faster than shown");
    let there = browser.eval("document.querySelector('#list tbody').innerHTML");
    assert!(there.as_str().unwrap().contains(&ids[0]), "the first that was left out: {there}");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn pace_is_kept_and_paused_pages_change_only_when_asked() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    send(&gateway, 0);
    visit(&mut browser, &gateway, "/events");
    let choose = |pace: &str| {
        format!(
            "document.querySelector('#pace').value = '{pace}'; \
             document.querySelector('#pace').dispatchEvent(new Event('change')); 0"
        )
    };
    browser.eval(&choose("0"));
    visit(&mut browser, &gateway, "/events");
    assert_eq!(browser.eval("document.querySelector('#pace').value"), "0", "it is remembered");
    wait_for_bell(&mut browser);
    send(&gateway, 1);
    while !browser.text().contains("Updates paused, 1 new") {}
    let rows = "document.querySelectorAll('#list tbody tr').length";
    assert_eq!(browser.eval(rows), 1);
    browser.eval("document.querySelector('#live').click()");
    while browser.eval(rows) != 2 {}
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// Off loopback a page over plain HTTP has no clipboard API.
#[test]
fn address_is_copied_also_where_the_browser_has_no_clipboard() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    visit(&mut browser, &gateway, "/sources/hyvor");
    browser.eval(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined }); \
         document.execCommand = () => { window.copied = getSelection().toString(); }; \
         document.querySelector('[data-copy]').click()",
    );
    let address = browser.eval("document.querySelector('.paste code').textContent");
    assert!(address.as_str().unwrap().ends_with("/hooks/hyvor"), "{address}");
    assert_eq!(browser.eval("window.copied"), address);
    assert_eq!(browser.eval("document.querySelector('[data-copy]').textContent"), "Copied");
    // Without the script a click selects all of it.
    let selects = "getComputedStyle(document.querySelector('.paste code')).userSelect";
    assert_eq!(browser.eval(selects), "all");
}

#[test]
fn source_is_tested_and_configuration_reloaded_by_hand() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    visit(&mut browser, &gateway, "/sources/hyvor");
    browser.click("Send it");
    assert!(browser.path().starts_with("/events/"), "{}", browser.path());
    let text = browser.text();
    assert!(text.contains("send test: answered 200"), "{text}");
    let path = gateway.folder.config();
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config + "[handler.more.file]\npath = \"data/more\"\n").unwrap();
    visit(&mut browser, &gateway, "/config");
    assert!(browser.text().contains("A reload would change this"), "{}", browser.text());
    browser.click("Reload");
    let text = browser.text();
    assert!(text.contains("The file says what is in force"), "{text}");
    visit(&mut browser, &gateway, "/handlers/more");
    assert!(browser.text().contains("running"), "{}", browser.text());
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn rejected_request_is_released_by_hand_once_it_is_good() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    let secret = gateway.folder.path().join("secret");
    let right = std::fs::read_to_string(&secret).unwrap();
    let body = br#"{"event":"comment.create"}"#;
    let signed = crate::support::gateway::signature(body);
    std::fs::write(&secret, "another-secret-that-is-long-enough").unwrap();
    visit(&mut browser, &gateway, "/config");
    browser.click("Reload");
    assert_eq!(gateway.post("hyvor", &[("X-Signature", &signed)], body).status, 401);
    visit(&mut browser, &gateway, "/rejected");
    assert!(browser.text().contains("mend the cause first"), "{}", browser.text());
    std::fs::write(&secret, right).unwrap();
    visit(&mut browser, &gateway, "/config");
    browser.click("Reload");
    visit(&mut browser, &gateway, "/rejected");
    assert!(browser.text().contains("It would be good now."), "{}", browser.text());
    browser.click("Release what is good now");
    assert!(browser.text().contains("No rejected requests"), "{}", browser.text());
    gateway.wait_until_delivered("all", 1);
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn arrows_lead_to_the_neighbours_and_escape_back_to_the_list() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    let ids: Vec<String> = (0..3).map(|n| send(&gateway, n)).collect();
    visit(&mut browser, &gateway, &format!("/events/{}", ids[1]));
    let press = |key: &str| {
        format!(
            "document.body.dispatchEvent(new KeyboardEvent('keydown', \
             {{ key: '{key}', bubbles: true }}))"
        )
    };
    browser.press_to_leave(&[&press("ArrowLeft")]);
    assert_eq!(browser.path(), format!("/events/{}", ids[2]));
    browser.press_to_leave(&[&press("ArrowRight")]);
    browser.press_to_leave(&[&press("ArrowRight")]);
    assert_eq!(browser.path(), format!("/events/{}", ids[0]));
    browser.press_to_leave(&[&press("Escape")]);
    assert_eq!(browser.path(), "/events");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// A viewer costs one look at the log in half a second, however much comes in.
#[test]
fn stream_looks_twice_a_second_at_most() {
    let gateway = Gateway::start();
    let token = std::fs::read_to_string(gateway.folder.path().join("data/admin-token")).unwrap();
    let mut stream = TcpStream::connect(gateway.admin).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "GET /api/v1/stream?after=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        token.trim()
    );
    send(&gateway, 0);
    stream.write_all(head.as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let mut next = || loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "it goes on");
        if line.starts_with("data: ") {
            return line;
        }
    };
    assert!(next().contains("comment.create"));
    // Each comes within a moment of the one before; the looks are half a second apart.
    let began = Stopwatch::start();
    for n in 1..=4 {
        send(&gateway, n);
        next();
    }
    assert!(began.elapsed() >= Duration::from_millis(1_500), "{:?}", began.elapsed());
}
