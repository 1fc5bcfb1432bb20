//! The verbs, against a running server and without one.

use rustix::process::Signal;
use serde_json::Value;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, command, printed, run};
use crate::support::patience::{Patience, wait_until};

pub(super) fn json(folder: &Folder, arguments: &[&str]) -> Value {
    let mut arguments = arguments.to_vec();
    arguments.push("--json");
    serde_json::from_str(&printed(&run(folder, &arguments), 0)).unwrap()
}

/// Sends a sample and gives the event's id.
pub(super) fn send(folder: &Folder, served: &Served, source: &str, event_type: &str) -> String {
    let url = format!("{}/hooks/{source}", served.url);
    let answer = json(folder, &["send", source, event_type, "--url", &url]);
    answer["id"].as_str().unwrap().to_owned()
}

/// Waits until the handler has `count` events.
pub(super) fn delivered(folder: &Folder, count: usize) -> Vec<Value> {
    lines(folder, "data/events.jsonl", count)
}

/// Waits until a file of the folder has `count` lines of JSON.
#[track_caller]
pub(super) fn lines(folder: &Folder, path: &str, count: usize) -> Vec<Value> {
    let path = folder.path().join(path);
    let patience = Patience::new();
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.lines().count() >= count && (text.is_empty() || text.ends_with('\n')) {
            return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        patience.look_again(format_args!("{count} lines in {}", path.display()));
    }
}

#[test]
fn what_send_sends_arrives_at_the_handler_with_its_payload() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let comment = send(&folder, &served, "hyvor", "comment.create");
    let topic = send(&folder, &served, "userecho", "topic.created");
    let events = delivered(&folder, 2);
    let ids: Vec<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [comment.as_str(), &topic]);
    assert_eq!(events[0]["type"], "comment.create");

    let raw = run(&folder, &["events", "show", &comment, "--raw"]).stdout;
    let payload: Value = serde_json::from_slice(&raw).unwrap();
    assert_eq!(events[0]["payload"], payload);

    let listed = json(&folder, &["events", "list", "--source", "hyvor"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["id"], comment.as_str());
    let text = printed(&run(&folder, &["events", "show", &topic]), 0);
    assert!(text.contains("topic.created"), "{text}");
    for filter in [["--contains", "comment.create"], ["--field", "event=comment.create"]] {
        let found = json(&folder, &["events", "list", filter[0], filter[1]]);
        assert_eq!(found.as_array().unwrap().len(), 1, "{filter:?}");
        assert_eq!(found[0]["id"], comment.as_str(), "{filter:?}");
        let command = ["events", "replay", filter[0], filter[1], "--dry-run"];
        assert_eq!(json(&folder, &command)["count"], 1, "{filter:?}");
    }
    printed(&run(&folder, &["events", "list", "--field", "event"]), 1);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_file_or_standard_input_can_be_sent() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let body =
        r#"{"hook":"topic.created","created":"2014-04-25T04:17:38.306Z","text":"a\/b \u00e9"}"#;
    std::fs::write(folder.path().join("body.json"), body).unwrap();
    let url = format!("{}/hooks/userecho", served.url);
    let sent = ["send", "userecho", "topic.created", "--url", &url, "--body"];
    let answer = json(&folder, &[&sent[..], &["body.json"]].concat());
    let raw = run(&folder, &["events", "show", answer["id"].as_str().unwrap(), "--raw"]).stdout;
    assert_eq!(raw, body.as_bytes());
    let file = std::fs::File::open(folder.path().join("body.json")).unwrap();
    let again =
        command(&folder, &[&sent[..], &["-", "--json"]].concat()).stdin(file).output().unwrap();
    let again: Value = serde_json::from_str(&printed(&again, 0)).unwrap();
    assert_eq!(again["id"], answer["id"], "the same body again is a duplicate");
}

#[test]
fn a_request_that_is_refused_is_a_failure() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let url = format!("{}/hooks/nobody", served.url);
    let output = run(&folder, &["send", "hyvor", "x", "--url", &url]);
    printed(&output, 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("404"));
}

