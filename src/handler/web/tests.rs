use std::io::{Read, Write};
use std::path::Path;

use reqwest::header::{HeaderName, HeaderValue};

use super::super::testing::{context, install_tls};
use super::*;
use crate::event::Output;

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = Timestamp::parse_rfc3339("1994-11-06T08:49:07Z").unwrap();
    let check = |value: &str, expected: Option<u64>| {
        let expected = expected.map(Duration::from_secs);
        assert_eq!(parse_retry_after(value, now), expected, "{value}");
    };
    check("120", Some(120));
    check(" 0 ", Some(0));
    check("Sun, 06 Nov 1994 08:49:37 GMT", Some(30));
    check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
    check("Sunday, 06-Nov-94 08:49:37 GMT", Some(30));
    check("Sun Nov  6 08:49:37 1994", Some(30));
    check("99999999999", Some(7 * 86_400));
    check("99999999999999999999999", Some(7 * 86_400));
    assert_eq!(parse_retry_after("1.5", now), Some(Duration::from_millis(1_500)));
    check("1e3", None);
    check("inf", None);
    check("soon", None);
    check("-5", None);
    check("", None);
}

#[test]
fn a_status_is_success_transient_or_permanent() {
    let judge = |status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        let retry_after = Some(Duration::from_secs(9));
        let output = Output::default();
        Answer { status, retry_after, body: Vec::new(), output, end: End::Whole }.judge()
    };
    for status in [200, 201, 202, 204, 299] {
        judge(status).unwrap();
    }
    for status in [401, 403, 404, 408, 413, 425, 429, 451, 500, 502, 503, 504, 599] {
        let failure = judge(status).unwrap_err();
        assert_eq!(failure.kind, crate::event::FailureKind::Transient, "{status}");
        assert_eq!(failure.retry_after, Some(Duration::from_secs(9)), "{status}");
    }
    for status in [301, 302, 304, 307, 400, 410, 422] {
        let failure = judge(status).unwrap_err();
        let has_moved = [301, 302, 307].contains(&status);
        assert_eq!(failure.text.as_str().contains("the new URL"), has_moved, "{failure}");
        assert_eq!(failure.kind, crate::event::FailureKind::Permanent, "{status}");
        assert_eq!(failure.status, Some(status));
    }
}

#[test]
fn a_name_with_one_good_address_is_used_without_the_others() {
    let guard = Guard::default();
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let (good, bad) = (address("192.0.2.1:0"), address("169.254.169.254:0"));
    assert_eq!(guard.permitted([bad, good].into_iter()).unwrap(), [good]);
    assert!(guard.permitted([bad].into_iter()).is_err());
    assert!(guard.permitted(std::iter::empty()).unwrap().is_empty());
}

#[test]
fn only_a_length_chunks_and_http_2_promise_an_end() {
    let check = |version, headers: &[(&'static str, &str)], expected| {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        assert_eq!(promises_an_end(version, &headers.collect()), expected);
    };
    check(Version::HTTP_11, &[], false);
    check(Version::HTTP_10, &[("connection", "close")], false);
    check(Version::HTTP_11, &[("content-length", "5")], true);
    check(Version::HTTP_11, &[("transfer-encoding", "gzip, Chunked")], true);
    check(Version::HTTP_11, &[("transfer-encoding", "gzip")], false);
    check(Version::HTTP_2, &[], true);
}

/// Gives `answer` to one request over TLS, then ends the connection without a word. Beside its address its own
/// certificate.
fn rude_tls_server(answer: &'static str) -> (SocketAddr, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = certified.cert.pem();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.unwrap())
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, tcp);
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.ends_with(b"\r\n\r\n") {
            // A client that does not believe the certificate goes away.
            if stream.read_exact(&mut byte).is_err() {
                return;
            }
            request.extend(byte);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        stream.flush().unwrap();
    });
    (address, pem)
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_whole_without_the_last_word_of_tls() {
    install_tls();
    let check = async |answer: &'static str, expected: End, is_done: bool| {
        let mut web =
            Web::new(Guard::default(), None, Speaks::Any, &context(Path::new("."))).unwrap();
        web.client = Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
        let (address, _) = rude_tls_server(answer);
        let url = format!("https://{address}/").parse().unwrap();
        let answer =
            web.send(request(Method::GET, url, HeaderMap::new(), Bytes::new())).await.unwrap();
        assert_eq!((answer.end, answer.body.as_slice()), (expected, &b"done"[..]));
        assert_eq!(answer.judge_whole().is_ok(), is_done);
        answer.judge().unwrap();
    };
    check("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndone", End::Whole, true).await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone", End::Whole, true).await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ndone", End::BrokenOff, false).await;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndone\r\n";
    check(chunked, End::BrokenOff, false).await;
}

