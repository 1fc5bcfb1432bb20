//! The verbs that packages and containers use.

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};

#[test]
fn manual_has_a_page_for_each_verb() {
    let folder = Folder::new("", "");
    std::fs::create_dir(folder.path().join("man")).unwrap();
    printed(&run(&folder, &["man", "man"]), 0);
    let page = |name: &str| std::fs::read_to_string(folder.path().join("man").join(name)).unwrap();
    assert!(page("gatepost.1").contains(".TH gatepost 1"));
    assert!(page("gatepost-events-replay.1").contains("dry\\-run"));
    assert!(page("gatepost.1").contains(".SH EXIT STATUS"));
    let missing = run(&folder, &["man", "nowhere"]);
    printed(&missing, 1);
    let told = String::from_utf8(missing.stderr).unwrap();
    assert!(told.contains("no pages can be written into `nowhere`"), "{told}");
}

#[test]
fn status_ready_is_a_health_check() {
    let folder = Folder::new("", "");
    printed(&run(&folder, &["status", "--ready"]), 4);
    let served = Served::start(&folder);
    assert_eq!(printed(&run(&folder, &["status", "--ready"]), 0).trim(), "ready");
    assert_eq!(served.stop(), Some(0));
    // A handler that cannot be built: it serves, and is not ready.
    std::fs::write(folder.path().join("taken"), "a file where a folder should be").unwrap();
    folder.write_config("", "[handler.late.file]\npath = \"taken/events.jsonl\"\n");
    let served = Served::start(&folder);
    let output = run(&folder, &["status", "--ready"]);
    printed(&output, 1);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("not ready:") && said.contains("late"), "{said}");
    assert_eq!(served.stop(), Some(0));
}
