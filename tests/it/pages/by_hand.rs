//! What a person does on the pages beside looking for failures, in a browser.

use gatepost::clock::Timestamp;

use crate::support::bad_server::{BadServer, status};
use crate::support::browser::Browser;
use crate::support::gateway::{Gateway, http_handler};
use crate::support::patience::wait_until;

use super::browser::{OVERLAPS, visit};

fn app(receiver: &BadServer, more: &str) -> Gateway {
    Gateway::with("", &http_handler("app", &format!("concurrency = 1\n{more}"), receiver))
}

/// One whose receiver says of three events that no other try is of use.
fn app_that_gave_up_all() -> (BadServer, Gateway) {
    let receiver = BadServer::start((0..3).map(|_| status(422)));
    let gateway = app(&receiver, "");
    for n in 0..3 {
        gateway.send(format!("{{\"n\":{n}}}").as_bytes()).id();
    }
    gateway.wait_for_outcomes("app", "dead", 3);
    (receiver, gateway)
}

/// The page as soon as it has `words`: a handler's state is told a moment after its deliveries.
fn page_once(gateway: &Gateway, path: &str, words: &str) -> String {
    let (mut page, mut n_looks) = (String::new(), 0);
    while !page.contains(words) {
        page = gateway.ask("GET", path, "").text();
        n_looks += 1;
        assert!(n_looks < 2_000, "{page}");
    }
    page
}

