//! `events edit`: out of a file, out of standard input, and in an editor.

use std::process::Output;

use super::super::support::gateway::{Folder, signature};
use super::super::support::program::{Served, command, printed, run};
use super::super::support::wire;
use super::verbs::{delivered, json};

const BODY: &str = r#"{"event":"comment.create","n":7}"#;

/// A gateway with one event.
fn world() -> (Folder, Served, String) {
    let folder = Folder::new("body_max = \"1KiB\"\n", "");
    let served = Served::start(&folder);
    let headers = [("X-Signature", &*signature(BODY.as_bytes()))];
    let id = wire::post(served.public(), "/hooks/hyvor", &headers, BODY.as_bytes()).id();
    (folder, served, id)
}

/// Runs it with `editor`, which writes its drafts into a folder of their own; gives what is left there.
fn edit(folder: &Folder, arguments: &[&str], editor: &str) -> (Output, Vec<String>) {
    let drafts = folder.path().join("drafts");
    std::fs::create_dir_all(&drafts).unwrap();
    let mut command = command(folder, &[&["events", "edit"], arguments].concat());
    command.env_remove("VISUAL").env("EDITOR", editor).env("TMPDIR", &drafts);
    let output = command.output().unwrap();
    let left = std::fs::read_dir(&drafts).unwrap();
    let left = left.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    (output, left)
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn body_is_edited_by_hand_or_given_and_the_copy_is_delivered() {
    let (folder, served, id) = world();
    // An editor that changes something, and ends the last line as most do.
    let (made, left) = edit(&folder, &["last"], "sed -i -e s/7/8.10/ -e '$a\\'");
    let text = printed(&made, 0);
    assert!(
        text.contains("hyvor:comment.create, 35 B of body, for all\nnext: gatepost events show ")
    );
    assert_eq!(left, [""; 0]);
    let child = text.split([' ', ':']).nth(1).unwrap().to_owned();
    let shown = json(&folder, &["events", "show", &child]);
    assert_eq!(
        (&shown["parent"], &shown["made_by"]),
        (&id.as_str().into(), &"command_line".into())
    );
    assert_eq!(
        run(&folder, &["events", "show", &child, "--raw"]).stdout,
        BODY.replace('7', "8.10").as_bytes()
    );
    let text = printed(&run(&folder, &["events", "show", &child]), 0);
    assert!(text.contains(&format!("made out of {id}, by command line")), "{text}");
    let text = printed(&run(&folder, &["events", "show", &id]), 0);
    assert!(text.contains(&format!("edited copy {child}, ")), "{text}");

    for (editor, code, why) in [
        ("true", 0, "nothing was changed: nothing was sent"),
        ("false", 1, "`false` failed"),
        (" ", 2, "set VISUAL or EDITOR, or give --body FILE"),
    ] {
        let (output, left) = edit(&folder, &[&id], editor);
        printed(&output, code);
        assert!(told(&output).contains(why), "{why}: {}", told(&output));
        assert_eq!(left, [""; 0], "{editor}");
    }
    // What was typed is not lost where the server refuses it.
    let (refused, left) = edit(&folder, &[&id], "printf '%02000d' 0 >");
    printed(&refused, 1);
    assert!(told(&refused).contains("(`body_max`)"), "{}", told(&refused));
    assert!(told(&refused).contains("what you wrote is kept in"), "{}", told(&refused));
    assert_eq!(left, ["0".repeat(2_000)]);

    assert_eq!(served.stop(), Some(0));
}

#[test]
fn copy_with_bytes_that_are_no_text_is_carried_over_with_its_parent() {
    let (folder, served, id) = world();
    std::fs::write(folder.path().join("body"), b"\xff\x00").unwrap();
    let dry = json(&folder, &["events", "edit", &id, "--body", "body", "--dry-run"]);
    assert_eq!((&dry["id"], &dry["body_bytes"]), (&serde_json::Value::Null, &2.into()));
    let bytes = json(&folder, &["events", "edit", &id, "--body", "body"]);
    assert_eq!(delivered(&folder, 2).len(), 2);
    let binary = bytes["id"].as_str().unwrap();
    assert_eq!(run(&folder, &["events", "show", binary, "--raw"]).stdout, b"\xff\x00");
    let (output, _) = edit(&folder, &[binary], "true");
    printed(&output, 1);
    assert!(told(&output).contains("is no text in UTF-8: give --body FILE"), "{}", told(&output));

    // It is carried over with its parent.
    let exported = printed(&run(&folder, &["queue", "export"]), 0);
    let parent = format!("\"parent\":\"{id}\"");
    assert_eq!(exported.matches(&parent).count(), 1, "{exported}");
    assert_eq!(served.stop(), Some(0));
    let output = run(&folder, &["events", "edit", &id, "--body", "body"]);
    printed(&output, 4);
    assert!(told(&output).contains("no server is running"), "{}", told(&output));

    let other = Folder::new("", "");
    std::fs::write(other.path().join("lines"), exported).unwrap();
    printed(&run(&other, &["queue", "import", "lines"]), 0);
    let again = printed(&run(&other, &["queue", "export"]), 0);
    assert_eq!(again.matches(&parent).count(), 1, "{again}");
}
