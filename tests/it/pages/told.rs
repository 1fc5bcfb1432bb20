//! What the pages say in words, and that it is so.

use serde_json::{Value, json};

use super::{ask, page};
use crate::support::bad_server::{Answer as Scripted, BadServer, status};
use crate::support::gateway::{Gateway, http_handler};

const BODY: &str = r#"{"event":"comment.create","data":{"comment":{"id":7}}}"#;

/// Handlers whose receiver refuses everything with `refusal`, each with `more` in its table.
fn refused(refusal: u16, names: &[&str], more: &str) -> (BadServer, Gateway) {
    let receiver = BadServer::start((0..40).map(move |_| status(refusal)));
    let of = |name: &&str| http_handler(name, &format!("concurrency = 1\n{more}"), &receiver);
    let gateway = Gateway::with("", &names.iter().map(of).collect::<String>());
    (receiver, gateway)
}

/// The page once it says this, or as it is after many looks.
fn page_that_says(gateway: &Gateway, path: &str, words: &str) -> String {
    let mut text = page(gateway, path);
    for _ in 0..2_000 {
        if text.contains(words) {
            break;
        }
        text = page(gateway, path);
    }
    assert!(text.contains(words), "{words}: {text}");
    text
}

fn post(gateway: &Gateway, path: &str, body: &Value) -> Value {
    gateway.ask("POST", &format!("/api/v1/{path}"), &body.to_string()).json()
}

#[test]
fn group_of_dead_letters_is_named_by_its_reason_wherever_it_was_acted_upon() {
    let (_receiver, gateway) = refused(422, &["app"], "");
    let id = gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    let group = ask(&gateway, "dead?group=reason")["groups"][0].clone();
    let (key, reason) = (group["key"].as_str().unwrap(), group["reason"].as_str().unwrap());
    let target = format!("handler app, like “{reason}”");
    let like = json!({ "handler": "app", "like": key });
    assert_eq!(post(&gateway, "rollouts", &like)["target"], target.as_str());
    gateway.wait_for_outcomes("app", "dead", 2);
    // The rollout says what it is for, and leads to what stopped it.
    let dead = page_that_says(&gateway, "/dead", "Rollout 1 is stopped");
    assert!(dead.contains(&target) && !dead.contains(&format!("like {key}")), "{dead}");
    let event = format!("<a href=\"/events/{id}\">The event that failed again</a>");
    assert!(dead.contains(&event), "{dead}");
    assert!(dead.contains("of <code>app</code> failed: answered 422"), "{dead}");
    post(&gateway, "rollouts/1/cancel", &json!({}));
    post(&gateway, "dead/drop", &like);
    let log = page(&gateway, "/log");
    assert!(log.contains(&target) && !log.contains(&format!("like {key}")), "{log}");
    assert!(log.contains(&format!("href=\"/dead?handler=app&#38;like={key}\"")), "{log}");
    assert!(log.contains("rollout 1 began: 1 dead letter"), "{log}");
    assert!(!log.contains('`'), "{log}");
}

#[test]
fn reasons_keep_up_to_date_and_say_how_one_is_chosen() {
    let (_receiver, gateway) = refused(422, &["app"], "");
    gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    assert!(!page(&gateway, "/dead").contains("Choose a reason"), "the only one is chosen");
    drop(gateway);
    let (_receiver, gateway) = refused(422, &["app", "crm"], "");
    gateway.send(BODY.as_bytes()).id();
    for handler in ["app", "crm"] {
        gateway.wait_for_outcomes(handler, "dead", 1);
    }
    let dead = page(&gateway, "/dead");
    assert!(dead.contains("Choose a reason"), "{dead}");
    for region in ["id=\"total\" data-live", "id=\"groups\" data-live"] {
        assert!(dead.contains(region), "{region}: {dead}");
    }
}

#[test]
fn overview_names_each_handler_that_fails_with_its_cause_and_leads_to_what_was_given_up() {
    let more = "retry = { attempts = 1 }\nbreaker = { failures = 1, probe_interval = \"1h\" }\n";
    let (_receiver, gateway) = refused(503, &["app", "crm"], more);
    for n in 0..2 {
        gateway.send(format!("{{\"n\":{n}}}").as_bytes()).id();
    }
    page_that_says(&gateway, "/", "<strong>2 handlers fail.");
    let text = page_that_says(&gateway, "/", "2 deliveries</a>");
    for name in ["app", "crm"] {
        let line = format!("<a href=\"/handlers/{name}\">{name}</a></b> since <time");
        assert!(text.contains(&line), "{text}");
    }
    assert!(text.contains("answered 503"), "{text}");
    assert!(text.contains("and <a href=\"/dead\">2</a> were given up"), "{text}");
    assert!(text.contains(">2 failing</span>"), "{text}");
}

