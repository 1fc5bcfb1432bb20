//! Who may see and change what.

use gatepost::clock::Stopwatch;

use crate::support::gateway::{Folder, Gateway, SECRET};
use crate::support::program::Served;
use crate::support::wire::{self, Answer};

const ID: &str = "0199c3f6-5b5e-7000-8000-000000000001";

/// Every address that changes something.
const CHANGES: &[&str] = &[
    "/api/v1/events/0199c3f6-5b5e-7000-8000-000000000001/replay",
    "/api/v1/events/0199c3f6-5b5e-7000-8000-000000000001/edit",
    "/api/v1/events/replay",
    "/api/v1/dead/redrive",
    "/api/v1/dead/drop",
    "/api/v1/rollouts",
    "/api/v1/rollouts/1/pause",
    "/api/v1/rollouts/1/resume",
    "/api/v1/rollouts/1/cancel",
    "/api/v1/rejected/1/release",
    "/api/v1/rejected/release",
    "/api/v1/handlers/all/retry",
    "/api/v1/handlers/all/pause",
    "/api/v1/handlers/all/resume",
    "/api/v1/handlers/all/forget",
    "/api/v1/reload",
    "/api/v1/import",
    "/api/v1/compact",
    "/events/0199c3f6-5b5e-7000-8000-000000000001/replay",
    "/events/0199c3f6-5b5e-7000-8000-000000000001/edit",
    "/dead/redrive",
    "/dead/rollout",
    "/dead/drop",
    "/rollouts/1/pause",
    "/rollouts/1/resume",
    "/rollouts/1/cancel",
    "/rejected/1/release",
    "/rejected/release",
    "/events/replay",
    "/handlers/all/retry",
    "/handlers/all/pause",
    "/handlers/all/resume",
    "/handlers/all/forget",
    "/sources/hyvor/test",
    "/config/reload",
];

/// Every page.
const PAGES: &[&str] = &[
    "/",
    "/events",
    "/dead",
    "/rejected",
    "/handlers",
    "/handlers/all",
    "/sources",
    "/sources/hyvor",
    "/config",
    "/log",
];

fn gateway() -> Gateway {
    gateway_with("")
}

/// `rest` goes behind the configuration.
fn gateway_with(rest: &str) -> Gateway {
    let folder = Folder::new("", rest);
    let text = std::fs::read_to_string(folder.config()).unwrap();
    let text = text.replace("[admin]\n", "[admin]\nread_only_token = \"data/look\"\n");
    std::fs::write(folder.config(), text).unwrap();
    Gateway::serve(folder)
}

fn token(gateway: &Gateway, name: &str) -> String {
    std::fs::read_to_string(gateway.folder.path().join("data").join(name))
        .unwrap()
        .trim()
        .to_owned()
}

fn log_in(gateway: &Gateway, token: &str) -> Answer {
    let body = format!("token={token}&next=%2Fevents");
    wire::post(gateway.admin, "/login", &[], body.as_bytes())
}

fn cookie(gateway: &Gateway, token: &str) -> String {
    let answer = log_in(gateway, token);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/events")));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Answer {
    wire::request(gateway.admin, "GET", path, headers, b"")
}

