//! What comes by other methods than POST: a look whether anything is there, or what would be lost.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::super::support::gateway::{Folder, SECRET, signature};
use super::super::support::program::Served;
use super::super::support::wire;

const SOURCES: &str = r#"
[source.both]
dedupe = "1h"
methods = ["GET", "POST"]
secrets = [{ file = "secret" }]
[source.both.verify]
algorithm = "hmac-sha256"
header = "X-Signature"
type = { query = "event" }
[source.covered]
dedupe = "1h"
methods = ["GET"]
secrets = [{ file = "secret" }]
[source.covered.verify]
algorithm = "hmac-sha256"
header = "X-Signature"
signed = "{path}{body}"
type = { query = "event" }
[source.token]
secrets = [{ file = "secret" }]
[source.token.verify]
algorithm = "token"
query = "key"
[source.query]
methods = ["GET", "POST"]
dedupe = "1h"
secrets = [{ file = "secret" }]
[source.query.verify]
algorithm = "token"
query = "key"
[source.open]
[source.open.verify]
algorithm = "none"
"#;

/// The status of the answer to a HEAD, which has no body whatever length it tells.
fn look(served: &Served, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut stream = TcpStream::connect(served.public()).unwrap();
    let headers = [headers, &[("Connection", "close")]].concat();
    stream.write_all(wire::head("HEAD", path, &headers).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// How many requests to `/hooks/hyvor` were answered `status` for this reason.
fn n_told(served: &Served, status: u64, reason: &str) -> u64 {
    let told = served.ask("GET", "/api/v1/status").json();
    let rows = told["refused"].as_array().unwrap();
    let is_it = |row: &&serde_json::Value| {
        row["path"] == "/hooks/hyvor" && row["reason"].as_str().unwrap().contains(reason)
    };
    let row = rows.iter().find(is_it).unwrap_or_else(|| panic!("{told}"));
    assert_eq!(row["status"], status, "{row}");
    row["count"].as_u64().unwrap()
}

#[test]
fn nothing_that_is_believed_is_answered_200_and_lost() {
    let folder = Folder::new("", SOURCES);
    let served = Served::start(&folder);
    let (good, wrong) = (signature(b""), signature(b"other"));
    let with_key = format!("/hooks/token?key={SECRET}");
    let with_more = format!("{with_key}&event=sale&id=7");
    let key_and_body = format!("{with_key}&");
    for (method, path, signature, body, status) in [
        // A look, by whomever.
        ("GET", "/hooks/hyvor", "", "", 200),
        ("HEAD", "/hooks/hyvor", "", "", 200),
        ("HEAD", "/hooks/hyvor", &*good, "", 200),
        // Whatever the address was registered with.
        ("HEAD", "/hooks/hyvor?event=sale", &*good, "", 200),
        ("HEAD", &*with_more, "", "", 200),
        ("HEAD", "/hooks/query?event=sale", "", "", 200),
        ("GET", "/hooks/hyvor?", "", "", 200),
        ("GET", &*with_key, "", "", 200),
        ("HEAD", &*with_key, "", "", 200),
        ("GET", "/hooks/open", "", "", 200),
        // The same where events come by GET: those are signed.
        ("GET", "/hooks/both", "", "", 200),
        ("HEAD", "/hooks/both", "", "", 200),
        ("GET", "/hooks/query", "", "", 200),
        ("GET", "/hooks/both?event=sale", "", "", 401),
        ("GET", "/hooks/both", &*wrong, "", 401),
        // Signed, and no method of events.
        ("GET", "/hooks/hyvor", &*good, "", 405),
        ("GET", "/hooks/hyvor?event=sale&id=7", &*good, "", 405),
        ("OPTIONS", "/hooks/hyvor?event=sale", &*good, "", 405),
        ("DELETE", "/hooks/hyvor?event=sale", &*good, "", 405),
        ("GET", &*with_more, "", "", 405),
        ("GET", &*key_and_body, "", "a=1", 405),
        ("GET", "/hooks/open?event=sale", "", "", 405),
        // Not believed.
        ("GET", "/hooks/hyvor", &*wrong, "", 401),
        ("HEAD", "/hooks/hyvor", &*wrong, "", 401),
        ("GET", "/hooks/hyvor?event=sale", "", "", 401),
        ("GET", "/hooks/token?key=wrong", "", "", 401),
    ] {
        let headers = [("X-Signature", signature)];
        let headers = if signature.is_empty() { &[][..] } else { &headers };
        if method == "HEAD" {
            assert_eq!(look(&served, path, headers), status, "{method} {path} {signature}");
            continue;
        }
        let answer = wire::request(served.public(), method, path, headers, body.as_bytes());
        assert_eq!(answer.status, status, "{method} {path} {signature}");
        if status == 405 && method != "OPTIONS" && method != "DELETE" {
            let allow = answer.header("allow").unwrap();
            assert!(
                allow.starts_with("POST") && !allow.contains("GET"),
                "{method} {path}: {allow}"
            );
        }
        if status == 405 && method == "GET" {
            assert!(answer.text().contains("takes events by POST"), "{}", answer.text());
        }
    }
    assert_eq!(served.ask("GET", "/api/v1/events").text(), "[]");
    assert_eq!(n_told(&served, 405, "`methods`"), 2);
    // A signed HEAD whose query says something may have been meant.
    assert_eq!(n_told(&served, 200, "answered and not stored"), 1);
    served.kill();
}

#[test]
fn browsers_question_is_named_and_gets_no_leave() {
    let own = "[source.own]\nsecrets = [{ file = \"secret\" }]\n\
               verify = { algorithm = \"hmac-sha256\", header = \"X-S\" }\n\
               handshake = { methods = [\"OPTIONS\"], when = { header = \"origin\" }, answer = \"yes\" }\n";
    let folder = Folder::new("", &[SOURCES, own].concat());
    let served = Served::start(&folder);
    let page = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")];
    let with_key = format!("/hooks/token?key={SECRET}");
    for path in ["/hooks/hyvor", "/hooks/token", &with_key, "/hooks/open"] {
        let answer = wire::request(served.public(), "OPTIONS", path, &page, b"");
        assert_eq!(answer.status, 405, "{path}");
        assert!(answer.header("allow").unwrap().starts_with("POST"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        assert!(answer.text().contains("browser's question (CORS)"), "{}", answer.text());
    }
    assert_eq!(wire::request(served.public(), "OPTIONS", "/hooks/own", &page, b"").status, 200);
    let rejected = served.ask("GET", "/api/v1/rejected").json();
    assert_eq!(rejected.as_array().unwrap().len(), 1, "the question of its owner: {rejected}");
    let status = served.ask("GET", "/api/v1/status").json();
    let rows = status["refused"].as_array().unwrap();
    let is_it = |row: &&serde_json::Value| row["reason"].as_str().unwrap().contains("CORS");
    let counts: Vec<_> = rows.iter().filter(is_it).map(|row| row["count"].as_u64()).collect();
    assert_eq!((counts.len(), counts.into_iter().flatten().sum::<u64>()), (3, 4), "{status}");
    served.kill();
}

#[test]
fn event_by_get_is_stored_with_what_its_query_says() {
    let folder = Folder::new("", SOURCES);
    let served = Served::start(&folder);
    let ask = |query: &str| {
        let path = format!("/hooks/covered?{query}");
        let signed = signature(path.as_bytes());
        let headers = [("X-Signature", signed.as_str())];
        wire::request(served.public(), "GET", &path, &headers, b"").id()
    };
    let (id, other) = (ask("event=sale&id=7&text=a%20b"), ask("event=sale&id=8"));
    let event = served.ask("GET", &format!("/api/v1/events/{id}")).json();
    assert_eq!(event["type"], "sale", "{event}");
    let raw = |id: &str| served.ask("GET", &format!("/api/v1/events/{id}/raw")).text();
    assert_eq!(
        (raw(&id), raw(&other)),
        ("event=sale&id=7&text=a%20b".into(), "event=sale&id=8".into())
    );
    let path = format!("/hooks/query?key={SECRET}&event=sale&id=9");
    let id = wire::request(served.public(), "GET", &path, &[], b"").id();
    assert_eq!(raw(&id), "event=sale&id=9", "without the password");
    let bare = wire::post(served.public(), &format!("/hooks/token?key={SECRET}"), &[], b"").id();
    assert_eq!(raw(&bare), "");
    // What the signature leaves out anybody could have written.
    let signed = signature(b"");
    let headers = [("X-Signature", signed.as_str())];
    let id = wire::request(served.public(), "GET", "/hooks/both?event=sale", &headers, b"").id();
    assert_eq!(raw(&id), "");
    // It tells two events apart all the same: neither is taken for a repeat of the other.
    let ask = |query: &str| {
        let path = format!("/hooks/both?{query}");
        wire::request(served.public(), "GET", &path, &headers, b"").id()
    };
    let (sale, refund) = (ask("event=sale&id=7"), ask("event=refund&id=8"));
    assert_ne!(sale, refund);
    assert_eq!((raw(&sale), raw(&refund)), (String::new(), String::new()));
    assert_eq!(ask("event=sale&id=7"), sale, "a repeat");
    assert_eq!(look(&served, "/hooks/both", &[]), 200);
    served.kill();
}

#[test]
fn client_is_read_from_forwarded_where_it_is_all_that_a_proxy_sends() {
    let allow = "[source.near]\nprovider = \"hyvor-talk\"\nsecrets = [{ file = \"secret\" }]\n\
                 allow = [\"203.0.113.0/24\", \"2001:db8::/32\"]\n";
    let signed = signature(b"1");
    let post = |served: &Served, more: &[(&str, &str)]| {
        let headers = [&[("X-Signature", signed.as_str())], more].concat();
        wire::post(served.public(), "/hooks/near", &headers, b"1").status
    };
    let folder = Folder::new("trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]", allow);
    let served = Served::start(&folder);
    for (headers, status) in [
        (&[("Forwarded", "for=203.0.113.7;proto=https")][..], 200),
        (&[("Forwarded", "For=\"[2001:db8::7]:4711\"")], 200),
        (&[("Forwarded", "for=198.51.100.1, for=203.0.113.7;by=x, for=10.0.0.9")], 200),
        (&[("Forwarded", "for=198.51.100.1"), ("Forwarded", "for=203.0.113.7")], 200),
        (&[("Forwarded", "for=203.0.113.7, for=198.51.100.1")], 401),
        (&[("Forwarded", "for=203.0.113.7, for=unknown")], 401),
        (&[("Forwarded", "for=203.0.113.7, proto=https")], 401),
        // Beside another header it may be the client's own.
        (&[("Forwarded", "for=203.0.113.7"), ("X-Real-IP", "198.51.100.1")], 401),
        (&[("Forwarded", "for=203.0.113.7"), ("X-Forwarded-For", "198.51.100.1")], 401),
        (&[("Forwarded", "for=198.51.100.1"), ("X-Forwarded-For", "203.0.113.7")], 200),
    ] {
        assert_eq!(post(&served, headers), status, "{headers:?}");
    }
    let status = served.ask("GET", "/api/v1/status").json();
    assert!(status["proxies"][0]["advice"].as_str().unwrap().contains("believed"), "{status}");
    served.kill();
    // A proxy that is not named is told of, by whichever header it says who the client is.
    let folder = Folder::new("", allow);
    let served = Served::start(&folder);
    assert_eq!(post(&served, &[("Forwarded", "for=203.0.113.7")]), 401);
    let status = served.ask("GET", "/api/v1/status").json();
    let advice = status["proxies"][0]["advice"].as_str().unwrap();
    assert!(advice.contains("With `trusted_proxies = [\"127.0.0.1\"]`"), "{advice}");
    assert!(advice.ends_with("would be 203.0.113.7"), "{advice}");
    let reason = status["refused"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("name it in `trusted_proxies`"), "{reason}");
    served.kill();
}
