//! The public listener within TLS, with certificates from files and from an authority.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use crate::support::gateway::{Folder, Gateway, signature};
use crate::support::patience::wait_until;
use crate::support::program::{Served, printed, run};
use crate::support::tls::{Pair, TlsWire, connect_believing};
use crate::support::wire::{self, Answer};

mod acme;
mod authorities;
mod http2;
mod renewal;

/// Goes into `[server]`.
const TLS: &str = "tls = { cert = \"cert.pem\", key = \"key.pem\" }";

/// A year in which no certificate of the tests ends soon.
const FAR: i32 = 2200;

fn folder(pair: &Pair) -> Folder {
    let folder = Folder::new(TLS, "");
    pair.write(folder.path());
    folder
}

/// Posts `body` to `hyvor` as Hyvor Talk signs it.
pub(crate) fn post(wire: &mut TlsWire, body: &[u8]) -> Option<Answer> {
    let (length, signature) = (body.len().to_string(), signature(body));
    let headers = [("Content-Length", &*length), ("X-Signature", &*signature)];
    let mut bytes = wire::head("POST", "/hooks/hyvor", &headers).into_bytes();
    bytes.extend_from_slice(body);
    wire.write(&bytes).answer()
}

/// The problems that `readyz` names.
fn problems(gateway: &Gateway) -> String {
    wire::request(gateway.admin, "GET", "/readyz", &[], b"").text()
}

/// The types of Gatepost's own events.
fn own_events(gateway: &Gateway) -> Vec<String> {
    let events = gateway.ask("GET", "/api/v1/events?source=gatepost", "").json();
    let events = events.as_array().unwrap_or_else(|| panic!("{events}"));
    events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tls_request_is_answered_and_the_connection_is_kept() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair));
    let mut wire = connect_believing(gateway.public, &pair.cert, &[b"http/1.1"]);
    let ids: Vec<String> = (0..3)
        .map(|n| post(&mut wire, format!("{{\"n\":{n}}}").as_bytes()).unwrap().id())
        .collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(wire.protocol(), Some(&b"http/1.1"[..]));
    // A body that is larger than a record of TLS.
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(200_000));
    post(&mut wire, large.as_bytes()).unwrap().id();
    gateway.wait_until_delivered("all", 4);
    assert_eq!(wire::request(gateway.admin, "GET", "/readyz", &[], b"").status, 200);
    gateway.stop();
}

#[test]
fn tls_limits_are_those_of_a_plain_connection() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair));
    let mut wire = connect_believing(gateway.public, &pair.cert, &[]);
    let head = wire::head("POST", "/hooks/hyvor", &[("X-Large", &"x".repeat(60_000))]);
    assert_eq!(wire.write(head.as_bytes()).answer().unwrap().status, 431);
    let mut wire = connect_believing(gateway.public, &pair.cert, &[]);
    let head = wire::head("POST", "/hooks/hyvor", &[("Content-Length", "2000000")]);
    assert_eq!(wire.write(head.as_bytes()).answer().unwrap().status, 413);
    gateway.stop();
}

#[test]
fn failed_handshakes_are_counted_with_what_helps() {
    let pair = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&pair));
    // Plain HTTP, a client that does not trust the certificate, and one that only looks in.
    let mut plain = wire::connect(gateway.public);
    std::io::Write::write_all(&mut plain, b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    let mut told = String::new();
    plain.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{told}");
    assert!(told.ends_with("\"detail\":\"this port speaks TLS: use https://\"}"), "{told}");
    let other = Pair::until(FAR);
    let mut distrustful = connect_believing(gateway.public, &other.cert, &[]);
    assert!(distrustful.handshake().is_err());
    drop(distrustful);
    drop(wire::connect(gateway.public));
    loop {
        let status = gateway.ask("GET", "/api/v1/status", "").json();
        let refused: Vec<(String, u64)> = status["refused"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["reason"].as_str().unwrap().to_owned(), row["count"].as_u64().unwrap()))
            .collect();
        let of = |words: &str| {
            refused.iter().find(|(reason, _)| reason.contains(words)).map(|(_, count)| *count)
        };
        if of("https://") == Some(1) && of("TLS handshake failed") == Some(1) {
            assert_eq!(refused.len(), 2, "{refused:?}");
            break;
        }
        std::thread::yield_now();
    }
    gateway.stop();
}

#[test]
fn slow_handshake_is_ended() {
    let pair = Pair::until(FAR);
    let folder = Folder::new(&format!("{TLS}\nrequest_timeout = \"200ms\""), "");
    pair.write(folder.path());
    let gateway = Gateway::serve(folder);
    let mut silent = wire::connect(gateway.public);
    // Ended by the server, and not by the wire's own patience.
    let ended = silent.read(&mut [0; 8]).map_err(|err| err.kind());
    assert!(matches!(ended, Ok(0) | Err(std::io::ErrorKind::ConnectionReset)), "{ended:?}");
    gateway.stop();
}

