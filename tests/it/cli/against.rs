//! `check --against`.

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};
use super::verbs::{json, send};

const OLD: &str = r#"
[handler.crm]
on = ["hyvor:*"]
[handler.crm.log]
message = "{{ event.type }}"
[handler.mail]
on = ["hyvor:comment.*"]
[handler.mail.log]
message = "{{ data.comment.id }}"
[handler.same]
[handler.same.log]
"#;

const NEW: &str = r#"
[handler.crm]
on = ["hyvor:comment.*"]
[handler.crm.log]
message = "now {{ event.type }}"
[handler.mail]
on = ["hyvor:comment.*"]
[handler.mail.log]
message = "{{ data.comment + 1 }}"
[handler.app]
on = ["hyvor:user.created"]
[handler.app.log]
[handler.same]
[handler.same.log]
"#;

fn odd(number: u32) -> String {
    let handler = "\n[handler.odd]\non = [\"hyvor:comment.*\"]\n[handler.odd.log]\n";
    format!("{handler}message = \"{{{{ data.comment + {number} }}}}\"\n")
}

#[test]
fn against_groups_what_a_new_configuration_would_do_otherwise() {
    let folder = Folder::new("", OLD);
    let served = Served::start(&folder);
    let first = send(&folder, &served, "hyvor", "comment.create");
    let user = send(&folder, &served, "hyvor", "user.created");
    send(&folder, &served, "hyvor", "comment.update");
    // Fails in both: not while it is served, since that would make events of its own.
    let old = std::fs::read_to_string(folder.config()).unwrap() + &odd(1);
    folder.write_config("", &[NEW, &odd(2)].concat());
    std::fs::rename(folder.config(), folder.path().join("new.toml")).unwrap();
    std::fs::write(folder.config(), &old).unwrap();

    let arguments = ["check", "--against", "7d", "new.toml"];
    let compared = json(&folder, &arguments);
    assert_eq!(compared["events"], 3);
    let differences = compared["differences"].as_array().unwrap();
    let shown: Vec<String> = differences
        .iter()
        .map(|one| {
            let change = one["change"].as_str().unwrap();
            format!("{} {} {change}", one["handler"].as_str().unwrap(), one["events"])
        })
        .collect();
    assert_eq!(shown[0], "app 1 newly go to it");
    assert_eq!(shown[1], "crm 2 come out with another message");
    assert_eq!(shown[2], "crm 1 no longer go to it");
    assert!(shown[3].starts_with("mail 2 fail: invalid operation"), "{shown:?}");
    assert!(shown[4].starts_with("odd 2 still fail, now: invalid operation"), "{shown:?}");
    assert_eq!(shown.len(), 5);
    assert_eq!((&differences[2]["first"], &differences[3]["first"]), (&user.into(), &first.into()));
    let new = std::fs::read_to_string(folder.path().join("new.toml")).unwrap();
    let line = new.lines().position(|line| line.contains("data.comment + 1")).unwrap() + 1;
    assert_eq!(differences[3]["line"], line);

    // Without a server the store itself is read; and with the same nothing would change.
    assert_eq!(served.stop(), Some(0));
    assert_eq!(json(&folder, &arguments), compared);
    let text = printed(&run(&folder, &arguments), 0);
    assert!(text.contains("handler `crm`: 1 event no longer goes to it; the first is "), "{text}");
    std::fs::copy(folder.config(), folder.path().join("same.toml")).unwrap();
    let same = printed(&run(&folder, &["check", "--against", "7d", "same.toml"]), 0);
    let same = same.lines().last().unwrap();
    assert_eq!(same, "every handler is the same in `same.toml`: nothing would change");
    // With itself nothing can differ, whatever was changed in it.
    let itself = run(&folder, &["check", "--against", "7d", "./config.toml"]);
    printed(&itself, 2);
    let itself = String::from_utf8_lossy(&itself.stderr);
    assert!(itself.contains("save what you changed as another file"), "{itself}");
    // Older ones are left out.
    let none = json(&folder, &["check", "--against", "2100-01-01T00:00:00Z", "new.toml"]);
    assert_eq!(none["events"], 0);
}