#[test]
fn event_says_that_it_was_given_up_and_why_another_handler_does_not_take_it_now() {
    let (_receiver, gateway) = refused(422, &["app"], "");
    gateway.ask("POST", "/api/v1/handlers/all/pause", "");
    let id = gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    let text = page(&gateway, &format!("/events/{id}"));
    assert!(text.contains("Given up: the event is kept"), "{text}");
    assert!(text.contains("all is paused. Nothing is lost: it waits."), "{text}");
    gateway.ask("POST", "/api/v1/handlers/all/resume", "");
    gateway.wait_until_delivered("all", 1);
    let text = page(&gateway, &format!("/events/{id}"));
    assert!(text.contains("1 of the 2 handlers that ask for it has it."), "{text}");
    assert!(!text.contains("Nothing is lost"), "{text}");
    assert!(text.contains("<span>stored</span><span>+"), "the axis has its ends: {text}");
}

#[test]
fn dead_letters_of_a_handler_that_fails_but_is_not_down_are_not_said_to_wait() {
    let (_receiver, gateway) = refused(503, &["app"], "retry = { attempts = 1 }\n");
    gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    let dead = page(&gateway, "/dead");
    assert!(dead.contains("newest tries failed") && !dead.contains("would wait"), "{dead}");
}

#[test]
fn rejected_requests_are_told_as_prose_and_counted_in_words() {
    let gateway = Gateway::start();
    assert!(page(&gateway, "/rejected").contains("<h1>No rejected requests</h1>"));
    gateway.post("hyvor", &[], b"{}");
    gateway.post("hyvo", &[], b"{}");
    let text = page(&gateway, "/rejected");
    assert!(text.contains("<h1>1 rejected request</h1>"), "{text}");
    assert!(text.contains("<summary>The request</summary>"), "{text}");
    assert!(text.contains("<b>What to do:</b>"), "{text}");
    assert!(text.contains("did you mean <code>hyvor</code>"), "{text}");
    gateway.post("hyvor", &[], b"[]");
    assert!(page(&gateway, "/rejected").contains("<summary>The 2 requests, newest first"));
}

#[test]
fn source_shows_its_address_once_before_the_steps_and_says_where_the_secret_goes() {
    let gateway = Gateway::start();
    let text = page(&gateway, "/sources/hyvor");
    let (before, steps) = text.split_once("<ol class=\"guide\">").unwrap();
    assert!(before.contains("/hooks/hyvor</code>"), "{text}");
    assert!(!steps.contains("Give the provider this address"), "{text}");
    assert!(steps.contains("into the secret file <code>"), "{text}");
}

#[test]
fn overview_shows_how_each_figure_was_in_the_last_hour() {
    let (_receiver, gateway) = refused(422, &["app"], "");
    gateway.ask("POST", "/api/v1/handlers/all/pause", "");
    gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    gateway.post("hyvor", &[], b"{}");
    let levels = ask(&gateway, "rates")["levels"].clone();
    let newest = |figure: &str| {
        let minutes = levels[figure].as_array().unwrap();
        assert_eq!(minutes.len(), 60, "{figure}");
        // The minute may end between two looks.
        minutes[58..].iter().filter_map(Value::as_u64).max().unwrap()
    };
    assert_eq!(levels["ack_p99_micros"][0], Value::Null, "none is no figure: {levels}");
    assert!(newest("waiting") >= 1 && newest("dead") == 1, "{levels}");
    assert!(newest("ack_p99_micros") > 0, "{levels}");
    let text = page(&gateway, "/");
    for label in [
        "At most 1 dead letter in the last hour",
        "still to do in the last hour",
        "The oldest waited ",
        "1 rejected request in the last hour",
        "99 % were acknowledged in ",
        "a gap where none was",
    ] {
        assert!(text.contains(label), "{label}: {text}");
    }
}

#[test]
fn reason_that_was_chosen_shows_what_the_other_side_said() {
    let rest = "[handler.app]\nstart = \"oldest\"\nretry = { attempts = 1 }\n[handler.app.command]\n\
                run = [\"/bin/sh\", \"-c\", \"echo 'no <relation> comments' >&2; exit 65\"]\n";
    let gateway = Gateway::with("", rest);
    let id = gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    let words = "no &#60;relation&#62; comments</code>";
    let text = page_that_says(&gateway, "/dead?handler=app", words);
    assert!(text.contains(&format!("<a href=\"/events/{id}\">The event</a>")), "{text}");
}

#[test]
fn handlers_and_sources_show_what_holds_by_default_and_lists_how_many_are_kept() {
    let (_receiver, gateway) = refused(422, &["app"], "");
    for n in 0..31 {
        gateway.send(format!("{{\"n\":{n}}}").as_bytes()).id();
    }
    let handler = page(&gateway, "/handlers/app");
    let defaults = handler.split("What it leaves out, by default").nth(1).unwrap();
    assert!(defaults.contains("<code>timeout</code></dt><dd><code>&#34;30s&#34;"), "{handler}");
    let source = page(&gateway, "/sources/hyvor");
    assert!(source.contains("What it leaves out, by default"), "{source}");
    let events = page(&gateway, "/events");
    assert!(events.contains("that are kept, newest first"), "{events}");
}