#[test]
fn pages_want_a_session_and_lead_browsers_to_the_login() {
    let gateway = gateway();
    let cookie = cookie(&gateway, &token(&gateway, "admin-token"));
    for path in PAGES {
        assert_eq!(get(&gateway, path, &[]).status, 401, "{path}");
        let away = get(&gateway, path, &[("Accept", "text/html,*/*")]);
        assert_eq!(away.status, 303, "{path}");
        assert!(away.header("location").unwrap().starts_with("/login"), "{path}");
        let page = get(&gateway, path, &[("Cookie", &cookie)]);
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    assert_eq!(get(&gateway, "/api/v1/status", &[("Cookie", &cookie)]).status, 200);
    let bearer = format!("Bearer {}", token(&gateway, "admin-token"));
    assert_eq!(get(&gateway, "/", &[("Authorization", &bearer)]).status, 200);
}

#[test]
fn a_read_only_token_sees_everything_and_changes_nothing() {
    let gateway = gateway();
    let look = token(&gateway, "look");
    let (cookie, bearer) = (cookie(&gateway, &look), format!("Bearer {look}"));
    for path in PAGES {
        let page = get(&gateway, path, &[("Cookie", &cookie)]);
        assert_eq!(page.status, 200, "{path}");
        let text = page.text();
        let n_posts = text.matches("method=\"post\"").count();
        assert_eq!(n_posts, 1, "{path} has no form but the one to sign out");
        assert!(text.contains("change nothing"), "{path}");
    }
    let id = gateway.send(b"{}").id();
    for form in ["", "?body=edit"] {
        let page = get(&gateway, &format!("/events/{id}{form}"), &[("Cookie", &cookie)]).text();
        assert!(!page.contains("Edit a copy") && !page.contains("<textarea"), "{page}");
    }
    for path in CHANGES {
        for header in [("Cookie", cookie.as_str()), ("Authorization", &bearer)] {
            let answer = wire::post(gateway.admin, path, &[header], b"");
            assert_eq!(answer.status, 403, "{path} {header:?}");
            assert!(answer.text().contains("change nothing"), "{path}");
        }
        assert_eq!(wire::post(gateway.admin, path, &[], b"").status, 401, "{path}");
    }
    for path in ["status", "events", "dead", "rejected", "handlers", "rates", "config", "actions"] {
        let path = format!("/api/v1/{path}");
        assert_eq!(get(&gateway, &path, &[("Authorization", &bearer)]).status, 200, "{path}");
    }
}

/// The source of such a sender: its token in the body is all that proves an event.
const BY_TOKEN: &str = r#"
[source.shop]
verify = { algorithm = "token", json = "token" }
secrets = [{ file = "secret" }]
"#;

#[test]
fn a_read_only_token_is_not_given_what_would_be_enough_to_make_events() {
    let gateway = gateway_with(BY_TOKEN);
    let body = format!(r#"{{"token":"{SECRET}","type":"order"}}"#);
    let by_client = [("Authorization", "Bearer of-the-client")];
    let answer = wire::post(gateway.public, "/hooks/shop?shop=7", &by_client, body.as_bytes());
    let id = answer.id();
    for (name, is_owner) in [("look", false), ("admin-token", true)] {
        let bearer = format!("Bearer {}", token(&gateway, name));
        for path in [
            format!("/api/v1/events/{id}/raw"),
            format!("/events/{id}?body=file"),
            "/api/v1/export".to_owned(),
            "/events?form=jsonl".to_owned(),
        ] {
            let answer = get(&gateway, &path, &[("Authorization", &bearer)]);
            assert_eq!(answer.status, 200, "{name}: {path}");
            let text = answer.text();
            assert!(text.contains("order"), "{name}: {path}: {text}");
            assert_eq!(text.contains(SECRET), is_owner, "{name}: {path}: {text}");
            assert!(is_owner || !text.contains("of-the-client"), "{name}: {path}: {text}");
            let is_line = path.contains("export") || path.contains("jsonl");
            assert_eq!(text.contains(r#""query":"shop=7""#), is_line, "{name}: {path}: {text}");
        }
    }
}

/// A path of the description with something in place of its parameters.
fn filled(path: &str) -> String {
    path.replace("{id}", ID).replace("{number}", "1").replace("{name}", "all")
}

#[test]
fn a_read_only_token_changes_nothing_by_any_route_that_is_described() {
    let gateway = gateway();
    let (look, owner) = (token(&gateway, "look"), token(&gateway, "admin-token"));
    let bearer = |token: &str| format!("Bearer {token}");
    let (look, owner) = (bearer(&look), bearer(&owner));
    let document = get(&gateway, "/api/v1/openapi.json", &[("Authorization", &look)]).json();
    let mut n_changes = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let address = filled(path);
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let headers = [("Authorization", look.as_str())];
            let answer = wire::request(gateway.admin, method, &address, &headers, b"");
            assert_eq!(answer.status, 405, "{method} {path}");
            assert!(answer.header("allow").is_some(), "{method} {path}");
        }
        if operations.get("post").is_none() {
            let answer = wire::post(gateway.admin, &address, &[("Authorization", &look)], b"{}");
            assert_eq!(answer.status, 405, "{path}");
            continue;
        }
        n_changes += 1;
        let answer = wire::post(gateway.admin, &address, &[("Authorization", &look)], b"{}");
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        let answer = wire::post(gateway.admin, &address, &[], b"{}");
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        let strange = [("Authorization", owner.as_str()), ("Origin", "http://evil.example")];
        let answer = wire::post(gateway.admin, &address, &strange, b"{}");
        assert_eq!(answer.status, 403, "{path}");
    }
    assert!(n_changes >= 18, "{n_changes}");
}

#[test]
fn another_sites_form_changes_nothing_and_signs_nobody_in() {
    let gateway = gateway();
    let cookie = cookie(&gateway, &token(&gateway, "admin-token"));
    for header in [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        for path in CHANGES {
            let answer = wire::post(gateway.admin, path, &[("Cookie", &cookie), header], b"");
            assert_eq!(answer.status, 403, "{path} {header:?}");
        }
        let answer = wire::post(gateway.admin, "/login", &[header], b"token=x");
        assert_eq!(answer.status, 403, "{header:?}");
    }
}

#[test]
fn what_changes_something_is_never_read() {
    let gateway = gateway();
    let cookie = cookie(&gateway, &token(&gateway, "admin-token"));
    // These are read, too.
    let read = ["/api/v1/reload", "/api/v1/rollouts"];
    for path in CHANGES.iter().filter(|path| !read.contains(path)) {
        let answer = get(&gateway, path, &[("Cookie", &cookie)]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{path}");
    }
    for path in PAGES {
        let answer = wire::post(gateway.admin, path, &[("Cookie", &cookie)], b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{path}");
    }
}

#[test]
fn a_session_ends_when_it_is_ended_and_with_its_token() {
    let gateway = gateway();
    let owner = token(&gateway, "admin-token");
    let (first, second) = (cookie(&gateway, &owner), cookie(&gateway, &owner));
    let status = |cookie: &str| get(&gateway, "/", &[("Cookie", cookie)]).status;
    let answer = wire::post(gateway.admin, "/logout", &[("Cookie", &first)], b"");
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!((status(&first), status(&second)), (401, 200));
    std::fs::write(gateway.folder.path().join("data/admin-token"), "another").unwrap();
    let bearer = format!("Bearer {owner}");
    let headers = [("Authorization", bearer.as_str())];
    assert_eq!(wire::post(gateway.admin, "/api/v1/reload", &headers, b"").status, 200);
    assert_eq!(status(&second), 401);
}

#[test]
fn a_wrong_token_is_answered_late_and_leads_nowhere() {
    let gateway = gateway();
    let began = tokio::time::Instant::now();
    let answer = log_in(&gateway, "wrong");
    assert!(began.elapsed().as_millis() >= 500);
    assert_eq!((answer.status, answer.header("set-cookie")), (401, None));
    assert!(answer.text().contains("This is not the token"));
    let token = token(&gateway, "admin-token");
    let body = format!("token={token}&next=%2F%2Fevil.example");
    let answer = wire::post(gateway.admin, "/login", &[], body.as_bytes());
    assert_eq!(answer.header("location"), Some("/"));
}

#[test]
fn wrong_token_is_logged_with_its_sender_and_without_itself() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let answer = wire::post(served.admin(), "/login", &[], b"token=a-wrong-guess");
    assert_eq!(answer.status, 401);
    let log = served.log();
    assert!(log.contains("Somebody gave the admin listener a wrong token"), "{log}");
    assert!(log.contains("127.0.0.1") && !log.contains("a-wrong-guess"), "{log}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn pages_that_are_not_there_say_so() {
    let gateway = gateway();
    let cookie = cookie(&gateway, &token(&gateway, "admin-token"));
    for (path, status) in [
        (format!("/events/{ID}"), 404),
        ("/handlers/nobody".to_owned(), 404),
        ("/sources/nobody".to_owned(), 404),
        ("/events?state=wrong".to_owned(), 400),
        ("/events?since=yesterday".to_owned(), 400),
        ("/events?source=UPPER".to_owned(), 400),
        ("/dead?handler=UPPER".to_owned(), 400),
        ("/nothing".to_owned(), 404),
    ] {
        assert_eq!(get(&gateway, &path, &[("Cookie", &cookie)]).status, status, "{path}");
    }
    let html = ("Accept", "text/html,*/*");
    let page = get(&gateway, "/nothing", &[("Cookie", &cookie), html]);
    assert_eq!((page.status, page.header("content-type")), (404, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("no page is at this address"), "{}", page.text());
    let away = get(&gateway, "/nothing", &[html]);
    assert_eq!((away.status, away.header("location")), (303, Some("/login?next=%2Fnothing")));
    let api = get(&gateway, "/api/v1/nothing", &[("Cookie", &cookie), html]);
    assert_eq!(api.header("content-type"), Some("application/problem+json"), "{api:?}");
}

#[test]
fn session_goes_on_after_a_restart_and_ends_with_its_token() {
    let gateway = gateway();
    let cookie = cookie(&gateway, &token(&gateway, "admin-token"));
    let folder = gateway.stop_and_keep();
    let kept = std::fs::read_to_string(folder.path().join("data/sessions")).unwrap();
    assert!(!kept.contains(cookie.split_once('=').unwrap().1), "{kept}");
    let gateway = Gateway::serve(folder);
    assert_eq!(get(&gateway, "/", &[("Cookie", &cookie)]).status, 200);
    let folder = gateway.stop_and_keep();
    std::fs::write(folder.path().join("data/admin-token"), "another-token-than-before").unwrap();
    let gateway = Gateway::serve(folder);
    assert_eq!(get(&gateway, "/", &[("Cookie", &cookie)]).status, 401);
}

#[test]
fn who_guesses_is_slowed_and_nobody_else() {
    let gateway = gateway();
    let right = token(&gateway, "admin-token");
    let ask = |client: &str, token: &str| {
        let stream = wire::connect_from(client.parse().unwrap(), gateway.admin);
        let headers = format!("Host: {}\r\nAuthorization: Bearer {token}", gateway.admin);
        let request = format!("GET /api/v1/status HTTP/1.1\r\n{headers}\r\n\r\n");
        let mut wire = wire::Wire::over(stream);
        wire.write(request.as_bytes());
        wire
    };
    // Addresses of this machine are private, and have 32 late answers at once.
    let mut guesses: Vec<_> = (0..48).map(|_| ask("127.0.0.2", "wrong")).collect();
    // Beyond those that wait, none is looked at: also not the right one.
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(ask("127.0.0.2", &right).answer().unwrap().status, 429);
    // Each of them would be late; a busy machine is late now and then.
    let delays = (0..5).map(|_| {
        let began = Stopwatch::start();
        assert_eq!(ask("127.0.0.3", &right).answer().unwrap().status, 200);
        began.elapsed()
    });
    let delay = delays.min().unwrap();
    assert!(delay < std::time::Duration::from_millis(400), "{delay:?}");
    let statuses: Vec<u16> =
        guesses.iter_mut().map(|guess| guess.answer().unwrap().status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 48 - 32);
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 32);
}
