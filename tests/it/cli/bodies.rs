//! Bodies as real senders write them: read by handlers, shown and delivered again by the verbs.

use serde::de::IgnoredAny;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};
use super::verbs::json;
use crate::support::patience::wait_until;

const HANDLERS: &str = r#"
[handler.filtered]
when = 'data.comment.status == "published"'
[handler.filtered.file]
path = "data/filtered.jsonl"
"#;

/// A comment with something in it that strict readers refuse, and whether it can be read.
fn bodies() -> Vec<(&'static str, Vec<u8>, bool)> {
    let comment = |field: &str| {
        let text = r#"{"event":"comment.create","data":{"comment":{"status":"published",?}}}"#;
        text.replace('?', field).into_bytes()
    };
    let nested =
        |depth: usize| comment(&format!(r#""parent":{}{}"#, "[".repeat(depth), "]".repeat(depth)));
    let latin: Vec<u8> = comment("\"body\":\"Zo@\"")
        .into_iter()
        .map(|byte| if byte == b'@' { 0xeb } else { byte })
        .collect();
    vec![
        ("lone surrogate", comment(r#""body":"cut \ud83d""#), true),
        ("latin 1", latin, true),
        ("byte order mark", ["\u{feff}".as_bytes(), &comment("\"id\":1")].concat(), true),
        ("large numbers", comment("\"id\":1e999,\"n\":12345678901234567890123"), true),
        ("not a number", comment("\"id\":NaN"), true),
        ("900 levels", nested(900), true),
        ("100,000 levels", nested(100_000), false),
        ("cut off", br#"{"event":"comment.create","data":{"#.to_vec(), false),
    ]
}

#[test]
fn every_body_is_filtered_shown_and_replayed_or_says_why_not() {
    let folder = Folder::new("", HANDLERS);
    let served = Served::start(&folder);
    let url = format!("{}/hooks/hyvor", served.url);
    let sent: Vec<_> = bodies()
        .into_iter()
        .map(|(name, body, is_readable)| {
            std::fs::write(folder.path().join("body"), &body).unwrap();
            let arguments = ["send", "hyvor", "comment.create", "--url", &url, "--body", "body"];
            let id = json(&folder, &arguments)["id"].as_str().unwrap().to_owned();
            (name, id, body, is_readable)
        })
        .collect();
    let n_readable = sent.iter().filter(|(_, _, _, is_readable)| *is_readable).count();
    wait_for_lines(&folder, "data/events.jsonl", sent.len());
    wait_for_lines(&folder, "data/filtered.jsonl", n_readable);
    // Whoever looks for them finds what can be read, and sends no less again.
    let field = ["--field", "data.comment.status=published"];
    let found = json(&folder, &[&["events", "list"][..], &field].concat());
    assert_eq!(found.as_array().unwrap().len(), n_readable, "{found}");
    let dead = || json(&folder, &["dead", "list"]);
    wait_until("all that cannot be read are dead letters", || {
        dead().as_array().unwrap().len() >= sent.len() - n_readable
    });
    for (name, id, _, is_readable) in &sent {
        check_json(&folder, name, id, *is_readable);
    }
    let (_, first, body, _) = sent.first().unwrap();
    assert!(run(&folder, &["events", "show", first, "--raw"]).stdout == *body, "byte for byte");
    let (_, last, _, _) = sent.last().unwrap();
    printed(&run(&folder, &["events", "replay", last]), 0);
    let text = printed(&run(&folder, &["events", "show", last]), 0);
    assert!(text.contains("no fields: the body is not JSON: it ends too early"), "{text}");
    let dead = dead();
    let dead: Vec<(&str, &str)> = dead
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| (letter["id"].as_str().unwrap(), letter["reason"].as_str().unwrap()))
        .collect();
    for (name, id, _, is_readable) in &sent {
        let reason = dead.iter().find(|(dead, _)| dead == id).map(|(_, reason)| *reason);
        let is_good = match reason {
            None => *is_readable,
            Some(reason) => {
                !is_readable && reason.starts_with("`when` failed: ") && reason.contains("not JSON")
            }
        };
        assert!(is_good, "{name}: {reason:?}");
    }
    assert_eq!(served.stop(), Some(0));
    // The same without a server.
    let (name, deep, _, _) = sent.get(5).unwrap();
    check_json(&folder, name, deep, true);
}

fn wait_for_lines(folder: &Folder, path: &str, count: usize) {
    let path = folder.path().join(path);
    wait_until(format_args!("{count} lines"), || {
        std::fs::read_to_string(&path).unwrap_or_default().lines().count() >= count
    });
}

fn check_json(folder: &Folder, name: &str, id: &str, is_readable: bool) {
    let shown = printed(&run(folder, &["events", "show", id, "--json"]), 0);
    assert_eq!(shown.contains("\"payload\":"), is_readable, "{name}");
    assert_eq!(shown.contains("\"unreadable\":"), !is_readable, "{name}");
    // Unlike a value this is not built, so that neither depth nor size matter.
    serde_json::from_str::<IgnoredAny>(&shown).unwrap();
    if name == "large numbers" {
        assert!(shown.contains("\"id\":1e999,\"n\":12345678901234567890123"), "{shown}");
    }
}