#[test]
fn overview_offers_a_try_and_a_pause_with_an_end_for_the_handler_that_fails() {
    let more = "breaker = { failures = 1, probe_interval = \"1h\" }\n";
    let (_receiver, gateway) = refused(503, &["app"], more);
    gateway.send(BODY.as_bytes()).id();
    let text = page_that_says(&gateway, "/", "app has been failing since");
    let verdict = text.split("id=\"verdict\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(verdict.contains("action=\"/handlers/app/retry\""), "{verdict}");
    assert!(verdict.contains("<option value=\"1h\">1 hour</option>"), "{verdict}");
}

#[test]
fn overview_counts_since_the_start_where_that_is_less_than_an_hour_ago() {
    let gateway = Gateway::start();
    gateway.send(BODY.as_bytes()).id();
    gateway.wait_until_delivered("all", 1);
    let text = page_that_says(&gateway, "/", "1 event since the start, all delivered.");
    assert!(text.contains("<noscript><a href=\"\">Load it again</a></noscript>"), "{text}");
}

#[test]
fn rollouts_that_have_ended_take_a_line_each() {
    let (_receiver, gateway) = refused(422, &["app"], "");
    gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    post(&gateway, "rollouts", &json!({ "handler": "app" }));
    page_that_says(&gateway, "/dead", "class=\"stages\"");
    page_that_says(&gateway, "/dead", "Rollout 1 is stopped");
    post(&gateway, "rollouts/1/cancel", &json!({}));
    let dead = page(&gateway, "/dead");
    assert!(
        dead.contains("<b>Rollout 1 is cancelled</b></span> 1 of 1 let go: 0 delivered"),
        "{dead}"
    );
    assert!(!dead.contains("class=\"stages\""), "{dead}");
}

#[test]
fn what_was_said_is_of_the_dead_letters_that_are_chosen() {
    let scripted =
        (1..4).map(|n| Scripted::Status(400, Vec::new(), format!("no comment number {n}")));
    let receiver = BadServer::start(scripted);
    let gateway = Gateway::with("", &http_handler("app", "concurrency = 1", &receiver));
    let ids: Vec<String> = (1..4)
        .map(|n| {
            let id = gateway.send(format!("{{\"n\":{n}}}").as_bytes()).id();
            gateway.wait_for_outcomes("app", "dead", n);
            id
        })
        .collect();
    let died = |index: usize| ask(&gateway, "dead")[index]["died_at"].as_str().unwrap().to_owned();
    let second = died(1);
    for (query, n) in [
        (String::new(), 3),
        (format!("?id={}", ids[0]), 1),
        (format!("?handler=app&until={}", died(2)), 2),
        (format!("?handler=app&since={second}&until={}", died(2)), 2),
    ] {
        let dead = page_that_says(&gateway, &format!("/dead{query}"), "What was said to ");
        assert!(dead.contains(&format!("no comment number {n}</code>")), "{query}: {dead}");
        let event = format!("<a href=\"/events/{}\">The event</a>", ids[n - 1]);
        assert!(dead.contains(&event), "{query}: {dead}");
    }
}

#[test]
fn list_that_is_narrowed_says_how_many_there_are_or_at_least_are() {
    let gateway = Gateway::start();
    for n in 0..70 {
        let kind = if n % 2 == 0 { "comment.create" } else { "page.create" };
        gateway.send(format!(r#"{{"event":"{kind}","n":{n}}}"#).as_bytes()).id();
    }
    gateway.wait_until_delivered("all", 70);
    let list = |query: &str| {
        let page = page(&gateway, &format!("/events{query}"));
        let bar = page.split("id=\"h-l\">").nth(1).unwrap().split("</span>").next().unwrap();
        bar.replace("</h2><span class=\"soft\">", ": ")
    };
    assert_eq!(list(""), "The newest 30 events: of 70 that are kept, newest first");
    let some = "The newest 30 events: at least 30 fit; searched ";
    let created = list("?type=comment.*");
    assert!(created.starts_with(some) && created.ends_with(" of 70, newest first"), "{created}");
    assert_eq!(list("?q=n:7"), "1 event: of 70 that are kept, newest first");
    assert_eq!(list("?type=nothing"), "0 events: newest first");
    // The rest of the 35.
    assert_eq!(list("?type=comment.*&before=11"), "5 events: newest first");
    assert!(list("?type=*&before=61").contains("at least 30 more fit; searched 30 of 70"));
}
