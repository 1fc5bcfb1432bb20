//! What stands on each page, field by field, and what its buttons do.

use serde_json::{Value, json};

use super::{ask, page};
use crate::support::bad_server::{Answer, BadServer, held, status};
use crate::support::gateway::{Folder, Gateway, SECRET, http_handler, signature};
use crate::support::wire;

const BODY: &str = r#"{"event":"comment.create","data":{"comment":{"id":7,"body":"caf\u00e9"}}}"#;

fn app(receiver: &BadServer) -> Gateway {
    Gateway::with("", &http_handler("app", "concurrency = 1", receiver))
}

#[test]
fn overview_of_a_new_gateway_says_what_to_do_first() {
    let gateway = Gateway::start();
    let text = page(&gateway, "/");
    for step in [
        "No event has come yet",
        "See that it works, from here",
        "<button class=\"go\">Send a test event</button>",
        "gatepost send hyvor",
        "Point the providers here",
        "/hooks/hyvor</code><button type=\"button\" data-copy>Copy</button>",
        "Say what shall be done with each event",
        "These take events now: <a href=\"/handlers/all\">all</a>",
    ] {
        assert!(text.contains(step), "{step}: {text}");
    }
    let bare = Gateway::serve(Folder::of_text(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
    ));
    let text = page(&bare, "/");
    assert!(text.contains("No source is configured: nothing can come in"), "{text}");
    assert!(text.contains("No handler is configured"), "{text}");
    let custom = Gateway::serve(Folder::of_text(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[source.shop]\n\
         secrets = [{ file = \"secret\" }]\n\
         verify = { algorithm = \"hmac-sha256\", header = \"X-S\" }\n",
    ));
    let text = page(&custom, "/");
    assert!(!text.contains("No source is configured"), "{text}");
    assert!(text.contains("<code>gatepost send shop TYPE --body FILE</code>"), "{text}");
}

#[test]
fn overview_has_each_handler_each_source_and_the_machine() {
    let gateway = Gateway::start();
    gateway.send(BODY.as_bytes()).id();
    gateway.send(BODY.as_bytes()).id();
    gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    gateway.wait_until_delivered("all", 1);
    let text = page(&gateway, "/");
    for name in
        ["Handler", "State", "In log", "Waiting", "Oldest", "Busy", "Dead", "Last delivered"]
    {
        assert!(text.contains(&format!(">{name}</th>")), "{name}: {text}");
    }
    for name in ["Accepted", "Duplicate", "Rejected", "Turned away", "Last event"] {
        assert!(text.contains(&format!(">{name}</th>")), "{name}: {text}");
    }
    for fact in ["Kept", "Queue on disk", "Disk free", "Configuration read", "Search and history"] {
        assert!(text.contains(&format!("<dt>{fact}</dt>")), "{fact}: {text}");
    }
    // The call of the one may still be counted.
    let is_busy = |n: u8| text.contains(&format!("{n} of "));
    assert!(is_busy(0) || is_busy(1), "calls under way of how many there may be: {text}");
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    // What is recent is told as its age, with the moment itself behind it.
    let last = text.split("data-l=\"Last delivered\">").nth(1).unwrap();
    let last = last.split("</td>").next().unwrap();
    assert!(last.contains("<time datetime=\"20") && last.contains("title=\"20"), "{last}");
    assert!(last.contains("just now") || last.contains(" ago"), "{last}");
    assert!(text.contains("As of <time datetime=\"20"), "the server's clock: {text}");
}

#[test]
fn newest_event_of_a_filter_has_an_address() {
    let gateway = Gateway::start();
    let ids: Vec<String> = ["comment.create", "page.create", "comment.create"]
        .iter()
        .enumerate()
        .map(|(n, kind)| gateway.send(format!(r#"{{"event":"{kind}","n":{n}}}"#).as_bytes()).id())
        .collect();
    for (query, expected) in [("", &ids[2]), ("?type=page.create", &ids[1]), ("?q=n:0", &ids[0])] {
        let answer = gateway.ask("GET", &format!("/events/latest{query}"), "");
        assert_eq!(answer.status, 303, "{query}");
        let there = answer.header("location").unwrap();
        assert_eq!(there.split('?').next().unwrap(), format!("/events/{expected}"), "{query}");
        assert_eq!(there.contains("?list="), !query.is_empty(), "{there}");
    }
    assert_eq!(gateway.ask("GET", "/events/latest?type=nothing", "").status, 404);
}

#[test]
fn event_has_its_neighbours_its_body_in_each_form_and_ways_to_take_it_along() {
    let gateway = Gateway::start();
    let ids: Vec<String> = [BODY, r#"{"event":"comment.create","n":1}"#, r#"{"event":"x"}"#]
        .iter()
        .map(|body| gateway.send(body.as_bytes()).id())
        .collect();
    gateway.wait_until_delivered("all", 3);
    let text = page(&gateway, &format!("/events/{}", ids[1]));
    assert!(text.contains(&format!("href=\"/events/{}\" rel=\"prev\"", ids[2])), "{text}");
    assert!(text.contains(&format!("href=\"/events/{}\" rel=\"next\"", ids[0])), "{text}");
    let of = |form: &str| page(&gateway, &format!("/events/{}{form}", ids[0]));
    let pretty = of("");
    assert!(pretty.contains("aria-current=\"true\">Pretty</a>"), "{pretty}");
    assert!(pretty.contains("caf\u{e9}"), "as people read it: {pretty}");
    let raw = of("?body=raw");
    assert!(raw.contains("caf\\u00e9"), "as it came: {raw}");
    assert!(of("?body=hex").contains("7b 22 65 76 65 6e 74 22"), "{}", of("?body=hex"));
    let file = gateway.ask("GET", &format!("/events/{}?body=file", ids[0]), "");
    assert_eq!(file.body, BODY.as_bytes());
    assert!(file.header("content-disposition").unwrap().starts_with("attachment"));
    let curl = format!("gatepost events show {} --raw | gatepost send hyvor ", ids[0]);
    assert!(pretty.contains(&curl) && pretty.contains("--body - --curl"), "{pretty}");
    assert!(!pretty.contains(SECRET), "{pretty}");
    let send = format!("gatepost events show {} --raw | gatepost send hyvor", ids[0]);
    assert!(pretty.contains(&send) && pretty.contains("gatepost events save"), "{pretty}");
    for fact in ["Received", "Answered", "Signed with", "Known by", "Position", "Kept until", "Id"]
    {
        assert!(pretty.contains(&format!("<dt>{fact}</dt>")), "{fact}: {pretty}");
    }
}

#[test]
fn event_that_no_handler_wants_says_which_table_would() {
    let folder = Folder::of_text(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[source.hyvor]\n\
         provider = \"hyvor-talk\"\nsecrets = [{ file = \"secret\" }]\n",
    );
    let gateway = Gateway::serve(folder);
    let id = gateway.send(BODY.as_bytes()).id();
    let text = page(&gateway, &format!("/events/{id}"));
    assert!(text.contains("No handler is configured: nobody gets it."), "{text}");
    assert!(text.contains("<code>on = [\"hyvor:comment.create\"]</code>"), "{text}");
}

/// A call that takes long is told as a step of its own, with its number and since when it goes on.
#[test]
fn event_that_is_being_delivered_says_so_until_it_is() {
    // The second call is answered once it was looked at.
    let (let_go, answer) = held();
    let receiver = BadServer::start([status(503), answer]);
    let soon = "retry = { min = \"1ms\", max = \"1ms\" }";
    let gateway = Gateway::with("", &http_handler("app", soon, &receiver));
    let id = gateway.send(BODY.as_bytes()).id();
    let of_app = || {
        let event = ask(&gateway, &format!("events/{id}"));
        let deliveries = event["deliveries"].as_array().unwrap();
        deliveries.iter().find(|one| one["handler"] == "app").unwrap().clone()
    };
    gateway.wait_for_outcomes("app", "retry", 1);
    let under_way = loop {
        let app = of_app();
        if app["under_way_since"].is_string() && app["attempts"].as_array().unwrap().len() == 1 {
            break app;
        }
    };
    assert_eq!(under_way["next_try_at"], Value::Null, "{under_way}");
    let text = page(&gateway, &format!("/events/{id}"));
    assert!(text.contains("being delivered"), "{text}");
    assert!(text.contains("<b>Attempt 2</b> is under way, begun <time"), "{text}");
    let_go.send(()).unwrap();
    gateway.wait_until_delivered("app", 1);
    assert_eq!(of_app()["under_way_since"], Value::Null, "{}", of_app());
    let text = page(&gateway, &format!("/events/{id}"));
    assert!(text.contains("</svg>delivered in "), "{text}");
    assert!(!text.contains("under way") && !text.contains("being delivered"), "{text}");
}

#[test]
fn dead_letters_are_counted_by_type_before_they_are_redriven_and_by_hand_before_they_are_dropped() {
    let receiver = BadServer::start((0..9).map(|_| status(422)));
    let gateway = app(&receiver);
    for (n, kind) in ["update", "create", "create"].into_iter().enumerate() {
        gateway.send(format!(r#"{{"event":"comment.{kind}","n":{n}}}"#).as_bytes()).id();
    }
    gateway.wait_for_outcomes("app", "dead", 3);
    let text = page(&gateway, "/dead?handler=app");
    let said = "<b>3 dead letters</b>, oldest first: 2 comment.create, 1 comment.update.";
    assert!(text.contains(said), "{text}");
    let dry = json!({ "handler": "app", "dry_run": true }).to_string();
    for change in ["redrive", "drop"] {
        let counted = gateway.ask("POST", &format!("/api/v1/dead/{change}"), &dry).json();
        let types = json!([
            { "source": "hyvor", "type": "comment.create", "count": 2 },
            { "source": "hyvor", "type": "comment.update", "count": 1 },
        ]);
        assert_eq!(counted["types"], types, "{counted}");
    }
    for wrong in ["handler=app", "handler=app&confirm=2", "handler=app&confirm=yes"] {
        let answer = gateway.ask("POST", "/dead/drop", wrong);
        assert_eq!(answer.status, 409, "{wrong}: {}", answer.text());
    }
    assert_eq!(ask(&gateway, "dead").as_array().unwrap().len(), 3);
    assert_eq!(gateway.ask("POST", "/dead/drop", "handler=app&confirm=3").status, 303);
    assert_eq!(ask(&gateway, "dead"), json!([]));
}

/// More dead letters of one reason than a page has: each is listed once, whatever else there is.
#[test]
fn dead_letters_of_one_reason_are_listed_page_by_page() {
    let answers = (0..26).map(|n| status(if n % 2 == 0 { 422 } else { 410 }));
    let receiver = BadServer::start(answers);
    let gateway = app(&receiver);
    (0..26).for_each(|n| drop(gateway.send(format!("{{\"n\":{n}}}").as_bytes()).id()));
    gateway.wait_for_outcomes("app", "dead", 26);
    let key = ask(&gateway, "dead?group=reason")["groups"][0]["key"].as_str().unwrap().to_owned();
    let (mut found, mut path) = (Vec::new(), format!("/api/v1/dead?like={key}&limit=5"));
    loop {
        let answer = gateway.ask("GET", &path, "");
        let letters = answer.json();
        let letters = letters.as_array().unwrap();
        found.extend(letters.iter().map(|one| one["position"].as_u64().unwrap()));
        let Some(next) = answer.header("gatepost-next") else { break };
        assert_eq!(letters.len(), 5);
        path = format!("/api/v1/dead?like={key}&limit=5&after={next}");
    }
    assert_eq!(found.len(), 13);
    found.dedup();
    assert_eq!(found.len(), 13, "each once");
    let first = page(&gateway, &format!("/dead?handler=app&like={key}"));
    assert!(first.contains("<b>13 dead letters</b>") && first.contains("and 1 more"), "{first}");
    assert_eq!(first.matches("name=\"pick\"").count(), 12);
}

#[test]
fn many_handlers_are_one_column_that_counts_them() {
    let file = |n: u32| format!("[handler.h{n}]\n[handler.h{n}.file]\npath = \"data/h{n}\"\n");
    let gateway = Gateway::with("", &(1..=6).map(file).collect::<String>());
    let id = gateway.send(BODY.as_bytes()).id();
    (1..=6).for_each(|n| gateway.wait_until_delivered(&format!("h{n}"), 1));
    gateway.wait_until_delivered("all", 1);
    let text = page(&gateway, "/events");
    assert!(text.contains("<th scope=\"col\">Handlers</th>"), "{text}");
    assert!(text.contains(&format!("<a href=\"/events/{id}\">7 of 7")), "{text}");
}

#[test]
fn waiting_is_not_shown_as_failing_and_failing_is() {
    let later = Answer::Status(429, vec![("Retry-After", "3600".to_owned())], String::new());
    let chat = BadServer::start([later]);
    let receiver = BadServer::start((0..9).map(|_| status(503)));
    let rest = format!(
        "[handler.talk]\nstart = \"oldest\"\n[handler.talk.chat]\nntfy = {{ topic = \"a\", server = \"{}\" }}\n\
         text = \"x\"\n[handler.app]\nstart = \"oldest\"\n[handler.app.http]\nurl = \"{}\"\n",
        chat.url(""),
        receiver.url("/")
    );
    let gateway = Gateway::with("", &rest);
    gateway.send(BODY.as_bytes()).id();
    let says = |path: &str, words: &str| loop {
        let text = page(&gateway, path);
        if text.contains(words) {
            break text;
        }
    };
    let talk = says("/handlers/talk", "</svg>waiting");
    assert!(talk.contains("<p class=\"lead\"><span class=\"wait\">"), "{talk}");
    let app = says("/handlers/app", "</svg>failing");
    assert!(app.contains("<p class=\"lead\"><span class=\"bad\">answered 503"), "{app}");
}

#[test]
fn rejected_page_says_what_stands_on_it() {
    let rest = "[source.asked]\nsecrets = [{ file = 'secret' }]\nverify = { algorithm = 'hmac-sha256', header = \
                'X-S' }\nhandshake = { echo = { query = 'challenge' } }\n";
    let gateway = Gateway::with("", rest);
    let path = "/hooks/asked?challenge=abc";
    wire::request(gateway.public, "GET", path, &[], b"");
    let text = page(&gateway, "/rejected");
    assert!(text.contains("Answered as a handshake, and no event"), "{text}");
    assert!(text.contains("and handshakes, which were answered as the sender wants"), "{text}");
}

#[test]
fn import_has_one_line_in_the_action_log() {
    let gateway = Gateway::start();
    (0..3).for_each(|n| drop(gateway.send(format!("{{\"n\":{n}}}").as_bytes()).id()));
    gateway.wait_until_delivered("all", 3);
    let exported = ask(&gateway, "export");
    let exported = exported.as_array().unwrap();
    assert_eq!(exported.len(), 3);
    for part in [&exported[..2], &exported[2..]] {
        let answer = gateway.ask("POST", "/api/v1/import", &Value::from(part.to_vec()).to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let actions = ask(&gateway, "actions?action=import");
    assert_eq!(actions.as_array().unwrap().len(), 1, "{actions}");
    assert_eq!(actions[0]["result"], "3 events in 2 parts, 0 of them new");
    assert_eq!(actions[0]["actor"], "token");
    assert_eq!(gateway.ask("POST", "/api/v1/import", r#"[{"id":"x"}]"#).status, 400);
    assert!(page(&gateway, "/log?action=import").contains("3 events in 2 parts, 0 of them new"));
}

#[test]
fn source_says_of_each_secret_when_it_matched_and_what_follows() {
    let rest = "[source.two]\nprovider = 'hyvor-talk'\nsecrets = [{ file = 'secret' }, { file = 'old' }]\n";
    let folder = Folder::new("", rest);
    folder.write_secret("old", "the-secret-of-last-year-which-is-long");
    let gateway = Gateway::serve(folder);
    let text = page(&gateway, "/sources/two");
    assert_eq!(text.matches("<span class=\"soft\">never</span>").count(), 2, "{text}");
    assert!(!text.contains("while another matches"), "{text}");
    let signed = signature(BODY.as_bytes());
    gateway.post("two", &[("X-Signature", &signed)], BODY.as_bytes()).id();
    let text = page(&gateway, "/sources/two");
    assert_eq!(text.matches("unused so far while another matches").count(), 1, "{text}");
    for card in ["Set it up", "Secrets", "Types seen", "Send a test", "Since the start"] {
        assert!(text.contains(&format!(">{card}</h2>")), "{card}: {text}");
    }
    assert!(text.contains("in the newest event"), "{text}");
}

#[test]
fn configuration_says_what_a_reload_would_change() {
    let gateway = Gateway::start();
    assert!(page(&gateway, "/config").contains("The file says what is in force"));
    let path = gateway.folder.config();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.clone() + "[handler.more.file]\npath = \"data/more\"\n").unwrap();
    let shown = page(&gateway, "/config");
    assert!(shown.contains("A reload would change this"), "{shown}");
    assert!(shown.contains("more"), "{shown}");
    assert_eq!(gateway.ask("POST", "/config/reload", "").status, 303);
    assert!(page(&gateway, "/config").contains("The file says what is in force"));
    std::fs::write(&path, text + "[handler.more.file]\npth = 1\n").unwrap();
    let shown = page(&gateway, "/config");
    assert!(shown.contains("The file has mistakes") && shown.contains("pth"), "{shown}");
    assert!(!shown.contains(">Reload</button>"), "{shown}");
}
