//! One handler and one source with all that is known of them, what comes next, and what would be done:
//! by the API and on their pages.

use serde_json::{Value, json};

use super::{ask, page};
use crate::support::bad_server::{BadServer, status};
use crate::support::gateway::{Gateway, http_handler, signature};
use crate::support::wire;

const BODY: &str = r#"{"event":"comment.create","data":{"comment":{"id":7,"body":"Hi"}}}"#;

/// A handler whose receiver is away for the first tries, and is tried again in an hour; one whose filter
/// lets nothing through.
fn gateway(n_failed: usize) -> (BadServer, Gateway) {
    let receiver = BadServer::start((0..n_failed).map(|_| status(503)));
    let rest = format!(
        "[handler.app]\non = [\"hyvor:comment.*\"]\nstart = \"oldest\"\n\
         retry = {{ min = \"1h\", max = \"2h\" }}\n[handler.app.http]\nurl = \"{}\"\n\
         [handler.few]\nstart = \"oldest\"\nwhen = \"data.comment.id > 9\"\n[handler.few.file]\n\
         path = \"data/few.jsonl\"\n",
        receiver.url("/")
    );
    let gateway = Gateway::with("", &rest);
    (receiver, gateway)
}

#[test]
fn an_event_says_how_its_request_came_in() {
    let gateway = Gateway::with("trusted_proxies = [\"127.0.0.1\"]\n", "");
    let signature = signature(BODY.as_bytes());
    let headers = [
        ("x-forwarded-for", "203.0.113.24"),
        ("x-signature", &signature),
        ("x-b", "2"),
        ("x-a", "1"),
        ("x-b", "1"),
    ];
    let id = gateway.post("hyvor", &headers, BODY.as_bytes()).id();
    let event = ask(&gateway, &format!("events/{id}"));
    let arrival = &event["arrival"];
    let secret = &ask(&gateway, "sources/hyvor")["secrets"][0]["fingerprint"];
    assert_eq!(arrival["client"], "203.0.113.24");
    assert_eq!((&arrival["secret"], &arrival["algorithm"]), (secret, &json!("hmac-sha256")));
    assert_eq!(arrival["known_by"], "body");
    assert!(arrival["answered_after_micros"].as_u64().unwrap() > 0, "{arrival}");
    let headers = event["headers"].as_array().unwrap();
    let names: Vec<_> = headers.iter().map(|pair| pair[0].as_str().unwrap()).collect();
    assert!(names.is_sorted(), "{names:?}");
    let repeated = headers.iter().filter(|pair| pair[0] == "x-b").map(|pair| &pair[1]);
    assert_eq!(repeated.collect::<Vec<_>>(), ["2", "1"]);
    let shown = page(&gateway, &format!("/events/{id}"));
    for fact in ["203.0.113.24", "Signed with", "hmac-sha256", "Answered", "Known by"] {
        assert!(shown.contains(fact), "{fact}: {shown}");
    }
    assert_eq!(arrival["repeated_at"], Value::Null);
    // Kept with the event, all but how soon it was answered.
    let gateway = Gateway::serve(gateway.stop_and_keep());
    let again = ask(&gateway, &format!("events/{id}"));
    assert_eq!(again["arrival"]["client"], "203.0.113.24");
    assert_eq!(again["arrival"]["answered_after_micros"], Value::Null);
}