#[test]
fn handler_is_paused_with_a_reason_and_resumed() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    visit(&mut browser, &gateway, "/handlers/all");
    browser.fill("#for", "1h");
    browser.fill("#reason", "the mail server moves");
    browser.click("Pause");
    let lead = "document.querySelector('#lead').innerText";
    let text = browser.eval(lead).as_str().unwrap().to_owned();
    assert!(text.starts_with("paused, goes on "), "{text}");
    assert!(text.contains("by dashboard: the mail server moves"), "{text}");
    gateway.send(b"{}").id();
    visit(&mut browser, &gateway, "/handlers");
    assert!(browser.text().contains("paused"), "{}", browser.text());
    visit(&mut browser, &gateway, "/handlers/all");
    browser.click("Resume");
    gateway.wait_until_delivered("all", 1);
    let text = browser.eval(lead).as_str().unwrap().to_owned();
    assert!(text.starts_with("running"), "{text}");
    visit(&mut browser, &gateway, "/log");
    let text = browser.text();
    assert!(text.contains("the mail server moves") && text.contains("resume"), "{text}");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn keys_are_explained_and_lead_where_they_say() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    visit(&mut browser, &gateway, "/");
    let press = |key: &str| {
        format!(
            "document.body.dispatchEvent(new KeyboardEvent('keydown', \
             {{ key: '{key}', bubbles: true }}))"
        )
    };
    let is_open = "document.querySelector('#keys').open";
    assert_eq!(browser.eval(is_open), false);
    browser.eval("document.querySelector('[data-keys]').click()");
    assert_eq!(browser.eval(is_open), true, "by its button");
    let text =
        browser.eval("document.querySelector('#keys').innerText").as_str().unwrap().to_owned();
    browser.eval("document.querySelector('#keys button').click()");
    assert_eq!(browser.eval(is_open), false);
    browser.eval(&press("?"));
    assert_eq!(browser.eval(is_open), true, "by its key");
    browser.eval("document.querySelector('#keys button').click()");
    browser.eval(&press("/"));
    assert_eq!(browser.eval("document.activeElement.id"), "find");
    browser.eval("document.activeElement.blur()");
    let theme = "document.documentElement.dataset.theme || ''";
    let before = browser.eval(theme);
    browser.eval(&press("t"));
    assert_ne!(browser.eval(theme), before);
    for (key, path) in [
        ("e", "/events"),
        ("d", "/dead"),
        ("r", "/rejected"),
        ("h", "/handlers"),
        ("s", "/sources"),
        ("c", "/config"),
        ("l", "/log"),
        ("o", "/"),
    ] {
        assert!(text.contains(key), "{key} is explained: {text}");
        browser.press_to_leave(&[&press("g"), &press(key)]);
        assert_eq!(browser.path(), path);
    }
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn rollout_takes_a_pace_and_a_cap_and_says_so() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = BadServer::start((0..5).map(|_| status(422)));
    let gateway = app(&receiver, "");
    for n in 0..5 {
        gateway.send(format!(r#"{{"n":{n}}}"#).as_bytes()).id();
    }
    gateway.wait_for_outcomes("app", "dead", 5);
    visit(&mut browser, &gateway, "/dead");
    browser.fill("main [name=limit]", "3");
    browser.fill("main [name=rate]", "7");
    browser.click("Redrive 5 by stages");
    let text = browser.text();
    assert!(text.contains("of 3 delivered") && text.contains("at most 7 a second"), "{text}");
    gateway.wait_until_delivered("app", 3);
    visit(&mut browser, &gateway, "/dead");
    while !browser.text().contains("Rollout 1 is done") {}
    assert!(browser.text().contains("2 dead letters"), "{}", browser.text());
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn handler_that_is_left_alone_says_what_waits_for_it_and_until_when() {
    let receiver = BadServer::start((0..3).map(|_| status(503)));
    // What was tried is due again long before the handler is.
    let more = "retry = { min = \"1ms\", max = \"1ms\" }\n\
                breaker = { failures = 3, probe_interval = \"1h\" }";
    let gateway = app(&receiver, more);
    let id = gateway.send(b"{}").id();
    gateway.wait_for_outcomes("app", "retry", 3);
    let handler = || gateway.ask("GET", "/api/v1/handlers/app", "").json();
    wait_until("it is left alone", || !handler()["probe_at"].is_null());
    let handler = handler();
    assert_eq!(handler["next_tries"][0]["id"], id.as_str(), "{handler}");
    let at = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    assert!(at(&handler["next_try_at"]) >= at(&handler["probe_at"]), "{handler}");
    let event = gateway.ask("GET", &format!("/api/v1/events/{id}"), "").json();
    let deliveries = event["deliveries"].as_array().unwrap();
    let of_app = deliveries.iter().find(|one| one["handler"] == "app").unwrap();
    // Worked out anew for each answer, so that a millisecond may be between them.
    let millis = |text: &str| Timestamp::parse_rfc3339(text).unwrap().as_millis();
    let (next_try, probe) = (at(&of_app["next_try_at"]), at(&handler["probe_at"]));
    assert!(millis(&next_try) + 100 >= millis(&probe), "{probe}: {event}");
    let page = gateway.ask("GET", "/handlers/app", "").text();
    assert!(page.contains("Next tries") && page.contains(&format!("/events/{id}")), "{page}");
}

#[test]
fn rejected_request_says_what_was_wrong_with_names_as_code() {
    let gateway = Gateway::start();
    gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    let page = gateway.ask("GET", "/rejected", "").text();
    assert!(page.contains("What the header <code>x-signature</code> holds"), "{page}");
    assert!(!page.contains(", first <time"), "one moment is said once: {page}");
}

#[test]
fn address_of_a_filter_has_what_was_chosen_and_no_more() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    gateway.send(b"{}").id();
    visit(&mut browser, &gateway, "/events");
    browser.fill("main [name=source]", "hyvor");
    browser.fill("main [name=q]", "a=");
    browser.click("Filter");
    assert_eq!(browser.path(), "/events?q=a%3D&source=hyvor");
    browser.fill("main [name=source]", "");
    browser.fill("main [name=q]", "");
    browser.click("Filter");
    assert_eq!(browser.path(), "/events");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn overview_says_what_a_failing_handler_gave_up_where_nothing_waits() {
    let receiver = BadServer::start((0..2).map(|_| status(503)));
    let more = "retry = { attempts = 1 }\nbreaker = { failures = 1, probe_interval = \"1h\" }";
    let gateway = app(&receiver, more);
    gateway.send(b"{}").id();
    gateway.wait_for_outcomes("app", "dead", 1);
    let mut page = String::new();
    while !page.contains("was given up; nothing waits for it") {
        page = gateway.ask("GET", "/", "").text();
    }
    assert!(page.contains("<a href=\"/dead?handler=app\">1 delivery</a>"), "{page}");
    assert!(page.contains("tried again with the next event"), "{page}");
}

/// Every answer says that no other try is of use: no call fails for a while and nothing waits, but
/// the handler does no work.
#[test]
fn overview_and_handlers_name_a_handler_that_gives_up_all_that_it_gets() {
    let (_receiver, gateway) = app_that_gave_up_all();
    let page = page_once(&gateway, "/", "app has delivered nothing since the start");
    assert!(page.contains("its last 3 deliveries were given up: answered 422"), "{page}");
    assert!(page.contains("<a href=\"/dead?handler=app\">3 dead letters</a>"), "{page}");
    let handlers = gateway.ask("GET", "/handlers", "").text();
    assert!(!handlers.contains("Every handler does its work"), "{handlers}");
    assert!(handlers.contains("giving up"), "{handlers}");
    let app = gateway.ask("GET", "/api/v1/handlers/app", "").json();
    assert_eq!(app["given_up_in_a_row"], 3, "{app}");
}

/// Ages grow while nobody looks: `up to 23 h 59 min` stands in a quarter of a phone's width.
#[test]
fn long_figures_fit_their_place_on_a_phone() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    gateway.send(b"{}").id();
    gateway.wait_until_delivered("all", 1);
    for path in ["/", "/handlers", "/sources"] {
        visit(&mut browser, &gateway, path);
        for width in [320, 390] {
            browser.size(width, 844);
            browser.eval(
                "document.querySelectorAll('.cards td.nw').forEach(cell => \
                 cell.textContent = 'up to 23 h 59 min')",
            );
            assert_eq!(browser.eval(OVERLAPS), "", "{path} at {width}");
        }
    }
}

/// What there is to say comes before what can be done.
#[test]
fn state_of_a_handler_is_above_its_buttons_on_a_phone() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    browser.size(390, 844);
    visit(&mut browser, &gateway, "/handlers/all");
    let top = |what: &str| format!("document.querySelector('{what}').getBoundingClientRect().top");
    let (lead, buttons) = (browser.eval(&top("#lead")), browser.eval(&top(".head>.end")));
    assert!(lead.as_f64() < buttons.as_f64(), "{lead} {buttons}");
}

#[test]
fn handler_that_gave_up_all_leads_to_its_dead_letters_and_is_not_tried_with_nothing() {
    let (_receiver, gateway) = app_that_gave_up_all();
    let page = page_once(&gateway, "/handlers/app", "giving up");
    assert!(page.contains("href=\"/dead?handler=app\">Redrive …"), "{page}");
    assert!(!page.contains("Try one now"), "{page}");
}

#[test]
fn event_is_offered_first_to_the_handler_that_gave_it_up() {
    let receiver = BadServer::start([status(422)]);
    let url = receiver.url("/");
    let rest =
        format!("[handler.late]\nstart = \"oldest\"\n[handler.late.http]\nurl = \"{url}\"\n");
    let gateway = Gateway::with("", &rest);
    let id = gateway.send(b"{}").id();
    gateway.wait_for_outcomes("late", "dead", 1);
    let page = gateway.ask("GET", &format!("/events/{id}"), "").text();
    let (_, list) = page.split_once("class=\"wide\"><option>").unwrap();
    assert!(list.starts_with("late</option><option>all</option>"), "{list}");
}