#[tokio::test]
async fn a_certificate_of_its_own_is_believed_where_ca_names_it() {
    install_tls();
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\ndone";
    let send = async |ca: Option<&Path>, address: SocketAddr| {
        let web = Web::new(Guard::default(), ca, Speaks::Any, &context(Path::new("."))).unwrap();
        // Not the name that it is for.
        let url = format!("https://{address}/").parse().unwrap();
        web.send(request(Method::GET, url, HeaderMap::new(), Bytes::new())).await
    };
    let (address, pem) = rude_tls_server(answer);
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("own.pem");
    std::fs::write(&ca, pem).unwrap();
    send(Some(&ca), address).await.unwrap().judge_whole().unwrap();
    for other in [None, Some(ca.as_path())] {
        let (address, _) = rude_tls_server(answer);
        let Err(failure) = send(other, address).await else { panic!("it was believed") };
        let text = failure.text.as_str();
        assert!(text.contains("can be named in `ca`"), "{text}");
    }
}

/// Says `answer` to whatever comes first, then ends the connection.
fn speaker(answer: &'static [u8]) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let _read = tcp.read(&mut [0; 4_096]).unwrap();
        tcp.write_all(answer).unwrap();
    });
    address
}

#[tokio::test]
async fn tls_against_plain_is_told_with_what_to_write() {
    install_tls();
    let check = async |scheme: &str, answer: &'static [u8], expected: &str| {
        let web = Web::new(Guard::default(), None, Speaks::Any, &context(Path::new("."))).unwrap();
        let url = format!("{scheme}://{}/", speaker(answer)).parse().unwrap();
        let sent = web.send(request(Method::POST, url, HeaderMap::new(), Bytes::from("{}"))).await;
        let failure = sent.and_then(|answer| answer.judge()).unwrap_err();
        assert_eq!(failure.kind, crate::event::FailureKind::Transient);
        assert!(failure.text.as_str().ends_with(expected), "{failure}");
    };
    let plain = "speaks no TLS on this port: write `http://`, or the port of `https://`";
    check("https", b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", plain).await;
    check("https", b"", "if the other side speaks no TLS on this port, write `http://`").await;
    // An alert: handshake failure.
    let tls = "if the other side speaks TLS on this port, write `https://`";
    check("http", b"\x15\x03\x03\x00\x02\x02\x28", tls).await;
    let nginx = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 50\r\n\r\n\
                  The plain HTTP request was sent to HTTPS port.....";
    let expected = "answered 400 Bad Request: it speaks TLS on this port: write `https://`";
    check("http", nginx, expected).await;
}

#[tokio::test]
async fn answer_with_many_headers_counts_by_its_status() {
    install_tls();
    let headers: String = (0..1_000).map(|_| "x-n: n\r\n").collect();
    let answer = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 4\r\n\r\ndone");
    let web = Web::new(Guard::default(), None, Speaks::Any, &context(Path::new("."))).unwrap();
    let url = format!("http://{}/", speaker(answer.leak().as_bytes())).parse().unwrap();
    let sent = web.send(request(Method::POST, url, HeaderMap::new(), Bytes::from("{}"))).await;
    let answer = sent.unwrap_or_else(|failure| panic!("{failure}"));
    answer.judge_whole().unwrap();
    assert_eq!(answer.body, b"done");
}

#[tokio::test]
async fn answer_with_a_long_head_by_http_2_counts_by_its_status() {
    install_tls();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let mut config =
        config.with_single_cert(vec![certified.cert.der().clone()], key.unwrap()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("own.pem");
    std::fs::write(&ca, certified.cert.pem()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let serve = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let tls = acceptor.accept(tcp).await.unwrap();
        let mut connection = h2::server::handshake(tls).await.unwrap();
        let (_request, mut answer) = connection.accept().await.unwrap().unwrap();
        let mut response = ::http::Response::builder();
        for n in 0..100 {
            response = response.header(format!("x-n{n}"), "x".repeat(1_000));
        }
        answer.send_response(response.body(()).unwrap(), true).unwrap();
        // Writes it, until the client has gone.
        while connection.accept().await.is_some() {}
    };
    let call = async {
        let web =
            Web::new(Guard::default(), Some(&ca), Speaks::Any, &context(Path::new("."))).unwrap();
        web.send(request(Method::POST, url, HeaderMap::new(), Bytes::from("{}"))).await
    };
    // The client keeps the connection where it fails: the server would wait for more.
    let answer = tokio::select! {
        answer = call => answer,
        () = serve => panic!("the server ended before its client"),
    };
    answer.unwrap_or_else(|failure| panic!("{failure}")).judge_whole().unwrap();
}
