//! What an owner reads on the pages is so, can be done, and leads somewhere.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{ask, page};
use crate::support::bad_server::{BadServer, status};
use crate::support::gateway::{Folder, Gateway, http_handler};
use crate::support::patience::wait_until;
use crate::support::program::{printed, run};

const BODY: &str = r#"{"event":"comment.create","data":{"comment":{"id":7}}}"#;

/// A handler that gives up its first delivery, and is down from then on for an hour.
fn down_after_one(receiver: &BadServer) -> Gateway {
    let more = "retry = { attempts = 1 }\nbreaker = { failures = 1, probe_interval = \"1h\" }";
    let gateway = Gateway::with("", &http_handler("app", more, receiver));
    gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("app", "dead", 1);
    wait_until("it is down", || ask(&gateway, "handlers/app")["state"] == "down");
    gateway
}

/// What never became an HTTP request has no path.
pub(super) fn send_no_request(gateway: &Gateway) {
    let mut stream = TcpStream::connect(gateway.public).unwrap();
    stream
        .write_all(b"POST /hooks/<script> HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn request_that_was_none_says_that_it_has_no_path() {
    let gateway = Gateway::start();
    send_no_request(&gateway);
    let text = page(&gateway, "/rejected");
    assert!(text.contains("<th scope=\"row\" class=\"full wrap\">no path</th>"), "{text}");
    assert!(!text.contains("<code></code>"), "{text}");
    let told = printed(&run(&gateway.folder, &["status"]), 0);
    assert!(told.contains("no path"), "{told}");
}

#[test]
fn source_that_checks_nothing_says_so_in_place_of_a_secret() {
    let rest = "[source.open]\nverify = { algorithm = 'none' }\n";
    let gateway = Gateway::with("", rest);
    let text = page(&gateway, "/sources/open");
    assert!(text.contains("whoever knows the address can send"), "{text}");
    assert!(!text.contains("kept in"), "{text}");
    assert_eq!(ask(&gateway, "sources/open")["is_verified"], false);
    let text = page(&gateway, "/sources/hyvor");
    assert!(!text.contains("whoever knows the address") && text.contains("Kept in"), "{text}");
    assert_eq!(ask(&gateway, "sources/hyvor")["is_verified"], true);
}

/// The addresses of this site that a page leads to.
fn links(text: &str) -> Vec<String> {
    let links = text.split("href=\"/").skip(1).map(|rest| rest.split('"').next().unwrap());
    links.map(|link| format!("/{}", link.replace("&amp;", "&").replace("&#38;", "&"))).collect()
}

#[test]
fn no_link_leads_to_a_source_or_a_handler_that_is_not_there() {
    let receiver = BadServer::start([status(503)]);
    let gateway = down_after_one(&receiver);
    let own = loop {
        let found = ask(&gateway, "events?source=gatepost");
        if let Some(event) = found.as_array().and_then(|found| found.first().cloned()) {
            break event["id"].as_str().unwrap().to_owned();
        }
    };
    gateway.post("userecho", &[("X-Signature", "00")], b"{}");
    assert_eq!(gateway.ask("POST", "/api/v1/handlers/nosuch/pause", "{}").status, 404);
    assert_eq!(gateway.ask("POST", "/api/v1/sources/nosuch/test", "{}").status, 404);
    // What stays of a source and of a handler once they are taken out.
    let config = std::fs::read_to_string(gateway.folder.config()).unwrap();
    let config = config.replace(
        "[source.userecho]\nprovider = \"userecho\"\n",
        "[source.other]\nprovider = \"github\"\n",
    );
    std::fs::write(gateway.folder.config(), config).unwrap();
    let reloaded = gateway.ask("POST", "/api/v1/reload", "");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    let own_page = format!("/events/{own}");
    let mut n_links = 0;
    for path in [
        "/",
        "/events",
        &own_page,
        "/dead",
        "/rejected",
        "/rejected/1",
        "/handlers",
        "/sources",
        "/log",
    ] {
        for link in links(&page(&gateway, path)) {
            assert_ne!(gateway.ask("GET", &link, "").status, 404, "{path} leads to {link}");
            n_links += 1;
        }
    }
    assert!(n_links > 80, "{n_links}");
    let text = page(&gateway, &own_page);
    assert!(text.contains("<dt>Source</dt><dd>gatepost</dd>"), "{text}");
    let text = page(&gateway, "/rejected");
    assert!(text.contains("<span class=\"tag\">userecho</span>"), "{text}");
}

#[test]
fn first_steps_name_the_handlers_that_take_events_and_a_disabled_one_is_told_apart() {
    let rest = "[handler.alert]\non = ['gatepost:*']\n[handler.alert.log]\n\
                [handler.off]\nenabled = false\nstart = 'oldest'\n[handler.off.log]\n";
    let gateway = Gateway::with("", rest);
    let text = page(&gateway, "/");
    let taking = "These take events now: <a href=\"/handlers/all\">all</a>.</p>";
    assert!(text.contains(taking), "{text}");
    assert!(
        text.contains("Disabled: <a href=\"/handlers/off\">off</a>. What comes in waits"),
        "{text}"
    );
    for n in 0..3 {
        gateway.send(format!("{{\"n\":{n}}}").as_bytes()).id();
    }
    gateway.wait_until_delivered("all", 3);
    while ask(&gateway, "handlers/alert")["in_log"] != 0
        || ask(&gateway, "handlers/all")["in_log"] != 0
    {
        std::thread::yield_now();
    }
    let text = page(&gateway, "/");
    assert!(text.contains("3</a> for off, which is disabled</dd>"), "{text}");
    assert!(text.contains("<dd class=\"small wrap\">for off, which is disabled</dd>"), "{text}");
    assert!(text.contains("Disabled: off. "), "{text}");
}

#[test]
fn test_event_is_one_that_a_handler_was_written_for() {
    let rest = "[handler.mail]\non = ['hyvor:comment.delete']\n[handler.mail.log]\n\
                [handler.off]\nenabled = false\non = ['userecho:comment.*']\n[handler.off.log]\n";
    let gateway = Gateway::with("", rest);
    assert_eq!(ask(&gateway, "sources/hyvor")["sample_type"], "comment.delete");
    assert_eq!(ask(&gateway, "sources/userecho")["sample_type"], "topic.created");
    let text = page(&gateway, "/");
    assert!(text.contains("gatepost send hyvor comment.delete</code>"), "{text}");
    let text = page(&gateway, "/sources/hyvor");
    assert!(text.contains("<option selected>comment.delete</option>"), "{text}");
    assert_eq!(text.matches("<option selected>").count(), 1, "{text}");
    assert_eq!(ask(&Gateway::start(), "sources/hyvor")["sample_type"], "comment.create");
}

#[test]
fn address_to_paste_is_the_public_one_and_says_where_it_is_not_known() {
    let said = Gateway::with("public_url = \"https://hooks.example.com/in/\"", "");
    let url = "https://hooks.example.com/in/hooks/hyvor";
    for path in ["/", "/sources/hyvor"] {
        let text = page(&said, path);
        assert!(text.contains(&format!("<code>{url}</code>")), "{path}: {text}");
        assert!(
            !text.contains("YOUR.SITE") && !text.contains("<code>public_url"),
            "{path}: {text}"
        );
    }
    let text = page(&said, "/sources/hyvor");
    assert!(text.contains(&format!("Give it the address {url}")), "{text}");
    assert_eq!(ask(&said, "sources/hyvor")["url"], url);
    assert_eq!(ask(&said, "config")["public_url"], "https://hooks.example.com/in");

    let unsaid = Gateway::start();
    for (path, local) in [("/", ""), ("/sources/hyvor", "/hooks/hyvor")] {
        let text = page(&unsaid, path);
        assert!(text.contains("<code>https://YOUR.SITE/hooks/hyvor</code>"), "{path}: {text}");
        assert!(
            text.contains("<code>public_url</code> in <code>[server]</code>"),
            "{path}: {text}"
        );
        let local = format!("From here it is <code>http://{}{local}</code>", unsaid.public);
        assert!(text.contains(&local), "{path}: {text}");
    }
    assert_eq!(ask(&unsaid, "sources/hyvor")["url"], Value::Null);
    // Taken over without a restart.
    unsaid.folder.write_config("public_url = \"https://b.example\"", "");
    assert_eq!(unsaid.ask("POST", "/api/v1/reload", "").status, 200);
    assert_eq!(ask(&unsaid, "sources/hyvor")["url"], "https://b.example/hooks/hyvor");
}

#[test]
fn wrong_public_address_is_told() {
    for (url, said) in [
        ("hooks.example.com", "is not an address with https://"),
        ("https://a.example/?x=1", "goes on behind its path"),
        ("https://me:secret@a.example", "shown to everybody"),
    ] {
        let folder = Folder::new(&format!("public_url = \"{url}\""), "");
        let output = run(&folder, &["check"]);
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(told.contains("public_url") && told.contains(said), "{url}: {told}");
    }
    let folder = Folder::new("base_url = \"https://a.example\"", "");
    let output = run(&folder, &["check"]);
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(told.contains("did you mean `public_url`?"), "{told}");
}

#[test]
fn rollout_on_a_handler_that_is_down_says_so_and_counts_what_arrives_after_its_end() {
    let receiver = BadServer::start([status(503)]);
    let gateway = down_after_one(&receiver);
    assert_eq!(gateway.ask("POST", "/api/v1/rollouts", r#"{"handler":"app"}"#).status, 200);
    wait_until("a letter is under way", || ask(&gateway, "rollouts/1")["under_way"] == 1);
    let text = page(&gateway, "/dead");
    assert!(
        text.contains("<a href=\"/handlers/app\">app</a> is down: what was let go waits"),
        "{text}"
    );
    assert!(text.contains("Its next try is <time"), "{text}");
    assert!(text.contains("<code>gatepost handlers retry app</code>"), "{text}");
    let told = printed(&run(&gateway.folder, &["rollouts", "show", "1"]), 0);
    for line in [
        "0 of 1 delivered, 1 under way; ",
        "handler `app` is down, next try in ",
        "next: gatepost handlers retry app\n",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert_eq!(gateway.ask("POST", "/api/v1/rollouts/1/cancel", "{}").status, 200);
    let text = page(&gateway, "/dead");
    assert!(
        text.contains(
            "1 of 1 let go: 0 delivered, 1 under way: <a href=\"/handlers/app\">app</a> is down"
        ),
        "{text}"
    );
    assert_eq!(gateway.ask("POST", "/api/v1/handlers/app/retry", "{}").status, 200);
    gateway.wait_until_delivered("app", 1);
    wait_until("a letter is delivered", || ask(&gateway, "rollouts/1")["delivered"] == 1);
    let text = page(&gateway, "/dead");
    assert!(text.contains("1 of 1 let go: 1 delivered"), "{text}");
    assert_eq!(ask(&gateway, "rollouts/1")["state"], "cancelled");
}

#[test]
fn errors_quote_by_code_and_end_once() {
    let rest = "[handler.mail]\nstart = 'oldest'\n[handler.mail.email]\nsmtp = 'smtp://127.0.0.1:1'\n\
                from = 'a@example.org'\nto = ['b@example.org']\nsubject = 's'\ntext = 't'\n";
    let gateway = Gateway::with("", rest);
    let id = gateway.send(BODY.as_bytes()).id();
    gateway.wait_for_outcomes("mail", "retry", 1);
    let event = format!("/events/{id}");
    for path in ["/", "/handlers", "/handlers/mail", &event] {
        let text = page(&gateway, path);
        assert!(!text.contains('`'), "{path}: {text}");
        assert!(!text.contains("…."), "{path}: {text}");
        assert!(text.contains("<code>127.0.0.1:1</code>"), "{path}: {text}");
    }
}

#[test]
fn form_that_is_refused_says_why_on_its_page_and_keeps_what_was_said() {
    let receiver = BadServer::start((0..3).map(|_| status(422)));
    let gateway = Gateway::with("", &http_handler("app", "", &receiver));
    for n in 0..3 {
        gateway.send(format!("{{\"n\":{n}}}").as_bytes()).id();
    }
    gateway.wait_for_outcomes("app", "dead", 3);
    for (path, form, status, words, kept) in [
        (
            "/dead/drop",
            "handler=app&since=1h&confirm=2",
            409,
            "3 dead letters match: type this number",
            "name=\"since\" value=\"1h\"",
        ),
        (
            "/dead/rollout",
            "handler=app&rate=fast",
            400,
            "<code>rate</code> is a whole number",
            "<b>3 dead letters</b>",
        ),
        (
            "/handlers/app/pause",
            "until=soon",
            400,
            "<code>until</code> is a time of day",
            "<h1>app ",
        ),
        ("/handlers/app/forget", "confirm=no", 400, "Type <code>app</code> to forget", "<h1>app "),
    ] {
        let answer = gateway.ask("POST", path, form);
        let text = answer.text();
        assert_eq!(answer.status, status, "{path}: {text}");
        assert!(text.contains("role=\"alert\"") && text.contains(words), "{path}: {text}");
        assert!(text.contains(kept), "{path}: {text}");
        assert!(!text.contains("id=\"live\""), "no page is at {path} to be fetched again");
    }
    let dry = json!({ "handler": "app", "dry_run": true }).to_string();
    assert_eq!(
        gateway.ask("POST", "/api/v1/dead/drop", &dry).json()["matched"],
        3,
        "nothing is gone"
    );
}

#[test]
fn filter_that_cannot_be_read_keeps_its_form_and_says_why() {
    let gateway = Gateway::start();
    for path in [
        "/events?source=hyvor&since=soon",
        "/log?actor=token&since=soon",
        "/log?actor=nobody&since=soon",
    ] {
        let answer = gateway.ask("GET", path, "");
        let text = answer.text();
        assert_eq!(answer.status, 400, "{path}: {text}");
        assert!(
            text.contains("role=\"alert\"") && text.contains("<form class=\"fields\""),
            "{path}: {text}"
        );
        assert!(text.contains("name=\"since\" list=\"times\" value=\"soon\""), "{path}: {text}");
        assert!(text.contains("othing was looked for"), "{path}: {text}");
    }
    let text = gateway.ask("GET", "/events?source=hyvor&since=soon", "").text();
    assert!(text.contains("<option selected>hyvor</option>"), "{text}");
}
