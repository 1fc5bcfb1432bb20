//! The admin side: who may ask, and what is answered.

use std::os::unix::fs::PermissionsExt;

use super::super::support::gateway::Gateway;
use super::super::support::wire;

#[test]
fn the_api_wants_the_token() {
    let gateway = Gateway::start();
    for path in ["/api/v1/status", "/api/v1/events", "/api/v1/nothing", "/", "/api/v1/dead"] {
        let answer = wire::request(gateway.admin, "GET", path, &[], b"");
        assert_eq!(answer.status, 401, "{path}");
        let wrong = [("Authorization", "Bearer wrong")];
        assert_eq!(wire::request(gateway.admin, "GET", path, &wrong, b"").status, 401, "{path}");
    }
    assert_eq!(gateway.ask("GET", "/api/v1/status", "").status, 200);
    assert_eq!(gateway.ask("GET", "/api/v1/nothing", "").status, 404);
}

#[test]
fn answers_are_not_kept_by_a_browser_and_taken_for_what_they_are_called() {
    let gateway = Gateway::start();
    let id = gateway.send(b"secret").id();
    let raw = format!("/api/v1/events/{id}/raw");
    let paths = ["/api/v1/status", "/api/v1/events", &raw, "/api/v1/nothing", "/", "/log"];
    for path in paths {
        let answer = gateway.ask("GET", path, "");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    let refused = wire::request(gateway.admin, "GET", "/api/v1/status", &[], b"");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
}

#[test]
fn figures_and_health_are_open_on_loopback() {
    let gateway = Gateway::start();
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(wire::request(gateway.admin, "GET", path, &[], b"").status, 200, "{path}");
    }
    let openmetrics = "application/openmetrics-text; version=1.0.0";
    for (accept, expected, end) in [
        ("*/*", "text/plain; version=0.0.4", "\n"),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", openmetrics, "# EOF\n"),
    ] {
        let metrics = wire::request(gateway.admin, "GET", "/metrics", &[("Accept", accept)], b"");
        assert!(metrics.header("content-type").unwrap().starts_with(expected));
        assert!(metrics.text().contains("gatepost_build_info{") && metrics.text().ends_with(end));
    }
}

#[test]
fn another_host_is_misdirected() {
    let gateway = Gateway::start();
    let bytes = b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(wire::raw(gateway.admin, bytes).unwrap().status, 421);
}