#[test]
fn against_a_wrong_configuration_shows_its_mistakes() {
    let folder = Folder::new("", OLD);
    std::fs::write(folder.path().join("new.toml"), "[handler.a]").unwrap();
    printed(&run(&folder, &["check", "--against", "7d", "new.toml"]), 3);
    printed(&run(&folder, &["check", "--against", "7d"]), 2);
}

const SKIPS: &str = r#"
[handler.a]
on = ["hyvor:*"]
[handler.a.chat]
ntfy = { topic = "a" }
text = "TEXT"
"#;

#[test]
fn against_says_what_is_left_out_and_compares_many_events_alike() {
    let text = |text: &str| SKIPS.replace("TEXT", text);
    let folder = Folder::new("", &text("{{ event.type }}"));
    let served = Served::start(&folder);
    // More than there are processors, so that each gets some.
    for _ in 0..20 {
        send(&folder, &served, "hyvor", "comment.create");
    }
    let first = send(&folder, &served, "hyvor", "user.created");
    assert_eq!(served.stop(), Some(0));
    let old = std::fs::read_to_string(folder.config()).unwrap();
    let new = folder.path().join("new.toml");
    let against = |text: &str| {
        folder.write_config("", text);
        std::fs::rename(folder.config(), &new).unwrap();
        std::fs::write(folder.config(), &old).unwrap();
        let compared = json(&folder, &["check", "--against", "7d", "new.toml"]);
        let differences = compared["differences"].as_array().unwrap().clone();
        let shown = differences.iter().map(|one| format!("{} {}", one["events"], one["change"]));
        (shown.collect::<Vec<_>>(), differences[0]["first"].clone())
    };
    let (shown, found) =
        against(&text("{% if event.type == 'comment.create' %}{{ event.type }}{% endif %}"));
    assert_eq!(shown, ["1 \"are left out: the text is empty\""]);
    assert_eq!(found, first);
    let (shown, _) = against(&text("{{ event.type }}!"));
    assert_eq!(shown, ["21 \"come out with another message\""]);
    // What orders is no filter, and yet an event that it fails for is not handed over.
    let ordered = text("{{ event.type }}")
        .replace("[handler.a.chat]", "order_by = \"data.comment + 1\"\n[handler.a.chat]");
    let (shown, _) = against(&ordered);
    assert!(shown[0].starts_with("20 \"fail: `order_by` failed: "), "{shown:?}");
    let retried = text("{{ event.type }}")
        .replace("[handler.a.chat]", "retry = { min = \"1m\" }\n[handler.a.chat]");
    folder.write_config("", &retried);
    std::fs::rename(folder.config(), &new).unwrap();
    std::fs::write(folder.config(), &old).unwrap();
    let compared = json(&folder, &["check", "--against", "7d", "new.toml"]);
    let others = ["handler.a.retry"];
    let expected = serde_json::json!({ "events": 0, "differences": [], "not_compared": others });
    assert_eq!(compared, expected);
}

const MASKED: &str = r#"
[handler.web]
on = ["hyvor:*"]
[handler.web.http]
url = "http://127.0.0.1:9/?token=TOKEN"
headers = { X-Api-Key = { secret = { file = "KEY" } } }
[handler.run]
on = ["hyvor:*"]
[handler.run.command]
run = ["true", "--token=TOKEN"]
env = { LEVEL = "LEVEL" }
"#;