#[test]
fn a_repeat_is_shown_on_the_event_with_its_time() {
    let rest = "[source.gh]\nprovider = \"github\"\nsecrets = [{ file = \"secret\" }]\n";
    let gateway = Gateway::with("", rest);
    let signature = format!("sha256={}", signature(b"{}"));
    let headers = [("X-Hub-Signature-256", &*signature), ("X-GitHub-Delivery", "7")];
    let ids: Vec<_> = (0..6).map(|_| gateway.post("gh", &headers, b"{}").id()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let event = ask(&gateway, &format!("events/{}", ids[0]));
    let times = event["arrival"]["repeated_at"].as_array().unwrap();
    assert_eq!(times.len(), 5, "{event}");
    assert!(times.iter().all(|time| time.as_str() >= event["received_at"].as_str()), "{event}");
    let shown = page(&gateway, &format!("/events/{}", ids[0]));
    let newest = format!("5 times: {}", times[4].as_str().unwrap());
    assert!(shown.contains("Repeated") && shown.contains(&newest), "{newest}: {shown}");
}

#[test]
fn what_waits_says_when_it_is_tried_next() {
    let (_receiver, gateway) = gateway(1);
    let id = gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("app", "retry", 1);
    let handler = ask(&gateway, "handlers/app");
    let next = &handler["next_tries"][0];
    assert_eq!((&next["id"], &next["type"]), (&json!(id), &json!("comment.create")));
    assert_eq!(next["at"], handler["next_try_at"]);
    assert!(
        page(&gateway, &format!("/events/{id}")).contains("at position 1<"),
        "where it is kept"
    );
    assert!(handler["given_up_at"].as_str().unwrap() > next["at"].as_str().unwrap(), "{handler}");
    let (at, now) = (next["at"].as_str().unwrap(), next["received_at"].as_str().unwrap());
    assert!(at > now, "{at} is ahead of {now}");
    let event = ask(&gateway, &format!("events/{id}"));
    let of = |name: &str| {
        let deliveries = event["deliveries"].as_array().unwrap().iter();
        deliveries.clone().find(|one| one["handler"] == name).unwrap().clone()
    };
    assert_eq!(of("app")["state"], "retry");
    // The two answers are moments apart.
    let to_the_minute = |at: &str| at.chars().take(16).collect::<String>();
    assert_eq!(to_the_minute(of("app")["next_try_at"].as_str().unwrap()), to_the_minute(at));
    assert_eq!(of("all")["next_try_at"], Value::Null);
    let shown = page(&gateway, "/handlers/app");
    assert!(shown.contains("Next tries") && shown.contains(&format!("/events/{id}")), "{shown}");
    let overview = page(&gateway, "/");
    assert!(overview.contains("what fails like this until"), "{overview}");
    let shown = page(&gateway, &format!("/events/{id}"));
    assert!(
        shown.contains("The next try is due in ") && shown.contains("<b>Attempt 2</b>"),
        "{shown}"
    );
}

#[test]
fn plan_of_a_handler_is_shown_and_nothing_of_it_is_done() {
    let (receiver, gateway) = gateway(0);
    let id = gateway.send(BODY.as_bytes()).id();
    gateway.wait_until_delivered("app", 1);
    let plan = ask(&gateway, &format!("events/{id}/plan?handler=app"));
    assert_eq!((&plan["answer"], &plan["failure"]), (&json!("wanted"), &Value::Null));
    assert_eq!(plan["steps"][0]["does"], "request", "{plan}");
    assert!(plan["text"].as_str().unwrap().contains(&receiver.url("/")), "{plan}");
    let plan = ask(&gateway, &format!("events/{id}/plan?handler=few"));
    assert_eq!(plan["answer"], "filtered");
    assert_eq!(plan["values"], json!([{ "field": "data.comment.id", "value": "7" }]));
    for (query, status) in [("handler=nobody", 404), ("", 400), ("handler=UPPER", 400)] {
        let answer = gateway.ask("GET", &format!("/api/v1/events/{id}/plan?{query}"), "");
        assert_eq!(answer.status, status, "{query}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    let shown = page(&gateway, &format!("/events/{id}?handler=few"));
    assert!(shown.contains("What few would do"), "{shown}");
    assert!(
        shown.contains("Not called by itself: when = data.comment.id &#62; 9 said no"),
        "{shown}"
    );
    assert_eq!(receiver.requests().len(), 1, "only the delivery came");
    let written = std::fs::read_to_string(gateway.folder.path().join("data/few.jsonl")).unwrap();
    assert_eq!(written, "");
}

#[test]
fn handler_says_what_it_takes_and_source_what_it_sends() {
    let (_receiver, gateway) = gateway(0);
    for n in 0..3 {
        gateway.send(format!(r#"{{"event":"comment.create","n":{n}}}"#).as_bytes()).id();
    }
    gateway.send(br#"{"event":"page.create"}"#).id();
    gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    gateway.wait_until_delivered("app", 3);
    gateway.wait_until_delivered("all", 4);
    let handler = ask(&gateway, "handlers/app");
    let taken = json!([{ "source": "hyvor", "type": "comment.create", "count": 3 }]);
    assert_eq!((&handler["takes"], &handler["looked_at"]), (&taken, &json!(4)));
    let source = ask(&gateway, "sources/hyvor");
    let seen = json!({
        "source": "hyvor", "type": "comment.create", "count": 3, "handlers": ["all", "app", "few"],
    });
    assert_eq!(source["types"][0], seen);
    assert_eq!(source["types"][1]["handlers"], json!(["all", "few"]));
    assert_eq!(source["types"][1]["type"], "page.create");
    assert_eq!(source["looked_at"], 4);
    assert!(source["longest_silence_seconds"].is_u64() && source["newest_at"].is_string());
    assert!(source["last_verified_at"].is_string(), "{source}");
    let rejection = &source["rejections"][0];
    assert_eq!((&rejection["count"], &rejection["newest"]), (&json!(1), &json!(1)));
    assert_eq!(ask(&gateway, "sources")[0]["name"], "hyvor");
    for path in ["handlers/nobody", "sources/nobody", "sources/UPPER"] {
        assert_eq!(gateway.ask("GET", &format!("/api/v1/{path}"), "").status, 404, "{path}");
    }
    let shown = page(&gateway, "/handlers/app");
    assert!(
        shown.contains("of the newest 4 events") && shown.contains("hyvor:comment.create"),
        "{shown}"
    );
    let shown = page(&gateway, "/sources/hyvor");
    assert!(shown.contains("Rejected requests by reason"), "{shown}");
    assert!(!shown.contains('`'), "code is shown as code: {shown}");
}

#[test]
fn source_says_how_many_handshakes_it_answered() {
    let rest = "[source.asked]\nsecrets = [{ file = 'secret' }]\nverify = { algorithm = 'hmac-sha256', header = \
                'X-S' }\nhandshake = { echo = { query = 'challenge' } }\n";
    let gateway = Gateway::with("", rest);
    for _ in 0..2 {
        let path = "/hooks/asked?challenge=abc";
        assert_eq!(wire::request(gateway.public, "GET", path, &[], b"").text(), "abc");
    }
    let sources = ask(&gateway, "sources");
    let asked = sources.as_array().unwrap().iter().find(|one| one["name"] == "asked").unwrap();
    assert_eq!(asked["handshakes"], 2, "{asked}");
    assert_eq!(ask(&gateway, "sources/asked")["handshakes"], 2);
    let shown = page(&gateway, "/sources/asked");
    let (_, after) =
        shown.split_once("<dt>Handshakes</dt><dd>").unwrap_or_else(|| panic!("{shown}"));
    assert!(after.split("</dd>").next().unwrap().contains('2'), "{after}");
}

#[test]
fn found_events_are_taken_away_as_lines_that_import_reads() {
    let (_receiver, gateway) = gateway(0);
    let ids: Vec<String> = (0..3)
        .map(|n| gateway.send(format!(r#"{{"event":"comment.create","n":{n}}}"#).as_bytes()).id())
        .collect();
    let shown = page(&gateway, "/events?q=%24.n%3A1&since=1h");
    assert!(shown.contains("gatepost events list --search &#39;$.n:1&#39; --since 1h"), "{shown}");
    assert!(shown.contains("&#38;q=%24.n%3A1&#38;limit=30\">This page as JSON"), "{shown}");
    let file = gateway.ask("GET", "/events?q=%24.n%3A1&form=jsonl", "");
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"events.jsonl\""));
    let text = file.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert_eq!(lines[0]["id"], json!(ids[1]));
    let all = gateway.ask("GET", "/events?form=jsonl", "").text();
    let order: Vec<Value> = all
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(order, ids.iter().map(|id| json!(id)).collect::<Vec<_>>(), "oldest first");
}

#[test]
fn configuration_says_in_which_line_a_value_stands_and_where_its_secret_is() {
    let rest = "[source.other]\nprovider = 'hyvor-talk'\n\
                secrets = [{ file = 'secret' }, { env = 'PATH' }]\n";
    let gateway = Gateway::with("", rest);
    let text = std::fs::read_to_string(gateway.folder.path().join("config.toml")).unwrap();
    let line_of = |wanted: &str| {
        text.lines().position(|line| line.starts_with(wanted)).map(|index| index + 1).unwrap()
    };
    let config = ask(&gateway, "config");
    let of = |key: &str| {
        let origins = config["origins"].as_array().unwrap().iter();
        origins.clone().find(|one| one["key"] == key).unwrap().clone()
    };
    let reserve = line_of("disk_reserve");
    assert_eq!(of("queue.disk_reserve")["line"], reserve);
    assert_eq!(of("queue.disk_reserve")["secrets"], json!([]));
    let secrets = of("source.other.secrets");
    assert_eq!(secrets["line"], line_of("secrets = [{ file = 'secret' }, { env"));
    assert_eq!(secrets["secrets"][1], "environment variable `PATH`");
    assert_eq!(secrets["secrets"].as_array().unwrap().len(), 2, "{secrets}");
    let shown = page(&gateway, "/config");
    assert!(
        shown.contains(&format!("<span class=\"soft small\">line {reserve}</span>")),
        "{shown}"
    );
    assert!(shown.contains("environment variable <code>PATH</code>"), "{shown}");
}

#[test]
fn delivery_that_waits_says_when_it_is_given_up() {
    let receiver = BadServer::start((0..2).map(|_| status(503)));
    let app = |name: &str, retry: &str| {
        let url = receiver.url("/");
        format!(
            "[handler.{name}]\nstart = \"oldest\"\nretry = {{ min = \"1h\", {retry} }}\n\
                 [handler.{name}.http]\nurl = \"{url}\"\n"
        )
    };
    let rest = app("app", "total = \"48h\"") + &app("few", "total = \"48h\", attempts = 5");
    let gateway = Gateway::with("", &rest);
    let id = gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("app", "retry", 1);
    gateway.wait_for_outcomes("few", "retry", 1);
    gateway.wait_until_delivered("all", 1);
    let event = ask(&gateway, &format!("events/{id}"));
    let of = |name: &str| {
        let deliveries = event["deliveries"].as_array().unwrap().iter();
        deliveries.clone().find(|one| one["handler"] == name).unwrap().clone()
    };
    let moment = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let first = moment(&of("app")["attempts"][0]["started_at"]);
    let after = moment(&of("app")["given_up_at"]).duration_since(first);
    // The two are read from clocks that are moments apart, on a busy machine seconds.
    assert!((after.as_secs() - 48 * 3600).abs() <= 30, "{after}: {event}");
    assert_eq!((&of("app")["attempts_max"], &of("few")["attempts_max"]), (&Value::Null, &json!(5)));
    assert_eq!(of("all")["given_up_at"], Value::Null);
    let shown = page(&gateway, &format!("/events/{id}"));
    let iso = of("app")["given_up_at"].as_str().unwrap().chars().take(16).collect::<String>();
    let said = format!("given up on <time datetime=\"{iso}");
    assert!(shown.contains(&said) && shown.contains("if it keeps failing"), "{said}: {shown}");
    assert!(shown.contains("given up after attempt 5, or on <time"), "{shown}");
}

#[test]
fn configuration_has_its_defaults_and_last_reloads() {
    let (_receiver, gateway) = gateway(0);
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    let config = ask(&gateway, "config");
    let defaults = config["defaults"].as_array().unwrap();
    let of = |key: &str| defaults.iter().find(|pair| pair[0] == key).map(|pair| pair[1].clone());
    assert_eq!(of("handler.app.timeout"), Some(json!("\"30s\"")), "{config}");
    assert_eq!(of("queue.disk_reserve"), None, "the file says it");
    let shown = page(&gateway, "/config");
    assert!(shown.contains("What it leaves out") && shown.contains("Last reloads"), "{shown}");
    assert!(shown.contains("nothing changed"), "{shown}");
}

#[test]
fn group_of_dead_letters_names_its_newest_event_and_a_rollout_takes_a_cap_and_a_rate() {
    let receiver = BadServer::start((0..4).map(|_| status(422)));
    let gateway = Gateway::with("", &http_handler("app", "concurrency = 1", &receiver));
    let ids: Vec<String> =
        (0..4).map(|n| gateway.send(format!(r#"{{"n":{n}}}"#).as_bytes()).id()).collect();
    gateway.wait_for_outcomes("app", "dead", 4);
    let shown = page(&gateway, "/dead");
    assert!(shown.contains(&format!("newest: <a href=\"/events/{}\">", ids[3])), "{shown}");
    assert!(shown.contains(">app: answered 422"), "one group is as good as chosen: {shown}");
    let answer = gateway.ask("POST", "/dead/rollout", "handler=app&limit=2&rate=0");
    assert_eq!(answer.status, 400, "{}", answer.text());
    let answer = gateway.ask("POST", "/dead/rollout", "handler=app&limit=2&rate=50");
    assert!(answer.header("location").unwrap().starts_with("/dead?handler=app"));
    let rollout = ask(&gateway, "rollouts")[0].clone();
    assert_eq!((&rollout["matched"], &rollout["rate"]), (&json!(2), &json!(50)));
}
