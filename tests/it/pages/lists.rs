//! Each number leads to the list that it counts.

use super::browser::visit;
use super::page;
use crate::support::bad_server::{BadServer, status};
use crate::support::browser::Browser;
use crate::support::gateway::{Gateway, http_handler, signature};

/// Where the link leads whose words are these.
fn address_of(page: &str, words: &str) -> String {
    let before = page.split(&format!("\">{words}</a>")).next().unwrap();
    assert_ne!(before.len(), page.len(), "no link says {words}: {page}");
    before.rsplit("href=\"").next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
}

fn n_listed(page: &str) -> usize {
    page.matches("href=\"/rejected/").count()
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
    assert!(all.contains("35 rejected requests</h1>"), "{all}");
    let address = address_of(&all, "33 requests");
    let list = page(&gateway, &address);
    assert!(list.contains("33 rejected requests</h1>"), "nothing else is on {address}: {list}");
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

#[test]
fn event_leads_to_those_of_its_type_and_of_its_order_key() {
    let file = |name: &str, order_by: &str| {
        format!(
            "[handler.{name}]\nstart = \"oldest\"\norder_by = '{order_by}'\n\
                 [handler.{name}.file]\npath = \"data/{name}.jsonl\"\n"
        )
    };
    let by_page = "data.page.id";
    let rest = file("one", by_page)
        + &file("other", by_page)
        + &file("named", "data.page.name ~ event.type")
        + &file("whole", "data | tojson");
    let gateway = Gateway::with("", &rest);
    let send = |n: u32, id: u32, name: &str| {
        let page = format!(r#"{{"page":{{"id":{id},"name":"{name}"}},"n":{n}}}"#);
        gateway.send(format!(r#"{{"event":"comment.create","data":{page}}}"#).as_bytes()).id()
    };
    let ids =
        [send(1, 7, "Two words"), send(2, 17, "Two words"), send(3, 7, "Two"), send(4, 8, "x")];
    gateway.wait_until_delivered("one", 4);
    let event = gateway.ask("GET", &format!("/api/v1/events/{}", ids[0]), "").json();
    let lines = event["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "what no search finds has no link: {event}");
    assert_eq!(lines[0]["q"], r#"$.data.page.name:"Two words" type:comment.create"#);
    assert_eq!(
        (&lines[1]["q"], &lines[1]["handlers"]),
        (&"$.data.page.id:7".into(), &["one", "other"].as_slice().into())
    );
    let shown = page(&gateway, &format!("/events/{}", ids[0]));
    let found = |words: &str| {
        let list = page(&gateway, &address_of(&shown, words));
        ids.iter().map(|id| list.contains(&format!("/events/{id}?list="))).collect::<Vec<_>>()
    };
    assert_eq!(found("All of this type"), [true, true, true, true]);
    assert_eq!(found("All with the same <code>data.page.id</code>"), [true, false, true, false]);
    let by_name = "All with the same <code>data.page.name</code>, <code>event.type</code>";
    assert_eq!(found(by_name), [true, true, false, false]);
    assert!(shown.contains("one, other take them one after the other"), "{shown}");
}

/// A handler that gave six events up, whose receiver is well again.
fn gave_up_six() -> (BadServer, Gateway, Vec<String>) {
    let receiver = BadServer::start((0..6).map(|_| status(422)));
    let gateway = Gateway::with("", &http_handler("app", "concurrency = 1", &receiver));
    let ids = (0..6).map(|n| gateway.send(format!("{{\"n\":{n}}}").as_bytes()).id()).collect();
    gateway.wait_for_outcomes("app", "dead", 6);
    (receiver, gateway, ids)
}

#[test]
fn rows_that_are_ticked_and_no_others_are_done_again() {
    let (_receiver, gateway, ids) = gave_up_six();
    let list = page(&gateway, "/dead?handler=app");
    assert!(list.contains(&format!("name=\"pick\" value=\"{}/app\"", ids[1])), "{list}");
    for wrong in ["handler=app&picked=1", "picked=1&pick=x", "picked=1&pick=x/app"] {
        let answer = gateway.ask("POST", "/dead/redrive", wrong);
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
    let form = format!("handler=app&picked=1&pick={}%2Fapp&pick={}%2Fapp", ids[1], ids[4]);
    let answer = gateway.ask("POST", "/dead/redrive", &form);
    assert!(answer.header("location").unwrap().starts_with("/dead?handler=app&done="));
    gateway.wait_until_delivered("app", 2);
    let dead = gateway.ask("GET", "/api/v1/dead", "").json();
    let left: Vec<&str> =
        dead.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(left, [0, 2, 3, 5].map(|n: usize| ids[n].as_str()));
    let again = gateway.ask("POST", "/dead/redrive", &form);
    assert_eq!(again.status, 303, "{}", again.text());
    let actions = gateway.ask("GET", "/api/v1/actions", "").json();
    assert_eq!(actions[0]["target"], "2 picked dead letters");
    assert_eq!(
        (&actions[0]["result"], &actions[1]["result"]),
        (&"0 of 2, 2 skipped".into(), &"2 of 2, 0 skipped".into())
    );
    assert_eq!(gateway.ask("POST", "/events/replay", "q=n&picked=1").status, 400);
    let form = format!("q=n&to=all&picked=1&pick={}&pick={}", ids[5], ids[0]);
    let answer = gateway.ask("POST", "/events/replay", &form);
    assert!(answer.header("location").unwrap().starts_with("/events?q=n&done="));
    gateway.wait_until_delivered("all", 8);
    let actions = gateway.ask("GET", "/api/v1/actions", "").json();
    assert_eq!(actions[0]["target"], "2 picked events to all");
    assert_eq!(actions[0]["result"], "2 deliveries");
}

#[test]
fn replay_of_a_long_list_goes_on_behind_where_the_click_before_it_came_to() {
    let (_receiver, gateway, ids) = gave_up_six();
    gateway.wait_until_delivered("all", 6);
    let position = |id: &str| {
        let event = gateway.ask("GET", &format!("/api/v1/events/{id}"), "").json();
        event["position"].as_u64().unwrap()
    };
    let (after, up_to) = (position(&ids[1]), position(&ids[3]));
    let list = page(&gateway, &format!("/events?q=n&replay=1&to=all&after={after}&up_to={up_to}"));
    for (name, number) in [("after", after), ("up_to", up_to)] {
        let hidden = format!(r#"<input type="hidden" name="{name}" value="{number}">"#);
        assert!(list.contains(&hidden), "{list}");
    }
    assert!(list.contains("<option value=\"all\" selected>all: 2 events</option>"), "{list}");
    let form = format!("q=n&to=all&after={after}&up_to={up_to}");
    let answer = gateway.ask("POST", "/events/replay", &form);
    assert!(answer.header("location").unwrap().starts_with("/events?q=n&done="), "{answer:?}");
    gateway.wait_until_delivered("all", 8);
    let actions = gateway.ask("GET", "/api/v1/actions", "").json();
    let told = actions[0]["result"].as_str().unwrap();
    assert!(told.starts_with("2 events, 2 deliveries"), "{told}");
}

#[test]
fn shift_ticks_all_rows_between_two_and_a_tick_holds_the_list_still() {
    let Some(mut browser) = Browser::start() else { return };
    let (_receiver, gateway, _ids) = gave_up_six();
    let click = |n: usize, shift: bool| {
        format!(
            "document.querySelectorAll('[name=pick]')[{n}].dispatchEvent(new MouseEvent('click', \
             {{ bubbles: true, cancelable: true, shiftKey: {shift} }}))"
        )
    };
    let ticked =
        "[...document.querySelectorAll('[name=pick]')].map(one => one.checked ? 1 : 0).join('')";
    // Gatepost's own events of what was given up stand among all of them.
    visit(&mut browser, &gateway, "/events?source=hyvor");
    browser.eval(&click(4, false));
    browser.eval(&click(1, true));
    assert_eq!(browser.eval(ticked), "011110");
    assert!(browser.text().contains("4 ticked"), "{}", browser.text());
    gateway.send(b"{\"n\":7}").id();
    // The page is told of it, and keeps the rows that are ticked.
    while !browser.text().contains("Updates paused") {}
    assert_eq!(browser.eval(ticked), "011110");
    visit(&mut browser, &gateway, "/dead?handler=app");
    browser.eval(&click(0, false));
    browser.eval(&click(3, true));
    browser.eval(&click(1, false));
    assert_eq!(browser.eval(ticked), "101100");
    browser.click("Redrive what is ticked");
    gateway.wait_until_delivered("app", 3);
    assert!(browser.text().contains("redrive: 3 of 3"), "{}", browser.text());
    browser.eval("document.querySelector('[data-all]').click()");
    assert_eq!(browser.eval(ticked), "111");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// Sends `n` events that handler `app` gives up at once.
fn with_dead(n: usize) -> (BadServer, Gateway) {
    let receiver = BadServer::start((0..n).map(|_| status(422)));
    let gateway = Gateway::with("", &http_handler("app", "concurrency = 1", &receiver));
    (0..n).for_each(|n| drop(gateway.send(format!("{{\"n\":{n}}}").as_bytes()).id()));
    gateway.wait_for_outcomes("app", "dead", u64::try_from(n).unwrap());
    (receiver, gateway)
}

#[test]
fn all_dead_letters_are_reached_page_by_page() {
    let (_receiver, gateway) = with_dead(30);
    let all = gateway.ask("GET", "/api/v1/dead", "").json();
    let ids = |list: &serde_json::Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one["id"].to_string()).collect()
    };
    let (mut found, mut path) = (Vec::new(), "/api/v1/dead?limit=7".to_owned());
    let mut n_pages = 0;
    loop {
        let answer = gateway.ask("GET", &path, "");
        found.extend(ids(&answer.json()));
        n_pages += 1;
        let Some(next) = answer.header("gatepost-next") else { break };
        path = format!("/api/v1/dead?limit=7&after={next}");
    }
    assert_eq!((n_pages, &found), (5, &ids(&all)), "each once, in the same order");
    assert_eq!(gateway.ask("GET", "/api/v1/dead?after=nonsense", "").status, 400);
    let change = r#"{"handler":"app","after":"1.1.app"}"#;
    assert_eq!(gateway.ask("POST", "/api/v1/dead/drop", change).status, 400);

    let first = page(&gateway, "/dead");
    assert!(first.contains("and 18 more"), "{first}");
    let second = page(&gateway, &address_of(&first, "Next"));
    assert!(second.contains("and 6 more") && second.contains("<b>30 dead letters</b>"), "{second}");
    let third = page(&gateway, &address_of(&second, "Next"));
    assert!(!third.contains(">Next</a>"), "{third}");
    let n_rows = |page: &str| page.matches("name=\"pick\"").count();
    assert_eq!([&first, &second, &third].map(|one| n_rows(one)), [12, 12, 6]);
    assert_eq!(address_of(&third, "First"), "/dead");
}

#[test]
fn all_rejected_requests_are_reached_page_by_page() {
    let gateway = Gateway::start();
    for n in 0..5 {
        gateway.post("hyvor", &[("X-Signature", "00")], format!("{{\"n\":{n}}}").as_bytes());
    }
    gateway.post("userecho", &[], b"{}");
    let (mut found, mut path) = (Vec::new(), "/api/v1/rejected?source=hyvor&limit=2".to_owned());
    loop {
        let answer = gateway.ask("GET", &path, "");
        let list = answer.json();
        found.extend(list.as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()));
        let Some(next) = answer.header("gatepost-next") else { break };
        path = format!("/api/v1/rejected?source=hyvor&limit=2&before={next}");
    }
    assert_eq!(found.len(), 5);
    assert!(found.is_sorted_by(|one, other| one > other), "{found:?}");
}

/// What the page and the command line take.
#[test]
fn api_takes_the_moments_and_states_that_people_write() {
    let (_receiver, gateway) = with_dead(1);
    for (query, n_found) in [
        ("events?since=1h&source=hyvor", 1),
        ("events?until=1h", 0),
        ("events?since=2020-01-01&until=2020-01-02", 0),
        ("events?since=2020-01-01T00:00:00Z&source=hyvor", 1),
        ("events?state=waiting", 0),
        ("events?state=dead&since=1h&handler=app", 1),
        ("dead?since=1h", 1),
        ("dead?until=1h", 0),
    ] {
        let answer = gateway.ask("GET", &format!("/api/v1/{query}"), "");
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert_eq!(answer.json().as_array().unwrap().len(), n_found, "{query}");
    }
    let dry = r#"{"since":"1h","dry_run":true}"#;
    assert_eq!(gateway.ask("POST", "/api/v1/dead/redrive", dry).json()["matched"], 1);
    let dry = r#"{"until":"1h","dry_run":true}"#;
    assert_eq!(gateway.ask("POST", "/api/v1/dead/redrive", dry).json()["matched"], 0);
    let answer = gateway.ask("POST", "/api/v1/dead/redrive", r#"{"since":"soon"}"#);
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("`since`"), "{}", answer.text());
}

/// The list of events and the page of one say the same of a handler that was not called.
#[test]
fn handler_whose_on_does_not_name_an_event_was_not_called_on_both_pages() {
    let rest = "[handler.updates]\non = [\"hyvor:comment.update\"]\n[handler.updates.log]\n\
                [handler.picky]\nwhen = \"false\"\n[handler.picky.log]\n";
    let gateway = Gateway::with("", rest);
    let id = gateway.send(br#"{"event":"comment.create"}"#).id();
    gateway.wait_until_delivered("all", 1);
    gateway.wait_for_outcomes("updates", "skipped", 1);
    gateway.wait_for_outcomes("picky", "skipped", 1);
    let list = page(&gateway, "/events");
    let cell = |name: &str| {
        let cell = list.split(&format!("data-l=\"{name}\">")).nth(1).unwrap();
        cell.split("</td>").next().unwrap().to_owned()
    };
    assert!(cell("updates").contains("not called"), "{list}");
    assert!(cell("picky").contains("skipped"), "{list}");
    assert!(page(&gateway, &format!("/events/{id}")).contains("not called"));
}

#[test]
fn handler_that_had_nothing_to_do_with_an_event_was_called() {
    let rest = "[handler.quiet.chat]\nntfy = { topic = \"a\", server = \"http://127.0.0.1:9\" }\n\
                text = \"{% if data.never %}x{% endif %}\"\n";
    let gateway = Gateway::with("", rest);
    let id = gateway.send(br#"{"event":"comment.create"}"#).id();
    gateway.wait_for_outcomes("quiet", "skipped", 1);
    let shown = page(&gateway, &format!("/events/{id}"));
    assert!(shown.contains("the text is empty"), "{shown}");
    assert!(!shown.contains("It would be called today"), "{shown}");
}

#[test]
fn name_that_no_source_has_leads_to_the_one_that_was_meant() {
    let gateway = Gateway::start();
    assert_eq!(gateway.post("hyvr", &[], b"{}").status, 404);
    let rejected = page(&gateway, "/rejected");
    assert!(rejected.contains("did you mean <code>hyvor</code>?"), "{rejected}");
}

#[test]
fn page_as_json_is_what_the_page_shows() {
    let (_receiver, gateway) = with_dead(2);
    gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    gateway.post("userecho", &[], b"{}");
    let json_of = |path: &str| {
        let shown = page(&gateway, path);
        let at = address_of(&shown, "This page as JSON");
        let answer = gateway.ask("GET", &at, "");
        assert_eq!(answer.status, 200, "{at}: {}", answer.text());
        (at, answer.json())
    };
    let (_, dead) = json_of("/dead?handler=app&since=1h");
    assert_eq!(dead.as_array().unwrap().len(), 2);
    let (at, dead) = json_of("/dead?handler=app&until=1h");
    assert_eq!(dead.as_array().unwrap().len(), 0, "{at}");
    assert!(json_of("/dead").1["groups"].is_array());
    let (at, rejected) = json_of("/rejected?source=userecho");
    assert_eq!(rejected.as_array().unwrap().len(), 1, "{at}");
    assert_eq!(json_of("/rejected").1.as_array().unwrap().len(), 2);
}

/// What a handler has not come to yet is counted whether its `on` names it or not, and the list that
/// the number leads to says so.
#[test]
fn number_of_events_in_the_log_leads_to_a_list_that_says_what_it_counts() {
    let rest = "[handler.updates]\non = [\"hyvor:comment.update\"]\n[handler.updates.log]\n";
    let gateway = Gateway::with("", rest);
    assert_eq!(gateway.ask("POST", "/api/v1/handlers/updates/pause", "{}").status, 200);
    for (n, what) in ["create", "update", "create"].into_iter().enumerate() {
        gateway.send(format!(r#"{{"event":"comment.{what}","n":{n}}}"#).as_bytes()).id();
    }
    gateway.wait_until_delivered("all", 3);
    let handlers = page(&gateway, "/handlers/updates");
    let list = page(&gateway, &address_of(&handlers, "up to 3"));
    assert!(list.contains("<h2 id=\"h-l\">1 event</h2>"), "{list}");
    assert!(list.contains("of 3 events that updates has not come to yet"), "{list}");
    let overview = page(&gateway, "/");
    assert!(overview.contains("3 are to be looked at or delivered"), "{overview}");
    let fact = overview.split("<dt>Still to do</dt>").nth(1).unwrap();
    assert_eq!(address_of(fact, "up to 3"), "/handlers");
}