#[test]
fn against_tells_what_is_masked_apart_and_does_not_show_it() {
    let with = |words: [&str; 3]| {
        let pairs = ["TOKEN", "KEY", "\"LEVEL\""].into_iter().zip(words);
        pairs.fold(MASKED.to_owned(), |text, (name, word)| text.replace(name, word))
    };
    let same = ["hunter2", "key", "\"info\""];
    let folder = Folder::new("", &with(same));
    for name in ["key", "other"] {
        std::fs::write(folder.path().join(name), "0123456789abcdef").unwrap();
    }
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    assert_eq!(served.stop(), Some(0));
    let old = std::fs::read_to_string(folder.config()).unwrap();
    for (words, handlers, what) in [
        (["hunter3", "key", "\"info\""], &["run", "web"][..], "secret"),
        (["hunter2", "other", "\"info\""], &["web"], "secret"),
        (["hunter2", "key", "\"debug\""], &["run"], "environment"),
    ] {
        folder.write_config("", &with(words));
        std::fs::rename(folder.config(), folder.path().join("new.toml")).unwrap();
        std::fs::write(folder.config(), &old).unwrap();
        let compared = json(&folder, &["check", "--against", "7d", "new.toml"]);
        let found = compared["differences"].as_array().unwrap();
        let names: Vec<&str> = found.iter().map(|one| one["handler"].as_str().unwrap()).collect();
        assert_eq!(names, handlers, "{words:?}");
        assert!(
            found.iter().all(|one| one["change"] == format!("come out with another {what}")),
            "{found:?}"
        );
        assert!(!compared.to_string().contains("hunter"), "{compared}");
    }
}

const PLACES: &str = r#"
[handler.app]
on = ["hyvor:*"]
retry = { min = "10s" }
[handler.app.log]
[handler.base]
on = ["hyvor:*"]
[handler.base.sql]
url = "postgres://gatepost@127.0.0.1:1/site"
table = "comments"
columns = { id = "event.id" }
[handler.mail]
on = ["hyvor:*"]
[handler.mail.email]
smtp = "smtp://127.0.0.1:2525"
from = "a@example.com"
to = ["b@example.com"]
subject = "s"
text = "t"
[handler.phone]
on = ["hyvor:*"]
[handler.phone.chat]
text = "{{ event.type }}"
slack = { url = { file = "one" } }
"#;

#[test]
fn against_counts_another_place_as_a_change_and_names_what_is_not_compared() {
    let folder = Folder::new(
        "[source.old]\nprovider = \"userecho\"\nsecrets = [{ file = \"one\" }]",
        PLACES,
    );
    for (name, url) in [("one", "hunter1"), ("same", "hunter1"), ("two", "hunter2")] {
        std::fs::write(folder.path().join(name), format!("https://chat.example.com/{url}"))
            .unwrap();
    }
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    assert_eq!(served.stop(), Some(0));
    let old = std::fs::read_to_string(folder.config()).unwrap();
    for (from, to, expected) in [
        (
            "[handler.app.log]",
            "enabled = false\n[handler.app.log]",
            "handler `app`: 1 event waits: it is switched off",
        ),
        (
            "127.0.0.1:1/site",
            "127.0.0.1:1/other",
            "handler `base`: 1 event goes to another database",
        ),
        ("127.0.0.1:2525", "127.0.0.2:2525", "handler `mail`: 1 event goes to another mail server"),
        (
            "\"t\"\n",
            "\"T\"\nmax_per_hour = 3\n",
            "settings differ; not compared: handler.mail.email.max_per_hour\n",
        ),
        ("\"one\" } }", "\"two\" } }", "handler `phone`: 1 event goes to another channel"),
        (
            "\"one\" } }",
            "\"same\" } }",
            "settings differ; not compared: handler.phone.chat.slack.url\n",
        ),
        ("min = \"10s\"", "min = \"20s\"", "settings differ; not compared: handler.app.retry\n"),
        (
            "[handler.app.log]",
            "timeout = \"5s\"\ndead_on = [404]\n[handler.app.log]",
            "settings differ; not compared: handler.app.dead_on, handler.app.timeout\n",
        ),
        (
            "[source.old]",
            "[source.fresh]",
            "settings differ; not compared: source.fresh (new), source.old (gone)\n",
        ),
        (
            "secrets = [{ file = \"one\" }]",
            "secrets = [{ file = \"two\" }]",
            "settings differ; not compared: source.old.secrets\n",
        ),
    ] {
        assert!(old.contains(from), "{from}");
        std::fs::write(folder.path().join("new.toml"), old.replacen(from, to, 1)).unwrap();
        let text = printed(&run(&folder, &["check", "--against", "7d", "new.toml"]), 0);
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("nothing would change") && !text.contains("hunter"), "{text}");
    }
}
