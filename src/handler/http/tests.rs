use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::super::testing::{
    Answer, BadServer, Request, context, delivery, handler, id, install_tls, numbered, settings,
    status, try_settings, with_headers,
};
use super::draft::has_dot_segment;
use super::*;
use crate::event::{FailureClass, FailureKind};

mod answers;
mod chosen;
mod commas;
mod secrets;

/// The handler with `url` and more settings.
fn http(url: &str, more: &str) -> Box<dyn Handler> {
    handler("http", &format!("url = '{url}'\n{more}"), Path::new("."))
}

/// The same, whatever is warned of.
fn warned(url: &str, more: &str) -> Box<dyn Handler> {
    install_tls();
    let (settings, _) = try_settings("http", &format!("url = '{url}'\n{more}"), Path::new("."));
    settings.unwrap().build(&context(Path::new("."))).unwrap()
}

/// What arrives when this delivery is sent with these settings.
async fn sent(more: &str, delivery: Delivery) -> Request {
    let server = BadServer::start([]);
    http(&server.url("/hook"), more).handle(&[delivery]).await.unwrap();
    server.requests().remove(0)
}

#[tokio::test]
async fn the_body_arrives_byte_for_byte_with_the_events_id() {
    let body = b"{\"a\":\"\\/\\u00e9\",\n \"n\":1.0}\xff";
    let request = sent("", delivery(body)).await;
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
    assert_eq!(request.body, body);
    let id = id(1).to_string();
    for (name, value) in [
        ("content-type", "application/json"),
        ("webhook-id", &id),
        ("idempotency-key", &id),
        ("webhook-timestamp", "1795348800"),
        ("gatepost-source", "hyvor"),
        ("gatepost-type", "comment.create"),
        ("gatepost-attempt", "1"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert_eq!(request.header("webhook-signature"), None);
}

#[tokio::test]
async fn with_a_secret_the_request_is_signed_as_standard_webhooks_has_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    let server = BadServer::start([]);
    let text = format!("url = '{}'\nsecret = {{ file = 'key' }}", server.url("/"));
    handler("http", &text, folder.path()).handle(&[delivery("hello")]).await.unwrap();
    let request = server.requests().remove(0);
    let secret = SecretRef::File { path: folder.path().join("key"), create: false };
    let signer = Signer::new(&secret.resolve().unwrap()).unwrap();
    let expected = signer.sign(&id(1).to_string(), "1795348800", b"hello");
    assert_eq!(request.header("webhook-signature"), Some(expected.as_str()));
}

#[tokio::test]
async fn url_body_and_headers_may_be_templates() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "t0ken\n").unwrap();
    let server = BadServer::start([]);
    let text = format!(
        "url = '{}/users/{{{{ data.user }}}}?type={{{{ event.type }}}}'\n\
         method = 'PUT'\n\
         escape = 'json'\n\
         body = '{{\"user\":{{{{ data.user }}}}}}'\n\
         headers = {{ X-User = 'user {{{{ data.n }}}}', Authorization = \
         {{ prefix = 'Bearer ', secret = {{ file = 'token' }} }} }}",
        server.url("")
    );
    let body = r#"{"data":{"user":"../a b/\"?x","n":5}}"#;
    handler("http", &text, folder.path()).handle(&[delivery(body)]).await.unwrap();
    let request = server.requests().remove(0);
    assert_eq!(request.method, "PUT");
    assert_eq!(request.path, "/users/..%2Fa%20b%2F%22%3Fx?type=comment.create");
    assert_eq!(request.body, br#"{"user":"../a b/\"?x"}"#);
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-user"), Some("user 5"));
    assert_eq!(request.header("authorization"), Some("Bearer t0ken"));
}