#[test]
fn another_sites_page_can_change_nothing() {
    let gateway = Gateway::start();
    let token = std::fs::read_to_string(gateway.folder.path().join("data/admin-token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let headers = [("Authorization", bearer.as_str()), ("Origin", "http://evil.example")];
    let answer = wire::post(gateway.admin, "/api/v1/reload", &headers, b"");
    assert_eq!(answer.status, 403);
}

#[test]
fn token_and_socket_are_for_their_owner_only() {
    let gateway = Gateway::start();
    for name in ["admin-token", "admin.sock"] {
        let path = gateway.folder.path().join("data").join(name);
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_wrong_method_is_told_the_right_one() {
    let gateway = Gateway::start();
    let answer = gateway.ask("POST", "/api/v1/status", "");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    let answer = gateway.ask("GET", "/api/v1/dead/redrive", "");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
}

#[test]
fn a_filter_with_a_slip_is_refused_not_ignored() {
    let gateway = Gateway::start();
    for (method, path, body) in [
        ("GET", "/api/v1/events?sorce=hyvor", ""),
        ("GET", "/api/v1/events?since=yesterday", ""),
        ("GET", "/api/v1/events?before=1&after=1", ""),
        ("GET", "/api/v1/events?source=UPPER", ""),
        ("POST", "/api/v1/dead/drop", r#"{"handlr":"mail"}"#),
        ("POST", "/api/v1/dead/drop", "["),
        // Nothing that says which ones must not become all of them.
        ("POST", "/api/v1/dead/drop", ""),
        ("POST", "/api/v1/dead/drop", "{}"),
        ("POST", "/api/v1/dead/drop", r#"{"limit":100000}"#),
        ("POST", "/api/v1/dead/drop", r#"{"reason":""}"#),
        ("POST", "/api/v1/dead/drop", r#"{"all":false}"#),
        ("POST", "/api/v1/dead/redrive", ""),
        ("POST", "/api/v1/dead/redrive", "{}"),
        ("POST", "/api/v1/rollouts", "{}"),
        ("POST", "/api/v1/events/replay", "{}"),
    ] {
        let answer = gateway.ask(method, path, body);
        assert_eq!(answer.status, 400, "{path} {body}");
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
    }
    for body in [r#"{"all":true}"#, r#"{"handler":"all"}"#, r#"{"dry_run":true}"#] {
        for what in ["drop", "redrive"] {
            let answer = gateway.ask("POST", &format!("/api/v1/dead/{what}"), body);
            assert_eq!(answer.status, 200, "{what} {body}: {}", answer.text());
        }
    }
}

#[test]
fn events_are_listed_newest_first_page_by_page() {
    let gateway = Gateway::start();
    let ids: Vec<_> = (0..5).map(|n| gateway.send(n.to_string().as_bytes()).id()).collect();
    let listed = |query: &str| -> Vec<String> {
        let list = gateway.ask("GET", &format!("/api/v1/events?{query}"), "").json();
        let list = list.as_array().unwrap().iter();
        list.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed("limit=2"), [ids[4].clone(), ids[3].clone()]);
    assert_eq!(listed("limit=2&before=4"), [ids[2].clone(), ids[1].clone()]);
    assert_eq!(listed("limit=2&after=3"), [ids[3].clone(), ids[4].clone()]);
    assert!(listed("source=userecho").is_empty());
}

#[test]
fn a_bad_configuration_changes_nothing_and_says_so() {
    let gateway = Gateway::start();
    gateway.folder.write_config("body_mx = 1", "");
    let answer = gateway.ask("POST", "/api/v1/reload", "");
    assert_eq!(answer.status, 400);
    assert!(answer.json()["detail"].as_str().unwrap().contains("body_mx"));
    gateway.send(b"{}").id();
}

#[test]
fn a_reload_brings_new_sources_and_takes_old_ones_away() {
    let gateway = Gateway::start();
    let other = "[source.other]\nprovider = \"hyvor-talk\"\nsecrets = [{ file = \"secret\" }]\n";
    assert_eq!(gateway.post("other", &[], b"").status, 404);
    gateway.folder.write_config("", other);
    let changes = gateway.ask("GET", "/api/v1/reload", "").json();
    assert!(changes["changes"][0].as_str().unwrap().contains("source.other"), "{changes}");
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    assert_eq!(gateway.post("other", &[], b"").status, 401);
    gateway.folder.write_config("", "");
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    assert_eq!(gateway.post("other", &[], b"").status, 404);
}

#[test]
fn a_paused_handler_waits_and_goes_on() {
    let gateway = Gateway::start();
    let change = |what: &str| {
        gateway.ask("POST", &format!("/api/v1/handlers/all/{what}"), "").json()["changed"].clone()
    };
    assert_eq!(change("pause"), true);
    assert_eq!(change("pause"), false);
    let state = gateway.ask("GET", "/api/v1/handlers", "").json()[0]["state"].clone();
    assert_eq!(state, "paused");
    assert_eq!(change("resume"), true);
    assert_eq!(change("resume"), false);
    assert_eq!(gateway.ask("POST", "/api/v1/handlers/nobody/pause", "").status, 404);
}

#[test]
fn a_configured_handler_cannot_be_forgotten() {
    let gateway = Gateway::start();
    assert_eq!(gateway.ask("POST", "/api/v1/handlers/all/forget", "").status, 409);
    assert_eq!(gateway.ask("POST", "/api/v1/handlers/nobody/forget", "").status, 404);
}

#[test]
fn a_strangers_body_is_never_shown_as_a_page() {
    let gateway = Gateway::start();
    let id = gateway.send(b"<script>alert(1)</script>").id();
    let answer = gateway.ask("GET", &format!("/api/v1/events/{id}/raw"), "");
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

/// What the HTTP library refuses by itself, and paths, escapes and methods that make no sense.
#[test]
fn every_error_is_a_problem_that_says_its_status() {
    let gateway = Gateway::start();
    let token = std::fs::read_to_string(gateway.folder.path().join("data/admin-token")).unwrap();
    let headers = format!("Host: {}\r\nAuthorization: Bearer {}\r\n", gateway.admin, token.trim());
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\n{headers}\r\n");
    let with = |more: &str| format!("POST /api/v1/reload HTTP/1.1\r\n{headers}{more}\r\n");
    for (request, status) in [
        (with(&format!("X-Long: {}\r\n", "x".repeat(60_000))), 431),
        (with(&"X-Many: 1\r\n".repeat(120)), 431),
        (get(&format!("/api/v1/{}", "x".repeat(70_000))), 431),
        (with("Content-Length: many\r\n"), 400),
        (with("Transfer-Encoding: none\r\n"), 400),
        (with("no header\r\n"), 400),
        (get("/api/v1/a b"), 400),
        ("no request\r\n\r\n".to_owned(), 400),
        (get("/api/v1/events/%00"), 404),
        (get("/api/v1/handlers/%00"), 404),
        (get("/api/v1/events/%zz"), 404),
        (get("/api/v1/%ff%"), 404),
        (get("/api/v1/events?limit=%zz"), 400),
        (get("/api/v1/events?since=%00"), 400),
        (format!("BREW /api/v1/events HTTP/1.1\r\n{headers}\r\n"), 405),
        (format!("CONNECT a.b:80 HTTP/1.1\r\n{headers}\r\n"), 404),
    ] {
        let line = request.lines().next().unwrap().chars().take(60).collect::<String>();
        let answer = wire::raw(gateway.admin, request.as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{line}");
        assert_eq!(answer.json()["status"], status, "{line}");
        assert!(answer.json()["detail"].is_string(), "{line}");
    }
}

#[test]
fn bare_refusal_of_a_head_request_has_no_body() {
    let gateway = Gateway::start();
    let bytes = format!("HEAD /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.admin);
    let mut wire = wire::Wire::to(gateway.admin);
    wire.write(bytes.as_bytes());
    let mut answered = [0; 4096];
    let n_read = std::io::Read::read(wire.stream_mut(), &mut answered).unwrap();
    let text = String::from_utf8_lossy(&answered[..n_read]);
    assert!(text.starts_with("HTTP/1.1 401") && text.ends_with("\r\n\r\n"), "{text}");
}