#[test]
fn exit_codes_say_what_was_wrong() {
    let folder = Folder::new("", "");
    // 2: it cannot be meant like that.
    printed(&run(&folder, &["nonsense"]), 2);
    printed(&run(&folder, &["dead", "drop"]), 2);
    // 1: there is no such thing.
    printed(&run(&folder, &["send", "nobody", "x"]), 1);
    // 4: nobody is there.
    printed(&run(&folder, &["reload"]), 4);
    printed(&run(&folder, &["rejected", "release", "1"]), 4);
    printed(&run(&folder, &["send", "hyvor", "x", "--url", "http://127.0.0.1:1/"]), 4);
    // 3: the configuration.
    printed(&run(&folder, &["status", "--config", "missing.toml"]), 3);
    folder.write_config("body_mx = 1\nlisten_on = 2", "");
    let output = run(&folder, &["check"]);
    printed(&output, 3);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("body_mx") && told.contains("listen_on"), "all at once: {told}");
    printed(&run(&folder, &["serve"]), 3);
}

#[test]
fn check_says_that_a_good_file_is_good() {
    let folder = Folder::new("", "");
    printed(&run(&folder, &["check"]), 0);
    assert_eq!(json(&folder, &["check"]), serde_json::json!([]));
}

#[test]
fn init_writes_a_configuration_once() {
    let folder = Folder::new("", "");
    let new = ["--config", "new.toml"];
    printed(&run(&folder, &[&new[..], &["init"]].concat()), 0);
    printed(&run(&folder, &[&new[..], &["check"]].concat()), 0);
    printed(&run(&folder, &[&new[..], &["init"]].concat()), 1);
}

#[test]
fn a_hang_up_reloads_and_a_bad_file_changes_nothing() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let other = "[source.other]\nprovider = \"hyvor-talk\"\nsecrets = [{ file = \"secret\" }]\n";
    folder.write_config("", other);
    served.signal(Signal::HUP);
    let is_known = || {
        let status = json(&folder, &["status"]);
        status["sources"].as_array().unwrap().iter().any(|source| source["name"] == "other")
    };
    wait_until("the source is known", is_known);
    folder.write_config("nonsense = 1", "");
    printed(&run(&folder, &["reload"]), 3);
    folder.write_config("", "");
    assert!(is_known());
    printed(&run(&folder, &["reload"]), 0);
    assert!(!is_known());
}

#[test]
fn handlers_are_listed_paused_and_resumed() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let state = || json(&folder, &["handlers", "list"])[0]["state"].clone();
    assert_eq!(state(), "running");
    printed(&run(&folder, &["handlers", "pause", "all"]), 0);
    assert_eq!(state(), "paused");
    send(&folder, &served, "hyvor", "comment.create");
    assert!(delivered(&folder, 0).is_empty());
    printed(&run(&folder, &["handlers", "resume", "all"]), 0);
    assert_eq!(delivered(&folder, 1).len(), 1);
    printed(&run(&folder, &["handlers", "pause", "nobody"]), 1);
}

#[test]
fn a_replay_can_be_counted_first() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let id = send(&folder, &served, "hyvor", "comment.create");
    send(&folder, &served, "userecho", "topic.created");
    delivered(&folder, 2);
    // One that is not settled yet would stay as it is.
    served.wait_until_delivered("all");
    let dry = json(&folder, &["events", "replay", "--source", "hyvor", "--dry-run"]);
    assert_eq!((&dry["count"], &dry["dry_run"]), (&1.into(), &true.into()));
    let done = json(&folder, &["events", "replay", "--source", "hyvor"]);
    assert_eq!(done["count"], 1);
    assert_eq!(delivered(&folder, 3)[2]["id"], id.as_str());
    served.wait_until_delivered("all");
    json(&folder, &["events", "replay", &id, "--handler", "all"]);
    delivered(&folder, 4);
    printed(&run(&folder, &["events", "replay", &id, "--handler", "nobody"]), 1);
}

#[test]
fn an_interrupt_ends_it_cleanly() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    served.signal(Signal::INT);
    assert_eq!(served.stop(), Some(0));
    assert!(!folder.path().join("data/admin.sock").exists());
}

