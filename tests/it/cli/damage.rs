//! `queue check` on a store that is damaged.

use serde_json::Value;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};
use super::verbs::{delivered, json, send};

#[test]
fn a_check_names_the_damage_and_fails_while_the_server_serves_the_rest() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let ids: Vec<String> = ["comment.create", "comment.edit", "comment.delete"]
        .iter()
        .map(|event_type| send(&folder, &served, "hyvor", event_type))
        .collect();
    delivered(&folder, 3);
    assert_eq!(served.stop(), Some(0));
    let sound = json(&folder, &["queue", "check"]);
    assert_eq!((&sound["events"], &sound["damage"]), (&3.into(), &serde_json::json!([])));

    let segments = std::fs::read_dir(folder.path().join("data/queue/log")).unwrap();
    let n_flipped = segments.filter(|entry| flip(&entry.as_ref().unwrap().path(), b"comment.edit"));
    assert_eq!(n_flipped.count(), 1);
    let output = run(&folder, &["--json", "queue", "check"]);
    let report: Value = serde_json::from_str(&printed(&output, 1)).unwrap();
    assert_eq!(report["damage"].as_array().unwrap().len(), 1);
    assert_eq!(report["n_missing"], 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("damaged in one place"));

    let served = Served::start(&folder);
    for (id, code) in [(&ids[0], 0), (&ids[1], 1), (&ids[2], 0)] {
        printed(&run(&folder, &["events", "show", id]), code);
    }
    printed(&run(&folder, &["queue", "check"]), 1);
    assert_eq!(served.stop(), Some(0));

    // A handler that should get it is told of it, and can give it up.
    let path = folder.path().join("config.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let late = "\n[handler.late]\nstart = \"oldest\"\n[handler.late.log]\n";
    std::fs::write(&path, config + late).unwrap();
    let served = Served::start(&folder);
    served.wait_until_delivered("late");
    let lost = json(&folder, &["dead", "list"]);
    assert_eq!(lost.as_array().unwrap().len(), 1, "{lost}");
    assert_eq!((&lost[0]["handler"], &lost[0]["events"]), (&"late".into(), &1.into()));
    let text = printed(&run(&folder, &["dead", "list"]), 0);
    assert!(text.contains("the event at position 2 cannot be read"), "{text}");
    assert_eq!(json(&folder, &["dead", "drop", "--all"])["count"], 1);
    assert_eq!(json(&folder, &["dead", "list"]), serde_json::json!([]));
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn dead_letters_whose_events_rot_are_listed_without_them() {
    let rest = "[handler.down]\nretry = { attempts = 1 }\nbreaker = { failures = 100 }\n[handler.down.http]\n\
                url = \"http://127.0.0.1:1/\"\n";
    let folder = Folder::new("", rest);
    let served = Served::start(&folder);
    for event_type in ["comment.create", "comment.edit", "comment.delete"] {
        send(&folder, &served, "hyvor", event_type);
    }
    let dead = || json(&folder, &["dead", "list", "--handler", "down"]);
    while dead().as_array().unwrap().len() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(served.stop(), Some(0));
    for entry in std::fs::read_dir(folder.path().join("data/queue/log")).unwrap() {
        for text in [b"comment.edit".as_slice(), b"comment.delete"] {
            flip(&entry.as_ref().unwrap().path(), text);
        }
    }
    let served = Served::start(&folder);
    let listed = dead();
    let (letters, lost): (Vec<&Value>, Vec<&Value>) =
        listed.as_array().unwrap().iter().partition(|entry| entry["type"] == "comment.create");
    let n_lost: u64 = lost.iter().map(|lost| lost["events"].as_u64().unwrap()).sum();
    assert_eq!((letters.len(), n_lost), (1, 2), "{listed}");
    let is_told = |lost: &&Value| {
        lost["handler"] == "down" && lost["reason"].as_str().unwrap().contains("cannot be read")
    };
    assert!(lost.iter().all(is_told), "{listed}");
    let output = run(&folder, &["dead", "list", "--handler", "down"]);
    let text = printed(&output, 0) + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("position") && text.contains("cannot be read"), "{text}");
    assert!(text.contains("event unreadable: `gatepost queue check`"), "{text}");
    assert_eq!(json(&folder, &["dead", "drop", "--handler", "down"])["count"], 3);
    assert_eq!(dead(), serde_json::json!([]));
    assert_eq!(served.stop(), Some(0));
}

/// Flips a bit of the first `text` in a file; whether there is one.
fn flip(path: &std::path::Path, text: &[u8]) -> bool {
    let mut bytes = std::fs::read(path).unwrap();
    let Some(at) = bytes.windows(text.len()).position(|found| found == text) else { return false };
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
    true
}

#[test]
fn a_check_fails_where_the_folder_does_not_open() {
    let folder = Folder::new("", "");
    assert_eq!(Served::start(&folder).stop(), Some(0));
    for (format, expected) in [("3\n", "newer version"), ("\u{1}?", "what no version writes")] {
        std::fs::write(folder.path().join("data/queue/FORMAT"), format).unwrap();
        let output = run(&folder, &["queue", "check"]);
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn queue_of_version_1_is_not_taken_over_by_looking_at_it() {
    let folder = Folder::new("", "");
    let journal = folder.path().join("data/queue/journal");
    std::fs::create_dir_all(&journal).unwrap();
    std::fs::write(journal.join("00000000000000000001.seg"), "a record").unwrap();
    for verb in [&["status"][..], &["events", "list"], &["queue", "check"], &["queue", "export"]] {
        let output = run(&folder, verb);
        assert_ne!(output.status.code(), Some(0), "{verb:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("is a queue of gatepost 0.1"), "{verb:?}: {told}");
    }
    let queue = std::fs::read_dir(folder.path().join("data/queue")).unwrap();
    assert_eq!(queue.count(), 1, "nothing is made in it");
}
