//! `queue export` and `import`: what an event is known by elsewhere.

use serde_json::Value;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};
use super::verbs::{delivered, json, send};

#[test]
fn an_imported_event_keeps_its_id_and_what_its_repeats_are_known_by() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let id = send(&folder, &served, "userecho", "topic.created");
    delivered(&folder, 1);
    let lines = printed(&run(&folder, &["queue", "export"]), 0);
    assert_eq!(served.stop(), Some(0));
    let exported: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(exported["dedupe"]["key"].as_str().map(str::len), Some(32));

    let other = Folder::new("", "");
    std::fs::write(other.path().join("lines"), &lines).unwrap();
    let answer = json(&other, &["queue", "import", "lines"]);
    assert_eq!(answer, serde_json::json!({ "read": 1, "stored": 1, "other_ids": [] }));
    assert_eq!(json(&other, &["events", "list"])[0]["id"], id.as_str());
    // An export of before had no key: its events are known by their ids all the same.
    let mut older = exported;
    older.as_object_mut().unwrap().remove("dedupe");
    std::fs::write(other.path().join("lines"), older.to_string()).unwrap();
    assert_eq!(json(&other, &["queue", "import", "lines"])["stored"], 0);
}