#[test]
fn a_second_start_says_who_holds_the_data() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let output = run(&folder, &["serve"]);
    printed(&output, 1);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("is held by"), "{told}");
    // It took nothing away from the first one.
    send(&folder, &served, "hyvor", "comment.create");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn without_a_server_the_store_is_read_itself() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let id = send(&folder, &served, "hyvor", "comment.create");
    delivered(&folder, 1);
    assert_eq!(served.stop(), Some(0));
    assert_eq!(json(&folder, &["events", "list"])[0]["id"], id.as_str());
    let event = json(&folder, &["events", "show", &id]);
    assert_eq!(event["deliveries"][0]["state"], "delivered");
    let status = json(&folder, &["status"]);
    assert_eq!((&status["running"], &status["queue"]["events"]), (&false.into(), &1.into()));
    let kinds = [&status["handlers"][0]["kind"], &json(&folder, &["handlers", "list"])[0]["kind"]];
    assert_eq!(kinds, ["file", "file"], "as the configuration says");
    assert_eq!(json(&folder, &["queue", "check"])["events"], 1);
    assert!(json(&folder, &["queue", "compact"])["bytes"].as_u64().unwrap() > 0);
    assert_eq!(json(&folder, &["events", "list"])[0]["id"], id.as_str());
}

#[test]
fn an_export_can_be_imported_elsewhere() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    for (source, event_type) in [("hyvor", "comment.create"), ("userecho", "topic.created")] {
        send(&folder, &served, source, event_type);
    }
    let lines = printed(&run(&folder, &["queue", "export"]), 0);
    assert_eq!(lines.lines().count(), 2);
    assert_eq!(served.stop(), Some(0));
    assert_eq!(printed(&run(&folder, &["queue", "export"]), 0), lines, "without a server as well");

    let other = Folder::new("", "");
    let served = Served::start(&other);
    std::fs::write(other.path().join("lines"), &lines).unwrap();
    printed(&run(&other, &["queue", "import", "lines"]), 1);
    assert_eq!(served.ask("GET", "/api/v1/events").json(), serde_json::json!([]), "it delivers");
    printed(&run(&other, &["handlers", "pause", "all"]), 0);
    for n_stored in [2, 0] {
        let answer = json(&other, &["queue", "import", "lines"]);
        assert_eq!((&answer["read"], &answer["stored"]), (&2.into(), &n_stored.into()));
        printed(&run(&other, &["handlers", "resume", "all"]), 0);
    }
    // Only what the lines do not say that it was delivered.
    let mut untold: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(untold["deliveries"]["all"], "settled");
    untold["deliveries"] = serde_json::json!({});
    untold.as_object_mut().unwrap().remove("dedupe");
    untold["id"] = "00000000-0000-7000-8000-000000000000".into();
    std::fs::write(other.path().join("lines"), untold.to_string()).unwrap();
    let answer = json(&other, &["queue", "import", "lines"]);
    assert_eq!((&answer["stored"], &answer["other_ids"][0]["was"]), (&1.into(), &untold["id"]));
    let newest = json(&other, &["events", "list"])[0]["id"].clone();
    assert_eq!(answer["other_ids"], serde_json::json!([{ "was": untold["id"], "is": newest }]));
    let events = delivered(&other, 1);
    assert_eq!(events[0]["type"], "topic.created");
    std::fs::write(other.path().join("lines"), "{}").unwrap();
    printed(&run(&other, &["queue", "import", "lines"]), 1);
    assert_eq!(served.stop(), Some(0));
}

/// A handler that refuses everything, and one that is told of it.
pub(super) const REFUSING: &str = r#"
[handler.refusing]
start = "oldest"
[handler.refusing.command]
run = ["/bin/sh", "-c", "exit 65"]
[handler.alerts]
on = ["gatepost:*"]
start = "oldest"
[handler.alerts.file]
path = "data/alerts.jsonl"
"#;

