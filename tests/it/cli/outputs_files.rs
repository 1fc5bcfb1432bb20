//! What the verbs print that read and write files: a configuration, test cases, what was exported.

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};
use super::outputs::{World, transcript, world};

#[test]
fn verbs_of_test_cases_print_this() {
    let World { folder, served, ids: [first, second], .. } = world();
    let commands = [
        "test",
        &format!("events save {first} --to tests"),
        &format!("events save {second} --to tests"),
        "test",
        "test --update",
        "test",
        "test --json",
        "test nowhere",
    ];
    let text = transcript(&folder, &commands);
    assert_eq!(served.stop(), Some(0));
    insta::assert_snapshot!(text);
}

#[test]
fn verbs_of_exports_print_this() {
    let World { folder, served, .. } = world();
    assert_eq!(served.stop(), Some(0));
    // A store of its own, with nothing in it.
    let second = Folder::new("", "");
    assert_eq!(Served::start(&second).stop(), Some(0));
    let lines = printed(&run(&folder, &["queue", "export"]), 0);
    std::fs::write(second.path().join("events.jsonl"), &lines).unwrap();
    std::fs::write(second.path().join("broken.jsonl"), "{\"id\":1}\n").unwrap();
    let commands = [
        "queue import events.jsonl",
        "queue import events.jsonl --json",
        "queue import broken.jsonl",
        "queue check",
        "queue compact",
    ];
    insta::assert_snapshot!(transcript(&second, &commands));
}

#[test]
fn init_prints_this() {
    let folder = Folder::new("", "");
    std::fs::remove_file(folder.config()).unwrap();
    let commands = [
        "init --source hyvor=hyvor-talk --yes",
        "init --source hyvor=hyvor-talk --yes",
        "init --source stripe --yes --force --url https://hooks.example.com --json",
    ];
    insta::assert_snapshot!(transcript(&folder, &commands));
}
