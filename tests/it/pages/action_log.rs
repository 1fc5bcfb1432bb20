//! The action log leads to what was acted on, and is narrowed.

use serde_json::{Value, json};

use super::browser::{check_width, pictures, visit};
use super::{ask, page};
use crate::support::bad_server::{BadServer, status};
use crate::support::browser::Browser;
use crate::support::gateway::{Gateway, http_handler, signature};

const BODY: &str = r#"{"event":"comment.create","data":{"comment":{"id":7}}}"#;

fn app(receiver: &BadServer) -> Gateway {
    Gateway::with("", &http_handler("app", "concurrency = 1", receiver))
}

fn post(gateway: &Gateway, path: &str, body: &Value) -> Value {
    let answer = gateway.ask("POST", path, &body.to_string());
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

/// What the newest action is for.
fn about(gateway: &Gateway) -> Value {
    ask(gateway, "actions?limit=1")[0]["about"].clone()
}

/// Where the links of the newest row of the log lead. All of them are there.
fn links(gateway: &Gateway) -> Vec<String> {
    let log = page(gateway, "/log");
    let row = log.split("<tbody><tr>").nth(1).unwrap().split("</tr>").next().unwrap().to_owned();
    let links = row.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let links = links.filter(|link| link.starts_with('/'));
    let links: Vec<String> = links.map(|link| link.replace("&#38;", "&")).collect();
    for link in &links {
        page(gateway, link);
    }
    links
}

#[test]
fn action_leads_to_what_it_was_for() {
    let receiver = BadServer::start((0..3).map(|_| status(422)));
    let gateway = app(&receiver);
    let id = gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    let key = ask(&gateway, "dead?group=reason")["groups"][0]["key"].clone();
    let key = key.as_str().unwrap();
    post(&gateway, "/api/v1/dead/redrive", &json!({ "handler": "app", "like": key, "limit": 1 }));
    let filter = json!({ "handler": "app", "like": key });
    assert_eq!(about(&gateway), json!({ "list": { "name": "dead", "filter": filter } }));
    assert_eq!(links(&gateway), [format!("/dead?handler=app&like={key}")]);

    gateway.wait_for_outcomes("app", "dead", 2);
    post(&gateway, "/api/v1/rollouts", &json!({ "id": id }));
    let begun = ask(&gateway, "actions?action=rollout")[0]["about"].clone();
    let list = json!({ "name": "dead", "filter": { "id": id } });
    assert_eq!(begun, json!({ "event": id, "rollout": 1, "list": list }));
    // That it has stopped is told by itself.
    while ask(&gateway, "actions?limit=1")[0]["action"] == "rollout" {}

    post(&gateway, &format!("/api/v1/events/{id}/replay"), &json!({ "handler": "all" }));
    assert_eq!(about(&gateway), json!({ "event": id, "handler": "all" }));
    assert_eq!(links(&gateway), [format!("/events/{id}"), "/handlers/all".to_owned()]);

    let answer = gateway.ask("POST", "/events/replay", "source=hyvor&q=data.comment.id:7&to=all");
    assert_eq!(answer.status, 303, "{}", answer.text());
    let expected = ["/events?q=data.comment.id%3A7&source=hyvor", "/handlers/all"];
    assert_eq!(links(&gateway), expected);

    post(&gateway, "/api/v1/handlers/all/pause", &json!({}));
    assert_eq!(links(&gateway), ["/handlers/all"]);
    post(&gateway, "/api/v1/reload", &json!({}));
    assert_eq!(links(&gateway), ["/config"]);
    gateway.ask("POST", "/sources/hyvor/test", "type=comment.create");
    let sent = about(&gateway)["event"].as_str().unwrap().to_owned();
    assert_eq!(links(&gateway), [format!("/events/{sent}"), "/sources/hyvor".to_owned()]);

    gateway.post("userecho", &[("X-Signature", &signature(b"another body"))], b"{}");
    post(&gateway, "/api/v1/rejected/release", &json!({ "source": "userecho" }));
    let list = json!({ "name": "rejected", "filter": { "source": "userecho" } });
    assert_eq!(about(&gateway), json!({ "list": list }));
    assert_eq!(links(&gateway), ["/rejected?source=userecho"]);
    // All of it outlives a restart.
    let gateway = Gateway::serve(gateway.stop_and_keep());
    assert_eq!(about(&gateway), json!({ "list": list }));
}

#[test]
fn log_is_narrowed_by_who_what_which_and_time_and_goes_on_page_by_page() {
    let gateway = Gateway::start();
    for n in 0..45 {
        let step = if n % 2 == 0 { "pause" } else { "resume" };
        post(&gateway, &format!("/api/v1/handlers/all/{step}"), &json!({}));
    }
    gateway.ask("POST", "/api/v1/handlers/none/pause", "{}");
    let n_found = |query: &str| {
        ask(&gateway, &format!("actions?limit=500&{query}")).as_array().unwrap().len()
    };
    for (query, expected) in [
        ("action=pause", 24),
        ("action=resume", 22),
        ("action=pause&target=none", 1),
        ("actor=token", 46),
        ("actor=dashboard", 0),
        ("since=1h", 46),
        ("until=1h", 0),
        ("before=3", 2),
    ] {
        assert_eq!(n_found(query), expected, "{query}");
    }
    let first = gateway.ask("GET", "/api/v1/actions?action=pause&limit=10", "");
    let next = first.header("gatepost-next").unwrap().to_owned();
    let last = first.json()[9]["number"].as_u64().unwrap();
    assert_eq!(next, last.to_string());
    let rest = gateway.ask("GET", &format!("/api/v1/actions?action=pause&before={next}"), "");
    assert_eq!((rest.json().as_array().unwrap().len(), rest.header("gatepost-next")), (14, None));
    for wrong in ["actor=nobody", "since=soon", "who=me"] {
        assert_eq!(gateway.ask("GET", &format!("/api/v1/actions?{wrong}"), "").status, 400);
        assert_eq!(gateway.ask("GET", &format!("/log?{wrong}"), "").status, 400, "{wrong}");
    }

    let n_rows = |page: &str| page.matches("<th scope=\"row\"").count();
    let all = page(&gateway, "/log");
    assert_eq!(n_rows(&all), 40);
    let older = all.split(">Older<").next().unwrap().rsplit("href=\"").next().unwrap();
    let older = page(&gateway, older.split('"').next().unwrap());
    assert_eq!(n_rows(&older), 6);
    assert!(older.contains(">Newest<") && !older.contains(">Older<"), "{older}");
    // As a browser sends the form.
    let sent = gateway.ask("GET", "/log?actor=token&action=pause&target=none&since=&until=", "");
    let kept = "/log?actor=token&action=pause&target=none";
    assert_eq!((sent.status, sent.header("location")), (303, Some(kept)));
    let found = page(&gateway, kept);
    assert_eq!(n_rows(&found), 1);
    assert!(found.contains("<option value=\"token\" selected>API</option>"), "{found}");
    assert!(found.contains("/api/v1/actions?actor=token&#38;action=pause&#38;target=none\""));
    let none = page(&gateway, "/log?actor=dashboard");
    assert!(none.contains("Nothing that is kept fits"), "{none}");
}

#[test]
fn log_leads_to_what_was_acted_on_and_is_narrowed_in_a_browser() {
    let Some(mut browser) = Browser::start() else { return };
    let receiver = BadServer::start([status(422)]);
    let gateway = app(&receiver);
    let id = gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    visit(&mut browser, &gateway, &format!("/events/{id}"));
    browser.click("Redrive");
    gateway.wait_until_delivered("app", 1);
    post(&gateway, "/api/v1/handlers/all/pause", &json!({}));
    post(&gateway, "/api/v1/reload", &json!({}));
    post(&gateway, &format!("/api/v1/events/{id}/replay"), &json!({ "handler": "app" }));
    let log = [("log_filled", "/log".to_owned()), ("log_narrowed", "/log?action=drop".to_owned())];
    pictures(&mut browser, &gateway, &log);
    check_width(&mut browser, &gateway, &log);
    visit(&mut browser, &gateway, "/log");
    browser.click("the dead letters");
    assert_eq!(browser.path(), format!("/dead?handler=app&id={id}"));
    browser.scripts(false);
    browser.click("Action log");
    browser.fill("main [name=actor]", "dashboard");
    browser.send("main form.fields");
    assert_eq!(browser.path(), "/log?actor=dashboard");
    assert_eq!(browser.eval("document.querySelectorAll('tbody tr').length"), 1);
    assert_eq!(browser.complaints, Vec::<String>::new());
}