#[test]
fn a_dead_letter_is_told_of_listed_redriven_and_dropped() {
    let folder = Folder::new("", REFUSING);
    let served = Served::start(&folder);
    let id = send(&folder, &served, "hyvor", "comment.create");
    let alerts = lines(&folder, "data/alerts.jsonl", 1);
    assert_eq!(alerts[0]["type"], "dead_letter");
    assert_eq!(alerts[0]["source"], "gatepost");
    assert_eq!(alerts[0]["payload"]["handler"], "refusing");
    assert_eq!(alerts[0]["payload"]["id"], id.as_str());

    let dead = |arguments: &[&str]| json(&folder, &[&["dead"], arguments].concat());
    let until_dead = |count: usize| {
        wait_until(format_args!("{count} dead letters"), || {
            dead(&["list"]).as_array().unwrap().len() == count
        });
    };
    until_dead(1);
    assert_eq!(dead(&["list", "--handler", "all"]), serde_json::json!([]));
    let shown = dead(&["show", &id]);
    assert_eq!((&shown[0]["handler"], &shown[0]["attempts"]), (&"refusing".into(), &1.into()));
    assert_eq!(dead(&["redrive", "--handler", "refusing"])["count"], 1);
    until_dead(1);
    // It died once more, and that is told as well.
    assert_eq!(lines(&folder, "data/alerts.jsonl", 2)[1]["payload"]["id"], id.as_str());
    for nothing in [["--reason", "timeout"], ["--until", "1h"], ["--handler", "all"]] {
        assert_eq!(dead(&[&["redrive"], &nothing[..]].concat())["count"], 0, "{nothing:?}");
    }
    assert_eq!(dead(&["redrive", "--reason", "65", "--since", "1h"])["count"], 1);
    assert_eq!(lines(&folder, "data/alerts.jsonl", 3).len(), 3);
    until_dead(1);
    assert_eq!(dead(&["drop", &id])["count"], 1);
    until_dead(0);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_pause_outlives_a_restart() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    printed(&run(&folder, &["handlers", "pause", "all"]), 0);
    send(&folder, &served, "hyvor", "comment.create");
    assert_eq!(served.stop(), Some(0));
    let served = Served::start(&folder);
    assert_eq!(json(&folder, &["handlers", "list"])[0]["state"], "paused");
    // Not one delivery between its start and the pause.
    assert_eq!(json(&folder, &["handlers", "list"])[0]["last_success_at"], Value::Null);
    assert!(delivered(&folder, 0).is_empty());
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn check_says_what_a_reload_would_change() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    assert_eq!(printed(&run(&folder, &["check", "--diff"]), 0), "");
    folder.write_config(
        "",
        "[source.other]\nprovider = \"github\"\nsecrets = [{ file = \"secret\" }]",
    );
    let changes = printed(&run(&folder, &["check", "--diff"]), 0);
    assert!(changes.contains("source.other"), "{changes}");
    assert_eq!(served.stop(), Some(0));
    printed(&run(&folder, &["check", "--diff"]), 4);
}

#[test]
fn a_handler_that_is_no_longer_configured_can_be_forgotten() {
    let folder = Folder::new("", REFUSING);
    let served = Served::start(&folder);
    folder.write_config("", "");
    printed(&run(&folder, &["reload"]), 0);
    let handlers = json(&folder, &["handlers", "list"]);
    let state = |name: &str| {
        let mut handlers = handlers.as_array().unwrap().iter();
        handlers.find(|handler| handler["name"] == name).map(|handler| handler["state"].clone())
    };
    assert_eq!(state("refusing"), Some("unconfigured".into()));
    printed(&run(&folder, &["handlers", "forget", "refusing"]), 0);
    printed(&run(&folder, &["handlers", "forget", "refusing"]), 1);
    printed(&run(&folder, &["handlers", "forget", "all"]), 1);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn send_says_where_it_makes_a_body_up_and_refuses_a_slip() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let url = format!("{}/hooks/hyvor", served.url);
    let ask = |more: &[&str]| run(&folder, &[&["send", "hyvor", "--url", &url], more].concat());
    let sent = |more: &[&str]| {
        let output = ask(more);
        printed(&output, 0);
        String::from_utf8(output.stderr).unwrap()
    };
    let expected = "there is no sample of `their.own`, so its body is made up\n";
    assert_eq!(sent(&["their.own"]), expected);
    assert_eq!(sent(&["comment.create"]), "");
    let slip = ask(&["comment.crate"]);
    let told = String::from_utf8(slip.stderr).unwrap();
    assert!(told.contains("did you mean `comment.create`?"), "{told}");
    assert_eq!(slip.status.code(), Some(2), "{told}");
    // The body says its type.
    let body = folder.path().join("body.json");
    std::fs::write(&body, r#"{"event":"comment.crate","data":{}}"#).unwrap();
    assert_eq!(sent(&["--body", body.to_str().unwrap()]), "");
    let listed = run(&folder, &["events", "list", "--type", "comment.crate", "--json"]);
    assert!(printed(&listed, 0).contains("comment.crate"));
    assert_eq!(served.stop(), Some(0));
}
