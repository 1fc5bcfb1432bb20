//! HTTP/2 on the public listener.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{FAR, folder};
use crate::support::gateway::{Gateway, signature};
use crate::support::http2::{
    Ask, Client, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, field, frame, head,
};
use crate::support::servers::{find, skip};
use crate::support::tls::{NAME, Pair, connect_believing};

#[test]
fn http2_is_spoken_with_curl() {
    if find("curl").is_none() {
        return skip("`curl` is not installed");
    }
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair));
    let cert = gateway.folder.path().join("cert.pem");
    let port = gateway.public.port();
    let curl = |path: &str, body: &[u8], arguments: &[&str]| {
        let file = gateway.folder.path().join("body");
        std::fs::write(&file, body).unwrap();
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--http2", "--noproxy", "*"])
            .args(["--write-out", "\n%{http_version} %{http_code}", "--cacert"])
            .arg(&cert)
            .args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")])
            .args(["--header", &format!("X-Signature: {}", signature(body))])
            .args(["--data-binary", &format!("@{}", file.display())])
            .args(arguments)
            .arg(format!("https://{NAME}:{port}{path}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // The larger is more than what a client may send before some of it is read.
    for body in [b"{\"n\":1}".to_vec(), vec![b'x'; 900_000]] {
        let printed = curl("/hooks/hyvor", &body, &[]);
        let (answer, status) = printed.rsplit_once('\n').unwrap();
        assert_eq!(status, "2 200", "{answer}");
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        let id = answer["id"].as_str().unwrap();
        let raw = gateway.ask("GET", &format!("/api/v1/events/{id}/raw"), "");
        assert_eq!(raw.body, body);
    }
    let large = format!("X-Large: {}", "x".repeat(49 << 10));
    for (path, length, arguments, status) in [
        ("/hooks/hyvor", 2_000_000, &["--header", "Expect: 100-continue"][..], "2 413"),
        ("/hooks/hyvor", 2_000_000, &[], "2 413"),
        ("/hooks/hyvor", 10, &["--request", "PUT"], "2 405"),
        ("/hooks/nobody", 10, &[], "2 404"),
        ("/hooks/hyvor", 10, &["--header", &large], "2 431"),
    ] {
        let printed = curl(path, &vec![b'x'; length], arguments);
        assert!(printed.ends_with(status), "{path} {length}: {printed}");
    }
    gateway.stop();
}

#[test]
fn http2_requests_on_one_connection_are_answered_at_once() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair));
    let client = Client::connect(gateway.public, &pair.cert);
    let asks: Vec<_> = (0..500).map(|n| Ask::event(format!("{{\"n\":{n}}}").as_bytes())).collect();
    // With its answer comes how many may be asked at once.
    let (first, others) = asks.split_first().unwrap();
    let first = client.ask(first);
    let answers = std::iter::once(first).chain(client.ask_all(others));
    let ids: std::collections::BTreeSet<_> = answers.map(|answer| answer.unwrap().id()).collect();
    assert_eq!(ids.len(), 500);
    assert_eq!(client.streams_max(), 64);
    gateway.wait_until_delivered("all", 500);
    gateway.stop();
}

#[test]
fn http2_answers_have_the_headers_of_http1() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair));
    let client = Client::connect(gateway.public, &pair.cert);
    let mut wire = connect_believing(gateway.public, &pair.cert, &[b"http/1.1"]);
    for (method, path) in
        [("GET", "/healthz"), ("HEAD", "/healthz"), ("GET", "/hooks/hyvor"), ("GET", "/x")]
    {
        let answer = client.ask(&Ask::new(method, path, b"")).unwrap();
        let head = crate::support::wire::head(method, path, &[]);
        let old = if method == "HEAD" { None } else { wire.write(head.as_bytes()).answer() };
        if let Some(old) = old {
            assert_eq!(answer.status, old.status, "{path}");
            assert_eq!(answer.body, old.body, "{path}");
            let names = |headers: &[(String, String)]| {
                let names = headers.iter().map(|(name, _)| name.clone());
                names.collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(names(&answer.headers), names(&old.headers), "{path}");
        }
        if method == "HEAD" {
            assert_eq!(answer.header("content-length"), Some("15"));
        }
    }
    gateway.stop();
}

