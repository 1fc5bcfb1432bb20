//! What is kept of an answer, and how fast requests follow each other.

use super::*;

/// What is kept of an answer.
fn head(output: &Output) -> &str {
    output.excerpts().first().map_or("", |excerpt| excerpt.text())
}

#[tokio::test]
async fn head_of_an_answer_is_kept_without_secrets() {
    let said = |status| {
        let headers = [
            ("Server", "nginx"),
            ("Set-Cookie", "session=5"),
            ("X-Api-Key", "abc"),
            ("X-Echo", "you sent Bearer s3cret-value"),
            ("Location", "http://a/login?token=5"),
            ("X-Odd", "a\tb"),
        ];
        let headers = headers.map(|(name, value)| (name, value.to_owned()));
        Answer::Status(status, headers.to_vec(), "{\"token\":5}\n".to_owned())
    };
    let long = Answer::Status(200, vec![("X-Long", "x".repeat(3_000))], String::new());
    let server = BadServer::start([said(200), said(503), long]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "s3cret-value").unwrap();
    let headers =
        "headers = { Authorization = { prefix = 'Bearer ', secret = { file = 'token' } } }";
    let text = format!("url = '{}'\n{headers}", server.url("/"));
    let handler = handler("http", &text, folder.path());
    let output = handler.handle(&[delivery("1")]).await.unwrap();
    let expected = |status| {
        format!(
            "HTTP/1.1 {status}\nserver: nginx\nset-cookie: (hidden)\nx-api-key: (hidden)\n\
             x-echo: (hidden)\nlocation: http://a/login?…\nx-odd: a\tb\ncontent-length: 12"
        )
    };
    assert_eq!(head(&output), expected("200 OK"));
    let failure = handler.handle(&[delivery("1")]).await.unwrap_err();
    let refused = format!("{}\n\n{{\"token\":\"(hidden)\"}}", expected("503 Service Unavailable"));
    assert_eq!(head(&failure.output), refused, "what was refused says why in its body");
    let output = handler.handle(&[delivery("1")]).await.unwrap();
    assert_eq!(head(&output).len(), 1_024);
}

#[tokio::test]
async fn rate_limit_spreads_requests_and_what_waits_is_no_failure() {
    let server = BadServer::start([]);
    let text = format!("url = '{}'\nrate_limit = '100/s'", server.url("/"));
    let fast = handler("http", &text, Path::new("."));
    let began = tokio::time::Instant::now();
    // The tests' clock does not move, so each waits for all before it.
    for n_before in 0..5_u32 {
        fast.handle(&[delivery("1")]).await.unwrap();
        assert!(began.elapsed() >= n_before * Duration::from_millis(10));
    }
    let text = text.replace("100/s", "2/h");
    let slow = handler("http", &text, Path::new("."));
    slow.handle(&[delivery("1")]).await.unwrap();
    let failure = slow.handle(&[delivery("1")]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Paused);
    assert_eq!(failure.retry_after, Some(Duration::from_mins(30)));
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn online_check_tells_whether_the_machine_can_be_reached() {
    install_tls();
    let server = BadServer::start([]);
    let there = settings("http", &format!("url = '{}'", server.url("/")), Path::new("."));
    there.check_online(&context(Path::new("."))).await.unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let away = settings("http", &format!("url = 'http://{address}/secret'"), Path::new("."));
    let err = away.check_online(&context(Path::new("."))).await.unwrap_err();
    assert_eq!(err.to_string(), format!("connecting to `{address}` failed"));
    let refused = format!("url = 'http://{address}/'\ndeny = ['127.0.0.0/8']");
    let refused = try_settings("http", &refused, Path::new(".")).0.unwrap();
    refused.check_online(&context(Path::new("."))).await.unwrap_err();
    let chosen = settings("http", "url = 'http://{{ data }}/'", Path::new("."));
    chosen.check_online(&context(Path::new("."))).await.unwrap();
}
