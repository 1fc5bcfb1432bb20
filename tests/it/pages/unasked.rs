//! Events that a handler does not ask for: none of its work, whatever it does.

use super::{ask, page};
use crate::support::gateway::Gateway;
use crate::support::patience::wait_until;

fn send(gateway: &Gateway, event_type: &str, n: u32) -> String {
    gateway.send(format!(r#"{{"event":"{event_type}","n":{n}}}"#).as_bytes()).id()
}

/// A gateway whose only handlers are these.
fn with_handlers(handlers: &str) -> Gateway {
    let gateway = Gateway::with("", handlers);
    let config = std::fs::read_to_string(gateway.folder.config()).unwrap();
    let config =
        config.replace("[handler.all]\n", "[handler.all]\non = ['hyvor:comment.craete']\n");
    std::fs::write(gateway.folder.config(), config).unwrap();
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    gateway
}

#[test]
fn events_that_no_handler_asks_for_are_counted_and_listed_and_their_page_says_what_to_add() {
    let gateway = with_handlers("");
    let id = send(&gateway, "comment.create", 1);
    send(&gateway, "comment.create", 2);
    wait_until("they are passed over", || ask(&gateway, "handlers/all")["in_log"] == 0);
    let text = page(&gateway, "/");
    assert!(!text.contains("All well") && !text.contains("all delivered"), "{text}");
    assert!(text.contains("Nothing to deliver:</strong> 2 events since the start"), "{text}");
    let link = text.split("No handler asks for <a href=\"").nth(1).unwrap();
    let (address, rest) = link.split_once('"').unwrap();
    assert!(rest.starts_with(">2 of them</a>."), "{rest}");
    let list = page(&gateway, &address.replace("&#38;", "&"));
    assert!(list.contains("<h2 id=\"h-l\">2 events</h2>"), "{list}");
    let text = page(&gateway, &format!("/events/{id}"));
    assert!(text.contains("No handler asks for it."), "{text}");
    assert!(text.contains("No handler wants this type: add one to config.toml"), "{text}");
    assert!(text.contains("<code>on = [\"hyvor:comment.create\"]</code>"), "{text}");
    assert!(text.contains("hyvor:comment.craete"), "what is there, mistyped: {text}");
    // Another one that is asked for.
    send(&gateway, "comment.craete", 3);
    gateway.wait_until_delivered("all", 1);
    wait_until("it is settled", || ask(&gateway, "handlers/all")["in_log"] == 0);
    let text = page(&gateway, "/");
    assert!(text.contains("All well:</strong> 3 events since the start, the others all"), "{text}");
    let found = ask(&gateway, "events?q=has:unasked");
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
}

/// What a handler has not come to yet is no work of its, where it will pass it over.
#[test]
fn pending_event_that_a_paused_handler_does_not_ask_for_is_not_shown_as_its_work() {
    let gateway = Gateway::with(
        "",
        "[handler.slow]\non = ['hyvor:page.*']\nstart = 'oldest'\n[handler.slow.log]\n\
         [handler.some]\nwhen = 'data.n > 5'\nstart = 'oldest'\n[handler.some.log]\n",
    );
    for handler in ["slow", "some"] {
        gateway.ask("POST", &format!("/api/v1/handlers/{handler}/pause"), "");
    }
    let id = send(&gateway, "comment.create", 1);
    send(&gateway, "page.create", 2);
    gateway.wait_until_delivered("all", 2);
    let text = page(&gateway, &format!("/events/{id}"));
    assert!(text.contains("The handler that asks for it has it."), "{text}");
    for (handler, why) in [("slow", "on = [&#34;hyvor:page.*&#34;]"), ("some", "when = data.n")] {
        let lane = text.split(&format!("id=\"n-{handler}\"")).nth(1);
        let lane = lane.unwrap_or_else(|| panic!("{handler} is not called: {text}"));
        assert!(lane.split("</section>").next().unwrap().contains(why), "{handler}: {lane}");
        assert!(!text.contains(&format!("{handler} is paused")), "{text}");
    }
    let entry = ask(&gateway, &format!("events/{id}"));
    assert_eq!(entry["not_called"].as_array().unwrap().len(), 2, "{entry}");
    let list = page(&gateway, "/events?type=comment.create");
    let cell = list.split("data-l=\"slow\">").nth(1).unwrap().split("</td>").next().unwrap();
    assert!(cell.contains("not called"), "{cell}");
    let slow = ask(&gateway, "handlers/slow");
    assert_eq!(slow["takes"].as_array().unwrap().len(), 1, "{slow}");
    assert_eq!(slow["takes"][0]["type"], "page.create");
    let takes = page(&gateway, "/handlers/slow");
    let row = takes.split("hyvor:page.create</th>").nth(1).unwrap();
    let link = row.split("href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let list = page(&gateway, &link.replace("&amp;", "&"));
    assert!(list.contains("<h2 id=\"h-l\">1 event</h2>"), "{link}: {list}");
}

#[test]
fn delivering_to_a_handler_that_does_not_ask_for_the_event_says_why_nothing_is_delivered() {
    let gateway = Gateway::with("", "[handler.slow]\non = ['hyvor:page.*']\n[handler.slow.log]\n");
    let id = send(&gateway, "comment.create", 1);
    gateway.wait_until_delivered("all", 1);
    let answer = gateway.ask("POST", &format!("/events/{id}/replay"), "handler=slow");
    let text = answer.text();
    assert_eq!(answer.status, 409, "{text}");
    assert!(text.contains("role=\"alert\"") && text.contains("What was done with it"), "{text}");
    let why = "slow does not ask for it: <code>on = [&#34;hyvor:page.*&#34;]</code>";
    assert!(text.contains(why), "{text}");
    let answer =
        gateway.ask("POST", &format!("/api/v1/events/{id}/replay"), r#"{"handler":"slow"}"#);
    let answer = answer.json();
    assert_eq!(answer["count"], 0, "{answer}");
    let why = answer["why"].as_str().unwrap();
    assert!(why.contains("does not name it"), "{why}");
    assert_eq!(gateway.ask("POST", &format!("/events/{id}/replay"), "handler=all").status, 303);
}
