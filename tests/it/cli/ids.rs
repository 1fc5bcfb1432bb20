//! Events, named by the beginning of their ids.

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};
use super::verbs::{delivered, json, send};

/// What is said where the verb fails.
fn told(folder: &Folder, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    printed(&output, 1);
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn event_is_named_by_as_much_of_its_id_as_is_its_own() {
    let rest = "[handler.app]\nretry = { attempts = 1 }\n[handler.app.http]\nurl = \"http://127.0.0.1:1/\"\n";
    let folder = Folder::new("", rest);
    let served = Served::start(&folder);
    let ids: Vec<String> =
        (0..7).map(|_| send(&folder, &served, "hyvor", "comment.create")).collect();
    while json(&folder, &["dead", "list"]).as_array().unwrap().len() < 7 {}
    let id = &ids[3];
    // Gatepost's own events are there, too; none that comes later has the millisecond of this one.
    let listed = json(&folder, &["events", "list"]);
    let others = listed.as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap());
    let n_same = |other: &str| id.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let n_chars = others.filter(|other| other != id).map(n_same).max().unwrap() + 1;
    let first = |n_chars| id.get(..n_chars).unwrap();
    let beginning = first(n_chars.max("01a228c8-9a69".len()));
    let shown = |name: &str| json(&folder, &["events", "show", name])["id"].clone();
    assert_eq!(shown(beginning), id.as_str());
    // The newest of all are Gatepost's own.
    assert_eq!(shown("last"), ids.last().unwrap().as_str());
    assert_eq!(shown(&first(35).replace('-', "").to_uppercase()), id.as_str());

    let several = told(&folder, &["events", "show", first(4)]);
    assert!(several.contains(&format!("begin with `{}`: give more of it", first(4))), "{several}");
    let n_told = several.lines().filter(|line| line.starts_with("  01")).count();
    assert!(n_told == 5 && several.ends_with("and more\n"), "{several}");
    let nothing = told(&folder, &["events", "show", "ffff0000"]);
    assert!(nothing.contains("no event is retained whose id begins with `ffff0000`"), "{nothing}");

    printed(&run(&folder, &["events", "replay", beginning, "--handler", "all"]), 0);
    assert!(delivered(&folder, 8).iter().filter(|event| event["id"] == id.as_str()).count() == 2);
    printed(&run(&folder, &["handlers", "try", "all", "--event", beginning]), 0);
    printed(&run(&folder, &["events", "save", beginning]), 0);
    printed(&run(&folder, &["dead", "show", beginning]), 0);
    // The newest event tells of the last death, and has no dead letter.
    let newest = json(&folder, &["dead", "show", "last"])[0]["id"].clone();
    assert!(ids.iter().any(|id| newest == id.as_str()), "{newest}");
    told(&folder, &["dead", "drop", first(4)]);
    printed(&run(&folder, &["dead", "drop", beginning]), 0);
    let left = json(&folder, &["dead", "list"]);
    assert!(!left.to_string().contains(id.as_str()), "{left}");
    assert_eq!(left.as_array().unwrap().len(), 6);
    assert_eq!(served.stop(), Some(0));
    // As well where no server runs.
    assert_eq!(shown(beginning), id.as_str());

    // An import gives ids of today to what came long ago.
    let exported = printed(&run(&folder, &["queue", "export"]), 0);
    let mut first: serde_json::Value =
        serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    first["received_at"] = "2026-01-01T00:00:00Z".into();
    let other = Folder::new("", rest);
    std::fs::write(other.path().join("old.jsonl"), format!("{first}\n")).unwrap();
    printed(&run(&other, &["queue", "import", "old.jsonl"]), 0);
    let imported = json(&other, &["events", "list"])[0]["id"].as_str().unwrap().to_owned();
    let imported = imported.as_str();
    assert_eq!(json(&other, &["events", "show", imported.get(..18).unwrap()])["id"], imported);
}