#[test]
fn renewed_files_are_taken_over_by_a_reload_and_broken_ones_are_told() {
    let old = Pair::until(FAR);
    let gateway = Gateway::serve(folder(&old));
    let mut kept = connect_believing(gateway.public, &old.cert, &[]);
    post(&mut kept, b"{\"n\":1}").unwrap().id();

    let new = Pair::until(FAR);
    new.write(gateway.folder.path());
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    let mut wire = connect_believing(gateway.public, &new.cert, &[]);
    post(&mut wire, b"{\"n\":2}").unwrap().id();
    post(&mut kept, b"{\"n\":3}").unwrap().id();
    assert!(connect_believing(gateway.public, &old.cert, &[]).handshake().is_err());

    // A key that is not the certificate's: the listener goes on with what it has.
    std::fs::write(gateway.folder.path().join("key.pem"), &old.key).unwrap();
    let reloaded = gateway.ask("POST", "/api/v1/reload", "");
    assert!(reloaded.text().contains("does not belong"), "{}", reloaded.text());
    let problems = problems(&gateway);
    assert!(problems.contains("does not belong to the first certificate"), "{problems}");
    assert!(!problems.contains("PRIVATE KEY"), "{problems}");
    let mut wire = connect_believing(gateway.public, &new.cert, &[]);
    post(&mut wire, b"{\"n\":4}").unwrap().id();

    std::fs::write(gateway.folder.path().join("key.pem"), &new.key).unwrap();
    assert_eq!(gateway.ask("POST", "/api/v1/reload", "").status, 200);
    assert_eq!(wire::request(gateway.admin, "GET", "/readyz", &[], b"").status, 200);
    gateway.stop();
}

#[test]
fn ended_certificate_is_served_and_told_of() {
    let pair = Pair::until(2020);
    let gateway = Gateway::serve(folder(&pair));
    let text = problems(&gateway);
    assert!(text.contains("hooks.example.com ended on 2020-01-01"), "{text}");
    wait_until("the ending certificate is told", || own_events(&gateway) == ["certificate.ending"]);
    gateway.stop();
}

#[test]
fn check_names_what_is_wrong_with_a_certificate() {
    let (pair, other) = (Pair::until(FAR), Pair::until(FAR));
    let folder = folder(&pair);
    printed(&run(&folder, &["check"]), 0);
    let check = |code| {
        let output = run(&folder, &["check"]);
        printed(&output, code);
        String::from_utf8(output.stderr).unwrap()
    };
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("key.pem", &other.key);
    let told = check(3);
    assert!(told.contains("does not belong to the first certificate in `cert`"), "{told}");
    write("key.pem", "");
    let told = check(3);
    assert!(told.contains("key.pem") && told.contains("empty"), "{told}");
    std::fs::remove_file(folder.path().join("key.pem")).unwrap();
    let told = check(3);
    assert!(told.contains("key.pem") && told.contains("No such file"), "{told}");
    assert!(told.contains("must be able to read it"), "{told}");
    write("key.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHs\n");
    let told = check(3);
    assert!(told.contains("`key` has a passphrase: take it off by `openssl pkey"), "{told}");
    pair.write(folder.path());
    let everybody = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(folder.path().join("key.pem"), everybody).unwrap();
    let told = check(0);
    assert!(told.contains("every user of this machine can read the"), "{told}");
    Pair::until(2020).write(folder.path());
    let told = check(0);
    assert!(!told.contains("every user"), "{told}");
    assert!(told.contains("warning: the certificate for hooks.example.com ended on"), "{told}");
    assert!(!told.contains("BEGIN"), "{told}");
}

#[test]
fn send_and_banner_speak_tls_where_the_listener_does() {
    let folder = folder(&Pair::until(FAR));
    // The command line finds the listener by the configuration.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = std::fs::read_to_string(folder.config()).unwrap();
    let listen = format!("[server]\nlisten = \"127.0.0.1:{port}\"");
    let text = text.replacen("[server]\nlisten = \"127.0.0.1:0\"", &listen, 1);
    std::fs::write(folder.config(), text).unwrap();
    let served = Served::start(&folder);
    assert_eq!(served.url, format!("https://127.0.0.1:{port}"));
    let sent = printed(&run(&folder, &["send", "hyvor", "comment.create"]), 0);
    assert!(sent.starts_with("stored as "), "{sent}");
    assert_eq!(served.stop(), Some(0));
}
