//! Whom a gateway does not give a copy to, and what a standby does not follow.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::process::{StandbyProcess, WAITS, command};
use crate::support::gateway::{Folder, Gateway};
use crate::support::patience::wait_until;
use crate::support::program::Served;
use crate::support::wire;

/// What it says when it ends by itself.
fn told(mut command: std::process::Command) -> String {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    told
}

#[test]
fn a_wrong_token_is_told_at_once() {
    let gateway = Folder::new("", WAITS);
    let served = Served::start(&gateway);
    let wrong = Folder::new("", "");
    std::fs::create_dir(wrong.path().join("data")).unwrap();
    std::fs::write(wrong.path().join("data/standby-token"), "wrong").unwrap();
    let told = told(command(&wrong, served.admin(), &wrong.path().join("copy")));
    assert!(told.contains("does not know the token"), "{told}");
    assert!(!wrong.path().join("copy").exists(), "a half-made copy");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn the_standbys_token_opens_the_copy_and_nothing_else() {
    let gateway = Gateway::with("", "[standby]\n");
    let token = std::fs::read_to_string(gateway.folder.path().join("data/standby-token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let headers = [("Authorization", bearer.as_str())];
    let ask = |method: &str, path: &str, body: &[u8]| {
        wire::request(gateway.admin, method, path, &headers, body)
    };
    for path in ["/", "/api/v1/status", "/api/v1/events", "/api/v1/export"] {
        let answer = ask("GET", path, b"");
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
    }
    assert_eq!(ask("POST", "/api/v1/dead/drop", b"{}").status, 403);
    let hello = br#"{"format":2,"version":"0","name":"x","gateway":null,"stand":null}"#;
    assert_eq!(ask("POST", "/api/v1/standby/hello", hello).status, 200);
    assert_eq!(ask("GET", "/api/v1/standby/hello", b"").status, 405);
    let pull = br#"{"session":"x","from":null,"durable":{"segment":9,"offset":9},"kept":[],"keys":[],"wait_ms":0}"#;
    assert_eq!(ask("POST", "/api/v1/standby/pull", pull).status, 404, "no such session");
    let newer = br#"{"format":3,"version":"7.0.0","name":"x","gateway":null,"stand":null}"#;
    let answer = ask("POST", "/api/v1/standby/hello", newer);
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.text().contains("run the same version on both"), "{answer:?}");
    let anybody = wire::request(gateway.admin, "POST", "/api/v1/standby/hello", &[], hello);
    assert_eq!(anybody.status, 401);
    gateway.stop();
}

#[test]
fn a_gateway_of_another_version_is_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut part) = (Vec::new(), [0; 4_096]);
        // All of it, so that nothing is left unread when the connection ends.
        while !request.ends_with(b"}") {
            let n_read = stream.read(&mut part).unwrap();
            assert!(n_read > 0);
            request.extend_from_slice(&part[..n_read]);
        }
        let body = r#"{"format":3,"version":"7.0.0","gateway":"g","session":"s"}"#;
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    });
    let folder = Folder::new("", "");
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/standby-token"), "token").unwrap();
    let told = told(command(&folder, address, &folder.path().join("copy")));
    assert!(told.contains("the gateway (7.0.0) keeps its queue in format 3"), "{told}");
    answering.join().unwrap();
}

/// Answers hello, and nothing else.
fn answers_hello_only(listener: &TcpListener, n_hellos: u32) {
    let mut n_seen = 0;
    while n_seen < n_hellos {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut part) = (Vec::new(), [0; 4_096]);
        while !request.ends_with(b"}") {
            let n_read = stream.read(&mut part).unwrap();
            assert!(n_read > 0);
            request.extend_from_slice(&part[..n_read]);
        }
        let is_hello = request.starts_with(b"POST /api/v1/standby/hello");
        n_seen += u32::from(is_hello);
        let (status, body) = if is_hello {
            ("200 OK", r#"{"format":2,"version":"0.2.0","gateway":"g","session":"s"}"#)
        } else {
            ("503 Service Unavailable", "{}")
        };
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    }
}

/// Each time that it begins anew, as with a gateway whose disk is full, it is the same gateway.
#[test]
fn a_standby_says_once_whom_it_follows_and_goes_by_no_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = Folder::new("", "");
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/standby-token"), "token").unwrap();
    let mut command = command(&folder, address, &folder.path().join("copy"));
    // Nobody is there.
    command.env("http_proxy", "http://127.0.0.1:1").env("all_proxy", "http://127.0.0.1:1");
    command.env_remove("no_proxy").env_remove("NO_PROXY");
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut standby = command.spawn().unwrap();
    answers_hello_only(&listener, 4);
    standby.kill().unwrap();
    let output = standby.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.matches("following").count(), 1, "{said}");
}

#[test]
fn a_folder_in_use_or_of_another_gateway_is_refused() {
    let (one, two) = (Folder::new("", WAITS), Folder::new("", WAITS));
    let (first, second) = (Served::start(&one), Served::start(&two));
    let copy = tempfile::tempdir().unwrap();
    let mut standby = StandbyProcess::start(&one, first.admin(), copy.path());
    standby.wait_until_complete();
    let in_use = told(command(&one, first.admin(), copy.path()));
    assert!(in_use.contains("is held by gatepost"), "{in_use}");
    standby.kill();
    let other = told(command(&two, second.admin(), copy.path()));
    assert!(other.contains("belongs to another gateway"), "{other}");
    let admin = first.admin();
    assert_eq!((first.stop(), second.stop()), (Some(0), Some(0)));
    let own = told(command(&one, admin, &one.path().join("data")));
    assert!(own.contains("holds a queue that a gateway serves from"), "{own}");
}

#[test]
fn a_copy_that_falls_behind_is_told_and_so_is_its_end() {
    let gateway = Folder::new(
        "",
        "[standby]\nlag_max = \"1s\"\n[handler.alerts]\non = [\"gatepost:standby.*\"]\n\
         [handler.alerts.file]\npath = \"data/alerts.jsonl\"\n",
    );
    let served = Served::start(&gateway);
    let alerts = || {
        let path = gateway.path().join("data/alerts.jsonl");
        std::fs::read_to_string(path).unwrap_or_default()
    };
    wait_until("standby.lag is told", || alerts().contains("standby.lag"));
    assert!(!alerts().contains("standby.caught_up"));
    let copy = tempfile::tempdir().unwrap();
    let mut standby = StandbyProcess::start(&gateway, served.admin(), copy.path());
    standby.wait_until_complete();
    wait_until("standby.caught_up is told", || alerts().contains("standby.caught_up"));
    standby.kill();
    assert_eq!(served.stop(), Some(0));
}
