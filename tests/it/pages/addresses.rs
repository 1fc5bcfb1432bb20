//! Addresses of pages: what goes along in them, and what is wrong with them.

use super::page;
use crate::support::bad_server::{BadServer, status};
use crate::support::gateway::{Gateway, http_handler};

const BODY: &[u8] = br#"{"event":"comment.create"}"#;

/// A field with a typing mistake must not become "all".
#[test]
fn field_that_a_page_does_not_know_and_name_that_is_not_there_are_told() {
    let receiver = BadServer::start([status(422)]);
    let gateway = Gateway::with("", &http_handler("app", "", &receiver));
    gateway.send(BODY).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    for (path, status, said) in [
        ("/dead?source=hyvor", 400, "There is no <code>source</code> here; there are: handler,"),
        ("/dead?foo=1", 400, "There is no <code>foo</code> here"),
        ("/dead?since=soon", 400, "<code>soon</code> is not a time"),
        ("/dead?handler=nope", 404, "There is no handler <code>nope</code>"),
        ("/rejected?type=x", 400, "There is no <code>type</code> here; there are: source,"),
        ("/rejected?source=nope", 404, "There is no source <code>nope</code>"),
        ("/rejected?before=x", 400, "<code>before</code> is a number"),
        ("/config?handler=app", 400, "There is no <code>handler</code> here; nothing is chosen"),
    ] {
        let answer = gateway.ask("GET", path, "");
        let text = answer.text();
        assert_eq!(answer.status, status, "{path}: {text}");
        assert!(text.contains("role=\"alert\"") && text.contains(said), "{path}: {text}");
        assert!(text.contains("<nav class=\"nav\""), "{path}: {text}");
        assert!(!text.contains("action=\"/dead/redrive\""), "nothing is chosen: {path}: {text}");
    }
    for path in ["/dead?handler=app", "/dead?handler=all&done=1", "/rejected?source=userecho"] {
        page(&gateway, path);
    }
}

#[test]
fn heading_of_dead_letters_counts_those_that_are_listed() {
    let receiver = BadServer::start((0..3).map(|_| status(422)));
    let of =
        |name: &str, on: &str| http_handler(name, &format!("on = [\"hyvor:{on}\"]"), &receiver);
    let gateway = Gateway::with("", &(of("app", "*") + &of("crm", "page.*")));
    gateway.send(BODY).id();
    gateway.send(br#"{"event":"page.create"}"#).id();
    gateway.wait_for_outcomes("app", "dead", 2);
    gateway.wait_for_outcomes("crm", "dead", 1);
    assert!(page(&gateway, "/dead").contains("<h1>3 dead letters"));
    let text = page(&gateway, "/dead?handler=app");
    assert!(text.contains("<h1>2 dead letters <span class=\"thin\">of 3</span></h1>"), "{text}");
    let text = page(&gateway, "/dead?handler=all");
    assert!(text.contains("<h1>No dead letters here <span class=\"thin\">of 3</span>"), "{text}");
}

/// The way back and the neighbours are of the list that the event was opened from.
#[test]
fn filter_of_the_list_goes_along_to_the_event_and_its_neighbours_and_back() {
    let gateway = Gateway::start();
    let kinds = ["user.create", "page.create", "user.update", "page.update", "user.delete"];
    let ids: Vec<String> = kinds
        .iter()
        .map(|kind| gateway.send(format!(r#"{{"event":"{kind}"}}"#).as_bytes()).id())
        .collect();
    gateway.wait_until_delivered("all", 5);
    let listed = "/events?type=user.*&handler=all&state=delivered";
    let link_to = |text: &str, id: &str| {
        let begin = format!("href=\"/events/{id}");
        let rest = text.split(&begin).nth(1).unwrap_or_else(|| panic!("{id} is linked: {text}"));
        format!("/events/{id}{}", rest.split('"').next().unwrap().replace("&#38;", "&"))
    };
    let middle = link_to(&page(&gateway, listed), &ids[2]);
    let text = page(&gateway, &middle);
    let back = "<a href=\"/events?type=user.%2A&#38;handler=all&#38;state=delivered\">Events</a>";
    assert!(text.contains(back), "{text}");
    for (neighbour, rel) in [(&ids[4], "prev"), (&ids[0], "next")] {
        let link = link_to(&text, neighbour);
        assert!(text.contains(&format!("\" rel=\"{rel}\"")), "{text}");
        let there = page(&gateway, &link);
        assert!(there.contains(back), "{link}: {there}");
    }
    let other_form = text.split("\">Raw</a>").next().unwrap().rsplit("href=\"").next().unwrap();
    assert!(page(&gateway, &other_form.replace("&#38;", "&")).contains(back), "{other_form}");
    let list = middle.split_once("?list=").unwrap().1;
    let form = format!("handler=all&list={list}");
    let answer = gateway.ask("POST", &format!("/events/{}/replay", ids[2]), &form);
    assert!(answer.header("location").unwrap().contains("?list="), "{}", answer.text());
    // Alone it has all events around it; what is no list is left out.
    for path in [format!("/events/{}", ids[2]), format!("/events/{}?list=//x/?since=soon", ids[2])]
    {
        let text = page(&gateway, &path);
        assert!(text.contains("<a href=\"/events\">Events</a>") || path.contains("list"), "{text}");
        link_to(&text, &ids[3]);
        assert!(!text.contains("//x/"), "{text}");
    }
}
