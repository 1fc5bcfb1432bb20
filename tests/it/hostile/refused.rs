//! Nothing is refused without a trace.

use std::os::unix::net::UnixStream;

use super::super::support::gateway::{Folder, Gateway, signature};
use super::super::support::program::{self, Served};
use super::super::support::wire::{self, Wire, head};

const ALLOW: &str = r#"
    [source.near]
    provider = "hyvor-talk"
    secrets = [{ file = "secret" }]
    allow = ["203.0.113.0/24"]
"#;

#[test]
fn whatever_is_refused_has_a_line_in_the_log_and_a_row_in_the_status() {
    let folder = Folder::new("", ALLOW);
    let served = Served::start(&folder);
    let at = served.public();
    let signed = signature(b"1");
    let endless = "9".repeat(60_000);
    for _ in 0..3 {
        assert_eq!(wire::post(at, "/hooks/hyvor2", &[], b"1").status, 404);
        assert_eq!(wire::post(at, "/Hyvor/", &[], b"1").status, 404);
        assert_eq!(wire::post(at, "/hooks/hyvor/SECRETTOKEN?key=hunter2", &[], b"1").status, 404);
        assert_eq!(wire::request(at, "BREW", "/hooks/hyvor", &[], b"").status, 405);
        let large = head("POST", "/hooks/hyvor", &[("Content-Length", "9999999")]);
        assert_eq!(wire::raw(at, large.as_bytes()).unwrap().status, 413);
        let headers = [("X-Signature", signed.as_str())];
        assert_eq!(wire::post(at, "/hooks/near", &headers, b"1").status, 401);
        let headers = [("X-Signature", signed.as_str()), ("X-Forwarded-For", "203.0.113.7")];
        assert_eq!(wire::post(at, "/hooks/near", &headers, b"1").status, 401);
        assert_eq!(wire::request(at, "GET", "/", &[("X-Long", &endless)], b"").status, 431);
        assert_eq!(wire::request(at, "GET", "/", &[("X-Many", "1"); 100], b"").status, 431);
        assert_eq!(wire::raw(at, b"nonsense\r\n\r\n").unwrap().status, 400);
        drop(wire::raw(at, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"));
    }
    let status = served.ask("GET", "/api/v1/status").json();
    let rows = status["refused"].as_array().unwrap();
    let row = |path: &str, part: &str| {
        let is_it = |row: &&serde_json::Value| {
            row["path"].as_str().unwrap_or("") == path
                && row["reason"].as_str().unwrap().contains(part)
        };
        let row = rows.iter().find(is_it).unwrap_or_else(|| panic!("{path} {part}: {status}"));
        assert_eq!(row["client"], "127.0.0.1");
        (row["status"].as_u64().unwrap(), row["count"].as_u64().unwrap())
    };
    assert_eq!(row("/hooks/hyvor2", "no source"), (404, 3));
    assert_eq!(row("/Hyvor/", "did you mean `/hooks/hyvor`?"), (404, 3));
    assert_eq!(row("/hooks/hyvor/SECR…(11 characters)", "no source"), (404, 3));
    assert_eq!(row("/hooks/hyvor", "method"), (405, 3));
    assert_eq!(row("/hooks/hyvor", "body_max"), (413, 3));
    assert_eq!(row("/hooks/near", "not in the source's `allow`"), (401, 3));
    assert_eq!(row("/hooks/near", "trusted_proxies"), (401, 3));
    assert_eq!(row("", "48 KiB or 96 headers"), (431, 6));
    assert_eq!(row("", "not HTTP"), (400, 3));
    assert_eq!(row("", "TLS"), (400, 3));
    let log = served.log();
    for part in ["status=404", "status=405", "status=413", "status=401", "status=431", "status=400"]
    {
        let n_lines = log.matches(part).count();
        assert!((1..=12).contains(&n_lines), "{part}: {log}");
    }
    for secret in [&*signed, "SECRETT", "hunter2"] {
        assert!(!log.contains(secret) && !status.to_string().contains(secret), "{log}");
    }
    let shown = program::printed(&program::run(&folder, &["status"]), 0);
    assert!(shown.contains("/hooks/hyvor2") && shown.contains("body_max"), "{shown}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn addresses_that_a_proxy_hides_are_warned_of() {
    let checked = |server: &str, rest: &str| {
        let folder = Folder::new(server, rest);
        let (_, report) = gatepost::config::load(&folder.config()).unwrap();
        report.render(gatepost::settings::ReportStyle::Plain)
    };
    assert!(checked("", ALLOW).contains("trusted_proxies"));
    assert_eq!(checked("trusted_proxies = [\"127.0.0.1\"]", ALLOW), "");
    assert_eq!(checked("", &ALLOW.replace("203.0.113.0/24", "127.0.0.0/8")), "");
}

#[test]
fn a_body_as_large_as_the_provider_sends_it_is_taken() {
    let rest = r#"
        [source.gh]
        provider = "github"
        secrets = [{ file = "secret" }]
        [source.small]
        provider = "github"
        secrets = [{ file = "secret" }]
        body_max = "1KiB"
    "#;
    let gateway = Gateway::with("", rest);
    let body = vec![b'x'; 3 << 20];
    let signed = format!("sha256={}", signature(&body));
    let headers = [("X-Hub-Signature-256", signed.as_str()), ("X-GitHub-Event", "push")];
    gateway.post("gh", &headers, &body).id();
    let length = (26 << 20).to_string();
    for (path, length) in [("/hooks/gh", length.as_str()), ("/hooks/small", "2000")] {
        let mut wire = Wire::to(gateway.public);
        wire.write(head("POST", path, &[("Content-Length", length)]).as_bytes());
        assert_eq!(wire.answer().unwrap().status, 413, "{path}");
    }
}

#[test]
fn body_that_does_not_come_or_comes_too_often_is_shown() {
    let rest = "[source.rare]\nprovider = \"hyvor-talk\"\nsecrets = [{ file = \"secret\" }]\n\
                rate_limit = \"1/h\"\n";
    let folder = Folder::new("request_timeout = \"1s\"", rest);
    let served = Served::start(&folder);
    let at = served.public();
    let head = head("POST", "/hooks/hyvor", &[("Content-Length", "10")]);
    assert_eq!(wire::raw(at, head.as_bytes()).unwrap().status, 408);
    drop(Wire::to(at).write(head.as_bytes()).finish().answer());
    for (body, status) in [(b"1", 200), (b"2", 429)] {
        let signed = signature(body);
        let answer = wire::post(at, "/hooks/rare", &[("X-Signature", &signed)], body);
        assert_eq!(answer.status, status);
    }
    let shown = program::printed(&program::run(&folder, &["status"]), 0);
    for part in ["longer than `request_timeout`", "hung up amid its body", "source's `rate_limit`"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(served.stop(), Some(0));
}

/// What the HTTP library would answer by itself, without a word, and without being seen.
#[test]
fn what_is_no_request_on_the_admin_side_is_answered_in_words_and_shown() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let socket = folder.path().join("data/admin.sock");
    let long = head("GET", "/readyz", &[("X-Long", &"9".repeat(60_000))]);
    let many = head("GET", "/readyz", &[("X-Many", "1"); 100]);
    for (request, status) in [("nonsense\r\n\r\n", 400), (&*long, 431), (&*many, 431)] {
        let stream = UnixStream::connect(&socket).unwrap();
        let over_socket = Wire::over(stream).write(request.as_bytes()).answer().unwrap();
        let over_tcp = wire::raw(served.admin(), request.as_bytes()).unwrap();
        for answer in [over_socket, over_tcp] {
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert!(answer.json()["detail"].is_string(), "{answer:?}");
        }
    }
    let status = served.ask("GET", "/api/v1/status").json();
    for (place, client) in [("(admin socket)", None), ("(admin listener)", Some("127.0.0.1"))] {
        for (code, count) in [(400, 1), (431, 2)] {
            let rows = status["refused"].as_array().unwrap();
            let row = rows.iter().find(|row| row["path"] == place && row["status"] == code);
            let row = row.unwrap_or_else(|| panic!("{place} {code}: {status}"));
            assert_eq!((row["count"].as_u64(), row["client"].as_str()), (Some(count), client));
        }
    }
    let told = served.log();
    assert_eq!(told.matches("status=400").count(), 1, "one line a second: {told}");
    assert_eq!(served.stop(), Some(0));
}
