//! An event whose handling ends the process.

use super::super::support::gateway::{Folder, signature};
use super::super::support::program::{self, Served, printed, run};
use super::super::support::wire::{self, Wire, head};

#[test]
fn an_event_that_ends_the_process_is_set_aside_after_two_starts() {
    let rest = r#"
        [handler.bad]
        on = ["hyvor:comment.bad"]
        start = "oldest"
        [handler.bad.command]
        run = ["/bin/sh", "-c", "kill -KILL $PPID"]
    "#;
    let folder = Folder::new("", rest);
    let served = Served::start(&folder);
    let post = |at, body: &str| {
        let signature = signature(body.as_bytes());
        let headers = [("X-Signature", signature.as_str())];
        wire::post(at, "/hooks/hyvor", &headers, body.as_bytes()).id()
    };
    let good = post(served.public(), r#"{"event":"comment.good"}"#);
    // Of two handlers' calls that are under way it could be either, which takes one start more.
    printed(&run(&folder, &["handlers", "pause", "all"]), 0);
    let body = br#"{"event":"comment.bad"}"#;
    let (signature, length) = (signature(body), body.len().to_string());
    let headers = [("X-Signature", signature.as_str()), ("Content-Length", length.as_str())];
    let mut wire = Wire::to(served.public());
    // It may be handled before its answer is on the way.
    drop(wire.write(head("POST", "/hooks/hyvor", &headers).as_bytes()).write(body).answer());
    assert_eq!(served.wait(), None, "a signal ended it");
    for _ in 0..2 {
        let ended = program::command(&folder, &["serve"]).output().unwrap();
        assert_eq!(ended.status.code(), None, "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let served = Served::start(&folder);
    served.wait_until_delivered("bad");
    printed(&run(&folder, &["handlers", "resume", "all"]), 0);
    served.wait_until_delivered("all");
    let dead = served.ask("GET", "/api/v1/dead").json();
    assert_eq!(dead.as_array().unwrap().len(), 1, "{dead}");
    let bad = dead[0]["id"].as_str().unwrap();
    assert!(dead[0]["reason"].as_str().unwrap().contains("set aside"), "{dead}");
    let lines = std::fs::read_to_string(folder.path().join("data/events.jsonl")).unwrap();
    assert!(lines.contains(&good) && lines.contains(bad), "{lines}");
    // It goes on, and ends well.
    post(served.public(), r#"{"event":"comment.good","n":2}"#);
    assert_eq!(served.stop(), Some(0));
    assert!(!folder.path().join("data/attempts").exists());
}