#[tokio::test]
async fn a_value_cannot_add_a_header() {
    let server = BadServer::start([]);
    let handler = http(&server.url("/"), "headers = { X-User = '{{ data }}' }");
    handler.handle(&[delivery(r#"{"data":"a\r\nX-Admin: 1"}"#)]).await.unwrap();
    let request = server.requests().remove(0);
    assert_eq!((request.header("x-user"), request.header("x-admin")), (Some("a X-Admin: 1"), None));
    handler.handle(&[delivery(r#"{"data":"a\u0000b\u001bc\td"}"#)]).await.unwrap();
    assert_eq!(server.requests()[1].header("x-user"), Some("a b c\td"));
}

#[tokio::test]
async fn original_headers_are_passed_on_where_the_owner_wants_them() {
    let original = || {
        let headers = [
            ("host", &b"public.example"[..]),
            ("content-type", b"text/x"),
            ("x-github-event", b"push"),
            ("x-signature", b"s"),
            ("authorization", b"Basic x"),
            ("connection", b"close"),
            ("webhook-id", b"theirs"),
        ];
        with_headers(1, "body", headers.into_iter().collect())
    };
    let none = sent("", original()).await;
    assert_eq!(none.header("content-type"), Some("text/x"));
    assert_eq!(none.header("x-github-event"), None);
    let all = sent("forward_headers = true", original()).await;
    assert_eq!(all.header("x-github-event"), Some("push"));
    assert_eq!(all.header("x-signature"), Some("s"));
    assert_eq!(all.header("authorization"), None);
    assert_eq!(all.header("content-type"), Some("text/x"));
    assert_ne!(all.header("host"), Some("public.example"));
    assert_eq!(all.header("webhook-id"), Some(id(1).to_string().as_str()));
    let named = sent("forward_headers = ['Authorization']", original()).await;
    assert_eq!(named.header("authorization"), Some("Basic x"));
    assert_eq!(named.header("x-signature"), None);
}

#[tokio::test]
async fn claims_of_a_proxy_are_never_passed_on() {
    // As they are stored: in lower case.
    let said = [
        "x-forwarded-user",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-real-ip",
        "forwarded",
        "x-remote-user",
        "x-auth-request-email",
        "cf-connecting-ip",
        "true-client-ip",
        "x-original-url",
        "x-ssl-client-s-dn",
        "x-client-cert",
        "ssl-client-verify",
        "tailscale-user-login",
        "x-http-method-override",
        "remote_user",
    ];
    let original = || {
        let headers = said.map(|name| (name, &b"admin"[..]));
        with_headers(1, "body", headers.into_iter().collect())
    };
    let all = sent("forward_headers = true", original()).await;
    for name in said {
        assert_eq!(all.header(name), None, "{name}");
        for named in [
            format!("forward_headers = ['{name}']"),
            format!("headers = {{ '{name}' = \"{{{{ event.headers['{name}'] }}}}\" }}"),
        ] {
            let text = format!("url = 'http://127.0.0.1:9/'\n{named}");
            let (_, problems) = try_settings("http", &text, Path::new("."));
            assert_eq!(problems.len(), 1, "{named}: {problems:?}");
            assert!(problems[0].contains("no signature covers"), "{problems:?}");
        }
    }
    // What the owner says by himself is his.
    let own = sent("headers = { X-Forwarded-Proto = 'https' }", original()).await;
    assert_eq!(own.header("x-forwarded-proto"), Some("https"));
}

#[tokio::test]
async fn what_the_raw_body_is_packed_in_is_said_with_it() {
    let original = || {
        let headers = [("content-type", &b"text/x"[..]), ("content-encoding", b"gzip")];
        with_headers(1, "body", headers.into_iter().collect())
    };
    assert_eq!(sent("", original()).await.header("content-encoding"), Some("gzip"));
    let all = sent("forward_headers = true", original()).await;
    assert_eq!(all.header("content-encoding"), Some("gzip"));
    // A body of our own is not packed.
    let own = sent("body = 'x'\nforward_headers = true", original()).await;
    assert_eq!(own.header("content-encoding"), None);
}

#[tokio::test]
async fn a_batch_is_one_request_with_a_stable_id() {
    let server = BadServer::start([]);
    let deliveries = || [numbered(1, "{\"a\":\n1}"), numbered(2, "no json")];
    let json = http(&server.url("/"), "format = 'json'");
    assert_eq!(json.batch_max(), 1000);
    json.handle(&deliveries()).await.unwrap();
    json.handle(&deliveries()).await.unwrap();
    http(&server.url("/"), "format = 'ndjson'").handle(&deliveries()).await.unwrap();
    json.handle(&[numbered(1, "1")]).await.unwrap();
    let requests = server.requests();
    let ids: BTreeSet<_> = requests[..3].iter().map(|one| one.header("webhook-id")).collect();
    assert_eq!(ids.len(), 1);
    assert!(requests[0].header("webhook-id").unwrap().starts_with("batch-"));
    assert_eq!(requests[3].header("webhook-id"), Some(id(1).to_string().as_str()));
    let array: Vec<serde_json::Value> = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(array.len(), 2);
    assert_eq!(array[0]["payload"]["a"], 1);
    assert_eq!(array[1]["body_base64"], "bm8ganNvbg==");
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    let lines = String::from_utf8(requests[2].body.clone()).unwrap();
    assert_eq!(lines.lines().count(), 2);
    assert_eq!(requests[2].header("content-type"), Some("application/x-ndjson"));
}

async fn failure(answer: Answer) -> Failure {
    let server = BadServer::start([answer]);
    let result = http(&server.url("/"), "").handle(&[delivery("1")]).await;
    result.unwrap_err()
}

#[tokio::test]
async fn an_answer_is_success_only_with_a_status_that_says_so() {
    let error = failure(status(500)).await;
    assert_eq!(error.text.as_str(), "answered 500 Internal Server Error");
    assert_eq!((error.kind, error.status), (FailureKind::Transient, Some(500)));
    let error = failure(status(404)).await;
    assert_eq!((error.kind, error.status), (FailureKind::Transient, Some(404)), "a deploy");
    let error = failure(status(422)).await;
    assert_eq!((error.kind, error.status), (FailureKind::Permanent, Some(422)));
    let headers = vec![("retry-after", "120".to_owned())];
    let error = failure(Answer::Status(429, headers, "secret words".to_owned())).await;
    assert_eq!((error.kind, error.status), (FailureKind::Transient, Some(429)));
    assert_eq!(error.retry_after, Some(Duration::from_mins(2)));
    assert!(!error.text.as_str().contains("secret words"));
}

#[tokio::test]
async fn a_connection_that_breaks_is_transient() {
    for answer in [Answer::CutHead, Answer::Reset] {
        let error = failure(answer.clone()).await;
        assert_eq!(error.kind, FailureKind::Transient, "{answer:?}: {error}");
        assert!(!error.text.as_str().contains("127.0.0.1"), "{error}");
    }
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", unused.local_addr().unwrap());
    drop(unused);
    let error = http(&url, "").handle(&[delivery("1")]).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Transient);
    assert!(error.text.as_str().starts_with("no connection: Connection refused"), "{error}");
}

#[tokio::test]
async fn a_success_that_is_broken_off_is_tried_again() {
    for answer in [Answer::CutBody, Answer::CutChunk] {
        let error = failure(answer.clone()).await;
        let expected = Failure::transient("answered 200, then broke off").with_status(200);
        assert_eq!(error.clone().with_output(Output::default()), expected);
    }
}

#[tokio::test]
async fn a_body_that_is_long_endless_or_silent_changes_nothing() {
    let long = Answer::Status(200, Vec::new(), "x".repeat(1_000_000));
    for answer in [long, Answer::Endless, Answer::SilentBody] {
        let server = BadServer::start([answer]);
        let handler = http(&server.url("/"), "");
        handler.handle(&[delivery("1")]).await.unwrap();
        handler.handle(&[delivery("2")]).await.unwrap();
        assert_eq!(server.n_connections(), 2, "the first one is closed");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    install_tls();
    let server = BadServer::start([Answer::Hang]);
    let context = BuildContext { timeout: Duration::from_millis(200), ..context(Path::new(".")) };
    let text = format!("url = '{}'", server.url("/"));
    let handler = settings("http", &text, Path::new(".")).build(&context).unwrap();
    let error = handler.handle(&[delivery("1")]).await.unwrap_err();
    let expected = Failure::transient("no answer within 200ms");
    assert_eq!(error, expected.with_class(FailureClass::Timeout));
}

#[tokio::test]
async fn a_status_counts_even_where_the_call_has_little_time_for_the_body() {
    install_tls();
    let server = BadServer::start([Answer::SilentBody]);
    let timeout = Duration::from_secs(5);
    let context = BuildContext { timeout, ..context(Path::new(".")) };
    let text = format!("url = '{}'", server.url("/"));
    let handler = settings("http", &text, Path::new(".")).build(&context).unwrap();
    let delivery = [delivery("1")];
    tokio::time::timeout(timeout, handler.handle(&delivery)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = BadServer::start([]);
    let handler = http(&server.url("/"), "");
    for _ in 0..5 {
        handler.handle(&[delivery("1")]).await.unwrap();
    }
    assert_eq!(server.n_connections(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let inner = BadServer::start([]);
    let location = vec![("location", inner.url("/inner"))];
    let error = failure(Answer::Status(307, location, String::new())).await;
    assert_eq!((error.kind, error.status), (FailureKind::Permanent, Some(307)));
    assert_eq!(inner.n_connections(), 0);
}

#[tokio::test]
async fn a_refused_address_is_not_connected_to() {
    let server = BadServer::start([]);
    let port = server.address.port();
    // By number, by name, and in the forms that hide the number.
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/");
        let more = "deny = ['127.0.0.0/8', '::1']";
        let error = warned(&url, more).handle(&[delivery("1")]).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Permanent, "{host}: {error}");
        assert!(error.text.as_str().ends_with(" is refused"), "{host}: {error}");
    }
    assert_eq!(server.n_connections(), 0);
    let url = format!("http://localhost:{port}/");
    http(&url, "").handle(&[delivery("1")]).await.unwrap();
}

#[tokio::test]
async fn a_payload_that_chooses_the_host_cannot_choose_this_machine() {
    let server = BadServer::start([]);
    let url = "http://{{ data.host | safe }}/";
    let body = format!(r#"{{"data":{{"host":"{}"}}}}"#, server.address);
    let error = http(url, "").handle(&[delivery(&body)]).await.unwrap_err();
    assert_eq!(error, Failure::permanent("address 127.0.0.1 is refused").of_event());
    assert_eq!(server.n_connections(), 0);
    http(url, "allow_private = true").handle(&[delivery(&body)]).await.unwrap();
    http(url, "allow = ['127.0.0.1']").handle(&[delivery(&body)]).await.unwrap();
    // Without `safe` a value cannot even leave its place.
    let url = format!("http://127.0.0.1:{}{{{{ data }}}}/", server.address.port());
    let error = http(&url, "").handle(&[delivery(r#"{"data":"@evil"}"#)]).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Permanent);
}

#[test]
fn mistakes_in_the_settings_are_named() {
    let check = |text: &str, expected: &str| {
        let (_, problems) = try_settings("http", text, Path::new("."));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}");
    };
    let good = "url = 'http://a/'\n";
    check("", "`url` is missing");
    check("url = 'ftp://a/'", "not an http or https URL");
    check("url = 'a/b'", "`http://` or `https://` is missing");
    check("url = 'http://'", "not a URL");
    check("url = 'http://user:hunter2@a/'", "is not taken");
    check("url = 'http://a/{{ dta }}'", "`dta` is not in scope");
    check(&format!("{good}headers = {{ Host = 'b' }}"), "set by Gatepost itself");
    check(&format!("{good}headers = {{ 'a b' = 'b' }}"), "not the name of a header");
    check(&format!("{good}forward_headers = ['host']"), "cannot be passed on");
    check(&format!("{good}forward_headers = ['*']"), "`*` is no header's name");
    check(&format!("{good}forward_headers = 'all'"), "this is no list of headers");
    check(&format!("{good}format = 'json'\nbody = 'x'"), "a body of its own");
    check(&format!("{good}escape = 'json'"), "which is missing");
    check(&format!("{good}method = 'FETCH'"), "not known here");
    check(&format!("{good}rate_limit = '10'"), "is not a rate");
}

#[tokio::test]
async fn value_cannot_leave_its_place_in_the_path() {
    let server = BadServer::start([]);
    let settings = format!("url = '{}/users/{{{{ data }}}}/end'", server.url(""));
    let handler = handler("http", &settings, Path::new("."));
    for dots in ["..", "."] {
        let failure = handler.handle(&[delivery(format!("{{\"data\":\"{dots}\"}}"))]).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Permanent);
        assert!(failure.to_string().contains("a part `.` or `..`"), "{failure}");
    }
    assert!(server.requests().is_empty());
    for (url, has_dots) in [
        ("http://a/b/%2e%2E/c", true),
        ("http://a/b/.%2e", true),
        ("http://a/x\\..\\y", true),
        ("http://a/b/..c/...", false),
        ("http://a/b?x=/../", false),
        ("http://a", false),
    ] {
        assert_eq!(has_dot_segment(url), has_dots, "{url}");
    }
}
