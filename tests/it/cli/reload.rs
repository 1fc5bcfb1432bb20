//! Reloads that leave alone what did not change.

use serde_json::Value;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};
use super::verbs::{json, send};

/// A handler that cannot reach anybody, and so has a newest failure since its start.
const DOWN: &str = r#"
[handler.down]
start = "oldest"
CHANGED
[handler.down.http]
url = "http://127.0.0.1:1/"
secret = { file = "down-secret" }
"#;

#[test]
fn a_reload_restarts_the_handlers_that_changed_and_no_other() {
    let folder = Folder::new("", &DOWN.replace("CHANGED", "retry = { min = \"1h\" }"));
    let secret = |text: &str| std::fs::write(folder.path().join("down-secret"), text).unwrap();
    secret("b25lIHNlY3JldCBvZiB0aGUgaGFuZGxlciBvZiBhIHRlc3Q=");
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    let handler = |name: &str| {
        let handlers = json(&folder, &["handlers", "list"]);
        let mut handlers = handlers.as_array().unwrap().iter();
        handlers.find(|handler| handler["name"] == name).unwrap().clone()
    };
    let has_failed = || handler("down")["last_error"] != Value::Null;
    while !has_failed() || handler("all")["last_success_at"] == Value::Null {
        std::thread::yield_now();
    }
    let reload = || drop(printed(&run(&folder, &["reload"]), 0));

    reload();
    assert!(has_failed(), "nothing changed");
    folder.write_config("", &DOWN.replace("CHANGED", "concurrency = 3\nretry = { min = \"1h\" }"));
    reload();
    assert!(!has_failed(), "it was started anew");
    assert_ne!(handler("all")["last_success_at"], Value::Null, "and the other was not");
    send(&folder, &served, "hyvor", "comment.create");
    send(&folder, &served, "userecho", "topic.created");
    while !has_failed() {
        std::thread::yield_now();
    }
    secret("YW5vdGhlciBzZWNyZXQgb2YgdGhlIGhhbmRsZXIgb2YgYSB0ZXN0");
    reload();
    assert!(!has_failed(), "a new secret in the same file is a change");
    assert_ne!(handler("all")["last_success_at"], Value::Null);
    assert_eq!(served.stop(), Some(0));
}