#[test]
fn http2_host_is_the_authority() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair));
    let client = Client::connect(gateway.public, &pair.cert);
    let id = client.ask(&Ask::event(b"{\"n\":1}")).unwrap().id();
    let event = gateway.ask("GET", &format!("/api/v1/events/{id}"), "").json();
    assert!(event.to_string().contains(&format!("[\"host\",\"{NAME}\"]")), "{event}");
    for (n, hosts, status) in [
        (2, vec![NAME], 200),
        (3, vec!["HOOKS.example.com"], 200),
        (4, vec!["other.example.com"], 400),
        (5, vec![NAME, NAME], 400),
    ] {
        let mut ask = Ask::event(format!("{{\"n\":{n}}}").as_bytes());
        for host in &hosts {
            ask = ask.header("host", *host);
        }
        assert_eq!(client.ask(&ask).unwrap().status, status, "{hosts:?}");
    }
    gateway.stop();
}

#[test]
fn http2_connection_goes_on_behind_bodies_that_were_not_read() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair));
    let client = Client::connect(gateway.public, &pair.cert);
    let large = vec![b'x'; 100_000];
    for _ in 0..50 {
        let answers = client.ask_all(&[
            Ask::new("POST", "/nowhere", b"{}"),
            Ask::new("PUT", "/hooks/hyvor", b"{}"),
            Ask::new("POST", "/hooks/nobody", &large),
        ]);
        let statuses: Vec<_> = answers.iter().map(|it| it.as_ref().unwrap().status).collect();
        assert_eq!(statuses, [404, 405, 404]);
    }
    client.ask(&Ask::event(b"{\"n\":1}")).unwrap().id();
    gateway.stop();
}

#[test]
fn http2_client_waits_until_it_is_asked_to_go_on() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair));
    let mut frames = Frames::connect(gateway.public, &pair.cert);
    let mut block = head("POST", "/hooks/hyvor");
    block.extend(field("x-signature", &signature(b"{}")));
    block.extend(field("expect", "100-continue"));
    frames.write(&frame(HEADERS, END_HEADERS, 1, &block)).unwrap();
    let next = |frames: &mut Frames| {
        std::iter::from_fn(|| frames.read()).find(|frame| frame.kind == HEADERS).unwrap()
    };
    // `:status 100`: the name is in HPACK's table, the value is not.
    assert!(next(&mut frames).payload.len() < 8);
    frames.write(&frame(DATA, END_STREAM, 1, b"{}")).unwrap();
    assert_eq!(next(&mut frames).payload[0], 0x88, "`:status 200`");
    gateway.stop();
}

#[test]
fn http2_requests_that_are_answered_before_a_stop_are_stored() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair));
    let (public, cert) = (gateway.public, pair.cert.clone());
    let is_stopping = AtomicBool::new(false);
    let (acknowledged, gateway) = std::thread::scope(|scope| {
        let is_stopping = &is_stopping;
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let client = Client::connect(public, &cert);
                scope.spawn(move || {
                    let mut ids = Vec::new();
                    for n in 0.. {
                        let asks: Vec<_> = (0..8)
                            .map(|one| Ask::event(format!("[{sender},{n},{one}]").as_bytes()))
                            .collect();
                        let mut is_over = false;
                        for answer in client.ask_all(&asks) {
                            match answer {
                                Ok(answer) => ids.push(answer.id()),
                                Err(err) => {
                                    // The server said goodbye, and by the protocol has not begun
                                    // with what comes behind it.
                                    assert!(is_stopping.load(Ordering::Relaxed), "{err}");
                                    let reason = err.reason();
                                    assert_eq!(reason, Some(h2::Reason::NO_ERROR), "{err:?}");
                                    is_over = true;
                                }
                            }
                        }
                        if is_over {
                            break;
                        }
                    }
                    let ended = client.ended();
                    assert!(ended.as_ref().err().is_none_or(h2::Error::is_io), "{ended:?}");
                    ids
                })
            })
            .collect();
        while gateway.metric("gatepost_requests_total{source=\"hyvor\",outcome=\"accepted\"}") < 200
        {
            std::thread::yield_now();
        }
        is_stopping.store(true, Ordering::Relaxed);
        let folder = gateway.stop_and_keep();
        let ids: Vec<String> =
            senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
        (ids, Gateway::serve(folder))
    });
    assert!(acknowledged.len() >= 200, "{}", acknowledged.len());
    for id in acknowledged {
        assert_eq!(gateway.ask("GET", &format!("/api/v1/events/{id}"), "").status, 200);
    }
    gateway.stop();
}
