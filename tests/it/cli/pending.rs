//! Reloads of what counts from the next start on, and of those who do not wait for the answer.

use std::time::Duration;

use super::super::support::gateway::{Folder, signature};
use super::super::support::patience::wait_until;
use super::super::support::program::{Served, printed, run};
use super::super::support::wire::{self, Wire};
use super::verbs::json;

fn with_queue(folder: &Folder, line: &str) {
    let text = std::fs::read_to_string(folder.config()).unwrap();
    let text = text.replace("[queue]\n", &format!("[queue]\n{line}\n"));
    std::fs::write(folder.config(), text).unwrap();
}

fn keys(served: &Served) -> Vec<(String, String)> {
    let keys = served.ask("GET", "/api/v1/config").json()["keys"].clone();
    serde_json::from_value(keys).unwrap()
}

fn value(served: &Served, key: &str) -> Option<String> {
    keys(served).into_iter().find(|(known, _)| known == key).map(|(_, value)| value)
}

#[test]
fn what_counts_from_the_next_start_on_stays_listed_and_is_not_shown_as_in_force() {
    let folder = Folder::new("", "");
    with_queue(&folder, "disk_max = \"1GiB\"");
    let served = Served::start(&folder);
    // A name that is not its own is answered 421.
    let by_name = || {
        let request = b"GET /login HTTP/1.1\r\nHost: a.example\r\n\r\n";
        wire::raw(served.admin(), request).unwrap().status
    };
    assert_eq!(by_name(), 421);
    let text = std::fs::read_to_string(folder.config()).unwrap();
    let text =
        text.replace("1GiB", "2GiB").replace("[admin]\n", "[admin]\nhosts = [\"a.example\"]\n");
    std::fs::write(folder.config(), text).unwrap();
    let line = "~ queue.disk_max: \"1GiB\" → \"2GiB\"  (from the next start on)";
    let changes = |arguments: &[&str]| json(&folder, arguments)["changes"].clone();
    let first = changes(&["reload"]);
    let hosts = first[0].as_str().unwrap();
    assert!(hosts.contains("admin.hosts") && !hosts.contains("next start"), "{first}");
    assert_eq!(first[1], line);
    for arguments in [&["reload"][..], &["check", "--diff"]] {
        assert_eq!(changes(arguments), serde_json::json!([line]), "{arguments:?}");
    }
    assert_eq!(value(&served, "queue.disk_max").as_deref(), Some("\"1GiB\""));
    let around = served.ask("GET", "/api/v1/config").json();
    assert_eq!(around["disk_max"], 1_u64 << 30);
    assert!(value(&served, "admin.hosts").unwrap().contains("a.example"));
    assert_ne!(by_name(), 421, "it counts at once");
    assert_eq!(served.stop(), Some(0));
    let served = Served::start(&folder);
    assert_eq!(changes(&["reload"]), serde_json::json!([]));
    assert_eq!(value(&served, "queue.disk_max").as_deref(), Some("\"2GiB\""));
    assert_eq!(served.stop(), Some(0));
}

/// A program that runs until its file is there keeps the reload waiting.
const SLOW: &str = r#"
[handler.slow]
on = ["userecho:*"]
CHANGED
[handler.slow.command]
run = ["/bin/sh", "-c", "touch began; until [ -e end ]; do sleep 0.05; done"]
"#;

#[test]
fn a_reload_goes_on_where_who_asked_has_hung_up() {
    let folder = Folder::new("", &SLOW.replace("CHANGED", ""));
    let served = Served::start(&folder);
    printed(&run(&folder, &["send", "userecho", "topic.created"]), 0);
    wait_until("the program runs", || folder.path().join("began").exists());
    let later = "[source.later]\nprovider = \"hyvor-talk\"\nsecrets = [{ file = \"secret\" }]\n";
    folder.write_config("", &(SLOW.replace("CHANGED", "concurrency = 2") + later));
    let token = std::fs::read_to_string(folder.path().join("data/admin-token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let head = wire::head(
        "POST",
        "/api/v1/reload",
        &[("Authorization", &bearer), ("Content-Length", "0")],
    );
    let mut wire = Wire::to(served.admin());
    wire.write(head.as_bytes());
    // It is on its way: sources are replaced, and a handler is waited for.
    let signed = signature(b"{}");
    let post =
        || wire::post(served.public(), "/hooks/later", &[("X-Signature", &signed)], b"{}").status;
    wait_until("the new source is there", || post() == 200);
    assert_eq!(value(&served, "handler.slow.concurrency"), None, "the reload waits");
    rustix::net::sockopt::set_socket_linger(wire.stream(), Some(Duration::ZERO)).unwrap();
    drop(wire);
    // Whether the server has seen the end by now cannot be told: its next look at that connection is before this answer.
    for _ in 0..20 {
        served.ask("GET", "/api/v1/config");
    }
    std::fs::write(folder.path().join("end"), "").unwrap();
    wait_until("all of it is in force", || {
        value(&served, "handler.slow.concurrency").as_deref() == Some("2")
    });
    assert_eq!(served.stop(), Some(0));
}
